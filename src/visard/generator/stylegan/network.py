"""StyleGAN2: the generator, z -> w -> picture, and the discriminator, both as published.

Karras et al., CVPR 2020 (skip generator, residual discriminator), in the channel schedule of the authors' PyTorch
version (Karras et al., NeurIPS 2020).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from visard.errors import SettingError
from visard.generator.stylegan.layers import Conv, Linear, ModulatedConv, activated, doubled, unit_variance

_FIRST = 4  # px, the side of the learned constant
_SLOW = 0.01  # how the mapping learns, beside the rest
_GROUP = 4  # pictures whose spread one value of the discriminator tells
_AVERAGED = 0.998  # of the running mean of w, a step
_EPSILON = 1e-8


@dataclass(frozen=True, slots=True)
class Shape:
    """Of a generator: pictures of `size` px, a power of 2; at side s there are `base` / s channels, at most `widest`;
    z and w have `latent` numbers, between which lie `layers` layers. As published: 16384 (32768 from 256 px in the
    large configuration), 512, 512, 8."""

    size: int = 256
    base: int = 16384
    widest: int = 512
    latent: int = 512
    layers: int = 8

    def __post_init__(self) -> None:
        if self.size < 2 * _FIRST or self.size & (self.size - 1):
            raise SettingError(f"StyleGAN2 makes pictures of 8, 16, 32, 64, ... px a side, got {self.size}.")
        if min(self.base // self.size, self.widest, self.latent, self.layers) < 1:
            raise SettingError("base, at least the size, and widest, latent and layers must be 1 or more.")

    @property
    def sides(self) -> tuple[int, ...]:
        """Of the pictures on the way, px: 4, 8, ..., `size`."""
        return tuple(2**k for k in range(2, self.size.bit_length()))

    @property
    def styles(self) -> int:
        """How many w a picture takes, one for each convolution."""
        return 2 * len(self.sides)

    def channels(self, side: int) -> int:
        """At pictures of `side` px."""
        return min(self.base // side, self.widest)


class Mapping(nn.Module):
    """z (N, latent), normal, -> w (N, latent)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Linear(shape.latent, shape.latent, slow=_SLOW) for _ in range(shape.layers))
        self.register_buffer("average", torch.zeros(shape.latent))

    average: Tensor
    """The running mean of w, (latent,)."""

    def forward(self, z: Tensor) -> Tensor:
        w = unit_variance(z)
        for layer in self.layers:
            w = activated(layer(w))
        return w

    def follow(self, mean: Tensor) -> None:
        """Let the running mean follow the `mean` w of a batch, (latent,)."""
        self.average.lerp_(mean, 1 - _AVERAGED)


class StyledConv(nn.Module):
    """A modulated convolution, noise, bias and activation; ``noise`` is what is added unless it is drawn anew."""

    noise: Tensor

    def __init__(self, inputs: int, outputs: int, wide: int, side: int, *, doubles: bool = False) -> None:
        super().__init__()
        self.conv = ModulatedConv(inputs, outputs, wide, 3, doubles=doubles)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise", torch.randn(side, side))

    def forward(self, x: Tensor, w: Tensor, random: torch.Generator | None) -> Tensor:
        x = self.conv(x, w)
        noise = self.noise
        if random is not None:
            noise = torch.randn(len(x), 1, *x.shape[2:], generator=random).to(x)
        return activated(x + self.strength * noise + self.bias[:, None, None])


class ToRGB(nn.Module):
    """What one side adds to the picture, (N, 3, s, s)."""

    def __init__(self, inputs: int, wide: int) -> None:
        super().__init__()
        self.conv = ModulatedConv(inputs, 3, wide, 1, demodulated=False)
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        out: Tensor = self.conv(x, w)
        return out + self.bias[:, None, None]


