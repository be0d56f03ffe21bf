"""Photos that are aligned crops already."""

from visard.errors import LandmarkError
from visard.face.template import CANONICAL_POINTS, CANONICAL_SIZE
from visard.face.types import Face, Pixels


def aligned_crop(pixels: Pixels) -> list[Face]:
    """The one face of an ArcFace-aligned crop: its middle 112 x 112 pixels are the canonical frame.

    Raises ``LandmarkError`` for pictures under 112 px.
    """
    height, width = pixels.shape[:2]
    if min(height, width) < CANONICAL_SIZE:
        raise LandmarkError(
            f"An aligned crop has at least {CANONICAL_SIZE} x {CANONICAL_SIZE} px, this has {width} x {height}."
        )
    x0, y0 = (width - CANONICAL_SIZE) / 2, (height - CANONICAL_SIZE) / 2
    box = (x0, y0, x0 + CANONICAL_SIZE, y0 + CANONICAL_SIZE)
    return [Face(box, CANONICAL_POINTS["arcface"] + (x0, y0), "arcface")]
