"""Learned cloaks trained on small faces in a second."""

from collections.abc import Callable
from typing import Any

import pytest

from latents import start_cloaking, start_disentangling
from learners import QUICK, made_crops, tiny_recognizer
from visard.generator import LearnedCloak, Training
from visard.generator.latent import Disentangled, DisentangleTraining, LatentCloak
from visard.recognizer import Recognizer

Start = Callable[..., Training]


@pytest.fixture(scope="session")
def surrogates() -> list[Recognizer]:
    return [tiny_recognizer(1), tiny_recognizer(2)]


@pytest.fixture(scope="session")
def start(surrogates: list[Recognizer]) -> Start:
    """Begins a training with quick settings; a keyword overrides one of them."""

    def begin(kind: str, seed: int = 0, **settings: Any) -> Training:
        return Training(kind, {**QUICK[kind], "batch": 4, **settings}, made_crops(), surrogates, seed)

    return begin


@pytest.fixture(scope="session")
def trained(start: Start) -> dict[str, LearnedCloak]:
    """A cloak of each kind, and one that steers toward a target."""
    found = {}
    for kind, changes in (*((kind, {}) for kind in QUICK), ("advfaces", {"mode": "impersonation"})):
        training = start(kind, **changes)
        for _ in range(12):
            training.step()
        found[changes.get("mode", kind)] = training.made()
    return found


@pytest.fixture(scope="session")
def disentangling() -> DisentangleTraining:
    training = start_disentangling()
    for _ in range(24):
        training.step()
    return training


@pytest.fixture(scope="session")
def disentangled(disentangling: DisentangleTraining) -> Disentangled:
    return disentangling.made()


@pytest.fixture(scope="session")
def cloak(disentangled: Disentangled) -> LatentCloak:
    training = start_cloaking(disentangled)
    for _ in range(24):
        training.step()
    return training.made()
