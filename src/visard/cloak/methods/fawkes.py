"""Fawkes: far in feature space, within a bound on structural dissimilarity.

Paper: Shan et al., "Fawkes: protecting privacy against unauthorized deep learning models", USENIX Security 2020, and
its software, releases 0.3 and 1.0. With f the features before they are brought to unit length, per face and summed
over the extractors, it minimizes ``sd max(DSSIM(x, x') - th, 0)^2 + w loss``, where `variant` is

- "v1.0": loss = -||f(x') - f(x)||^2 / ||f(x)||, away from the person. The variable is tanh-space, the change clamped to
  15/255; sd 1e6; Adadelta. The weight w starts at 1 and doubles after each step with DSSIM <= .9 th, halves after each
  with DSSIM >= 1.1 th, within [1/129, 129]; it is 1 again in between and when it turns. Kept is the farthest change
  with DSSIM <= 1.1 th. Modes (th, steps, learning rate): low .004, 40, 25; mid .012, 75, 20; high .017, 150, 15.
- "v0.3": loss = ||f(x') - g|| / ||g||, g = f(x) + 2 (f(t) - f(x)) for one target t, drawn from the 20 that are farthest
  from the face. Tanh-space; sd 1e9; w = 1; Adadelta, whose rate falls by a fifth after each third of the steps. Kept is
  the nearest change to g. Modes: min .002, 20, 40; low .003, 50, 35; mid .005, 200, 20; high .008, 500, 10; ultra .01,
  1000, 8.
- "paper": the same loss toward g = f(t). It has no modes: th .007, 1000 steps of Adam at .5, which only gray levels
  give a sense, so that the variable is the change in gray levels. sd, not printed, is 1e9 as in v0.3; kept is the
  nearest change to g with DSSIM <= 1.1 th.

Norm: DSSIM, (1 - SSIM) / 2, window 11, sigma 1.5; v1.0 also Linf 15/255. DSSIM is that of the 112 px crop.

What differs: the software crops a box without landmarks; here the crop is the aligned one, since the surrogates are
fed so, and the change is warped back and added. A target is one photo, not a person's ten, and it is known by its unit
embedding: f(t) is that at the length of f(x). A face whose every change was above the bound is left as it is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Adadelta, Adam, Optimizer

from visard.cloak.crop import Crop, crop_of
from visard.cloak.loop import Task
from visard.cloak.method import Method
from visard.cloak.naturalness import dssim_to
from visard.errors import CloakError, SettingError

_CLAMP = 15 / 255
_FARTHEST = 20
_MOST = 129.0
# keeps the inverse of tanh finite at black and white
_TANH = 2 - 1e-6


@dataclass(frozen=True, slots=True)
class _Mode:
    bound: float
    steps: int
    rate: float


_MODES = {
    "v1.0": {"low": _Mode(0.004, 40, 25), "mid": _Mode(0.012, 75, 20), "high": _Mode(0.017, 150, 15)},
    "v0.3": {
        "min": _Mode(0.002, 20, 40),
        "low": _Mode(0.003, 50, 35),
        "mid": _Mode(0.005, 200, 20),
        "high": _Mode(0.008, 500, 10),
        "ultra": _Mode(0.01, 1000, 8),
    },
}
_PAPER = _Mode(0.007, 1000, 0.5)


def fawkes(
    task: Task,
    *,
    variant: Literal["paper", "v0.3", "v1.0"] = "v1.0",
    mode: Literal["min", "low", "mid", "high", "ultra"] | None = None,
    steps: int | None = None,
) -> Tensor:
    """`mode` None: low, or the paper's one; `steps` None: the mode's number. "v0.3" and "paper" need targets."""
    chosen = _mode(variant, mode)
    away = variant == "v1.0"
    if away and task.targets:
        raise SettingError("fawkes v1.0 only steers away from the person; leave the target out, or set variant=v0.3.")
    if not away and not task.targets:
        raise CloakError(f"fawkes {variant} steers toward another person; give a photo as target, or set variant=v1.0.")
    crop = crop_of(task)
    count = chosen.steps if steps is None else steps
    with torch.no_grad():
        own = [_features(crop, i, torch.zeros_like(crop.clean)) for i in range(len(crop.views))]
        goals = own if away else _goals(task, own, beyond=2.0 if variant == "v0.3" else 1.0)
    dssim = dssim_to(crop.clean)
    start, change_of = _variable(crop, variant)
    variable = start.requires_grad_(True)
    optimizer: Optimizer = (
        Adam([variable], lr=chosen.rate)
        if variant == "paper"
        else Adadelta([variable], lr=chosen.rate, rho=0.95, eps=1e-7 if away else 1e-8)
    )

    weight, turn = torch.ones(len(variable)), torch.ones(len(variable))
    best, highest = torch.zeros_like(crop.clean), torch.full((len(variable),), 0.0 if away else -torch.inf)
    for t in range(1, count + 1):
        change = change_of(variable)
        unlike = dssim(crop.clean + crop.masked(change))
        distances = [_features(crop, i, change) - goal for i, goal in enumerate(goals)]
        gain = _total(distances, goals, squared=True) if away else -_total(distances, goals, squared=False)
        loss = (1e6 if away else 1e9) * (unlike - chosen.bound).clamp(min=0).square() - weight * gain
        (gradient,) = torch.autograd.grad(loss.sum(), variable)

        with torch.no_grad():
            kept = gain > highest
            if variant != "v0.3":
                kept &= unlike <= 1.1 * chosen.bound
            best, highest = torch.where(kept.view(-1, 1, 1, 1), change, best), torch.where(kept, gain, highest)
            variable.grad = gradient
            optimizer.step()
            if away:
                weight, turn = _reweighed(weight, turn, unlike / chosen.bound)
                if t == 1:
                    variable -= 0.01 * gradient.sign()
        if variant == "v0.3" and t > 1 and (t - 1) % max(1, count // 3) == 0:
            optimizer.param_groups[0]["lr"] *= 0.8
        if task.listening:
            task.heard(t, crop.brought_back(best))
    return crop.brought_back(best)


def _mode(variant: str, mode: str | None) -> _Mode:
    if variant == "paper":
        if mode is not None:
            raise SettingError(f"fawkes paper has no modes, got {mode}; leave mode out.")
        return _PAPER
    modes = _MODES[variant]
    if mode is not None and mode not in modes:
        raise SettingError(f"fawkes {variant} has the modes {', '.join(modes)}; got {mode}.")
    return modes[mode or "low"]


def _features(crop: Crop, number: int, change: Tensor) -> Tensor:
    """What surrogate `number` makes of the faces with `change`: (N, D), not of unit length."""
    recognizer = crop.task.surrogates[number]
    features: Tensor = recognizer.network(recognizer.normalize(crop.seen_by(number, change)))
    return features


def _goals(task: Task, own: list[Tensor], beyond: float) -> list[Tensor]:
    """The features to reach, (N, D) per surrogate: `beyond` times the way to a far target, drawn for each face."""
    far = torch.stack([2 - 2 * F.normalize(o) @ targets.mT for o, targets in zip(own, task.targets, strict=True)]).sum(
        dim=0
    )  # (N, T)
    order = far.argsort(dim=1, descending=True, stable=True)[:, :_FARTHEST]
    drawn = torch.randint(order.shape[1], (len(order), 1), generator=task.generator)
    chosen = order.gather(1, drawn)[:, 0]
    return [
        o + beyond * (o.norm(dim=1, keepdim=True) * targets[chosen] - o)
        for o, targets in zip(own, task.targets, strict=True)
    ]


def _variable(crop: Crop, variant: str) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Where what the optimizer changes starts, and from it to the change (N, C, h, w) that it stands for."""
    if variant == "paper":
        return torch.zeros_like(crop.clean), lambda levels: crop.in_range(levels / 255)
    start = torch.atanh((crop.clean - 0.5) * _TANH)

    def change_of(moved: Tensor) -> Tensor:
        change = torch.tanh(start + moved) / _TANH + 0.5 - crop.clean
        return crop.in_range(change.clamp(-_CLAMP, _CLAMP) if variant == "v1.0" else change)

    if variant == "v0.3":
        return torch.full_like(start, 1e-6), change_of
    # the distance has no gradient at the clean picture itself
    draw = torch.rand(start.shape, generator=crop.task.generator).to(start) * 2 - 1
    return 1e-4 * draw, change_of


def _total(differences: list[Tensor], goals: list[Tensor], squared: bool) -> Tensor:
    """The lengths of `differences`, or their squares, over those of `goals`, summed over the surrogates; (N,)."""
    return torch.stack(
        [
            (d.square().sum(dim=1) if squared else torch.linalg.vector_norm(d, dim=1)) / goal.norm(dim=1)
            for d, goal in zip(differences, goals, strict=True)
        ]
    ).sum(dim=0)


def _reweighed(weight: Tensor, turn: Tensor, used: Tensor) -> tuple[Tensor, Tensor]:
    """The next weights (N,) of the feature term where `used` of the bound was taken, and where they are heading: up
    (1), down (-1) or nowhere (0)."""
    heading = (used <= 0.9).float() - (used >= 1.1).float()
    factor = torch.where((heading == 0) | (heading == -turn), 1 / weight, 2**heading)
    return (weight * factor).clamp(1 / _MOST, _MOST), heading


FAWKES = Method("fawkes", "Shan et al. 2020", "either", fawkes, many=True)
