"""Makes a tiny TensorFlow Lite network for the tests, with every operator that a converter knows.

It is a convolution with stride 2 and padding SAME, a PReLU as TensorFlow writes it, a depthwise
convolution without padding, an addition of a tensor to itself, and a reshape.
"""

import flatbuffers
import numpy as np

SAME, VALID = 0, 1
SIDE, COLORS, CHANNELS = 5, 2, 3
MIDDLE = 3  # the side after the first convolution
_random = np.random.default_rng(11)
KERNEL = _random.normal(size=(CHANNELS, 3, 3, COLORS)).astype("f4")  # [out, H, W, in]
BIAS = _random.normal(size=CHANNELS).astype("f4")
HALF_SLOPES = np.array([0.4, -0.1, 2.0], "f4")
DEPTHWISE = _random.normal(size=(1, MIDDLE, MIDDLE, CHANNELS)).astype("f4")  # [1, H, W, C]
DEPTHWISE_BIAS = _random.normal(size=CHANNELS).astype("f4")


def compute(image: np.ndarray) -> np.ndarray:
    """Computes the network's output for an image, [5, 5, 2]."""
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)))
    x = np.empty((MIDDLE, MIDDLE, CHANNELS))
    for row in range(MIDDLE):
        for column in range(MIDDLE):
            patch = padded[2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
            x[row, column] = (KERNEL * patch).sum((1, 2, 3)) + BIAS
    x = np.where(x > 0, x, 2 * HALF_SLOPES * x)
    return 2 * ((x * DEPTHWISE[0]).sum((0, 1)) + DEPTHWISE_BIAS)


def network(last: int = 22) -> bytes:
    """Builds the file; `last` is the code of the last operator, RESHAPE unless it is given."""
    builder = flatbuffers.Builder(4096)
    middle = [1, MIDDLE, MIDDLE, CHANNELS]
    tensors: list[tuple[list[int], np.ndarray | None]] = [
        ([1, SIDE, SIDE, COLORS], None),  # 0, the input
        (list(KERNEL.shape), KERNEL),
        ([CHANNELS], BIAS),
        (middle, None),  # 3, x
        (middle, None),  # 4, relu(x)
        (middle, None),  # 5, |x|
        (middle, None),  # 6, x - |x|
        ([CHANNELS], HALF_SLOPES),
        (middle, None),  # 8, h (x - |x|)
        (middle, None),  # 9, the PReLU
        (list(DEPTHWISE.shape), DEPTHWISE),
        ([CHANNELS], DEPTHWISE_BIAS),
        ([1, 1, 1, CHANNELS], None),  # 12
        ([1, 1, 1, CHANNELS], None),  # 13, their sum
        ([1, CHANNELS], None),  # 14, the output
    ]
    convolution, depthwise = (SAME, 2), (VALID, 1)
    operators: list[tuple[int, list[int], int, tuple[int, int] | None]] = [
        (3, [0, 1, 2], 3, convolution),
        (19, [3], 4, None),
        (101, [3], 5, None),
        (41, [3, 5], 6, None),
        (18, [6, 7], 8, None),
        (0, [4, 8], 9, None),
        (4, [9, 10, 11], 12, depthwise),
        (0, [12, 12], 13, None),
        (last, [13], 14, None),
    ]
    codes = [code for code, *_ in operators]
    buffers = [_buffer(builder, values) for _, values in tensors]
    tensor_tables = [
        _table(builder, {0: _numbers(builder, shape)}, {2: number})
        for number, (shape, _) in enumerate(tensors)
    ]
    operator_tables = []
    for number, (_, inputs, output, options) in enumerate(operators):
        fields = {1: _numbers(builder, inputs), 2: _numbers(builder, [output])}
        if options:
            padding, stride = options
            fields[4] = _table(builder, {}, {1: stride, 2: stride}, {0: padding})
        operator_tables.append(_table(builder, fields, {0: number}))
    graph = _table(
        builder,
        {
            0: _tables(builder, tensor_tables),
            1: _numbers(builder, [0]),
            2: _numbers(builder, [14]),
            3: _tables(builder, operator_tables),
        },
    )
    code_tables = [_table(builder, {}, {3: code}, {0: min(code, 127)}) for code in codes]
    model = _table(
        builder,
        {
            1: _tables(builder, code_tables),
            2: _tables(builder, [graph]),
            4: _tables(builder, buffers),
        },
    )
    builder.Finish(model, b"TFL3")
    return bytes(builder.Output())


def _buffer(builder: flatbuffers.Builder, values: np.ndarray | None) -> int:
    if values is None:
        return _table(builder, {})
    return _table(builder, {0: builder.CreateNumpyVector(values.ravel().view("u1"))})


def _numbers(builder: flatbuffers.Builder, values: list[int]) -> int:
    return builder.CreateNumpyVector(np.array(values, "i4"))


def _tables(builder: flatbuffers.Builder, tables: list[int]) -> int:
    builder.StartVector(4, len(tables), 4)
    for table in reversed(tables):
        builder.PrependUOffsetTRelative(table)
    return builder.EndVector()


def _table(
    builder: flatbuffers.Builder,
    parts: dict[int, int],
    integers: dict[int, int] | None = None,
    bytes_: dict[int, int] | None = None,
) -> int:
    """Writes a table with the given offsets, integers and bytes, by field."""
    builder.StartObject(5)
    for field, value in parts.items():
        builder.PrependUOffsetTRelativeSlot(field, value, 0)
    for field, value in (integers or {}).items():
        builder.PrependInt32Slot(field, value, 0)
    for field, value in (bytes_ or {}).items():
        builder.PrependInt8Slot(field, value, 0)
    return builder.EndObject()
