"""YuNet through OpenCV, when the user gives its ONNX file."""

from pathlib import Path

import numpy as np

from visard.errors import FaceError, MissingExtraError
from visard.face.types import Detector, Face, Pixels, overlap

# YuNet knows faces of 10 to 300 px: the photo is searched small for large faces and large for small ones.
_SEARCH_SIDES = (480, 1600)
_SAME_FACE = 0.4


def yunet(path: Path, min_score: float = 0.7) -> Detector:
    """The detector in YuNet's ONNX file at `path`; five landmarks (scheme ``arcface``), `min_score` in [0, 1].

    Raises ``MissingExtraError`` without OpenCV, ``FaceError`` when the file is not a YuNet model.
    Wu et al., "YuNet: A tiny millisecond-level face detector", 2023.
    """
    try:
        import cv2
    except ImportError as error:
        raise MissingExtraError("The YuNet detector", "yunet") from error
    if not path.is_file():
        raise FaceError(f"{path} is not a file; give YuNet's ONNX file.")
    try:
        model = cv2.FaceDetectorYN.create(str(path), "", (320, 320), min_score)
    except cv2.error as error:
        raise FaceError(f"OpenCV could not load {path} as a YuNet model; give YuNet's ONNX file.") from error

    def detect(pixels: Pixels) -> list[Face]:
        bgr = np.ascontiguousarray(np.broadcast_to(pixels[..., ::-1], (*pixels.shape[:2], 3)))
        longest = max(pixels.shape[:2])
        found: list[Face] = []
        for side in sorted({min(longest, s) for s in _SEARCH_SIDES}):
            scale = side / longest
            size = (max(1, round(bgr.shape[1] * scale)), max(1, round(bgr.shape[0] * scale)))
            model.setInputSize(size)
            _, rows = model.detect(cv2.resize(bgr, size, interpolation=cv2.INTER_AREA))
            for row in rows if rows is not None else ():
                x, y, width, height = (float(v) for v in row[:4])
                points = row[4:14].reshape(5, 2).astype(np.float64)
                face = Face((x, y, x + width, y + height), points, "arcface", float(row[14]))
                found.append(face.moved(1 / scale))
        found.sort(key=lambda face: -face.score)
        kept: list[Face] = []
        for face in found:
            if all(overlap(face.box, other.box) < _SAME_FACE for other in kept):
                kept.append(face)
        return sorted(kept, key=lambda face: -face.size)

    return detect
