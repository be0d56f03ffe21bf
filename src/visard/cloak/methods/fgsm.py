"""FGSM: the fast gradient sign method.

Paper: Goodfellow, Shlens and Szegedy, "Explaining and harnessing adversarial examples", ICLR 2015, section 4:
``x' = x + eps * sign(grad J)``. Norm: Linf. The paper's eps .25 is for digits; for faces 8/255, and .03 and .1 in
`yang2021systematical`.
"""

from torch import Tensor

from visard.cloak import step
from visard.cloak.budget import Linf
from visard.cloak.loop import Task, descend
from visard.cloak.method import Method


def fgsm(task: Task, *, eps: float = 8 / 255) -> Tensor:
    """One sign step of size `eps`, in [0, 1]."""
    return descend(task, step=step.sign(eps), budget=Linf(eps), steps=1)


FGSM = Method("fgsm", "Goodfellow et al. 2015", "either", fgsm)
