"""Blocks: parts of the face shuffled, turned and distorted, each face on its own; its surroundings stay."""

import math
from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from visard.cloak.geometry import boxes
from visard.cloak.objective import Faces
from visard.cloak.transform.base import Transform
from visard.recognizer.jpeg import cosines

Distortion = Callable[[Tensor, Generator], Tensor]


def block_shuffle(generator: Generator, blocks: int = 2, degrees: float = 24.0) -> Transform:
    """The face cut into `blocks` x `blocks` parts of random sizes, shuffled, each turned by up to +-`degrees`.

    Columns change places, then the parts of each column (Wang et al., "Boosting adversarial transferability by block
    shuffle and rotation", CVPR 2024, section 3.3). What is turned in from outside a part is black.
    """

    def apply(faces: Faces) -> Faces:
        pixels = faces.pixels
        height, width = pixels.shape[-2:]
        source = _places(pixels)  # (N, H, W, 2), where each pixel is taken from, as x, y
        for i, (top, left, bottom, right) in enumerate(boxes(faces)):
            for x, x_from, w in _shuffled(left, right, blocks, generator):
                for y, y_from, h in _shuffled(top, bottom, blocks, generator):
                    angle = math.radians(degrees) * (2 * float(torch.rand((), generator=generator)) - 1)
                    part = source[i, y : y + h, x : x + w]
                    middle = part.new_tensor([x + (w - 1) / 2, y + (h - 1) / 2])
                    u, v = (part - middle).unbind(-1)
                    turned_u, turned_v = (
                        math.cos(angle) * u - math.sin(angle) * v, math.sin(angle) * u + math.cos(angle) * v,
                    )  # fmt: skip
                    inside = (turned_u.abs() <= w / 2) & (turned_v.abs() <= h / 2)
                    there = torch.stack([turned_u + x_from + (w - 1) / 2, turned_v + y_from + (h - 1) / 2], dim=-1)
                    source[i, y : y + h, x : x + w] = torch.where(inside[..., None], there, -2.0 * max(height, width))
        grid = (source + 0.5) * source.new_tensor([2 / width, 2 / height]) - 1
        return faces._replace(pixels=F.grid_sample(pixels, grid, padding_mode="zeros", align_corners=False))

    return apply


def distorted_blocks(generator: Generator, blocks: int = 3) -> Transform:
    """The face cut into `blocks` x `blocks` parts of random sizes, each distorted in one random way.

    Wang, Zhang and Zhang, "Structure invariant transformation for better adversarial transferability", ICCV 2023,
    section 3.3: shifted, flipped, turned around, darkened, noisy, resized, without high frequencies, or with holes.
    """

    def apply(faces: Faces) -> Faces:
        pictures = []
        for picture, (top, left, bottom, right) in zip(faces.pixels, boxes(faces), strict=True):
            rows: list[Tensor] = []
            for height in _sizes(bottom - top, blocks, generator):
                y = top + sum(r.shape[1] for r in rows)
                x, row = left, []
                for width in _sizes(right - left, blocks, generator):
                    way = DISTORTIONS[int(torch.randint(len(DISTORTIONS), (), generator=generator))]
                    row.append(way(picture[:, y : y + height, x : x + width], generator))
                    x += width
                rows.append(torch.cat(row, dim=2))
            middle = picture[:, top:bottom]
            inner = torch.cat([middle[..., :left], torch.cat(rows, dim=1), middle[..., right:]], dim=2)
            pictures.append(torch.cat([picture[:, :top], inner, picture[:, bottom:]], dim=1))
        return faces._replace(pixels=torch.stack(pictures))

    return apply


def _rolled(dim: int) -> Distortion:
    return lambda part, generator: torch.roll(
        part, int(torch.randint(part.shape[dim], (), generator=generator)), dims=dim
    )


def _flipped(*dims: int) -> Distortion:
    return lambda part, _: part.flip(dims)


def _darkened(part: Tensor, generator: Generator) -> Tensor:
    return part * float(torch.rand((), generator=generator))


def _noisy(part: Tensor, generator: Generator) -> Tensor:
    noise = (torch.rand(part.shape, generator=generator).to(part) * 2 - 1) * 16 / 255
    return (part + noise).clamp(0, 1)


def _resized(part: Tensor, generator: Generator) -> Tensor:
    factor = 0.5 + 0.5 * float(torch.rand((), generator=generator))
    size = [max(1, round(side * factor)) for side in part.shape[1:]]
    small = F.interpolate(part[None], size=size, mode="bilinear", align_corners=False)
    return F.interpolate(small, size=part.shape[1:], mode="bilinear", align_corners=False)[0]


def _without_high_frequencies(part: Tensor, _: Generator) -> Tensor:
    rows, columns = (cosines(side)[: max(1, round(0.4 * side))].to(part) for side in part.shape[1:])
    return rows.mT @ (rows @ part @ columns.mT) @ columns


def _holes(part: Tensor, generator: Generator) -> Tensor:
    return part * (torch.rand(part.shape, generator=generator).to(part) >= 0.1) / 0.9


DISTORTIONS: tuple[Distortion, ...] = (
    _rolled(1),
    _rolled(2),
    _flipped(1),
    _flipped(2),
    _flipped(1, 2),
    _darkened,
    _noisy,
    _resized,
    _without_high_frequencies,
    _holes,
)


def _places(pixels: Tensor) -> Tensor:
    """Where each pixel is, (N, H, W, 2) as x, y."""
    height, width = pixels.shape[-2:]
    axes = torch.arange(width).to(pixels), torch.arange(height).to(pixels)
    grid = torch.stack(torch.meshgrid(*axes, indexing="xy"), dim=-1)
    return grid.repeat(len(pixels), 1, 1, 1)


def _sizes(length: int, count: int, generator: Generator) -> list[int]:
    """`count` whole lengths that sum to `length`, in proportions drawn from [1, 2]."""
    ends = (1 + torch.rand(count, generator=generator)).cumsum(dim=0)
    marks = [0, *(length * ends / ends[-1]).round().long().tolist()]
    return [b - a for a, b in pairwise(marks) if b > a]


def _shuffled(start: int, stop: int, count: int, generator: Generator) -> list[tuple[int, int, int]]:
    """[start, stop) cut into `count` parts in a new order: (where it comes to lie, where it comes from, length)."""
    sizes = _sizes(stop - start, count, generator)
    froms = [start + sum(sizes[:i]) for i in range(len(sizes))]
    parts, place = [], start
    for i in torch.randperm(len(sizes), generator=generator).tolist():
        parts.append((place, froms[i], sizes[i]))
        place += sizes[i]
    return parts
