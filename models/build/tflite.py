"""Reads the parts of a TensorFlow Lite model that a converter needs.

The file is a flatbuffer. The numbers below are field numbers, operator codes and enum values of
TensorFlow's `tensorflow/compiler/mlir/lite/schema/schema.fbs`.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from flatbuffers import encode, number_types, packer
from flatbuffers.table import Table as Flatbuffer

IDENTIFIER = b"TFL3"  # at byte 4 of every file
FLOAT32 = 0  # of the enum TensorType


class FormatError(ValueError):
    """The error for a file that is not a model that this project can convert."""


class Kind(IntEnum):
    """The operators that the converter supports, by their codes."""

    ADD = 0
    CONV_2D = 3
    DEPTHWISE_CONV_2D = 4
    MUL = 18
    RELU = 19
    RESHAPE = 22
    SUB = 41
    ABS = 101


class Table:
    """A table of the flatbuffer, with its fields by number."""

    def __init__(self, blob: bytes, position: int) -> None:
        self._table = Flatbuffer(blob, position)

    @classmethod
    def root(cls, blob: bytes) -> "Table":
        """Returns the outermost table."""
        return cls(blob, encode.Get(packer.uoffset, blob, 0))

    def number(self, field: int, kind: type = number_types.Int32Flags) -> int:
        """Reads a scalar; 0, the default of all scalars in use here, if it is not stored."""
        offset = self._offset(field)
        return int(self._table.Get(kind, self._table.Pos + offset)) if offset else 0

    def numbers(self, field: int, kind: type = number_types.Int32Flags) -> np.ndarray:
        """Reads a vector of scalars; empty if it is not stored."""
        offset = self._offset(field)
        if not offset:
            return np.empty(0, number_types.to_numpy_type(kind))
        return self._table.GetVectorAsNumpy(kind, offset)

    def table(self, field: int) -> "Table | None":
        """Returns a nested table; `None` if it is not stored."""
        offset = self._offset(field)
        return self._at(offset + self._table.Pos) if offset else None

    def tables(self, field: int) -> list["Table"]:
        """Returns a vector of nested tables."""
        offset = self._offset(field)
        if not offset:
            return []
        start = self._table.Vector(offset)
        return [self._at(start + 4 * i) for i in range(self._table.VectorLen(offset))]

    def _offset(self, field: int) -> int:
        return self._table.Offset(4 + 2 * field)

    def _at(self, position: int) -> "Table":
        return Table(self._table.Bytes, self._table.Indirect(position))


@dataclass(frozen=True)
class Operator:
    """One operator: its kind, the numbers of its tensors, and its options."""

    kind: Kind
    inputs: list[int]
    output: int
    options: Table | None

    def option(self, field: int, kind: type = number_types.Int8Flags) -> int:
        """Reads a scalar of the options."""
        return self.options.number(field, kind) if self.options else 0


@dataclass(frozen=True)
class Network:
    """A network with one input and one output."""

    shapes: list[list[int]]  # by the number of the tensor; images are [N, H, W, C]
    constants: dict[int, np.ndarray]
    operators: list[Operator]
    input: int
    output: int


def parse(blob: bytes) -> Network:
    """Reads a float32 network."""
    if blob[4:8] != IDENTIFIER:
        raise FormatError("not a TensorFlow Lite model")
    model = Table.root(blob)
    codes = [_kind(code) for code in model.tables(1)]
    graph, buffers = model.tables(2)[0], model.tables(4)
    tensors = graph.tables(0)
    shapes = [tensor.numbers(0).tolist() for tensor in tensors]
    constants = {}
    for number, tensor in enumerate(tensors):
        data = buffers[tensor.number(2, number_types.Uint32Flags)]
        values = data.numbers(0, number_types.Uint8Flags)
        if len(values) and tensor.number(1, number_types.Int8Flags) == FLOAT32:
            constants[number] = values.view("<f4").reshape(shapes[number])
    operators = [
        Operator(
            codes[operator.number(0, number_types.Uint32Flags)],
            operator.numbers(1).tolist(),
            int(operator.numbers(2)[0]),
            operator.table(4),
        )
        for operator in graph.tables(3)
    ]
    (source,), (result,) = graph.numbers(1), graph.numbers(2)
    return Network(shapes, constants, operators, int(source), int(result))


def _kind(code: Table) -> Kind:
    # Older files have the code in a byte; newer ones also in an integer, for codes above 127.
    number = max(code.number(0, number_types.Int8Flags), code.number(3))
    try:
        return Kind(number)
    except ValueError as error:
        raise FormatError(f"unexpected operator {number}") from error
