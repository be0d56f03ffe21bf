"""Where a face lies in its picture. Aligned pictures, which have no frames, are taken for the canonical crop."""

import torch
from torch import Tensor

from visard.cloak.objective import Faces
from visard.face.template import CANONICAL_POINTS, CANONICAL_SIZE


def frames_of(faces: Faces) -> Tensor:
    """The maps canonical frame -> pixel, (N, 2, 3)."""
    if faces.frames is not None:
        return faces.frames
    height, width = faces.pixels.shape[-2:]
    x, y = width / CANONICAL_SIZE, height / CANONICAL_SIZE
    frame = torch.tensor([[x, 0.0, (x - 1) / 2], [0.0, y, (y - 1) / 2]])
    return frame.to(faces.pixels).repeat(len(faces.pixels), 1, 1)


def unit_of(faces: Faces) -> Tensor:
    """How many of the picture's pixels a pixel of the canonical frame is long, (N,)."""
    area: Tensor = torch.linalg.det(frames_of(faces)[:, :, :2]).abs()
    return area.sqrt()


def landmarks(faces: Faces) -> Tensor:
    """Eyes, nose tip and mouth corners in the picture, (N, 5, 2) as x, y."""
    points = torch.from_numpy(CANONICAL_POINTS["arcface"]).to(faces.pixels)
    frames = frames_of(faces)
    return points @ frames[:, :, :2].mT + frames[:, None, :, 2]


def canonical_grid(faces: Faces) -> tuple[Tensor, Tensor]:
    """The canonical x and y of every pixel, each (N, H, W)."""
    frames, (height, width) = frames_of(faces), faces.pixels.shape[-2:]
    inverse = torch.linalg.inv(frames[:, :, :2])
    x = torch.arange(width).to(frames) - frames[:, 0, 2, None]  # (N, W)
    y = torch.arange(height).to(frames) - frames[:, 1, 2, None]  # (N, H)
    u, v = (inverse[:, i, 0, None, None] * x[:, None] + inverse[:, i, 1, None, None] * y[:, :, None] for i in (0, 1))
    return u, v


def boxes(faces: Faces) -> list[tuple[int, int, int, int]]:
    """The part of each picture that holds the canonical crop: its first row, column, and those after its last."""
    corners = torch.tensor([[-0.5, -0.5], [111.5, -0.5], [111.5, 111.5], [-0.5, 111.5]]).to(faces.pixels)
    frames, (height, width) = frames_of(faces), faces.pixels.shape[-2:]
    there = corners @ frames[:, :, :2].mT + frames[:, None, :, 2] + 0.5  # (N, 4, 2), edges of pixels
    low, high = there.amin(dim=1).round().long(), there.amax(dim=1).round().long()
    return [
        (max(0, top), max(0, left), min(height, bottom), min(width, right))
        for (left, top), (right, bottom) in zip(low.tolist(), high.tolist(), strict=True)
    ]
