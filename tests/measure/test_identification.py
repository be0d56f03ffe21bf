"""Identification against scikit-learn's top-k accuracy, brute force, and what a printed table says of its reading."""

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import top_k_accuracy_score

from visard.errors import CalibrationError, MeasureError
from visard.measure import cmc, fnir_at_fpir, psr, psr_targeted, rank_k_rate, rank_n_t, rank_n_ut, ranks

SCORES = np.array([[0.9, 0.8, 0.1, 0.2], [0.3, 0.6, 0.7, 0.6]])  # two probes, four gallery images


@pytest.mark.parametrize("k", [1, 2, 5, 9])
def test_rates_are_those_of_scikit_learn(k: int) -> None:
    rng = np.random.default_rng(k)
    scores, classes = rng.normal(size=(200, 10)), rng.integers(10, size=200)
    theirs = top_k_accuracy_score(classes, scores, k=k, labels=np.arange(10))
    assert rank_k_rate(ranks(scores, classes, np.arange(10)), k) == pytest.approx(theirs)
    assert psr(scores, classes, k) == pytest.approx(1 - theirs)
    assert psr_targeted(scores, classes, k) == pytest.approx(theirs)


@settings(deadline=None, max_examples=200)
@given(st.integers(1, 8), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_ranks_are_those_of_a_double_loop(images: int, levels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    gallery = rng.integers(3, size=images)
    probes = rng.choice(gallery, size=6)
    scores = rng.integers(levels, size=(6, images)) / levels
    for probe, row in enumerate(scores):
        best = max(s for s, person in zip(row, gallery, strict=True) if person == probes[probe])
        others = [s for s, person in zip(row, gallery, strict=True) if person != probes[probe]]
        assert ranks(scores, probes, gallery)[probe] == 1 + sum(s >= best for s in others)
        assert ranks(scores, probes, gallery, ties="best")[probe] == 1 + sum(s > best for s in others)


def test_ties_flatter_nobody() -> None:
    """A recognizer that says the same of all neither identifies, nor is anybody protected or impersonated."""
    same = np.zeros((4, 5))
    assert rank_k_rate(ranks(same, np.arange(4), np.arange(5)), 4) == 0
    assert psr(same, np.arange(4), 1) == 0
    assert psr_targeted(same, np.arange(4), 4) == 0
    assert rank_n_ut(same, np.arange(4), np.arange(5), 1) == 0
    assert rank_n_t(same, np.arange(4), np.arange(5), 4) == 0


def test_characteristic_rises_to_1() -> None:
    found = cmc([1, 3, 3, 2], 4)
    np.testing.assert_allclose(found, [0.25, 0.5, 1, 1])
    assert [rank_k_rate([1, 3, 3, 2], k) for k in (1, 2, 3, 4)] == list(found)
    with pytest.raises(MeasureError, match="from 1 to 2"):
        cmc([1, 3], 2)
    with pytest.raises(MeasureError, match="from 1"):
        cmc([0, 1], 2)


def test_targets_and_true_people_are_counted_by_images() -> None:
    gallery = ["a", "a", "b", "c"]
    assert rank_n_ut(SCORES, ["a", "b"], gallery, 1) == 0
    assert rank_n_ut(SCORES, ["b", "a"], gallery, 1) == 1
    assert rank_n_ut(SCORES, ["b", "c"], gallery, 2) == 0.5  # 0.6 of c ties with 0.6 of a: it might be second
    assert rank_n_t(SCORES, ["c", "c"], gallery, 2) == 0
    assert rank_n_t(SCORES, ["c", "c"], gallery, 3) == 1


def test_protection_falls_with_k_and_impersonation_rises() -> None:
    rng = np.random.default_rng(0)
    scores, classes = rng.normal(size=(100, 20)), rng.integers(20, size=100)
    untargeted = [psr(scores, classes, k) for k in range(1, 21)]
    targeted = [psr_targeted(scores, classes, k) for k in range(1, 21)]
    assert untargeted == sorted(untargeted, reverse=True)
    assert targeted == sorted(targeted)
    assert (untargeted[-1], targeted[-1]) == (0, 1)


@pytest.mark.assets
def test_the_printed_table_is_of_the_untargeted_reading(assets: Path) -> None:
    """Every row falls from top-1 to top-50, ILLC's too, one misprint apart."""
    table = assets / "spec/ghafourian2023_table1.csv"
    if not table.is_file():
        pytest.skip(f"no {table}")
    rises = 0
    with table.open(newline="") as file:
        for row in csv.DictReader(file):
            printed = [
                float(row[f"{net} top-{k}"]) for net in ("FaceNet", "ResNet-50", "SENet-50") for k in (1, 5, 10, 25, 50)
            ]
            for first in (0, 5, 10):
                steps = np.diff(printed[first : first + 5])
                rises += int((steps > 0).sum())
    assert rises == 1  # SENet-50 to FaceNet, ILLC, eps 32: top-25 "2.0"


def test_open_set_search() -> None:
    rng = np.random.default_rng(0)
    gallery = np.arange(8)
    nonmated = rng.normal(size=(400, 8))
    mated = rng.normal(size=(50, 8)) + 3 * (np.arange(50)[:, None] % 8 == gallery)
    people = np.arange(50) % 8
    fnir, threshold = fnir_at_fpir(mated, people, gallery, nonmated, 0.1)
    assert np.mean((nonmated >= threshold).any(axis=1)) == 0.1
    assert fnir == np.mean([mated[i, people[i]] < threshold for i in range(50)])


def test_open_set_search_needs_strangers() -> None:
    scores = np.zeros((10, 2))
    with pytest.raises(CalibrationError, match="at least 300 probes without a mate"):
        fnir_at_fpir(scores, ["a"] * 10, ["a", "b"], scores, 0.1)
    with pytest.raises(MeasureError, match="count it among the non-mated"):
        fnir_at_fpir(scores, ["c"] * 10, ["a", "b"], scores, 0.1)
    with pytest.raises(MeasureError, match="one gallery"):
        fnir_at_fpir(scores, ["a"] * 10, ["a", "b"], np.zeros((3, 3)), 0.1)


def test_searches_that_cannot_be_scored() -> None:
    with pytest.raises(MeasureError, match="no mate"):
        ranks(SCORES, ["a", "z"], ["a", "a", "b", "c"])
    with pytest.raises(MeasureError, match="as many people"):
        ranks(SCORES, ["a"], ["a", "a", "b", "c"])
    with pytest.raises(MeasureError, match="from 0 to 3"):
        psr(SCORES, [0, 4], 1)
    with pytest.raises(MeasureError, match="k is a whole number"):
        rank_k_rate([1, 2], 0)
