"""Verification: one photo against one other. A pair matches when its score is at or above the threshold."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from visard.errors import CalibrationError

Scores = NDArray[np.floating]
RULE_OF_30 = 30


def fmr_at(impostor: Scores, threshold: float) -> float:
    """False match rate in [0, 1]: the share of impostor scores (K,) at or above `threshold` (ISO/IEC 19795-1)."""
    return float(np.mean(impostor >= threshold))


def fnmr_at(genuine: Scores, threshold: float) -> float:
    """False non-match rate in [0, 1]: the share of genuine scores (K,) below `threshold` (ISO/IEC 19795-1)."""
    return float(np.mean(genuine < threshold))


def threshold_at_fmr(impostor: Scores, fmr: float) -> float:
    """The lowest threshold whose false match rate on `impostor` scores (K,) is at most `fmr` in (0, 1).

    Raises ``CalibrationError`` when fewer than 30 false matches are expected: by the rule of 30 (Doddington et al.
    2000) the true rate then lies within 30 % of the measured one with 90 % confidence only from 30 errors on.
    """
    if not 0 < fmr < 1:
        raise CalibrationError(f"A false match rate lies between 0 and 1, got {fmr:g}.")
    needed = required_pairs(fmr)
    if len(impostor) < needed:
        raise CalibrationError(
            f"FMR {fmr:g} needs at least {needed:,} impostor pairs (rule of 30), got {len(impostor):,}: "
            "give photos of more people, or a higher FMR."
        )
    allowed = math.floor(fmr * len(impostor))  # this many impostors may match
    if (allowed + 1) / len(impostor) <= fmr:  # .29 * 200 is a little under 58
        allowed += 1
    descending = -np.partition(-impostor, allowed)[: allowed + 1]
    return float(np.nextafter(descending[allowed], np.inf, dtype=impostor.dtype))


def required_pairs(fmr: float) -> int:
    """How many impostor pairs a threshold at `fmr` needs by the rule of 30."""
    return math.ceil(RULE_OF_30 / fmr - 1e-6)


def genuine_and_impostor(embeddings: Scores, people: Sequence[str]) -> tuple[Scores, Scores]:
    """Cosines of all pairs of unit `embeddings` (N, D), each pair once: same person (G,), different people (I,)."""
    identities = np.unique(np.asarray(people), return_inverse=True)[1]
    genuine, impostor = [], []
    for i in range(len(embeddings) - 1):
        scores = embeddings[i + 1 :] @ embeddings[i]
        same = identities[i + 1 :] == identities[i]
        genuine.append(scores[same])
        impostor.append(scores[~same])
    if not genuine:
        return np.empty(0, dtype=embeddings.dtype), np.empty(0, dtype=embeddings.dtype)
    return np.concatenate(genuine), np.concatenate(impostor)


def new_juror_bound(jurors: int, confidence: float = 0.95) -> float:
    """The chance that a further exchangeable juror is fooled too, at least, when all of `jurors` were.

    The exact binomial lower limit ``(1 - confidence) ** (1 / jurors)``; 0 without jurors.
    """
    return (1 - confidence) ** (1 / jurors) if jurors else 0.0
