"""MI-FGSM: sign steps on accumulated gradients.

Paper: Dong et al., "Boosting adversarial attacks with momentum", CVPR 2018, equations 6 and 7: ``g <- decay * g +
grad / ||grad||_1``, ``x <- x + alpha * sign(g)``. Norm: Linf. Official arguments: eps 16/255, alpha eps/steps, 10
steps, decay 1; ours: eps 8/255, alpha 1/255, 20 steps, as the other methods here. The norm is taken as the mean
magnitude, which a sign step does not see.
"""

from torch import Tensor

from visard.cloak import step
from visard.cloak.budget import Linf
from visard.cloak.loop import Task, descend
from visard.cloak.method import Method


def mi_fgsm(
    task: Task,
    *,
    eps: float = 8 / 255,
    alpha: float = 1 / 255,
    steps: int = 20,
    decay: float = 1.0,
) -> Tensor:
    """`steps` sign steps of `alpha` within `eps`, both in [0, 1]; momentum `decay`."""
    return descend(task, step=step.momentum(step.sign(alpha), decay), budget=Linf(eps), steps=steps)


MI_FGSM = Method("mi-fgsm", "Dong et al. 2018", "either", mi_fgsm)
