"""blur: a classical baseline, the face behind a Gaussian.

Source: Newton, Sweeney and Malin, "Preserving privacy by de-identifying face images", TKDE 2005, compares such ad hoc
methods. Norm: none. `sigma` is in pixels of the canonical frame (112 for a face), so that faces of all sizes are
blurred alike. At the picture's edge the weights that are left are brought to a sum of 1. The objective is not asked.
"""

import torch
from torch import Tensor

from visard.cloak.geometry import unit_of
from visard.cloak.loop import Task
from visard.cloak.method import Method


def blur(task: Task, *, sigma: float = 6.0) -> Tensor:
    """Gaussian of deviation `sigma`, pixels of the canonical frame."""
    clean = task.faces.pixels.detach()
    deviation = (sigma * unit_of(task.faces)).clamp(min=1e-3)

    def matrix(size: int) -> Tensor:
        """Each row the weights for one pixel, (N, 1, size, size)."""
        places = torch.arange(size).to(clean)
        weights = torch.exp(-0.5 * ((places[:, None] - places) / deviation.view(-1, 1, 1, 1)) ** 2)
        return weights / weights.sum(dim=-1, keepdim=True)

    height, width = clean.shape[-2:]
    delta = task.in_range(matrix(height) @ clean @ matrix(width).mT - clean)
    task.heard(1, delta)
    return delta


BLUR = Method("blur", "Newton et al. 2005", "untargeted", blur)
