"""Identification: one photo against a gallery. Scores (P, G) are of P probes with G gallery images or classes."""

import math
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from visard.errors import CalibrationError, MeasureError
from visard.measure._arrays import Floats, Numbers, People, floats, plain, share, whole
from visard.measure.verification import RULE_OF_30, just_above

Ranks = NDArray[np.intp]
Ties = Literal["worst", "best"]


class OpenSet(NamedTuple):
    """False negative identification rate in [0, 1] at a threshold with a stated false positive identification rate."""

    fnir: float
    threshold: float


def ranks(scores: Numbers, probe_people: People, gallery_people: People, *, ties: Ties = "worst") -> Ranks:
    """The rank (P,), from 1, of each probe's best-scored mate among the gallery images, in `scores` (P, G).

    Images of other people at exactly the mate's score rank before it ("worst": a recognizer that says the same of
    everybody identifies nobody) or after it ("best": nor does it protect anybody). Other images of the same person
    never push it down. With one image a person in the gallery a rank counts people. Raises ``MeasureError`` for a
    probe without a mate.
    """
    scores = floats(scores, "scores", "(P, G)")
    mates = _mates(scores, probe_people, gallery_people)
    if not mates.any(axis=1).all():
        raise MeasureError("A probe has no mate in the gallery: leave it out, or take fnir_at_fpir.")
    best = _best(scores, mates)[:, None]
    before = (scores >= best if ties == "worst" else scores > best) & ~mates
    return np.asarray(1 + before.sum(axis=1), dtype=np.intp)


def rank_k_rate(ranks: Numbers, k: int) -> float:
    """The share in [0, 1] of probes whose mate has at most rank `k`; `ranks` (P,) come from ``ranks``."""
    return float(np.mean(floats(ranks, "ranks", "(P,)") <= whole(k, "k")))


def cmc(ranks: Numbers, gallery_size: int) -> Floats:
    """Cumulative match characteristic (gallery_size,): the rank-1, rank-2, ... rates in [0, 1] of `ranks` (P,)."""
    places = floats(ranks, "ranks", "(P,)").astype(np.intp)
    whole(int(places.min()), "A rank", gallery_size)
    whole(int(places.max()), "A rank", gallery_size)
    counts = np.bincount(places, minlength=gallery_size + 1)[1:]
    return np.asarray(np.cumsum(counts) / len(places))


def psr(scores: Numbers, true_classes: Numbers, k: int) -> float:
    """Protection success rate in [0, 1]: the true class (P,) is not among the top `k` of `scores` (P, C).

    ghafourian2023, eq. 5, in the untargeted reading. Their Table 1 falls from top-1 to top-50 for ILLC too, so it is
    of this reading for both methods; ``psr_targeted`` is the other one. Ties count against the protection.
    """
    scores = floats(scores, "scores", "(P, C)")
    classes = _classes(true_classes, scores)
    return 1 - rank_k_rate(ranks(scores, classes, np.arange(scores.shape[1]), ties="best"), k)


def psr_targeted(scores: Numbers, target_classes: Numbers, k: int) -> float:
    """The share in [0, 1] of probes whose target class (P,) is among the top `k` of `scores` (P, C).

    The targeted reading of ghafourian2023, eq. 5: it rises with k. Ties count against the attack.
    """
    scores = floats(scores, "scores", "(P, C)")
    return rank_k_rate(ranks(scores, _classes(target_classes, scores), np.arange(scores.shape[1])), k)


def rank_n_t(scores: Numbers, targets: People, gallery_people: People, n: int) -> float:
    """Rank-N-T in [0, 1]: the share of probes with an image of their target (P,) among the top `n` of the gallery.

    yang2021tipim; `scores` (P, G), all images count. Always print it beside its value for clean probes.
    """
    return rank_k_rate(ranks(scores, targets, gallery_people), n)


def rank_n_ut(scores: Numbers, probe_people: People, gallery_people: People, n: int) -> float:
    """Rank-N-UT in [0, 1]: the share of probes with no image of their true person (P,) among the top `n`.

    yang2021tipim; `scores` (P, G). Ties count against the protection. Print it beside its value for clean probes.
    """
    return 1 - rank_k_rate(ranks(scores, probe_people, gallery_people, ties="best"), n)


def fnir_at_fpir(
    mated: Numbers, mated_people: People, gallery_people: People, nonmated: Numbers, fpir: float
) -> OpenSet:
    """Open-set search: the share of mated probes whose mate stays below the threshold (ISO/IEC 19795-1, NIST FRTE).

    `mated` (P, G) are the scores of probes `mated_people` (P,) with mates in the gallery, `nonmated` (Q, G) those of
    people who are not in it. The threshold is the lowest that at most a share `fpir` of the latter reach with any
    gallery image; the mate's rank does not matter. Raises ``CalibrationError`` with under 30 expected false positives.
    """
    mated, nonmated = floats(mated, "mated scores", "(P, G)"), floats(nonmated, "non-mated scores", "(Q, G)")
    if mated.shape[1] != nonmated.shape[1]:
        raise MeasureError(f"Mated and non-mated probes need one gallery, got {mated.shape} and {nonmated.shape}.")
    mates = _mates(mated, mated_people, gallery_people)
    if not mates.any(axis=1).all():
        raise MeasureError("A mated probe has no mate in the gallery: count it among the non-mated.")
    needed = math.ceil(RULE_OF_30 / share(fpir, "A false positive identification rate") - 1e-6)
    if len(nonmated) < needed:
        raise CalibrationError(
            f"FPIR {fpir:g} needs at least {needed:,} probes without a mate (rule of 30), got {len(nonmated):,}."
        )
    allowed = math.floor(fpir * len(nonmated) + 1e-6)
    threshold = just_above(nonmated.max(axis=1), allowed)
    return OpenSet(float(np.mean(_best(mated, mates) < threshold)), threshold)


def _mates(scores: Floats, probe_people: People, gallery_people: People) -> NDArray[np.bool_]:
    """Whose score is a mate's: (P, G)."""
    probes, gallery = plain(probe_people), plain(gallery_people)
    if (len(probes), len(gallery)) != scores.shape:
        raise MeasureError(f"Scores {scores.shape} need as many people, got {len(probes)} probes x {len(gallery)}.")
    return np.asarray(probes[:, None] == gallery[None])


def _best(scores: Floats, mates: NDArray[np.bool_]) -> Floats:
    """The best mate's score of each probe: (P,)."""
    return np.asarray(np.max(scores, axis=1, where=mates, initial=-np.inf))


def _classes(classes: Numbers, scores: Floats) -> NDArray[np.intp]:
    """Class numbers (P,), inside the columns of `scores` (P, C)."""
    numbers = floats(classes, "classes", "(P,)")
    if numbers.min() < 0 or numbers.max() >= scores.shape[1] or (numbers % 1).any():
        raise MeasureError(f"Classes are whole numbers from 0 to {scores.shape[1] - 1}.")
    return numbers.astype(np.intp)
