#!/usr/bin/python3
"""The float network against PyTorch's on images preprocessed by torchvision. TAP output.

99.8 % of the labels equal, top-1 and top-5 within one image, and logits as close as float32 sums of another order
are. Without a folder of images (--data, or NETQ_SHARED's val227) noise takes their place.
"""
import argparse
import os
import tempfile

import networks  # first: it skips where PyTorch is missing
import numpy as np
import torch
from torchvision import datasets, transforms

parser = argparse.ArgumentParser()
parser.add_argument("--data", default=os.path.join(networks.SHARED, "data", "val227") if networks.SHARED else None)
parser.add_argument("--images", type=int, default=128, help="evenly spaced over the folder; 0: all")
parser.add_argument("--models", default=",".join(networks.REAL + ["shufflenet_v2_x0_5"]))
parser.add_argument("--threads", type=int, default=2)
args = parser.parse_args()


def truths(dataset, chosen):
    """Classes of the chosen images by the wnid list, or None where the folders are no wnids."""
    listed = os.path.join(networks.SHARED, "data", "wnids.txt")
    wnids = [line.split()[0] for line in open(listed)] if networks.SHARED and os.path.exists(listed) else []
    if not set(dataset.classes) <= set(wnids):
        return None
    return np.array([wnids.index(dataset.classes[dataset.targets[i]]) for i in chosen])


def load_images():
    if not args.data:
        torch.manual_seed(1)
        return torch.randn(args.images or 128, 3, 224, 224), None
    dataset = datasets.ImageFolder(args.data, transforms.Compose([
        transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]))
    count = min(args.images or len(dataset), len(dataset))
    chosen = [i * len(dataset) // count for i in range(count)]
    return torch.stack([dataset[i][0] for i in chosen]), truths(dataset, chosen)


def rights(logits, truth):
    best = np.argsort(-logits, axis=1, kind="stable")[:, :5]
    return (best[:, 0] == truth).sum(), (best == truth[:, None]).any(1).sum()


def compare(tap, label, ours, theirs, truth):
    same = (ours.argmax(1) == theirs.argmax(1)).mean()
    tap.check(same >= 0.998, "%s: %.2f %% of %d float labels equal PyTorch's" % (label, 100 * same, len(ours)))
    apart, size = np.abs(ours - theirs).max(), np.abs(theirs).max()
    tap.check(apart <= 1e-4 * size, "%s: logits differ by at most %.3g (largest logit %.3g)" % (label, apart, size))
    if truth is not None and theirs.shape[1] == 1000:
        mine, yours = rights(ours, truth), rights(theirs, truth)
        tap.check(max(abs(mine[0] - yours[0]), abs(mine[1] - yours[1])) <= 1,
                  "%s: top-1 / top-5 %.2f / %.2f %%, PyTorch %.2f / %.2f" %
                  ((label,) + tuple(100 * v / len(truth) for v in mine + yours)))


def main():
    tap = networks.Tap()
    images, truth = load_images()
    with tempfile.TemporaryDirectory() as scratch:
        npy = os.path.join(scratch, "images.npy")
        np.save(npy, images.numpy())
        for label, arch, path in networks.checkpoints(scratch, args.models.split(",")):
            theirs = networks.run(networks.fused(arch, path), images).numpy()
            ours = np.frombuffer(networks.tool("float_dump", arch, path, npy, args.threads), np.float32)
            compare(tap, label, ours.reshape(theirs.shape), theirs, truth)
    tap.end()


main()
