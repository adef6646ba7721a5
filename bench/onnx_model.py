"""A quantized network of netq as an ONNX model, so that onnxruntime computes the same layers on the same integers.

The form is QDQ: each tensor goes through QuantizeLinear and DequantizeLinear with netq's scale and zero point, which
onnxruntime fuses into its integer operators. Layers of fewer than 8 bits have no such form and are refused."""

import json

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

DTYPES = {"F32": np.float32, "U8": np.uint8, "I8": np.int8}
OPSET = 13


def read_safetensors(path):
    """(metadata, {name: array})"""
    with open(path, "rb") as f:
        header = json.loads(f.read(int.from_bytes(f.read(8), "little")))
        data = f.read()
    meta = header.pop("__metadata__")
    return meta, {
        name: np.frombuffer(data[t["data_offsets"][0] : t["data_offsets"][1]], DTYPES[t["dtype"]]).reshape(t["shape"])
        for name, t in header.items()
    }


class Node:
    """A line of `run_ops --nodes`: what the network computes, and the shape of the result."""

    def __init__(self, line):
        words = line.split()
        self.op, self.name = words[:2]
        self.channels, self.height, self.width, self.relu, self.first = map(int, words[2:7])
        self.inputs = [int(word) for word in words[7:]]


class Builder:
    def __init__(self, nodes, tensors, batch, integer):
        self.nodes, self.tensors, self.batch, self.integer = nodes, tensors, batch, integer
        self.made, self.constants, self.values, self.splits = [], [], [], {}

    def constant(self, name, value):
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, op, inputs, output, **attributes):
        self.made.append(helper.make_node(op, inputs, [output] if isinstance(output, str) else output, **attributes))
        return output

    def params(self, i):
        return np.float32(self.tensors["activation.scale"][i]), np.uint8(self.tensors["activation.zero_point"][i])

    def requantize(self, i, value, name):
        """The float tensor `value` as node i's integers, and back as a float."""
        if not self.integer:
            return value
        scale, zero = self.params(i)
        s, z = self.constant(name + ".s", scale), self.constant(name + ".z", zero)
        self.add("QuantizeLinear", [value, s, z], name + ".q")
        return self.add("DequantizeLinear", [name + ".q", s, z], name + ".dq")

    def weights(self, node):
        """Names of weight and bias of a layer, as floats."""
        weight, scale = self.tensors[node.name + ".weight"], self.tensors[node.name + ".weight_scale"]
        if weight.dtype != np.int8:
            raise ValueError("%s: weights of fewer than 8 bits have no QDQ form" % node.name)
        bias = self.tensors.get(node.name + ".bias", np.zeros(node.channels, np.float32))
        if not self.integer:
            shape = [-1] + [1] * (weight.ndim - 1)
            return (
                self.constant(node.name + ".w", weight * np.float32(scale).reshape(shape)),
                self.constant(node.name + ".b", bias),
            )
        each = scale if len(scale) > 1 else scale.reshape(())
        bias_scale = self.params(node.inputs[0])[0] * each
        w = [
            self.constant(node.name + ".w", weight),
            self.constant(node.name + ".ws", each),
            self.constant(node.name + ".wz", np.zeros(each.shape, np.int8)),
        ]
        b = [
            self.constant(node.name + ".b", np.rint(bias / bias_scale).astype(np.int32)),
            self.constant(node.name + ".bs", bias_scale),
            self.constant(node.name + ".bz", np.zeros(each.shape, np.int32)),
        ]
        return (
            self.add("DequantizeLinear", w, node.name + ".wf", axis=0),
            self.add("DequantizeLinear", b, node.name + ".bf", axis=0),
        )

    def layer(self, node):
        source = self.nodes[node.inputs[0]]
        weight, bias = self.weights(node)
        value = self.values[node.inputs[0]]
        if node.op == "linear":
            flat = self.reshape(node.inputs[0], value, [self.batch, source.channels], node.name + ".flat")
            return self.add("Gemm", [flat, weight, bias], node.name + ".y", transB=1)
        shape = self.tensors[node.name + ".weight"].shape
        pad, stride = shape[2] // 2, round(source.height / node.height)
        return self.add(
            "Conv",
            [value, weight, bias],
            node.name + ".y",
            kernel_shape=shape[2:],
            pads=[pad] * 4,
            strides=[stride] * 2,
            group=source.channels // shape[1],
        )

    def reshape(self, i, value, shape, name):
        shaped = self.add("Reshape", [value, self.constant(name + ".shape", np.int64(shape))], name)
        return self.requantize(i, shaped, name)

    def slice(self, i, node):
        """Both halves of a tensor come from one Split."""
        source = node.inputs[0]
        if source not in self.splits:
            names = ["%s.part%d" % (node.name, k) for k in (0, 1)]
            sizes = self.constant(
                node.name + ".sizes", np.int64([node.channels, self.nodes[source].channels - node.channels])
            )
            self.add("Split", [self.values[source], sizes], names, axis=1)
            self.splits[source] = [self.requantize(i, name, name) for name in names]
        return self.splits[source][node.first > 0]

    def shuffle(self, i, node):
        n, c, h, w = self.batch, node.channels, node.height, node.width
        value = self.reshape(i, self.values[node.inputs[0]], [n, 2, c // 2, h, w], node.name + ".split")
        value = self.requantize(
            i, self.add("Transpose", [value], node.name + ".t", perm=[0, 2, 1, 3, 4]), node.name + ".t"
        )
        return self.reshape(i, value, [n, c, h, w], node.name + ".join")

    def node(self, i, node):
        ins, y = [self.values[k] for k in node.inputs], node.name + ".y"
        if node.op == "slice":
            return self.slice(i, node)
        if node.op == "shuffle":
            return self.shuffle(i, node)
        if node.op in ("conv", "linear"):
            y = self.layer(node)
        elif node.op == "add":
            self.add("Add", ins, y)
        elif node.op == "cat":
            self.add("Concat", ins, y, axis=1)
        elif node.op == "maxpool":
            self.add("MaxPool", ins, y, kernel_shape=[3, 3], pads=[1] * 4, strides=[2, 2])
        elif node.op == "avgpool":
            self.add("GlobalAveragePool", ins, y)
        if node.relu and not (self.integer and self.params(i)[1] == 0):  # at zero point 0 the clamp is the ReLU
            y = self.add("Relu", [y], node.name + ".relu")
        return self.requantize(i, y, node.name)

    def build(self):
        self.values.append(self.requantize(0, "x", "input"))
        for i, node in enumerate(self.nodes[1:], 1):
            self.values.append(self.node(i, node))
        self.add("Identity", [self.values[-1]], "y")
        shape, classes = [self.batch, 3, 224, 224], len(self.tensors[self.nodes[-1].name + ".weight"])
        graph = helper.make_graph(
            self.made,
            "netq",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [self.batch, classes])],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
        onnx.checker.check_model(model)
        return model.SerializeToString()


def build(nodes, tensors, batch, integer):
    """The bytes of an ONNX model for a fixed batch; integer False: the same network in float32."""
    return Builder(nodes, tensors, batch, integer).build()
