"""Frechet and kernel distances against scipy's square root, closed forms and torchmetrics' kernel."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm
from torchmetrics.image.kid import poly_mmd

from visard.errors import MeasureError
from visard.measure import fid, frechet_distance, kid


def covariance(rng: np.random.Generator, size: int, rank: int) -> np.ndarray:
    root = rng.normal(size=(size, rank))
    return root @ root.T / rank


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_frechet_distance_is_that_of_a_matrix_square_root(size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    mu1, mu2 = rng.normal(size=(2, size))
    s1, s2 = (covariance(rng, size, 2 * size + 2) for _ in range(2))
    expected = np.sum((mu1 - mu2) ** 2) + np.trace(s1 + s2 - 2 * np.real(sqrtm(s1 @ s2)))
    assert frechet_distance(mu1, s1, mu2, s2) == pytest.approx(expected, rel=1e-5, abs=1e-7)
    assert frechet_distance(mu2, s2, mu1, s1) == pytest.approx(expected, rel=1e-5, abs=1e-7)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_frechet_distance_to_itself_is_0(size: int, rank: int, seed: int) -> None:
    """With fewer samples than dimensions too: singular."""
    rng = np.random.default_rng(seed)
    sigma = covariance(rng, size, rank)
    assert frechet_distance(np.ones(size), sigma, np.ones(size), sigma) == pytest.approx(0, abs=1e-5)


def test_frechet_distance_of_commuting_covariances() -> None:
    """Diagonal ones: the squared differences of means and of standard deviations."""
    one, other = np.array([1.0, 4, 0]), np.array([9.0, 1, 4])
    assert frechet_distance(np.zeros(3), np.diag(one), np.ones(3), np.diag(other)) == pytest.approx(3 + 4 + 1 + 4)


@pytest.mark.parametrize(
    ("sigma", "message"),
    [(np.eye(3), "one dimension"), (np.array([[1.0, 1], [0, 1]]), "symmetric"), (np.diag([1.0, -1]), "negative")],
)
def test_what_is_no_covariance(sigma: np.ndarray, message: str) -> None:
    with pytest.raises(MeasureError, match=message):
        frechet_distance(np.zeros(2), sigma, np.zeros(2), np.eye(2))


def test_fid_is_the_distance_of_fitted_gaussians() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(5000, 6)), 2 * rng.normal(size=(6000, 6)) + 1
    assert fid(a, b) == pytest.approx(6 + 6, rel=0.05)
    s = [np.cov(x.T) for x in (a, b)]
    expected = np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(s[0] + s[1] - 2 * np.real(sqrtm(s[0] @ s[1])))
    assert fid(a, b) == pytest.approx(expected)


def test_fid_of_few_pictures_is_refused() -> None:
    features = np.random.default_rng(0).normal(size=(5000, 2))
    with pytest.raises(MeasureError, match=r"at least 5,000 .* got 4,999: take kid, or allow_few=True"):
        fid(features, features[1:])
    assert fid(features, features[1:], allow_few=True) < 1e-3
    assert fid(features, features) == pytest.approx(0, abs=1e-9)
    with pytest.raises(MeasureError, match="at least 2 samples"):
        fid(features, features[:1], allow_few=True)


def test_features_of_two_networks() -> None:
    for measure in (fid, kid):
        with pytest.raises(MeasureError, match="one network"):
            measure(np.zeros((4, 2)), np.zeros((4, 3)))


def test_kernel_distance_is_that_of_torchmetrics() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(100, 16)), rng.normal(size=(100, 16)) + 0.3
    expected = poly_mmd(torch.from_numpy(a), torch.from_numpy(b))
    assert kid(a, b, subsets=1, subset_size=100).value == pytest.approx(float(expected))


def test_kernel_distance_is_unbiased() -> None:
    """Mean 0 over many pairs of small sets from one distribution, where FID is far above 0."""
    rng = np.random.default_rng(0)
    sets = [rng.normal(size=(2, 12, 4)) for _ in range(400)]
    values = np.array([kid(a, b, subsets=1).value for a, b in sets])
    assert abs(values.mean()) < 3 * values.std() / 20
    assert min(fid(a, b, allow_few=True) for a, b in sets) > 0.1


def test_kernel_distance_of_subsets() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(500, 8)), rng.normal(size=(400, 8)) + 0.5
    value, error = kid(a, b, subset_size=100)
    assert value == pytest.approx(kid(a, b, subset_size=100, seed=1).value, abs=6 * error)
    assert error > 0
    assert kid(a, b, subset_size=100) == (value, error)
    assert np.isnan(kid(a, b, subsets=1).standard_error)
    with pytest.raises(MeasureError, match="at least 2 samples"):
        kid(a[:1], b)
