"""Budgets: how large a change may be. Each measures and clips, so that no method can cheat."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

_TEXTURE_WINDOW, _NEARBY = 7, 5  # pixels of the patch


@dataclass(frozen=True, slots=True)
class Linf:
    """No channel of a pixel changes by more than `eps`, in [0, 1]: one number, or one per pixel (N, 1, H, W)."""

    eps: float | Tensor

    def project(self, delta: Tensor) -> Tensor:
        """`delta` (N, C, H, W), clipped to the budget."""
        clipped: Tensor = delta.clamp(-self.eps, self.eps)  # type: ignore[arg-type]
        return clipped

    def used(self, delta: Tensor) -> Tensor:
        """How much of the budget each change takes, (N,); 1 is all of it."""
        return (delta.abs() / self.eps).flatten(1).amax(dim=1)


@dataclass(frozen=True, slots=True)
class L2:
    """The Euclidean norm of a face's whole change is at most `eps`, for values in [0, 1]."""

    eps: float

    def project(self, delta: Tensor) -> Tensor:
        """`delta` (N, C, H, W), shortened to the budget."""
        shortened: Tensor = delta * (1 / self.used(delta).clamp(min=1)).view(-1, 1, 1, 1)
        return shortened

    def used(self, delta: Tensor) -> Tensor:
        """How much of the budget each change takes, (N,); 1 is all of it."""
        norm: Tensor = torch.linalg.vector_norm(delta.flatten(1), dim=1)
        return norm / self.eps


@dataclass(frozen=True, slots=True)
class Unbounded:
    """Any change; the picture's range [0, 1] still holds."""

    def project(self, delta: Tensor) -> Tensor:
        """`delta` as it is."""
        return delta

    def used(self, delta: Tensor) -> Tensor:
        """Nothing, (N,)."""
        return delta.new_zeros(len(delta))


Budget = Linf | L2 | Unbounded


def texture_eps(pixels: Tensor, level: float, floor: float, cap: float, mask: Tensor | None = None) -> Tensor:
    """A budget per pixel (N, 1, H, W) that follows local texture: ``level * (floor + texture) / mean``, at most `cap`.

    `pixels` (N, C, H, W) in [0, 1]. Texture is the deviation of the luminance from its local mean, and no more than
    the least of it nearby: hair and cloth have it all around, the edge of a smooth cheek only on itself. The eye
    misses in texture what it sees on smooth skin (contrast masking). The mean is over each picture, weighed by `mask`
    (N, 1, H, W): smooth and rough faces are changed alike, `level` on average.
    """
    weights = pixels.new_tensor([0.299, 0.587, 0.114]) if pixels.shape[1] == 3 else pixels.new_ones(1)
    luminance = torch.einsum("nchw,c->nhw", pixels, weights)[:, None]
    detail = luminance - _mean(luminance, _TEXTURE_WINDOW)
    deviation = _mean(detail * detail, _TEXTURE_WINDOW).sqrt()
    least = -F.max_pool2d(-_framed(deviation, _NEARBY), _NEARBY, stride=1)
    visible = floor + _mean(least, _NEARBY)
    weight = torch.ones_like(visible) if mask is None else mask
    mean = (visible * weight).sum(dim=(1, 2, 3), keepdim=True) / weight.sum(dim=(1, 2, 3), keepdim=True)
    return (level * visible / mean.clamp(min=1e-6)).clamp(max=cap)


def _mean(values: Tensor, window: int) -> Tensor:
    """The mean over a square window around every pixel; (N, 1, H, W)."""
    return F.avg_pool2d(_framed(values, window), window, stride=1)


def _framed(values: Tensor, window: int) -> Tensor:
    pad = window // 2
    return F.pad(values, (pad, pad, pad, pad), mode="reflect")
