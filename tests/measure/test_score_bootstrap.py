"""The bootstrap of error rates: against drawing people one by one, and against truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visard.errors import MeasureError
from visard.measure import (
    bootstrap_eer,
    bootstrap_fnmr_at_fmr,
    eer,
    genuine_and_impostor,
    pair_histograms,
    person_histograms,
)


def faces(people: int, each: int, seed: int, size: int = 8, noise: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
    """Unit embeddings of `each` photos of made people, and whose they are."""
    rng = np.random.default_rng(seed)
    names = np.repeat(np.arange(people), each)
    embeddings = rng.normal(size=(people, size))[names] + noise * rng.normal(size=(len(names), size))
    return embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True), names


def pairs_of(embeddings: np.ndarray, names: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    i, j = np.triu_indices(len(embeddings), 1)
    return np.sum(embeddings[i] * embeddings[j], axis=1), names[i], names[j]


@settings(deadline=None, max_examples=50)
@given(st.integers(2, 20), st.integers(0, 2**32 - 1))
def test_histograms_are_those_of_the_pairs(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    embeddings, _ = faces(count, 1, seed)
    names = np.concatenate([[0, 1], rng.integers(4, size=count - 2)]).astype(str)
    found = person_histograms(embeddings, names, bins=16)
    expected = pair_histograms(*pairs_of(embeddings, names), bins=16)
    np.testing.assert_array_equal(found.genuine, expected.genuine)
    np.testing.assert_array_equal(found.impostor, expected.impostor)
    genuine, impostor = genuine_and_impostor(embeddings, names)
    np.testing.assert_array_equal(found.genuine.sum(axis=0), np.histogram(genuine, found.edges)[0])
    np.testing.assert_array_equal(found.impostor.sum(axis=0) / 2, np.histogram(impostor, found.edges)[0])


def test_chunks_of_people_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings, names = faces(12, 5, 0)
    whole = person_histograms(embeddings, names)
    monkeypatch.setattr("visard.measure.score_bootstrap._ROWS", 7)
    chunked = person_histograms(embeddings, names)
    np.testing.assert_array_equal(chunked.genuine, whole.genuine)
    np.testing.assert_array_equal(chunked.impostor, whole.impostor)


def test_the_interval_is_that_of_drawing_people_one_by_one() -> None:
    """The subsets bootstrap by hand: each drawn person brings their scores, an impostor pair half to either."""
    embeddings, names = faces(25, 4, 3)
    scores, first, second = pairs_of(embeddings, names)
    of = [(first == person) | (second == person) for person in range(25)]
    rng, rates = np.random.default_rng(0), []
    for _ in range(100):
        drawn = rng.integers(25, size=25)
        genuine = np.concatenate([scores[of[p] & (first == second)] for p in drawn])
        impostor = np.concatenate([scores[of[p] & (first != second)] for p in drawn])
        rates.append(eer(genuine, impostor))
    found = bootstrap_eer(person_histograms(embeddings, names, 8192), 100, pairs="subsets")
    assert found == pytest.approx(np.percentile(rates, [2.5, 97.5]), abs=2e-3)


def test_both_people_are_drawn_to_first_order() -> None:
    """Against weights w_i w_j on the pairs, which is drawing photos of both people anew."""
    embeddings, names = faces(40, 3, 4)
    scores, first, second = pairs_of(embeddings, names)
    place, fmr = np.argsort(scores), 0.05
    rng, rates = np.random.default_rng(0), []
    for _ in range(300):
        w = np.bincount(rng.integers(40, size=40), minlength=40)
        weight = np.where(first == second, w[first], w[first] * w[second])[place]
        same = (first == second)[place]
        impostors = np.cumsum((weight * ~same)[::-1])[::-1] / np.sum(weight * ~same)
        at = int(np.argmax(impostors <= fmr))
        rates.append(np.sum((weight * same)[:at]) / np.sum(weight * same))
    found = bootstrap_fnmr_at_fmr(person_histograms(embeddings, names), fmr, 300)
    assert found == pytest.approx(np.percentile(rates, [2.5, 97.5]), abs=0.02)


def test_the_interval_covers_the_truth() -> None:
    """A pair's score has the effects of its two people: their share needs both to be drawn."""
    people, inside = 30, {"both": 0, "subsets": 0}
    i, j = np.triu_indices(people, 1)
    rng = np.random.default_rng(0)
    # impostor scores u_i + u_j, sd 2 ** .5; genuine scores 2 + e: FNMR at FMR .1 in the limit
    every = rng.normal(size=(2, 2_000_000))
    truth = float(np.mean(2 + every[0] < np.quantile(every[0] + every[1], 0.9)))
    for _ in range(120):
        effects = rng.normal(size=people)
        scores = np.concatenate([effects[i] + effects[j], 2 + rng.normal(size=people * 20)])
        own = np.repeat(np.arange(people), 20)
        histograms = pair_histograms(
            scores, np.concatenate([i, own]), np.concatenate([j, own]), bins=512, low=-8, high=8
        )
        for pairs in inside:
            low, high = bootstrap_fnmr_at_fmr(histograms, 0.1, 200, 0.9, pairs=pairs)
            inside[pairs] += low <= truth <= high
    assert inside["both"] >= 0.78 * 120  # .9 less what the percentile interval of 30 people lacks
    assert inside["subsets"] < 0.72 * 120


def test_the_interval_holds_the_estimate_and_the_seed() -> None:
    embeddings, names = faces(60, 4, 1)
    histograms = person_histograms(embeddings, names)
    low, high = bootstrap_eer(histograms)
    assert low < eer(*genuine_and_impostor(embeddings, names)) < high
    assert bootstrap_eer(histograms) == (low, high)
    assert bootstrap_eer(histograms, seed=1) != (low, high)
    wider = bootstrap_eer(histograms, confidence=0.99)
    assert wider[0] < low < high < wider[1]


def test_bootstraps_that_cannot_be_drawn() -> None:
    with pytest.raises(MeasureError, match="two photos of a person"):
        bootstrap_eer(person_histograms(np.eye(3), ["a", "b", "c"]))
    with pytest.raises(MeasureError, match="at least two people"):
        pair_histograms([0.5], ["a"], ["a"])
    with pytest.raises(MeasureError, match="low end under the high end"):
        pair_histograms([0.5], ["a"], ["b"], low=1, high=1)
    histograms = person_histograms(*faces(3, 2, 0))
    with pytest.raises(MeasureError, match="false match rate lies between 0 and 1"):
        bootstrap_fnmr_at_fmr(histograms, 0)
    with pytest.raises(MeasureError, match="confidence lies between 0 and 1"):
        bootstrap_eer(histograms, confidence=1)
