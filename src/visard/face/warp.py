"""The differentiable warp photo -> aligned face, anti-aliased when it shrinks, and its exact adjoint."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def warp(images: Tensor, maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Resample `images` (N, C, H, W) to (N, C, h, w) for `size` (h, w).

    `maps` (N, 2, 3) takes an output pixel to its place in the input, in pixels with whole-number centers.
    Bilinear; where the map shrinks the picture by more than 1, each output pixel is the mean of k x k samples
    spread over it, k = ceil(shrink). Outside the picture there is black. Linear in `images`; each picture on its own.
    """
    ways = [_way(shrink) for shrink in torch.linalg.vector_norm(maps[:, :, :2], dim=1).amax(dim=1).tolist()]
    if len(set(ways)) < 2:
        return _sampled(images, maps, size, *(ways or [(1, 1)])[0])
    # those of one way at a time: a face must not depend on how large the others of its batch are
    rows = {way: [i for i, other in enumerate(ways) if other == way] for way in dict.fromkeys(ways)}
    parts = torch.cat([_sampled(images[own], maps[own], size, *way) for way, own in rows.items()])
    return parts[torch.tensor([i for own in rows.values() for i in own], device=parts.device).argsort()]


def _way(shrink: float) -> tuple[int, int]:
    """How a picture that is shrunk by `shrink` is sampled: blocks of how many pixels a side are averaged first, for the
    samples would be as many as the picture has pixels; and k."""
    block = int(shrink // 2) if shrink >= 4 else 1
    return block, max(1, math.ceil(shrink / block - 1e-3))


def _sampled(images: Tensor, maps: Tensor, size: tuple[int, int], block: int, k: int) -> Tensor:
    if block > 1:
        images = F.avg_pool2d(F.pad(images, (0, -images.shape[3] % block, 0, -images.shape[2] % block)), block)
        shift = (maps[:, :, 2:] + 0.5) / block - 0.5
        maps = torch.cat([maps[:, :, :2] / block, shift], dim=2)
    height, width = images.shape[-2:]
    offsets = (torch.arange(k, dtype=maps.dtype, device=maps.device) + 0.5) / k - 0.5
    y = (torch.arange(size[0], dtype=maps.dtype, device=maps.device)[:, None] + offsets).reshape(-1)  # (h*k,)
    x = (torch.arange(size[1], dtype=maps.dtype, device=maps.device)[:, None] + offsets).reshape(-1)  # (w*k,)
    # grid_sample's coordinates: -1 and 1 are the outer edges of the first and last pixel
    scale = torch.tensor([2 / width, 2 / height], dtype=maps.dtype, device=maps.device)
    linear, offset = maps[:, :, :2] * scale[:, None], (maps[:, :, 2] + 0.5) * scale - 1  # (N, 2, 2), (N, 2)
    # both coordinates as whole planes: with x and y side by side it takes ten times as long on a CPU
    grid = linear[:, :, 0, None, None] * x + linear[:, :, 1, None, None] * y[:, None] + offset[:, :, None, None]
    grid = grid.permute(0, 2, 3, 1)  # (N, h*k, w*k, 2)
    sampled = F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return sampled if k == 1 else _block_means(sampled, k)


class _BlockMeans(torch.autograd.Function):
    """``F.avg_pool2d(pictures, k)`` for sides (N, C, h*k, w*k), bit by bit, in half of its time on a CPU."""

    @staticmethod
    def forward(ctx: Any, pictures: Tensor, k: int) -> Tensor:
        ctx.k = k
        count, channels, height, width = pictures.shape
        blocks = pictures.view(count, channels, height // k, k, width // k, k)
        total = blocks[:, :, :, 0, :, 0].clone()
        for i in range(1, k * k):
            total += blocks[:, :, :, i // k, :, i % k]
        return total / k**2

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        share = gradient / ctx.k**2
        return share.repeat_interleave(ctx.k, dim=2).repeat_interleave(ctx.k, dim=3), None


def _block_means(pictures: Tensor, k: int) -> Tensor:
    means: Tensor = _BlockMeans.apply(pictures, k)  # type: ignore[no-untyped-call]
    return means


def warp_adjoint(aligned: Tensor, maps: Tensor, input_size: tuple[int, int]) -> Tensor:
    """The adjoint of ``warp``: (N, C, h, w) -> (N, C, H, W) for `input_size` (H, W).

    ``<warp(x), y> == <x, warp_adjoint(y)>`` for all x and y: it is also the gradient of the warp.
    """
    images = aligned.new_zeros((*aligned.shape[:2], *input_size), requires_grad=True)
    with torch.enable_grad():
        out = warp(images, maps, (aligned.shape[-2], aligned.shape[-1]))
    (gradient,) = torch.autograd.grad(out, images, aligned)
    return gradient
