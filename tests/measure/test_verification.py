"""Verification rates against brute force, and the properties that define a threshold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visard.errors import CalibrationError
from visard.measure import (
    fmr_at,
    fnmr_at,
    genuine_and_impostor,
    new_juror_bound,
    required_pairs,
    threshold_at_fmr,
)


@st.composite
def impostors(draw: st.DrawFn) -> tuple[np.ndarray, float]:
    """Scores, many of them ties, and a rate that they suffice for."""
    fmr = draw(st.sampled_from([0.07, 0.1, 0.29, 0.3, 0.5, 0.57, 0.9]))
    count = required_pairs(fmr) + draw(st.integers(0, 200))
    levels = draw(st.sampled_from([1, 3, 50, 10**6]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    return (rng.integers(-levels, levels, count) / levels).astype(dtype), fmr


@settings(deadline=None, max_examples=300)
@given(impostors())
def test_threshold_is_the_lowest_at_which_the_rate_holds(case: tuple[np.ndarray, float]) -> None:
    scores, fmr = case
    threshold = threshold_at_fmr(scores, fmr)
    assert fmr_at(scores, threshold) <= fmr
    below = scores[scores < threshold]
    assert fmr_at(scores, below.max()) > fmr


@settings(deadline=None)
@given(impostors(), st.integers(0, 2**32 - 1))
def test_threshold_ignores_order(case: tuple[np.ndarray, float], seed: int) -> None:
    scores, fmr = case
    assert threshold_at_fmr(np.random.default_rng(seed).permutation(scores), fmr) == threshold_at_fmr(scores, fmr)


@pytest.mark.parametrize("score", [-1.0, 0.0, 0.25])
def test_all_ties_let_nobody_in(score: float) -> None:
    scores = np.full(1000, score, np.float32)
    threshold = threshold_at_fmr(scores, 0.1)
    assert fmr_at(scores, threshold) == 0
    assert threshold == pytest.approx(score)


@pytest.mark.parametrize(("fmr", "count", "allowed"), [(0.29, 200, 58), (0.57, 100, 57), (1e-3, 30_000, 30)])
def test_rates_that_floats_fall_short_of(fmr: float, count: int, allowed: int) -> None:
    """.29 * 200 is 57.99..., yet 58 of 200 are a rate of .29."""
    assert fmr_at(np.arange(count), threshold_at_fmr(np.arange(float(count)), fmr)) == allowed / count


@pytest.mark.parametrize(("fmr", "pairs"), [(1e-2, 3000), (1e-3, 30_000), (1e-4, 300_000), (0.07, 429)])
def test_rule_of_30(fmr: float, pairs: int) -> None:
    assert required_pairs(fmr) == pairs
    threshold_at_fmr(np.zeros(pairs, np.float32), fmr)
    with pytest.raises(CalibrationError, match=f"{pairs:,} impostor pairs.*got {pairs - 1:,}"):
        threshold_at_fmr(np.zeros(pairs - 1, np.float32), fmr)


@pytest.mark.parametrize("fmr", [0.0, 1.0, -0.1, 2.0, float("nan")])
def test_rates_lie_between_0_and_1(fmr: float) -> None:
    with pytest.raises(CalibrationError, match="between 0 and 1"):
        threshold_at_fmr(np.zeros(10_000), fmr)


def test_a_score_at_the_threshold_matches() -> None:
    scores = np.array([0.1, 0.2, 0.3, 0.4])
    assert fmr_at(scores, 0.3) == 0.5
    assert fnmr_at(scores, 0.3) == 0.5
    assert fmr_at(scores, -1) == 1
    assert fnmr_at(scores, -1) == 0


@settings(deadline=None)
@given(st.integers(0, 12), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_pairs_are_those_of_a_double_loop(count: int, people: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    embeddings = rng.normal(size=(count, 5))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    names = [f"person {i}" for i in rng.integers(people, size=count)]
    pairs = [(i, j) for i in range(count) for j in range(i)]
    cosines = {pair: sum(a * b for a, b in zip(*embeddings[list(pair)], strict=True)) for pair in pairs}
    genuine, impostor = genuine_and_impostor(embeddings, names)
    assert len(genuine) + len(impostor) == count * (count - 1) // 2
    for found, same in ((genuine, True), (impostor, False)):
        expected = [cosine for (i, j), cosine in cosines.items() if (names[i] == names[j]) == same]
        np.testing.assert_allclose(np.sort(found), np.sort(expected), atol=1e-12)


@pytest.mark.parametrize(("jurors", "bound"), [(1, 0.05), (3, 0.37), (10, 0.74), (59, 0.95)])
def test_new_juror_bound(jurors: int, bound: float) -> None:
    assert new_juror_bound(jurors) == pytest.approx(bound, abs=0.005)
    # the bound is the rate at which all jurors being fooled had a chance of 5 %
    assert new_juror_bound(jurors) ** jurors == pytest.approx(0.05)


def test_no_juror_tells_nothing() -> None:
    assert new_juror_bound(0) == 0
