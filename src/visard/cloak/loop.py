"""The one loop. Every iterative method is a choice of step, budget, transform and look around it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Generator, Tensor, nn

from visard.cloak.budget import Budget
from visard.cloak.init import Init, image
from visard.cloak.look import Look, here
from visard.cloak.objective import Faces, Objective
from visard.cloak.step import Step
from visard.cloak.transform import Transform, identity
from visard.errors import SettingError
from visard.recognizer import Recognizer

Watch = Callable[[int, Tensor], None]


class TimeUp(Exception):
    """A task's time is up; `delta` is the change so far."""

    def __init__(self, delta: Tensor) -> None:
        super().__init__()
        self.delta = delta


@dataclass(frozen=True, slots=True)
class Task:
    """What a method is asked to do: change the pixels of `faces` so that `objective` falls.

    `mask` (N, 1, H, W) in [0, 1]: how much of a change reaches the picture, None for all of it; `generator`: where
    every random draw comes from; `watch` hears of (step from 1, change) after each step; `until`: the moment of
    ``time.monotonic`` after which no step begins.

    What the objective was made of, for methods whose objective is their own: open-set, `surrogates` and the people to
    steer toward, `targets`: embeddings (T, D) per surrogate, and `target_faces`: their pictures, one face each;
    closed-set, `classifier`, which gives logits (N, K), and the faces' true `labels` (N,).
    """

    faces: Faces
    objective: Objective
    mask: Tensor | None = None
    generator: Generator = field(default_factory=lambda: Generator().manual_seed(0))
    watch: Watch | None = None
    until: float | None = None
    surrogates: Sequence[Recognizer] = ()
    targets: Sequence[Tensor] = ()
    target_faces: Sequence[Faces] = ()
    classifier: nn.Module | None = None
    labels: Tensor | None = None

    def seen(self, delta: Tensor) -> Faces:
        """The faces as they look with the change `delta` (N, C, H, W): ``x + mask * delta``."""
        return self.faces._replace(pixels=self.faces.pixels.detach() + self.masked(delta))

    def masked(self, delta: Tensor) -> Tensor:
        """The part of `delta` that reaches the picture."""
        return delta if self.mask is None else self.mask * delta

    def in_range(self, delta: Tensor) -> Tensor:
        """`delta`, clipped so that ``x + delta`` stays within [0, 1]."""
        clean = self.faces.pixels.detach()
        return delta.clamp(-clean, 1 - clean)

    @property
    def listening(self) -> bool:
        """Whether anybody asks for the change after each step, where it costs something to tell."""
        return self.watch is not None or self.until is not None

    def heard(self, step: int, delta: Tensor) -> None:
        """Tells `watch`, if there is one, of step number `step` and the change after it; raises ``TimeUp`` if so."""
        if self.watch is not None:
            self.watch(step, delta)
        if self.until is not None and time.monotonic() > self.until:
            raise TimeUp(delta)


def slope(
    task: Task, delta: Tensor, transforms: Sequence[Transform] = (identity,), objective: Objective | None = None
) -> tuple[Tensor, Tensor]:
    """The objective (N,) at the change `delta` and its gradient (N, C, H, W) there, means over `transforms`.

    `objective` stands in for the task's. Faces do not mix: the per-face losses are summed before they are derived.
    """
    objective = task.objective if objective is None else objective
    point = delta.detach().requires_grad_(True)
    losses, gradient = delta.new_zeros(len(delta)), torch.zeros_like(point)
    # one view at a time: the activations of one are in memory
    for transform in transforms:
        loss = objective(transform(task.seen(point)))
        (view,) = torch.autograd.grad(loss.sum(), point)
        losses, gradient = losses + loss.detach(), gradient + view
    return losses / len(transforms), gradient / len(transforms)


def descend(
    task: Task,
    *,
    step: Step,
    budget: Budget,
    steps: int,
    transform: Transform | Sequence[Transform] = identity,
    init: Init = image,
    look: Look = here,
) -> Tensor:
    """The change (N, C, H, W) found by `steps` steps on the task's objective.

    ::

        g = look( grad_delta  mean_transforms sum_i objective(transform(x + mask * delta))_i )
        delta = clip01(budget.project(delta - step(g)))

    `transform`: one, or several, over whose views the gradient is averaged. `look`: where the gradient is taken, at
    `delta` itself or around it. The per-face losses are summed, never averaged, so a face's path does not depend on
    the batch it is in. After every step the change is within the budget and ``x + delta`` within [0, 1]. Raises
    ``SettingError`` when `steps` is negative or there are no transforms.
    """
    if steps < 0:
        raise SettingError(f"steps must be 0 or more, got {steps}.")
    transforms = [transform] if callable(transform) else list(transform)
    if not transforms:
        raise SettingError("there must be at least one view of the picture, got 0 transforms.")

    def gradient_at(delta: Tensor) -> Tensor:
        return slope(task, delta, transforms)[1]

    delta = task.in_range(budget.project(init(task.faces.pixels.detach())))
    for t in range(1, steps + 1):
        delta = task.in_range(budget.project(delta - step(look(gradient_at, delta))))
        task.heard(t, delta)
    return delta


def best_of(task: Task, restarts: int, attempt: Callable[[Task], Tensor]) -> Tensor:
    """For each face, of `restarts` results of `attempt` (N, C, H, W) the one with the lowest objective.

    `watch` hears the attempts' steps counted on. Raises ``SettingError`` when `restarts` is less than 1.
    """
    if restarts < 1:
        raise SettingError(f"restarts must be 1 or more, got {restarts}.")
    counted = 0

    def watch(_step: int, delta: Tensor) -> None:
        nonlocal counted
        counted += 1
        task.heard(counted, delta)

    best, lowest = attempt(replace(task, watch=watch)), None
    for _ in range(restarts - 1):
        other = attempt(replace(task, watch=watch))
        with torch.no_grad():
            lowest = task.objective(task.seen(best)) if lowest is None else lowest
            loss = task.objective(task.seen(other))
        best = torch.where((loss < lowest).view(-1, 1, 1, 1), other, best)
        lowest = torch.minimum(loss, lowest)
    return best
