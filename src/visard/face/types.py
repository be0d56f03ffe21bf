"""What is known of one face in one photo."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visard.errors import LandmarkError
from visard.face.template import CANONICAL_POINTS, Affine, Points, Scheme, similarity

Pixels = NDArray[np.uint8]
Box = tuple[float, float, float, float]
Detector = Callable[[Pixels], list["Face"]]
"""Finds faces: pixels (H, W, C), C = 1 gray or 3 RGB, as displayed -> faces, largest first."""

_LEAST_SIZE = 0.5  # px: landmarks so near each other fix no frame


@dataclass(frozen=True, slots=True)
class Face:
    """One face: `box` (x0, y0, x1, y1) and `landmarks` (5, 2) of `scheme`, in pixels of the photo; `score` of
    the detector (higher is surer)."""

    box: Box
    landmarks: Points
    scheme: Scheme
    score: float = 1.0

    def __post_init__(self) -> None:
        if self.landmarks.shape != (5, 2) or not np.isfinite(self.landmarks).all():
            raise LandmarkError(f"A face needs five finite landmarks (x, y), got {self.landmarks.tolist()}.")
        if self.size < _LEAST_SIZE:
            raise LandmarkError(f"A face needs five distinct landmarks, got {self.landmarks.tolist()}.")

    @property
    def frame(self) -> Affine:
        """The similarity canonical frame -> photo, (2, 3)."""
        return similarity(CANONICAL_POINTS[self.scheme], self.landmarks)

    @property
    def size(self) -> float:
        """Side of the canonical 112 px frame in pixels of the photo."""
        frame = self.frame
        return float(112 * np.hypot(frame[0, 0], frame[1, 0]))

    def moved(self, scale: float = 1.0, shift: tuple[float, float] = (0.0, 0.0)) -> "Face":
        """The same face after the photo was scaled by `scale` and then shifted by (dx, dy) pixels."""
        edges = np.array(self.box).reshape(2, 2) * scale + shift
        # points are pixel centers, boxes are edges
        points = (self.landmarks + 0.5) * scale - 0.5 + np.array(shift)
        return Face((*edges[0], *edges[1]), points, self.scheme, self.score)

    def to_json(self) -> dict[str, Any]:
        """Box, landmarks, scheme and score as plain numbers, as ``visard.face.read_faces`` takes them."""
        return {
            "box": [round(float(v), 2) for v in self.box],
            "landmarks": np.round(self.landmarks, 2).tolist(),
            "scheme": self.scheme,
            "score": round(float(self.score), 3),
        }


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, in [0, 1]."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return width * height / (area - width * height)
