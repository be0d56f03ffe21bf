"""FID and KID of features that come in batches: see ``streaming``."""

from typing import Self

import numpy as np

from visard.errors import MeasureError
from visard.measure._arrays import Floats, Numbers, floats
from visard.measure.distribution import Kid, enough_for_fid, frechet_distance, kid


class FeatureStatistics:
    """Mean (D,) and covariance (D, D) of features in batches (N, D), by the update of Chan, Golub and LeVeque 1983.

    Memory: D squared numbers, however many samples.
    """

    def __init__(self) -> None:
        self.count = 0
        self._mean: Floats = np.empty(0)
        self._scatter: Floats = np.empty((0, 0))

    def update(self, features: Numbers) -> None:
        """More features (N, D)."""
        values = floats(features, "features", "(N, D)").astype(np.float64)
        mean = values.mean(axis=0)
        self._add(len(values), mean, (values - mean).T @ (values - mean))

    def merge(self, other: Self) -> None:
        """Also count what `other` saw."""
        if other.count:
            self._add(other.count, other._mean, other._scatter)

    def compute(self) -> tuple[Floats, Floats]:
        """Mean and covariance, over N - 1. Raises ``MeasureError`` for fewer than 2 samples."""
        enough_for_fid(self.count, allow_few=True)
        return self._mean.copy(), self._scatter / (self.count - 1)

    def _add(self, count: int, mean: Floats, scatter: Floats) -> None:
        if not self.count:
            self.count, self._mean, self._scatter = count, mean.copy(), scatter.copy()
            return
        if len(mean) != len(self._mean):
            raise MeasureError(f"Features must come from one network, got {len(self._mean)} and {len(mean)} of them.")
        total = self.count + count
        apart = mean - self._mean
        self._scatter = self._scatter + scatter + np.outer(apart, apart) * (self.count * count / total)
        self._mean = self._mean + apart * (count / total)
        self.count = total


class Fid:
    """``fid`` of two sets of features in batches (N, D). Memory: two means and covariances."""

    def __init__(self, *, allow_few: bool = False) -> None:
        self.allow_few = allow_few
        self.a, self.b = FeatureStatistics(), FeatureStatistics()

    def update(self, a: Numbers = (), b: Numbers = ()) -> None:
        """More features of either set; either may be empty."""
        for statistics, features in ((self.a, a), (self.b, b)):
            if len(features):
                statistics.update(features)

    def merge(self, other: Self) -> None:
        """Also count what `other` saw."""
        self.a.merge(other.a)
        self.b.merge(other.b)

    def compute(self) -> float:
        """Raises ``MeasureError`` for fewer than 5,000 samples in either set, unless `allow_few`."""
        enough_for_fid(min(self.a.count, self.b.count), allow_few=self.allow_few)
        return frechet_distance(*self.a.compute(), *self.b.compute())


class KernelDistance:
    """``kid`` of two sets of features in batches (N, D). Memory: every feature is kept."""

    def __init__(self, *, subsets: int = 100, subset_size: int = 1000, seed: int = 0) -> None:
        self.subsets, self.subset_size, self.seed = subsets, subset_size, seed
        self._a: list[Floats] = []
        self._b: list[Floats] = []

    def update(self, a: Numbers = (), b: Numbers = ()) -> None:
        """More features of either set; either may be empty."""
        for kept, features in ((self._a, a), (self._b, b)):
            if len(features):
                kept.append(floats(features, "features", "(N, D)").copy())

    def merge(self, other: Self) -> None:
        """Also count what `other` saw."""
        self._a += other._a
        self._b += other._b

    def compute(self) -> Kid:
        """Raises ``MeasureError`` for fewer than 2 samples in either set."""
        if not self._a or not self._b:
            raise MeasureError("There are no features: give at least 2 of either set.")
        a, b = np.concatenate(self._a), np.concatenate(self._b)
        return kid(a, b, subsets=self.subsets, subset_size=self.subset_size, seed=self.seed)
