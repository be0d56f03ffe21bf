"""Steps: from the gradient (N, C, H, W) to the change to subtract. Each call makes a fresh one, with its own state.

`alpha` is the step size in units of [0, 1]: one number, or one per pixel (N, 1, H, W).
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

Step = Callable[[Tensor], Tensor]


def sign(alpha: float | Tensor) -> Step:
    """``alpha * sign(g)``: all of the step everywhere (Goodfellow et al. 2015)."""
    return lambda gradient: alpha * gradient.sign()


def value(alpha: float | Tensor) -> Step:
    """``alpha * g``: the gradient as it is (I-FGVM, P-FGVM)."""
    return lambda gradient: alpha * gradient


def l2(alpha: float) -> Step:
    """``alpha * sqrt(D) * g / ||g||_2`` per face: as long as a sign step, in the gradient's own direction."""

    def step(gradient: Tensor) -> Tensor:
        norm = torch.linalg.vector_norm(gradient.flatten(1), dim=1).clamp(min=1e-12).view(-1, 1, 1, 1)
        unit: Tensor = gradient / norm
        return alpha * math.sqrt(gradient[0].numel()) * unit

    return step


def momentum(inner: Step, decay: float = 1.0) -> Step:
    """`inner` on gradients accumulated after division by their mean magnitude (Dong et al. 2018, equation 6)."""
    memory: list[Tensor] = []

    def step(gradient: Tensor) -> Tensor:
        scaled = gradient / gradient.abs().mean(dim=(1, 2, 3), keepdim=True).clamp(min=1e-12)
        memory[:] = [decay * memory[0] + scaled] if memory else [scaled]
        return inner(memory[0])

    return step


def muted(inner: Step, color: float) -> Step:
    """`inner` on the gradient with its colored part, what is not common to the channels, reduced to a share `color`.

    The eye sees colored noise where it misses gray noise.
    """

    def step(gradient: Tensor) -> Tensor:
        gray = gradient.mean(dim=1, keepdim=True)
        return inner(gray + color * (gradient - gray))

    return step
