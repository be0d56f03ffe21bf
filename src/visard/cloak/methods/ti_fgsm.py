"""TI-FGSM: sign steps on smoothed gradients, those of the picture at many shifts.

Paper: Dong et al., "Evading defenses to transferable adversarial examples by translation-invariant attacks", CVPR
2019, equation 7: ``x' = x + alpha * sign(W * grad)``, W a Gaussian kernel. Norm: Linf. Official arguments: eps
16/255, kernel 15 x 15 of deviation 3 for 299 px, with momentum ("TI-MI-FGSM": ``decay=1``); ours: eps 8/255, alpha
1/255, 20 steps, kernel 7 x 7 (a sixth of the size as its deviation), since recognizers align what they see.
"""

from torch import Tensor

from visard.cloak import step
from visard.cloak.budget import Linf
from visard.cloak.loop import Task, descend
from visard.cloak.method import Method


def ti_fgsm(
    task: Task,
    *,
    eps: float = 8 / 255,
    alpha: float = 1 / 255,
    steps: int = 20,
    kernel: int = 7,
    decay: float = 0.0,
) -> Tensor:
    """`steps` sign steps of `alpha` within `eps`, both in [0, 1]; `kernel`: its side in pixels; momentum `decay`."""
    return descend(
        task,
        step=step.smoothed(step.momentum(step.sign(alpha), decay), kernel),
        budget=Linf(eps),
        steps=steps,
    )


TI_FGSM = Method("ti-fgsm", "Dong et al. 2019", "either", ti_fgsm)
