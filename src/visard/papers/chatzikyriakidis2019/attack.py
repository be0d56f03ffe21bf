"""An attack that stops at a face's first success, and the search of its settings."""

from collections.abc import Sequence
from contextlib import suppress
from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visard.cloak import Faces, Task, find
from visard.face import ARCFACE_112
from visard.papers.rows import mean
from visard.papers.study import Row

OURS, OTHERS = "P-FGVM", ("I-FGVM", "I-FGSM")
METHODS = (OURS, *OTHERS)
LEAST_FOOLED = 0.95
SIDE = ARCFACE_112.size[0]


class Fooled(Exception):
    """Every face is taken for somebody else."""


class FirstSuccess:
    """Targeted cross-entropy of `classifier` that remembers of each face when it was first taken for somebody else.

    An objective to go with any method: it is asked at each step. `change` (N, C, H, W) and `steps` (N,) are those of
    the first success, or the latest; `fooled` (N,); `named` (N,): as whom. A face that is done costs no more, and
    ``Fooled`` is raised when all are.
    """

    def __init__(self, classifier: nn.Module, pictures: Tensor, labels: Tensor, targets: Tensor) -> None:
        self.classifier, self.pictures, self.labels, self.targets = classifier, pictures, labels, targets
        self.change = torch.zeros_like(pictures)
        self.fooled = torch.zeros(len(labels), dtype=torch.bool)
        self.named, self.steps = labels.clone(), torch.zeros_like(labels)
        self._asked = 0

    def __call__(self, faces: Faces) -> Tensor:
        todo = (~self.fooled).nonzero()[:, 0]
        logits = self.classifier(faces.pixels[todo])
        self.named[todo] = logits.detach().argmax(dim=1)
        self.change[todo] = (faces.pixels - self.pictures).detach()[todo]
        self.steps[todo] = self._asked
        self._asked += 1
        self.fooled[todo] = self.named[todo] != self.labels[todo]
        if self.fooled.all():
            raise Fooled
        losses = F.cross_entropy(logits, self.targets[todo], reduction="none")
        return losses.new_zeros(len(self.labels)).index_add(0, todo, losses)

    def row(self, face: int) -> Row:
        """What became of a face."""
        change = self.change[face]
        return {"fooled": bool(self.fooled[face]), "steps": int(self.steps[face]), "l2": float(change.norm())}


def attack(
    classifier: nn.Module,
    method: str,
    pictures: Tensor,
    labels: Tensor,
    targets: Tensor,
    steps: int,
    **settings: float,
) -> FirstSuccess:
    """What `method` made of `pictures` (N, 3, H, W) of the people `labels` (N,), steered to `targets` (N,), until each
    face's first success or `steps` steps."""
    objective = FirstSuccess(classifier, pictures, labels, targets)
    task = Task(Faces(pictures), objective, classifier=classifier, labels=labels)
    with suppress(Fooled):
        change = find(method.lower()).cloak(task, steps=steps, **settings)
        objective(task.seen(change))  # where the last step led
    return objective


def settings_of(method: str, length: float, bound: float, slope: float) -> dict[str, float]:
    """A method's settings for a first step of `length` (L2) where the gradient is `slope` long (L2).

    `bound`: eps in /255, or for P-FGVM alpha times lambda, the share of the change that a step takes back.
    """
    if method == "I-FGSM":
        return {"alpha": length / sqrt(3 * SIDE**2), "eps": bound / 255}
    alpha = length / slope
    return {"alpha": alpha, "realism": bound / alpha} if method == OURS else {"alpha": alpha, "eps": bound / 255}


def chosen(rows: Sequence[Row]) -> tuple[float, float]:
    """The (length, bound) that a search's `rows` speak for: of those that fool at least 95 % of the photos, the one
    with the smallest mean L2; where none does, the one that fools most."""
    tried = by_setting(rows)

    def order(setting: tuple[float, float]) -> tuple[float, float]:
        return -min(mean(tried[setting], "fooled"), LEAST_FOOLED), mean(tried[setting], "l2")

    return min(tried, key=order)


def by_setting(rows: Sequence[Row]) -> dict[tuple[float, float], list[Row]]:
    """A search's rows by (length, bound), in order."""
    found: dict[tuple[float, float], list[Row]] = {}
    for row in rows:
        found.setdefault((row["length"], row["bound"]), []).append(row)
    return found
