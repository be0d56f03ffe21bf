"""Admix: momentum steps on gradients of the picture with a little of another one, at several scales.

Paper: Wang et al., "Admix: enhancing the transferability of adversarial attacks", ICCV 2021, equation 4: mean
gradient over ``(x + share * x') / 2^i``. Norm: Linf. Official arguments: eps 16/255, 10 steps, share .2, 3 pictures
x' of other classes, 5 scales. Ours: eps 8/255, alpha 1/255, 20 steps; x' is the face itself, mirrored and rolled to a
random place (see ``transform.mixed``), drawn anew for every scale; 2 pictures and 3 scales, for the time they take.
"""

from torch import Tensor

from visard.cloak import step
from visard.cloak.budget import Linf
from visard.cloak.loop import Task, descend
from visard.cloak.method import Method
from visard.cloak.transform import chain, mixed, scaled


def admix(
    task: Task,
    *,
    eps: float = 8 / 255,
    alpha: float = 1 / 255,
    steps: int = 20,
    decay: float = 1.0,
    share: float = 0.2,
    pictures: int = 2,
    scales: int = 3,
) -> Tensor:
    """`steps` sign steps of `alpha` within `eps`, both in [0, 1]; momentum `decay`; `share` of each of `pictures` is
    mixed in, at `scales` 1, 1/2, 1/4, ..."""
    mix = mixed(task.generator, share)
    return descend(
        task,
        step=step.momentum(step.sign(alpha), decay),
        budget=Linf(eps),
        steps=steps,
        transform=[chain(mix, scaled(0.5**i)) for i in range(scales)] * pictures,
    )


ADMIX = Method("admix", "Wang et al. 2021", "either", admix)
