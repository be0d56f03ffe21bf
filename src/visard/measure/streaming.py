"""The same measures for what comes in batches: ``update`` with each, ``merge`` what others saw, ``compute``.

The order and the cut into batches make no difference, up to rounding in the means.
"""

from collections.abc import Callable
from typing import NamedTuple, Self

import numpy as np

from visard.errors import MeasureError
from visard.measure._arrays import Floats, Numbers, floats, whole
from visard.measure.curves import eer, eer_vos, equal_error
from visard.measure.identification import Ranks
from visard.measure.score_bootstrap import bin_places, cumulative
from visard.measure.verification import d_prime


class Verification(NamedTuple):
    """What a set of genuine and impostor scores says, without a threshold."""

    eer: float
    eer_vos: float
    d_prime: float
    genuine: int
    impostor: int


class VerificationScores:
    """Exact verification measures of scores that come in batches. Memory: every score is kept."""

    def __init__(self) -> None:
        self._genuine: list[Floats] = []
        self._impostor: list[Floats] = []

    def update(self, genuine: Numbers = (), impostor: Numbers = ()) -> None:
        """More scores (G,), (I,); either may be empty."""
        for kept, new, name in ((self._genuine, genuine, "genuine"), (self._impostor, impostor, "impostor")):
            if len(new):
                kept.append(floats(new, f"{name} scores", "(K,)").copy())

    def merge(self, other: Self) -> None:
        """Also count what `other` saw."""
        self._genuine += other._genuine
        self._impostor += other._impostor

    @property
    def genuine(self) -> Floats:
        return np.concatenate(self._genuine) if self._genuine else np.empty(0)

    @property
    def impostor(self) -> Floats:
        return np.concatenate(self._impostor) if self._impostor else np.empty(0)

    def compute(self) -> Verification:
        """Raises ``MeasureError`` while either kind of scores is missing."""
        scores = self.genuine, self.impostor
        return Verification(eer(*scores), eer_vos(*scores), d_prime(*scores), *map(len, scores))


class ScoreHistogram:
    """The equal error rate of any number of scores in bounded memory: counts in `bins` over [low, high].

    The result is the exact one for some scores that differ from the given by less than a bin's width.
    """

    def __init__(self, bins: int = 65536, low: float = -1.0, high: float = 1.0) -> None:
        if not low < high:
            raise MeasureError(f"Bins need a low end under the high end, got {low:g} and {high:g}.")
        self.low, self.high = low, high
        self.counts = np.zeros((2, whole(bins, "The number of bins")), np.int64)  # genuine, impostor

    def update(self, genuine: Numbers = (), impostor: Numbers = ()) -> None:
        """More scores (G,), (I,); either may be empty."""
        bins = self.counts.shape[1]
        for row, (new, name) in enumerate(((genuine, "genuine"), (impostor, "impostor"))):
            if len(new):
                places = bin_places(floats(new, f"{name} scores", "(K,)"), self.low, self.high, bins)
                self.counts[row] += np.bincount(places, minlength=bins)

    def merge(self, other: Self) -> None:
        """Also count what `other` saw. Raises ``MeasureError`` for other bins."""
        if (self.low, self.high, self.counts.shape) != (other.low, other.high, other.counts.shape):
            raise MeasureError("Histograms can only be merged where their bins are the same.")
        self.counts += other.counts

    def compute(self) -> float:
        """The equal error rate in [0, 1]. Raises ``MeasureError`` while either kind of scores is missing."""
        if not self.counts.any(axis=1).all():
            raise MeasureError("There are no genuine scores, or no impostor scores: give at least one of either.")
        below = cumulative(self.counts.astype(np.float64))
        return float(equal_error(1 - below[1:], below[:1])[0])


class MeanQuality:
    """The mean of a measure of two pictures, such as ``ssim``, over pairs that come in batches."""

    def __init__(self, measure: Callable[[Floats, Floats], float]) -> None:
        self.measure = measure
        self._sum, self._count = 0.0, 0

    def update(self, a: Numbers, b: Numbers) -> None:
        """Two batches of pictures (N, H, W, C)."""
        first, second = floats(a, "pictures", "(N, H, W, C)"), floats(b, "pictures", "(N, H, W, C)")
        if len(first) != len(second):
            raise MeasureError(f"Pictures come in pairs, got {len(first)} and {len(second)}.")
        self._sum += sum(self.measure(x, y) for x, y in zip(first, second, strict=True))
        self._count += len(first)

    def merge(self, other: Self) -> None:
        """Also count what `other` saw. Raises ``MeasureError`` for another measure."""
        if other.measure is not self.measure:
            raise MeasureError("Means can only be merged where they are of one measure.")
        self._sum, self._count = self._sum + other._sum, self._count + other._count

    def compute(self) -> float:
        """The mean, infinite if a pair's value was. Raises ``MeasureError`` before the first pair."""
        if not self._count:
            raise MeasureError("There are no pictures: give at least one pair.")
        return self._sum / self._count


class Cmc:
    """The cumulative match characteristic of ranks that come in batches."""

    def __init__(self, gallery_size: int) -> None:
        self._counts = np.zeros(whole(gallery_size, "The size of a gallery"), np.int64)

    def update(self, ranks: Ranks) -> None:
        """More ranks (P,), from 1, as ``ranks`` gives them."""
        places = floats(ranks, "ranks", "(P,)").astype(np.intp)
        whole(int(places.min()), "A rank", len(self._counts))
        whole(int(places.max()), "A rank", len(self._counts))
        self._counts += np.bincount(places - 1, minlength=len(self._counts))

    def merge(self, other: Self) -> None:
        """Also count what `other` saw. Raises ``MeasureError`` for a gallery of another size."""
        if len(other._counts) != len(self._counts):
            raise MeasureError("Characteristics can only be merged where the galleries are of one size.")
        self._counts += other._counts

    def compute(self) -> Floats:
        """The rank-1, rank-2, ... rates (gallery_size,). Raises ``MeasureError`` before the first rank."""
        if not self._counts.any():
            raise MeasureError("There are no ranks: give at least one.")
        return np.asarray(np.cumsum(self._counts) / self._counts.sum())
