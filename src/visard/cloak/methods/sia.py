"""SIA: momentum steps on gradients of pictures whose blocks are distorted, each in its own way.

Paper: Wang, Zhang and Zhang, "Structure invariant transformation for better adversarial transferability", ICCV 2023,
section 3.3. Norm: Linf. Official arguments: eps 16/255, 10 steps, decay 1, 3 x 3 blocks, 20 copies; ours: eps 8/255,
alpha 1/255, 20 steps, 5 copies for the time they take. The blocks are cut from the face's canonical crop.
"""

from torch import Tensor

from visard.cloak import step
from visard.cloak.budget import Linf
from visard.cloak.loop import Task, descend
from visard.cloak.method import Method
from visard.cloak.transform import distorted_blocks


def sia(
    task: Task,
    *,
    eps: float = 8 / 255,
    alpha: float = 1 / 255,
    steps: int = 20,
    decay: float = 1.0,
    copies: int = 5,
    blocks: int = 3,
) -> Tensor:
    """`steps` sign steps of `alpha` within `eps`, both in [0, 1]; momentum `decay`; `copies`, each of `blocks` x
    `blocks` parts."""
    return descend(
        task,
        step=step.momentum(step.sign(alpha), decay),
        budget=Linf(eps),
        steps=steps,
        transform=[distorted_blocks(task.generator, blocks)] * copies,
    )


SIA = Method("sia", "Wang et al. 2023", "either", sia)
