"""A thin builder over `onnx.helper`, shared by the converters."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8


class Graph:
    """A collector of nodes and initializers, in the order in which they are added.

    Nodes are named after their only output, so every tensor has a readable, stable name.
    """

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[onnx.TensorProto] = []

    def constant(self, name: str, values: np.ndarray) -> str:
        """Adds an initializer unchanged."""
        array = np.ascontiguousarray(values)
        self._initializers.append(numpy_helper.from_array(array, name))
        return name

    def half_constant(self, name: str, values: np.ndarray) -> str:
        """Adds an initializer stored as float16 and widened to float32 when the model is loaded."""
        half = self.constant(f"{name}_h", values.astype(np.float16))
        self._nodes.append(helper.make_node("Cast", [half], [name], to=TensorProto.FLOAT))
        return name

    def op(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Adds a node and returns the name of its output."""
        self._nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def model(
        self,
        name: str,
        inputs: dict[str, list[str | int]],
        outputs: dict[str, list[str | int]],
        producer: str,
    ) -> onnx.ModelProto:
        """Returns the checked model; all inputs and outputs are float32, with the given shapes."""

        def info(shapes: dict[str, list[str | int]]) -> list[onnx.ValueInfoProto]:
            return [
                helper.make_tensor_value_info(key, TensorProto.FLOAT, shape)
                for key, shape in shapes.items()
            ]

        graph = helper.make_graph(
            self._nodes, name, info(inputs), info(outputs), self._initializers
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name=producer,
        )
        onnx.checker.check_model(model)
        return model
