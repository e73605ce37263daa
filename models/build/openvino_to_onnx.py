"""Converts an OpenVINO network (IR version 10 or 11, `.xml` and `.bin`) to ONNX.

    python openvino_to_onnx.py MODEL.xml OUTPUT.onnx

Knows the operators of convolutional embedders such as Intel's `face-reidentification-retail-0095`,
as OpenVINO's "Operation Sets" define them, for one input and one output. Constants in float16 become
float32. The count of images stays as it is in the file, usually 1.
"""

import sys
import xml.etree.ElementTree as xml
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from graph import Graph

ELEMENT_TYPES = {"f16": "<f2", "f32": "<f4", "i32": "<i4", "i64": "<i8"}
# The operators of ONNX with the same meaning.
ELEMENTWISE = {"Add": "Add", "Subtract": "Sub", "Multiply": "Mul", "Divide": "Div"}
RENAMED = {"ReLU": "Relu", "Sigmoid": "Sigmoid", "Tanh": "Tanh"}


class FormatError(ValueError):
    """The error for a network that this converter does not support."""


@dataclass(frozen=True)
class Layer:
    """One operator of the network."""

    id: str
    name: str
    kind: str
    data: dict[str, str]
    shapes: list[list[int]]  # of the outputs

    def numbers(self, key: str, default: str = "") -> list[int]:
        """Reads a list of integers, separated by commas."""
        return [int(part) for part in self.data.get(key, default).split(",") if part.strip()]

    def flag(self, key: str) -> bool:
        """Reads a flag that is false by default."""
        return self.data.get(key, "false").lower() in ("true", "1")


