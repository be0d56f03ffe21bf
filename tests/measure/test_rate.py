"""A rate and its interval, against what it is made of."""

import numpy as np
import pytest
import torch

from visard.errors import MeasureError
from visard.measure import Rate, bootstrap, clopper_pearson, mean_rate


def test_one_trial_a_person_has_the_exact_interval() -> None:
    hits = np.arange(20) < 13
    assert mean_rate(hits, np.arange(20)) == Rate(0.65, *clopper_pearson(13, 20), 20, 20)


def test_several_trials_a_person_are_drawn_together() -> None:
    hits, people = np.arange(40) % 4 == 0, np.arange(40) // 4 // 2
    hits[:20] = True
    found = mean_rate(hits, people)
    assert found == Rate(0.625, *bootstrap(hits.astype(float), people), 40, 5)
    # as if each trial were somebody else's, too much would be known
    low, high = clopper_pearson(25, 40)
    assert found.high - found.low > 1.2 * (high - low)


@pytest.mark.parametrize("hit", [True, False])
def test_where_all_people_agree_they_are_trials(hit: bool) -> None:
    found = mean_rate(np.full(30, hit), np.repeat(["a", "b", "c"], 10))
    assert found == Rate(float(hit), *clopper_pearson(3 * hit, 3), 30, 3)


def test_shares_of_a_trial_are_no_successes() -> None:
    shares, people = np.array([0.0, 1.0, 0.5, 1.0]), np.arange(4)
    assert mean_rate(shares, people) == Rate(0.625, *bootstrap(shares, people), 4, 4)


def test_tensors_are_taken() -> None:
    hits = torch.tensor([True, False, True])
    assert mean_rate(hits, [0, 1, 2]) == mean_rate(hits.numpy(), np.arange(3))


def test_no_trials_are_no_rate() -> None:
    with pytest.raises(MeasureError, match="no hits"):
        mean_rate(np.empty(0, dtype=bool), [])
