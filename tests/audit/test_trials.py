"""Trials: whom a probe is compared with, and what is made of it; the answers are known by hand or by a double loop."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowd import at, seen
from visard.audit import trials
from visard.audit.trials import NOT_A_SCORE, Gallery, Seen, own_photos, pairs_with, protection, quadrants, rate, run
from visard.measure import bootstrap, clopper_pearson

PEOPLE = ["a", "a", "b", "b", "c"]
BEFORE = (0.0, 10.0, 60.0, 90.0, 180.0)
AFTER = (45.0, 10.0, 60.0, 90.0, 180.0)


def cos(degrees: float) -> float:
    return math.cos(math.radians(degrees))


def of_originals(looked: Seen, own: Any = None) -> Gallery:
    own = np.eye(len(looked.people), dtype=bool) if own is None else own
    return Gallery(looked.people, {name: values[:, 0] for name, values in looked.before.items()}, own)


@pytest.fixture
def looked() -> Seen:
    return seen(PEOPLE, at(*BEFORE), at(*AFTER))


def test_trials_by_hand(looked: Seen) -> None:
    found = run(looked, of_originals(looked), "colors", 0)
    assert found.mates.tolist() == [1, 1, 1, 1, 0]
    none = NOT_A_SCORE
    for name, expected in {
        "clean_mate": [cos(10), cos(10), cos(30), cos(30), none],
        "protected_mate": [cos(35), cos(10), cos(30), cos(30), none],
        "clean_other": [cos(60), cos(50), cos(50), cos(80), cos(90)],
        "protected_other": [cos(15), cos(50), cos(50), cos(80), cos(90)],
    }.items():
        np.testing.assert_allclose(found.columns()[name], expected, atol=1e-6, err_msg=name)
    assert found.clean_rank.tolist() == [1, 1, 1, 1, 0]
    assert found.protected_rank.tolist() == [2, 1, 1, 1, 0]


def test_a_photo_is_never_compared_with_itself(looked: Seen) -> None:
    """Nor with a copy of it, even one that lies with another person."""
    everything = of_originals(looked, np.zeros((5, 5), dtype=bool))
    assert run(looked, everything, "colors", 0).clean_mate[4] == pytest.approx(1)  # what the mask is there for
    own = np.eye(5, dtype=bool)
    own[0, 2] = True
    found = run(looked, of_originals(looked, own), "colors", 0)
    assert found.clean_other[0] == pytest.approx(cos(90), abs=1e-6)
    mate, other = pairs_with(looked.people, looked.people, own)
    assert not (mate & other).any()
    assert (mate | other | own).all()
    assert not (own & (mate | other)).any()


def test_the_same_file_and_a_copy_are_one_photo() -> None:
    looked = seen(["a", "a", "b"], at(0, 40, 90), at(0, 40, 90), ["one", "two"])
    gallery = {"one": at(0, 1, 90), "two": at(0, 1, 50)}
    own = own_photos(looked, np.array(["x", "y", "z"]), np.array(["q", "y", "r"]), gallery)
    # 0 and 1 degrees are copies to both jurors, 40 is the same file; only one juror takes 90 for 90
    assert own.tolist() == [[True, True, False], [False, True, False], [False, False, False]]


def test_the_four_quadrants_by_hand(looked: Seen) -> None:
    found = quadrants(looked, np.eye(5, dtype=bool), "colors")
    np.testing.assert_allclose(found["clean", "clean"], [cos(10), cos(10), cos(30), cos(30), -2], atol=1e-6)
    np.testing.assert_allclose(found["protected", "clean"], [cos(35), cos(10), cos(30), cos(30), -2], atol=1e-6)
    np.testing.assert_allclose(found["clean", "protected"], [cos(10), cos(35), cos(30), cos(30), -2], atol=1e-6)
    np.testing.assert_allclose(found["protected", "protected"], [cos(35), cos(35), cos(30), cos(30), -2], atol=1e-6)


# against a double loop


@st.composite
def collections(draw: st.DrawFn) -> Seen:
    count = draw(st.integers(2, 9))
    people = draw(st.lists(st.sampled_from("abcd"), min_size=count, max_size=count))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    before, after = rng.normal(size=(2, count, 3)).astype(np.float32)
    return seen(people, *(v / np.linalg.norm(v, axis=1, keepdims=True) for v in (before, after)))


def naive(looked: Seen, gallery: Gallery, look: str) -> list[tuple[int, float, float, int]]:
    """(mates, best mate, best other, rank) of each probe."""
    rows = []
    for i, person in enumerate(looked.people):
        mates, others = [], []
        for j, known in enumerate(gallery.people):
            score = float(getattr(looked, look)["colors"][i, 0] @ gallery.embeddings["colors"][j])
            if not gallery.own[i, j]:
                (mates if known == person else others).append(score)
        best = max(mates, default=-2.0)
        rank = 1 + sum(score >= best for score in others) if mates else 0
        rows.append((len(mates), best, max(others, default=-2.0), rank))
    return rows


@settings(deadline=None, max_examples=60)
@given(collections(), st.integers(1, 4))
def test_trials_agree_with_a_double_loop(looked: Seen, rows: int) -> None:
    gallery = of_originals(looked)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trials, "_ROWS", rows)  # blocks of probes make no difference
        found = run(looked, gallery, "colors", 3)
    for look, kind in (("before", "clean"), ("after", "protected")):
        columns = [found.mates, *(found.columns()[f"{kind}_{name}"] for name in ("mate", "other", "rank"))]
        np.testing.assert_allclose(np.array(columns).T, naive(looked, gallery, look), atol=1e-5)


@settings(deadline=None, max_examples=30)
@given(collections())
def test_quadrants_agree_with_a_double_loop(looked: Seen) -> None:
    kinds = {"clean": looked.before["colors"][:, 0], "protected": looked.after["colors"][:, 0]}
    count = len(looked.people)
    for (probe, gallery), best in quadrants(looked, np.eye(count, dtype=bool), "colors").items():
        for i in range(count):
            mates = [j for j in range(count) if j != i and looked.people[i] == looked.people[j]]
            expected = max((float(kinds[probe][i] @ kinds[gallery][j]) for j in mates), default=-2.0)
            assert best[i] == pytest.approx(expected, abs=1e-5)


# what must not matter


@settings(deadline=None, max_examples=30)
@given(collections(), st.randoms(use_true_random=False))
def test_neither_order_nor_names_matter(looked: Seen, random: Any) -> None:
    order = random.sample(range(len(looked.people)), len(looked.people))
    names = dict(zip("abcd", random.sample(["zoe", "a", "Ab", "ß"], 4), strict=True))
    moved = seen(
        [names[p] for p in looked.people[order]], looked.before["colors"][order, 0], looked.after["colors"][order, 0]
    )
    first = run(looked, of_originals(looked), "colors", 0).columns()
    second = run(moved, of_originals(moved), "colors", 0).columns()
    for name, values in first.items():
        np.testing.assert_allclose(second[name], values[order], atol=1e-6, err_msg=name)
    rates = [protection(run(one, of_originals(one), "colors", 0), one.people, 0.3) for one in (looked, moved)]
    assert (rates[0] is None) == (rates[1] is None)
    if rates[0] is not None and rates[1] is not None:
        assert (rates[0].value, rates[0].trials, rates[0].people) == (rates[1].value, rates[1].trials, rates[1].people)


@settings(deadline=None, max_examples=30)
@given(collections(), st.floats(0, 360))
def test_a_stranger_in_the_gallery_only_stands_in_the_way(looked: Seen, degrees: float) -> None:
    gallery = of_originals(looked)
    stranger = np.append(at(degrees), [[0]], axis=1).astype(np.float32)
    larger = Gallery(
        np.append(gallery.people, "stranger"),
        {"colors": np.concatenate([gallery.embeddings["colors"], stranger])},
        np.append(gallery.own, np.zeros((len(looked.people), 1), dtype=bool), axis=1),
    )
    before, after = (run(looked, g, "colors", 0) for g in (gallery, larger))
    assert (after.mates == before.mates).all()
    np.testing.assert_allclose(after.clean_mate, before.clean_mate, atol=1e-6)
    np.testing.assert_allclose(after.protected_mate, before.protected_mate, atol=1e-6)
    for kind in ("clean", "protected"):
        gained = after.columns()[f"{kind}_rank"] - before.columns()[f"{kind}_rank"]
        assert set(gained) <= {0, 1}
        assert (after.columns()[f"{kind}_other"] >= before.columns()[f"{kind}_other"] - 1e-6).all()


# rates


def test_protection_asks_only_for_people_who_were_known(looked: Seen) -> None:
    """At .85 (31.8 degrees) every clean mate matches, and the first photo does not once protected (35 degrees)."""
    found = run(looked, of_originals(looked), "colors", 0)
    given_clean = protection(found, looked.people, 0.85)
    assert given_clean is not None
    assert (given_clean.value, given_clean.trials, given_clean.people) == (1 / 4, 4, 2)
    # at .9 (25.8 degrees) the two photos of b are missed clean: no merit of the cloak
    strict = protection(found, looked.people, 0.9)
    everybody = protection(found, looked.people, 0.9, conditional=False)
    assert strict is not None
    assert everybody is not None
    assert (strict.value, strict.trials) == (1 / 2, 2)
    assert (everybody.value, everybody.trials) == (3 / 4, 4)
    assert protection(found, looked.people, 1.5) is None  # nobody was known
    assert protection(found, looked.people, -1.0) is not None


def test_a_score_at_the_threshold_matches() -> None:
    looked = seen(["a", "a"], at(0, 60), at(0, 60))
    found = run(looked, of_originals(looked), "colors", 0)
    score = float(found.clean_mate[0])
    hit, miss = (protection(found, looked.people, t) for t in (score, np.nextafter(score, 2)))
    assert hit is not None
    assert hit.value == 0
    assert miss is None


def test_single_trials_get_the_exact_interval() -> None:
    hits, people = np.array([True] * 3 + [False] * 7), np.arange(10)
    assert rate(hits, people) == (0.3, *clopper_pearson(3, 10), 10, 10)


def test_several_trials_of_a_person_get_the_bootstrap() -> None:
    hits, people = np.array([True, True, False, False, True, False]), np.array(list("aabbcc"))
    assert rate(hits, people) == (0.5, *bootstrap(hits.astype(float), people), 6, 3)


@pytest.mark.parametrize(("value", "successes"), [(True, 5), (False, 0)])
def test_where_all_agree_people_are_the_trials(value: bool, successes: int) -> None:
    """A hundred photos of five people prove what five people prove."""
    found = rate(np.full(100, value), np.repeat(np.arange(5), 20))
    assert found == (float(value), *clopper_pearson(successes, 5), 100, 5)


def test_people_who_are_all_alike_do_not_make_a_rate_certain() -> None:
    found = rate(np.array([True, False] * 4), np.repeat(np.arange(4), 2))
    assert found == (0.5, *clopper_pearson(2, 4), 8, 4)
    one_person = rate(np.array([True, False, False]), np.zeros(3))
    assert one_person is not None
    assert one_person.low < 0.01
    assert one_person.high > 0.9


def test_rates_of_shares_and_of_nothing() -> None:
    found = rate(np.array([0.1, 0.2, 0.6]), np.arange(3))
    assert found is not None
    assert found.value == pytest.approx(0.3)
    assert found.low < 0.3 < found.high
    assert rate(np.empty(0, dtype=bool), np.empty(0)) is None


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=40))
def test_an_interval_holds_its_rate(drawn: list[tuple[bool, int]]) -> None:
    hits, people = (np.array(column) for column in zip(*drawn, strict=True))
    found = rate(hits, people)
    assert found is not None
    assert 0 <= found.low <= found.value + 1e-12
    assert found.value - 1e-12 <= found.high <= 1
    assert found.low < found.high
