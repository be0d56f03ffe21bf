"""DFANet: momentum steps on networks that lose a share of their feature maps at every step.

Paper: Zhong and Deng, "Towards transferable adversarial attack against deep face recognition", TIFS 2020, equations 6
to 8: each convolution's output times a random 0/1 mask. Norm: Linf. Official arguments: eps 10/255, alpha 1/255, 1500
steps, drop rate .1, together with MI-FGSM; ours: eps 8/255, 20 steps. Kept values are divided by 1 - rate, so that
the networks see the scale they know.
"""

from dataclasses import replace

from torch import Tensor

from visard.cloak import step
from visard.cloak.budget import Linf
from visard.cloak.dropout import dropped
from visard.cloak.loop import Task, descend
from visard.cloak.method import Method
from visard.cloak.objective import Faces


def dfanet(
    task: Task,
    *,
    eps: float = 8 / 255,
    alpha: float = 1 / 255,
    steps: int = 20,
    decay: float = 1.0,
    rate: float = 0.1,
) -> Tensor:
    """`steps` sign steps of `alpha` within `eps`, both in [0, 1]; momentum `decay`; `rate` of every feature map is
    lost."""

    def thinned(faces: Faces) -> Tensor:
        with dropped(rate, task.generator):
            return task.objective(faces)

    return descend(
        replace(task, objective=thinned),
        step=step.momentum(step.sign(alpha), decay),
        budget=Linf(eps),
        steps=steps,
    )


DFANET = Method("dfanet", "Zhong and Deng 2020", "either", dfanet)
