"""One-pixel: a few pixels, their places and colors found by differential evolution without gradients.

Paper: Su, Vargas and Sakurai, "One pixel attack for fooling deep neural networks", 2019, section III.C: a candidate
is d tuples (x, y, color); ``child = a + .5 (b - c)`` of three random candidates, kept where it is better than its
parent; no crossover; first places uniform, first colors Gaussian about mid-gray. Norm: L0, in pixels. Official
arguments: d = 1, 3 or 5, 400 candidates, 100 generations, for 32 px pictures; ours: d = 100, since a face has 50
times as many pixels and its recognizers average over them, 20 candidates and 20 generations for the time they take.
Fitness is the task's objective.
"""

import torch
from torch import Tensor

from visard.cloak.loop import Task
from visard.cloak.method import Method
from visard.errors import SettingError


def one_pixel(
    task: Task,
    *,
    pixels: int = 100,
    candidates: int = 20,
    steps: int = 20,
    weight: float = 0.5,
) -> Tensor:
    """`pixels` pixels per face, by `steps` generations of `candidates`; `weight` is the paper's F."""
    if candidates < 4:
        raise SettingError(f"candidates must be 4 or more (a parent and three others), got {candidates}.")
    clean, generator = task.faces.pixels.detach(), task.generator
    faces, channels, height, width = clean.shape
    places = torch.rand(candidates, faces, pixels, 2, generator=generator)
    colors = 0.5 + 0.5 * torch.randn(candidates, faces, pixels, channels, generator=generator)
    crowd = torch.cat([places, colors], dim=3).clamp(0, 1).to(clean)  # (P, N, d, 2 + C)
    each = torch.arange(faces)[:, None]

    def change(candidate: Tensor) -> Tensor:
        y = (candidate[..., 0] * height).long().clamp(max=height - 1)
        x = (candidate[..., 1] * width).long().clamp(max=width - 1)
        painted = clean.clone()
        painted[each, :, y, x] = candidate[..., 2:]
        return painted - clean

    def fitness(crowd: Tensor) -> Tensor:
        with torch.no_grad():
            return torch.stack([task.objective(task.seen(change(candidate))) for candidate in crowd])  # (P, N)

    losses = fitness(crowd)
    for t in range(1, steps + 1):
        order = torch.rand(candidates, candidates, faces, generator=generator)
        order[torch.arange(candidates), torch.arange(candidates)] = 2.0  # never the parent itself
        a, b, c = order.topk(3, dim=1, largest=False).indices.unbind(1)  # each (P, N)
        one = torch.arange(faces)
        children = (crowd[a, one] + weight * (crowd[b, one] - crowd[c, one])).clamp(0, 1)
        found = fitness(children)
        better = found < losses
        crowd = torch.where(better[..., None, None], children, crowd)
        losses = torch.where(better, found, losses)
        task.heard(t, change(crowd[losses.argmin(dim=0), one]))
    return change(crowd[losses.argmin(dim=0), torch.arange(faces)])


ONE_PIXEL = Method("one-pixel", "Su et al. 2019", "either", one_pixel)
