"""pixelate: a classical baseline, the face in large squares.

Source: Newton, Sweeney and Malin, "Preserving privacy by de-identifying face images", TKDE 2005, compares such ad hoc
methods. Norm: none. `block` is in pixels of the canonical frame (112 for a face), so that all faces get as many
squares; they lie along the picture's own grid, one with its corner at the face's center. The objective is not asked.
"""

import torch
from torch import Tensor

from visard.cloak.geometry import frames_of, unit_of
from visard.cloak.loop import Task
from visard.cloak.method import Method
from visard.face.template import CANONICAL_SIZE


def pixelate(task: Task, *, block: float = 12.0) -> Tensor:
    """Squares of side `block`, pixels of the canonical frame, at their mean color."""
    clean, frames = task.faces.pixels.detach(), frames_of(task.faces)
    side = (block * unit_of(task.faces)).clamp(min=1)[:, None]
    middle = torch.tensor([(CANONICAL_SIZE - 1) / 2] * 2).to(clean)
    center = frames[:, :, :2] @ middle + frames[:, :, 2]  # (N, 2) as x, y

    def matrix(size: int, center: Tensor) -> Tensor:
        """Each row the weights for one pixel, (N, 1, size, size)."""
        cell = ((torch.arange(size).to(clean) - center[:, None]) / side).floor()
        same = (cell[:, :, None] == cell[:, None, :]).to(clean)
        return (same / same.sum(dim=-1, keepdim=True))[:, None]

    height, width = clean.shape[-2:]
    delta = task.in_range(matrix(height, center[:, 1]) @ clean @ matrix(width, center[:, 0]).mT - clean)
    task.heard(1, delta)
    return delta


PIXELATE = Method("pixelate", "Newton et al. 2005", "untargeted", pixelate)
