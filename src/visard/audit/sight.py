"""What a recognizer gets to see of a face in a published photo, and what it makes of it."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from visard.errors import PhotoError
from visard.face import Detector, Face, Pixels, Template, aligned_crop, find_again, warp
from visard.face.template import compose
from visard.photo import jpeg_round_trip, purified, resize, screenshot, webp_round_trip
from visard.recognizer import Recognizer

Condition = Callable[[Pixels], Pixels]

CONDITIONS: dict[str, Condition] = {
    "as saved": lambda pixels: pixels,
    "JPEG 95": partial(jpeg_round_trip, quality=95),
    "JPEG 75": partial(jpeg_round_trip, quality=75),
    "JPEG 50": partial(jpeg_round_trip, quality=50),
    "WebP 80": partial(webp_round_trip, quality=80),
    "half size": partial(resize, factor=0.5),
    "screenshot": screenshot,
    "purified": purified,
}
"""What happens to a posted photo before a recognizer sees it, on its way and from who expects a cloak. A lossless copy,
PNG, is "as saved"."""

# the face with its surroundings, 160 px: the crop on which visibility is measured
QUALITY_CROP = Template((160, 160), (-24, -24, 136, 136))
# sides of the face on each side of it: what a detector gets to see, and what a template or the quality crop shows
_SURROUNDINGS = 2.0
_CLOSE = 1.0
_JPEG_GRID = 16
_BATCH = 32

View = tuple[Pixels, Face]


class Sight(NamedTuple):
    """A face's surroundings and the face in them, and whether the detector found it there by itself."""

    view: View
    found: bool


def color_alike(a: Pixels, b: Pixels) -> tuple[Pixels, Pixels]:
    """Two versions of a photo, both gray or both RGB; raises ``PhotoError`` when they differ in size."""
    if a.shape[:2] != b.shape[:2]:
        (h, w), (h2, w2) = a.shape[:2], b.shape[:2]
        raise PhotoError(f"The photos differ in size, {w} x {h} and {w2} x {h2}: give the same photo before and after.")
    if a.shape == b.shape:
        return a, b
    # a gray photo became a color file, or the other way round
    return np.repeat(a, 3 // a.shape[2], axis=2), np.repeat(b, 3 // b.shape[2], axis=2)


def sights(pixels: Pixels, face: Face, detector: Detector, conditions: Mapping[str, Condition]) -> list[Sight]:
    """The `face` of a photo as `detector` finds it again under each of the `conditions`.

    A face that is not found keeps its known place: whoever looks for this person would have it marked by hand. An
    aligned crop is not searched: its face is where it is by agreement, at any size.
    """
    near, known = region(pixels, face)
    seen = []
    for happen in conditions.values():
        after = happen(near)
        place = known.moved(after.shape[1] / near.shape[1])
        again = place if detector is aligned_crop else find_again(after, place, detector)
        seen.append(Sight(region(after, again or place, _CLOSE), again is not None))
    return seen


def region(pixels: Pixels, face: Face, sides: float = _SURROUNDINGS) -> View:
    """The face's surroundings, cut on JPEG's grid so that re-compressing or halving them is doing so to the photo."""
    height, width = pixels.shape[:2]
    x0, y0, x1, y1 = face.box
    reach = max(face.size, x1 - x0, y1 - y0) * (0.5 + sides)
    cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
    left, top = (max(0, int((c - reach) // _JPEG_GRID) * _JPEG_GRID) for c in (cx, cy))
    right, bottom = (
        min(end, int(-(-(c + reach) // _JPEG_GRID)) * _JPEG_GRID) for c, end in ((cx, width), (cy, height))
    )
    return pixels[top:bottom, left:right], face.moved(shift=(-float(left), -float(top)))


def quality_crop(pixels: Pixels, face: Face) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The face with its surroundings, (160, 160, C) in [0, 1], on which visibility is measured."""
    near, moved = region(pixels, face, _CLOSE)
    mapping = torch.from_numpy(compose(moved.frame, QUALITY_CROP.to_canonical)).float()[None]
    return warp(_tensor(near), mapping, QUALITY_CROP.size)[0].clamp(0, 1).permute(1, 2, 0).numpy()


def embed_views(recognizer: Recognizer, views: Sequence[View]) -> Tensor:
    """The embeddings (M, D) of faces in their surroundings, in bounded batches."""
    return _asked(recognizer.embed, recognizer, views)


def called_cloaked(recognizer: Recognizer, views: Sequence[View]) -> list[bool | None]:
    """Whether the recognizer's detector calls each of M faces in their surroundings cloaked; None without one."""
    threshold = recognizer.card.detector
    if recognizer.detector is None or threshold is None or not views:
        return [None] * len(views)
    return [bool(logit >= threshold) for logit in _asked(recognizer.detector, recognizer, views)]


def _asked(question: Callable[[Tensor], Tensor], recognizer: Recognizer, views: Sequence[View]) -> Tensor:
    batches = []
    with torch.no_grad():
        for start in range(0, len(views), _BATCH):
            aligned = [
                recognizer.align(_tensor(pixels), torch.from_numpy(face.frame).float()[None])
                for pixels, face in views[start : start + _BATCH]
            ]
            batches.append(question(torch.cat(aligned)))
    return torch.cat(batches)


def _tensor(pixels: Pixels) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float() / 255
