"""LGC: momentum steps on gradients of faces with squares about their landmarks cut out.

Paper: Yang et al., "Delving into the adversarial robustness on face recognition", 2020 (landmark-guided cutout).
Norm: Linf. The paper prints eps 8/255 and momentum and not all sizes; our reading: 4 squares of 12 of the canonical
frame's 112 pixels, each about a random landmark (eyes, nose tip, mouth corners), set to the picture's mean and drawn
anew at each step; alpha 1/255, 20 steps.
"""

from torch import Tensor

from visard.cloak import step
from visard.cloak.budget import Linf
from visard.cloak.loop import Task, descend
from visard.cloak.method import Method
from visard.cloak.transform import cutout


def lgc(
    task: Task,
    *,
    eps: float = 8 / 255,
    alpha: float = 1 / 255,
    steps: int = 20,
    decay: float = 1.0,
    squares: int = 4,
    size: float = 12.0,
) -> Tensor:
    """`steps` sign steps of `alpha` within `eps`, both in [0, 1]; momentum `decay`; `squares` of side `size` in pixels
    of the canonical frame are cut out."""
    return descend(
        task,
        step=step.momentum(step.sign(alpha), decay),
        budget=Linf(eps),
        steps=steps,
        transform=cutout(task.generator, squares, size),
    )


LGC = Method("lgc", "Yang et al. 2020", "either", lgc)
