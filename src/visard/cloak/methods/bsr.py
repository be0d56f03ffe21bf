"""BSR: momentum steps on gradients of pictures whose blocks are shuffled and turned.

Paper: Wang et al., "Boosting adversarial transferability by block shuffle and rotation", CVPR 2024, section 3.3.
Norm: Linf. Official arguments: eps 16/255, 10 steps, decay 1, 2 x 2 blocks, 24 degrees, 20 copies; ours: eps 8/255,
alpha 1/255, 20 steps, 5 copies for the time they take. The blocks are cut from the face's canonical crop, and each is
turned by its own angle (the published code turns whole columns or rows).
"""

from torch import Tensor

from visard.cloak import step
from visard.cloak.budget import Linf
from visard.cloak.loop import Task, descend
from visard.cloak.method import Method
from visard.cloak.transform import block_shuffle


def bsr(
    task: Task,
    *,
    eps: float = 8 / 255,
    alpha: float = 1 / 255,
    steps: int = 20,
    decay: float = 1.0,
    copies: int = 5,
    blocks: int = 2,
    degrees: float = 24.0,
) -> Tensor:
    """`steps` sign steps of `alpha` within `eps`, both in [0, 1]; momentum `decay`; `copies`, each of `blocks` x
    `blocks` parts turned by up to `degrees`."""
    return descend(
        task,
        step=step.momentum(step.sign(alpha), decay),
        budget=Linf(eps),
        steps=steps,
        transform=[block_shuffle(task.generator, blocks, degrees)] * copies,
    )


BSR = Method("bsr", "Wang et al. 2024", "either", bsr)
