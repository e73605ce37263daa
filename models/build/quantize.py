"""The int8 embedders: static quantization with QDQ nodes.

Weights are signed, symmetric, with a scale for each output channel; activations are unsigned
8-bit, with their range on the calibration chips, or a little more. There are two separate steps:

- `measure_ranges` runs the float network over chips of the fixture portraits. Its results depend
  a little on the processor, so they are committed (`ranges/`).
- `quantize` makes the model from the float network and those ranges: the same bytes everywhere.

If the recipe says so, both begin with the network after `equalize.py`.

`python quantize.py PACK` measures again and writes `ranges/PACK.json`, and `scales/PACK.json` if
the network is equalized.
"""

import argparse
import io
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import (
    CalibrationDataReader,
    TensorsData,
    create_calibrator,
)
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.registry import QDQRegistry
from PIL import Image

import equalize
from pipeline import (
    FIXTURES,
    MODELS,
    Array,
    Detector,
    Embedder,
    read_pack,
    read_photo,
    similarity_transform,
    to_tensor,
    warp,
)

RANGES = Path(__file__).resolve().parent / "ranges"
CALIBRATION_PHOTOS = (
    "biden.jpg",
    "collins.jpg",
    "hopper.jpg",
    "obama.jpg",
    "obama2.jpg",
    "obama3.jpg",
    "obama_cut_off.jpg",
)
VARIANTS_OF_EACH = 30  # 7 photos x 30 = 210 chips
SEED = 150

INPUT = "input"  # the pixels, whose range is known


@dataclass(frozen=True)
class Recipe:
    """The choices for one network."""

    # The ranges of activations are widened by this factor, because four people do not cover all
    # inputs of the network.
    headroom: float
    # Whether channels are rescaled first.
    equalized: bool
    # Nodes that are cheap, and whose rounding errors directly affect the embedding.
    kept_in_float: tuple[str, ...]


# The README of each pack has the results of other choices.
RECIPES = {
    "dlib": Recipe(headroom=1.3, equalized=False, kept_in_float=("embedding",)),
    "mobilefacenet": Recipe(headroom=1.0, equalized=True, kept_in_float=()),
}

Ranges = dict[str, tuple[float, float]]


def calibration_chips(pack: Path, photos: Path) -> Iterator[Array]:
    """Returns chips of the portraits with the variations of cameras, [side, side, 3] uint8.

    The first chip of each portrait is unchanged. The others are shifted by up to 4 pixels, rotated
    by up to 8 degrees, scaled by up to 10 %, mirrored, lit differently, blurred, and recompressed.
    """
    detector, embedder = Detector(pack), Embedder(pack)
    chance = np.random.Generator(np.random.PCG64(SEED))
    for name in CALIBRATION_PHOTOS:
        photo = read_photo(photos / name)
        face = detector.detect(photo)[0]
        yield np.rint(embedder.align(photo, face)).astype(np.uint8)
        for _ in range(VARIANTS_OF_EACH - 1):
            moved = _moved(embedder.template, chance)
            chip = warp(photo, similarity_transform(face.points, moved), embedder.side)
            yield _as_camera(chip, chance)


def _moved(template: Array, chance: np.random.Generator) -> Array:
    """Returns the template shifted, rotated and scaled around its middle."""
    angle = np.deg2rad(chance.uniform(-8, 8))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = template.mean(0)
    scaled = (template - middle) @ turn.T * chance.uniform(0.9, 1.1)
    return scaled + middle + chance.uniform(-4, 4, 2)


def _as_camera(chip: Array, chance: np.random.Generator) -> Array:
    """Returns the chip in other light, out of focus, and recompressed as JPEG."""
    if chance.random() < 0.5:
        chip = chip[:, ::-1]
    chip = 255 * (np.clip(chip, 0, 255) / 255) ** chance.uniform(0.5, 1.6)  # exposure
    chip = (chip - 128) * chance.uniform(0.6, 1.2) + 128  # contrast
    chip = chip * chance.uniform(0.9, 1.1, 3) + chance.uniform(-20, 20)  # white balance, haze
    if chance.random() < 0.5:
        chip = _blurred(chip, chance.uniform(0.4, 2.0))
    chip = chip + chance.normal(0, chance.uniform(0, 6), chip.shape)  # sensor noise
    image = Image.fromarray(np.rint(np.clip(chip, 0, 255)).astype(np.uint8))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=int(chance.integers(40, 96)))
    return np.asarray(Image.open(buffer).convert("RGB"))


