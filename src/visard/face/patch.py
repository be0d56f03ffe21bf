"""Faces cut from a photo onto square patches of its own pixel grid, and changes brought back by adding.

A patch is axis-aligned, so a change made on it returns to the photo without resampling the picture. Faces larger
than the working size are reduced, so that cost follows faces and not megapixels; only the change is enlarged then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.spatial import ConvexHull
from torch import Tensor

from visard.face.template import Affine, apply
from visard.face.types import Face, Pixels

WORKING_SIZE = 224
"""Longest side of a patch, pixels: about two per pixel of the recognizers' crops."""

_SIDES = 32
_STRIP = 32  # rows that stay in a processor's cache while they are rounded


class Shape(NamedTuple):
    """A superellipse of the canonical frame, fading at its rim: by `fade` of its radii, inwards."""

    center: tuple[float, float]
    radii: tuple[float, float]
    power: float
    fade: float


HEAD = Shape((55.5, 61.0), (60.0, 64.0), 4.0, 0.22)
"""The part of a face that may change: head and chin."""
SUPPORT = (-14.0, -12.0, 126.0, 134.0)
"""What a patch holds of the canonical frame, x0, y0, x1, y1: the mask, all templates' crops, and room for jittered
views."""
_SUPPORT_CORNERS = np.array(SUPPORT)[[[0, 1], [2, 1], [2, 3], [0, 3]]]

_Place = tuple[int, int, int, int]  # x0, y0, x1, y1 in a photo's pixels


@dataclass(frozen=True, slots=True)
class FacePatches:
    """Patches of one photo.

    `pixels` (N, C, S, S) in [0, 1], C = 1 for gray photos; `frames` (N, 2, 3) canonical frame -> patch pixel;
    `mask` (N, 1, S, S) in [0, 1], how much of a change reaches the photo; `corners` (N, 2) x, y of each patch in
    the photo and `sides` (N,) its side there, photo pixels.
    """

    pixels: Tensor
    frames: Tensor
    mask: Tensor
    corners: NDArray[np.int64]
    sides: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.pixels)

    def chunk(self, start: int, stop: int) -> "FacePatches":
        """The patches from `start` to before `stop`."""
        cut = slice(start, stop)
        return FacePatches(self.pixels[cut], self.frames[cut], self.mask[cut], self.corners[cut], self.sides[cut])


