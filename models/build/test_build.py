"""Fast tests of the packs and their build scripts: `python -m unittest`.

The committed files are checked with Python alone. The converters and the reference pipeline are
tested on small inputs if numpy, onnx, onnxruntime and Pillow are installed, and skipped otherwise.
The full rebuild is `build.py`.
"""

import hashlib
import json
import struct
import tempfile
import tomllib
import unittest
from importlib.util import find_spec
from pathlib import Path

MODELS = Path(__file__).resolve().parents[1]
FIXTURES = MODELS.parent / "tests" / "fixtures"
PACKS = {
    path.parent.name: tomllib.loads(path.read_text(encoding="utf-8"))
    for path in MODELS.glob("*/pack.toml")
}
DEFAULT = "mobilefacenet"
EQUIPPED = all(find_spec(name) for name in ("flatbuffers", "numpy", "onnx", "onnxruntime", "PIL"))


def sha256(path: Path) -> str:
    """Returns the file's SHA-256, in lower-case hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


class TheCommittedFiles(unittest.TestCase):
    """Tests that need Python alone."""

    def test_models_match_the_manifest(self) -> None:
        self.assertEqual(PACKS.keys(), {"dlib", DEFAULT})
        for pack, manifest in PACKS.items():
            self.assertEqual(manifest["id"], pack)
            entries = [manifest["detector"], *manifest["embedder"]["variants"]]
            committed = {path.name for path in (MODELS / pack).glob("*.onnx")}
            self.assertEqual({entry["file"] for entry in entries}, committed)
            for entry in entries:
                path = MODELS / pack / entry["file"]
                self.assertEqual(path.stat().st_size, entry["bytes"], path)
                self.assertEqual(sha256(path), entry["sha256"], path)

    def test_every_source_has_a_hash_a_license_and_its_training_data(self) -> None:
        for pack, manifest in PACKS.items():
            for source in manifest["sources"]:
                self.assertRegex(source["sha256"], "^[0-9a-f]{64}$")
                self.assertIn(source["license"], manifest["license"])
                self.assertTrue(source["training_data"])
            licenses = list((MODELS / pack / "LICENSES").iterdir())
            self.assertEqual(len(licenses), len(manifest["sources"]))

    def test_thresholds_rise_as_the_false_match_rate_falls(self) -> None:
        for manifest in PACKS.values():
            table = manifest["calibration"]
            self.assertEqual(table["fmr"], sorted(table["fmr"], reverse=True))
            self.assertEqual(table["t0"], sorted(table["t0"]))
            for column in ("t0", "s", "enroll_views_shift", "probe_views_shift"):
                values = table.get(column, table["fmr"])
                self.assertEqual(len(values), len(table["fmr"]), column)

    def test_the_fixtures_match_their_readme(self) -> None:
        readme = (FIXTURES / "faces" / "README.md").read_text(encoding="utf-8")
        photos = list((FIXTURES / "faces").glob("*.jpg"))
        self.assertGreaterEqual(len(photos), 8)
        for photo in photos:
            self.assertIn(f"| `{photo.name}` |", readme)
            self.assertIn(sha256(photo), readme, photo.name)

    def test_golden_values_belong_to_existing_photos(self) -> None:
        golden = list((FIXTURES / "golden").glob("*.json"))
        self.assertTrue(golden)
        for path in golden:
            values = json.loads(path.read_text(encoding="utf-8"))
            self.assertEqual(sha256(FIXTURES / "faces" / values["photo"]), values["sha256"])
            for face in values["faces"]:
                self.assertEqual(len(face["embedding"]), PACKS[DEFAULT]["embedder"]["dimensions"])
                self.assertAlmostEqual(sum(x * x for x in face["embedding"]), 1, places=4)

    def test_the_catalog_lists_every_file_of_its_manifests(self) -> None:
        catalog = tomllib.loads((MODELS / "catalog.toml").read_text(encoding="utf-8"))
        for pack in catalog["pack"]:
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
    """Tests of the converters on small inputs."""

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

    def test_a_file_of_another_kind_is_rejected(self) -> None:
        import dlib_to_onnx
        import elf

        with self.assertRaises(dlib_to_onnx.FormatError):
            dlib_to_onnx.parse(b"\x01\x01\x01\x05hello")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "text.so")
            path.write_bytes(b"not a library")
            with self.assertRaises(ValueError):
                elf.data_symbols(path)

    def test_a_tflite_network_gives_the_same_numbers_as_onnx(self) -> None:
        import numpy as np

        import tiny_tflite
        from mobilefacenet_to_onnx import convert
        from pipeline import open_session

        model = open_session(convert(tiny_tflite.network(), half=False).SerializeToString())
        images = np.random.default_rng(3).normal(size=(2, 5, 5, 2)).astype("f4")
        (found,) = model.run(["embedding"], {"input": images.transpose(0, 3, 1, 2)})
        expected = [tiny_tflite.compute(image) for image in images]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)

    def test_an_openvino_network_gives_the_same_numbers_as_onnx(self) -> None:
        import numpy as np

        import tiny_openvino
        from openvino_to_onnx import FormatError, convert
        from pipeline import open_session

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "tiny.xml")

            def write(activation: str) -> None:
                description, weights = tiny_openvino.network(activation)
                path.write_text(description, encoding="utf-8")
                path.with_suffix(".bin").write_bytes(weights)

            write("PReLU")
            model = open_session(convert(path).SerializeToString())
            for image in np.random.default_rng(2).normal(size=(4, 2, 4, 4)).astype("f4"):
                (found,) = model.run(["embedding"], {"input": image[None]})
                expected = tiny_openvino.compute(image)
                np.testing.assert_allclose(found.ravel(), expected, rtol=1e-4, atol=1e-4)
            write("Mish")
            with self.assertRaisesRegex(FormatError, "unexpected operator Mish"):
                convert(path)
            path.write_text("<net version='6'/>", encoding="utf-8")
            with self.assertRaisesRegex(FormatError, "IR version"):
                convert(path)

    def test_rescaling_evens_out_the_channels_and_keeps_the_result(self) -> None:
        import numpy as np

        import equalize
        import tiny_tflite
        from mobilefacenet_to_onnx import convert
        from pipeline import open_session

        model = convert(tiny_tflite.network(), half=False)
        # The first convolution's output, with the PReLU, which the depthwise convolution reads.
        ((name, group),) = equalize.groups(model).items()
        self.assertEqual((name, group.tensors), ("t0", ["t0", "t5"]))
        images = np.random.default_rng(5).normal(size=(40, 1, 2, 5, 5)).astype("f4")
        uneven = equalize.rescale(model, {"t0": [0, 2, 3]})
        exponents = equalize.measure(uneven, images)
        self.assertGreaterEqual(max(exponents["t0"]), 2)
        even = equalize.rescale(uneven, exponents)
        self.assertLessEqual(max(equalize.measure(even, images)["t0"]), 1)
        first, *others = (open_session(m.SerializeToString()) for m in (model, uneven, even))
        for image in images:
            expected = first.run(None, {"input": image})[0]
            for other in others:
                np.testing.assert_array_equal(other.run(None, {"input": image})[0], expected)

    def test_a_tflite_file_of_another_kind_is_rejected(self) -> None:
        import tiny_tflite
        import tflite

        with self.assertRaises(tflite.FormatError):
            tflite.parse(b"\x00" * 64)
        unknown = tiny_tflite.network(last=14)  # LOGISTIC
        with self.assertRaisesRegex(tflite.FormatError, "unexpected operator 14"):
            tflite.parse(unknown)

    def test_half_constants_are_widened(self) -> None:
        import numpy as np

        from graph import Graph
        from pipeline import open_session

        graph = Graph()
        graph.op("Add", ["x", graph.half_constant("half", np.array([0.1, 2], "f4"))], "y")
        model = graph.model("sum", {"x": [2]}, {"y": [2]}, "test").SerializeToString()
        (y,) = open_session(model).run(None, {"x": np.array([1, 1], "f4")})
        np.testing.assert_array_equal(y, np.float32(1) + np.array([0.1, 2], "f2").astype("f4"))

    def test_the_quantizer_is_deterministic(self) -> None:
        import numpy as np

        from graph import Graph
        from quantize import RECIPES, quantize

        graph, recipe = Graph(), RECIPES["dlib"]
        weights = graph.constant("w", np.linspace(-1, 1, 27, dtype="f4").reshape(1, 3, 3, 3))
        graph.op("Conv", ["input", weights], "y", kernel_shape=[3, 3])
        model = graph.model("one", {"input": [1, 3, 8, 8]}, {"y": [1, 1, 6, 6]}, "test")
        ranges = {"input": (0.0, 255.0), "y": (-900.0, 900.0)}
        before = model.SerializeToString()
        self.assertEqual(quantize(model, ranges, recipe), quantize(model, ranges, recipe))
        self.assertEqual(model.SerializeToString(), before)

    def test_widening_does_not_change_pixels_and_zero(self) -> None:
        from quantize import with_headroom

        widened = with_headroom({"input": (0.0, 255.0), "relu": (0.0, 2.0)}, 1.5)
        self.assertEqual(widened, {"input": (0.0, 255.0), "relu": (0.0, 3.0)})


@unittest.skipUnless(EQUIPPED, "the packages of requirements.txt are not installed")
class ThePipeline(unittest.TestCase):
    """Tests of the reference pipeline against its definition and the golden values."""

    def test_a_similarity_transform_is_recovered(self) -> None:
        import numpy as np

        from pipeline import scale_of, similarity_transform

        points = np.array(PACKS[DEFAULT]["embedder"]["template"])
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

    def test_the_better_of_two_overlapping_boxes_is_kept(self) -> None:
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
        pack = MODELS / DEFAULT
        values, _ = describe(photo, Detector(pack), Embedder(pack))
        self.assertEqual(len(values["faces"]), len(golden["faces"]))
        for face, expected in zip(values["faces"], golden["faces"]):
            np.testing.assert_allclose(face["points"], expected["points"], atol=0.05)
            self.assertGreater(np.dot(face["embedding"], expected["embedding"]), 0.9999)

    def test_int8_is_close_to_full_precision(self) -> None:
        from pipeline import Detector, Embedder, read_photo

        for name, least in (("dlib", 0.99), (DEFAULT, 0.97)):
            pack = MODELS / name
            fp, int8 = Embedder(pack), Embedder(pack, pack / "embedder-int8.onnx")
            detector = Detector(pack)
            for file in ("collins.jpg", "hopper.jpg", "obama.jpg", "obama2.jpg"):
                photo = read_photo(FIXTURES / "faces" / file)
                chip = fp.align(photo, detector.detect(photo)[0])
                self.assertGreater(fp.embed(chip) @ int8.embed(chip), least, (name, file))


if __name__ == "__main__":
    unittest.main()
