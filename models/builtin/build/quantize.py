"""The int8 embedder: static quantisation with QDQ nodes.

Weights are signed, symmetric, with a scale for each output channel; activations are unsigned
8-bit, with a little more than the range they took on calibration chips. The two halves are kept
apart on purpose:

- `measure_ranges` runs the float network over chips of the fixture portraits. Its results depend
  a little on the processor, so they are committed (`ranges.json`).
- `quantise` makes the model from the float network and those ranges: the same bytes everywhere.

`python quantize.py` measures the ranges again and writes `ranges.json`.
"""

import io
import json
import tempfile
from collections.abc import Iterator
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

from pipeline import (
    Array,
    Detector,
    Embedder,
    read_pack,
    read_photo,
    similarity_transform,
    to_tensor,
    warp,
)

HERE = Path(__file__).resolve().parent
RANGES = HERE / "ranges.json"
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

# Four people do not show the network everything that it will see, so activations get this much
# more room than they took. 1.15, 1.3 and 1.5 were tried; README.md has what came of it.
HEADROOM = 1.3
INPUT = "input"  # the pixels, whose range is known
# The last, dense layer costs next to nothing and its rounding goes straight into the embedding.
KEPT_IN_FLOAT = ["embedding"]

Ranges = dict[str, tuple[float, float]]


def calibration_chips(pack: Path, photos: Path) -> Iterator[Array]:
    """Chips of the portraits as cameras might have taken them, [side, side, 3] uint8.

    The first of each portrait is as it is; the others are moved by up to 4 pixels, turned by up
    to 8 degrees, scaled by up to 10 %, mirrored, lit differently, blurred, and recompressed.
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
    """The template shifted, turned and scaled about its middle."""
    angle = np.deg2rad(chance.uniform(-8, 8))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = template.mean(0)
    scaled = (template - middle) @ turn.T * chance.uniform(0.9, 1.1)
    return scaled + middle + chance.uniform(-4, 4, 2)


def _as_camera(chip: Array, chance: np.random.Generator) -> Array:
    """The chip under other light, out of focus, and through JPEG."""
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
    """A Gaussian blur, edges repeated."""
    reach = int(np.ceil(3 * sigma))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    weights /= weights.sum()
    for axis in (0, 1):
        frame = [(reach, reach) if a == axis else (0, 0) for a in range(3)]
        chip = np.apply_along_axis(
            np.convolve, axis, np.pad(chip, frame, mode="edge"), weights, mode="valid"
        )
    return chip


class _Chips(CalibrationDataReader):
    """Feeds chips to ONNX Runtime's calibrator, one at a time."""

    def __init__(self, chips: Iterator[Array], pack: Path) -> None:
        embedder = read_pack(pack)["embedder"]
        self._how = (embedder["colour"], embedder["mean"], embedder["scale"])
        self._chips = chips

    def get_next(self) -> dict[str, Array] | None:  # type: ignore[override]
        chip = next(self._chips, None)
        return None if chip is None else {INPUT: to_tensor(chip[None], *self._how)}


def measure_ranges(model: onnx.ModelProto, chips: Iterator[Array], pack: Path) -> Ranges:
    """Least and greatest value of every quantised tensor over the chips."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "float.onnx")
        onnx.save(model, path)
        calibrator = create_calibrator(
            path,
            op_types_to_calibrate=list(QDQRegistry),
            augmented_model_path=str(Path(folder, "augmented.onnx")),
            calibrate_method=CalibrationMethod.MinMax,
        )
        calibrator.collect_data(_Chips(chips, pack))
        data = calibrator.compute_data()
        ranges = {}
        for name, tensor in data.items():
            low, high = tensor.range_value
            ranges[name] = (np.asarray(low).item(), np.asarray(high).item())
        return ranges


def with_headroom(ranges: Ranges) -> Ranges:
    """The ranges, widened; zero stays a bound where it was one."""
    return {
        name: bounds if name == INPUT else (bounds[0] * HEADROOM, bounds[1] * HEADROOM)
        for name, bounds in ranges.items()
    }


def quantise(model: onnx.ModelProto, ranges: Ranges) -> bytes:
    """The quantised model, serialised. `model` is the float32 embedder; it is not changed.

    Weights use 7 of their 8 bits (`reduce_range`): x86 processors without VNNI add pairs of
    products in 16 bits, which saturate with 8-bit weights, and a pack must not recognise people
    worse on an older machine. With 7 bits every processor computes the same integers.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    data = TensorsData(
        CalibrationMethod.MinMax,
        {
            name: tuple(np.array(bound, np.float32) for bound in bounds)
            for name, bounds in with_headroom(ranges).items()
        },
    )
    quantiser = QDQQuantizer(
        copy,
        per_channel=True,
        reduce_range=True,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=data,
        nodes_to_quantize=[],
        nodes_to_exclude=KEPT_IN_FLOAT,
        op_types_to_quantize=list(QDQRegistry),
        extra_options={},
    )
    quantiser.quantize_model()
    quantiser.model.topological_sort()
    quantised = quantiser.model.model
    onnx.checker.check_model(quantised)
    return quantised.SerializeToString(deterministic=True)


def read_ranges(path: Path = RANGES) -> Ranges:
    """The committed ranges."""
    return {name: (low, high) for name, (low, high) in json.loads(path.read_text()).items()}


def write_ranges(ranges: Ranges, path: Path = RANGES) -> None:
    """One line for each tensor."""
    lines = (f'  "{name}": [{low!r}, {high!r}]' for name, (low, high) in sorted(ranges.items()))
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def main() -> None:
    """Measures the ranges on the committed pack and fixtures."""
    import build

    pack = HERE.parent
    photos = pack.parents[1] / "tests" / "fixtures" / "faces"
    chips = calibration_chips(pack, photos)
    write_ranges(measure_ranges(build.float_embedder(), chips, pack))


if __name__ == "__main__":
    main()
