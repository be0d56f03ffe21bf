"""Confidence intervals: no rate is printed without one."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact interval (low, high) in [0, 1] of a rate, for independent trials (one per person).

    Clopper and Pearson, Biometrika 1934. Raises ``ValueError`` unless 0 <= successes <= trials and trials > 0.
    """
    from scipy.stats import beta

    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"{successes} successes in {trials} trials is not a rate")
    tail = (1 - confidence) / 2
    low = 0.0 if successes == 0 else float(beta.ppf(tail, successes, trials - successes + 1))
    high = 1.0 if successes == trials else float(beta.ppf(1 - tail, successes + 1, trials - successes))
    return low, high


def bootstrap(
    values: NDArray[np.floating],
    people: Sequence[str],
    statistic: Callable[[NDArray[np.floating]], float] = np.mean,
    draws: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """The percentile interval (low, high) of `statistic` of `values` (K,), drawing people with replacement.

    `people` (K,) says whose trial each value is: a person's trials are drawn together, since they are not
    independent. For a difference between methods give the paired differences.
    """
    identities = np.unique(np.asarray(people), return_inverse=True)[1]
    groups = [np.flatnonzero(identities == i) for i in range(identities.max() + 1)]
    rng = np.random.default_rng(seed)
    results = [
        statistic(values[np.concatenate([groups[i] for i in rng.integers(len(groups), size=len(groups))])])
        for _ in range(draws)
    ]
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(results, [tail, 100 - tail])
    return float(low), float(high)
