"""Differences on the same trials: which way they go, and how they read."""

import numpy as np
import pytest

from visard.audit.difference import Difference
from visard.measure import paired_bootstrap

PEOPLE = np.arange(20) // 2


def test_a_difference_is_paired() -> None:
    noise = np.random.default_rng(0).normal(0, 10, 20)
    found = Difference.of(noise + 1.25, noise, PEOPLE)
    assert found == pytest.approx((1.25, 1.25, 1.25))
    assert Difference.of(noise, -noise, PEOPLE)[1:] == paired_bootstrap(noise, -noise, PEOPLE)


def test_truth_values_are_rates() -> None:
    ours, other = np.ones(20, dtype=bool), PEOPLE < 5
    assert Difference.of(ours, other, PEOPLE).value == 0.5


@pytest.mark.parametrize(
    ("low", "high", "positive"),
    [(0.1, 0.3, True), (-0.3, -0.1, False), (-0.1, 0.3, None), (0, 0.3, None), (-0.3, 0, None)],
)
def test_a_sign_is_said_only_where_the_interval_shows_it(low: float, high: float, positive: bool | None) -> None:
    assert Difference(0.1, low, high).positive is positive


def test_a_difference_as_text() -> None:
    found = Difference(0.0151, -0.004, 0.0214)
    assert found.text(3) == "+0.015 [-0.004, 0.021]"
    assert found.text(1, " points", times=100) == "+1.5 points [-0.4, 2.1]"
    assert found.text(1, " points", times=100, sign="+") == "+1.5 points [-0.4, +2.1]"
