"""What a protected photo keeps: its faces, their landmarks and expression, their likeness."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from visard.errors import MeasureError
from visard.measure._arrays import Floats, Numbers, floats, same_shape

Eyes = tuple[Sequence[int], Sequence[int]]
EYES_68: Eyes = (range(36, 42), range(42, 48))
EYES_51: Eyes = (range(19, 25), range(25, 31))  # without the 17 points of the jaw


def detection_rate(found: Numbers) -> float:
    """The share in [0, 1] of photos in which a detector found the face, from one truth value each (K,)."""
    answers = floats(found, "detections", "(K,)")
    if not np.isin(answers, (0, 1)).all():
        raise MeasureError("A face was found or not: give True or False for each photo.")
    return float(np.mean(answers))


def landmark_distance(a: Numbers, b: Numbers, *, eyes: Eyes = EYES_68) -> float:
    """Mean distance of landmarks (N, K, 2) of N faces before (`a`) and after (`b`), from 0; lower is better.

    In units of the distance between the eyes' centers in `a` (normalized mean error; 300-W, Sagonas et al. 2013 take
    the outer corners instead). `eyes` says which points each eye consists of: ``EYES_68`` for all 68 points of iBUG,
    ``EYES_51`` for the inner 51, ``((0,), (1,))`` for five points. Raises ``MeasureError`` for eyes in one place.
    """
    before, after = floats(a, "landmarks", "(N, K, 2)"), floats(b, "landmarks", "(N, K, 2)")
    same_shape(before, after, "landmarks")
    if before.shape[2] != 2 or max(max(eye) for eye in eyes) >= before.shape[1]:
        raise MeasureError(f"Landmarks {before.shape} do not hold the eyes: name their points in `eyes`.")
    left, right = (before[:, list(eye)].mean(axis=1) for eye in eyes)  # (N, 2)
    apart = np.linalg.norm(left - right, axis=1)
    if not apart.all():
        raise MeasureError("The eyes of a face are in one place, so there is no unit of distance.")
    return float(np.mean(np.linalg.norm(before - after, axis=2) / apart[:, None]))


def identity_cosine(a: Numbers, b: Numbers) -> float:
    """Mean cosine in [-1, 1] of the embeddings (N, D) of N photos before and after; a cloak wants it low.

    A mean says nothing of protection: .5 is far above the thresholds of most recognizers (yang2021systematical).
    """
    before, after = _codes(a, b, "embeddings")
    lengths = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    if not lengths.all():
        raise MeasureError("An embedding of length 0 has no direction: leave out what could not be embedded.")
    return float(np.mean(np.clip(np.sum(before * after, axis=1) / lengths, -1, 1)))


def expression_distance(a: Numbers, b: Numbers, *, norm: Literal["l1", "l2"] = "l2") -> float:
    """Mean distance of expression codes (N, D) before and after, from 0, in the units of the codes; lower is better.

    `norm` "l2" is the Euclidean distance, "l1" the sum of absolute differences.
    """
    before, after = _codes(a, b, "expression codes")
    return float(np.mean(np.linalg.norm(before - after, ord={"l1": 1, "l2": 2}[norm], axis=1)))


def _codes(a: Numbers, b: Numbers, name: str) -> tuple[Floats, Floats]:
    before, after = (floats(x, name, "(N, D)").astype(np.float64) for x in (a, b))
    same_shape(before, after, name)
    return before, after
