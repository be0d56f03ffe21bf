"""A store with jurors of known verdict, and plans that take little time."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rig import DLIB
from visard.cloak import find
from visard.pipeline import Plan, choose_recognizers
from visard.recognizer import store


@pytest.fixture(autouse=True)
def home(installed: Path, dlib_alone: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISARD_HOME", str(installed))


@pytest.fixture(scope="session")
def plan(installed: Path, dlib_card: Path) -> Callable[..., Plan]:
    """Makes a plan of three steps, judged by nobody unless a jury is named."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "_CARDS", dlib_card)
        patch.setenv("VISARD_HOME", str(installed))
        surrogates, blind_and_sharp = choose_recognizers()
    jurors = {juror.name: juror for juror in blind_and_sharp}

    def make(method: str = "visard", jury: tuple[str, ...] = (), **changes: Any) -> Plan:
        settings = {"steps": 3} if method == "visard" else {}
        given = {"settings": settings, "detector": DLIB, **changes}
        return Plan(find(method), surrogates, tuple(jurors[name] for name in jury), **given)

    return make
