#!/usr/bin/python3
"""Folding and structure against torchvision: bit-equal weights and biases after fuse_model(), and the
same observed modules in the same order with the same shapes.

Runs build/.../tests/dump_folded (BUILD names the build folder). Random networks of all four
architectures and both file formats always; the real checkpoints where NETQ_SHARED names a folder with
data/weights. Speaks TAP.
"""
import os
import subprocess
import sys
import tempfile
import warnings

warnings.filterwarnings("ignore")
BUILD = os.environ.get("BUILD", "build/release")
SHARED = os.environ.get("NETQ_SHARED", "")
ARCHS = ["resnet18", "mobilenet_v2", "shufflenet_v2_x1_0", "shufflenet_v2_x0_5"]

try:
    import numpy as np
    import torch
    import torchvision.models.quantization as models
except ImportError as missing:
    print("ok 1 - folding equals torchvision's # SKIP %s" % missing)
    sys.exit(0)


def read_dump(arch, path):
    """[(name, shape, observed, weights, biases)] in node order."""
    done = subprocess.run([os.path.join(BUILD, "tests", "dump_folded"), arch, path],
                          stdout=subprocess.PIPE, check=True)
    data, nodes, at = done.stdout, [], 0
    while at < len(data):
        end = data.index(b"\n", at)
        word = data[at:end].decode().split()
        weights, biases = int(word[6]), int(word[7])
        at = end + 1
        values = np.frombuffer(data, np.float32, weights + biases, at)
        at += 4 * (weights + biases)
        shape = tuple(int(v) for v in word[2:5])
        nodes.append((word[1], shape, word[5] == "1", values[:weights], values[weights:]))
    return nodes


def fused_model(arch, path):
    state = torch.load(path, map_location="cpu")
    classes = [v for v in state.values() if v.ndim == 2][-1].shape[0]
    model = getattr(models, arch)(weights=None, quantize=False, num_classes=classes)
    model.load_state_dict(state, strict=False)
    model.eval()
    model.fuse_model()
    return model


def different_layers(model, nodes):
    """Names of layers that are not the same bits here and there."""
    mine = {name: (w, b) for name, _, _, w, b in nodes if len(w)}
    wrong, seen = [], 0
    for name, module in model.named_modules():
        if not isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            continue
        name = name[:-2] if name.endswith(".0") and name not in mine else name
        weight = module.weight.detach().numpy()
        if weight.ndim == 4:
            weight = weight.transpose(0, 2, 3, 1)
        seen += 1
        if name not in mine or not (
                np.array_equal(mine[name][0].view(np.uint32), np.ascontiguousarray(weight).view(np.uint32).ravel())
                and np.array_equal(mine[name][1].view(np.uint32), module.bias.detach().numpy().view(np.uint32))):
            wrong.append(name)
    return wrong + [n for n in mine if seen != len(mine)][:1], seen


def observed_modules(model):
    """[(name, shape)] of what PyTorch observes, in order of execution."""
    model.qconfig = torch.ao.quantization.default_qconfig
    torch.ao.quantization.prepare(model, inplace=True)
    order = []
    for name, module in model.named_modules():
        if name.endswith(".activation_post_process"):
            def hook(_, inputs, __, name=name[:-len(".activation_post_process")]):
                shape = tuple(inputs[0].shape[1:])
                seen = (name, shape if len(shape) == 3 else shape + (1, 1))
                # A fused pair is a Sequential: it runs its observer as a member, then as a hook.
                if order[-1:] != [seen]:
                    order.append(seen)
            module.register_forward_hook(hook)
    with torch.no_grad():
        model(torch.zeros(1, 3, 224, 224))
    return order


def random_checkpoint(arch, path, classes, legacy):
    torch.manual_seed(7)
    model = getattr(models, arch)(weights=None, quantize=False, num_classes=classes)
    state = model.state_dict()
    for name, value in state.items():
        if name.endswith("running_var"):
            value.uniform_(1e-6, 3)
        elif value.dtype == torch.float32 and value.ndim == 1:
            value.normal_()
    if legacy:
        state = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    torch.save(state, path, _use_new_zipfile_serialization=not legacy)


def main():
    number, failed = 0, False

    def tell(good, text, why=""):
        nonlocal number, failed
        number += 1
        failed = failed or not good
        print("%sok %d - %s%s" % ("" if good else "not ", number, text, "" if good else ": %s" % (why,)))

    def compare(label, arch, path):
        nodes = read_dump(arch, path)
        model = fused_model(arch, path)
        wrong, seen = different_layers(model, nodes)
        tell(not wrong, "%s: %d layers folded to PyTorch's bits" % (label, seen), wrong[:5])
        theirs = observed_modules(model)
        ours = [(name, shape) for name, shape, observed, _, _ in nodes if observed]
        first = next((pair for pair in zip(ours, theirs) if pair[0] != pair[1]), None)
        tell(ours == theirs, "%s: %d observed nodes in torchvision's order" % (label, len(ours)),
             first or "%d against %d" % (len(ours), len(theirs)))

    with tempfile.TemporaryDirectory() as folder:
        for i, arch in enumerate(ARCHS):
            path = os.path.join(folder, arch + ".pth")
            random_checkpoint(arch, path, [7, 1000, 1, 10][i], legacy=i % 2 == 1)
            compare("random " + arch, arch, path)
    for arch in ARCHS[:3]:
        path = os.path.join(SHARED, "data", "weights", arch + "-rebuilt.pth")
        if SHARED:
            compare("real " + arch, arch, path)
        else:
            number += 1
            print("ok %d - real %s # SKIP NETQ_SHARED is not set" % (number, arch))
    print("1..%d" % number)
    sys.exit(1 if failed else 0)


main()
