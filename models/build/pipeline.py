"""A simple reference pipeline from photo to embedding: decode, detect, align, embed.

It is written to be easy to review, not fast. The service's tests compare its own pipeline with
these results (`golden.py`), and the calibration of an int8 embedder uses these chips.

Pixel coordinates have the center of the first pixel at (0, 0), x to the right, y down.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from PIL import Image, ImageOps

Array = np.ndarray
MODELS = Path(__file__).resolve().parents[1]
FIXTURES = MODELS.parent / "tests" / "fixtures"
DEFAULT_PACK = "mobilefacenet"
STRIDES = (8, 16, 32)
SHRINK_BELOW = 0.5  # alignment scales under this first average whole blocks of pixels


@dataclass(frozen=True)
class Face:
    """A detection, in pixels of the photo."""

    box: Array  # x, y, width, height
    points: Array  # [5, 2]: right eye (image left), left eye, nose tip, right and left mouth corner
    score: float  # 0..1


def read_pack(folder: Path) -> dict[str, Any]:
    """Reads the pack's manifest."""
    return tomllib.loads((folder / "pack.toml").read_text(encoding="utf-8"))


def read_photo(path: Path) -> Array:
    """Reads an upright photo, [height, width, 3], RGB, uint8."""
    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def open_session(model: Path | bytes) -> ort.InferenceSession:
    """Opens a session on one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    source = model if isinstance(model, bytes) else str(model)
    return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def to_tensor(images: Array, color: str, mean: list[float], scale: float) -> Array:
    """Converts [N, H, W, 3] RGB to the network's [N, 3, H, W] float32."""
    values = images.astype(np.float32)
    if color == "bgr":
        values = values[..., ::-1]
    values = (values - np.asarray(mean, np.float32)) * np.float32(scale)
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2))


class Detector:
    """YuNet: a score, a box and five points for every cell of three grids."""

    def __init__(self, folder: Path) -> None:
        self._pack = read_pack(folder)["detector"]
        self._session = open_session(folder / self._pack["file"])

    def detect(self, photo: Array) -> list[Face]:
        """Detects every face of the photo at its own size, best score first."""
        pack = self._pack
        height, width = photo.shape[:2]
        grow = [(0, -side % pack["stride"]) for side in (height, width)]
        padded = np.pad(photo, [*grow, (0, 0)])
        tensor = to_tensor(padded[None], pack["color"], pack["mean"], pack["scale"])
        names = [output.name for output in self._session.get_outputs()]
        outputs = dict(zip(names, self._session.run(names, {"input": tensor})))
        faces: list[Face] = []
        for stride in STRIDES:
            columns = padded.shape[1] // stride
            level = {head: outputs[f"{head}_{stride}"][0] for head in ("cls", "obj", "bbox", "kps")}
            faces += decode(level, stride, columns, pack["score_threshold"])
        return suppress(faces, pack["nms_iou"])


