"""Intervals of verification error rates: the bootstrap over people, on one histogram of scores per person."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from visard.errors import MeasureError
from visard.measure._arrays import Floats, Numbers, People, codes, floats, plain, share, whole
from visard.measure.curves import equal_error
from visard.measure.intervals import drawn_people, percentiles, weights

Pairs = Literal["both", "subsets"]
_ROWS = 512  # of the score matrix at a time
_DRAWS = 250  # at a time


@dataclass(frozen=True)
class PersonHistograms:
    """Scores per person and bin (P, B), float32 counts; a pair of two people counts for each of them.

    `edges` (B + 1,) bound the bins; a score at an edge lies in the bin above it, what is outside in the end bins.
    """

    genuine: Floats
    impostor: Floats
    edges: Floats


def person_histograms(embeddings: Numbers, people: People, bins: int = 4096) -> PersonHistograms:
    """Histograms of the cosines of all pairs of unit `embeddings` (N, D) with their `people` (N,).

    Bins of equal width over [-1, 1]; a bin's width bounds the error of every threshold that follows. Memory: 8 bytes a
    person and bin. Raises ``MeasureError`` for fewer than two people.
    """
    embeddings = floats(embeddings, "embeddings", "(N, D)")
    identities = codes(people, len(embeddings))
    order = np.argsort(identities, kind="stable")
    embeddings = embeddings[order]
    sizes = np.bincount(identities)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    edges = np.linspace(-1, 1, whole(bins, "The number of bins") + 1)
    genuine = np.zeros((_at_least_two(len(sizes)), bins), np.float32)
    impostor = np.zeros_like(genuine)
    first = 0
    while first < len(sizes):
        last = max(first + 1, int(np.searchsorted(starts, starts[first] + _ROWS, side="right")) - 1)
        rows = slice(starts[first], starts[last])
        places = bin_places(embeddings[rows] @ embeddings.T, -1, 1, bins)  # (rows, N)
        for person in range(first, last):
            low, high = starts[person], starts[person + 1]
            of_person = places[low - starts[first] : high - starts[first]]
            own = of_person[:, low:high]
            same = own[np.triu_indices(len(own), 1)]
            genuine[person] = np.bincount(same, minlength=bins)
            impostor[person] = np.bincount(of_person.ravel(), minlength=bins)
            impostor[person] -= np.bincount(own.ravel(), minlength=bins)
        first = last
    return PersonHistograms(genuine, impostor, edges)


def pair_histograms(
    scores: Numbers, first: People, second: People, *, bins: int = 4096, low: float = -1.0, high: float = 1.0
) -> PersonHistograms:
    """Histograms of `scores` (K,) of pairs of the people `first` (K,) with `second` (K,), bins over [low, high]."""
    values = floats(scores, "scores", "(K,)")
    if not low < high:
        raise MeasureError(f"Bins need a low end under the high end, got {low:g} and {high:g}.")
    people = codes(np.concatenate([plain(first), plain(second)]), 2 * len(values), "pairs")
    ends = people[: len(values)], people[len(values) :]
    same = ends[0] == ends[1]
    count = _at_least_two(int(people.max()) + 1)
    places = bin_places(values, low, high, whole(bins, "The number of bins"))

    def counted(owners: NDArray[np.intp], kept: NDArray[np.bool_]) -> Floats:
        flat = np.bincount(owners[kept] * bins + places[kept], minlength=count * bins)
        return flat.reshape(count, bins).astype(np.float32)

    impostor = counted(ends[0], ~same) + counted(ends[1], ~same)
    return PersonHistograms(counted(ends[0], same), impostor, np.linspace(low, high, bins + 1))


def bootstrap_eer(
    histograms: PersonHistograms, draws: int = 1000, confidence: float = 0.95, seed: int = 0, *, pairs: Pairs = "both"
) -> tuple[float, float]:
    """The percentile interval (low, high) in [0, 1] of the equal error rate, drawing people with replacement.

    Each person brings their scores (the subsets bootstrap: Bolle, Ratha and Pankanti, CVIU 2004), one matrix product
    for all draws. An impostor pair depends on two people. "subsets" gives half of it to either, as printed there, which
    makes its share of the interval about half as wide as it should be where all pairs are scored; "both", the default,
    draws both people, to first order in the weights.
    """
    return percentiles(np.concatenate([equal_error(*c) for c in _curves(histograms, draws, seed, pairs)]), confidence)


def bootstrap_fnmr_at_fmr(
    histograms: PersonHistograms,
    fmr: float,
    draws: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    *,
    pairs: Pairs = "both",
) -> tuple[float, float]:
    """The percentile interval (low, high) in [0, 1] of FNMR at the lowest edge with a false match rate at most `fmr`.

    Each draw chooses its own threshold, so the interval holds that choice's share. See ``bootstrap_eer``.
    """
    share(fmr, "A false match rate")
    rates = []
    for false_match, false_non_match in _curves(histograms, draws, seed, pairs):
        place = np.argmax(false_match <= fmr, axis=1)  # the last edge, where nothing matches, always is
        rates.append(false_non_match[np.arange(len(place)), place])
    return percentiles(np.concatenate(rates), confidence)


def _at_least_two(people: int) -> int:
    if people < 2:
        raise MeasureError("Impostor scores need at least two people, got one.")
    return people


def bin_places(scores: Floats, low: float, high: float, bins: int) -> NDArray[np.int32]:
    """The bin of each score; the scores are used up."""
    scaled = (scores - scores.dtype.type(low)) * scores.dtype.type(bins / (high - low))
    return np.clip(scaled, 0, bins - 1, out=scaled).astype(np.int32)


def _curves(histograms: PersonHistograms, draws: int, seed: int, pairs: Pairs) -> Iterator[tuple[Floats, Floats]]:
    """FMR and FNMR (d, B + 1) at the edges, for some draws at a time; draws without a genuine score are left out."""
    if not histograms.genuine.any():
        raise MeasureError("There are no genuine scores: give at least two photos of a person.")
    drawn = drawn_people(len(histograms.genuine), draws, seed)
    all_impostors = histograms.impostor.sum(axis=0, dtype=np.float64) / 2
    for first in range(0, draws, _DRAWS):
        drawn_weights = weights(drawn[first : first + _DRAWS]).astype(np.float32)
        genuine = drawn_weights @ histograms.genuine
        impostor = drawn_weights @ histograms.impostor
        if pairs == "both":  # w_i w_j = w_i + w_j - 1 to first order around 1
            impostor = impostor - all_impostors
        yield from _rates(genuine, impostor)


def _rates(genuine: Floats, impostor: Floats) -> Iterator[tuple[Floats, Floats]]:
    """FMR and FNMR (d, B + 1) of the histograms (d, B) that hold scores of both kinds."""
    kept = (genuine.sum(axis=1) > 0) & (impostor.sum(axis=1) > 0)
    if kept.any():
        false_non_match, match = (cumulative(counts[kept]) for counts in (genuine, impostor))
        false_match = np.maximum.accumulate((1 - match)[:, ::-1], axis=1)[:, ::-1]
        yield np.clip(false_match, 0, 1), false_non_match


def cumulative(counts: Floats) -> Floats:
    """The share (d, B + 1) of the counts (d, B) below each edge."""
    sums = np.cumsum(counts, axis=1, dtype=np.float64)
    return np.pad(sums / sums[:, -1:], ((0, 0), (1, 0)))
