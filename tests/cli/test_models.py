"""``visard models``: what it prints, as text and as JSON, and its exit codes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from rig import threshold
from tiny import tiny_card, tiny_onnx, write_card
from visard.cli.arguments import plain_warning
from visard.recognizer import find, store_thresholds, weights
from visard.recognizer.card import file_sha256

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tiny_onnx(tmp_path / "net.onnx")


@pytest.fixture
def tiny(visard: Run, file: Path, tmp_path: Path) -> Path:
    """An added recognizer."""
    facts = {
        "license": "MIT [sic]", "code_license": "GPL", "limits": "Masks.", "training_data": "ten faces",
        "accuracy": {"balanced": 0.9, "low": 0.85, "high": 0.94, "on": "LFW, 6000 pairs"},
    }  # fmt: skip
    assert visard("models", "add", file, "--card", write_card(tmp_path / "card.json", **facts))[0] == 0
    return tmp_path / "home/recognizers/tiny/net.onnx"


@pytest.fixture
def far(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that has the file of a recognizer whose card alone comes with visard."""
    (tmp_path / "cards").mkdir()
    monkeypatch.setattr("visard.recognizer.store._CARDS", tmp_path / "cards")
    given = [asdict(threshold(0.5, sha256=file_sha256(file)))]
    card = tiny_card(
        name="far", file="net.onnx", sha256=file_sha256(file), url="https://models.example/net.onnx", thresholds=given
    )
    (tmp_path / "cards/far.json").write_text(json.dumps(card))
    return tmp_path


def as_json(run: Run, *words: object) -> Any:
    code, out, err = run("models", *words, "--json")
    assert (code, err) == (0, "")
    return json.loads(out)


def test_add_and_list(visard: Run, file: Path, tmp_path: Path) -> None:
    code, out, _ = visard("models", "add", file, "--card", write_card(tmp_path / "card.json", license="MIT [sic]"))
    assert code == 0
    assert "tiny is ready as a juror (8-d, license of the weights: MIT [sic]); sha256 " in out
    assert "visard calibrate --people FOLDER --recognizer tiny" in out
    rows = {row["name"]: row for row in as_json(visard, "list")}
    assert [rows[name]["ready"] for name in ("dlib-resnet", "mobilefacenet-foamliu", "tiny")] == [True, False, True]
    assert [t["fmr"] for t in rows["dlib-resnet"]["thresholds"]] == [1e-2, 1e-3, 1e-4]
    out = visard("models", "list")[1]
    assert "none: visard calibrate" in out
    assert "CC0-1.0" in out
    assert "MIT [sic]" in out
    assert "not fetched" in out
    assert "visard models fetch NAME" in out


def test_what_is_damaged_or_missing_is_not_ready(visard: Run, tiny: Path) -> None:
    assert [line.split()[:3] for line in visard("models", "list")[1].splitlines() if "tiny" in line] == [
        ["tiny", "juror", "yes"]
    ]
    tiny.write_bytes(tiny.read_bytes()[:-1] + b"?")
    for state in ("damaged", "missing"):
        (row,) = (row for row in as_json(visard, "list") if row["name"] == "tiny")
        assert (row["ready"], row["state"]) == (False, state)
        (line,) = (line for line in visard("models", "list")[1].splitlines() if "tiny" in line)
        assert line.split()[:3] == ["tiny", "juror", state]
        tiny.unlink(missing_ok=True)


def test_mistakes(visard: Run, tiny: Path, file: Path, tmp_path: Path) -> None:
    card = tmp_path / "card.json"
    for words, sentence in [
        (["add", file, "--card", card], '"tiny" is there already; give the card another name'),
        (["add", file, "--card", card, "--role", "judge"], '--role is "juror", "surrogate" or "adaptive", got "judge"'),
        (["info", "tinny"], 'Did you mean "tiny"'),
        (["verify", "tiny", "tinny"], 'Did you mean "tiny"'),
        (["remove", "dlib-resnet"], "dlib-resnet came with a package and cannot be removed"),
        (["fetch"], "Name a recognizer to fetch"),
        (["fetch", "dlib-resnet"], "there is nothing to fetch"),
        (["fetch", "tiny", "--role", "juror"], "--role goes with --card"),
        (["fetch", "--card", tmp_path / "no.json"], "does not exist; check the name"),
    ]:
        code, out, err = visard("models", *words)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert err.startswith("visard: ")
        assert sentence in err


