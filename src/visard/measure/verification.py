"""Verification: one photo against one other. A pair matches when its score is at or above the threshold."""

import math
from typing import NamedTuple

import numpy as np

from visard.errors import CalibrationError
from visard.measure._arrays import Floats, Numbers, People, codes, floats, share

RULE_OF_30 = 30
_ROWS = 512  # of the score matrix at a time


class ErrorRates(NamedTuple):
    """The two error rates at one threshold, each in [0, 1]."""

    fmr: float
    fnmr: float


def fmr_at(impostor: Numbers, threshold: float) -> float:
    """False match rate in [0, 1]: the share of impostor scores (K,) at or above `threshold` (ISO/IEC 19795-1)."""
    return float(np.mean(floats(impostor, "impostor scores", "(K,)") >= threshold))


def fnmr_at(genuine: Numbers, threshold: float) -> float:
    """False non-match rate in [0, 1]: the share of genuine scores (K,) below `threshold` (ISO/IEC 19795-1)."""
    return float(np.mean(floats(genuine, "genuine scores", "(K,)") < threshold))


def error_rates(genuine: Numbers, impostor: Numbers, threshold: float, *, of_all_attempts: bool = False) -> ErrorRates:
    """FMR and FNMR at `threshold`, from genuine (G,) and impostor (I,) scores.

    `of_all_attempts` divides both errors by G + I, as one source prints them; ISO/IEC 19795-1, the default, divides
    false matches by I and false non-matches by G.
    """
    genuine, impostor = floats(genuine, "genuine scores", "(G,)"), floats(impostor, "impostor scores", "(I,)")
    fmr, fnmr = fmr_at(impostor, threshold), fnmr_at(genuine, threshold)
    if of_all_attempts:
        attempts = len(genuine) + len(impostor)
        fmr, fnmr = fmr * len(impostor) / attempts, fnmr * len(genuine) / attempts
    return ErrorRates(fmr, fnmr)


def hter(genuine: Numbers, impostor: Numbers, threshold: float) -> float:
    """Half total error rate in [0, 1]: the mean of FMR and FNMR at `threshold`, which comes from other people.

    Bengio and Mariethoz, Odyssey 2004. At a threshold chosen on the same scores it flatters.
    """
    return sum(error_rates(genuine, impostor, threshold)) / 2


def threshold_at_fmr(impostor: Numbers, fmr: float) -> float:
    """The lowest threshold whose false match rate on `impostor` scores (K,) is at most `fmr` in (0, 1).

    Raises ``CalibrationError`` when fewer than 30 false matches are expected: by the rule of 30 (Doddington et al.
    2000) the true rate then lies within 30 % of the measured one with 90 % confidence only from 30 errors on.
    """
    if not 0 < fmr < 1:
        raise CalibrationError(f"A false match rate lies between 0 and 1, got {fmr:g}.")
    impostor = floats(impostor, "impostor scores", "(K,)")
    needed = required_pairs(fmr)
    if len(impostor) < needed:
        raise CalibrationError(
            f"FMR {fmr:g} needs at least {needed:,} impostor pairs (rule of 30), got {len(impostor):,}: "
            "give photos of more people, or a higher FMR."
        )
    allowed = math.floor(fmr * len(impostor))  # this many impostors may match
    if (allowed + 1) / len(impostor) <= fmr:  # .29 * 200 is a little under 58
        allowed += 1
    return just_above(impostor, allowed)


def threshold_vos(impostor: Numbers, far: float = 1e-3) -> float:
    """The threshold of vos2023: the least FRR subject to FAR < `far`, strictly.

    FRR never falls as the threshold rises, so this is the lowest threshold that keeps FAR on `impostor` scores (K,)
    under `far` in (0, 1), and genuine scores have no say. Unlike ``threshold_at_fmr`` it asks for no rule of 30.
    """
    impostor = floats(impostor, "impostor scores", "(K,)")
    allowed = math.ceil(share(far, "A false accept rate") * len(impostor)) - 1
    if allowed / len(impostor) >= far:  # .07 * 100 is a little over 7
        allowed -= 1
    return just_above(impostor, allowed)


