"""PGD: sign steps from random starts, the best of several.

Paper: Madry et al., "Towards deep learning models resistant to adversarial attacks", ICLR 2018, equation 2 and
section 4. Norm: Linf. Official arguments: eps 8/255, alpha 2/255, 7 to 20 steps (CIFAR-10), uniform random start;
ours the same with 20 steps. Of the restarts each face keeps the change with its lowest objective.
"""

from torch import Tensor

from visard.cloak import step
from visard.cloak.budget import Linf
from visard.cloak.init import uniform
from visard.cloak.loop import Task, best_of, descend
from visard.cloak.method import Method


def pgd(
    task: Task,
    *,
    eps: float = 8 / 255,
    alpha: float = 2 / 255,
    steps: int = 20,
    restarts: int = 1,
) -> Tensor:
    """`steps` sign steps of `alpha` within `eps`, both in [0, 1], from each of `restarts` random starts."""
    return best_of(
        task,
        restarts,
        lambda task: descend(
            task, step=step.sign(alpha), budget=Linf(eps), steps=steps, init=uniform(eps, task.generator)
        ),
    )


PGD = Method("pgd", "Madry et al. 2018", "either", pgd)
