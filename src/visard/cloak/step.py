"""Steps: from the gradient (N, C, H, W) to the change to subtract. Each call makes a fresh one, with its own state.

`alpha` is the step size in units of [0, 1]: one number, or one per pixel (N, 1, H, W).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
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


@dataclass(slots=True)
class Momentum:
    """`inner` on gradients accumulated after division by their mean magnitude (Dong et al. 2018, equation 6).

    `memory` is what is accumulated so far, None before the first step.
    """

    inner: Step
    decay: float = 1.0
    memory: Tensor | None = None

    def __call__(self, gradient: Tensor) -> Tensor:
        fresh = scaled(gradient)
        self.memory = fresh if self.memory is None else self.decay * self.memory + fresh
        return self.inner(self.memory)


def momentum(inner: Step, decay: float = 1.0) -> Momentum:
    """`inner` with a memory of the gradients before."""
    return Momentum(inner, decay)


def scaled(gradient: Tensor) -> Tensor:
    """`gradient`, divided by each face's mean magnitude."""
    return gradient / gradient.abs().mean(dim=(1, 2, 3), keepdim=True).clamp(min=1e-12)


def smoothed(inner: Step, size: int, sigma: float | None = None) -> Step:
    """`inner` on the gradient smoothed by a Gaussian of `size` x `size` pixels (Dong et al. 2019, equation 7).

    The mean of the gradients of shifted pictures, weighed by the shift. `sigma` in pixels, None: a sixth of the size.
    """
    x = torch.arange(size) - (size - 1) / 2
    weights = torch.exp(-0.5 * (x / (size / 6 if sigma is None else sigma)) ** 2)
    weights = weights / weights.sum()

    def step(gradient: Tensor) -> Tensor:
        channels = gradient.shape[1]
        row = weights.to(gradient).expand(channels, 1, 1, size)
        flat = F.conv2d(gradient, row, padding="same", groups=channels)
        return inner(F.conv2d(flat, row.mT, padding="same", groups=channels))

    return step


def weighed(inner: Step, weights: Tensor) -> Step:
    """`inner` on the gradient times `weights` (N, 1, H, W)."""
    return lambda gradient: inner(weights * gradient)


def muted(inner: Step, color: float) -> Step:
    """`inner` on the gradient with its colored part, what is not common to the channels, reduced to a share `color`.

    The eye sees colored noise where it misses gray noise.
    """

    def step(gradient: Tensor) -> Tensor:
        gray = gradient.mean(dim=1, keepdim=True)
        return inner(gray + color * (gradient - gray))

    return step
