"""NI-FGSM and SI-NI-FGSM: gradients where the momentum will lead, of the picture at several scales.

Paper: Lin et al., "Nesterov accelerated gradient and scale invariance for adversarial attacks", ICLR 2020: equations
6 to 8 (gradient at ``x + alpha * decay * g``) and equation 9 (mean gradient over the copies ``x / 2^i``). Norm: Linf.
Official arguments: eps 16/255, alpha eps/steps, 10 steps, decay 1, 5 copies; ours: eps 8/255, alpha 1/255, 20 steps.
The accumulated gradient is divided by its mean magnitude, not its sum: the look ahead then is as long as the coming
step, where the sum leaves it at nothing.
"""

from torch import Tensor

from visard.cloak import step
from visard.cloak.budget import Linf
from visard.cloak.look import ahead
from visard.cloak.loop import Task, descend
from visard.cloak.method import Method
from visard.cloak.transform import scaled


def ni_fgsm(
    task: Task,
    *,
    eps: float = 8 / 255,
    alpha: float = 1 / 255,
    steps: int = 20,
    decay: float = 1.0,
) -> Tensor:
    """`steps` sign steps of `alpha` within `eps`, both in [0, 1]; momentum `decay`."""
    return si_ni_fgsm(task, eps=eps, alpha=alpha, steps=steps, decay=decay, copies=1)


def si_ni_fgsm(
    task: Task,
    *,
    eps: float = 8 / 255,
    alpha: float = 1 / 255,
    steps: int = 20,
    decay: float = 1.0,
    copies: int = 5,
) -> Tensor:
    """`steps` sign steps of `alpha` within `eps`, both in [0, 1]; momentum `decay`; `copies` at 1, 1/2, 1/4, ..."""
    momentum = step.momentum(step.sign(alpha), decay)
    return descend(
        task,
        step=momentum,
        budget=Linf(eps),
        steps=steps,
        transform=[scaled(0.5**i) for i in range(copies)],
        look=ahead(momentum, alpha),
    )


NI_FGSM = Method("ni-fgsm", "Lin et al. 2020", "either", ni_fgsm)
SI_NI_FGSM = Method("si-ni-fgsm", "Lin et al. 2020", "either", si_ni_fgsm)
