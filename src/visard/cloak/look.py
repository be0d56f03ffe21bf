"""Looks: where around the change the gradient is taken. Each call makes a fresh one, with its own state.

A look gets the function that gives the gradient (N, C, H, W) at a change, and the change itself.
"""

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from visard.cloak.step import Momentum, scaled

GradientAt = Callable[[Tensor], Tensor]
Look = Callable[[GradientAt, Tensor], Tensor]


def here(gradient_at: GradientAt, delta: Tensor) -> Tensor:
    """At the change itself."""
    return gradient_at(delta)


def ahead(momentum: Momentum, length: float) -> Look:
    """Where the accumulated gradient will lead: ``delta - length * decay * memory`` (Lin et al. 2020, equation 6)."""

    def look(gradient_at: GradientAt, delta: Tensor) -> Tensor:
        return gradient_at(delta if momentum.memory is None else delta - length * momentum.decay * momentum.memory)

    return look


def worst_nearby(
    generator: Generator, neighbors: int, radius: float | Tensor, climb: float | Tensor, decay: float = 0.9
) -> Look:
    """The mean gradient at `neighbors` random changes within `radius`, each moved `climb` uphill, where it is worst.

    Uphill is by that neighbor's gradients of the steps before, accumulated with `decay` after division by their mean
    magnitude: no further gradient is needed. `radius` and `climb` in [0, 1], one number or one per pixel. The minimum
    found so lies in a flat part (Qiu et al. 2024, neighborhood conditional sampling).
    """
    uphill: list[Tensor] = []

    def look(gradient_at: GradientAt, delta: Tensor) -> Tensor:
        gradients = []
        for i in range(neighbors):
            draw = torch.rand(delta.shape, generator=generator).to(delta) * 2 - 1
            near = delta + radius * draw
            gradients.append(gradient_at(near + climb * uphill[i] if uphill else near))
        past = [scaled(g) for g in gradients]
        uphill[:] = [p + decay * u for p, u in zip(past, uphill, strict=True)] if uphill else past
        return torch.stack(gradients).mean(dim=0)

    return look