def decode(level: dict[str, Array], stride: int, columns: int, threshold: float) -> list[Face]:
    """Reads the faces of one grid, whose cells are stored row by row."""
    certainty = np.clip(level["cls"][:, 0], 0, 1) * np.clip(level["obj"][:, 0], 0, 1)
    scores = np.sqrt(certainty)
    faces = []
    for cell in np.flatnonzero(scores >= threshold):
        corner = np.array([cell % columns, cell // columns], np.float64)
        box = level["bbox"][cell].astype(np.float64)
        center, size = (corner + box[:2]) * stride, np.exp(box[2:]) * stride
        points = (level["kps"][cell].astype(np.float64).reshape(5, 2) + corner) * stride
        faces.append(Face(np.concatenate([center - size / 2, size]), points, float(scores[cell])))
    return faces


def overlap(a: Face, b: Face) -> float:
    """Computes the intersection over union of two boxes."""
    low = np.maximum(a.box[:2], b.box[:2])
    high = np.minimum(a.box[:2] + a.box[2:], b.box[:2] + b.box[2:])
    shared = float(np.prod(np.maximum(high - low, 0)))
    return shared / (float(np.prod(a.box[2:]) + np.prod(b.box[2:])) - shared)


def suppress(faces: list[Face], limit: float) -> list[Face]:
    """Applies greedy non-maximum suppression."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if all(overlap(face, other) <= limit for other in kept):
            kept.append(face)
    return kept


def similarity_transform(source: Array, target: Array) -> Array:
    """Fits rotation, scale and translation from points to points, as a 2 x 3 matrix.

    Umeyama (1991), "Least-squares estimation of transformation parameters between two point
    patterns", in its closed form for the plane, in which reflections cannot occur.
    """
    from_mean, to_mean = source.mean(0), target.mean(0)
    p, q = source - from_mean, target - to_mean
    spread = (p**2).sum()
    a = (p * q).sum() / spread
    b = (p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]).sum() / spread
    turn = np.array([[a, -b], [b, a]])
    return np.hstack([turn, (to_mean - turn @ from_mean)[:, None]])


def scale_of(transform: Array) -> float:
    """Returns the scale of a similarity transform: target pixels per source pixel."""
    return float(np.hypot(transform[0, 0], transform[1, 0]))


def shrink(photo: Array, factor: int) -> Array:
    """Averages squares of `factor` pixels per side; drops an incomplete last row or column."""
    height, width = (side // factor * factor for side in photo.shape[:2])
    blocks = photo[:height, :width].astype(np.float64)
    return blocks.reshape(height // factor, factor, width // factor, factor, 3).mean((1, 3))


def align(photo: Array, points: Array, template: Array, side: int) -> Array:
    """Samples the chip, [side, side, 3] float64, unrounded; black outside the photo.

    A face much larger than the chip is first averaged down by the integer factor that brings its
    scale to between 1/2 and 1.
    """
    scale = scale_of(similarity_transform(points, template))
    if scale < SHRINK_BELOW:
        factor = int(1 / scale)
        photo = shrink(photo, factor)
        points = (points - (factor - 1) / 2) / factor
    return warp(photo, similarity_transform(points, template), side)


def warp(photo: Array, transform: Array, side: int) -> Array:
    """Interpolates the photo bilinearly at the positions of the chip's pixels."""
    back = np.linalg.inv(transform[:, :2])
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2)
    places = (grid - transform[:, 2]) @ back.T
    height, width = photo.shape[:2]
    framed = np.pad(photo.astype(np.float64), ((1, 1), (1, 1), (0, 0)))  # black beyond the edge
    x = np.clip(places[:, 0] + 1, 0, width + 1 - 1e-9)
    y = np.clip(places[:, 1] + 1, 0, height + 1 - 1e-9)
    left, top = x.astype(int), y.astype(int)
    u, v = (x - left)[:, None], (y - top)[:, None]
    upper = framed[top, left] * (1 - u) + framed[top, left + 1] * u
    lower = framed[top + 1, left] * (1 - u) + framed[top + 1, left + 1] * u
    return (upper * (1 - v) + lower * v).reshape(side, side, 3)


def normalized(vector: Array) -> Array:
    """Normalizes a vector to length 1."""
    return vector / np.linalg.norm(vector)


class Embedder:
    """One precision of the pack's embedder."""

    def __init__(self, folder: Path, model: Path | bytes | None = None) -> None:
        self._pack = read_pack(folder)["embedder"]
        self.side: int = self._pack["input"]
        self.template = np.array(self._pack["template"])
        fp = next(v["file"] for v in self._pack["variants"] if v["precision"] == "fp")
        self._session = open_session(folder / fp if model is None else model)

    def embed(self, chip: Array) -> Array:
        """Returns the unit embedding of a chip: the mean of its own and its mirror image's."""
        views = np.stack([chip, chip[:, ::-1]]) if self._pack["mirror"] else chip[None]
        pack = self._pack
        tensor = to_tensor(views, pack["color"], pack["mean"], pack["scale"])
        (vectors,) = self._session.run(["embedding"], {"input": tensor})
        return normalized(np.mean([normalized(v.astype(np.float64)) for v in vectors], axis=0))

    def align(self, photo: Array, face: Face) -> Array:
        """Returns the face's chip, unrounded."""
        return align(photo, face.points, self.template, self.side)
