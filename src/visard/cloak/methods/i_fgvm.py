"""I-FGVM: iterative steps along the gradient's values.

Paper: Chatzikyriakidis, Papaioannidis and Pitas, "Adversarial face de-identification", ICIP 2019, equation 3 (after
Rozsa et al. 2016). Norm: Linf. The paper prints neither eps, alpha nor steps; ours come from the search that
``benchmarks/value_steps.py`` declares and prints.
"""

from torch import Tensor

from visard.cloak import step
from visard.cloak.budget import Linf
from visard.cloak.loop import Task, descend
from visard.cloak.method import Method


def i_fgvm(
    task: Task,
    *,
    eps: float = 8 / 255,
    alpha: float = 3.0,
    steps: int = 20,
) -> Tensor:
    """`steps` steps of `alpha` times the gradient within `eps` in [0, 1]."""
    return descend(task, step=step.value(alpha), budget=Linf(eps), steps=steps)


I_FGVM = Method("i-fgvm", "chatzikyriakidis2019", "either", i_fgvm)
