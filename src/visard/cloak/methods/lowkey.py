"""LowKey: away from the clean features of every surrogate, in the picture and in its blurred copy.

Paper: Cherepanova et al., "LowKey: leveraging adversarial attacks to protect social media users from facial
recognition", ICLR 2021, with its published code. With f the features before they are brought to unit length, A a
recognizer's alignment, which is inside the loop, and G a Gaussian smoothing, it maximizes ::

    mean_f (||f(A(x)) - f(A(x'))||^2 + ||f(A(x)) - f(A(G(x')))||^2) / ||f(A(x))||  -  .05 LPIPS(x, x')

Norm: Linf. Official arguments: eps .05, 50 signed steps of .0025, a start of Gaussian noise .005, G 7 px sigma 3; ours
are the same. What differs: LPIPS needs published weights that do not come with visard, so that the default stand-in
for it is DSSIM, (1 - SSIM) / 2, and `perceptual` says which is used: "dssim", "none", or "lpips", whose weights are
then read from lpips-alex.safetensors in visard's folder. G is on the pixels of the face's patch.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from visard.cloak import step
from visard.cloak.budget import Linf
from visard.cloak.loop import Task, descend
from visard.cloak.method import Method
from visard.cloak.naturalness import blurred, dssim_to
from visard.cloak.objective import Faces, aligned
from visard.errors import CloakError
from visard.measure.perceptual import load_lpips
from visard.recognizer import Recognizer
from visard.recognizer.store import home

_SIZE, _SIGMA = 7, 3.0

LPIPS_FILE = "lpips-alex.safetensors"
"""In visard's folder (``$VISARD_HOME``): both sets of LPIPS' weights, as ``measure.perceptual.load_lpips`` reads."""


def lowkey(
    task: Task,
    *,
    eps: float = 0.05,
    alpha: float = 0.0025,
    steps: int = 50,
    noise: float = 0.005,
    weight: float = 0.05,
    perceptual: Literal["dssim", "lpips", "none"] = "dssim",
) -> Tensor:
    """`steps` sign steps of `alpha` within `eps` from Gaussian `noise`, all in [0, 1]; `weight` of `perceptual`."""
    if not task.surrogates:
        raise CloakError("lowkey works against recognizers; give at least one as a surrogate.")
    clean = task.faces._replace(pixels=task.faces.pixels.detach())
    with torch.no_grad():
        own = [_features(recognizer, clean) for recognizer in task.surrogates]
    seen_change = _distance(perceptual, clean.pixels)

    def objective(seen: Faces) -> Tensor:
        frames = None if seen.frames is None else seen.frames.repeat(2, 1, 1)
        both = Faces(torch.cat([seen.pixels, smoothed(seen.pixels)]), frames)
        away = []
        for recognizer, anchor in zip(task.surrogates, own, strict=True):
            plain, smooth = (_features(recognizer, both) - anchor.repeat(2, 1)).square().sum(dim=1).chunk(2)
            away.append((plain + smooth) / torch.linalg.vector_norm(anchor, dim=1))
        return weight * seen_change(seen.pixels) - torch.stack(away).mean(dim=0)

    return descend(
        replace(task, objective=objective),
        step=step.sign(alpha),
        budget=Linf(eps),
        steps=steps,
        init=lambda pixels: noise * torch.randn(pixels.shape, generator=task.generator).to(pixels),
    )


def smoothed(pictures: Tensor) -> Tensor:
    """G: `pictures` (N, C, H, W) smoothed by a Gaussian of 7 px, sigma 3; edges are mirrored."""
    edge = _SIZE // 2
    return blurred(F.pad(pictures, (edge, edge, edge, edge), mode="reflect"), _SIZE, _SIGMA)


def _features(recognizer: Recognizer, faces: Faces) -> Tensor:
    """Embeddings (N, D), not of unit length."""
    features: Tensor = recognizer.network(recognizer.normalize(aligned(recognizer, faces)))
    return features


def _distance(perceptual: str, clean: Tensor) -> Callable[[Tensor], Tensor]:
    """From pictures (N, C, H, W) to how far they look from `clean`, (N,)."""
    if perceptual == "none":
        return lambda pictures: pictures.new_zeros(len(pictures))
    if perceptual == "dssim":
        return dssim_to(clean)
    path = home() / LPIPS_FILE
    if not path.is_file():
        raise CloakError(f"LPIPS needs its published weights in {path}; put them there, or set perceptual=dssim.")
    lpips, colored = load_lpips(path), clean.expand(-1, 3, -1, -1)
    return lambda pictures: lpips(pictures.expand(-1, 3, -1, -1), colored)


LOWKEY = Method("lowkey", "Cherepanova et al. 2021", "untargeted", lowkey)
