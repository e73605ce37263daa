"""Compares variants of the embedder on a folder of folders of photos, and times them.

    python evaluate.py PEOPLE_FOLDER [--against MODEL.onnx]...

PEOPLE_FOLDER holds a folder of photos for each person. Every two photos of one person are a
genuine pair, every two photos of different people an impostor pair.
"""

import argparse
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline import Array, Detector, Embedder, open_session, read_pack, read_photo

PACK = Path(__file__).resolve().parents[1]
PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
RATES = (1e-2, 1e-3, 1e-4)
ROUNDS, CALLS_A_ROUND = 7, 30


def read_chips(people: Path) -> tuple[list[Array], Array]:
    """The most central face of each photo as a chip, and whose it is."""
    detector, embedder = Detector(PACK), Embedder(PACK)
    chips, owners = [], []
    for owner, folder in enumerate(sorted(p for p in people.iterdir() if p.is_dir())):
        for path in sorted(p for p in folder.iterdir() if p.suffix.lower() in PHOTO_SUFFIXES):
            photo = read_photo(path)
            middle = np.array(photo.shape[1::-1]) / 2
            faces = detector.detect(photo)
            if not faces:
                print(f"no face in {path}")
                continue
            face = min(faces, key=lambda f: np.linalg.norm(f.box[:2] + f.box[2:] / 2 - middle))
            chips.append(np.rint(embedder.align(photo, face)).astype(np.uint8))
            owners.append(owner)
    return chips, np.array(owners)


@dataclass(frozen=True)
class Pairs:
    """The similarities of all pairs of photos."""

    genuine: Array
    impostor: Array

    @classmethod
    def between(cls, templates: Array, probes: Array, owners: Array) -> "Pairs":
        """Every photo against every later one, each side embedded in its own way."""
        rows, columns = np.triu_indices(len(owners), 1)
        scores = (templates @ probes.T)[rows, columns]
        same = owners[rows] == owners[columns]
        return cls(scores[same], scores[~same])

    def thresholds(self) -> list[float]:
        """The thresholds that let each of `RATES` of these impostors in."""
        ordered = np.sort(self.impostor)[::-1]
        return [float(ordered[int(rate * len(ordered))]) for rate in RATES]

    def describe(self, thresholds: list[float]) -> str:
        """True and false match rates at the thresholds."""
        shown = (
            f"{100 * (self.genuine > t).mean():.2f} at FMR {(self.impostor > t).mean():.1e}"
            for t in thresholds
        )
        return "TMR % " + ", ".join(shown)


def milliseconds(model: Path) -> float:
    """The fastest round's mean processor time of one chip on one thread."""
    session = open_session(model)
    side = read_pack(PACK)["embedder"]["input"]
    chip = np.random.default_rng(0).uniform(0, 255, (1, 3, side, side)).astype(np.float32)
    rounds = []
    for _ in range(ROUNDS):
        start = time.process_time()
        for _ in range(CALLS_A_ROUND):
            session.run(None, {"input": chip})
        rounds.append((time.process_time() - start) / CALLS_A_ROUND)
    return min(rounds) * 1000


def compare(people: Path, models: Iterable[Path]) -> None:
    """Prints a few lines for each model; the first is what the others are compared with."""
    chips, owners = read_chips(people)
    print(f"{len(chips)} photos of {len(set(owners))} people")
    reference: Array | None = None
    for model in models:
        embedder = Embedder(PACK, model)
        vectors = np.stack([embedder.embed(chip.astype(np.float64)) for chip in chips])
        reference = vectors if reference is None else reference
        own = Pairs.between(vectors, vectors, owners)
        first = Pairs.between(reference, reference, owners)
        mixed = Pairs.between(reference, vectors, owners)
        cosines = (vectors * reference).sum(1)
        print(f"{model.name}: {len(own.genuine)} genuine, {len(own.impostor)} impostor pairs")
        print(f"  at its own thresholds        {own.describe(own.thresholds())}")
        print(f"  at the first's thresholds    {own.describe(first.thresholds())}")
        print(f"  templates made by the first  {mixed.describe(first.thresholds())}")
        print(f"  cosine to the first          {cosines.mean():.5f}, worst {cosines.min():.5f}")
        print(f"  one chip, one thread         {milliseconds(model):.2f} ms")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="compare the pack's embedders on photos")
    parser.add_argument("people", type=Path)
    parser.add_argument("--against", type=Path, action="append", default=[])
    arguments = parser.parse_args()
    variants = [PACK / v["file"] for v in read_pack(PACK)["embedder"]["variants"]]
    compare(arguments.people, [*variants, *arguments.against])


if __name__ == "__main__":
    main()
