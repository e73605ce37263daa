"""Converts `MobileFaceNet.tflite`, an embedder of 112 x 112 RGB chips, to ONNX.

The network is that of

    Chen, Liu, Gao, Han: "MobileFaceNets: Efficient CNNs for Accurate Real-Time Face Verification
    on Mobile Devices", CCBR 2018

with 192 numbers at the end. TensorFlow Lite keeps images as [N, H, W, C], for one N; ONNX Runtime
wants [N, C, H, W], and any N.

TensorFlow wrote each PReLU as relu(x) + h·(x - |x|), where h is half the slope a. ONNX Runtime's
own operator for it has no form for the blocked layout of convolutions on x86, and the network
spends half of its time in it and in the conversions around it. So it becomes

    x + relu((a - 1)·x)        which is x for x > 0, and a·x otherwise, if a < 1,

with the product as a 1 x 1 depthwise convolution. Where a > 1, the convolution before it makes -x
instead, the formula gives the negative of the PReLU, and the convolution after it reads that with
negated weights. Compared with a·x + (1 - a)·relu(x), this form is faster, and its terms are never
much larger than their sum, which matters for 8-bit integers.
"""

import numpy as np
import onnx
from flatbuffers import number_types

from graph import Graph
from tflite import FormatError, Kind, Network, Operator, parse

HALF_FROM = 512  # smaller constants (biases, slopes) are not worth storing as float16
SAME = 0  # of the enum Padding


