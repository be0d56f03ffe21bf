"""ROC, DET and equal error rates against scikit-learn and against brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import auc, det_curve, roc_auc_score, roc_curve

from visard.errors import MeasureError
from visard.measure import det, eer, eer_vos, error_curves, error_rates, roc


@st.composite
def scores(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Genuine and impostor scores, often with ties within and between them."""
    levels = draw(st.sampled_from([1, 3, 20, 10**6]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kinds = [rng.integers(-levels, levels + 1, draw(st.integers(1, 40))) / levels for _ in range(2)]
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    return (kinds[0] + draw(st.sampled_from([0, 0.5, 3]))).astype(dtype), kinds[1].astype(dtype)


def labeled(genuine: np.ndarray, impostor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.repeat([1, 0], [len(genuine), len(impostor)]), np.concatenate([genuine, impostor])


def brute_force_eer(genuine: np.ndarray, impostor: np.ndarray) -> float:
    """Walk the ROC of scikit-learn segment by segment."""
    fmr, tar, _ = roc_curve(*labeled(genuine, impostor), drop_intermediate=False)
    gap = 1 - tar - fmr  # falls from 1 to -1
    k = int(np.argmax(gap <= 0))
    part = gap[k - 1] / (gap[k - 1] - gap[k])
    return float(fmr[k - 1] + part * (fmr[k] - fmr[k - 1]))


@settings(deadline=None, max_examples=100)
@given(scores())
def test_curves_are_those_of_scikit_learn(kinds: tuple[np.ndarray, np.ndarray]) -> None:
    fmr, tar, thresholds = roc_curve(*labeled(*kinds), drop_intermediate=False)
    ours = error_curves(*kinds)
    np.testing.assert_allclose(ours.thresholds[::-1], thresholds)
    np.testing.assert_allclose(ours.fmr[::-1], fmr, atol=1e-12)
    np.testing.assert_allclose(1 - ours.fnmr[::-1], tar, atol=1e-12)


@settings(deadline=None, max_examples=150)
@given(scores())
def test_corners_leave_out_nothing_but_straight_lines(kinds: tuple[np.ndarray, np.ndarray]) -> None:
    every, corners = error_curves(*kinds), roc(*kinds)
    assert len(corners.fmr) <= 2 * min(map(len, kinds)) + 2
    assert set(corners.thresholds) <= set(every.thresholds)
    assert (corners.fmr[0], corners.tar[0], corners.fmr[-1], corners.tar[-1]) == (0, 0, 1, 1)
    # each point of all lies on the polyline of the corners; along both axes at once that is fmr + tar
    along = np.interp(every.fmr + 1 - every.fnmr, corners.fmr + corners.tar, corners.tar)
    np.testing.assert_allclose(along, 1 - every.fnmr, atol=1e-12)


@settings(deadline=None)
@given(scores())
def test_the_area_is_that_of_scikit_learn(kinds: tuple[np.ndarray, np.ndarray]) -> None:
    _, fmr, tar = roc(*kinds)
    assert auc(fmr, tar) == pytest.approx(roc_auc_score(*labeled(*kinds)))


@settings(deadline=None, max_examples=150)
@given(scores())
def test_equal_error_rates_are_those_of_brute_force(kinds: tuple[np.ndarray, np.ndarray]) -> None:
    assert eer(*kinds) == pytest.approx(brute_force_eer(*kinds), abs=1e-9)
    _, fmr, fnmr = error_curves(*kinds)
    closest = int(np.argmin(np.round(np.abs(fmr - fnmr), 12)))
    assert eer_vos(*kinds) == pytest.approx((fmr[closest] + fnmr[closest]) / 2)


@settings(deadline=None)
@given(scores())
def test_only_the_order_of_scores_counts(kinds: tuple[np.ndarray, np.ndarray]) -> None:
    values = np.unique(np.concatenate(kinds))
    assert eer(*(np.searchsorted(values, k) ** 2 for k in kinds)) == pytest.approx(eer(*kinds), abs=1e-9)
    swapped = [-k for k in kinds[::-1]]
    assert eer(*swapped) == pytest.approx(eer(*kinds), abs=1e-9)


def test_equal_error_rate_of_normal_scores() -> None:
    rng = np.random.default_rng(0)
    found = eer(rng.normal(2, 1, 100_000), rng.normal(0, 1, 100_000))
    assert found == pytest.approx(norm.cdf(-1), abs=0.003)


@pytest.mark.parametrize(("genuine", "impostor", "rate"), [([3.0], [1.0], 0), ([1.0], [3.0], 1), ([1.0], [1.0], 0.5)])
def test_equal_error_rates_of_single_scores(genuine: list[float], impostor: list[float], rate: float) -> None:
    assert eer(np.array(genuine), np.array(impostor)) == rate


def test_two_readings_of_the_equal_error_rate_differ() -> None:
    genuine, impostor = np.array([0.4, 0.6, 0.7]), np.array([0.1, 0.5])
    assert eer(genuine, impostor) == pytest.approx(1 / 3)
    assert eer_vos(genuine, impostor) == pytest.approx((1 / 3 + 1 / 2) / 2)


def test_det_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    kinds = rng.normal(1, 1, 200), rng.normal(0, 1, 300)
    fmr, fnmr, thresholds = det_curve(*labeled(*kinds))
    theirs = {t: (norm.ppf(a), norm.ppf(b)) for t, a, b in zip(thresholds, fmr, fnmr, strict=True)}
    ours = det(*kinds)
    assert len(ours.thresholds) > 200
    for threshold, a, b in zip(*ours, strict=True):
        assert (a, b) == pytest.approx(theirs[threshold])


def test_det_has_no_infinite_ends() -> None:
    kinds = np.array([0.2, 0.8, 0.9]), np.array([0.1, 0.3, 0.4])
    assert all(np.isfinite(part).all() for part in det(*kinds))
    assert len(det(*kinds).fmr)
    assert len(det(np.array([2.0, 3]), np.array([0.0, 1])).fmr) == 0


def test_all_attempts_are_an_option() -> None:
    kinds = np.array([0.2, 0.8]), np.array([0.1, 0.3, 0.5, 0.6])
    assert error_rates(*kinds, 0.5) == (0.5, 0.5)
    assert error_rates(*kinds, 0.5, of_all_attempts=True) == pytest.approx((2 / 6, 1 / 6))
    curves = error_curves(*kinds, of_all_attempts=True)
    place = list(curves.thresholds).index(0.5)
    assert (curves.fmr[place], curves.fnmr[place]) == pytest.approx((2 / 6, 1 / 6))


@pytest.mark.parametrize("function", [eer, eer_vos, roc, det, error_curves])
def test_no_scores_of_a_kind(function) -> None:
    with pytest.raises(MeasureError, match="no genuine scores"):
        function(np.empty(0), np.ones(3))
    with pytest.raises(MeasureError, match="no impostor scores"):
        function(np.ones(3), np.empty(0))
