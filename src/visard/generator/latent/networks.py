"""The networks that work in a face generator's latent space: who and how -> w, what w is real, and w -> cloaked w."""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_SLOPE = 0.2
_CELLS = 4  # a side: the expression's features keep that much of where they are
_GROUPS = 8


class Expression(nn.Module):
    """How a face looks, whoever it is: crops (N, 3, s, s) in [0, 1], s 16 or more, -> codes (N, `outputs`).

    Ours: four convolutions of stride 2 with `width`, twice and four times as many channels, in place of Inception-V3.
    """

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        widths = (3, width, 2 * width, 4 * width, 4 * width)
        self.layers = nn.Sequential(*(layer for a, b in pairwise(widths) for layer in _halving(a, b)))
        self.narrow = nn.Conv2d(4 * width, 2 * width, 1)
        self.output = nn.Linear(2 * width * _CELLS**2, outputs)

    def forward(self, crops: Tensor) -> Tensor:
        x = F.adaptive_avg_pool2d(self.narrow(self.layers(2 * crops - 1)), _CELLS)
        codes: Tensor = self.output(F.leaky_relu(x, _SLOPE).flatten(1))
        return codes


class Mapper(nn.Sequential):
    """z (N, `inputs`) -> w (N, `latent`): four layers, as published 2560 - 2048 - 1024 - 512 - 512 for a `latent` of
    512. `start`: the w that it gives at first, about; (latent,)."""

    def __init__(self, inputs: int, latent: int, start: Tensor) -> None:
        last = nn.Linear(latent, latent)
        super().__init__(*_hidden(inputs, 4 * latent, 2 * latent, latent), last)
        with torch.no_grad():
            last.bias.copy_(start)


class Judge(nn.Sequential):
    """Whether the generator's own mapping made w (N, `latent`): logits (N, 1). As published 512-256-128-64-1."""

    def __init__(self, latent: int) -> None:
        super().__init__(*_hidden(latent, latent // 2, latent // 4, latent // 8), nn.Linear(latent // 8, 1))


class Disentangler(nn.Module):
    """Codes of who (N, `dim`), unit vectors, and faces (N, 3, s, s) in [0, 1] that show how, -> w (N, latent).

    `expression` makes `outputs` numbers of the faces; `start` as in ``Mapper``. Unit vectors are scaled to unit
    variance first, so that they weigh as much as the expression's numbers.
    """

    def __init__(self, dim: int, expression: nn.Module, outputs: int, start: Tensor) -> None:
        super().__init__()
        self.expression = expression
        self.mapper = Mapper(dim + outputs, len(start), start)

    def forward(self, who: Tensor, how: Tensor) -> Tensor:
        z = torch.cat([who * math.sqrt(who.shape[1]), self.expression(how)], dim=1)
        w: Tensor = self.mapper(z)
        return w


class Adversary(nn.Module):
    """w (N, `latent`) -> a w that the generator makes another person of, no number of it further than `delta` away.

    Four layers of `latent`, whose output is added to w and clipped; it begins near zero, inside the bounds: outside of
    them there is no gradient.
    """

    def __init__(self, latent: int, delta: float) -> None:
        super().__init__()
        last = nn.Linear(latent, latent)
        self.layers = nn.Sequential(*_hidden(latent, latent, latent, latent), last)
        self.delta = delta
        with torch.no_grad():
            last.weight.mul_(delta)
            last.bias.zero_()

    def forward(self, w: Tensor) -> Tensor:
        change: Tensor = self.layers(w)
        return w + change.clamp(-self.delta, self.delta)


def _hidden(*widths: int) -> list[nn.Module]:
    pairs = pairwise(widths)
    return [layer for inputs, outputs in pairs for layer in (nn.Linear(inputs, outputs), nn.LeakyReLU(_SLOPE))]


def _halving(inputs: int, outputs: int) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, 3, stride=2, padding=1),
        nn.GroupNorm(math.gcd(_GROUPS, outputs), outputs),
        nn.LeakyReLU(_SLOPE),
    ]