def just_above(scores: Floats, allowed: int) -> float:
    """The lowest threshold that at most `allowed` of `scores` (K,) reach, for allowed < K."""
    place = len(scores) - 1 - allowed  # ascending
    return float(np.nextafter(np.partition(scores, place)[place], np.inf, dtype=scores.dtype))


def tar_at_fmr(genuine: Numbers, impostor: Numbers, fmr: float) -> float:
    """True accept rate in [0, 1], 1 - FNMR, at the threshold that keeps the false match rate at or under `fmr`.

    Raises ``CalibrationError`` when `impostor` (I,) holds too few scores for `fmr` (rule of 30).
    """
    genuine = floats(genuine, "genuine scores", "(G,)")
    return 1 - fnmr_at(genuine, threshold_at_fmr(impostor, fmr))


def asr(genuine: Numbers, threshold: float) -> float:
    """Attack success rate in [0, 1]: the share of genuine comparisons (K,) below `threshold` (vos2023, eq. 4).

    A genuine comparison is of a protected photo with another photo of the person, never with itself. The same number
    as FNMR; it is named for the side that it serves.
    """
    return fnmr_at(genuine, threshold)


def d_prime(genuine: Numbers, impostor: Numbers) -> float:
    """Decidability, at least 0: the distance of the two means in units of the root mean variance (Daugman 2000).

    Infinite where both kinds of scores are constant and differ. Higher is better.
    """
    scores = floats(genuine, "genuine scores", "(G,)"), floats(impostor, "impostor scores", "(I,)")
    means = [float(np.mean(s, dtype=np.float64)) for s in scores]
    spread = math.sqrt(sum(float(np.var(s, dtype=np.float64)) for s in scores) / 2)
    distance = abs(means[0] - means[1])
    if spread == 0:
        return math.inf if distance else 0.0
    return distance / spread


def required_pairs(fmr: float) -> int:
    """How many impostor pairs a threshold at `fmr` needs by the rule of 30."""
    return math.ceil(RULE_OF_30 / fmr - 1e-6)


def genuine_and_impostor(embeddings: Numbers, people: People) -> tuple[Floats, Floats]:
    """Cosines of all pairs of unit `embeddings` (N, D), each pair once: same person (G,), different people (I,).

    In no stated order; either may be empty. Memory: the scores and some rows of their matrix. Raises
    ``MeasureError`` for NaN and where `people` does not name N people.
    """
    if len(embeddings) == 0:
        return np.empty(0), np.empty(0)
    embeddings = floats(embeddings, "embeddings", "(N, D)")
    count = len(embeddings)
    identities = codes(people, count)
    order = np.argsort(identities, kind="stable")
    embeddings, identities = embeddings[order], identities[order]
    ends = np.searchsorted(identities, identities, side="right")  # a row's own person ends here
    mates = ends - np.arange(1, count + 1)
    genuine = np.empty(mates.sum(), dtype=embeddings.dtype)
    impostor = np.empty(count * (count - 1) // 2 - len(genuine), dtype=embeddings.dtype)
    g = i = 0
    for first in range(0, count, _ROWS):
        scores = embeddings[first : first + _ROWS] @ embeddings[first:].T  # (rows, N - first)
        for row, cosines in enumerate(scores):
            end = ends[first + row] - first
            same, other = cosines[row + 1 : end], cosines[end:]
            genuine[g : g + len(same)], impostor[i : i + len(other)] = same, other
            g, i = g + len(same), i + len(other)
    return genuine, impostor


def new_juror_bound(jurors: int, confidence: float = 0.95) -> float:
    """The chance that a further exchangeable juror is fooled too, at least, when all of `jurors` were.

    The exact binomial lower limit ``(1 - confidence) ** (1 / jurors)``; 0 without jurors.
    """
    return (1 - confidence) ** (1 / jurors) if jurors else 0.0
