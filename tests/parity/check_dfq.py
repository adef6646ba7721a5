#!/usr/bin/python3
"""What is derived from batch norms alone against what photographs show. TAP output.

  ranges:  every observed tensor has at least 99 % of its values inside the range that batch norms give it, and
           the range is at most --wide times as wide as what was seen
  models:  the same bytes with one and two threads, for presets dfq and squant
"""
import argparse
import os
import tempfile

import networks  # first: it skips where PyTorch is missing
import jobdir
import torch
from torchvision import datasets, transforms

parser = argparse.ArgumentParser()
parser.add_argument("--models", default=",".join(networks.REAL))
parser.add_argument("--images", type=int, default=16)
parser.add_argument("--wide", type=float, default=3)
parser.add_argument("--data", default=os.path.join(networks.SHARED, "data", "photos"))
args = parser.parse_args()

SUFFIX = ".activation_post_process"
BN_RANGES = {"preset": "w8a8", "activations": {"source": "bn"}, "calibrate": {"source": "none"}}


def photos(count):
    """Spread over the classes."""
    dataset = datasets.ImageFolder(args.data, transforms.Compose([
        transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]))
    count = min(count, len(dataset))
    return torch.stack([dataset[i * len(dataset) // count][0] for i in range(count)])


def observed(arch, path, images):
    """{name: values} of every tensor that the quantized network observes, from PyTorch's float network."""
    model = networks.fused(arch, path)
    model.qconfig = torch.ao.quantization.default_qconfig
    torch.ao.quantization.prepare(model, inplace=True)
    seen = {}
    for name, module in model.named_modules():
        if name.endswith(SUFFIX):
            module.register_forward_hook(
                lambda m, x, y, name=name[:-len(SUFFIX)]: seen.setdefault(name, []).append(y.detach().flatten()))
    networks.run(model, images, 8)
    return {name: torch.cat(values) for name, values in seen.items()}


def job(scratch, name, spec, arch, path, threads=2):
    """A job that scores one image: (metrics, bytes of the model)."""
    folder = os.path.join(scratch, name)
    metrics, _ = jobdir.run(folder, dict(spec, model=arch, limit=1), arch, path, args.data,
                            wnids=os.path.join(networks.SHARED, "data", "wnids.txt"), threads=threads)
    return metrics, open(os.path.join(folder, "out", "model.safetensors"), "rb").read()


def check_ranges(tap, arch, layers, seen):
    missing = sorted(set(seen) ^ {layer["name"] for layer in layers})
    tap.check(not missing, "%s: %d tensors of the same names%s" %
              (arch, len(layers), ": not " + str(missing[:4]) if missing else ""))
    inside, wide = {}, {}
    for layer in layers:
        values, (low, high) = seen.get(layer["name"]), layer["range"]
        if values is None:
            continue
        half = layer["scale"] / 2
        inside[layer["name"]] = ((values >= low - half) & (values <= high + half)).double().mean().item()
        span = max(values.max().item(), 0) - min(values.min().item(), 0)
        wide[layer["name"]] = (high - low) / span
    least, most = min(inside, key=inside.get), max(wide, key=wide.get)
    narrowest = min(wide, key=wide.get)
    tap.check(inside[least] >= 0.99, "%s: %.3f %% of the values of %s are inside its range, elsewhere more" %
              (arch, 100 * inside[least], least))
    tap.check(wide[most] <= args.wide, "%s: ranges are %.2f (%s) to %.2f (%s) times what %d photographs span" %
              (arch, wide[narrowest], narrowest, wide[most], most, args.images))


def main():
    tap = networks.Tap()
    images = photos(args.images)
    with tempfile.TemporaryDirectory() as scratch:
        for label, arch, path in networks.checkpoints(scratch, args.models.split(",")):
            metrics, _ = job(scratch, arch, BN_RANGES, arch, path)
            check_ranges(tap, label, metrics["layers"], observed(arch, path, images))
            for preset in ("dfq", "squant"):
                files = [job(scratch, "%s-%s-%d" % (arch, preset, n), {"preset": preset}, arch, path, n)[1]
                         for n in (1, 2)]
                tap.check(files[0] == files[1], "%s %s: %d bytes with one thread and with two" %
                          (label, preset, len(files[0])))
    tap.end()


main()
