"""Compares the accuracy and speed of embedder variants on photos of many people.

    python evaluate.py PEOPLE_FOLDER [--pack PACK] [--against MODEL.onnx]...

PEOPLE_FOLDER has one subfolder of photos per person. Every two photos of one person are a
genuine pair, every two photos of different people an impostor pair.
"""

import argparse
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline import (
    DEFAULT_PACK,
    MODELS,
    Array,
    Detector,
    Embedder,
    open_session,
    read_pack,
    read_photo,
)

PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
RATES = (1e-2, 1e-3, 1e-4)
ROUNDS, CALLS_A_ROUND = 7, 30


def read_chips(people: Path, pack: Path) -> tuple[list[Array], Array]:
    """Returns the chip of the most central face of each photo, and its person."""
    detector, embedder = Detector(pack), Embedder(pack)
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
        """Compares every photo with every later one; each side has its own embeddings."""
        rows, columns = np.triu_indices(len(owners), 1)
        scores = (templates @ probes.T)[rows, columns]
        same = owners[rows] == owners[columns]
        return cls(scores[same], scores[~same])

    def thresholds(self) -> list[float]:
        """Returns the thresholds that accept each of `RATES` of these impostors."""
        ordered = np.sort(self.impostor)[::-1]
        return [float(ordered[int(rate * len(ordered))]) for rate in RATES]

    def describe(self, thresholds: list[float]) -> str:
        """Formats the true and false match rates at the thresholds."""
        shown = (
            f"{100 * (self.genuine > t).mean():.2f} at FMR {(self.impostor > t).mean():.1e}"
            for t in thresholds
        )
        return "TMR % " + ", ".join(shown)


def milliseconds(model: Path, side: int) -> float:
    """Measures the processor time per chip on one thread: the mean of the fastest round."""
    session = open_session(model)
    chip = np.random.default_rng(0).uniform(-1, 1, (1, 3, side, side)).astype(np.float32)
    rounds = []
    for _ in range(ROUNDS):
        start = time.process_time()
        for _ in range(CALLS_A_ROUND):
            session.run(None, {"input": chip})
        rounds.append((time.process_time() - start) / CALLS_A_ROUND)
    return min(rounds) * 1000


def compare(people: Path, pack: Path, models: Iterable[Path]) -> None:
    """Prints a few lines per model; the others are compared with the first."""
    chips, owners = read_chips(people, pack)
    print(f"{len(chips)} photos of {len(set(owners))} people")
    reference: Array | None = None
    for model in models:
        embedder = Embedder(pack, model)
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
        print(f"  one chip, one thread         {milliseconds(model, embedder.side):.2f} ms")


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description="compare a pack's embedders on photos")
    parser.add_argument("people", type=Path)
    parser.add_argument("--pack", type=Path, default=MODELS / DEFAULT_PACK)
    parser.add_argument("--against", type=Path, action="append", default=[])
    arguments = parser.parse_args()
    pack = arguments.pack
    variants = [pack / v["file"] for v in read_pack(pack)["embedder"]["variants"]]
    compare(arguments.people, pack, [*variants, *arguments.against])


if __name__ == "__main__":
    main()
