"""What all tests share."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from rig import install_jurors
from visard.recognizer import store


@pytest.fixture(scope="session")
def assets() -> Path:
    """The folder named by VISARD_ASSETS, or ../shared beside the repository; skips where there is none."""
    repository = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("VISARD_ASSETS", repository.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no test data in {folder}")
    return folder


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Small networks on a busy machine lose more to waiting threads than they gain."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def dlib_card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of cards as if dlib's network were the only one that comes with visard, weights included."""
    return shutil.copytree(
        store._CARDS, tmp_path_factory.mktemp("cards") / "cards", ignore=shutil.ignore_patterns("visard-*")
    )


@pytest.fixture
def dlib_alone(dlib_card: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """dlib's network is the only one that comes with visard: verdicts then are those of the test's own jurors."""
    monkeypatch.setattr(store, "_CARDS", dlib_card)


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory, dlib_card: Path) -> Path:
    """A home with the jurors `blind` (matches nothing) and `sharp` (matches everything)."""
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "_CARDS", dlib_card)
        patch.setenv("VISARD_HOME", str(folder / "home"))
        install_jurors(folder)
    return folder / "home"
