"""What StyleGAN2's two networks are trained for, and the two penalties that are only asked now and then.

Non-saturating logistic loss (Goodfellow et al. 2014), R1 (Mescheder et al., ICML 2018, equation 9), path length
(Karras et al., CVPR 2020, equation 4).
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

_FOLLOWS = 0.01  # of the mean path length, a call


def generator_loss(made: Tensor) -> Tensor:
    """Of the logits (N,) of made pictures."""
    return F.softplus(-made).mean()


def discriminator_loss(real: Tensor, made: Tensor) -> Tensor:
    """Of the logits (N,) of real and made pictures."""
    return F.softplus(-real).mean() + F.softplus(made).mean()


def r1(discriminator: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
    """Half the mean squared gradient of the logits at real samples (N, ...), to be weighed by gamma."""
    real = real.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(discriminator(real).sum(), real, create_graph=True)
    return gradient.square().flatten(1).sum(dim=1).mean() / 2


def path_length(
    synthesis: Callable[[Tensor], Tensor], ws: Tensor, mean: Tensor, random: Generator
) -> tuple[Tensor, Tensor]:
    """How much the length of the Jacobian at `ws` (N, styles, latent) differs from its running `mean`, and the next
    mean (both scalars)."""
    ws = ws if ws.requires_grad else ws.requires_grad_()
    pictures = synthesis(ws)
    noise = torch.randn(pictures.shape, generator=random).to(pictures) / pictures.shape[-1]
    (gradient,) = torch.autograd.grad((pictures * noise).sum(), ws, create_graph=True)
    lengths = gradient.square().sum(dim=2).mean(dim=1).sqrt()
    following = mean.lerp(lengths.detach().mean(), _FOLLOWS)
    return (lengths - following).square().mean(), following
