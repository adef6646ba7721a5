#!/usr/bin/python3
"""Whole jobs of netq-worker against whole runs of PyTorch, on the same images. TAP output.

  float:    top-1 and top-5 within one image, 99.8 % of the labels equal
  baseline: same calibration samples: top-1 within 1.5 points, labels equal on 92 %
            own samples: the mean over seeds within 2 points of PyTorch's mean over its seeds
"""
import argparse
import os
import shutil
import sys
import tempfile
import warnings

warnings.filterwarnings("ignore")
import numpy as np
import torch
import torchvision.models.quantization as qmodels
from torchvision import datasets, transforms

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import jobdir

SHARED = os.environ["NETQ_SHARED"]
WEIGHTS = {
    "resnet18": "resnet18-rebuilt.pth",
    "mobilenet_v2": "mobilenet_v2-rebuilt.pth",
    "shufflenet_v2_x1_0": "shufflenet_v2_x1_0-rebuilt.pth",
}
# What PyTorch's baseline reaches on val227, by seed (data/README.md of NETQ_SHARED).
KNOWN = {
    "resnet18": [67.98, 69.09, 71.77, 67.98, 69.40],
    "mobilenet_v2": [73.82, 74.29, 72.71],
    "shufflenet_v2_x1_0": [68.45, 67.35, 67.51],
}

parser = argparse.ArgumentParser()
parser.add_argument("--data", default=os.path.join(SHARED, "data", "val227"))
parser.add_argument("--seeds", type=int, default=5)
parser.add_argument("--samples", type=int, default=128, help="shared calibration samples")
parser.add_argument("--models", default=",".join(WEIGHTS))
args = parser.parse_args()

wnids_file = os.path.join(SHARED, "data", "wnids.txt")
dataset = datasets.ImageFolder(args.data, transforms.Compose([
    transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(),
    transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]))
wnids = [line.split()[0] for line in open(wnids_file)]
truth_of = {i: wnids.index(c) if c in wnids else i for i, c in enumerate(dataset.classes)}
order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(1562)).tolist()
number = 0
failures = 0


def check(ok, text):
    global number, failures
    number += 1
    failures += not ok
    print("%sok %d - %s" % ("" if ok else "not ", number, text), flush=True)


def images():
    """The scored images in output.txt's order, uint8-exact tensors, once for all networks."""
    x = torch.stack([dataset[i][0] for i in order])
    return x, np.array([truth_of[dataset.samples[i][1]] for i in order])


def torch_labels(model, x):
    rows = []
    with torch.no_grad():
        for i in range(0, len(x), 32):
            rows.append(model(x[i:i + 32]))
    return torch.cat(rows)


def float_model(name):
    state = torch.load(os.path.join(SHARED, "data", "weights", WEIGHTS[name]), map_location="cpu")
    classes = [v for v in state.values() if v.ndim == 2][-1].shape[0]
    model = getattr(qmodels, name)(weights=None, quantize=False, num_classes=classes)
    model.load_state_dict(state)
    model.eval()
    model.fuse_model()
    return model


def baseline_model(name, samples):
    model = float_model(name)
    model.qconfig = torch.ao.quantization.default_qconfig
    torch.ao.quantization.prepare(model, inplace=True)
    with torch.no_grad():
        for i in range(0, len(samples), 32):
            model(samples[i:i + 32])
    return torch.ao.quantization.convert(model, inplace=True)


def compare(name, x, truth, scratch):
    checkpoint = os.path.join(SHARED, "data", "weights", WEIGHTS[name])

    def job(folder, spec, **more):
        return jobdir.run(os.path.join(scratch, name + "-" + folder), dict(spec, model=name), name, checkpoint,
                          args.data, wnids=wnids_file, **more)

    logits = torch_labels(float_model(name), x)
    want = logits.max(1)[1].numpy()
    top5 = (logits.topk(5, 1)[1].numpy() == truth[:, None]).any(1).sum()
    metrics, labels = job("float", {"preset": "float"})
    result = metrics["result"]
    n = len(truth)
    check(abs(result["top1_right"] - (want == truth).sum()) <= 1 and abs(result["top5_right"] - top5) <= 1,
          "%s float: top-1 %d and top-5 %d of %d right, PyTorch %d and %d" %
          (name, result["top1_right"], result["top5_right"], n, (want == truth).sum(), top5))
    same = (np.array(labels) == want).mean()
    check(same >= 0.998, "%s float: %.2f %% of the labels equal PyTorch's" % (name, 100 * same))

    torch.manual_seed(77)
    samples = torch.randn(args.samples, 3, 224, 224)
    npy = os.path.join(scratch, "samples.npy")
    np.save(npy, samples.numpy())
    want = torch_labels(baseline_model(name, samples), x).max(1)[1].numpy()
    metrics, labels = job("same", {"preset": "baseline", "calibrate": {"source": "file", "file": npy, "samples": 0}},
                          calibration=npy)
    same = (np.array(labels) == want).mean()
    ours, theirs = metrics["result"]["top1"], 100 * (want == truth).mean()
    check(abs(ours - theirs) <= 1.5, "%s baseline, same samples: top-1 %.2f, PyTorch %.2f" % (name, ours, theirs))
    check(same >= 0.92, "%s baseline, same samples: %.1f %% of the labels equal PyTorch's" % (name, 100 * same))

    tops = [job("seed%d" % seed, {"preset": "baseline", "calibrate": {"seed": seed}})[0]["result"]["top1"]
            for seed in range(1, args.seeds + 1)]
    if os.path.basename(os.path.normpath(args.data)) == "val227":
        theirs = KNOWN[name]
    else:
        theirs = []
        for seed in range(1, min(args.seeds, 3) + 1):
            torch.manual_seed(seed)
            label = torch_labels(baseline_model(name, torch.randn(1000, 3, 224, 224)), x).max(1)[1].numpy()
            theirs.append(100 * (label == truth).mean())
    check(abs(np.mean(tops) - np.mean(theirs)) <= 2 if args.seeds >= 3 else abs(tops[0] - np.mean(theirs)) <= 4,
          "%s baseline, own samples: mean top-1 %.2f over %d seeds, PyTorch %.2f over %d" %
          (name, np.mean(tops), len(tops), np.mean(theirs), len(theirs)))


scratch = tempfile.mkdtemp(prefix="netq-parity-")
try:
    pixels, truth = images()
    for model in args.models.split(","):
        compare(model, pixels, truth, scratch)
finally:
    shutil.rmtree(scratch, ignore_errors=True)
sys.exit(failures > 0)
