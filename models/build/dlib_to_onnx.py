"""Converts dlib's `dlib_face_recognition_resnet_model_v1.dat` to ONNX.

The file is dlib's own serialization (`dlib/serialize.h`, `dlib/dnn/layers.h`): the layers' names
and parameters, input first. The network is the 29-layer ResNet of dlib's
`dnn_face_recognition_ex.cpp`, for 150 x 150 RGB chips; its 128 numbers are compared by distance.

The conversion makes three simplifications. It folds each affine layer (a frozen batch
normalization) into the convolution before it. It folds the color mean and the division by 256 into
the first convolution, which is exact, because that has no padding. It drops training state.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx

from graph import Graph

HALF_FROM = 1024  # smaller constants (biases, pads) are not worth storing as float16
Shape = tuple[int, int, int]  # channels, height, width


@dataclass(frozen=True)
class Layer:
    """One layer: dlib's name for its kind, and what the conversion needs of its details."""

    kind: str
    details: dict[str, Any] = field(default_factory=dict)


class FormatError(ValueError):
    """The error for a file that is not the serialized network that this converter supports."""


class Reader:
    """A reader of dlib's primitive types from a buffer."""

    def __init__(self, blob: bytes) -> None:
        self._blob = blob
        self._at = 0

    @property
    def finished(self) -> bool:
        """Returns whether everything was read."""
        return self._at >= len(self._blob)

    def integer(self) -> int:
        """Reads a control byte (low 4 bits: byte count; 0x80: negative), then that many bytes."""
        control = self._take(1)[0]
        count = control & 15
        if not 1 <= count <= 8 or control & 0x70:
            raise FormatError(f"no integer at byte {self._at - 1}")
        value = int.from_bytes(self._take(count), "little")
        return -value if control & 0x80 else value

    def integers(self, count: int) -> list[int]:
        """Reads several integers in a row."""
        return [self.integer() for _ in range(count)]

    def real(self) -> float:
        """Reads a mantissa and a binary exponent, both integers."""
        mantissa = self.integer()
        return mantissa * 2.0 ** self.integer()

    def reals(self, count: int) -> list[float]:
        """Reads several reals in a row."""
        return [self.real() for _ in range(count)]

    def text(self) -> str:
        """Reads a length, then that many bytes."""
        return self._take(self.integer()).decode("ascii")

    def flag(self) -> bool:
        """Reads a single character, `0` or `1`."""
        character = self._take(1)
        if character not in (b"0", b"1"):
            raise FormatError(f"no flag at byte {self._at - 1}")
        return character == b"1"

    def tensor(self) -> np.ndarray:
        """Reads version 2, the four dimensions, then little-endian float32 values."""
        self.expect(2)
        shape = self.integers(4)
        return np.frombuffer(self._take(4 * int(np.prod(shape))), "<f4").reshape(shape)

    def alias(self) -> list[int]:
        """Reads version 1, then the dimensions of a view into a parameter tensor."""
        self.expect(1)
        return self.integers(4)

    def expect(self, value: int) -> None:
        """Reads an integer that must be `value`, such as a version."""
        found = self.integer()
        if found != value:
            raise FormatError(f"found {found} before byte {self._at}, expected {value}")

    def skip_nested_versions(self) -> None:
        """Skips the version numbers (1 to 3) that the nested sub-networks open with."""
        while self._blob[self._at : self._at + 2] in (b"\x01\x01", b"\x01\x02", b"\x01\x03"):
            self.integer()

    def _take(self, count: int) -> bytes:
        taken = self._blob[self._at : self._at + count]
        if len(taken) != count:
            raise FormatError("the file ends too early")
        self._at += count
        return taken


def parse(blob: bytes) -> list[Layer]:
    """Reads the layers in forward order, `input_rgb_image_sized` first."""
    reader = Reader(blob)
    reader.expect(1)
    if reader.text() != "loss_metric_2":
        raise FormatError("not a network trained with dlib's metric loss")
    reader.reals(2)  # the loss's margin and distance threshold
    reader.skip_nested_versions()
    kind = reader.text()
    if kind != "input_rgb_image_sized":
        raise FormatError(f"unexpected input layer {kind}")
    layers = [Layer(kind, {"mean": reader.reals(3), "size": reader.integers(2)})]
    while not reader.finished:
        kind = reader.text()
        layers.append(Layer(kind, _details(kind, reader)))
        for _ in range(3):
            reader.flag()
        for _ in range(3):
            reader.tensor()  # training state, small or empty
        if len(layers) == 2:
            reader.expect(1)  # the sample expansion factor of the first computing layer
    return layers


def _details(kind: str, reader: Reader) -> dict[str, Any]:
    match kind:
        case "con_4":
            values = reader.tensor().ravel()
            filters = reader.integer()
            _rows, _columns, stride, _, padding, _ = reader.integers(6)
            shape = reader.alias()
            reader.alias()
            reader.reals(4)  # learning rate and weight decay multipliers
            count = int(np.prod(shape))
            if len(values) != count + filters:
                raise FormatError("a convolution's weights have the wrong length")
            weights, bias = values[:count].reshape(shape), values[count:]
            return {"weights": weights, "bias": bias, "stride": stride, "padding": padding}
        case "affine_" | "affine_2":
            values = reader.tensor().ravel()
            reader.alias(), reader.alias()
            reader.integer()  # whether it follows a convolution or a dense layer
            if kind == "affine_2":
                reader.flag()
            half = len(values) // 2
            return {"gain": values[:half], "offset": values[half:]}
        case "max_pool_2" | "avg_pool_2":
            rows, *_ = reader.integers(6)
            return {"rows": rows}
        case "fc_2":
            outputs, inputs = reader.integers(2)
            weights = reader.tensor().reshape(inputs, outputs)
            reader.alias(), reader.alias()
            reader.integer()  # bias mode
            reader.reals(4)
            return {"weights": weights}
        case "relu_" | "add_prev_":
            return {}
    raise FormatError(f"unexpected layer {kind}")


