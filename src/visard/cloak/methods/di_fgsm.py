"""DI-FGSM: sign steps on gradients of randomly reduced and padded pictures.

Paper: Xie et al., "Improving transferability of adversarial examples with input diversity", CVPR 2019, equation 4.
Norm: Linf. Official arguments: eps 15/255, alpha 1/255, probability .5, no momentum; ours: eps 8/255 as the other
methods here, 20 steps, the picture reduced by up to a tenth instead of enlarged.
"""

from torch import Tensor

from visard.cloak import step
from visard.cloak.budget import Linf
from visard.cloak.loop import Task, descend
from visard.cloak.method import Method
from visard.cloak.transform import input_diversity


def di_fgsm(
    task: Task,
    *,
    eps: float = 8 / 255,
    alpha: float = 1 / 255,
    steps: int = 20,
    probability: float = 0.5,
) -> Tensor:
    """`steps` sign steps of `alpha` within `eps`, both in [0, 1]; diversity with `probability`."""
    return descend(
        task,
        step=step.sign(alpha),
        budget=Linf(eps),
        steps=steps,
        transform=input_diversity(task.generator, probability=probability),
    )


DI_FGSM = Method("di-fgsm", "Xie et al. 2019", "either", di_fgsm)
