"""P-FGVM: value steps with a pull back to the picture.

Paper: Chatzikyriakidis, Papaioannidis and Pitas, "Adversarial face de-identification", ICIP 2019, equation 4: the
objective plus ``lambda / 2 * ||x_t - x||^2``, whose gradient is exactly ``lambda * (x_t - x)``. Norm: none, only the
picture's range. The paper prints neither alpha, lambda nor steps; ours come from the search that
``benchmarks/value_steps.py`` declares and prints.
"""

from dataclasses import replace

from torch import Tensor

from visard.cloak import step
from visard.cloak.budget import Unbounded
from visard.cloak.init import Init, gaussian, image
from visard.cloak.loop import Task, descend
from visard.cloak.method import Method
from visard.cloak.objective import Faces


def p_fgvm(
    task: Task,
    *,
    alpha: float = 3.0,
    realism: float = 0.1,
    steps: int = 20,
    from_noise: bool = False,
) -> Tensor:
    """`steps` steps of `alpha` times the gradient; `realism` is the paper's lambda. `from_noise` starts at Gaussian
    noise, as the paper's figure of the evolution does."""
    clean = task.faces.pixels

    def realistic(seen: Faces) -> Tensor:
        return task.objective(seen) + realism / 2 * (seen.pixels - clean).square().sum(dim=(1, 2, 3))

    init: Init = gaussian(task.generator) if from_noise else image
    return descend(
        replace(task, objective=realistic), step=step.value(alpha), budget=Unbounded(), steps=steps, init=init
    )


P_FGVM = Method("p-fgvm", "chatzikyriakidis2019", "either", p_fgvm)
