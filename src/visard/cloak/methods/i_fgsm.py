"""I-FGSM: iterative sign steps, as `chatzikyriakidis2019` compares them.

Paper: Chatzikyriakidis, Papaioannidis and Pitas, "Adversarial face de-identification", ICIP 2019, equation 2
(after Kurakin et al. 2017). Norm: Linf. The paper prints neither eps, alpha nor steps; ours are 8/255, 1/255, 20.
"""

from torch import Tensor

from visard.cloak import step
from visard.cloak.budget import Linf
from visard.cloak.loop import Task, descend
from visard.cloak.method import Method


def i_fgsm(
    task: Task,
    *,
    eps: float = 8 / 255,
    alpha: float = 1 / 255,
    steps: int = 20,
) -> Tensor:
    """`steps` sign steps of `alpha` within `eps`, both in [0, 1]."""
    return descend(task, step=step.sign(alpha), budget=Linf(eps), steps=steps)


I_FGSM = Method("i-fgsm", "chatzikyriakidis2019", "either", i_fgsm)
