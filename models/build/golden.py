"""Writes the default pack's results for the fixture photos: `python golden.py [--table]`.

The service's tests compare its pipeline with `tests/fixtures/golden/*.json`, within a tolerance.
`--table` prints the similarity of every two fixtures instead.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline import DEFAULT_PACK, FIXTURES, MODELS, Detector, Embedder, Face, read_photo
from sources import sha256_of

PACK = MODELS / DEFAULT_PACK
PHOTOS = ("hopper.jpg", "collins.jpg", "obama.jpg", "obama2.jpg", "two_people.jpg")


def rounded(values: np.ndarray, digits: int) -> list[Any]:
    """Converts to a JSON list; adding zero turns -0.0 into 0.0."""
    return (np.round(values, digits) + 0.0).tolist()


def describe(path: Path, detector: Detector, embedder: Embedder) -> tuple[dict[str, Any], list]:
    """Computes the golden values of one photo, and the chips of its faces."""
    photo = read_photo(path)
    chips, faces = [], []
    for face in detector.detect(photo):
        chip = embedder.align(photo, face)
        chips.append(chip)
        faces.append(
            {
                "box": rounded(face.box, 3),
                "points": rounded(face.points, 3),
                "score": round(face.score, 5),
                "embedding": rounded(embedder.embed(chip), 6),
            }
        )
    values = {
        "photo": path.name,
        "sha256": sha256_of(path),
        "width": photo.shape[1],
        "height": photo.shape[0],
        "faces": faces,
    }
    return values, chips


def write(folder: Path) -> None:
    """Writes one JSON file per photo, and the best face's chip, rounded, as PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    detector, embedder = Detector(PACK), Embedder(PACK)
    for name in PHOTOS:
        values, chips = describe(FIXTURES / "faces" / name, detector, embedder)
        stem = Path(name).stem
        lines = json.dumps(values, indent=1)
        (folder / f"{stem}.json").write_text(lines + "\n", encoding="utf-8")
        chip = np.rint(chips[0]).astype(np.uint8)
        Image.fromarray(chip).save(folder / f"{stem}.chip.png", optimize=True)


def print_table() -> None:
    """Prints face sizes, scores, and the cosine of every two photos' best faces."""
    detector, embedder = Detector(PACK), Embedder(PACK)
    vectors: dict[str, np.ndarray] = {}
    for path in sorted((FIXTURES / "faces").glob("*.jpg")):
        photo = read_photo(path)
        faces: list[Face] = detector.detect(photo)
        sizes = ", ".join(f"{f.box[2]:.0f}x{f.box[3]:.0f} px at {f.score:.2f}" for f in faces)
        print(f"{path.name}: {photo.shape[1]}x{photo.shape[0]}, faces: {sizes or 'none'}")
        if faces:
            vectors[path.stem] = embedder.embed(embedder.align(photo, faces[0]))
    print("\n| |", " | ".join(vectors), "|\n|---|" + "---|" * len(vectors))
    for name, vector in vectors.items():
        cells = (f"{vector @ other:.4f}" for other in vectors.values())
        print(f"| {name} |", " | ".join(cells), "|")


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", action="store_true", help="print similarities, write nothing")
    parser.add_argument("--output", type=Path, default=FIXTURES / "golden")
    arguments = parser.parse_args()
    if arguments.table:
        print_table()
    else:
        write(arguments.output)


if __name__ == "__main__":
    main()
