"""Rebuilds the YuNet (small) face detector as ONNX from the weights in the `yuface` wheel.

The wheel's `libfacedetection.so` exports every weight array as a named float32 data object,
rounded upstream to three significant digits. The architecture is that of

    Wu, Peng, Yu: "YuNet: A Tiny Millisecond-level Face Detector",
    Machine Intelligence Research 20 (2023), 656-665

and names and shapes of inputs and outputs are those of OpenCV Zoo's
`face_detection_yunet_2023mar.onnx`, except that N, H and W are free (H and W: multiples of 32).
"""

from collections.abc import Mapping

import numpy as np
import onnx

from graph import Graph

STRIDES = (8, 16, 32)
HEADS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}  # output name: values for each cell
PROBABILITIES = ("cls", "obj")
STEM_CHANNELS = 16
STEM_PATCH = 27  # 3 x 3 pixels x 3 colors; the library pads each row to 32 for its SIMD loops

Weights = Mapping[str, np.ndarray]


class Converter:
    """A builder that adds the network's blocks to one graph."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._graph = Graph()

    def convert(self) -> onnx.ModelProto:
        """Builds the whole detector."""
        pyramid = self._neck(self._backbone(self._stem()))
        shapes = self._heads(pyramid)
        return self._graph.model(
            "yunet_s", {"input": ["N", 3, "H", "W"]}, shapes, producer="yuface2onnx"
        )

    def _unit(self, x: str, name: str, relu: bool = True) -> str:
        """Adds a 1x1 convolution ([out][in]), then a depthwise 3x3 one ([9][channel])."""
        weights, graph = self._weights, self._graph
        pointwise_bias = weights[f"{name}_pw_bias"]
        depthwise_bias = weights[f"{name}_dw_bias"]
        channels = len(pointwise_bias)
        pointwise = weights[f"{name}_pw_weight"].reshape(channels, -1, 1, 1)
        depthwise = weights[f"{name}_dw_weight"].reshape(9, channels).T.reshape(channels, 1, 3, 3)
        x = graph.op(
            "Conv",
            [x, graph.constant(f"{name}_pw_w", pointwise),
             graph.constant(f"{name}_pw_b", pointwise_bias)],
            f"{name}_pw",
            kernel_shape=[1, 1],
        )
        x = graph.op(
            "Conv",
            [x, graph.constant(f"{name}_dw_w", depthwise),
             graph.constant(f"{name}_dw_b", depthwise_bias)],
            f"{name}_dw",
            kernel_shape=[3, 3],
            pads=[1] * 4,
            group=channels,
        )
        return graph.op("Relu", [x], name) if relu else x

    def _pool(self, x: str) -> str:
        return self._graph.op("MaxPool", [x], f"{x}_pool", kernel_shape=[2, 2], strides=[2, 2])

    def _stem(self) -> str:
        """Halves the image; the kernel is stored [out][y][x][color]."""
        graph = self._graph
        rows = self._weights["backbone__model0_pw_weight"].reshape(STEM_CHANNELS, -1)
        kernel = rows[:, :STEM_PATCH].reshape(STEM_CHANNELS, 3, 3, 3).transpose(0, 3, 1, 2)
        x = graph.op(
            "Conv",
            ["input", graph.constant("stem_w", kernel),
             graph.constant("stem_b", self._weights["backbone__model0_pw_bias"])],
            "stem_conv",
            kernel_shape=[3, 3],
            strides=[2, 2],
            pads=[1] * 4,
        )
        return self._pool(self._unit(graph.op("Relu", [x], "stem"), "backbone__model0_dp"))

    def _backbone(self, x: str) -> list[str]:
        """Returns the feature maps at the three strides, finest first."""
        levels = []
        for block in range(1, 6):
            if block >= 3:
                x = self._pool(x)
            x = self._unit(x, f"backbone__model{block}_dp1")
            x = self._unit(x, f"backbone__model{block}_dp2")
            if block >= 3:
                levels.append(x)
        return levels

    def _neck(self, levels: list[str]) -> list[str]:
        """Adds each coarser map, doubled, to the next finer one."""
        graph = self._graph
        graph.constant("up2", np.array([1, 1, 2, 2], np.float32))
        coarser = self._unit(levels[2], "neck__lateral_convs__2")
        pyramid = [coarser]
        for i in (1, 0):
            doubled = graph.op(
                "Resize",
                [coarser, "", "up2"],
                f"up{i}",
                mode="nearest",
                coordinate_transformation_mode="asymmetric",
                nearest_mode="floor",
            )
            total = graph.op("Add", [levels[i], doubled], f"sum{i}")
            coarser = self._unit(total, f"neck__lateral_convs__{i}")
            pyramid.insert(0, coarser)
        return pyramid

    def _heads(self, pyramid: list[str]) -> dict[str, list[str | int]]:
        """Adds the outputs `{head}_{stride}`, [N, cells, values]; returns their shapes."""
        graph = self._graph
        shapes: dict[str, list[str | int]] = {}
        for head, values in HEADS.items():
            shape = graph.constant(f"shape_{head}", np.array([0, -1, values], np.int64))
            for level, stride in enumerate(STRIDES):
                output = f"{head}_{stride}"
                x = self._unit(pyramid[level], f"bbox_head__multi_level_{head}__{level}", False)
                x = graph.op("Transpose", [x], f"{head}{stride}_t", perm=[0, 2, 3, 1])
                if head in PROBABILITIES:
                    x = graph.op("Reshape", [x, shape], f"{output}_logit")
                    graph.op("Sigmoid", [x], output)
                else:
                    graph.op("Reshape", [x, shape], output)
                shapes[output] = ["N", f"cells_{stride}", values]
        return shapes


def convert(weights: Weights) -> onnx.ModelProto:
    """Builds the detector from its weight arrays by symbol name, as read by `elf.data_symbols`."""
    return Converter(weights).convert()
