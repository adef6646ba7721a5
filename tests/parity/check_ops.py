#!/usr/bin/python3
"""Every operator of the integer engine against PyTorch's, each fed PyTorch's own recorded integers. TAP output.

No output differs by more than 1; at most 1e-4 of any layer's and 1e-5 of all outputs differ. Every output that
does is recomputed here by FBGEMM's formulas, which must give ours, and by the arithmetic of Debian's engine, which
must give PyTorch's. That departs from FBGEMM in three places:

  - convolutions and linear layers (oneDNN): scales are multiplied in another order, the bias is not fused, and the
    zero point is added before rounding: rint((acc + bias * k) * ((1 / s_out) / k) + zp), k = (1 / s_a) * (1 / s_w);
  - add: the last numel % 64 elements of a tensor dequantize without a fused multiply-add;
  - cat: so do the last C % 32 channels of each input.

Then the labels of whole networks, which must agree on 92 % of images (NUMERICS: why not more).
"""
import argparse
import math
import os
import struct
import subprocess
import tempfile

import networks  # first: it skips where PyTorch is missing
import convert_torch
import numpy as np
import torch
from torchvision import datasets, transforms

parser = argparse.ArgumentParser()
parser.add_argument("--images", type=int, default=64, help="for single operators")
parser.add_argument("--labels", type=int, default=-1, help="for labels; default: all from 64 --images on, else those")
parser.add_argument("--data", default=os.path.join(networks.SHARED, "data", "val227"), help="an ImageFolder")
parser.add_argument("--models", default=",".join(networks.REAL))
parser.add_argument("--samples", type=int, default=64, help="Gaussian calibration samples")
parser.add_argument("--seed", type=int, default=1)
args = parser.parse_args()

CHUNK = 8
F = np.float32
crop = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224)])
normal = transforms.Compose([transforms.ToTensor(),
                             transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])])


