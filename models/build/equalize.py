"""Rescales the channels of a network so that the channels of a tensor have similar ranges.

A quantized tensor has one scale for all of its channels, so channels with a small range lose most
of their bits. Multiplying the weights that make a channel by a factor, and dividing those that read
it by the same factor, does not change the result: everything between the two is linear, or a ReLU,
for which relu(s·x) = s·relu(x) if s > 0. The factors are powers of two, so this is exact in
floating point.

    Nagel, van Baalen, Blankevoort, Welling: "Data-Free Quantization Through Weight Equalization and
    Bias Correction", ICCV 2019

does this with the ranges of weights; here they are those of activations, measured on chips. They
depend a little on the processor, so the exponents of the factors are committed (`scales/`).
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from pipeline import Array, open_session

SCALES = Path(__file__).resolve().parent / "scales"
# Larger factors would leave so little of a weight that the bias no longer fits into its integer.
LARGEST = 32

Exponents = dict[str, list[int]]


@dataclass
class Group:
    """Tensors whose channels must have the same factors, by the name of the first."""

    tensors: list[str] = field(default_factory=list)
    made_by: list[onnx.NodeProto] = field(default_factory=list)
    read_by: list[onnx.NodeProto] = field(default_factory=list)


def groups(model: onnx.ModelProto) -> dict[str, Group]:
    """Finds the groups that begin and end with convolutions."""
    shapes = {tensor.name: tensor.dims for tensor in model.graph.initializer}
    leader: dict[str, str] = {}

    def first(tensor: str) -> str:
        while leader.setdefault(tensor, tensor) != tensor:
            tensor = leader[tensor]
        return tensor

    def passes(node: onnx.NodeProto) -> bool:
        # A factor for each channel and no bias: a part of a PReLU.
        product = node.op_type == "Conv" and len(node.input) == 2 and is_depthwise(node)
        return product or node.op_type in ("Relu", "Add")

    for node in filter(passes, model.graph.node):
        for tensor in node.input:
            if tensor not in shapes:
                leader[first(node.output[0])] = first(tensor)
    found: dict[str, Group] = {}
    barred = {first(info.name) for info in (*model.graph.input, *model.graph.output)}
    for node in model.graph.node:
        source, result = first(node.input[0]), first(node.output[0])
        if node.op_type == "Conv" and not passes(node):
            found.setdefault(source, Group()).read_by.append(node)
            group = found.setdefault(result, Group())
            group.made_by.append(node)
            group.tensors.append(node.output[0])
        elif node.op_type == "Add":
            found.setdefault(result, Group()).tensors.append(node.output[0])
        elif not passes(node):
            barred |= {source, result}
    used = (group for name, group in found.items() if name not in barred)
    return {group.tensors[0]: group for group in used if group.read_by}


def is_depthwise(node: onnx.NodeProto) -> bool:
    """Returns whether each channel of a convolution is computed from one channel."""
    return any(a.name == "group" and a.i > 1 for a in node.attribute)


def measure(model: onnx.ModelProto, inputs: Iterable[Array]) -> Exponents:
    """Chooses the exponents from the channels' ranges over the inputs.

    If only depthwise convolutions read a tensor, its channels get the same range, because their
    weights have a scale for each channel. Otherwise the factor is the square root of that: what a
    channel gains, the weights that read it lose.
    """
    found = groups(model)
    names = [name for group in found.values() for name in group.tensors]
    traced = onnx.ModelProto()
    traced.CopyFrom(model)
    for name in names:
        info = helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        traced.graph.output.append(info)
    session = open_session(traced.SerializeToString())
    largest: dict[str, Array] = {}
    for tensor in inputs:
        for name, values in zip(names, session.run(names, {"input": tensor})):
            largest[name] = np.maximum(largest.get(name, 0), np.abs(values).max((0, 2, 3)))
    exponents = {}
    for key, group in found.items():
        ranges = np.max([largest[name] for name in group.tensors], axis=0)
        factors = ranges.max() / np.maximum(ranges, ranges.max() / LARGEST)
        share = 1.0 if all(is_depthwise(node) for node in group.read_by) else 0.5
        exponents[key] = np.rint(share * np.log2(factors)).astype(int).tolist()
    return exponents


def rescale(model: onnx.ModelProto, exponents: Exponents) -> onnx.ModelProto:
    """Returns the model with rescaled channels; `model` is not changed."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    constants = {tensor.name: tensor for tensor in copy.graph.initializer}

    def multiply(name: str, factors: Array) -> None:
        values = numpy_helper.to_array(constants[name]) * factors.astype(np.float32)
        constants[name].CopyFrom(numpy_helper.from_array(values, name))

    for key, group in groups(model).items():
        factors = 2.0 ** np.array(exponents[key])
        for node in group.made_by:
            multiply(node.input[1], factors.reshape(-1, 1, 1, 1))
            multiply(node.input[2], factors)
        for node in group.read_by:
            shape = (-1, 1, 1, 1) if is_depthwise(node) else (1, -1, 1, 1)
            multiply(node.input[1], (1 / factors).reshape(shape))
    return copy


def read(pack: str) -> Exponents:
    """Reads the committed exponents of a pack."""
    return json.loads((SCALES / f"{pack}.json").read_text(encoding="utf-8"))


def write(exponents: Exponents, pack: str) -> None:
    """Writes one line per group."""
    lines = (f'  "{name}": {values}' for name, values in exponents.items())
    (SCALES / f"{pack}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
