"""The one loop. Every iterative method is a choice of step, budget and transform around it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor, nn

from visard.cloak.budget import Budget
from visard.cloak.init import Init, image
from visard.cloak.objective import Faces, Objective
from visard.cloak.step import Step
from visard.cloak.transform import Transform, identity
from visard.errors import SettingError
from visard.recognizer import Recognizer

Watch = Callable[[int, Tensor], None]


@dataclass(frozen=True, slots=True)
class Task:
    """What a method is asked to do: change the pixels of `faces` so that `objective` falls.

    `mask` (N, 1, H, W) in [0, 1]: how much of a change reaches the picture, None for all of it; `generator`: where
    every random draw comes from; `watch` hears of (step from 1, change) after each step.

    What the objective was made of, for methods whose objective is their own: open-set, `surrogates` and the people to
    steer toward, `targets`: embeddings (T, D) per surrogate; closed-set, `classifier`, which gives logits (N, K), and
    the faces' true `labels` (N,).
    """

    faces: Faces
    objective: Objective
    mask: Tensor | None = None
    generator: Generator = field(default_factory=lambda: Generator().manual_seed(0))
    watch: Watch | None = None
    surrogates: Sequence[Recognizer] = ()
    targets: Sequence[Tensor] = ()
    classifier: nn.Module | None = None
    labels: Tensor | None = None


def descend(
    task: Task,
    *,
    step: Step,
    budget: Budget,
    steps: int,
    transform: Transform = identity,
    init: Init = image,
) -> Tensor:
    """The change (N, C, H, W) found by `steps` steps on the task's objective.

    ::

        g = grad_delta  sum_i objective(transform(x + mask * delta))_i
        delta = clip01(budget.project(delta - step(g)))

    The per-face losses are summed, never averaged, so a face's path does not depend on the batch it is in. After
    every step the change is within the budget and ``x + delta`` within [0, 1]. Raises ``SettingError`` when `steps`
    is negative.
    """
    if steps < 0:
        raise SettingError(f"steps must be 0 or more, got {steps}.")
    clean = task.faces.pixels.detach()

    darkest, lightest = -clean, 1 - clean

    def allowed(delta: Tensor) -> Tensor:
        return budget.project(delta).clamp(darkest, lightest)

    delta = allowed(init(clean))
    for t in range(1, steps + 1):
        delta.requires_grad_(True)
        seen = clean + (delta if task.mask is None else task.mask * delta)
        loss = task.objective(transform(task.faces._replace(pixels=seen))).sum()
        (gradient,) = torch.autograd.grad(loss, delta)
        delta = allowed(delta.detach() - step(gradient))
        if task.watch is not None:
            task.watch(t, delta)
    return delta
