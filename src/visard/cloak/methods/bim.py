"""BIM and ILLC: sign steps of one gray level.

Paper: Kurakin, Goodfellow and Bengio, "Adversarial examples in the physical world", 2017, sections 2.2 (basic
iterative method, away from the true class) and 2.3 (iterative least-likely class, toward it). Norm: Linf.
Official arguments: alpha = 1/255, steps = floor(min(eps + 4, 1.25 eps)) for eps in gray levels. The two differ in
their objective only: closed-set, ILLC takes ``objective.least_likely``; open-set it needs a target.
"""

import math

from torch import Tensor

from visard.cloak import step
from visard.cloak.budget import Linf
from visard.cloak.loop import Task, descend
from visard.cloak.method import Method


def kurakin_steps(eps: float) -> int:
    """The paper's number of steps for `eps` in [0, 1]: 5, 10, 20, 36, 68, 132 at 4, 8, 16, 32, 64, 128 / 255."""
    levels = round(255 * eps, 6)
    return max(1, math.floor(min(levels + 4, 1.25 * levels)))


def bim(
    task: Task,
    *,
    eps: float = 8 / 255,
    alpha: float = 1 / 255,
    steps: int | None = None,
) -> Tensor:
    """Sign steps of `alpha` within `eps`, both in [0, 1]; `steps` None: the paper's number for this eps."""
    count = kurakin_steps(eps) if steps is None else steps
    return descend(task, step=step.sign(alpha), budget=Linf(eps), steps=count)


BIM = Method("bim", "Kurakin et al. 2017", "untargeted", bim)
ILLC = Method("illc", "Kurakin et al. 2017", "targeted", bim)