class Converter:
    """A builder of one graph; tensors are named after the number of their operator."""

    def __init__(self, network: Network, half: bool) -> None:
        self._network = network
        self._half = half
        self._graph = Graph()
        self._makers = {operator.output: operator for operator in network.operators}
        self._names = {network.input: "input"}
        # The operands of PReLUs with the slopes, by result, and the signs of the channels of both.
        self._prelus: dict[int, tuple[int, np.ndarray]] = {}
        self._signs: dict[int, np.ndarray] = {}
        for operator in network.operators:
            if operator.kind == Kind.ADD and (prelu := self._parse_prelu(operator)):
                operand, slopes = self._prelus[operator.output] = prelu
                signs = np.where(slopes > 1, np.float32(-1), np.float32(1))
                self._signs[operand] = self._signs[operator.output] = signs

    def convert(self) -> onnx.ModelProto:
        """Builds the whole embedder."""
        network = self._network
        for number, operator in enumerate(network.operators):
            match operator.kind:
                case Kind.CONV_2D | Kind.DEPTHWISE_CONV_2D:
                    self._convolution(number, operator)
                case Kind.ADD if operator.output in self._prelus:
                    self._prelu(number, operator)
                case Kind.ADD:
                    names = [self._unsigned(i) for i in operator.inputs]
                    self._names[operator.output] = self._graph.op("Add", names, f"t{number}")
                case Kind.RESHAPE if operator.output == network.output:
                    flat = [self._unsigned(operator.inputs[0])]
                    self._graph.op("Flatten", flat, "embedding", axis=1)
                case Kind.RELU | Kind.ABS | Kind.SUB | Kind.MUL:
                    pass  # parts of a PReLU, which its last operator adds
                case _:
                    raise FormatError(f"unexpected {operator.kind.name} as operator {number}")
        _, height, width, colors = network.shapes[network.input]
        return self._graph.model(
            "mobilefacenet",
            {"input": ["N", colors, height, width]},
            {"embedding": ["N", network.shapes[network.output][1]]},
            producer="mobilefacenet2onnx",
        )

    def _convolution(self, number: int, operator: Operator) -> None:
        depthwise = operator.kind == Kind.DEPTHWISE_CONV_2D
        source, kernel, bias = operator.inputs
        if operator.option(4 if depthwise else 3):
            raise FormatError(f"operator {number} has an activation of its own")
        # [1, H, W, C] if depthwise, else [out, H, W, in], to [out, in, H, W].
        order = (3, 0, 1, 2) if depthwise else (0, 3, 1, 2)
        weights = self._network.constants[kernel].transpose(order)
        biases = self._network.constants[bias]
        if source in self._signs:
            shape = (-1, 1, 1, 1) if depthwise else (1, -1, 1, 1)
            weights = weights * self._signs[source].reshape(shape)
        if operator.output in self._signs:
            signs = self._signs[operator.output]
            weights, biases = weights * signs.reshape(-1, 1, 1, 1), biases * signs
        strides = [operator.option(field, number_types.Int32Flags) for field in (2, 1)]
        sides = weights.shape[2:]
        pads = [0, 0, 0, 0]
        if operator.option(0) == SAME:
            for axis in range(2):
                inputs = self._network.shapes[source][1 + axis]
                outputs = self._network.shapes[operator.output][1 + axis]
                missing = max((outputs - 1) * strides[axis] + sides[axis] - inputs, 0)
                pads[axis] = missing // 2  # an odd pixel goes below and to the right
                pads[2 + axis] = missing - pads[axis]
        self._names[operator.output] = self._graph.op(
            "Conv",
            [self._names[source], self._constant(f"w{number}", weights),
             self._constant(f"b{number}", biases)],
            f"t{number}",
            strides=strides,
            pads=pads,
            kernel_shape=sides,
            group=len(weights) if depthwise else 1,
        )  # fmt: skip

    def _unsigned(self, tensor: int) -> str:
        """Returns the name of a tensor that no operator but a convolution may read negated."""
        if tensor in self._signs:
            raise FormatError("only a convolution can come before and after a PReLU")
        return self._names[tensor]

    def _parse_prelu(self, add: Operator) -> tuple[int, np.ndarray] | None:
        """Returns the operand and the slopes of the PReLU that ends with this addition."""
        relu, scaled = self._made_by(add.inputs, Kind.RELU), self._made_by(add.inputs, Kind.MUL)
        if not relu or not scaled:
            return None
        (x,) = relu.inputs
        halves = [i for i in scaled.inputs if i in self._network.constants]
        negative = self._made_by(scaled.inputs, Kind.SUB)
        size = self._made_by(negative.inputs, Kind.ABS) if negative else None
        same = negative and size and {negative.inputs[0], *size.inputs} == {x}
        if not same or len(halves) != 1:
            raise FormatError("an addition resembles a PReLU, but is none")
        return x, 2 * self._network.constants[halves[0]].reshape(-1)

    def _made_by(self, tensors: list[int], kind: Kind) -> Operator | None:
        """Returns the operator of a kind that makes one of the tensors."""
        makers = (self._makers.get(tensor) for tensor in tensors)
        return next((maker for maker in makers if maker and maker.kind == kind), None)

    def _prelu(self, number: int, add: Operator) -> None:
        operand, slopes = self._prelus[add.output]
        graph, x = self._graph, self._names[operand]
        factors = self._constant(f"a{number}", (slopes - 1).reshape(-1, 1, 1, 1))
        side = {"kernel_shape": [1, 1], "group": len(slopes)}
        scaled = graph.op("Conv", [x, factors], f"s{number}", **side)
        relu = graph.op("Relu", [scaled], f"r{number}")
        self._names[add.output] = graph.op("Add", [x, relu], f"t{number}")

    def _constant(self, name: str, values: np.ndarray) -> str:
        if self._half and values.size > HALF_FROM:
            return self._graph.half_constant(name, values)
        return self._graph.constant(name, values)


def convert(blob: bytes, half: bool) -> onnx.ModelProto:
    """Builds the embedder from `input` [N, 3, 112, 112] to `embedding` [N, 192].

    The input is (RGB - 127.5) / 128. With `half`, large weights are stored as float16 (half the
    size) and computed in float32.
    """
    return Converter(parse(blob), half).convert()