def _blurred(chip: Array, sigma: float) -> Array:
    """Applies a Gaussian blur that repeats the edges."""
    reach = int(np.ceil(3 * sigma))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    weights /= weights.sum()
    for axis in (0, 1):
        frame = [(reach, reach) if a == axis else (0, 0) for a in range(3)]
        chip = np.apply_along_axis(
            np.convolve, axis, np.pad(chip, frame, mode="edge"), weights, mode="valid"
        )
    return chip


def calibration_inputs(pack: Path) -> Iterator[Array]:
    """Returns the calibration chips as the network's inputs."""
    embedder = read_pack(pack)["embedder"]
    how = (embedder["color"], embedder["mean"], embedder["scale"])
    for chip in calibration_chips(pack, FIXTURES / "faces"):
        yield to_tensor(chip[None], *how)


class _Inputs(CalibrationDataReader):
    """A source of inputs for ONNX Runtime's calibrator, one at a time."""

    def __init__(self, inputs: Iterator[Array]) -> None:
        self._inputs = inputs

    def get_next(self) -> dict[str, Array] | None:  # type: ignore[override]
        tensor = next(self._inputs, None)
        return None if tensor is None else {INPUT: tensor}


def measure_ranges(model: onnx.ModelProto, inputs: Iterator[Array]) -> Ranges:
    """Measures the minimum and maximum of every quantized tensor over the inputs."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "float.onnx")
        onnx.save(model, path)
        calibrator = create_calibrator(
            path,
            op_types_to_calibrate=list(QDQRegistry),
            augmented_model_path=str(Path(folder, "augmented.onnx")),
            calibrate_method=CalibrationMethod.MinMax,
        )
        calibrator.collect_data(_Inputs(inputs))
        data = calibrator.compute_data()
        ranges = {}
        for name, tensor in data.items():
            low, high = tensor.range_value
            ranges[name] = (np.asarray(low).item(), np.asarray(high).item())
        return ranges


def with_headroom(ranges: Ranges, factor: float) -> Ranges:
    """Widens the ranges; a bound of zero stays zero."""
    return {
        name: bounds if name == INPUT else (bounds[0] * factor, bounds[1] * factor)
        for name, bounds in ranges.items()
    }


def quantize(model: onnx.ModelProto, ranges: Ranges, recipe: Recipe) -> bytes:
    """Returns the serialized quantized model; `model`, the float32 embedder, is not changed.

    Weights use 7 of their 8 bits (`reduce_range`): x86 processors without VNNI add pairs of
    products in 16 bits, which saturate with 8-bit weights, and a pack must not recognize people
    worse on an older machine. With 7 bits every processor computes the same integers.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    data = TensorsData(
        CalibrationMethod.MinMax,
        {
            name: tuple(np.array(bound, np.float32) for bound in bounds)
            for name, bounds in with_headroom(ranges, recipe.headroom).items()
        },
    )
    quantizer = QDQQuantizer(
        copy,
        per_channel=True,
        reduce_range=True,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=data,
        nodes_to_quantize=[],
        nodes_to_exclude=list(recipe.kept_in_float),
        op_types_to_quantize=list(QDQRegistry),
        extra_options={},
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    quantized = quantizer.model.model
    onnx.checker.check_model(quantized)
    return quantized.SerializeToString(deterministic=True)


def read_ranges(pack: str) -> Ranges:
    """Reads the committed ranges of a pack."""
    ranges = json.loads((RANGES / f"{pack}.json").read_text(encoding="utf-8"))
    return {name: (low, high) for name, (low, high) in ranges.items()}


def write_ranges(ranges: Ranges, pack: str) -> None:
    """Writes one line per tensor."""
    lines = (f'  "{name}": [{low!r}, {high!r}]' for name, (low, high) in sorted(ranges.items()))
    (RANGES / f"{pack}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def main() -> None:
    """Measures on the committed pack and fixtures."""
    from build import EMBEDDERS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pack", choices=sorted(RECIPES))
    pack = parser.parse_args().pack
    model = EMBEDDERS[pack](False)
    inputs = partial(calibration_inputs, MODELS / pack)
    if RECIPES[pack].equalized:
        exponents = equalize.measure(model, inputs())
        equalize.write(exponents, pack)
        model = equalize.rescale(model, exponents)
    write_ranges(measure_ranges(model, inputs()), pack)


if __name__ == "__main__":
    main()
