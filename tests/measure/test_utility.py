"""What a protected photo keeps, against numbers worked out by hand."""

import numpy as np
import pytest

from visard.errors import MeasureError
from visard.measure import EYES_51, EYES_68, detection_rate, expression_distance, identity_cosine, landmark_distance


def test_detections_are_counted() -> None:
    assert detection_rate([True, False, True, True]) == 0.75
    with pytest.raises(MeasureError, match="found or not"):
        detection_rate([0.5, 1])


def test_landmarks_move_in_units_of_the_eyes_distance() -> None:
    before = np.random.default_rng(0).normal(size=(2, 68, 2))
    for face, apart in zip(before, (10, 50), strict=True):
        face[36:42], face[42:48] = (0, 0), (apart, 0)
    after = before + np.array([3, 4])
    assert landmark_distance(before, after) == pytest.approx((5 / 10 + 5 / 50) / 2)
    assert landmark_distance(before[:, 17:], after[:, 17:], eyes=EYES_51) == pytest.approx((5 / 10 + 5 / 50) / 2)
    assert landmark_distance(3 * before + 7, 3 * after + 7) == pytest.approx(landmark_distance(before, after))


def test_five_points() -> None:
    before = np.array([[[0.0, 0], [4, 3], [2, 2], [1, 4], [3, 4]]])
    after = before.copy()
    after[0, 2] += (0, 5)
    assert landmark_distance(before, after, eyes=((0,), (1,))) == pytest.approx(1 / 5)


def test_inner_eyes_are_the_same_points() -> None:
    assert [[p - 17 for p in eye] for eye in EYES_68] == [list(eye) for eye in EYES_51]


def test_landmarks_that_have_no_unit() -> None:
    with pytest.raises(MeasureError, match="in one place"):
        landmark_distance(np.zeros((1, 68, 2)), np.zeros((1, 68, 2)))
    with pytest.raises(MeasureError, match="name their points"):
        landmark_distance(np.zeros((1, 5, 2)), np.zeros((1, 5, 2)))
    with pytest.raises(MeasureError, match="one shape"):
        landmark_distance(np.zeros((1, 68, 2)), np.zeros((2, 68, 2)))


def test_cosines_ignore_lengths() -> None:
    a, b = np.array([[1.0, 0], [0, 2]]), np.array([[5.0, 0], [3, 0]])
    assert identity_cosine(a, b) == pytest.approx(0.5)
    with pytest.raises(MeasureError, match="no direction"):
        identity_cosine(a, 0 * b)


def test_expressions_are_compared_in_either_norm() -> None:
    a, b = np.zeros((2, 2)), np.array([[3.0, 4], [0, 1]])
    assert expression_distance(a, b) == pytest.approx((5 + 1) / 2)
    assert expression_distance(a, b, norm="l1") == pytest.approx((7 + 1) / 2)
