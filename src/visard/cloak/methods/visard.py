"""visard: the default. The structure that may be lost is spent where it moves the embedding most.

Ours. The budget is the structural similarity itself, not a bound on pixels: every face loses the same, and a smooth
background next to nothing, since a change there costs more than it moves. A step follows the values of the gradient,
weighed by how large a change each pixel bears (contrast masking); signs would spend as much on pixels that matter
little. Between the change and the surrogates' eyes lie a random resizing, for photos are posted smaller, and another
detector's alignment. A surrogate counts by how near its threshold is to 1, so that none is left aside because its
cosines move less. Gradients are accumulated (Dong et al. 2018) and mostly gray, for the eye sees colored noise first.
Norm: structural similarity, and Linf as a cap. Arguments tuned on people and with jurors that no figure of
docs/benchmark.md counts as held out.
"""

from dataclasses import replace

from torch import Tensor

from visard.cloak import step
from visard.cloak.budget import Both, Linf, Structure
from visard.cloak.geometry import unit_of
from visard.cloak.loop import Task, descend
from visard.cloak.method import Method
from visard.cloak.objective import Objective, dodging, impersonation, mirrored_anchors
from visard.cloak.transform import chain, jitter, resized
from visard.recognizer import Recognizer

# side of the crop on which the verdict measures similarity, pixels of the canonical frame
_CROP = 160
_FMR = 1e-3
STRENGTHS = {"low": {"ssim": 0.985}, "medium": {"ssim": 0.975}, "high": {"ssim": 0.96}}


def visard(
    task: Task,
    *,
    ssim: float = 0.975,
    cap: float = 24 / 255,
    color: float = 0.1,
    steps: int = 30,
    rate: float = 0.15,
    decay: float = 0.7,
    smallest: float = 0.45,
) -> Tensor:
    """`steps` steps. The structural similarity of the face with its surroundings stays at least `ssim`, in (0, 1), and
    no pixel changes by more than `cap` in [0, 1]. One step alone could take the share `rate` of the budget. `color`:
    share of the gradient's colored part that is followed. Photos are expected to be posted at `smallest` to full size.
    """
    area = _CROP**2 * unit_of(task.faces).square()
    structure = Structure(task.faces.pixels, ssim, area, task.mask)
    weighed = step.weighed(lambda direction: rate * structure.fill(direction), structure.tolerance)
    return descend(
        replace(task, objective=_objective(task)),
        step=step.muted(step.momentum(weighed, decay), color),
        budget=Both(Linf(cap), structure),
        steps=steps,
        transform=chain(jitter(task.generator), resized(task.generator, low=smallest)),
    )


def _objective(task: Task) -> Objective:
    """The task's, with its surrogates weighed."""
    if not task.surrogates:
        return task.objective
    weights = [_weight(surrogate) for surrogate in task.surrogates]
    if task.targets:
        return impersonation(task.surrogates, task.targets, weights)
    return dodging(task.surrogates, mirrored_anchors(task.surrogates, task.faces), weights)


def _weight(surrogate: Recognizer) -> float:
    """1 over the way from a perfect match to its threshold; what has no threshold counts like an average recognizer."""
    thresholds = surrogate.card.valid_thresholds
    return 1 / (1 - thresholds[_FMR].value) if _FMR in thresholds else 1.5


VISARD = Method("visard", "visard", "either", visard, strengths=STRENGTHS)
