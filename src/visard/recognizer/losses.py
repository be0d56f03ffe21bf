"""Heads for training recognizers: one logit per person, with a margin on the true one's.

Each is forward(embeddings (N, D), labels (N,)) -> logits (N, C) for cross-entropy; without labels there is no
margin. Below, theta is the angle between an embedding and a person's weights, and s the scale.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Softmax(nn.Module):
    """A plain linear layer; with `hidden`, behind a hidden layer with batch normalization and a rectifier.

    `hidden` = 256 is the head of Chatzikyriakidis et al.'s Model B (ICIP 2019).
    """

    def __init__(self, dim: int, classes: int, *, hidden: int | None = None) -> None:
        super().__init__()
        self.settings = {"dim": dim, "classes": classes, "hidden": hidden}
        self.layers = nn.Sequential()
        if hidden is not None:
            self.layers.extend([nn.Linear(dim, hidden), nn.BatchNorm1d(hidden), nn.ReLU()])
        self.layers.append(nn.Linear(hidden or dim, classes))

    def forward(self, embeddings: Tensor, _labels: Tensor | None = None) -> Tensor:
        logits: Tensor = self.layers(embeddings)
        return logits


class _Angular(nn.Module):
    """What the margin heads share: unit weights per person, and logits s cos(theta)."""

    def __init__(self, dim: int, classes: int, scale: float) -> None:
        super().__init__()
        self.settings: dict[str, float] = {"dim": dim, "classes": classes, "scale": scale}
        self.scale = scale
        self.weight = nn.Parameter(nn.init.normal_(torch.empty(classes, dim), std=0.01))

    def cosines(self, embeddings: Tensor) -> Tensor:
        """(N, C), in [-1, 1]."""
        return F.linear(F.normalize(embeddings), F.normalize(self.weight)).clamp(-1, 1)

    def forward(self, embeddings: Tensor, labels: Tensor | None = None) -> Tensor:
        cosines = self.cosines(embeddings)
        if labels is not None:
            true = cosines.gather(1, labels[:, None])  # (N, 1)
            cosines = cosines.scatter(1, labels[:, None], self.with_margin(true, embeddings))
        return self.scale * cosines

    def with_margin(self, true: Tensor, _embeddings: Tensor) -> Tensor:
        """What stands for the cosines (N, 1) of the true people in training."""
        return true


class SphereFace(_Angular):
    """A-Softmax: |x| psi(theta), psi(theta) = (-1)^k cos(m theta) - 2 k for theta in [k pi / m, (k + 1) pi / m].

    As published, psi is blended with the cosine: (lambda cos(theta) + psi(theta)) / (1 + lambda), where lambda =
    max(5, 1500 / (1 + 0.1 t)) falls with the number t of training steps, one per call with labels in train mode.
    Liu et al., "SphereFace: deep hypersphere embedding for face recognition", CVPR 2017, equation 7.
    """

    step: Tensor

    def __init__(
        self, dim: int, classes: int, *, margin: int = 4, lambda_start: float = 1500.0, lambda_end: float = 5.0
    ) -> None:
        super().__init__(dim, classes, scale=1.0)
        self.settings = {
            "dim": dim, "classes": classes, "margin": margin, "lambda_start": lambda_start, "lambda_end": lambda_end
        }  # fmt: skip
        self.margin, self.lambda_start, self.lambda_end = margin, lambda_start, lambda_end
        self.register_buffer("step", torch.zeros((), dtype=torch.long))

    def forward(self, embeddings: Tensor, labels: Tensor | None = None) -> Tensor:
        if labels is not None and self.training:
            self.step += 1
        norms: Tensor = embeddings.norm(dim=1, keepdim=True)
        return super().forward(embeddings, labels) * norms

    def with_margin(self, true: Tensor, _embeddings: Tensor) -> Tensor:
        blend = max(self.lambda_end, self.lambda_start / (1 + 0.1 * int(self.step)))
        sector = (self.margin * true.detach().acos() / math.pi).floor().clamp(max=self.margin - 1)  # k
        # cos(m theta) as Chebyshev's polynomial of cos(theta): unlike acos it has a gradient at +-1
        before, multiple = torch.ones_like(true), true
        for _ in range(self.margin - 1):
            before, multiple = multiple, 2 * true * multiple - before
        psi = (1 - 2 * (sector % 2)) * multiple - 2 * sector
        return (blend * true + psi) / (1 + blend)


class CosFace(_Angular):
    """s (cos(theta) - m). Wang et al., "CosFace: large margin cosine loss for deep face recognition", CVPR 2018."""

    def __init__(self, dim: int, classes: int, *, margin: float = 0.35, scale: float = 64.0) -> None:
        super().__init__(dim, classes, scale)
        self.settings |= {"margin": margin}
        self.margin = margin

    def with_margin(self, true: Tensor, _embeddings: Tensor) -> Tensor:
        return true - self.margin


class ArcFace(_Angular):
    """s cos(theta + m), without the easy margin: where theta + m exceeds pi and the cosine would rise again, it goes
    on falling as cos(theta) - m sin(m).

    Deng et al., "ArcFace: additive angular margin loss for deep face recognition", CVPR 2019.
    """

    def __init__(self, dim: int, classes: int, *, margin: float = 0.5, scale: float = 64.0) -> None:
        super().__init__(dim, classes, scale)
        self.settings |= {"margin": margin}
        self.margin = margin

    def with_margin(self, true: Tensor, _embeddings: Tensor) -> Tensor:
        turned = true * math.cos(self.margin) - _sine(true) * math.sin(self.margin)
        return torch.where(true > -math.cos(self.margin), turned, true - self.margin * math.sin(self.margin))


class AdaFace(_Angular):
    """s (cos(theta + g_angle) - g_add), g_angle = -m q, g_add = m q + m: the quality q is the embedding's norm,
    standardized by its running mean and deviation, times h and clipped to [-1, 1].

    The statistics move by `momentum` with each call with labels in train mode; theta + g_angle is kept within
    [0, pi]. Kim, Jain, Liu, "AdaFace: quality adaptive margin for face recognition", CVPR 2022, equations 12 to 17.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        dim: int,
        classes: int,
        *,
        margin: float = 0.4,
        h: float = 0.333,
        scale: float = 64.0,
        momentum: float = 0.01,
    ) -> None:
        super().__init__(dim, classes, scale)
        self.settings |= {"margin": margin, "h": h, "momentum": momentum}
        self.margin, self.h, self.momentum = margin, h, momentum
        self.register_buffer("mean", torch.tensor(20.0))  # as published
        self.register_buffer("deviation", torch.tensor(100.0))

    def quality(self, embeddings: Tensor) -> Tensor:
        """(N, 1), in [-1, 1], without gradient."""
        norms = embeddings.detach().norm(dim=1, keepdim=True).clamp(1e-3, 100)
        standardized: Tensor = (norms - self.mean) / (self.deviation + 1e-3)
        return (self.h * standardized).clamp(-1, 1)

    def with_margin(self, true: Tensor, embeddings: Tensor) -> Tensor:
        if self.training and len(embeddings) > 1:
            norms = embeddings.detach().norm(dim=1).clamp(1e-3, 100)
            self.mean.lerp_(norms.mean(), self.momentum)
            self.deviation.lerp_(norms.std(), self.momentum)
        quality = self.quality(embeddings)
        angle, margin = true.detach().acos(), -self.margin * quality
        margin = (angle + margin).clamp(0, math.pi) - angle
        return true * margin.cos() - _sine(true) * margin.sin() - self.margin * (1 + quality)


def _sine(cosines: Tensor) -> Tensor:
    """sin(theta), with a finite gradient where theta is 0 or pi."""
    return (1 - cosines.square()).clamp(min=1e-7).sqrt()


Head = Softmax | SphereFace | CosFace | ArcFace | AdaFace
HEADS: dict[str, type[Head]] = {
    "adaface": AdaFace,
    "arcface": ArcFace,
    "cosface": CosFace,
    "softmax": Softmax,
    "sphereface": SphereFace,
}
"""Heads by the name that a stored classifier gives them."""
