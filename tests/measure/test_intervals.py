"""Intervals against scipy and against closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, norm

from visard.errors import MeasureError
from visard.measure import bootstrap, clopper_pearson, paired_bootstrap


@settings(deadline=None)
@given(st.integers(1, 300), st.data(), st.sampled_from([0.8, 0.95, 0.99]))
def test_clopper_pearson_is_that_of_scipy(trials: int, data: st.DataObject, confidence: float) -> None:
    successes = data.draw(st.integers(0, trials))
    theirs = binomtest(successes, trials).proportion_ci(confidence, method="exact")
    assert clopper_pearson(successes, trials, confidence) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


@pytest.mark.parametrize(("successes", "trials"), [(-1, 5), (6, 5), (0, 0)])
def test_what_is_not_a_rate(successes: int, trials: int) -> None:
    with pytest.raises(ValueError, match="not a rate"):
        clopper_pearson(successes, trials)


def test_bootstrap_of_a_mean_is_the_normal_interval() -> None:
    values = np.random.default_rng(1).normal(size=2000)
    low, high = bootstrap(values, [str(i) for i in range(2000)])
    reach = norm.ppf(0.975) * values.std() / np.sqrt(2000)
    assert (low, high) == pytest.approx((values.mean() - reach, values.mean() + reach), abs=0.006)


def test_bootstrap_covers() -> None:
    rng = np.random.default_rng(2)
    names = [str(i) for i in range(40)]
    intervals = [bootstrap(rng.normal(size=40), names, draws=200, confidence=0.9) for _ in range(200)]
    covered = np.mean([low <= 0 <= high for low, high in intervals])
    assert 0.82 <= covered <= 0.95  # .9 less what the percentile interval of 40 people lacks, +- 3 sigma


def test_bootstrap_is_reproducible() -> None:
    values, names = np.random.default_rng(3).normal(size=50), [str(i % 7) for i in range(50)]
    assert bootstrap(values, names) == bootstrap(values, names)
    assert bootstrap(values, names) != bootstrap(values, names, seed=1)


def test_bootstrap_draws_people() -> None:
    """Every person's trials repeated 25 times say nothing new: the interval is that of one trial a person."""
    values, names = np.random.default_rng(4).normal(size=30), [str(i) for i in range(30)]
    once = bootstrap(values, names)
    repeated = bootstrap(np.repeat(values, 25), np.repeat(names, 25))
    assert repeated == pytest.approx(once, abs=1e-12)


def test_bootstrap_of_one_person_is_a_point() -> None:
    values = np.array([1.0, 2.0, 6.0])
    assert bootstrap(values, ["a"] * 3) == (3, 3)


def test_bootstrap_keeps_a_persons_trials_together() -> None:
    """People of sizes 1 and 3: two draws give the means 0, 1 or, mixed, 3 / 4."""
    values, names = np.array([0.0, 1, 1, 1]), ["a", "b", "b", "b"]
    seen: list[float] = []

    def mean(drawn: np.ndarray) -> float:
        seen.append(round(float(drawn.mean()), 9))
        return seen[-1]

    bootstrap(values, names, mean)
    assert len(seen) == 1000
    assert set(seen) == {0.0, 0.75, 1.0}
    assert seen.count(0.75) == pytest.approx(500, abs=60)  # a and b: half of the draws


def unrecognized_mean(values: np.ndarray) -> float:
    """A mean that is not recognized as one, so it is computed draw by draw."""
    return float(np.mean(values))


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 30), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_the_fast_mean_is_the_slow_one(count: int, people: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, count))
    names = rng.integers(people, size=count)
    fast, slow = (bootstrap(a, names, statistic, draws=50) for statistic in (np.mean, unrecognized_mean))
    assert fast == pytest.approx(slow)
    fast, slow = (paired_bootstrap(a, b, names, statistic, draws=50) for statistic in (np.mean, unrecognized_mean))
    assert fast == pytest.approx(slow)


def test_methods_are_compared_on_the_same_trials() -> None:
    """A small but constant difference is certain, although each method's own interval is wide."""
    rng = np.random.default_rng(0)
    a, names = rng.normal(size=200), np.arange(200) // 4
    b = a - 0.01
    assert paired_bootstrap(a, b, names) == pytest.approx((0.01, 0.01))
    low, high = bootstrap(a, names)
    assert high - low > 0.1
    assert paired_bootstrap(a, b, names, np.median) == pytest.approx((0.01, 0.01))
    assert paired_bootstrap(a, b, names) == pytest.approx(bootstrap(a - b, names))


def test_intervals_of_what_has_none() -> None:
    with pytest.raises(MeasureError, match="one shape"):
        paired_bootstrap(np.zeros(3), np.zeros(4), ["a"] * 3)
    with pytest.raises(MeasureError, match="no values"):
        bootstrap(np.empty(0), [])
    with pytest.raises(MeasureError, match="NaN"):
        bootstrap(np.array([np.nan]), ["a"])
    with pytest.raises(MeasureError, match="one person for each of 2 rows"):
        bootstrap(np.zeros(2), ["a"])
    with pytest.raises(MeasureError, match="confidence lies between"):
        bootstrap(np.zeros(2), ["a", "b"], confidence=95)
    with pytest.raises(MeasureError, match="number of draws"):
        bootstrap(np.zeros(2), ["a", "b"], draws=0)
