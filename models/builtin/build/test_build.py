"""Fast checks of the pack and of what makes it: `python -m unittest`.

The committed files are checked with Python alone. The converters and the reference pipeline are
checked on small inputs where numpy, onnx, onnxruntime and Pillow are installed, and skipped
elsewhere. The full rebuild is `build.py`.
"""

import hashlib
import json
import struct
import tempfile
import tomllib
import unittest
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
PACK = HERE.parent
MODELS = PACK.parent
FIXTURES = MODELS.parent / "tests" / "fixtures"
EQUIPPED = all(find_spec(name) for name in ("numpy", "onnx", "onnxruntime", "PIL"))
MANIFEST = tomllib.loads((PACK / "pack.toml").read_text(encoding="utf-8"))


def sha256(path: Path) -> str:
    """The file's SHA-256, in lower-case hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


class TheCommittedFiles(unittest.TestCase):
    """Python alone."""

    def test_models_are_as_the_manifest_says(self) -> None:
        entries = [MANIFEST["detector"], *MANIFEST["embedder"]["variants"]]
        self.assertEqual({e["file"] for e in entries}, {p.name for p in PACK.glob("*.onnx")})
        for entry in entries:
            path = PACK / entry["file"]
            self.assertEqual(path.stat().st_size, entry["bytes"], path.name)
            self.assertEqual(sha256(path), entry["sha256"], path.name)

    def test_every_source_has_a_hash_and_a_licence(self) -> None:
        for source in MANIFEST["sources"]:
            self.assertRegex(source["sha256"], "^[0-9a-f]{64}$")
            self.assertIn(source["licence"], MANIFEST["licence"])
        self.assertEqual(len(list((PACK / "LICENSES").iterdir())), len(MANIFEST["sources"]))

    def test_thresholds_rise_as_the_false_match_rate_falls(self) -> None:
        table = MANIFEST["calibration"]
        self.assertEqual(table["fmr"], sorted(table["fmr"], reverse=True))
        self.assertEqual(table["t0"], sorted(table["t0"]))
        for column in ("t0", "s", "enroll_views_shift", "probe_views_shift"):
            self.assertEqual(len(table[column]), len(table["fmr"]), column)

    def test_the_fixtures_are_those_of_their_readme(self) -> None:
        readme = (FIXTURES / "faces" / "README.md").read_text(encoding="utf-8")
        photos = list((FIXTURES / "faces").glob("*.jpg"))
        self.assertGreaterEqual(len(photos), 8)
        for photo in photos:
            self.assertIn(f"| `{photo.name}` |", readme)
            self.assertIn(sha256(photo), readme, photo.name)

    def test_golden_values_are_of_the_photos_that_are_there(self) -> None:
        golden = list((FIXTURES / "golden").glob("*.json"))
        self.assertTrue(golden)
        for path in golden:
            values = json.loads(path.read_text(encoding="utf-8"))
            self.assertEqual(sha256(FIXTURES / "faces" / values["photo"]), values["sha256"])
            for face in values["faces"]:
                self.assertEqual(len(face["embedding"]), MANIFEST["embedder"]["dimensions"])
                self.assertAlmostEqual(sum(x * x for x in face["embedding"]), 1, places=4)

    def test_the_catalogue_declares_each_file_that_its_manifests_name(self) -> None:
        catalogue = tomllib.loads((MODELS / "catalogue.toml").read_text(encoding="utf-8"))
        for pack in catalogue["pack"]:
            manifest = tomllib.loads(pack["manifest"])
            self.assertEqual(manifest["id"], pack["id"])
            files = {file["name"]: file for file in pack["files"]}
            named = [manifest["detector"]] if "detector" in manifest else []
            named += manifest.get("embedder", {}).get("variants", [])
            named += manifest.get("liveness", [])
            self.assertEqual(sorted(files), sorted(entry["file"] for entry in named))
            for entry in named:
                file = files[entry["file"]]
                self.assertEqual((entry["sha256"], entry["bytes"]), (file["sha256"], file["bytes"]))
                self.assertTrue(all(url.startswith("https://") for url in file["urls"]))


@unittest.skipUnless(EQUIPPED, "the packages of requirements.txt are not installed")
class TheConverters(unittest.TestCase):
    """Small inputs made here."""

    def test_dlib_numbers(self) -> None:
        from dlib_to_onnx import FormatError, Reader

        self.assertEqual(Reader(b"\x01\x96").integer(), 150)
        self.assertEqual(Reader(b"\x82\x00\x01").integer(), -256)
        self.assertEqual(Reader(b"\x01\x03\x81\x02").real(), 0.75)
        self.assertEqual(Reader(b"\x01\x03abc").text(), "abc")
        for wrong in (b"\x00", b"\x02\x01", b"\x71\x01"):
            with self.assertRaises(FormatError):
                Reader(wrong).integer()

    def test_dlib_tensors(self) -> None:
        from dlib_to_onnx import FormatError, Reader

        blob = b"\x01\x02" + b"\x01\x01" * 3 + b"\x01\x02" + struct.pack("<2f", 1.5, -2)
        self.assertEqual(Reader(blob).tensor().ravel().tolist(), [1.5, -2])
        with self.assertRaises(FormatError):
            Reader(blob[:-1]).tensor()

    def test_a_file_of_another_kind_is_refused(self) -> None:
        import dlib_to_onnx
        import elf

        with self.assertRaises(dlib_to_onnx.FormatError):
            dlib_to_onnx.parse(b"\x01\x01\x01\x05hello")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "text.so")
            path.write_bytes(b"not a library")
            with self.assertRaises(ValueError):
                elf.data_symbols(path)

    def test_half_constants_are_widened_again(self) -> None:
        import numpy as np

        from graph import Graph
        from pipeline import open_session

        graph = Graph()
        graph.op("Add", ["x", graph.half_constant("half", np.array([0.1, 2], "f4"))], "y")
        model = graph.model("sum", {"x": [2]}, {"y": [2]}, "test").SerializeToString()
        (y,) = open_session(model).run(None, {"x": np.array([1, 1], "f4")})
        np.testing.assert_array_equal(y, np.float32(1) + np.array([0.1, 2], "f2").astype("f4"))

    def test_the_quantiser_gives_the_same_bytes_each_time(self) -> None:
        import numpy as np

        from graph import Graph
        from quantize import quantise

        graph = Graph()
        weights = graph.constant("w", np.linspace(-1, 1, 27, dtype="f4").reshape(1, 3, 3, 3))
        graph.op("Conv", ["input", weights], "y", kernel_shape=[3, 3])
        model = graph.model("one", {"input": [1, 3, 8, 8]}, {"y": [1, 1, 6, 6]}, "test")
        ranges = {"input": (0.0, 255.0), "y": (-900.0, 900.0)}
        before = model.SerializeToString()
        self.assertEqual(quantise(model, ranges), quantise(model, ranges))
        self.assertEqual(model.SerializeToString(), before)

    def test_headroom_leaves_pixels_and_zero_alone(self) -> None:
        from quantize import HEADROOM, with_headroom

        widened = with_headroom({"input": (0.0, 255.0), "relu": (0.0, 2.0)})
        self.assertEqual(widened, {"input": (0.0, 255.0), "relu": (0.0, 2 * HEADROOM)})


@unittest.skipUnless(EQUIPPED, "the packages of requirements.txt are not installed")
class ThePipeline(unittest.TestCase):
    """The reference against what it must do by definition, and against the golden values."""

    def test_a_similarity_is_found_again(self) -> None:
        import numpy as np

        from pipeline import scale_of, similarity_transform

        points = np.array(MANIFEST["embedder"]["template"])
        turn = 1.7 * np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
        found = similarity_transform(points, points @ turn.T + [5, -9])
        np.testing.assert_allclose(found[:, :2], turn, atol=1e-9)
        np.testing.assert_allclose(found[:, 2], [5, -9], atol=1e-9)
        self.assertAlmostEqual(scale_of(found), 1.7)

    def test_warping_by_a_whole_pixel_moves_the_photo(self) -> None:
        import numpy as np

        from pipeline import warp

        photo = np.arange(75.0).reshape(5, 5, 3) + 1
        moved = warp(photo, np.array([[1.0, 0, 1], [0, 1, 2]]), 5)
        np.testing.assert_allclose(moved[2:, 1:], photo[:3, :4])
        self.assertEqual(moved[:2].sum() + moved[:, 0].sum(), 0)

    def test_of_two_boxes_on_one_face_the_better_stays(self) -> None:
        import numpy as np

        from pipeline import Face, suppress

        points = np.zeros((5, 2))
        one, same, other = (
            Face(np.array([x, 0.0, 10, 10]), points, score)
            for x, score in ((0, 0.7), (1, 0.9), (50, 0.8))
        )
        self.assertEqual([f.score for f in suppress([one, same, other], 0.3)], [0.9, 0.8])

    def test_the_golden_values_are_reproduced(self) -> None:
        import numpy as np

        from golden import describe
        from pipeline import Detector, Embedder

        golden = json.loads((FIXTURES / "golden" / "two_people.json").read_text(encoding="utf-8"))
        photo = FIXTURES / "faces" / golden["photo"]
        values, _ = describe(photo, Detector(PACK), Embedder(PACK))
        self.assertEqual(len(values["faces"]), len(golden["faces"]))
        for face, expected in zip(values["faces"], golden["faces"]):
            np.testing.assert_allclose(face["points"], expected["points"], atol=0.05)
            self.assertGreater(np.dot(face["embedding"], expected["embedding"]), 0.9999)

    def test_int8_is_close_to_full_precision(self) -> None:
        from pipeline import Embedder, read_photo

        fp, int8 = Embedder(PACK), Embedder(PACK, PACK / "embedder-int8.onnx")
        for path in (FIXTURES / "golden").glob("*.chip.png"):
            chip = read_photo(path)
            self.assertGreater(fp.embed(chip) @ int8.embed(chip), 0.99, path.name)


if __name__ == "__main__":
    unittest.main()
