"""noise: a classical baseline, random and blind to the objective.

The control of every cloak: what a change of this size does by chance. Norm: Linf for uniform noise; Gaussian noise
has deviation eps. Drawn per channel and pixel of the patch.
"""

from typing import Literal

import torch
from torch import Tensor

from visard.cloak.init import uniform
from visard.cloak.loop import Task
from visard.cloak.method import Method


def noise(task: Task, *, eps: float = 8 / 255, kind: Literal["uniform", "gaussian"] = "uniform") -> Tensor:
    """Noise within `eps`, or of deviation `eps`, in [0, 1]."""
    clean = task.faces.pixels.detach()
    if kind == "uniform":
        drawn = uniform(eps, task.generator)(clean)
    else:
        drawn = eps * torch.randn(clean.shape, generator=task.generator).to(clean)
    delta = task.in_range(drawn)
    task.heard(1, delta)
    return delta


NOISE = Method("noise", "random noise", "untargeted", noise)
