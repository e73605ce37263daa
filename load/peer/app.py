"""A plain face service in Python, for `cargo bench --bench compare`.

It does what many attendance projects do: Flask answers one request for each process, OpenCV decodes
and resizes, ONNX Runtime runs the detector and the embedder on one thread, and NumPy compares one
embedding with 1,000 people. It uses the model files of Rollcall's pack, without the mirror image.
It has no store, no accounts and no quality checks.

Settings come from the environment: SIDE (longer side of the image for the detector, in pixels), and
PACK, a JSON object that the benchmark makes from the pack's description.
"""

import hashlib
import json
import os

import cv2
import numpy as np
import onnxruntime as ort
from flask import Flask, jsonify, request

SIDE = int(os.environ["SIDE"])
PACK = json.loads(os.environ["PACK"])
STRIDES = (8, 16, 32)
PEOPLE = 1000

cv2.setNumThreads(1)
options = ort.SessionOptions()
options.intra_op_num_threads = 1
options.inter_op_num_threads = 1
detector = ort.InferenceSession(PACK["detector"], options, providers=["CPUExecutionProvider"])
embedder = ort.InferenceSession(PACK["embedder"], options, providers=["CPUExecutionProvider"])
names = [output.name for output in detector.get_outputs()]
template = np.array(PACK["template"], np.float32)
gallery = np.random.default_rng(1).standard_normal((PEOPLE, PACK["dimensions"])).astype(np.float32)
gallery /= np.linalg.norm(gallery, axis=1, keepdims=True)


def find_face(image):
    """Returns the five points of the face with the best score, or None."""
    height, width = image.shape[:2]
    padded = cv2.copyMakeBorder(
        image, 0, -height % 32, 0, -width % 32, cv2.BORDER_CONSTANT
    )
    outputs = dict(zip(names, detector.run(names, {"input": cv2.dnn.blobFromImage(padded)})))
    best, points = PACK["score_threshold"], None
    for stride in STRIDES:
        product = outputs[f"cls_{stride}"][0, :, 0] * outputs[f"obj_{stride}"][0, :, 0]
        cell = int(product.argmax())
        score = float(np.sqrt(max(product[cell], 0)))
        if score > best:
            columns = padded.shape[1] // stride
            corner = np.array([cell % columns, cell // columns], np.float32)
            best = score
            points = (outputs[f"kps_{stride}"][0, cell].reshape(5, 2) + corner) * stride
    return points


def align(image, points):
    """Returns the chip of the face, by the least-squares similarity transform."""
    a, b = points - points.mean(0), template - template.mean(0)
    spread = (a * a).sum()
    cos = (a * b).sum() / spread
    sin = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() / spread
    turn = np.array([[cos, -sin], [sin, cos]], np.float32)
    matrix = np.hstack([turn, (template.mean(0) - turn @ points.mean(0))[:, None]])
    return cv2.warpAffine(image, matrix, (PACK["input"], PACK["input"]))


def recognize(body):
    """Returns the answer for an encoded image."""
    image = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        return {"error": "not an image"}, 400
    height, width = image.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    small = image
    if scale < 1:
        small = cv2.resize(image, (round(width * scale), round(height * scale)))
    points = find_face(small)
    if points is None:
        return {"faces": 0}, 200
    chip = align(image, points / scale)[:, :, ::-1].astype(np.float32)
    tensor = ((chip - PACK["mean"]) * PACK["scale"]).transpose(2, 0, 1)[None]
    (vector,) = embedder.run(None, {"input": np.ascontiguousarray(tensor, np.float32)})[0]
    similarities = gallery @ (vector / np.linalg.norm(vector))
    best = int(similarities.argmax())
    digest = hashlib.sha256(body).hexdigest()
    return {"id": best, "similarity": float(similarities[best]), "sha256": digest}, 200


app = Flask(__name__)


@app.post("/recognize")
def post_recognize():
    answer, status = recognize(request.get_data())
    return jsonify(answer), status


@app.get("/health")
def get_health():
    return "ok"