class Converter:
    """A builder of one graph that tracks shapes and the open residual block."""

    def __init__(self, layers: list[Layer], half: bool) -> None:
        self._layers = layers
        self._half = half
        self._graph = Graph()
        self._shapes: dict[str, Shape] = {}
        self._convolutions = 0

    def convert(self) -> onnx.ModelProto:
        """Builds the whole embedder."""
        rows, columns = self._layers[0].details["size"]
        x = self._shaped("input", (3, rows, columns))
        block = shortcut = x  # where the open residual block begins, and its second operand
        for i, layer in enumerate(self._layers[1:], start=1):
            match layer.kind:
                case "con_4":
                    x = self._convolution(x, layer, affine=self._layers[i + 1])
                case "relu_":
                    x = self._shaped(self._graph.op("Relu", [x], f"relu{i - 1}"), self._shapes[x])
                    if self._layers[i - 1].kind == "add_prev_":
                        block = shortcut = x
                case "max_pool_2":
                    block = shortcut = x = self._pool("MaxPool", x, "maxpool", 3)
                case "avg_pool_2" if layer.details["rows"] == 2:
                    shortcut = self._pool("AveragePool", block, f"avgpool{i - 1}", 2)
                case "avg_pool_2":
                    x = self._graph.op("GlobalAveragePool", [x], "gap")
                    x = self._graph.op("Flatten", [x], "flat")
                case "add_prev_":
                    x = self._add(x, shortcut, f"add{i - 1}")
                case "fc_2":
                    weights = self._constant("fc", layer.details["weights"])
                    self._graph.op("MatMul", [x, weights], "embedding")
        return self._graph.model(
            "dlib_face_recognition_resnet_v1",
            {"input": ["N", 3, rows, columns]},
            {"embedding": ["N", 128]},
            producer="dlib2onnx",
        )

    def _convolution(self, x: str, layer: Layer, affine: Layer) -> str:
        gain = affine.details["gain"].astype(np.float64)
        weights = layer.details["weights"].astype(np.float64) * gain[:, None, None, None]
        bias = layer.details["bias"].astype(np.float64) * gain
        bias = bias + affine.details["offset"].astype(np.float64)
        n = self._convolutions
        self._convolutions += 1
        if n == 0:
            weights = weights / 256
            mean = np.array(self._layers[0].details["mean"])
            bias = bias - (weights * mean[None, :, None, None]).sum((1, 2, 3))
        stride, padding, side = layer.details["stride"], layer.details["padding"], weights.shape[2]
        # The first convolution includes the mean, so rounding it would cost the most: keep it.
        kernel = self._constant(f"w{n}", weights.astype(np.float32), full=n == 0)
        output = self._graph.op(
            "Conv",
            [x, kernel, self._constant(f"b{n}", bias.astype(np.float32))],
            f"conv{n}",
            kernel_shape=[side, side],
            strides=[stride, stride],
            pads=[padding] * 4,
        )
        _, height, width = self._shapes[x]
        shape = (
            weights.shape[0],
            (height + 2 * padding - side) // stride + 1,
            (width + 2 * padding - side) // stride + 1,
        )
        return self._shaped(output, shape)

    def _pool(self, kind: str, x: str, name: str, side: int) -> str:
        channels, height, width = self._shapes[x]
        output = self._graph.op(kind, [x], name, kernel_shape=[side, side], strides=[2, 2])
        return self._shaped(output, (channels, (height - side) // 2 + 1, (width - side) // 2 + 1))

    def _add(self, left: str, right: str, name: str) -> str:
        """Adds two tensors as dlib does: the smaller one is zero beyond its end on each axis."""
        shape: Shape = tuple(map(max, self._shapes[left], self._shapes[right]))  # type: ignore[assignment]
        operands = [self._padded(left, shape), self._padded(right, shape)]
        return self._shaped(self._graph.op("Add", operands, name), shape)

    def _padded(self, x: str, shape: Shape) -> str:
        if self._shapes[x] == shape:
            return x
        missing = [want - have for want, have in zip(shape, self._shapes[x])]
        pads = np.array([0, 0, 0, 0, 0, *missing], np.int64)
        output = self._graph.op("Pad", [x, self._constant(f"pads_{x}", pads)], f"pad_{x}")
        return self._shaped(output, shape)

    def _constant(self, name: str, values: np.ndarray, full: bool = False) -> str:
        if self._half and not full and values.size > HALF_FROM:
            return self._graph.half_constant(name, values)
        return self._graph.constant(name, values)

    def _shaped(self, name: str, shape: Shape) -> str:
        self._shapes[name] = shape
        return name


def convert(layers: list[Layer], half: bool) -> onnx.ModelProto:
    """Builds the embedder from `input` [N, 3, 150, 150], RGB in 0..255, to `embedding` [N, 128].

    With `half`, large weights are stored as float16 (half the size) and computed in float32.
    """
    return Converter(layers, half).convert()
