"""Objectives: what a cloak minimizes, one loss per face, (N,)."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visard.recognizer import Recognizer


class Faces(NamedTuple):
    """What a recognizer looks at: `pixels` (N, C, H, W) in [0, 1], C = 1 or 3; `frames` (N, 2, 3) canonical frame
    -> pixel, or None when the pixels are aligned to the recognizer's template already."""

    pixels: Tensor
    frames: Tensor | None = None


Objective = Callable[[Faces], Tensor]


def aligned(recognizer: Recognizer, faces: Faces) -> Tensor:
    """`faces` as the recognizer takes them: (N, 3, h, w), aligned to its template."""
    if faces.frames is None:
        return faces.pixels.expand(-1, 3, -1, -1)
    return recognizer.align(faces.pixels, faces.frames)


def embed(recognizer: Recognizer, faces: Faces) -> Tensor:
    """Unit embeddings (N, D) of `faces`, each seen through the recognizer's own template."""
    return recognizer.embed(aligned(recognizer, faces))


def dodging(
    surrogates: Sequence[Recognizer], anchors: Sequence[Tensor], weights: Sequence[float] | None = None
) -> Objective:
    """Open-set dodging: the cosine to `anchors`, one (N, D) per surrogate, averaged over the surrogates, by `weights`
    where some are to count for more."""
    shares = [1.0] * len(surrogates) if weights is None else weights

    def loss(faces: Faces) -> Tensor:
        each = [w * (embed(s, faces) * a).sum(dim=1) for s, a, w in zip(surrogates, anchors, shares, strict=True)]
        return torch.stack(each).sum(dim=0) / sum(shares)

    return loss


def impersonation(
    surrogates: Sequence[Recognizer], targets: Sequence[Tensor], weights: Sequence[float] | None = None
) -> Objective:
    """Open-set impersonation: minus the cosine to `targets`, one (N, D) or (1, D) per surrogate, averaged so."""
    closeness = dodging(surrogates, targets, weights)
    return lambda faces: -closeness(faces)


def own_anchors(surrogates: Sequence[Recognizer], faces: Faces) -> list[Tensor]:
    """The faces' own clean embeddings, (N, D) per surrogate: dodging then is self-distance.

    The cosine to them has no gradient at the clean picture; start elsewhere (``init.uniform``) or look through a
    transform, or take ``mirrored_anchors``.
    """
    with torch.no_grad():
        return [embed(s, faces) for s in surrogates]


def mirrored_anchors(surrogates: Sequence[Recognizer], faces: Faces) -> list[Tensor]:
    """The normalized mean of each face's embedding and its mirror image's, (N, D) per surrogate.

    Nearer to the person's other photos than one picture alone, and with a gradient at the clean picture.
    """
    with torch.no_grad():
        return [F.normalize(embed(s, faces) + embed(s, _mirror(faces))) for s in surrogates]


def untargeted(classifier: nn.Module, labels: Tensor) -> Objective:
    """Closed-set: minus the cross-entropy of the true `labels` (N,) under `classifier`'s logits (N, K)."""
    return lambda faces: -F.cross_entropy(classifier(faces.pixels), labels, reduction="none")


def targeted(classifier: nn.Module, labels: Tensor) -> Objective:
    """Closed-set: the cross-entropy of the wanted `labels` (N,) under `classifier`'s logits (N, K)."""
    return lambda faces: F.cross_entropy(classifier(faces.pixels), labels, reduction="none")


def least_likely(classifier: nn.Module, faces: Faces) -> Objective:
    """Closed-set: toward the class that the clean `faces` resemble least, fixed here once (ILLC)."""
    with torch.no_grad():
        labels = classifier(faces.pixels).argmin(dim=1)
    return targeted(classifier, labels)


def _mirror(faces: Faces) -> Faces:
    if faces.frames is None:
        return Faces(faces.pixels.flip(3))
    # mirrored in the canonical frame (x -> 111 - x), so that no pixel is resampled for it
    flip = faces.frames.new_tensor([[-1.0, 0.0], [0.0, 1.0]])
    shift = faces.frames.new_tensor([[111.0], [0.0]])
    linear, offset = faces.frames[:, :, :2], faces.frames[:, :, 2:]
    return faces._replace(frames=torch.cat([linear @ flip, linear @ shift + offset], dim=2))
