"""A store with jurors of known verdict, and the command run as from a terminal."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rig import save
from visard.cli import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, dlib_alone: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, and no recognizer but dlib's."""
    monkeypatch.setenv("VISARD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def jurors(installed: Path, home: Path) -> None:
    """Recognizers in a home that no other test sees."""
    shutil.copytree(installed, home)


@pytest.fixture
def visard(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs ``visard WORDS...``: exit code, standard output, standard error."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["visard", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        return int(stop.value.code or 0), out, err

    return run


@pytest.fixture
def portrait(tmp_path: Path) -> Path:
    return save(tmp_path / "me.jpg", quality=92)


@pytest.fixture
def wall(tmp_path: Path) -> Path:
    return save(tmp_path / "wall.png", np.full((100, 100, 3), 90, np.uint8))
