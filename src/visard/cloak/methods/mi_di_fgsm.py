"""M-DI2-FGSM: sign steps on accumulated gradients of randomly displaced pictures.

Papers: Dong et al., "Boosting adversarial attacks with momentum", CVPR 2018, equations 6 and 7 (momentum, decay 1);
Xie et al., "Improving transferability of adversarial examples with input diversity", CVPR 2019, section 3.4
(probability .5, together with momentum). Norm: Linf. Official arguments: eps 15/255 or 16/255, alpha 1/255 or
eps/steps; ours: eps 8/255 as the other methods here, 20 steps.
"""

from torch import Tensor

from visard.cloak import step
from visard.cloak.budget import Linf
from visard.cloak.loop import Task, descend
from visard.cloak.method import Method
from visard.cloak.transform import input_diversity


def mi_di_fgsm(
    task: Task,
    *,
    eps: float = 8 / 255,
    alpha: float = 1 / 255,
    steps: int = 20,
    decay: float = 1.0,
    probability: float = 0.5,
) -> Tensor:
    """`steps` sign steps of `alpha` within `eps`, both in [0, 1]; momentum `decay`; diversity `probability`."""
    return descend(
        task,
        step=step.momentum(step.sign(alpha), decay),
        budget=Linf(eps),
        steps=steps,
        transform=input_diversity(task.generator, probability=probability),
    )


MI_DI_FGSM = Method("mi-di-fgsm", "Dong et al. 2018; Xie et al. 2019", "either", mi_di_fgsm)
