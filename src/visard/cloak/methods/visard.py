"""visard: the default. Small where the eye looks, robust to what happens to a posted photo.

Ours. The objective's surrogates each see the face through their own template; between the change and their eyes
lie a random resizing (photos are posted smaller) and another detector's alignment; gradients are accumulated
(Dong et al. 2018); the budget follows local texture, so that smooth skin changes least, and the change is mostly gray,
since colored noise is seen first. Norm: Linf, per pixel. Arguments tuned on people and with jurors that no figure in
docs/benchmark.md uses.
"""

from torch import Tensor

from visard.cloak import step
from visard.cloak.budget import Linf, texture_eps
from visard.cloak.loop import Task, descend
from visard.cloak.method import Method
from visard.cloak.transform import chain, jitter, resized


def visard(
    task: Task,
    *,
    level: float = 8 / 255,
    floor: float = 1.7 / 255,
    cap: float = 24 / 255,
    color: float = 0.1,
    steps: int = 30,
    reach: float = 4.0,
    decay: float = 0.7,
    smallest: float = 0.45,
) -> Tensor:
    """`steps` steps. A pixel may change by `level` on average over the face, more in texture and less on smooth skin,
    which counts as texture of deviation `floor`, and at most by `cap`; all in [0, 1]. All steps together could go
    `reach` times that far. `color`: share of the gradient's colored part that is followed. Photos are expected to be
    posted at `smallest` to full size."""
    eps = texture_eps(task.faces.pixels, level, floor, cap, task.mask)
    descent = step.momentum(step.sign(eps * (reach / max(steps, 1))), decay)
    return descend(
        task,
        step=step.muted(descent, color),
        budget=Linf(eps),
        steps=steps,
        transform=chain(jitter(task.generator), resized(task.generator, low=smallest)),
    )


VISARD = Method("visard", "visard", "either", visard)
