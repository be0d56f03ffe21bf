"""Verification rates against brute force, and the properties that define a threshold."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from visard.errors import CalibrationError, MeasureError
from visard.measure import (
    asr,
    d_prime,
    eer,
    fmr_at,
    fnmr_at,
    genuine_and_impostor,
    hter,
    new_juror_bound,
    required_pairs,
    tar_at_fmr,
    threshold_at_fmr,
    threshold_vos,
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


def test_half_total_error_rate() -> None:
    genuine, impostor = np.array([0.2, 0.8]), np.array([0.1, 0.3, 0.5, 0.6, 0.7])
    assert hter(genuine, impostor, 0.5) == pytest.approx((3 / 5 + 1 / 2) / 2)


def test_true_accepts_are_counted_at_the_rate() -> None:
    rng = np.random.default_rng(0)
    genuine, impostor = rng.normal(1, 1, 500), rng.normal(0, 1, 5000)
    fmr, tar, _ = roc_curve(np.repeat([1, 0], [500, 5000]), np.concatenate([genuine, impostor]))
    assert tar_at_fmr(genuine, impostor, 0.01) == pytest.approx(tar[fmr <= 0.01].max())
    with pytest.raises(CalibrationError, match="rule of 30"):
        tar_at_fmr(genuine, impostor, 0.001)


@settings(deadline=None)
@given(st.integers(1, 300), st.sampled_from([0.001, 0.07, 0.1, 0.29, 0.5]), st.integers(0, 2**32 - 1))
def test_the_threshold_of_vos_is_the_lowest_under_the_rate(count: int, far: float, seed: int) -> None:
    impostor = np.random.default_rng(seed).integers(-20, 20, count) / 20
    threshold = threshold_vos(impostor, far)
    assert fmr_at(impostor, threshold) < far
    below = impostor[impostor < threshold]
    assert fmr_at(impostor, below.max()) >= far


def test_the_threshold_of_vos_is_strict() -> None:
    """3 of 30 false accepts are a rate of .1, which is not under .1."""
    scores = np.arange(30.0)
    assert fmr_at(scores, threshold_vos(scores, 0.1)) == 2 / 30
    assert fmr_at(scores, threshold_at_fmr(np.tile(scores, 10), 0.1)) == 3 / 30


def test_attack_success_is_the_share_below_the_threshold() -> None:
    assert asr(np.array([0.1, 0.2, 0.5, 0.9]), 0.5) == 0.5


def test_decidability() -> None:
    rng = np.random.default_rng(0)
    assert d_prime(rng.normal(3, 1, 200_000), rng.normal(0, 2, 200_000)) == pytest.approx(3 / np.sqrt(2.5), abs=0.01)
    assert d_prime(np.ones(3), np.zeros(3)) == np.inf
    assert d_prime(np.ones(3), np.ones(3)) == 0


def test_chunks_of_rows_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    embeddings, people = rng.normal(size=(50, 4)), rng.integers(7, size=50)
    whole = [np.sort(scores) for scores in genuine_and_impostor(embeddings, people)]
    monkeypatch.setattr("visard.measure.verification._ROWS", 8)
    for scores, expected in zip(genuine_and_impostor(torch.from_numpy(embeddings), people), whole, strict=True):
        np.testing.assert_allclose(np.sort(scores), expected)


def test_one_photo_a_person_gives_no_genuine_scores() -> None:
    genuine, impostor = genuine_and_impostor(np.eye(3), ["a", "b", "c"])
    assert (len(genuine), len(impostor)) == (0, 3)
    with pytest.raises(MeasureError, match="no genuine scores"):
        eer(genuine, impostor)


def test_embeddings_that_cannot_be_compared() -> None:
    with pytest.raises(MeasureError, match="NaN"):
        genuine_and_impostor(np.full((2, 3), np.nan), ["a", "b"])
    with pytest.raises(MeasureError, match="one person for each of 2 rows"):
        genuine_and_impostor(np.eye(2), ["a"])
