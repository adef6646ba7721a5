#!/usr/bin/python3
"""Every observer of the baseline and every integer weight against PyTorch's, given the same samples. TAP output.

Scales within 1e-5 relative, zero points equal except where the real value lies within 1e-3 of a half, weight
scales and integer weights the same bits.
"""
import argparse
import os
import tempfile

import networks  # first: it skips where PyTorch is missing
import numpy as np
import torch

parser = argparse.ArgumentParser()
parser.add_argument("--samples", type=int, default=64)
parser.add_argument("--models", default=",".join(networks.REAL + ["shufflenet_v2_x0_5"]))
parser.add_argument("--threads", type=int, default=2)
args = parser.parse_args()

SUFFIX = ".activation_post_process"


def read_dump(arch, path, npy):
    """{name: (observed, scale, zero point, weight scale, weights)} in node order."""
    data, nodes, at = networks.tool("observer_dump", arch, path, npy, args.threads), {}, 0
    while at < len(data):
        end = data.index(b"\n", at)
        word = data[at:end].decode().split()
        count = int(word[8])
        weights = np.frombuffer(data, np.int8, count, end + 1)
        at = end + 1 + count
        nodes[word[1]] = (word[2] == "1", float.fromhex(word[5]), int(word[6]), float.fromhex(word[7]), weights)
    return nodes


def observe(model, samples):
    """{name: (scale, zero point, its real value)} of every observer; the model is then converted."""
    model.qconfig = torch.ao.quantization.default_qconfig
    torch.ao.quantization.prepare(model, inplace=True)
    networks.run(model, samples)
    seen = {}
    for name, module in model.named_modules():
        if name.endswith(SUFFIX) and torch.isfinite(module.min_val):
            scale, zero = module.calculate_qparams()
            low = min(float(module.min_val), 0.0)
            seen[name[:-len(SUFFIX)]] = (float(scale), int(zero), -low / float(scale))
    torch.ao.quantization.convert(model, inplace=True)
    return seen


def compare_observers(tap, label, nodes, theirs):
    ours = {name: node for name, node in nodes.items() if node[0]}
    odd = sorted(set(ours) ^ set(theirs))
    tap.check(not odd, "%s: %d observers of the same names%s" % (label, len(theirs), ": not " + str(odd[:4]) if odd else ""))
    both = [name for name in theirs if name in ours]
    apart = {name: abs(ours[name][1] / theirs[name][0] - 1) for name in both}
    worst = max(apart, key=apart.get)
    tap.check(apart[worst] <= 1e-5, "%s: scales differ by at most %.2g (%s); %d of %d are the same bits" %
              (label, apart[worst], worst, sum(v == 0 for v in apart.values()), len(both)))
    half = [name for name in both if abs(theirs[name][2] % 1 - 0.5) <= 1e-3]
    wrong = [name for name in both if ours[name][2] != theirs[name][1] and name not in half]
    tap.check(not wrong, "%s: zero points are equal (%d lie at a half)%s" %
              (label, len(half), ": not " + str(wrong[:4]) if wrong else ""))


def compare_weights(tap, label, nodes, model):
    count, wrong = 0, []
    for name, module in model.named_modules():
        if not (hasattr(module, "weight") and callable(module.weight)):
            continue
        weight = module.weight()
        integers = weight.int_repr().numpy()
        if integers.ndim == 4:
            integers = integers.transpose(0, 2, 3, 1)
        count += integers.size
        _, _, _, scale, ours = nodes[name]
        if np.float32(scale) != np.float32(weight.q_scale()) or not np.array_equal(ours, integers.ravel()):
            wrong.append(name)
    total = sum(node[4].size for node in nodes.values())
    tap.check(not wrong and count == total, "%s: %d integer weights equal PyTorch's%s" %
              (label, count, ": not " + str(wrong[:4]) if wrong else ""))


def main():
    tap = networks.Tap()
    torch.manual_seed(77)
    samples = torch.randn(args.samples, 3, 224, 224)
    with tempfile.TemporaryDirectory() as scratch:
        npy = os.path.join(scratch, "samples.npy")
        np.save(npy, samples.numpy())
        for label, arch, path in networks.checkpoints(scratch, args.models.split(",")):
            nodes = read_dump(arch, path, npy)
            model = networks.fused(arch, path)
            compare_observers(tap, label, nodes, observe(model, samples))
            compare_weights(tap, label, nodes, model)
    tap.end()


main()
