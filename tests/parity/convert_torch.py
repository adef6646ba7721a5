#!/usr/bin/python3
"""A network quantized by PyTorch, as netq's model.safetensors (docs/model-file.md); and what each of its operators
reads and makes, for check_ops.py.

    convert_torch.py --model resnet18 --weights resnet18.pth --out model.safetensors
        [--calib FILE.npy | --samples 64 --seed 1]
"""
import argparse
import json
import struct

import networks  # first: it skips where PyTorch is missing
import numpy as np
import torch
import torchvision.models.shufflenetv2


class Node:
    """A line of `run_ops --nodes`."""

    def __init__(self, index, line):
        word = line.split()
        self.index, self.op, self.name = index, word[0], word[1]
        self.channels, self.height, self.width, self.relu, self.first = map(int, word[2:7])
        self.inputs = [int(v) for v in word[7:]]


def structure(arch, classes):
    lines = networks.tool("run_ops", "--nodes", arch, classes).decode().splitlines()
    return [Node(i, line) for i, line in enumerate(lines)]


def quantize(arch, path, batches):
    """The baseline: default_qconfig, calibrated on the batches, converted for the onednn engine."""
    torch.backends.quantized.engine = "onednn"
    model = networks.fused(arch, path)
    model.qconfig = torch.ao.quantization.default_qconfig
    torch.ao.quantization.prepare(model, inplace=True)
    with torch.no_grad():
        for batch in batches:
            model(batch)
    return torch.ao.quantization.convert(model, inplace=True)


def gaussian(samples, seed, batch=32):
    torch.manual_seed(seed)
    for i in range(0, samples, batch):
        yield torch.randn(min(batch, samples - i), 3, 224, 224)


def weight_scales(weight):
    """[1] or [O]."""
    if weight.qscheme() == torch.per_tensor_affine:
        return np.array([weight.q_scale()], np.float32)
    return weight.q_per_channel_scales().numpy().astype(np.float32)


def has_weight(module):
    return hasattr(module, "weight") and callable(module.weight)


def classes_of(model):
    return [m for m in model.modules() if has_weight(m)][-1].weight().shape[0]


def parameters(model, nodes):
    """(scales, zero points) of all nodes; those that only move integers have their input's."""
    modules = dict(model.named_modules())
    scales, zeros = np.zeros(len(nodes), np.float32), np.zeros(len(nodes), np.uint8)
    for node in nodes:
        module = modules.get(node.name)
        if hasattr(module, "scale") and hasattr(module, "zero_point"):
            scales[node.index], zeros[node.index] = float(module.scale), int(module.zero_point)
        else:
            scales[node.index], zeros[node.index] = scales[node.inputs[0]], zeros[node.inputs[0]]
    return scales, zeros


def write(model, arch, path):
    nodes = structure(arch, classes_of(model))
    modules = dict(model.named_modules())
    tensors = {}
    bits = np.zeros(len(nodes), np.uint8)
    for node in nodes:
        if node.op not in ("conv", "linear"):
            continue
        module = modules[node.name]
        weight = module.weight()
        tensors[node.name + ".weight"] = weight.int_repr().numpy()
        tensors[node.name + ".weight_scale"] = weight_scales(weight)
        if module.bias() is not None:
            tensors[node.name + ".bias"] = module.bias().detach().numpy()
        bits[node.index] = 8
    scales, zeros = parameters(model, nodes)
    tensors["activation.scale"], tensors["activation.zero_point"] = scales, zeros
    tensors["activation.qmax"] = np.full(len(nodes), 255, np.uint8)
    tensors["weight.bits"] = bits
    write_safetensors(path, tensors, {
        "format": "netq", "model_format": "1", "arch": arch, "classes": str(classes_of(model)),
        "nodes": " ".join(node.name for node in nodes)})
    return nodes


def write_safetensors(path, tensors, metadata):
    names = {np.dtype(np.float32): "F32", np.dtype(np.int8): "I8", np.dtype(np.uint8): "U8"}
    header, at, data = {"__metadata__": metadata}, 0, []
    for name in sorted(tensors, key=lambda n: (-tensors[n].itemsize, n)):
        value = np.ascontiguousarray(tensors[name])
        header[name] = {"dtype": names[value.dtype], "shape": list(value.shape),
                        "data_offsets": [at, at + value.nbytes]}
        at += value.nbytes
        data.append(value.tobytes())
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(data))


def integers(tensor):
    """u8 [N][H][W][C] of a quantized tensor; a flat one has H = W = 1."""
    value = tensor.int_repr()
    if value.ndim == 2:
        value = value[:, :, None, None]
    return value.permute(0, 2, 3, 1).contiguous().numpy()


class Recorder:
    """Keeps every node's integer output, by name, while the converted model runs. Modules are hooked; what torchvision
    does outside of modules is seen as somebody's input (pools, chunks) or by a stand-in (shuffles)."""

    def __init__(self, model, nodes):
        self.model, self.out, self.on = model, {}, True
        self.shuffles = [node.name for node in nodes if node.op == "shuffle"]
        modules = dict(model.named_modules())
        for node in nodes:
            first = nodes[node.inputs[0]] if node.inputs else None
            if node.op in ("add", "cat"):
                self.wrap(modules[node.name], node.name, first.name if first.op == "slice" else None)
            elif node.name in modules:
                modules[node.name].register_forward_hook(
                    lambda module, inputs, output, name=node.name: self.keep(name, output))
            if node.op == "linear" or node.op == "conv" and first.op == "slice":
                modules[node.name].register_forward_pre_hook(
                    lambda module, inputs, name=first.name: self.keep(name, inputs[0]))

    def keep(self, name, tensor):
        if self.on:
            self.out[name] = integers(tensor)

    def wrap(self, module, name, slice_name):
        """A functional module is called by its methods; a cat's first operand may be a chunk."""
        for method in ("add", "add_relu", "cat"):
            def kept(*arguments, plain=getattr(module, method), **named):
                output = plain(*arguments, **named)
                self.keep(name, output)
                if slice_name:
                    self.keep(slice_name, arguments[0][0])
                return output
            setattr(module, method, kept)

    def run(self, images):
        """{node name: u8 [N][H][W][C]} for float images, and the network's output."""
        self.out = {}
        waiting = iter(self.shuffles)
        plain = torchvision.models.shufflenetv2.channel_shuffle

        def shuffle(x, groups):
            output = plain(x, groups)
            self.keep(next(waiting), output)
            return output
        torchvision.models.shufflenetv2.channel_shuffle = shuffle
        try:
            with torch.no_grad():
                output = self.model(images)
        finally:
            torchvision.models.shufflenetv2.channel_shuffle = plain
        return self.out, output


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--calib")
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    if args.calib:
        batches = torch.from_numpy(np.load(args.calib)).split(32)
    else:
        batches = gaussian(args.samples, args.seed)
    write(quantize(args.model, args.weights, batches), args.model, args.out)


if __name__ == "__main__":
    main()
