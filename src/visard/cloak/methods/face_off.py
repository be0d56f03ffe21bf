"""Face-Off: a small change in the Euclidean norm, then amplified.

Paper: Chandrasekaran et al., "Face-Off: adversarial face obfuscation", PoPETs 2021, sections 4 and 5: a change found
on a surrogate (PGD or C&W, L2) toward a target person or away from oneself is multiplied by an amplification alpha >
1 before it is added, so that it carries over to other recognizers. Norm: L2 (before the amplification). Our reading:
L2 steps within an L2 ball on the task's objective (the paper's hinge between target's and own distance is left to the
objective); then ``x + amplification * delta``, clipped to [0, 1]. The paper varies alpha from 1 to 5 on 96 px faces.
`eps` is the root mean square over the picture, which makes it one setting for all sizes.
"""

import math

from torch import Tensor

from visard.cloak import step
from visard.cloak.budget import L2
from visard.cloak.loop import Task, descend
from visard.cloak.method import Method


def face_off(
    task: Task,
    *,
    eps: float = 2 / 255,
    alpha: float = 0.25 / 255,
    steps: int = 20,
    amplification: float = 3.0,
) -> Tensor:
    """`steps` steps of `alpha` within `eps`, both root mean squares in [0, 1], then `amplification` times that far."""
    length = math.sqrt(task.faces.pixels[0].numel())
    delta = descend(task, step=step.l2(alpha), budget=L2(eps * length), steps=steps)
    return task.in_range(amplification * delta)


FACE_OFF = Method("face-off", "Chandrasekaran et al. 2021", "either", face_off)
