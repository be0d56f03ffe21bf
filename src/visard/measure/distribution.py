"""How far a set of pictures is from another, by features (N, D) that the caller's network extracted."""

from typing import NamedTuple

import numpy as np

from visard.errors import MeasureError
from visard.measure._arrays import Floats, Numbers, floats, whole

FEWEST_FOR_FID = 5000


class Kid(NamedTuple):
    """Kernel distance: the mean over subsets, and the standard error of that mean over the drawing of subsets."""

    value: float
    standard_error: float


def frechet_distance(mu1: Numbers, sigma1: Numbers, mu2: Numbers, sigma2: Numbers) -> float:
    """The squared Wasserstein-2 distance of two Gaussians, means (D,) and covariances (D, D); from 0.

    |mu1 - mu2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)), Dowson and Landau 1982. The trace of the root is the sum of the root
    eigenvalues of the symmetric S1^(1/2) S2 S1^(1/2), so singular covariances need no offset. Raises ``MeasureError``
    for shapes that do not fit and matrices that are no covariance.
    """
    means = [floats(mu, "means", "(D,)").astype(np.float64) for mu in (mu1, mu2)]
    covariances = [floats(s, "covariances", "(D, D)").astype(np.float64) for s in (sigma1, sigma2)]
    size = len(means[0])
    if len(means[1]) != size or any(s.shape != (size, size) for s in covariances):
        raise MeasureError(f"Means and covariances must be of one dimension, got {size} and others.")
    for covariance in covariances:
        scale = float(np.abs(covariance).max())
        if not np.allclose(covariance, covariance.T, atol=1e-6 * scale):
            raise MeasureError("A covariance is symmetric, this matrix is not.")
    values, vectors = np.linalg.eigh(covariances[0])
    if values[0] < -1e-6 * max(values[-1], 0):
        raise MeasureError("A covariance has no negative eigenvalue, this matrix has.")
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    roots = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ covariances[1] @ root), 0))
    traces = np.trace(covariances[0]) + np.trace(covariances[1])
    return max(0.0, float(np.sum((means[0] - means[1]) ** 2) + traces - 2 * roots.sum()))


def fid(features_a: Numbers, features_b: Numbers, *, allow_few: bool = False) -> float:
    """Frechet distance of two sets of features (N, D), (M, D); lower is better, from 0.

    Heusel et al., NeurIPS 2017. Its bias grows as samples get fewer and differs between models, so fewer than 5,000 on
    either side raise ``MeasureError`` unless `allow_few`: take ``kid`` instead.
    """
    sets = _sets(features_a, features_b)
    enough_for_fid(min(map(len, sets)), allow_few=allow_few)
    (mu1, sigma1), (mu2, sigma2) = ((s.mean(axis=0), np.atleast_2d(np.cov(s, rowvar=False))) for s in sets)
    return frechet_distance(mu1, sigma1, mu2, sigma2)


def enough_for_fid(count: int, *, allow_few: bool) -> None:
    """Raises ``MeasureError`` for fewer than 2 samples, and for fewer than 5,000 unless `allow_few`."""
    if count < 2:
        raise MeasureError(f"A covariance needs at least 2 samples, got {count}.")
    if count < FEWEST_FOR_FID and not allow_few:
        raise MeasureError(
            f"FID needs at least {FEWEST_FOR_FID:,} samples on either side, got {count:,}: take kid, or allow_few=True."
        )


def kid(features_a: Numbers, features_b: Numbers, *, subsets: int = 100, subset_size: int = 1000, seed: int = 0) -> Kid:
    """Kernel distance of two sets of features (N, D), (M, D): unbiased, so it can be a little under 0. Lower is better.

    The unbiased squared MMD under the kernel (x.y / D + 1)^3, mean over `subsets` of `subset_size` drawn without
    replacement; smaller sets give subsets of their own size. Binkowski et al., ICLR 2018.
    """
    a, b = _sets(features_a, features_b)
    size = min(whole(subset_size, "The size of a subset"), len(a), len(b))
    if size < 2:
        raise MeasureError("KID needs at least 2 samples on either side.")
    rng = np.random.default_rng(seed)
    draws = range(whole(subsets, "The number of subsets"))
    values = [_mmd(*(s[rng.choice(len(s), size, replace=False)] for s in (a, b))) for _ in draws]
    error = float(np.std(values, ddof=1)) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return Kid(float(np.mean(values)), error)


def _sets(features_a: Numbers, features_b: Numbers) -> tuple[Floats, Floats]:
    a, b = (floats(f, "features", "(N, D)").astype(np.float64) for f in (features_a, features_b))
    if a.shape[1] != b.shape[1]:
        raise MeasureError(f"Features must come from one network, got {a.shape[1]} and {b.shape[1]} of them.")
    return a, b


def _mmd(a: Floats, b: Floats) -> float:
    """The unbiased squared MMD of two sets (K, D) of one size under the cubic kernel."""
    count, dimensions = a.shape
    within = 0.0
    for x in (a, b):
        kernel = (x @ x.T / dimensions + 1) ** 3
        within += float(kernel.sum() - np.trace(kernel)) / (count * (count - 1))
    return within - 2 * float(np.mean((a @ b.T / dimensions + 1) ** 3))