class Converter:
    """A builder of one graph; tensors are named after the number of their layer."""

    def __init__(self, network: xml.Element, weights: bytes) -> None:
        if network.tag != "net" or network.get("version") not in ("10", "11"):
            raise FormatError("not an OpenVINO network of IR version 10 or 11")
        self._weights = weights
        self._graph = Graph()
        self._layers = [self._layer(layer) for layer in network.iterfind("layers/layer")]
        self._inputs: dict[str, list[str]] = {layer.id: [] for layer in self._layers}
        # The edges into a layer, by the number of its port.
        for edge in sorted(network.iterfind("edges/edge"), key=lambda e: int(e.get("to-port", "0"))):
            self._inputs[edge.get("to-layer", "")].append(edge.get("from-layer", ""))
        self._constants: dict[str, np.ndarray] = {}
        self._names: dict[str, str] = {}
        self._shapes = {layer.id: layer.shapes[0] for layer in self._layers if layer.shapes}

    def convert(self) -> onnx.ModelProto:
        """Builds the whole network."""
        inputs: dict[str, list[str | int]] = {}
        outputs: dict[str, list[str | int]] = {}
        for layer in self._sorted():
            match layer.kind:
                case "Parameter":
                    self._names[layer.id] = "input"
                    inputs["input"] = [*layer.shapes[0]]
                case "Const":
                    self._constants[layer.id] = self._constant(layer)
                case "Convert" if self._inputs[layer.id][0] in self._constants:
                    self._constants[layer.id] = self._constants[self._inputs[layer.id][0]]
                case "Result":
                    (source,) = self._inputs[layer.id]
                    self._graph.op("Identity", [self._names[source]], "embedding")
                    outputs["embedding"] = [*self._shapes[source]]
                case _:
                    self._names[layer.id] = self._operator(layer)
        if len(inputs) != 1 or len(outputs) != 1:
            raise FormatError("the network must have one input and one output")
        return self._graph.model("openvino", inputs, outputs, producer="openvino2onnx")

    def _layer(self, layer: xml.Element) -> Layer:
        data = layer.find("data")
        ports = layer.iterfind("output/port")
        shapes = [[int(dim.text or "0") for dim in port.iterfind("dim")] for port in ports]
        return Layer(
            layer.get("id", ""),
            layer.get("name", ""),
            layer.get("type", ""),
            dict(data.attrib) if data is not None else {},
            shapes,
        )

    def _sorted(self) -> list[Layer]:
        """Returns the layers so that each comes after its inputs."""
        layers = {layer.id: layer for layer in self._layers}
        done: dict[str, Layer] = {}
        waiting = [layer.id for layer in reversed(self._layers)]
        while waiting:
            missing = [i for i in self._inputs[waiting[-1]] if i not in done]
            if missing:
                if len(waiting) > len(layers) ** 2:
                    raise FormatError("the network has a cycle")
                waiting += missing
            else:
                last = waiting.pop()
                done[last] = layers[last]
        return list(done.values())

    def _constant(self, layer: Layer) -> np.ndarray:
        kind, shape = layer.data["element_type"], layer.numbers("shape")
        if kind not in ELEMENT_TYPES:
            raise FormatError(f"{layer.name} has the unexpected type {kind}")
        start, size = int(layer.data["offset"]), int(layer.data["size"])
        values = np.frombuffer(self._weights[start : start + size], ELEMENT_TYPES[kind])
        if values.size != int(np.prod(shape)):
            raise FormatError(f"{layer.name} has {values.size} values for the shape {shape}")
        values = values.reshape(shape)
        return values.astype(np.float32) if kind == "f16" else values

    def _tensor(self, layer: Layer, place: int) -> str:
        """Returns the name of an input; adds a constant to the graph when it is first used."""
        source = self._inputs[layer.id][place]
        if source not in self._names:
            self._names[source] = self._graph.constant(f"c{source}", self._constants[source])
        return self._names[source]

    def _values(self, layer: Layer, place: int) -> np.ndarray:
        """Returns an input that must be a constant."""
        source = self._inputs[layer.id][place]
        if source not in self._constants:
            raise FormatError(f"input {place} of {layer.name} must be a constant")
        return self._constants[source]

    def _operator(self, layer: Layer) -> str:
        graph, name = self._graph, f"t{layer.id}"
        match layer.kind:
            case "Convolution" | "GroupConvolution":
                return self._convolution(layer)
            case kind if kind in ELEMENTWISE:
                return graph.op(ELEMENTWISE[kind], [self._tensor(layer, i) for i in (0, 1)], name)
            case kind if kind in RENAMED:
                return graph.op(RENAMED[kind], [self._tensor(layer, 0)], name)
            case "PReLU":
                # One slope for each channel, or one for all.
                slopes = self._values(layer, 1).reshape(-1)
                rank = len(layer.shapes[0])
                slopes = slopes.reshape(-1, *[1] * (rank - 2))
                slope = graph.constant(f"{name}_slope", slopes.astype(np.float32))
                return graph.op("PRelu", [self._tensor(layer, 0), slope], name)
            case "Reshape":
                shape = graph.constant(f"{name}_shape", self._values(layer, 1).astype(np.int64))
                keeps = 0 if layer.flag("special_zero") else 1
                return graph.op("Reshape", [self._tensor(layer, 0), shape], name, allowzero=keeps)
            case "ReduceMean":
                axes = [int(axis) for axis in self._values(layer, 1).reshape(-1)]
                keep = int(layer.flag("keep_dims"))
                return graph.op("ReduceMean", [self._tensor(layer, 0)], name, axes=axes, keepdims=keep)
            case "MatMul":
                return self._product(layer)
        raise FormatError(f"unexpected operator {layer.kind} ({layer.name})")

    def _convolution(self, layer: Layer) -> str:
        if layer.data.get("auto_pad", "explicit") not in ("explicit", "notset", "valid"):
            raise FormatError(f"{layer.name} has an unexpected padding")
        weights, groups = self._values(layer, 1), 1
        if layer.kind == "GroupConvolution":  # [groups, out, in, H, W]
            groups = weights.shape[0]
            weights = weights.reshape(-1, *weights.shape[2:])
        name = f"t{layer.id}"
        return self._graph.op(
            "Conv",
            [self._tensor(layer, 0), self._graph.constant(f"{name}_w", weights.astype(np.float32))],
            name,
            kernel_shape=weights.shape[2:],
            strides=layer.numbers("strides"),
            dilations=layer.numbers("dilations", "1,1"),
            pads=[*layer.numbers("pads_begin", "0,0"), *layer.numbers("pads_end", "0,0")],
            group=groups,
        )

    def _product(self, layer: Layer) -> str:
        names = []
        for place, key in enumerate(("transpose_a", "transpose_b")):
            tensor = self._tensor(layer, place)
            if layer.flag(key):
                rank = len(self._shapes[self._inputs[layer.id][place]])
                order = [*range(rank - 2), rank - 1, rank - 2]
                tensor = self._graph.op("Transpose", [tensor], f"t{layer.id}_{key}", perm=order)
            names.append(tensor)
        return self._graph.op("MatMul", names, f"t{layer.id}")


def convert(network: Path) -> onnx.ModelProto:
    """Converts the network in an `.xml` file, with its weights in the `.bin` file beside it."""
    return Converter(xml.parse(network).getroot(), network.with_suffix(".bin").read_bytes()).convert()


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(convert(Path(sys.argv[1])).SerializeToString())
