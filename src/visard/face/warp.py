"""The differentiable warp photo -> aligned face, anti-aliased when it shrinks, and its exact adjoint."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def warp(images: Tensor, maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Resample `images` (N, C, H, W) to (N, C, h, w) for `size` (h, w).

    `maps` (N, 2, 3) takes an output pixel to its place in the input, in pixels with whole-number centers.
    Bilinear; where the map shrinks the picture by more than 1, each output pixel is the mean of k x k samples
    spread over it, k = ceil(shrink). Outside the picture there is black. Linear in `images`.
    """
    shrink = _shrink(maps)
    if shrink >= 4:
        # whole pixels are averaged first: the samples would be as many as the picture has pixels
        block = int(shrink // 2)
        images = F.avg_pool2d(F.pad(images, (0, -images.shape[3] % block, 0, -images.shape[2] % block)), block)
        shift = (maps[:, :, 2:] + 0.5) / block - 0.5
        maps, shrink = torch.cat([maps[:, :, :2] / block, shift], dim=2), shrink / block
    height, width = images.shape[-2:]
    k = max(1, math.ceil(shrink - 1e-3))
    offsets = (torch.arange(k, dtype=maps.dtype, device=maps.device) + 0.5) / k - 0.5
    y = (torch.arange(size[0], dtype=maps.dtype, device=maps.device)[:, None] + offsets).reshape(-1)  # (h*k,)
    x = (torch.arange(size[1], dtype=maps.dtype, device=maps.device)[:, None] + offsets).reshape(-1)  # (w*k,)
    # grid_sample's coordinates: -1 and 1 are the outer edges of the first and last pixel
    scale = torch.tensor([2 / width, 2 / height], dtype=maps.dtype, device=maps.device)
    linear, offset = maps[:, :, :2] * scale[:, None], (maps[:, :, 2] + 0.5) * scale - 1  # (N, 2, 2), (N, 2)
    linear, offset = linear[:, None, None], offset[:, None, None]
    grid = linear[..., 0] * x[:, None] + linear[..., 1] * y[:, None, None] + offset  # (N, h*k, w*k, 2)
    sampled = F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return sampled if k == 1 else F.avg_pool2d(sampled, k)


def warp_adjoint(aligned: Tensor, maps: Tensor, input_size: tuple[int, int]) -> Tensor:
    """The adjoint of ``warp``: (N, C, h, w) -> (N, C, H, W) for `input_size` (H, W).

    ``<warp(x), y> == <x, warp_adjoint(y)>`` for all x and y: it is also the gradient of the warp.
    """
    images = aligned.new_zeros((*aligned.shape[:2], *input_size), requires_grad=True)
    with torch.enable_grad():
        out = warp(images, maps, (aligned.shape[-2], aligned.shape[-1]))
    (gradient,) = torch.autograd.grad(out, images, aligned)
    return gradient


def _shrink(maps: Tensor) -> float:
    """The largest factor by which a map of the batch shrinks the picture along an output axis."""
    return float(torch.linalg.vector_norm(maps[:, :, :2], dim=1).max()) if len(maps) else 1.0
