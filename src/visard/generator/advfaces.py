"""AdvFaces: a generator that makes the cloak in one forward pass, trained against a discriminator and a recognizer.

Paper: Deb, Zhang and Jain, "AdvFaces: adversarial face synthesis", IJCB 2020. The generator minimizes ::

    L = L_GAN + 10 * L_identity + 1 * L_perturbation
    obfuscation:    L_identity = mean cos(f(x + G(x)), f(x))
    impersonation:  L_identity = mean (1 - (cos(f(x + G(x, y)), f(y)) + 1) / 2)
    L_perturbation = mean max(eps, ||G(x)||_2)

and the discriminator tells clean faces from cloaked ones. Norm: L2, as a loss and not a bound. Official arguments: 160
px, eps 3 (8 for impersonation), Adam 1e-4 with betas .5 and .9, batches of 32, one step each; ours are the same, with
eps called `norm` and scaled with the size of the faces.

What differs: what the face's mask lets through of a change is what counts, in the training as afterwards; the
last layer begins small, which saves the first hundreds of steps; L_GAN is the non-saturating form; all of the change
is applied, where the published test script applies half of it. Beyond the paper: several recognizers, whose cosines
are averaged, and with budget=ssim the structural similarity as a bound that always holds, in place of L_perturbation,
the change mostly gray and at most `cap`, and the flagship's displaced and resized views; with gan=0 no discriminator,
whose work that bound does; with reduced=2 a generator that works on faces of half the size, at a quarter of the cost;
with places=8 a generator that knows where in the face it is, which the first hundred steps teach twice as much; with
at_once=2 a step asks two of the recognizers, drawn anew each time, so that many cost no more than two.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visard.generator.learner import CAP, Learner, Seen, mean_cosine
from visard.generator.parallel import BatchNorm

SIZE = 160
"""Of the paper's faces, px: there `norm` holds as it is."""
NORMS = {"obfuscation": 3.0, "impersonation": 8.0}

_DISCRIMINATOR_WIDTHS = (32, 64, 128, 256, 512)
_PLACES_SIDE, _PLACES_SPREAD = 56, 0.3
_SMALL = 0.05  # the last layer's first weights, share of the usual


class Generator(nn.Module):
    """(N, `inputs`, s, s) -> (N, 3, s, s) in (-1, 1), for any s divisible by 4; 64, 128 and 256 channels at `width` 64.

    Instance norm on the way down and in the blocks, layer norm on the way up. `places`: so many learned maps stand
    beside the input, the same for every face: in aligned faces a place has a meaning.
    """

    def __init__(self, inputs: int = 3, width: int = 64, places: int = 0) -> None:
        super().__init__()
        self.places: nn.Parameter | None = None
        if places:
            self.places = nn.Parameter(_PLACES_SPREAD * torch.randn(1, places, _PLACES_SIDE, _PLACES_SIDE))
        inputs += places
        one, two, four = width, 2 * width, 4 * width
        self.encoder = nn.Sequential(
            *_down(inputs, one, kernel=7, stride=1), *_down(one, two, kernel=4, stride=2),
            *_down(two, four, kernel=4, stride=2),
        )  # fmt: skip
        self.blocks = nn.Sequential(*(ResidualBlock(four) for _ in range(3)))
        self.decoder = nn.Sequential(*_up(four, two), *_up(two, one))
        self.output = nn.Conv2d(one, 3, 7, padding=3)
        with torch.no_grad():
            self.output.weight.mul_(_SMALL)
            self.output.bias.zero_()  # type: ignore[union-attr]

    def forward(self, x: Tensor) -> Tensor:
        if self.places is not None:
            places = F.interpolate(self.places, size=x.shape[-2:], mode="bilinear")
            x = torch.cat([x, places.expand(len(x), -1, -1, -1)], dim=1)
        change: Tensor = self.output(self.decoder(self.blocks(self.encoder(x)))).tanh()
        return change


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with instance norm, edges mirrored, beside a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect", bias=False),
            nn.InstanceNorm2d(channels, affine=True),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect", bias=False),
            nn.InstanceNorm2d(channels, affine=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = x + self.branch(x)
        return total


class Discriminator(nn.Module):
    """(N, 3, s, s) -> logits (N, 1, s / 32, s / 32), rounded down: whether each patch is of a clean face."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, width in zip((3, *_DISCRIMINATOR_WIDTHS), _DISCRIMINATOR_WIDTHS, strict=False):
            first = inputs == 3
            layers.append(nn.Conv2d(inputs, width, 4, stride=2, padding=1, bias=first))
            layers += [nn.LeakyReLU(0.2)] if first else [BatchNorm(width), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(_DISCRIMINATOR_WIDTHS[-1], 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers(x)
        return logits


def gan_loss(logits: Tensor, clean: bool) -> Tensor:
    """L_GAN: the cross-entropy of a discriminator's `logits`, any shape, when all patches are to pass for `clean`."""
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(clean)))


