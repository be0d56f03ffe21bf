"""How natural a change leaves a picture, differentiably: structural similarity, and the distance of two sets."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from visard.errors import CloakError, MeasureError
from visard.recognizer import Recognizer

WINDOW, SIGMA = 11, 1.5  # of structural similarity, px
K1, K2 = 0.01**2, 0.03**2
# The bandwidths s of TIP-IM's published kernel, the sum of exp(-d^2 / (2 s)).
BANDWIDTHS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1, 5, 10, 15, 20, 25, 30, 35, 1e2, 1e3, 1e4, 1e5, 1e6)


def change_to(reference: Tensor) -> Callable[[Tensor], Callable[[Tensor], Tensor]]:
    """A function of a change (N, C, H, W) of pictures `reference`, which gives a function of factors (N,) to it, which
    gives the structural dissimilarity ``1 - SSIM`` (N, C, H - 10, W - 10) that `factor * change` makes.

    The windows' moments of ``x + s d`` follow from those of `d`: luminance and structure lose
    ``s^2 mean(d)^2 / (mean(x)^2 + mean(x + s d)^2 + K1)`` and ``s^2 var(d) / (var(x) + var(x + s d) + K2)``. So trying
    another factor costs no filtering. Gaussian window 11 px, sigma 1.5, K1 .01, K2 .03, at every window wholly inside,
    as ``measure.ssim``; Wang et al., TIP 2004. Raises ``MeasureError`` for pictures under 11 px.
    """
    if min(reference.shape[-2:]) < WINDOW:
        height, width = reference.shape[-2:]
        raise MeasureError(f"SSIM needs at least {WINDOW} x {WINDOW} px, got {height} x {width}.")
    reference = reference.detach()
    mean, square = blurred(torch.cat([reference, reference * reference]), WINDOW, SIGMA).chunk(2)
    bright, varied = mean * mean + K1, 2 * (square - mean * mean) + K2

    def change_by(delta: Tensor) -> Callable[[Tensor], Tensor]:
        shift, squares, products = blurred(torch.cat([delta, delta * delta, delta * reference]), WINDOW, SIGMA).chunk(3)
        spread, covariance = squares - shift * shift, 2 * (products - shift * mean)

        def lost(factor: Tensor) -> Tensor:
            s = factor.view(-1, 1, 1, 1)
            luminance = (s * shift).square() / (bright + (mean + s * shift).square())
            structure = s * s * spread
            structure = structure / (varied + s * covariance + structure)
            return luminance + structure - luminance * structure

        return lost

    return change_by


def ssim_to(reference: Tensor) -> Callable[[Tensor], Tensor]:
    """A function that gives the structural similarity of pictures (N, C, H, W) in [0, 1] to `reference`, (N,): the
    mean over channels and windows, as ``measure.ssim``; see ``change_to``."""
    change_by = change_to(reference)
    return lambda pictures: 1 - change_by(pictures - reference)(torch.ones(len(pictures)).to(pictures)).mean((1, 2, 3))


def dssim_to(reference: Tensor) -> Callable[[Tensor], Tensor]:
    """Structural dissimilarity to `reference`, ``(1 - SSIM) / 2`` per picture (N,), in [0, 1]; see ``ssim_to``."""
    similarity = ssim_to(reference)
    return lambda pictures: (1 - similarity(pictures)) / 2


def blurred(pictures: Tensor, size: int, sigma: float) -> Tensor:
    """Gaussian means of `pictures` (N, C, H, W) at the windows of `size` px that lie wholly inside; `sigma` in px."""
    x = torch.arange(size).to(pictures) - (size - 1) / 2
    weights = torch.exp(-0.5 * (x / sigma) ** 2)
    column = (weights / weights.sum()).view(1, 1, size, 1)
    # every plane a channel of one picture: as a batch of planes it takes ten times as long on a CPU
    planes = pictures.flatten(0, 1)
    filters = column.expand(len(planes), 1, size, 1).contiguous()
    flat = F.conv2d(F.conv2d(planes[None], filters, groups=len(planes)), filters.mT.contiguous(), groups=len(planes))
    return flat.view(*pictures.shape[:2], *flat.shape[-2:])


def reflected(pictures: Tensor) -> Tensor:
    """`pictures` (N, C, H, W), mirrored beyond their edges by half a window: then there is one window per pixel."""
    edge = WINDOW // 2
    return F.pad(pictures, (edge, edge, edge, edge), mode="reflect")


def kernel(squares: Tensor) -> Tensor:
    """The sum of TIP-IM's Gaussian kernels at squared distances `squares`, elementwise: from 19, at 0, down to 0."""
    doubled = 2 * torch.tensor(BANDWIDTHS).to(squares)
    return torch.exp(-squares[..., None] / doubled).sum(dim=-1)


def mmd(a: Tensor, b: Tensor) -> Tensor:
    """The squared maximum mean discrepancy of two sets of vectors (N, F) and (M, F), biased estimate; at least 0."""

    def mean(x: Tensor, y: Tensor) -> Tensor:
        return kernel((x[:, None] - y).square().sum(dim=2)).mean()

    return mean(a, a) + mean(b, b) - 2 * mean(a, b)


def mmd_alone(squares: Tensor) -> Tensor:
    """``mmd`` of sets of one each, from the squared distances (N,) of their members; (N,)."""
    return 2 * (len(BANDWIDTHS) - kernel(squares))


class ConvolutionTap(TorchFunctionMode):
    """While it is entered, `count` counts two-dimensional convolutions; `features` is what number `place`, from 1,
    gave: (N, F), every row of unit length. `place` 0 is none."""

    def __init__(self, place: int = 0) -> None:
        super().__init__()
        self.place, self.count = place, 0
        self.features: Tensor | None = None

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is torch.conv2d:
            self.count += 1
            if self.count == self.place:
                self.features = F.normalize(result.flatten(1))
        return result


def middle_convolution(recognizer: Recognizer, faces: Tensor) -> tuple[int, Tensor]:
    """The number, from 1, of the convolution in the middle of `recognizer`, and its features (N, F), rows of unit
    length, of `faces` (N, 3, h, w), aligned to its template.

    Raises ``CloakError`` for a network without convolutions.
    """
    with torch.no_grad(), ConvolutionTap() as counted:
        recognizer.embed(faces)
    with torch.no_grad(), ConvolutionTap((counted.count + 1) // 2) as tap:
        recognizer.embed(faces)
    if tap.features is None:
        raise CloakError(f"{recognizer.name} has no convolution to take features from; set naturalness=mmd-pixels.")
    return tap.place, tap.features
