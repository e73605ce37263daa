"""Makes the pack's files from their sources: `python build.py [--write]`.

Downloads the two packages by hash, converts, quantises, and compares the SHA-256 of each result
with `pack.toml`; ends non-zero when one differs. `--write` puts the files into the pack as well.
"""

import argparse
import sys
import tomllib
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx

import dlib_to_onnx
import quantize
import sources
import yuface_to_onnx
from elf import data_symbols
from fixtures import member

HERE = Path(__file__).resolve().parent
PACK = HERE.parent
DOWNLOADS = HERE / "downloads"
LIBRARY = "yuface/libfacedetection.so"
NETWORK = (
    "face_recognition_models-0.3.0/face_recognition_models/models/"
    "dlib_face_recognition_resnet_model_v1.dat"
)


def detector() -> onnx.ModelProto:
    """The YuNet detector."""
    wheel = sources.fetch(sources.YUFACE, DOWNLOADS)
    with TemporaryDirectory() as folder:
        library = Path(folder, Path(LIBRARY).name)
        library.write_bytes(member(wheel, LIBRARY))
        return yuface_to_onnx.convert(data_symbols(library))


def embedder_layers() -> list[dlib_to_onnx.Layer]:
    """The layers of dlib's embedder."""
    package = sources.fetch(sources.DLIB_MODELS, DOWNLOADS)
    return dlib_to_onnx.parse(member(package, NETWORK))


def float_embedder() -> onnx.ModelProto:
    """The embedder with float32 weights, which the quantiser starts from."""
    return dlib_to_onnx.convert(embedder_layers(), half=False)


def build() -> dict[str, bytes]:
    """Every model file of the pack by name."""
    layers = embedder_layers()
    return {
        "detector.onnx": detector().SerializeToString(),
        "embedder.onnx": dlib_to_onnx.convert(layers, half=True).SerializeToString(),
        "embedder-int8.onnx": quantize.quantise(
            dlib_to_onnx.convert(layers, half=False), quantize.read_ranges()
        ),
    }


def declared_files(manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The manifest's entries that describe a file, by file name."""
    entries = [manifest["detector"], *manifest["embedder"]["variants"]]
    return {entry["file"]: entry for entry in entries}


def differences(files: dict[str, bytes], manifest: dict[str, Any]) -> list[str]:
    """What is not as the manifest says, one sentence each."""
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
    """Command line; the exit status is 0 when everything is as declared."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the files into the pack")
    arguments = parser.parse_args()
    files = build()
    if arguments.write:
        for name, data in files.items():
            (PACK / name).write_bytes(data)
    manifest = tomllib.loads((PACK / "pack.toml").read_text(encoding="utf-8"))
    problems = differences(files, manifest)
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print(f"{len(files)} files are as pack.toml says")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
