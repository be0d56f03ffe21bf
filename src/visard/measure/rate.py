"""A share of trials with its interval, which are trials of people."""

from typing import NamedTuple

import numpy as np

from visard.measure._arrays import Numbers, People, codes, floats, plain
from visard.measure.intervals import bootstrap, clopper_pearson

_NO_WIDTH = 1e-9


class Rate(NamedTuple):
    """A share in [0, 1] with its 95 % interval, over `trials` trials of `people` people."""

    value: float
    low: float
    high: float
    trials: int
    people: int


def mean_rate(hits: Numbers, people: People) -> Rate:
    """The mean of `hits` (K,), true or false or a share in [0, 1], with its 95 % interval.

    `people` (K,) says whose trial each is. Clopper-Pearson where each person gives one trial, else the bootstrap over
    people; where all people agree a bootstrap has no width, so people are counted as trials. Raises ``MeasureError``
    without trials.
    """
    shares = floats(hits, "hits", "(K,)")
    count, value = int(codes(people, len(shares)).max()) + 1, float(np.mean(shares))
    single = count == len(shares) and plain(hits).dtype == bool
    low, high = (value, value) if single else bootstrap(shares, people)
    if high - low < _NO_WIDTH:
        low, high = clopper_pearson(round(value * count), count)
    return Rate(value, low, high, len(shares), count)
