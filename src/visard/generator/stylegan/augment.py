"""Adaptive augmentation: the discriminator sees all pictures, real and made, displaced, turned and recolored at random.

Karras et al., Training Generative Adversarial Networks with Limited Data, NeurIPS 2020, the "bgc" pipeline: each
change is made with one probability, which rises while the discriminator knows the real pictures too well. Pictures are
sampled bilinearly with mirrored edges, where the paper filters with wavelets.
"""

import math

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

_SPREAD = {"shift": 0.125, "scale": 0.2, "stretch": 0.2, "drift": 0.125, "brightness": 0.2, "contrast": 0.5}
_SATURATION = 1.0
_LUMA = torch.ones(3) / math.sqrt(3)  # the gray axis of RGB


def augmented(pictures: Tensor, probability: float, random: Generator) -> Tensor:
    """`pictures` (N, 3, s, s) in [-1, 1], each change made with `probability`."""
    if probability <= 0:
        return pictures
    count = len(pictures)
    places = _geometry(count, probability, random).to(pictures)
    grid = F.affine_grid(places[:, :2], list(pictures.shape), align_corners=False)
    moved = F.grid_sample(pictures, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    colors = _colors(count, probability, random).to(pictures)
    flat = moved.flatten(2)
    return (colors[:, :3, :3] @ flat + colors[:, :3, 3:]).view_as(pictures)


class Adaptive:
    """The probability, led by the discriminator's answers to real pictures: raised while the mean of their signs is
    above `goal`, as fast as `pictures` shown take it from 0 to 1."""

    def __init__(self, goal: float, pictures: int = 500_000) -> None:
        self.goal, self.pictures, self.probability = goal, pictures, 0.0

    def hear(self, sign: float, count: int) -> None:
        """The mean sign of the answers to `count` real pictures."""
        change = math.copysign(count / self.pictures, sign - self.goal)
        self.probability = min(max(self.probability + change, 0.0), 1.0)


def _geometry(count: int, probability: float, random: Generator) -> Tensor:
    """Where each picture is sampled, (count, 3, 3), in units of half its side."""
    turned = 1 - math.sqrt(1 - probability)  # twice a turn: together as likely as the others

    def often(values: Tensor, neutral: float, chance: float = probability) -> Tensor:
        return torch.where(torch.rand(count, generator=random) < chance, values, neutral)

    def uniform() -> Tensor:
        return 2 * torch.rand(count, generator=random) - 1

    def normal() -> Tensor:
        return torch.randn(count, generator=random)

    place = _scale(often(1 - 2 * torch.randint(2, (count,), generator=random).float(), 1.0), torch.ones(count))
    place = place @ _rotation(often(torch.randint(4, (count,), generator=random) * (math.pi / 2), 0.0))
    place = place @ _shift(often(2 * _SPREAD["shift"] * uniform(), 0.0), often(2 * _SPREAD["shift"] * uniform(), 0.0))
    factor = often((normal() * _SPREAD["scale"]).exp2(), 1.0)
    place = place @ _scale(factor, factor) @ _rotation(often(math.pi * uniform(), 0.0, turned))
    factor = often((normal() * _SPREAD["stretch"]).exp2(), 1.0)
    place = place @ _scale(factor, 1 / factor) @ _rotation(often(math.pi * uniform(), 0.0, turned))
    return place @ _shift(often(2 * _SPREAD["drift"] * normal(), 0.0), often(2 * _SPREAD["drift"] * normal(), 0.0))


def _colors(count: int, probability: float, random: Generator) -> Tensor:
    """What each picture's colors are multiplied by, (count, 4, 4)."""

    def often(values: Tensor, neutral: float) -> Tensor:
        return torch.where(torch.rand(count, generator=random) < probability, values, neutral)

    def normal() -> Tensor:
        return torch.randn(count, generator=random)

    def linear(matrix: Tensor) -> Tensor:
        return F.pad(matrix, (0, 1, 0, 1)) + torch.diag(torch.tensor([0.0, 0.0, 0.0, 1.0]))

    gray = torch.outer(_LUMA, _LUMA)
    brighter = torch.eye(4).repeat(count, 1, 1)
    brighter[:, :3, 3] = often(normal() * _SPREAD["brightness"], 0.0)[:, None]
    contrast = often((normal() * _SPREAD["contrast"]).exp2(), 1.0)[:, None, None] * torch.eye(3)
    flipped = torch.eye(3) - 2 * gray * often(torch.randint(2, (count,), generator=random).float(), 0.0)[:, None, None]
    angle = often(math.pi * (2 * torch.rand(count, generator=random) - 1), 0.0)[:, None, None]
    x, y, z = _LUMA.tolist()
    cross = torch.tensor([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    hue = gray + angle.cos() * (torch.eye(3) - gray) + angle.sin() * cross
    factor = often((normal() * _SATURATION).exp2(), 1.0)[:, None, None]
    saturation = gray + (torch.eye(3) - gray) * factor
    return linear(saturation) @ linear(hue) @ linear(flipped) @ linear(contrast) @ brighter


def _scale(x: Tensor, y: Tensor) -> Tensor:
    return torch.diag_embed(torch.stack([x, y, torch.ones_like(x)], dim=1))


def _rotation(angle: Tensor) -> Tensor:
    zero, one, c, s = torch.zeros_like(angle), torch.ones_like(angle), angle.cos(), angle.sin()
    return torch.stack([c, -s, zero, s, c, zero, zero, zero, one], dim=1).view(-1, 3, 3)


def _shift(x: Tensor, y: Tensor) -> Tensor:
    place = torch.eye(3).repeat(len(x), 1, 1)
    place[:, 0, 2], place[:, 1, 2] = x, y
    return place