class Engine:
    """run_ops on one model file."""

    def __init__(self, path):
        self.process = subprocess.Popen([os.path.join(networks.BUILD, "tests", "run_ops"), path],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def run(self, node, inputs, shape):
        pipe = self.process.stdin
        pipe.write(struct.pack("<ii", node, shape[0]))
        for value in inputs:
            pipe.write(np.ascontiguousarray(value).tobytes())
        pipe.flush()
        data = self.process.stdout.read(math.prod(shape))
        if len(data) != math.prod(shape):
            raise RuntimeError("run_ops ended with %s" % self.process.wait())
        return np.frombuffer(data, np.uint8).reshape(shape)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def fused(a, b, c):
    """a * b + c rounded once (but for a tie in 64 bits of mantissa)."""
    return F(np.longdouble(a) * np.longdouble(b) + np.longdouble(c))


class Explainer:
    """What FBGEMM's formulas (ours) and Debian's engine (theirs) give at single places: pairs of integers; None where
    the two should not differ."""

    def __init__(self, model, nodes):
        self.nodes, self.modules = nodes, dict(model.named_modules())
        self.scales, self.zeros = convert_torch.parameters(model, nodes)

    def clamp(self, node, rounded):
        zero = int(self.zeros[node.index])
        return min(max(int(rounded), zero if node.relu else 0), 255)

    def rounded(self, node, r):
        """Rounding first, then the zero point."""
        return self.clamp(node, np.rint(r) + F(self.zeros[node.index]))

    def accumulator(self, node, inputs, at):
        n, y, x, c = at
        module = self.modules[node.name]
        weight = module.weight().int_repr().numpy().astype(np.int64)
        taps = weight.reshape(*weight.shape[:2], *(weight.shape[2:] or (1, 1)))[c].transpose(1, 2, 0)
        height, width, each = taps.shape
        stride, pad = (module.stride[0], module.padding[0]) if node.op == "conv" else (1, 0)
        first = c // (weight.shape[0] // getattr(module, "groups", 1)) * each
        a = np.pad(inputs[0][n].astype(np.int64) - int(self.zeros[node.inputs[0]]), ((pad, pad), (pad, pad), (0, 0)))
        a = a[y * stride:y * stride + height, x * stride:x * stride + width, first:first + each]
        return F((a * taps).sum())

    def layer(self, node, inputs, at):
        module, acc = self.modules[node.name], self.accumulator(node, inputs, at)
        s_a, s_w, s_out = self.scales[node.inputs[0]], F(module.weight().q_scale()), self.scales[node.index]
        bias, s = F(module.bias()[at[3]].item()), s_a * s_w
        ours = self.rounded(node, fused(bias, F(1) / s, acc) * (s / s_out))
        k = (F(1) / s_a) * (F(1) / s_w)
        r = (acc + bias * k) * ((F(1) / s_out) / k) + F(self.zeros[node.index])
        return ours, self.clamp(node, np.rint(r))

    def real(self, index, q):
        """(fused, plain)"""
        scale, zero = self.scales[index], F(self.zeros[index])
        return fused(scale, F(q), -(scale * zero)), (F(q) - zero) * scale

    def add(self, node, inputs, at):
        if np.ravel_multi_index(at, inputs[0].shape) < inputs[0].size // 64 * 64:
            return None
        inverse = F(1) / self.scales[node.index]
        (a, plain_a), (b, plain_b) = (self.real(i, value[at]) for i, value in zip(node.inputs, inputs))
        return self.rounded(node, (a + b) * inverse), self.rounded(node, (plain_a + plain_b) * inverse)

    def cat(self, node, inputs, at):
        n, y, x, c = at
        for i, value in zip(node.inputs, inputs):
            if c < value.shape[3]:
                break
            c -= value.shape[3]
        if c < value.shape[3] // 32 * 32:
            return None
        inverse = F(1) / self.scales[node.index]
        return tuple(self.rounded(node, r * inverse) for r in self.real(i, value[n, y, x, c]))

    def explains(self, node, inputs, at, ours, theirs):
        recompute = {"conv": self.layer, "linear": self.layer, "add": self.add, "cat": self.cat}.get(node.op)
        return recompute is not None and recompute(node, inputs, at) == (ours, theirs)


class Tally:
    """Of one node."""

    def __init__(self):
        self.outputs = self.differ = self.explained = self.worst = 0


def compare_chunk(engine, explainer, nodes, recorded, crops, tallies):
    for node in nodes:
        inputs = [recorded[nodes[i].name] for i in node.inputs] or [crops]
        theirs = recorded[node.name]
        shape = (len(crops), node.height, node.width, node.channels)
        if theirs.shape != shape:
            raise RuntimeError("%s: PyTorch's is %s, not %s" % (node.name, theirs.shape, shape))
        ours = engine.run(node.index, inputs, shape)
        tally = tallies[node.index]
        tally.outputs += theirs.size
        for at in np.argwhere(ours != theirs):
            at = tuple(at)
            our, their = int(ours[at]), int(theirs[at])
            tally.differ += 1
            tally.worst = max(tally.worst, abs(our - their))
            tally.explained += explainer.explains(node, inputs, at, our, their)


def report(tap, label, nodes, tallies, zeros, images):
    outputs, differ = sum(t.outputs for t in tallies), sum(t.differ for t in tallies)
    worst = max(tallies, key=lambda t: t.worst)
    tap.check(worst.worst <= 1, "%s: %d operators on %d images, no output differs by more than 1 (%d)" %
              (label, len(nodes), images, worst.worst))
    # One output may differ anywhere: few images make few outputs.
    over = [n.name for n, t in zip(nodes, tallies) if t.differ > max(1, 1e-4 * t.outputs)]
    most = max(range(len(nodes)), key=lambda i: tallies[i].differ / tallies[i].outputs)
    tap.check(not over, "%s: at most %.2g of a layer's outputs differ (%s)%s" %
              (label, tallies[most].differ / tallies[most].outputs, nodes[most].name, ": not " + str(over[:4]) if over else ""))
    tap.check(differ <= max(1, 1e-5 * outputs), "%s: %d of %d outputs differ, %.2g" % (label, differ, outputs, differ / outputs))
    at_zero = [t for n, t in zip(nodes, tallies) if n.op in ("conv", "linear") and zeros[n.index] == 0]
    zero_differ, zero_outputs = sum(t.differ for t in at_zero), sum(t.outputs for t in at_zero)
    tap.check(zero_differ <= max(1, 3e-6 * zero_outputs), "%s: where the zero point is 0, %d of %d do, %.2g" %
              (label, zero_differ, zero_outputs, zero_differ / max(1, zero_outputs)))
    explained = sum(t.explained for t in tallies)
    tap.check(explained == differ, "%s: %d of these %d outputs are what the two arithmetics give" %
              (label, explained, differ))


def load(dataset, indices):
    """(u8 crops [N][224][224][3], float images as PyTorch wants them)."""
    crops = [crop(dataset[i][0]) for i in indices]
    return np.stack([np.asarray(c) for c in crops]), torch.stack([normal(c) for c in crops])


def check_labels(tap, label, engine, recorder, dataset, indices, classes):
    same, recorder.on = 0, False
    for i in range(0, len(indices), 2 * CHUNK):
        crops, images = load(dataset, indices[i:i + 2 * CHUNK])
        theirs = recorder.run(images)[1].max(1)[1].numpy()
        same += (engine.run(-1, [crops], (len(crops), classes)).argmax(1) == theirs).sum()
    n = len(indices)
    slack = 0 if n >= 500 else 3 * math.sqrt(0.08 * 0.92 * n)
    tap.check(n - same <= 0.08 * n + slack, "%s: labels agree on %d of %d images, %.1f %%" % (label, same, n, 100 * same / n))


def check_network(tap, label, arch, path, scratch, dataset, indices, label_indices):
    model = convert_torch.quantize(arch, path, convert_torch.gaussian(args.samples, args.seed))
    file = os.path.join(scratch, "model.safetensors")
    nodes = convert_torch.write(model, arch, file)
    explainer, recorder, engine = Explainer(model, nodes), convert_torch.Recorder(model, nodes), Engine(file)
    tallies = [Tally() for _ in nodes]
    for i in range(0, len(indices), CHUNK):
        crops, images = load(dataset, indices[i:i + CHUNK])
        compare_chunk(engine, explainer, nodes, recorder.run(images)[0], crops, tallies)
    report(tap, label, nodes, tallies, explainer.zeros, len(indices))
    check_labels(tap, label, engine, recorder, dataset, label_indices, nodes[-1].channels)
    engine.close()


def spread(total, wanted):
    wanted = min(wanted, total)
    return [i * total // wanted for i in range(wanted)]


def main():
    tap = networks.Tap()
    dataset = datasets.ImageFolder(args.data)
    labels = args.labels if args.labels > 0 else len(dataset) if args.images >= 64 else args.images
    with tempfile.TemporaryDirectory() as scratch:
        for label, arch, path in networks.checkpoints(scratch, args.models.split(",")):
            check_network(tap, label, arch, path, scratch, dataset, spread(len(dataset), args.images),
                          spread(len(dataset), labels))
    tap.end()


main()
