"""Where a recognizer expects the face: templates as affine maps from one canonical face frame.

The canonical frame is ArcFace's 112 x 112 crop. A detector's landmarks fix a similarity *frame -> photo*; a
template fixes an affine map *template -> frame*; their product aligns any photo for any recognizer. Points are
(x, y), in pixels, and a pixel's center has whole-number coordinates.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Affine = NDArray[np.float64]
"""A (2, 3) matrix: ``q = A[:, :2] @ p + A[:, 2]``."""

Scheme = Literal["arcface", "dlib"]

CANONICAL_SIZE = 112

# dlib's chip of 150 px with padding 0.25, as the rectangle of the canonical frame that fills it: the median over
# 790 ArcFace-aligned photos of calibration people (10th to 90th percentile of its scale: .62 to .70).
DLIB_CHIP_CROP = (7.8, 22.9, 107.0, 122.1)


@dataclass(frozen=True, slots=True)
class Template:
    """The crop that a recognizer takes: `size` (height, width) in pixels, filled by the rectangle `crop`
    (x0, y0, x1, y1; edges, not centers) of the canonical frame."""

    size: tuple[int, int]
    crop: tuple[float, float, float, float]

    @property
    def to_canonical(self) -> Affine:
        """Template pixel -> canonical frame, (2, 3)."""
        (height, width), (x0, y0, x1, y1) = self.size, self.crop
        sx, sy = (x1 - x0) / width, (y1 - y0) / height
        # half a pixel: crops are given by their edges, points by pixel centers
        return np.array([[sx, 0, x0 + 0.5 * sx - 0.5], [0, sy, y0 + 0.5 * sy - 0.5]])


ARCFACE_112 = Template((112, 112), (0, 0, 112, 112))
DLIB_150 = Template((150, 150), DLIB_CHIP_CROP)

# Eyes, nose tip, mouth corners (InsightFace's reference points for its 112 px crop).
_ARCFACE_POINTS = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
# Outer and inner corner of the eye at the picture's right, the same at its left, base of the nose; unit square of
# dlib's chip before padding (dlib, image_transforms/interpolation.h).
_DLIB_UNIT_POINTS = np.array(
    [
        [0.8595674595992, 0.2134981538014],
        [0.6460604764104, 0.2289674387677],
        [0.1205750620789, 0.2137274526848],
        [0.3340850613712, 0.2290642403242],
        [0.4901123135679, 0.6277975316475],
    ]
)
DLIB_PADDING = 0.25
# dlib centers a chip by its edges; points are pixel centers here
DLIB_CHIP_POINTS = (DLIB_PADDING + _DLIB_UNIT_POINTS) / (2 * DLIB_PADDING + 1) * DLIB_150.size[0] - 0.5


def apply(affine: Affine, points: Points) -> Points:
    """Map `points` (..., 2) by `affine` (2, 3)."""
    mapped: Points = points @ affine[:, :2].T + affine[:, 2]
    return mapped


def compose(outer: Affine, inner: Affine) -> Affine:
    """The map that applies `inner` first and `outer` to its result; both (2, 3)."""
    return np.hstack([outer[:, :2] @ inner[:, :2], (outer[:, :2] @ inner[:, 2] + outer[:, 2])[:, None]])


def invert(affine: Affine) -> Affine:
    """The inverse of an affine map (2, 3); raises ``numpy.linalg.LinAlgError`` when there is none."""
    linear = np.linalg.inv(affine[:, :2])
    return np.hstack([linear, -(linear @ affine[:, 2])[:, None]])


def similarity(source: Points, target: Points) -> Affine:
    """The similarity (rotation, scale, shift; no reflection) that maps `source` (K, 2) nearest to `target` (K, 2).

    Least squares; Umeyama, "Least-squares estimation of transformation parameters between two point patterns",
    PAMI 1991, equations 40 to 42. Raises ``ValueError`` when all source points coincide.
    """
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    p, q = source - source_mean, target - target_mean
    variance = (p**2).sum()
    if variance <= 1e-12:
        raise ValueError("the landmarks coincide; give five distinct points")
    # in two dimensions the optimal rotation and scale are one complex ratio
    ratio = np.sum(np.conj(p[:, 0] + 1j * p[:, 1]) * (q[:, 0] + 1j * q[:, 1])) / variance
    linear = np.array([[ratio.real, -ratio.imag], [ratio.imag, ratio.real]])
    return np.hstack([linear, (target_mean - linear @ source_mean)[:, None]])


CANONICAL_POINTS: dict[Scheme, Points] = {
    "arcface": _ARCFACE_POINTS,
    "dlib": apply(DLIB_150.to_canonical, DLIB_CHIP_POINTS),
}
"""Where each landmark scheme's five points lie in the canonical frame, (5, 2)."""
