#!/usr/bin/python3
"""Gradients through whole networks against PyTorch's: of the images, of every batch norm's input, of every weight and
bias. And a batch norm in training mode by itself. TAP output.

Each tensor is compared as a whole: the distance of the two as a fraction of PyTorch's length. On real networks two
float32 computations of one gradient part where a ReLU's input lies within rounding of zero: a handful of values flip,
and everything before them feels it. The random network has none such.
"""
import argparse
import os
import tempfile

import networks  # first: it skips where PyTorch is missing
import numpy as np
import torch
import torchvision.models.quantization as qmodels

parser = argparse.ArgumentParser()
parser.add_argument("--models", default=",".join(networks.REAL + ["shufflenet_v2_x0_5"]))
args = parser.parse_args()
BATCH = 8


def records(data):
    found, at = {}, 0
    while at < len(data):
        name = data[at:at + 128].rstrip(b"\0").decode()
        count = int(np.frombuffer(data, np.int64, 1, at + 128)[0])
        found[name] = np.frombuffer(data, np.float32, count, at + 136)
        at += 136 + 4 * count
    return found


def network(arch, path):
    state = torch.load(path, map_location="cpu")
    classes = [v for v in state.values() if v.ndim == 2][-1].shape[0]
    model = getattr(qmodels, arch)(weights=None, quantize=False, num_classes=classes)
    model.load_state_dict(state)
    return model.eval()


def nhwc(t):
    return t.detach().permute(0, 2, 3, 1).contiguous().numpy().ravel() if t.ndim == 4 else t.detach().numpy().ravel()


def theirs(model, images):
    inputs, terms = {}, []

    def watch(name, norm):
        def hook(_, given):
            x = given[0]
            x.retain_grad()
            inputs[name] = x
            scale = 1 / (norm.running_var + 1e-5)
            terms.append((((x - norm.running_mean[:, None, None]) ** 2) * scale[:, None, None]).mean())
        return hook

    for name, module in model.named_modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.register_forward_pre_hook(watch(name, module))
    images = images.clone().requires_grad_()
    loss = (model(images) ** 2).mean() + sum(terms)
    loss.backward()
    found = {"loss": np.array([loss.item()], np.float32), "images": nhwc(images.grad)}
    found.update({name: nhwc(x.grad) for name, x in inputs.items()})
    for name, p in model.named_parameters():
        if p.ndim == 4 or name.startswith(("fc.", "classifier.")):
            found[name] = nhwc(p.grad)
    return found


def check_training_norm(tap, scratch, channels, pixels):
    x, gradient = torch.randn(pixels, channels) * 3 + 1, torch.randn(pixels, channels)
    gamma, beta = torch.randn(channels), torch.randn(channels)
    values = os.path.join(scratch, "values")
    np.concatenate([t.numpy().ravel() for t in (x, gradient, gamma, beta)]).tofile(values)
    wanted = [t.requires_grad_() for t in (x, gamma, beta)]
    out = torch.nn.functional.batch_norm(x, None, None, gamma, beta, training=True)
    out.backward(gradient)
    want = [t.detach().numpy().ravel() for t in (out, *(t.grad for t in wanted))]
    got = np.frombuffer(networks.tool("norm_dump", values, channels, pixels), np.float32)
    parts = np.split(got, np.cumsum([w.size for w in want])[:-1])
    apart = max(np.abs(g - w).max() / np.abs(w).max() for g, w in zip(parts, want))
    tap.check(apart < 1e-5, "batch norm in training mode, %d channels of %d pixels: output and gradients differ by at most "
              "%.2g of the largest" % (channels, pixels, apart))


def main():
    tap = networks.Tap()
    torch.manual_seed(5)
    images = torch.nn.functional.interpolate(torch.randn(BATCH, 3, 28, 28), size=224, mode="bilinear")
    with tempfile.TemporaryDirectory() as scratch:
        for channels, pixels in ((70, 37), (3, 50176), (1, 5), (960, 49)):
            check_training_norm(tap, scratch, channels, pixels)
        npy = os.path.join(scratch, "images.npy")
        np.save(npy, images.numpy())
        for label, arch, path in networks.checkpoints(scratch, args.models.split(",")):
            want = theirs(network(arch, path), images)
            got = records(networks.tool("grad_dump", arch, path, npy, 1))
            tap.check(set(got) == set(want), "%s: %d gradients, the same ones" % (label, len(want)))
            apart = {n: np.linalg.norm(got[n] - want[n]) / max(np.linalg.norm(want[n]), 1e-12)
                     for n in want if n in got}
            worst = max(apart, key=apart.get)
            limit = 1e-4 if label.startswith("random") else 1e-2
            tap.check(apart[worst] < limit, "%s: gradients differ by at most %.2g of their length (%s; images %.2g)" %
                      (label, apart[worst], worst, apart["images"]))
            tap.check(apart["loss"] < 1e-5, "%s: loss %.7g, PyTorch %.7g" % (label, got["loss"][0], want["loss"][0]))
    tap.end()


main()
