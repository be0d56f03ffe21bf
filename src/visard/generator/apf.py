"""APF: a small model's gradient, turned by a network into a change that fools other models too.

Paper: Zhang, Sang, Zhao, Yang, Wang and Xu, "Adversarial privacy-preserving filter", ACM MM 2020. Whoever owns the
photo computes the gradient image of a small model, the probe; a U-Net, which sees the gradient and never the face,
makes of it the change ::

    x' = x + clamp(U(grad), -eps, eps),    trained to minimize mean cos(f(x'), f(x))

Norm: Linf. Official arguments: eps 16/255; ours is the same, the others are ours. What differs: the gradient is that
of the cosine to the face and its mirror image (the cosine to the face itself has none), divided by its mean magnitude;
the probe is the first of the recognizers, and whoever applies the cloak needs it too. Several recognizers,
budget=ssim and views are as in ``advfaces``.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from visard.cloak import Faces, dodging, mirrored_anchors
from visard.cloak.step import scaled
from visard.errors import CloakError
from visard.generator.learner import Learner, Seen, mean_cosine
from visard.recognizer import Recognizer


class UNet(nn.Module):
    """(N, 3, s, s) -> (N, 3, s, s), for any s divisible by 4: two halvings, and shortcuts between maps of one size."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        one, two, four = width, 2 * width, 4 * width
        self.whole = nn.Sequential(*_conv(3, one), *_conv(one, one))
        self.halved = nn.Sequential(*_conv(one, two, stride=2), *_conv(two, two))
        self.quartered = nn.Sequential(*_conv(two, four, stride=2), *_conv(four, four))
        self.up = nn.Upsample(scale_factor=2)
        self.to_halved = nn.Sequential(*_conv(four + two, two))
        self.to_whole = nn.Sequential(*_conv(two + one, one))
        self.output = nn.Conv2d(one, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        whole = self.whole(x)
        halved = self.halved(whole)
        up = self.to_halved(torch.cat([self.up(self.quartered(halved)), halved], dim=1))
        change: Tensor = self.output(self.to_whole(torch.cat([self.up(up), whole], dim=1)))
        return change


def gradient_image(probe: Recognizer, faces: Faces) -> Tensor:
    """The gradient (N, C, H, W) of the cosine between `faces` and themselves with their mirror images, under `probe`,
    divided by its mean magnitude."""
    pixels = faces.pixels.detach().requires_grad_(True)
    objective = dodging([probe], mirrored_anchors([probe], faces))
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(objective(faces._replace(pixels=pixels)).sum(), pixels)
    return scaled(gradient)


class APF(Learner):
    """APF. `eps` in [0, 1]; `width`: channels of the U-Net's first layer."""

    name = "apf"
    paper = "Zhang et al. 2020"
    betas = (0.9, 0.999)
    probing = True

    def __init__(
        self,
        *,
        eps: float = 16 / 255,
        budget: Literal["clamp", "ssim"] = "clamp",
        ssim: float = 0.97,
        views: bool | None = None,
        width: int = 32,
        batch: int = 32,
        rate: float = 1e-4,
    ) -> None:
        super().__init__(budget=budget, ssim=ssim, views=views, batch=batch, rate=rate)
        self.eps = eps
        self.generator = UNet(width)

    def hint(self, faces: Faces, recognizers: Sequence[Recognizer], targets: Tensor | None) -> Tensor | None:  # noqa: ARG002
        """The gradient image of the probe, the first of `recognizers`."""
        return gradient_image(recognizers[0], faces)

    def change(self, faces: Tensor, hint: Tensor | None) -> Tensor:  # noqa: ARG002
        """What the U-Net makes of the gradient; an output of 1 is `eps`."""
        if hint is None:
            raise CloakError("apf needs the gradient of its probe; give the recognizer.")
        return (self.eps * self.computed(self.generator, hint)).clamp(-self.eps, self.eps)

    def losses(self, seen: Seen) -> dict[str, Tensor]:
        return {"identity": mean_cosine(seen.found, seen.own).mean()}


def _conv(inputs: int, channels: int, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, channels, 3, stride=stride, padding=1, bias=False),
        nn.InstanceNorm2d(channels, affine=True),
        nn.LeakyReLU(0.2),
    ]
