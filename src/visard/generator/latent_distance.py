"""latent-distance: an encoder-decoder that drives the embedding away while the picture stays.

Paper: Kelly, Spreeuwers and Veldhuis 2022, as Vos 2023 uses it. No code is public and the paper leaves much open, so
this is our reading of it: the residual is bounded, ``G(x) = x + bound * tanh(.)``, and G minimizes ::

    -mean ||f(G(x)) - f(x)||_2 + weight * (mean |G(x) - x| + perceptual(G(x), x))

for unit embeddings f. Norm: Linf, `bound`. All arguments are ours. The perceptual distance is LPIPS, whose published
weights do not come with visard: with perceptual=lpips they are read from lpips-alex.safetensors in visard's folder,
while the training lasts; else DSSIM, (1 - SSIM) / 2, stands in. Several recognizers, budget=ssim and views are as in
``advfaces``.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor, nn

from visard.cloak.methods.lowkey import LPIPS_FILE
from visard.cloak.naturalness import dssim_to
from visard.errors import CloakError, SettingError
from visard.generator.learner import Learner, Seen
from visard.measure.perceptual import load_lpips
from visard.recognizer.store import home


class EncoderDecoder(nn.Module):
    """(N, 3, s, s) -> (N, 3, s, s) in (-1, 1), for any s divisible by 4, without shortcuts: through 4 `width` channels
    at a quarter of the size."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_conv(3, width), *_conv(width, 2 * width, stride=2), *_conv(2 * width, 4 * width, stride=2),
            *_conv(4 * width, 4 * width), *_conv(4 * width, 4 * width),
            nn.Upsample(scale_factor=2), *_conv(4 * width, 2 * width),
            nn.Upsample(scale_factor=2), *_conv(2 * width, width),
            nn.Conv2d(width, 3, 3, padding=1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.layers(x).tanh()
        return residual


def latent_distance(found: Tensor, own: Tensor) -> Tensor:
    """The Euclidean distances (N,) of embeddings (N, D)."""
    distances: Tensor = torch.linalg.vector_norm(found - own, dim=1)
    return distances


class LatentDistance(Learner):
    """The latent-distance model. `bound` of the residual in [0, 1]; `weight` of the reconstruction, whose second part
    is `perceptual`; `width`: channels of the first layer."""

    name = "latent-distance"
    paper = "after Kelly et al. 2022"
    betas = (0.9, 0.999)

    def __init__(
        self,
        *,
        bound: float = 32 / 255,
        weight: float = 5.0,
        perceptual: Literal["dssim", "lpips"] = "dssim",
        budget: Literal["bound", "ssim"] = "bound",
        ssim: float = 0.97,
        views: bool | None = None,
        width: int = 32,
        batch: int = 32,
        rate: float = 1e-4,
    ) -> None:
        super().__init__(budget=budget, ssim=ssim, views=views, batch=batch, rate=rate)
        if bound > 1:
            raise SettingError(f"{self.name}: bound is a share of a pixel's full range, at most 1, got {bound:g}.")
        self.bound, self.weight, self.perceptual = bound, weight, perceptual
        self.generator = EncoderDecoder(width)

    def change(self, faces: Tensor, hint: Tensor | None) -> Tensor:  # noqa: ARG002
        """The bounded residual."""
        return self.bound * self.computed(self.generator, faces)

    def losses(self, seen: Seen) -> dict[str, Tensor]:
        away = [latent_distance(found, own).mean() for found, own in zip(seen.found, seen.own, strict=True)]
        return {
            "distance": -torch.stack(away).mean(),
            "l1": self.weight * (seen.cloaked - seen.clean).abs().mean(),
            self.perceptual: self.weight * self._distance(seen.cloaked, seen.clean).mean(),
        }

    @cached_property
    def _distance(self) -> Callable[[Tensor, Tensor], Tensor]:
        if self.perceptual == "dssim":
            return lambda cloaked, clean: dssim_to(clean)(cloaked)
        path = home() / LPIPS_FILE
        if not path.is_file():
            raise CloakError(f"LPIPS needs its published weights in {path}; put them there, or set perceptual=dssim.")
        return load_lpips(path).to(next(self.parameters()).device)


def _conv(inputs: int, channels: int, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, channels, 3, stride=stride, padding=1, bias=False),
        nn.InstanceNorm2d(channels, affine=True),
        nn.ReLU(),
    ]
