"""MEF: momentum steps toward flat minima, on gradients where the neighborhood is worst.

Paper: Qiu et al., "Enhancing adversarial transferability through neighborhood conditional sampling", 2024 (arXiv
2405.16181; later "... via maximin expected flatness"). Norm: Linf. Our reading: minimize the mean of ``max L`` over
small regions around random neighbors; each maximum is approached along the neighbor's earlier gradients, so that a
step costs one gradient per neighbor. Official arguments: eps 16/255, 20 neighbors within ``2 eps``, regions of ``.15
eps``, inner decay .9, momentum .5; ours: eps 8/255, alpha 1/255, 20 steps, 5 neighbors for the time they take. The
published code subtracts the decayed inner memory, which turns its sign at every step; ours adds it.
"""

from torch import Tensor

from visard.cloak import step
from visard.cloak.budget import Linf
from visard.cloak.look import worst_nearby
from visard.cloak.loop import Task, descend
from visard.cloak.method import Method


def mef(
    task: Task,
    *,
    eps: float = 8 / 255,
    alpha: float = 1 / 255,
    steps: int = 20,
    decay: float = 0.5,
    neighbors: int = 5,
    radius: float = 2.0,
    climb: float = 0.15,
    inner_decay: float = 0.9,
) -> Tensor:
    """`steps` sign steps of `alpha` within `eps`, both in [0, 1]; momentum `decay`; gradients at `neighbors` within
    `radius` times eps, moved uphill by `climb` times eps with memory `inner_decay`."""
    return descend(
        task,
        step=step.momentum(step.sign(alpha), decay),
        budget=Linf(eps),
        steps=steps,
        look=worst_nearby(task.generator, neighbors, radius * eps, climb * eps, inner_decay),
    )


MEF = Method("mef", "Qiu et al. 2024", "either", mef)