def obfuscation_loss(cosines: Tensor) -> Tensor:
    """L_identity of obfuscation, from the cosines (N,) between cloaked and clean faces."""
    return cosines.mean()


def impersonation_loss(cosines: Tensor) -> Tensor:
    """L_identity of impersonation, from the cosines (N,) between cloaked faces and their targets."""
    return (1 - (cosines + 1) / 2).mean()


def perturbation_loss(change: Tensor, eps: float) -> Tensor:
    """L_perturbation: a hinge on the Euclidean norm of each `change` (N, C, H, W), values in [0, 1]."""
    norms: Tensor = torch.linalg.vector_norm(change.flatten(1), dim=1)
    return norms.clamp(min=eps).mean()


class AdvFaces(Learner):
    """AdvFaces. `identity`, `perturbation` and `gan` weigh the losses; `norm`: the eps of the hinge at 160 px, None for
    the paper's, 3 or 8; `width`: channels of the generator's first layer; `reduced`: how many times smaller the faces
    are that the generator works on; `places`: its learned maps of where in the face it is; `at_once`: how many of the
    recognizers see the faces of a step, drawn anew each time, None for all."""

    name = "advfaces"
    paper = "Deb et al. 2020"
    aim = "either"
    betas = (0.5, 0.9)

    def __init__(
        self,
        *,
        mode: Literal["obfuscation", "impersonation"] = "obfuscation",
        identity: float = 10.0,
        perturbation: float = 1.0,
        gan: float = 1.0,
        norm: float | None = None,
        budget: Literal["hinge", "ssim"] = "hinge",
        ssim: float = 0.97,
        cap: float = CAP,
        views: bool | None = None,
        width: int = 64,
        reduced: int = 1,
        places: int = 0,
        at_once: int | None = None,
        batch: int = 32,
        rate: float = 1e-4,
    ) -> None:
        super().__init__(budget=budget, ssim=ssim, views=views, batch=batch, rate=rate)
        self.cap, self.at_once = cap, at_once
        self.targeted = mode == "impersonation"
        self.identity, self.perturbation, self.gan = identity, perturbation, gan
        self.norm = NORMS[mode] if norm is None else norm
        self.generator = Generator(6 if self.targeted else 3, width, places)
        self.reduced = reduced
        self.discriminator: Discriminator | None = Discriminator() if gan else None

    def change(self, faces: Tensor, hint: Tensor | None) -> Tensor:
        """The generator's answer to the faces, and with them, beside their channels, to the target's."""
        given = faces if hint is None else torch.cat([faces, hint], dim=1)
        if self.reduced == 1:
            return self.computed(self.generator, given)
        size = given.shape[-1]
        small = F.interpolate(given, size=4 * (size // (4 * self.reduced)), mode="area")
        return F.interpolate(self.computed(self.generator, small), size=size, mode="bilinear")

    def losses(self, seen: Seen) -> dict[str, Tensor]:
        if self.targeted:
            identity = impersonation_loss(mean_cosine(seen.found, seen.goal))
        else:
            identity = obfuscation_loss(mean_cosine(seen.found, seen.own))
        terms = {"identity": self.identity * identity}
        if self.discriminator is not None:
            terms["gan"] = self.gan * gan_loss(self.computed(self.discriminator, seen.cloaked), clean=True)
        if not self.structured:
            eps = self.norm * seen.change.shape[-1] / SIZE
            terms["perturbation"] = self.perturbation * perturbation_loss(seen.change, eps)
        return terms

    def discriminator_loss(self, seen: Seen) -> Tensor:
        if self.discriminator is None:
            return super().discriminator_loss(seen)
        clean = self.computed(self.discriminator, seen.clean)
        cloaked = self.computed(self.discriminator, seen.cloaked.detach())
        return gan_loss(clean, clean=True) + gan_loss(cloaked, clean=False)


def _down(inputs: int, channels: int, *, kernel: int, stride: int) -> list[nn.Module]:
    padding = (kernel - stride + 1) // 2
    return [
        nn.Conv2d(inputs, channels, kernel, stride=stride, padding=padding, bias=False),
        nn.InstanceNorm2d(channels, affine=True),
        nn.ReLU(),
    ]


def _up(inputs: int, channels: int) -> list[nn.Module]:
    return [
        nn.Upsample(scale_factor=2),
        nn.Conv2d(inputs, channels, 5, padding=2, bias=False),
        # one group of all channels, weighed by channel: the layer norm of pictures
        nn.GroupNorm(1, channels),
        nn.ReLU(),
    ]