def test_info(visard: Run, tiny: Path) -> None:
    store_thresholds(find("tiny"), [threshold(0.5, sha256=find("tiny").sha256)])
    _, out, _ = visard("models", "info", "tiny")
    for words in (
        str(tiny), "intact", find("tiny").sha256, "MIT [sic]", "GPL", "Masks.", "ten faces", "16 x 16", "RGB",
        "(v - (127.5, 120, 110)) / (128, 100, 90)", "8 numbers", "0.9000 [0.8500, 0.9400] on LFW, 6000 pairs",
        "0.001", "0.5000", "0.2500", "40,000", "300", "made",
    ):  # fmt: skip
        assert words in out
    facts = as_json(visard, "info", "tiny")
    size = tiny.stat().st_size
    assert [facts[key] for key in ("name", "state", "path", "bytes", "from")] == [
        "tiny", "intact", str(tiny), size, "user"
    ]  # fmt: skip
    assert facts["thresholds"][0]["people"] == 300
    tiny.write_bytes(b"damaged")
    assert as_json(visard, "info", "tiny")["state"] == "damaged"


def test_info_on_what_is_not_fetched(visard: Run, far: Path) -> None:
    _, out, _ = visard("models", "info", "far")
    assert "not fetched" in out
    assert "https://models.example/net.onnx" in out
    assert "accuracy" not in out
    assert as_json(visard, "info", "far")["bytes"] is None


def test_verify(visard: Run, tiny: Path) -> None:
    rows = {row["name"]: row for row in as_json(visard, "verify")}
    assert [rows[name]["state"] for name in ("dlib-resnet", "mobilefacenet-foamliu", "tiny")] == [
        "intact", "not fetched", "intact"
    ]  # fmt: skip
    assert rows["tiny"]["path"] == str(tiny)
    tiny.write_bytes(b"damaged")
    code, out, _ = visard("models", "verify")
    assert code == 1
    assert out.endswith("\n")
    assert [line.split()[:2] for line in out.splitlines() if line.startswith("tiny")] == [["tiny", "damaged"]]
    assert visard("models", "verify", "dlib-resnet")[0] == 0
    tiny.unlink()
    code, out, _ = visard("models", "verify", "dlib-resnet", "tiny", "--json")
    assert (code, [row["state"] for row in json.loads(out)]) == (1, ["intact", "missing"])
    assert visard("models", "verify", "mobilefacenet-foamliu")[0] == 1  # asked for by name


def test_fetch(visard: Run, far: Path) -> None:
    code, out, err = visard("models", "fetch", "far", "--from", far)
    assert (code, err) == (0, "")
    assert out.startswith("far is ready as a juror (8-d, license of the weights: not stated); sha256 ")
    assert weights(find("far")).is_file()
    assert as_json(visard, "fetch", "far")["path"] == str(weights(find("far")))
    assert visard("models", "remove", "far")[1] == "Removed far.\n"
    code, _, err = visard("models", "fetch", "far", "--from", far / "cards")
    assert (code, err.count("\n")) == (2, 1)
    assert "holds neither net.onnx nor a file called" in err


def test_fetch_by_card(visard: Run, file: Path, tmp_path: Path) -> None:
    card = write_card(tmp_path / "card.json", url=file.as_uri(), sha256=file_sha256(file))
    assert as_json(visard, "fetch", "--card", card, "--role", "surrogate")["role"] == "surrogate"
    assert find("tiny").role == "surrogate"


def test_an_interrupted_fetch(visard: Run, far: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("visard.recognizer.fetching.download", interrupted)
    code, _, err = visard("models", "fetch", "far")
    assert (code, err) == (2, "visard: Interrupted; what came is kept, the same command goes on from there.\n")


@pytest.mark.usefixtures("tiny")
def test_remove(visard: Run) -> None:
    assert as_json(visard, "remove", "tiny") == {"removed": "tiny"}
    assert "tiny" not in [row["name"] for row in as_json(visard, "list")]


def test_a_broken_package_is_one_line(tmp_path: Path) -> None:
    """As a terminal shows it: no place in the code, nothing twice."""
    facts = tmp_path / "site/broken-1.0.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[visard.recognizers]\nbroken = no_such_module:X\n")
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    words = [sys.executable, "-m", "visard", "models", "info", "dlib-resnet"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=env)
    assert (done.returncode, done.stderr) == (
        0,
        "visard: The recognizer \"broken\" of the package broken is left out: No module named 'no_such_module'; update "
        "or uninstall the package.\n",
    )


def test_warnings_of_others_are_left_as_they_are() -> None:
    assert plain_warning("old", DeprecationWarning, "a.py", 1) == "a.py:1: DeprecationWarning: old\n"
