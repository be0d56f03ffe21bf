"""The embedded detector: dlib's frontal face detector (HOG) and its five-point landmark predictor."""

import importlib.util
import math
from functools import cache
from pathlib import Path
from typing import Any

import dlib
import numpy as np
from PIL import Image

from visard.errors import LandmarkError, VisardError
from visard.face.template import Points
from visard.face.types import Box, Detector, Face, Pixels, overlap

# HOG finds faces of 80 px; one upsampling halves that. Both are bounded by the size of the searched picture.
_SEARCH_SIDE = 3000
_ROTATED_SIDE = 1000
_ROTATIONS = (30, -30, 60, -60, 90, -90, 180)  # degrees; HOG itself bears about 20
_LEAST_SCORE = 0.1  # on 40 photos, the 249 faces score .16 and more, what is none .03 and less
_LANDMARK_BOX = 200  # px; landmarks come as whole numbers, so they are sought on an enlarged box
_SAME_FACE = 0.3


def dlib_hog() -> Detector:
    """dlib's HOG detector with five landmarks (scheme ``dlib``).

    Photos of up to 1500 px are searched at twice their size (faces from 40 px), larger ones at up to 3000 px.
    When nothing is found, the photo is tried upsampled once more and rotated.
    """

    def detect(pixels: Pixels) -> list[Face]:
        gray = _to_gray(pixels)
        boxes = _search(gray, _SEARCH_SIDE) or _search(gray, 2 * _SEARCH_SIDE, upsample=2)
        faces = [Face(box, _landmarks(gray, box), "dlib", score) for box, score in boxes] or _rotated(gray)
        return sorted(faces, key=lambda face: -face.size)

    return detect


def box_landmarks(pixels: Pixels, box: Box) -> Points:
    """Five landmarks (5, 2), scheme ``dlib``, of the face in `box` (x0, y0, x1, y1) of `pixels` (H, W, C)."""
    return _landmarks(_to_gray(pixels), box)


def _to_gray(pixels: Pixels) -> Image.Image:
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).convert("L")


def _search(gray: Image.Image, side: int, upsample: int = 1) -> list[tuple[Box, float]]:
    """Boxes and scores, searched at the largest scale <= 2**upsample with no side over `side` pixels."""
    steps = max((s for s in range(upsample + 1) if max(gray.size) * 2**s <= side), default=0)
    scale = min(1.0, side / max(gray.size))
    picture = np.asarray(_scaled(gray, scale))
    found, scores, _ = _detector().run(picture, steps, _LEAST_SCORE)
    height, width = picture.shape
    fx, fy = gray.width / width, gray.height / height
    return [
        ((r.left() * fx, r.top() * fy, (r.right() + 1) * fx, (r.bottom() + 1) * fy), float(score))
        for r, score in zip(found, scores, strict=True)
    ]


def _landmarks(gray: Image.Image, box: Box) -> Points:
    x0, y0, x1, y1 = box
    side = max(x1 - x0, y1 - y0)
    if not (math.isfinite(side) and side >= 1):
        raise LandmarkError(f"The box {[round(v, 1) for v in box]} is empty; give x0, y0, x1, y1 in pixels.")
    cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
    left, top = math.floor(cx - side), math.floor(cy - side)
    region = gray.crop((left, top, math.ceil(cx + side), math.ceil(cy + side)))
    scale = _LANDMARK_BOX / side
    region_scaled = _scaled(region, scale)
    sx, sy = region_scaled.width / region.width, region_scaled.height / region.height
    rectangle = dlib.rectangle(
        *(round(v) for v in ((x0 - left) * sx, (y0 - top) * sy, (x1 - left) * sx - 1, (y1 - top) * sy - 1))
    )
    shape = _predictor()(np.asarray(region_scaled), rectangle)
    points = np.array([(p.x, p.y) for p in shape.parts()], dtype=np.float64)
    return (points + 0.5) / (sx, sy) - 0.5 + (left, top)


def _rotated(gray: Image.Image) -> list[Face]:
    """Faces found on rotated copies of the photo, each face once, at the rotation where it scored highest."""
    small = _scaled(gray, min(1.0, _ROTATED_SIDE / max(gray.size)))
    found: list[Face] = []
    for degrees in _ROTATIONS:
        turned = small.rotate(degrees, resample=Image.Resampling.BILINEAR, expand=True)
        angle = math.radians(degrees)
        # a picture turned counterclockwise by `degrees`: back to the upright one about both centers
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        for box, score in _search(turned, 2 * _ROTATED_SIDE):
            points = _landmarks(turned, box)
            center = (np.array(turned.size) - 1) / 2
            upright = (points - center) @ turn.T + (np.array(small.size) - 1) / 2
            corners = np.array([(x, y) for x in box[::2] for y in box[1::2]])
            corners = (corners - np.array(turned.size) / 2) @ turn.T + np.array(small.size) / 2
            middle, half = corners.mean(axis=0), (box[2] - box[0]) / 2
            face = Face((*(middle - half), *(middle + half)), upright, "dlib", score)
            found.append(face.moved(gray.width / small.width))
    found.sort(key=lambda face: -face.score)
    kept: list[Face] = []
    for face in found:
        if all(overlap(face.box, other.box) < _SAME_FACE for other in kept):
            kept.append(face)
    return kept


def _scaled(picture: Image.Image, scale: float) -> Image.Image:
    if scale == 1.0:
        return picture
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    resample = Image.Resampling.BOX if scale < 0.5 else Image.Resampling.BILINEAR
    return picture.resize(size, resample)


@cache
def _detector() -> Any:
    return dlib.get_frontal_face_detector()


@cache
def _predictor() -> Any:
    return dlib.shape_predictor(str(face_recognition_model("shape_predictor_5_face_landmarks.dat")))


def face_recognition_model(name: str) -> Path:
    """The path of a file of the package face_recognition_models, which is not imported (it needs setuptools)."""
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None or spec.origin is None:
        raise VisardError("The package face_recognition_models is missing: pip install face_recognition_models.")
    return Path(spec.origin).parent / "models" / name