def cut(pixels: Pixels, faces: Sequence[Face], working_size: int = WORKING_SIZE) -> FacePatches:
    """Cut `faces` from a photo's `pixels` (H, W, C) uint8.

    The patch's side S is what the largest face needs, a multiple of 32 px so that faces of different photos go into
    one batch, and at most `working_size`; smaller faces keep the photo's own
    grid and get more surroundings. Beyond the photo's edge there is black. Overlapping faces share pixels: where
    their masks sum to more than 1, each gets its part.
    """
    frames = [face.frame for face in faces]
    corners_in_photo = [apply(frame, _SUPPORT_CORNERS) for frame in frames]
    needed = np.array([np.ceil(np.ptp(c, axis=0).max()) for c in corners_in_photo], dtype=np.int64)
    side = int(min(working_size, -(-needed.max() // _SIDES) * _SIDES))
    sides = np.maximum(needed, side)
    centers = np.array([(c.min(axis=0) + c.max(axis=0)) / 2 for c in corners_in_photo])
    corners = np.round(centers - (sides[:, None] - 1) / 2).astype(np.int64)

    patches, patch_frames = [], []
    for frame, corner, photo_side in zip(frames, corners, sides, strict=True):
        patches.append(_reduce(_region(pixels, corner, int(photo_side)), side))
        patch_frames.append(_on_patch(frame, corner, side / photo_side))
    mapping = torch.from_numpy(np.stack(patch_frames)).float()
    mask = face_mask(mapping, side) / _crowding(frames, corners, sides, side)
    return FacePatches(torch.cat(patches), mapping, mask, corners, sides)


def paste(pixels: Pixels, patches: FacePatches, delta: Tensor) -> Pixels:
    """The photo (H, W, C) uint8 with `delta` (N, C, S, S), masked, added; rounded to nearest.

    Pixels outside the masks are untouched. `delta` is in units of [0, 1].
    """
    height, width = pixels.shape[:2]
    out = pixels.copy()
    # channels last: the photo's own order, in which it is enlarged and added twice as fast
    masked = (delta * patches.mask).contiguous(memory_format=torch.channels_last)
    boxes = [_clip(c, int(s), height, width) for c, s in zip(patches.corners, patches.sides, strict=True)]
    for group in _touching(boxes):
        changes = []
        for i in group:
            x0, y0, x1, y1 = boxes[i]
            if x0 < x1 and y0 < y1:
                x, y = (int(v) for v in patches.corners[i])
                whole = _enlarge(masked[i : i + 1], int(patches.sides[i]))[0].permute(1, 2, 0).numpy()
                changes.append((boxes[i], whole[y0 - y : y1 - y, x0 - x : x1 - x]))
        if changes:
            _add(out, changes)
    return out


def face_mask(frames: Tensor, side: int, shape: Shape = HEAD) -> Tensor:
    """The soft mask (N, 1, S, S) in [0, 1] of a part of faces, `shape`; `frames` (N, 2, 3)."""
    x, y = _canonical_grid(frames, side)
    u = ((x - shape.center[0]) / shape.radii[0]).abs()
    v = ((y - shape.center[1]) / shape.radii[1]).abs()
    radius = (u**shape.power + v**shape.power) ** (1 / shape.power)
    ramp = ((1 - radius) / shape.fade).clamp(0, 1)
    return (ramp * ramp * (3 - 2 * ramp))[:, None]  # smoothstep: no visible rim


def hull_mask(frames: Tensor, side: int, points: Tensor, reach: float, fade: float) -> Tensor:
    """The soft mask (N, 1, S, S) in [0, 1] of what lies between landmarks `points` (N, P, 2) and up to `reach` around
    them, where it ends over a width of `fade`, all in the canonical frame, px; `frames` (N, 2, 3)."""
    x, y = _canonical_grid(frames, side)
    # of each edge's outer side: how far a pixel is from it, (edges, S, S)
    edges = [torch.from_numpy(ConvexHull(one.double().numpy()).equations).to(frames) for one in points.detach()]
    outside = torch.stack([
        (e[:, 0, None, None] * x[i] + e[:, 1, None, None] * y[i] + e[:, 2, None, None]).amax(dim=0)
        for i, e in enumerate(edges)
    ])  # fmt: skip
    ramp = ((reach - outside) / fade).clamp(0, 1)
    return (ramp * ramp * (3 - 2 * ramp))[:, None]


def _canonical_grid(frames: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Canonical x and y of every patch pixel, each (N, S, S)."""
    inverse = torch.linalg.inv(frames[:, :, :2])[..., None, None]  # (N, 2, 2, 1, 1)
    steps = torch.arange(side, dtype=frames.dtype)
    x, y = (steps - frames[:, 0, 2:])[:, None], (steps - frames[:, 1, 2:])[:, :, None]  # (N, 1, S), (N, S, 1)
    return inverse[:, 0, 0] * x + inverse[:, 0, 1] * y, inverse[:, 1, 0] * x + inverse[:, 1, 1] * y


def _crowding(frames: Sequence[Affine], corners: NDArray[np.int64], sides: NDArray[np.int64], side: int) -> Tensor:
    """What each patch's mask is divided by, (N, 1, S, S) >= 1: the sum of all faces' masks where it exceeds 1."""
    total = torch.ones((len(frames), 1, side, side))
    for i, (corner, photo_side) in enumerate(zip(corners, sides, strict=True)):
        near = [
            j
            for j in range(len(frames))
            if (np.abs((corners[j] + sides[j] / 2) - (corner + photo_side / 2)) < (sides[j] + photo_side) / 2).all()
        ]
        if len(near) == 1:
            continue
        seen = np.stack([_on_patch(frames[j], corner, side / photo_side) for j in near])
        total[i] = face_mask(torch.from_numpy(seen).float(), side).sum(dim=0).clamp(min=1)
    return total


def _on_patch(frame: Affine, corner: NDArray[np.int64], scale: float) -> Affine:
    """The map canonical frame -> photo, (2, 3), made one onto the patch at `corner` that is reduced by `scale`."""
    return np.hstack([frame[:, :2] * scale, ((frame[:, 2] - corner + 0.5) * scale - 0.5)[:, None]])


def _clip(corner: NDArray[np.int64], side: int, height: int, width: int) -> _Place:
    x, y = (int(v) for v in corner)
    return max(x, 0), max(y, 0), min(x + side, width), min(y + side, height)


def _touching(boxes: Sequence[_Place]) -> list[list[int]]:
    """Indices of `boxes` in groups that overlap, directly or through others."""
    groups: list[list[int]] = []
    for i, (x0, y0, x1, y1) in enumerate(boxes):
        touched = [
            group
            for group in groups
            if any(x0 < boxes[j][2] and boxes[j][0] < x1 and y0 < boxes[j][3] and boxes[j][1] < y1 for j in group)
        ]
        merged = [i, *(j for group in touched for j in group)]
        groups = [group for group in groups if group not in touched] + [merged]
    return groups


def _region(pixels: Pixels, corner: NDArray[np.int64], side: int) -> Tensor:
    """The square at `corner` as float (1, C, side, side) in [0, 1], black beyond the photo."""
    height, width, channels = pixels.shape
    out = np.zeros((side, side, channels), dtype=np.uint8)
    x0, y0, x1, y1 = _clip(corner, side, height, width)
    if x1 > x0 and y1 > y0:
        cx, cy = (int(v) for v in corner)
        out[y0 - cy : y1 - cy, x0 - cx : x1 - cx] = pixels[y0:y1, x0:x1]
    return torch.from_numpy(out).permute(2, 0, 1)[None].float().div_(255)


def _reduce(region: Tensor, side: int) -> Tensor:
    if region.shape[-1] == side:
        return region
    return F.interpolate(region, size=(side, side), mode="bilinear", antialias=True, align_corners=False)


def _add(pixels: Pixels, changes: Sequence[tuple[_Place, NDArray[np.float32]]]) -> None:
    """Add each change (h, w, C), in [0, 1], at its box (x0, y0, x1, y1) of `pixels`. They are summed before they are
    rounded once, to nearest, for they may overlap."""
    left, right = min(box[0] for box, _ in changes), max(box[2] for box, _ in changes)
    top, bottom = min(box[1] for box, _ in changes), max(box[3] for box, _ in changes)
    for start in range(top, bottom, _STRIP):
        stop = min(start + _STRIP, bottom)
        strip = pixels[start:stop, left:right]
        total = np.zeros(strip.shape, dtype=np.float32)
        for (x0, y0, x1, y1), change in changes:
            first, last = max(start, y0), min(stop, y1)
            if first < last:
                total[first - start : last - start, x0 - left : x1 - left] += change[first - y0 : last - y0]
        values = strip + 255 * total
        np.rint(values, out=values)
        np.clip(values, 0, 255, out=values)
        strip[:] = values


def _enlarge(patch: Tensor, side: int) -> Tensor:
    # bilinear: no value leaves the range of its neighbors, so a budget kept on the patch is kept in the photo
    if patch.shape[-1] == side:
        return patch
    return F.interpolate(patch, size=(side, side), mode="bilinear", align_corners=False)
