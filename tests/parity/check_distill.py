#!/usr/bin/python3
"""Distilled images against a PyTorch of ZeroQ's loss, optimizer and schedule, from the same first images. TAP output.

Adam's first step moves every pixel by the learning rate, in the direction of its gradient's sign: it shows the
gradient, and the few pixels whose gradient is next to nothing may go the other way.
"""
import argparse
import tempfile

import networks  # first: it skips where PyTorch is missing
import numpy as np
import torch
import torchvision.models.quantization as qmodels

parser = argparse.ArgumentParser()
parser.add_argument("--models", default=",".join(networks.REAL))
parser.add_argument("--samples", type=int, default=6)
parser.add_argument("--steps", type=int, default=6)
args = parser.parse_args()
EPS = 1e-6
ZEROQ, GAUSSIAN, INIT_ZEROQ = 1, 1, 2


def ours(arch, path, init, steps):
    data = np.frombuffer(networks.tool("distill_dump", arch, path, ZEROQ, init, args.samples, steps, 2), np.float32)
    return data[:steps], torch.tensor(data[steps:].reshape(args.samples, 224, 224, 3)).permute(0, 3, 1, 2).contiguous()


class Loss:
    """Sum over batch norms, and the image, of the squared differences of mean and deviation of each channel."""

    def __init__(self, arch, path):
        state = torch.load(path, map_location="cpu")
        classes = [v for v in state.values() if v.ndim == 2][-1].shape[0]
        self.model = getattr(qmodels, arch)(weights=None, quantize=False, num_classes=classes)
        self.model.load_state_dict(state)
        self.model.eval()
        self.model.requires_grad_(False)
        self.seen = []
        for module in self.model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.register_forward_pre_hook(lambda m, given: self.seen.append((m, given[0])))

    @staticmethod
    def apart(x, mean, deviation):
        flat = x.reshape(x.shape[0], x.shape[1], -1)
        return (((flat.mean(2) - mean) ** 2).sum() +
                ((torch.sqrt(flat.var(2) + EPS) - deviation) ** 2).sum()) / x.shape[0]

    def __call__(self, images):
        self.seen.clear()
        self.model(images)
        total = self.apart(images, torch.zeros(3), torch.ones(3))
        for norm, x in self.seen:
            total = total + self.apart(x, norm.running_mean, torch.sqrt(norm.running_var + EPS))
        return total


def theirs(loss, images, steps):
    images = images.clone().requires_grad_()
    optimizer = torch.optim.Adam([images], lr=0.5)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, min_lr=1e-4, patience=100)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        value = loss(images)
        value.backward()
        optimizer.step()
        schedule.step(value.item())
        losses.append(value.item())
    return np.array(losses), images.detach()


def main():
    tap = networks.Tap()
    with tempfile.TemporaryDirectory() as scratch:
        for label, arch, path in networks.checkpoints(scratch, args.models.split(",")):
            loss = Loss(arch, path)
            _, start = ours(arch, path, GAUSSIAN, 0)
            tap.check(abs(start.mean().item()) < 0.02 and abs(start.std().item() - 1) < 0.02,
                      "%s: the textbook's first images are N(0,1)" % label)
            _, start = ours(arch, path, INIT_ZEROQ, 0)
            tap.check(abs(start.std().item() - 73.6 / 5418.75) < 2e-4 and start.abs().max().item() < 127.6 / 5418.75,
                      "%s: the authors' first images are nearly grey" % label)
            want, moved = theirs(loss, start, 1)
            got, images = ours(arch, path, INIT_ZEROQ, 1)
            tap.check(abs(got[0] / want[0] - 1) < 1e-4, "%s: loss %.6g, PyTorch %.6g" % (label, got[0], want[0]))
            same = ((images - moved).abs() < 1e-3).float().mean().item()
            tap.check(same > 0.999, "%s: %.3f %% of pixels move alike in the first step" % (label, 100 * same))
            want, _ = theirs(loss, start, args.steps)
            got, _ = ours(arch, path, INIT_ZEROQ, args.steps)
            apart = np.abs(got / want - 1).max()
            tap.check(apart < 0.01, "%s: the losses of %d steps differ by at most %.2g" % (label, args.steps, apart))
    tap.end()


main()
