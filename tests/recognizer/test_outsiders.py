"""Recognizers that other installed packages bring."""

import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tiny import tiny_card, tiny_onnx
from visard.errors import CardError, RecognizerError
from visard.pipeline import choose_recognizers
from visard.recognizer import (
    RecognizerWarning,
    Registration,
    add,
    cards,
    fetch,
    find,
    load,
    owner,
    parse_card,
    ready,
    remove,
    verify,
    weights,
)
from visard.recognizer.card import file_sha256

Package = Callable[[str, str], None]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VISARD_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


@pytest.fixture
def install(site: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """Installs a package of one module that registers its RECOGNIZER."""

    def make(name: str, source: str) -> None:
        monkeypatch.delitem(sys.modules, name, raising=False)
        (site / f"{name}.py").write_text(source)
        facts = site / f"{name}-1.0.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (facts / "entry_points.txt").write_text(f"[visard.recognizers]\n{name} = {name}:RECOGNIZER\n")

    return make


def own_code(site: Path, name: str = "eye") -> str:
    """The source of a package with a network of its own and its weights beside it."""
    file = site / f"{name}.bin"
    file.write_bytes(b"weights")
    card = tiny_card(name=name, format="package", file=file.name, sha256=file_sha256(file), dim=3, role="surrogate")
    return f"""
import json
from pathlib import Path
from torch import nn
from visard.recognizer import Registration, parse_card

def network(path):
    assert path.read_bytes() == b"weights"
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())

RECOGNIZER = Registration(parse_card({json.dumps(card)}), network, Path(__file__).with_name("{file.name}"))
"""


def test_an_outsider_with_its_own_code(site: Path, install: Package, home: Path) -> None:
    install("eye", own_code(site))
    card = find("eye")
    assert (owner(card), verify(card), weights(card)) == ("package", "intact", site / "eye.bin")
    faces = torch.rand(2, 3, 16, 16)
    assert load(card).embed(faces).shape == (2, 3)
    (surrogate,), jury = choose_recognizers(["eye"], ["dlib-resnet"])
    assert (surrogate.name, [juror.name for juror in jury]) == ("eye", ["dlib-resnet"])
    with pytest.raises(RecognizerError, match="eye came with a package and cannot be removed"):
        remove("eye")
    with pytest.raises(RecognizerError, match="eye came with its weights"):
        fetch("eye")
    assert not home.exists()
    (site / "eye.bin").write_bytes(b"other")
    with pytest.raises(RecognizerError, match="install the package that brought it again"):
        load(card)


def test_an_outsider_that_is_a_card_alone(install: Package, tmp_path: Path, home: Path) -> None:
    """visard reads its file, once it was fetched."""
    file = tiny_onnx(tmp_path / "net.onnx")
    card = tiny_card(name="far", file=file.name, sha256=file_sha256(file), url=file.as_uri())
    install("far", f"from visard.recognizer import *\nRECOGNIZER = Registration(parse_card({json.dumps(card)}))")
    assert verify(find("far")) == "not fetched"
    assert not home.exists()
    fetch("far")
    assert ready(find("far"))
    assert load(find("far")).name == "far"
    remove("far")
    assert verify(find("far")) == "not fetched"


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("import no_such_module", "No module named 'no_such_module'"),
        ("raise RuntimeError", "RuntimeError"),
        ("this is no Python", "invalid syntax"),
        ("other = 1", "has no attribute 'RECOGNIZER'"),
        ("RECOGNIZER = 1", "broken:RECOGNIZER is not a visard.recognizer.Registration"),
        (f"from visard.recognizer import *\nRECOGNIZER = Registration(parse_card({tiny_card()}))", "give the path"),
        ("from visard.recognizer import *\nRECOGNIZER = Registration(parse_card({}))", "the card lacks name"),
    ],
)
def test_a_broken_outsider_breaks_nobody_else(site: Path, install: Package, source: str, sentence: str) -> None:
    install("broken", source)
    install("eye", own_code(site))
    with pytest.warns(RecognizerWarning) as caught:
        found = cards()
    (warning,) = caught
    text = str(warning.message)
    assert text.startswith('The recognizer "broken" of the package broken is left out: ')
    assert sentence in text
    assert "\n" not in text
    assert {"eye", "dlib-resnet"} < found.keys()
    assert "broken" not in found


def test_a_broken_outsider_is_reported_once(site: Path, install: Package) -> None:
    install("broken", "raise RuntimeError")
    install("eye", own_code(site))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            load(find("eye"))
    assert len(caught) == 1


@pytest.mark.parametrize("name", ["dlib-resnet", "mine"])
def test_an_outsider_takes_nobodys_name(site: Path, install: Package, tmp_path: Path, name: str) -> None:
    file = tiny_onnx(tmp_path / "net.onnx")
    (tmp_path / "card.json").write_text(json.dumps(tiny_card(name="mine", file=None, sha256=None)))
    add(file, tmp_path / "card.json")
    before = find(name)
    install("thief", own_code(site, name))
    with pytest.warns(RecognizerWarning, match=f'a recognizer called "{name}" is there already'):
        assert find(name) == before
    assert weights(before) != site / f"{name}.bin"


def test_a_registration_is_of_one_piece() -> None:
    card = parse_card(tiny_card(url="https://models.example/tiny.onnx"))
    with pytest.raises(CardError, match='its format is "package" if, and only if'):
        Registration(card, torch.nn.Identity)
    with pytest.raises(CardError, match='its format is "package" if, and only if'):
        Registration(parse_card(tiny_card(format="package")))
    with pytest.raises(CardError, match="give the path of its weights, or the card a url"):
        Registration(parse_card(tiny_card()))
    Registration(card)
