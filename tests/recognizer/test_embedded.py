"""What a user has who has downloaded nothing: three recognizers with thresholds, two that make and one that judges."""

from pathlib import Path

import pytest
import torch

from visard.pipeline import choose_recognizers
from visard.recognizer import Card, cards, load, owner, ready, verify, weights
from visard.recognizer.card import kin

DOCS = Path(__file__).parents[2] / "docs"
NAMES = ("dlib-resnet", "visard-resnet", "visard-vgg")
STUDENTS = NAMES[1:]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISARD_HOME", str(tmp_path / "home"))


@pytest.fixture
def embedded() -> dict[str, Card]:
    return {name: card for name, card in cards().items() if owner(card) == "visard" and ready(card)}


def test_the_trio(embedded: dict[str, Card]) -> None:
    assert sorted(embedded) == sorted(NAMES)
    assert all(verify(card) == "intact" for card in embedded.values())
    assert all(sorted(card.valid_thresholds) == [1e-4, 1e-3, 1e-2] for card in embedded.values())
    origins = [card.origin or card.name for card in embedded.values()]
    assert len(set(origins)) == 3
    assert not any(kin(a, b) for a in embedded.values() for b in embedded.values() if a is not b)


def test_all_but_one_make_the_cloak_and_the_last_judges() -> None:
    surrogates, jury = choose_recognizers()
    assert len(surrogates) == 2
    assert len(jury) == 1
    assert sorted(r.name for r in (*surrogates, *jury)) == sorted(NAMES)


@pytest.mark.parametrize("name", STUDENTS)
def test_a_student_is_small_and_says_what_it_is(name: str, embedded: dict[str, Card]) -> None:
    card = embedded[name]
    recognizer = load(card)
    assert sum(p.numel() for p in recognizer.network.parameters()) <= 1_000_000
    assert weights(card).stat().st_size <= 3_000_000
    for fact in (card.architecture, card.loss, card.training_data, card.license, card.code_license, card.limits):
        assert fact != "not stated"
    assert "training/distill.py" in card.source
    assert card.accuracy is not None
    assert card.accuracy.low < card.accuracy.balanced < card.accuracy.high
    text = (DOCS / "models.md").read_text(encoding="utf-8")
    assert f"{100 * card.accuracy.balanced:.1f} %" in text
    assert card.license in text


@pytest.mark.parametrize("name", STUDENTS)
def test_students_are_differentiable(name: str, embedded: dict[str, Card]) -> None:
    faces = torch.rand(2, 3, 112, 112, generator=torch.Generator().manual_seed(0)).requires_grad_(True)
    recognizer = load(embedded[name])
    embeddings = recognizer.embed(faces)
    assert embeddings.shape == (2, embedded[name].dim)
    (gradient,) = torch.autograd.grad((embeddings[0] * embeddings[1]).sum(), faces)
    assert float(gradient.abs().sum()) > 0
    assert not any(p.requires_grad for p in recognizer.parameters())


@pytest.mark.assets
@pytest.mark.parametrize("name", STUDENTS)
def test_the_accuracy_on_the_card_is_the_measured_one(name: str, assets: Path, embedded: dict[str, Card]) -> None:
    import ship

    measured = ship.accuracy(load(embedded[name]), assets / "data")
    stated = embedded[name].accuracy
    assert stated is not None
    assert measured.on == stated.on
    assert measured.balanced == pytest.approx(stated.balanced, abs=2e-4)
