"""Faces from a JSON file, where a person or another program found them."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from visard.errors import LandmarkError
from visard.face.detect.hog import box_landmarks
from visard.face.types import Face, Pixels

_FORM = (
    'a list of {"box": [x0, y0, x1, y1]}, each with or without "landmarks" (five [x, y]) and '
    '"scheme" ("arcface" or "dlib"), or such a list per file name'
)


def read_faces(path: Path, pixels: Pixels, photo_name: str | None = None) -> list[Face]:
    """The faces that a JSON file gives for a photo with `pixels` (H, W, C), in the file's order.

    The file holds a list of faces, or one list per photo's file name. A face without landmarks gets dlib's five,
    sought in its box. Raises ``LandmarkError`` for anything else, with the form expected.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise LandmarkError(f"{path} does not exist; check the name.") from error
    except (OSError, ValueError) as error:
        raise LandmarkError(f"{path} could not be read as JSON ({error}); it should hold {_FORM}.") from error
    if isinstance(content, dict):
        if photo_name not in content:
            raise LandmarkError(f"{path} holds no faces for {photo_name}; it has {', '.join(content) or 'none'}.")
        content = content[photo_name]
    if not isinstance(content, list):
        raise LandmarkError(f"{path} should hold {_FORM}.")
    return [_face(item, i, path, pixels) for i, item in enumerate(content, start=1)]


def write_faces(path: Path, faces: Sequence[Face]) -> None:
    """Write `faces` as the JSON that ``read_faces`` takes."""
    path.write_text(json.dumps([face.to_json() for face in faces], indent=1) + "\n", encoding="utf-8")


def _face(item: Any, number: int, path: Path, pixels: Pixels) -> Face:
    where = f"Face {number} of {path}"
    try:
        x0, y0, x1, y1 = (float(v) for v in item["box"])
        points = None if item.get("landmarks") is None else np.array(item["landmarks"], dtype=np.float64)
        scheme, score = item.get("scheme", "arcface"), float(item.get("score", 1.0))
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise LandmarkError(f"{where} is malformed; the file should hold {_FORM}.") from error
    height, width = pixels.shape[:2]
    inside = x0 < x1 and y0 < y1 and x0 < width and y0 < height and x1 > 0 and y1 > 0
    if not (inside and all(math.isfinite(v) for v in (x0, y0, x1, y1))):
        raise LandmarkError(f"{where}: the box {[x0, y0, x1, y1]} is empty or outside the {width} x {height} photo.")
    if points is None:
        points, scheme = box_landmarks(pixels, (x0, y0, x1, y1)), "dlib"
    if scheme not in ("arcface", "dlib"):
        raise LandmarkError(f'{where}: the scheme is "{scheme}"; use "arcface" or "dlib".')
    try:
        return Face((x0, y0, x1, y1), points, scheme, score)
    except LandmarkError as error:
        raise LandmarkError(f"{where}: {error}") from error
