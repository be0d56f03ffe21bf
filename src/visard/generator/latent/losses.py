"""What the disentanglement is trained for, beside the adversarial loss: one number each.

Yang et al. 2021, after Nitzan et al., "Face identity disentanglement via latent space mapping", SIGGRAPH Asia 2020:
means over the codes' numbers and over the points, as in that paper's public code.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from visard.cloak.naturalness import K1, K2, SIGMA, WINDOW, blurred
from visard.errors import MeasureError
from visard.measure.quality import SCALES

ALPHA = 0.84  # of MS-SSIM in the reconstruction
_LEAST = 1e-4  # a negative power has no gradient, and that of 0 no finite one


def identity_loss(found: Tensor, wanted: Tensor) -> Tensor:
    """How far codes of who (N, D) are from what they are to be: the mean absolute difference."""
    return (found - wanted).abs().mean()


def landmark_loss(found: Tensor, wanted: Tensor) -> Tensor:
    """How far points (N, 51, 2) of the canonical frame are from where they are to be: the mean squared difference of
    their coordinates, px."""
    return (found - wanted).square().mean()


def reconstruction_loss(made: Tensor, wanted: Tensor) -> Tensor:
    """How far pictures (N, 3, s, s) in [0, 1] are from what they are to be: .84 (1 - MS-SSIM) + .16 L1, means."""
    return ALPHA * (1 - ms_ssim_to(wanted)(made)).mean() + (1 - ALPHA) * (made - wanted).abs().mean()


def ms_ssim_to(reference: Tensor) -> Callable[[Tensor], Tensor]:
    """A function that gives the multi-scale structural similarity of pictures (N, C, H, W) in [0, 1] to `reference`,
    (N,), as ``measure.ms_ssim``.

    On as many of the five scales as hold a window of 11 px, their weights divided by their sum: at 64 px the first
    three. Raises ``MeasureError`` for pictures under 11 px.
    """
    scales = sum(min(reference.shape[-2:]) >> scale >= WINDOW for scale in range(len(SCALES)))
    if not scales:
        height, width = reference.shape[-2:]
        raise MeasureError(f"MS-SSIM needs at least {WINDOW} x {WINDOW} px, got {height} x {width}.")
    weights = [weight / sum(SCALES[:scales]) for weight in SCALES[:scales]]

    def similarity(pictures: Tensor) -> Tensor:
        a, b = reference, pictures
        found = a.new_ones(len(a))
        for scale, weight in enumerate(weights):
            if scale:
                a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
            here = _similarity(a, b, whole=scale == scales - 1)
            found = found * here.clamp(min=_LEAST) ** weight
        return found

    return similarity


def _similarity(a: Tensor, b: Tensor, *, whole: bool) -> Tensor:
    """The mean contrast and structure of pictures (N, C, H, W), (N,), and with `whole` their luminance too."""
    moments = blurred(torch.cat([a, b, a * a, b * b, a * b]), WINDOW, SIGMA)
    mean_a, mean_b, square_a, square_b, product = moments.chunk(5)
    spread = square_a - mean_a.square() + square_b - mean_b.square()
    found = (2 * (product - mean_a * mean_b) + K2) / (spread + K2)
    if whole:
        found = found * (2 * mean_a * mean_b + K1) / (mean_a.square() + mean_b.square() + K1)
    return found.mean(dim=(1, 2, 3))
