"""Makes a tiny OpenVINO network for the tests: its `.xml`, its `.bin`, and what it computes.

It has a convolution whose bias is an addition, a PReLU, a block that weighs channels (mean, product
of matrices, sigmoid, product), a depthwise convolution, and a reshape. The first weights are in
float16.
"""

from xml.sax.saxutils import quoteattr

import numpy as np

SIDE, COLORS, CHANNELS = 4, 2, 3
_random = np.random.default_rng(7)
KERNEL = _random.normal(size=(CHANNELS, COLORS, 3, 3)).astype("f2")
BIAS = _random.normal(size=(1, CHANNELS, 1, 1)).astype("f4")
SLOPES = np.array([0.5, -0.2, 3], "f4")
MATRIX = _random.normal(size=(CHANNELS, CHANNELS)).astype("f4")  # [out, in]
DEPTHWISE = _random.normal(size=(CHANNELS, 1, 1, SIDE, SIDE)).astype("f4")


def compute(image: np.ndarray) -> np.ndarray:
    """Computes the network's output for an image, [2, 4, 4]."""
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1)))
    x = np.empty((CHANNELS, SIDE, SIDE))
    for row in range(SIDE):
        for column in range(SIDE):
            patch = padded[:, row : row + 3, column : column + 3]
            x[:, row, column] = (KERNEL.astype("f4") * patch).sum((1, 2, 3))
    x = x + BIAS[0]
    x = np.where(x > 0, x, SLOPES[:, None, None] * x)
    weight = 1 / (1 + np.exp(-(MATRIX @ x.mean((1, 2)))))
    return (x * weight[:, None, None] * DEPTHWISE[:, 0, 0]).sum((1, 2))


class _Network:
    """A writer of layers in the order in which they are added."""

    def __init__(self) -> None:
        self.blob = b""
        self._layers: list[str] = []
        self._edges: list[str] = []

    def layer(
        self, kind: str, inputs: list[int], shape: list[int], data: dict[str, object] | None = None
    ) -> int:
        """Adds a layer and returns its number."""
        number = len(self._layers)
        fields = "".join(f" {key}={quoteattr(str(value))}" for key, value in (data or {}).items())
        dims = "".join(f"<dim>{side}</dim>" for side in shape)
        output = f'<output><port id="9">{dims}</port></output>' if kind != "Result" else ""
        self._layers.append(
            f'<layer id="{number}" name="layer{number}" type="{kind}"><data{fields}/>{output}</layer>'
        )
        self._edges += [
            f'<edge from-layer="{source}" from-port="9" to-layer="{number}" to-port="{port}"/>'
            for port, source in enumerate(inputs)
        ]
        return number

    def constant(self, values: np.ndarray) -> int:
        """Adds a constant."""
        kind = {"f2": "f16", "f4": "f32", "i8": "i64"}[values.dtype.str[1:]]
        data = {
            "element_type": kind,
            "shape": ",".join(map(str, values.shape)),
            "offset": len(self.blob),
            "size": values.nbytes,
        }
        self.blob += values.tobytes()
        return self.layer("Const", [], list(values.shape), data)

    def xml(self) -> str:
        """Returns the description. Layers are in reverse order, which the format allows."""
        layers, edges = "".join(reversed(self._layers)), "".join(reversed(self._edges))
        parts = f"<layers>{layers}</layers><edges>{edges}</edges>"
        return f'<?xml version="1.0"?><net name="tiny" version="11">{parts}</net>'


def network(activation: str = "PReLU") -> tuple[str, bytes]:
    """Builds the description and the weights."""
    net, image = _Network(), [1, CHANNELS, SIDE, SIDE]
    same = {"strides": "1,1", "pads_begin": "1,1", "pads_end": "1,1", "dilations": "1,1"}
    none = {"strides": "1,1", "pads_begin": "0,0", "pads_end": "0,0", "dilations": "1,1"}
    x = net.layer("Parameter", [], [1, COLORS, SIDE, SIDE], {"element_type": "f32"})
    kernel = net.layer("Convert", [net.constant(KERNEL)], list(KERNEL.shape))
    x = net.layer("Convolution", [x, kernel], image, same)
    x = net.layer("Add", [x, net.constant(BIAS)], image)
    x = net.layer(activation, [x, net.constant(SLOPES)], image)
    mean = net.layer(
        "ReduceMean", [x, net.constant(np.array([2, 3]))], [1, CHANNELS], {"keep_dims": "false"}
    )
    weight = net.layer(
        "MatMul", [mean, net.constant(MATRIX)], [1, CHANNELS], {"transpose_b": "true"}
    )
    weight = net.layer("Sigmoid", [weight], [1, CHANNELS])
    weight = net.layer(
        "Reshape",
        [weight, net.constant(np.array([0, CHANNELS, 1, 1]))],
        [1, CHANNELS, 1, 1],
        {"special_zero": "true"},
    )
    x = net.layer("Multiply", [x, weight], image)
    depthwise = net.constant(DEPTHWISE)
    x = net.layer("GroupConvolution", [x, depthwise], [1, CHANNELS, 1, 1], none)
    net.layer("Result", [x], [])
    return net.xml(), net.blob
