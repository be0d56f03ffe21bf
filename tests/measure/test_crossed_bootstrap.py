"""The bootstrap over people and raters at once, against closed forms."""

import numpy as np
import pytest

from visard.errors import MeasureError
from visard.measure import bootstrap, crossed_bootstrap


def answers(people: int = 60, raters: int = 12, by_person: float = 1.0, by_rater: float = 1.0):
    """Sums of a person's and a rater's own number, every rater on every person."""
    draw = np.random.default_rng(0)
    a, b = by_person * draw.normal(size=people), by_rater * draw.normal(size=raters)
    values = (a[:, None] + b).ravel()
    return values, np.repeat(np.arange(people), raters), np.tile(np.arange(raters), people), a, b


def test_one_rater_is_the_bootstrap_over_people() -> None:
    values, people, _, _, _ = answers(raters=1)
    low, high = crossed_bootstrap(values, people, ["only"] * len(values), draws=4000)
    expected = bootstrap(values, people, draws=4000)
    assert (low, high) == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize(("by_person", "by_rater"), [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0)])
def test_the_variances_of_people_and_raters_add_up(by_person: float, by_rater: float) -> None:
    values, people, raters, a, b = answers(by_person=by_person, by_rater=by_rater)
    low, high = crossed_bootstrap(values, people, raters, draws=4000)
    spread = 1.96 * np.sqrt(a.var() / len(a) + b.var() / len(b))
    assert (low, high) == pytest.approx((values.mean() - spread, values.mean() + spread), abs=0.15 * spread)


def test_answers_may_be_missing() -> None:
    values, people, raters, _, _ = answers(people=3, raters=2)
    kept = [0, 3, 4]
    low, high = crossed_bootstrap(values[kept], people[kept], raters[kept])
    assert values[kept].min() <= low <= high <= values[kept].max()


def test_seeds_and_refusals() -> None:
    values, people, raters, _, _ = answers()
    assert crossed_bootstrap(values, people, raters) == crossed_bootstrap(values, people, raters)
    assert crossed_bootstrap(values, people, raters) != crossed_bootstrap(values, people, raters, seed=1)
    with pytest.raises(MeasureError, match="name one person for each"):
        crossed_bootstrap(values, people, raters[:-1])
    with pytest.raises(MeasureError, match="There are no values"):
        crossed_bootstrap([], [], [])
