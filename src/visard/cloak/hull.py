"""Distances of features to the subspaces that a person's features (M, D) span, squared, (N,), with their gradients."""

from collections.abc import Callable

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor

Distance = Callable[[Tensor], Tensor]
_FLAT = 1e-5  # singular values below this share of the largest are rounding: photos that are one and the same


def to_own(anchors: Tensor) -> Distance:
    """Of each feature to its own anchor: as many features as `anchors`."""
    return lambda features: (features - anchors).square().sum(dim=1)


def to_all(anchors: Tensor) -> Distance:
    """To every anchor, averaged."""

    def distance(features: Tensor) -> Tensor:
        return (features[:, None] - anchors).square().sum(dim=2).mean(dim=1)

    return distance


def to_center(anchors: Tensor) -> Distance:
    """To the anchors' mean."""
    center = anchors.mean(dim=0)
    return lambda features: (features - center).square().sum(dim=1)


def to_affine_hull(anchors: Tensor) -> Distance:
    """To the nearest ``sum_j w_j anchors_j`` with ``sum_j w_j = 1``: what is left beside the plane through them."""
    center = anchors.mean(dim=0)
    directions, sizes, _ = torch.linalg.svd((anchors - center).double().T, full_matrices=False)  # (D, M), (M,)
    basis: Tensor = directions[:, sizes > _FLAT * max(1.0, float(sizes.max()))].to(anchors)

    def distance(features: Tensor) -> Tensor:
        beside = features - center
        left: Tensor = beside - (beside @ basis) @ basis.T
        return left.square().sum(dim=1)

    return distance


def to_convex_hull(anchors: Tensor) -> Distance:
    """To the nearest ``sum_j w_j anchors_j`` with ``sum_j w_j = 1`` and all ``w_j >= 0``."""

    def distance(features: Tensor) -> Tensor:
        # at the optimum the distance's gradient is that with the weights held still
        return (features - simplex_weights(anchors, features.detach()) @ anchors).square().sum(dim=1)

    return distance


def simplex_weights(anchors: Tensor, points: Tensor) -> Tensor:
    """The weights (N, M), each row at least 0 and of sum 1, of the points of the convex hull of `anchors` (M, D)
    nearest to `points` (N, D).

    Exact, by nonnegative least squares (Lawson and Hanson, "Solving least squares problems", 1974, chapter 23):
    the u >= 0 with the least ``||(anchors - point)^T u||^2 + (sum(u) - 1)^2``, divided by its sum.
    """
    a, p = anchors.double().numpy(), points.double().numpy()
    found = np.empty((len(p), len(a)))
    ones = np.ones((1, len(a)))
    target = np.zeros(a.shape[1] + 1)
    target[-1] = 1
    for i, point in enumerate(p):
        u, _ = nnls(np.concatenate([(a - point).T, ones]), target)
        found[i] = u / u.sum()
    return torch.from_numpy(found).to(anchors)
