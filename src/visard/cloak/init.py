"""Where the descent starts: from the clean picture (N, C, H, W) to the first change."""

from collections.abc import Callable

import torch
from torch import Generator, Tensor

Init = Callable[[Tensor], Tensor]


def image(pixels: Tensor) -> Tensor:
    """At the picture itself."""
    return torch.zeros_like(pixels)


def uniform(eps: float, generator: Generator) -> Init:
    """Uniform in [-eps, eps] per channel and pixel."""
    return lambda pixels: (torch.rand(pixels.shape, generator=generator) * 2 - 1).to(pixels) * eps


def gaussian(generator: Generator, sigma: float = 0.25) -> Init:
    """At Gaussian noise around mid-gray in place of the picture (P-FGVM's evolution figure)."""
    return lambda pixels: 0.5 + sigma * torch.randn(pixels.shape, generator=generator).to(pixels) - pixels
