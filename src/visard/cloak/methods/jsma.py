"""JSMA: a few pixels, changed as far as they go, those that promise most first.

Paper: Papernot et al., "The limitations of deep learning in adversarial settings", EuroS&P 2016, algorithm 2. Norm:
L0, in pixels. Our reading, which also runs without classes: a pixel's saliency is what a linear model says that its
whole possible move would gain, ``sum_channels |grad| * room``; closed-set grad is that of the true logit less the
largest other one (untargeted), open-set the objective's. Official arguments: theta 1, gamma 14.5 % of a digit's
pixels, two pixels a step; ours: theta .3, 2 % of the pixels in 20 equal steps, since a face has 300 times as many.
Pixels are changed once. A face is left alone once it succeeds.
"""

import math

import torch
from torch import Tensor

from visard.cloak.loop import Task, slope
from visard.cloak.margin import margin
from visard.cloak.method import Method


def jsma(
    task: Task,
    *,
    theta: float = 0.3,
    gamma: float = 0.02,
    steps: int = 20,
    fall: float = 0.6,
) -> Tensor:
    """In each of `steps` steps an equal part of at most a share `gamma` of the pixels is moved by `theta` in [0, 1];
    open-set success is an objective `fall` below its clean value."""
    clean, far = task.faces.pixels.detach(), margin(task, fall)
    count = clean[0, 0].numel()
    per_step = min(count, math.ceil(gamma * count / max(steps, 1)))
    delta, changed = torch.zeros_like(clean), torch.zeros(len(clean), count, dtype=torch.bool)
    for t in range(1, steps + 1):
        distance, gradient = slope(task, delta, objective=far)
        going = distance > 0
        if not going.any():
            break
        move = task.in_range(-theta * gradient.sign())
        saliency = (gradient * move).abs().sum(dim=1).flatten(1).masked_fill(changed, -1)  # (N, H * W)
        chosen = torch.zeros_like(changed).scatter(1, saliency.topk(per_step).indices, True)
        chosen &= going[:, None] & ~changed
        changed |= chosen
        delta = torch.where(chosen.view(len(clean), 1, *clean.shape[2:]), move, delta)
        task.heard(t, delta)
    return delta


JSMA = Method("jsma", "Papernot et al. 2016", "either", jsma)
