"""DeepFool: step by step to the nearest decision boundary, taken for a plane.

Paper: Moosavi-Dezfooli, Fawzi and Frossard, "DeepFool: a simple and accurate method to fool deep neural networks",
CVPR 2016. Norm: L2. Closed-set, algorithm 2: of the classes k, ``l = argmin |f_k| / ||w_k||``, ``r = |f_l| /
||w_l||^2 w_l`` with f_k, w_k the logits' and gradients' difference to the true class. Open-set, algorithm 1: one
boundary, where the objective is `fall` below its clean value. Official arguments: overshoot .02, 50 steps, the 10
largest logits; ours the same with 20 steps. Closed-set it is untargeted, whatever the objective.
"""

import torch
from torch import Tensor

from visard.cloak.loop import Task, slope
from visard.cloak.margin import margin
from visard.cloak.method import Method
from visard.cloak.objective import Faces, Objective


def deepfool(
    task: Task,
    *,
    steps: int = 20,
    overshoot: float = 0.02,
    classes: int = 10,
    fall: float = 0.6,
) -> Tensor:
    """At most `steps` steps, each face until it succeeds; the sum goes `overshoot` further. `classes`: how many of the
    largest logits count; open-set success is an objective `fall` below its clean value."""
    far = margin(task, fall)
    planes = [far] if task.classifier is None else _differences(task, classes)
    total = torch.zeros_like(task.faces.pixels)
    delta = total
    for t in range(1, steps + 1):
        with torch.no_grad():
            going = far(task.seen(delta)) > 0
        if not going.any():
            break
        shortest = torch.full_like(going, torch.inf, dtype=total.dtype)
        step = torch.zeros_like(total)
        for plane in planes:
            value, gradient = slope(task, total, objective=plane)
            squared = gradient.square().sum(dim=(1, 2, 3)).clamp(min=1e-12)
            length = value.abs() / squared.sqrt()
            nearer = (length < shortest) & going
            step = torch.where(nearer.view(-1, 1, 1, 1), (value.abs() / squared).view(-1, 1, 1, 1) * gradient, step)
            shortest = torch.where(nearer, length, shortest)
        total = task.in_range(total - step)
        delta = task.in_range((1 + overshoot) * total)
        task.heard(t, delta)
    return delta


def _differences(task: Task, classes: int) -> list[Objective]:
    """For each but the first of the `classes` largest logits: the true class's logit less it."""
    classifier, labels = task.classifier, task.labels
    assert classifier is not None
    with torch.no_grad():
        logits = classifier(task.faces.pixels)
    own = logits.argmax(dim=1) if labels is None else labels
    others = logits.scatter(1, own[:, None], -torch.inf).argsort(dim=1, descending=True)

    def difference(other: Tensor) -> Objective:
        def value(faces: Faces) -> Tensor:
            logits = classifier(faces.pixels)
            gap: Tensor = logits.gather(1, own[:, None]) - logits.gather(1, other[:, None])
            return gap[:, 0]

        return value

    return [difference(others[:, k]) for k in range(min(classes, logits.shape[1]) - 1)]


DEEPFOOL = Method("deepfool", "Moosavi-Dezfooli et al. 2016", "either", deepfool)
