"""The adaptive attack, and checks that tell an attack from a pretense."""

import pytest
import torch
from torch import Tensor, nn

from learners import made_crops, tiny_recognizer
from visard.hardening.adaptive import Check, over_budgets, sanity_checks, white_box
from visard.hardening.material import embed_faces
from visard.recognizer import Recognizer, derived

FACES = made_crops(5, 1, seed=3).pixels


@pytest.fixture
def unsaved(monkeypatch: pytest.MonkeyPatch) -> None:
    """JPEG takes away what fools small networks."""
    monkeypatch.setattr("visard.hardening.material.as_posted", lambda faces: (255 * faces).round().byte())


class Rounded(nn.Module):
    """Rounds pixels to `levels`, without a gradient: a mask over it."""

    name = "rounded"

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.levels = levels

    def forward(self, faces: Tensor) -> Tensor:
        return (faces * self.levels).round() / self.levels


class Darkened(nn.Module):
    """Lets the gradient through."""

    def forward(self, faces: Tensor) -> Tensor:
        return 0.8 * faces


def fronted(part: nn.Module) -> Recognizer:
    base = tiny_recognizer(0)
    return Recognizer(base.card, base.network, [part])


def checks(recognizer: Recognizer, tau: float = 0.5, steps: int = 6) -> dict[str, Check]:
    return {one.name: one for one in sanity_checks(recognizer, FACES, tau, [tiny_recognizer(1)], steps=steps)}


def test_a_network_without_a_mask_passes_all_checks() -> None:
    found = checks(tiny_recognizer(0))
    assert [name for name, one in found.items() if not one.holds] == []
    assert len(found) == 7
    assert found["an unbounded budget reaches 100 %"].figures == "5 of 5 faces"
    assert found["gradients are not zero"].figures.startswith("5 of 5 faces, the least ")
    assert found["more steps never hurt"].figures.endswith(" (6 steps)")
    assert "(tiny-1), " in found["a black box never beats the white box"].figures


def test_a_front_that_lets_gradients_through_is_attacked_through(unsaved: None) -> None:
    recognizer = fronted(Darkened())
    assert all(one.holds for one in checks(recognizer).values())
    cloaked = white_box(recognizer, FACES, steps=5, restarts=1)
    own, moved = embed_faces(recognizer, FACES), embed_faces(recognizer, cloaked)
    assert float((own * moved).sum(dim=1).mean()) < 0


def test_masked_gradients_are_found_out() -> None:
    """The network under it is as weak as before, which a black box shows."""
    found = checks(fronted(Rounded(8)))
    assert not found["gradients are not zero"].holds
    assert found["gradients are not zero"].figures.startswith("0 of 5 faces")
    assert not found["an unbounded budget reaches 100 %"].holds


def test_a_threshold_that_nothing_falls_under_is_not_reached() -> None:
    assert not checks(tiny_recognizer(0), tau=-1.1)["an unbounded budget reaches 100 %"].holds


def test_the_attack_keeps_its_budget_and_is_seeded(unsaved: None) -> None:
    recognizer = tiny_recognizer(0)
    first, again, other = (white_box(recognizer, FACES, steps=2, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.dtype == torch.uint8
    plain = white_box(recognizer, FACES, eps=4 / 255, steps=2)
    assert int((plain.int() - FACES.int()).abs().max()) == 4


def test_larger_budgets_fool_more(unsaved: None) -> None:
    attacked, recognizer = made_crops(4, 2, seed=1), tiny_recognizer(0)
    found = over_budgets(recognizer, attacked, 0.5, (0.2 / 255, 8 / 255), steps=4, restarts=1)
    weak, strong = found.values()
    assert list(found) == [0.2 / 255, 8 / 255]
    assert strong.value > weak.value + 0.5
    assert strong.trials == weak.trials == 8


def test_hardened_recognizers_are_attacked_like_any_other() -> None:
    assert all(one.holds for one in checks(derived(tiny_recognizer(0), facts={})).values())
