"""box and eye-bar: classical baselines, the face or the eyes behind one shade.

Source: Newton, Sweeney and Malin, "Preserving privacy by de-identifying face images", TKDE 2005, compares such ad hoc
methods (and finds that the bar over the eyes protects nobody). Norm: none. Sizes are in pixels of the canonical frame
(112 for a face); the bar lies along the eyes, as the face is turned. The objective is not asked.
"""

import torch
from torch import Tensor

from visard.cloak.geometry import canonical_grid
from visard.cloak.loop import Task
from visard.cloak.method import Method
from visard.face.template import CANONICAL_POINTS


def box(task: Task, *, shade: float = 0.0) -> Tensor:
    """All of the face at `shade`, 0 black to 1 white."""
    delta = task.in_range(shade - task.faces.pixels.detach())
    task.heard(1, delta)
    return delta


def eye_bar(task: Task, *, shade: float = 0.0, height: float = 22.0, margin: float = 16.0) -> Tensor:
    """A bar of `height` over the eyes, `margin` longer than their distance at each side, at `shade`, 0 black to 1."""
    left, right = CANONICAL_POINTS["arcface"][:2]
    x, y = canonical_grid(task.faces)
    inside = (x >= left[0] - margin) & (x <= right[0] + margin) & ((y - (left[1] + right[1]) / 2).abs() <= height / 2)
    clean = task.faces.pixels.detach()
    delta = torch.where(inside[:, None], task.in_range(shade - clean), 0.0)
    task.heard(1, delta)
    return delta


BOX = Method("box", "Newton et al. 2005", "untargeted", box)
EYE_BAR = Method("eye-bar", "Newton et al. 2005", "untargeted", eye_bar)
