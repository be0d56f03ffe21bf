"""Confidence intervals: no rate is printed without one."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visard.errors import MeasureError
from visard.measure._arrays import Floats, Numbers, People, codes, floats, same_shape, share, whole

Statistic = Callable[[NDArray[Any]], Any]


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact interval (low, high) in [0, 1] of a rate, for independent trials (one per person).

    Clopper and Pearson, Biometrika 1934. Raises ``MeasureError`` unless 0 <= successes <= trials and trials > 0.
    """
    from scipy.stats import beta

    if not 0 <= successes <= trials or trials == 0:
        raise MeasureError(f"{successes} successes in {trials} trials is not a rate.")
    tail = (1 - share(confidence, "A confidence")) / 2
    low = 0.0 if successes == 0 else float(beta.ppf(tail, successes, trials - successes + 1))
    high = 1.0 if successes == trials else float(beta.ppf(1 - tail, successes + 1, trials - successes))
    return low, high


def bootstrap(
    values: Numbers,
    people: People,
    statistic: Statistic = np.mean,
    draws: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """The percentile interval (low, high) of `statistic` of `values` (K,), drawing people with replacement.

    `people` (K,) says whose trial each value is: a person's trials are drawn together, since they are not
    independent. A mean (the default) costs a matrix product; any other statistic is called once a draw. For a
    difference between methods take ``paired_bootstrap``. One person gives a point, which is no interval.
    """
    values = floats(values, "values", "(K,)")
    return _interval(lambda trials: statistic(values[trials]), [values], statistic, people, draws, confidence, seed)


def paired_bootstrap(
    values_a: Numbers,
    values_b: Numbers,
    people: People,
    statistic: Statistic = np.mean,
    draws: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """The percentile interval (low, high) of ``statistic(a) - statistic(b)`` for two methods on the same trials (K,).

    Both methods get the same people in each draw. The methods differ at `confidence` if 0 is outside.
    """
    a, b = floats(values_a, "values", "(K,)"), floats(values_b, "values", "(K,)")
    same_shape(a, b, "values of the two methods")
    return _interval(
        lambda trials: statistic(a[trials]) - statistic(b[trials]), [a, b], statistic, people, draws, confidence, seed
    )


def crossed_bootstrap(
    values: Numbers,
    people: People,
    raters: People,
    draws: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """The percentile interval (low, high) of the mean of `values` (K,), drawing people and raters with replacement.

    `people` (K,) says whom each value is about and `raters` (K,) who gave it: answers of one rater are no more
    independent than answers about one person, so a value counts as often as its person times as often as its rater.
    Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 2007. Too wide rather than too narrow.
    """
    values = floats(values, "values", "(K,)")
    who, by = codes(people, len(values)), codes(raters, len(values))
    shape = int(by.max()) + 1, int(who.max()) + 1
    cells = by * shape[1] + who
    sums, counts = (np.bincount(cells, weights=w, minlength=shape[0] * shape[1]).reshape(shape) for w in (values, None))
    rater_weights, person_weights = (
        weights(drawn_people(count, draws, one)) for count, one in zip(shape, _apart(seed), strict=True)
    )
    total = ((rater_weights @ counts) * person_weights).sum(axis=1)
    drawn = ((rater_weights @ sums) * person_weights).sum(axis=1)[total > 0] / total[total > 0]
    return percentiles(drawn, confidence)


def _apart(seed: int) -> tuple[int, int]:
    """Two seeds made of one."""
    first, second = np.random.SeedSequence(seed).generate_state(2)
    return int(first), int(second)


def drawn_people(count: int, draws: int, seed: int) -> NDArray[np.intp]:
    """Which people each draw consists of: (draws, count) numbers under `count`."""
    return np.random.default_rng(seed).integers(count, size=(whole(draws, "The number of draws"), count))


def weights(drawn: NDArray[np.intp]) -> Floats:
    """How often each draw holds each person: (draws, count)."""
    draws, count = drawn.shape
    flat = (drawn + np.arange(draws)[:, None] * count).ravel()
    return np.bincount(flat, minlength=draws * count).reshape(draws, count).astype(np.float64)


def percentiles(results: Floats, confidence: float) -> tuple[float, float]:
    """The interval (low, high) that leaves out equal tails of `results` (draws,)."""
    tail = 100 * (1 - share(confidence, "A confidence")) / 2
    low, high = np.percentile(results, [tail, 100 - tail])
    return float(low), float(high)


def _interval(
    recomputed: Callable[[NDArray[np.intp]], Any],
    values: list[Floats],
    statistic: Statistic,
    people: People,
    draws: int,
    confidence: float,
    seed: int,
) -> tuple[float, float]:
    identities = codes(people, len(values[0]))
    count = int(identities.max()) + 1
    drawn = drawn_people(count, draws, seed)
    if statistic is np.mean:
        difference = values[0].astype(np.float64) - (values[1] if len(values) == 2 else 0)
        drawn_weights = weights(drawn)
        sums = drawn_weights @ np.bincount(identities, weights=difference)
        return percentiles(sums / (drawn_weights @ np.bincount(identities)), confidence)
    groups = np.split(np.argsort(identities, kind="stable"), np.cumsum(np.bincount(identities))[:-1])
    results = [recomputed(np.concatenate([groups[person] for person in row])) for row in drawn]
    return percentiles(np.array(results), confidence)