class Synthesis(nn.Module):
    """w, one for each convolution (N, styles, latent), -> pictures (N, 3, size, size), about [-1, 1]."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        first, wide = shape.channels(_FIRST), shape.latent
        self.constant = nn.Parameter(torch.randn(first, _FIRST, _FIRST))
        pairs = list(zip(shape.sides, shape.sides[1:], strict=False))
        self.doubling = nn.ModuleList(
            StyledConv(shape.channels(low), shape.channels(high), wide, high, doubles=True) for low, high in pairs
        )
        self.convs = nn.ModuleList(StyledConv(c := shape.channels(s), c, wide, s) for s in shape.sides)
        self.to_rgb = nn.ModuleList(ToRGB(shape.channels(s), wide) for s in shape.sides)

    def forward(self, ws: Tensor, random: torch.Generator | None = None) -> Tensor:
        """`random`: noise is drawn from it for each picture; without it, it is always the same."""
        x = self.constant.expand(len(ws), -1, -1, -1)
        x = self.convs[0](x, ws[:, 0], random)
        picture: Tensor = self.to_rgb[0](x, ws[:, 1])
        for k, doubling in enumerate(self.doubling):
            x = doubling(x, ws[:, 2 * k + 1], random)
            x = self.convs[k + 1](x, ws[:, 2 * k + 2], random)
            picture = doubled(picture) + self.to_rgb[k + 1](x, ws[:, 2 * k + 3])
        return picture


class StyleGAN(nn.Module):
    """The generator: ``mapping``, z -> w, and ``synthesis``, w -> picture; of that `shape`."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.mapping = Mapping(shape)
        self.synthesis = Synthesis(shape)

    def forward(self, z: Tensor, random: torch.Generator | None = None, *, truncation: float = 1.0) -> Tensor:
        """Pictures (N, 3, size, size), about [-1, 1], of `z` (N, latent).

        `truncation`: how far w may go from its mean, 1 being all the way and 0 the mean face.
        """
        w = self.mapping.average.lerp(self.mapping(z), truncation)
        out: Tensor = self.synthesis(self.broadcast(w), random)
        return out

    def broadcast(self, w: Tensor) -> Tensor:
        """`w` (N, latent) for every convolution, (N, styles, latent)."""
        return w[:, None].expand(-1, self.shape.styles, -1)


class Discriminator(nn.Module):
    """Pictures (N, 3, size, size) -> logits (N,), above 0 for those that look real."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        sides = shape.sides[:0:-1]
        last = shape.channels(_FIRST)
        self.from_rgb = Conv(3, shape.channels(shape.size), 1)
        self.blocks = nn.ModuleList(Residual(shape.channels(s), shape.channels(s // 2)) for s in sides)
        self.conv = Conv(last + 1, last, 3)
        self.dense = Linear(last * _FIRST**2, last)
        self.out = Linear(last, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        x = activated(self.from_rgb(pictures))
        for block in self.blocks:
            x = block(x)
        x = activated(self.conv(with_spread(x)))
        out: Tensor = self.out(activated(self.dense(x.flatten(1))))
        return out[:, 0]


class Residual(nn.Module):
    """A block of the discriminator, (N, `inputs`, H, W) -> (N, `outputs`, H / 2, W / 2)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = Conv(inputs, inputs, 3)
        self.second = Conv(inputs, outputs, 3, halves=True)
        self.skip = Conv(inputs, outputs, 1, halves=True, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = (self.skip(x) + activated(self.second(activated(self.first(x))))) / math.sqrt(2)
        return out


def with_spread(x: Tensor) -> Tensor:
    """`x` (N, C, H, W) with one more channel: the standard deviation within groups of at most four pictures, which
    tells a discriminator of a generator that always makes the same."""
    count, _, height, width = x.shape
    groups = -(-count // _GROUP)
    spread = torch.stack([(x[k::groups].var(dim=0, unbiased=False) + _EPSILON).sqrt().mean() for k in range(groups)])
    mine = spread[torch.arange(count, device=x.device) % groups]
    return torch.cat([x, mine.view(-1, 1, 1, 1).expand(-1, 1, height, width)], dim=1)
