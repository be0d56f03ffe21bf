"""visard study as a person types it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rig import save

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for i, folder in enumerate(("before", "after")):
        (tmp_path / folder).mkdir()
        for number in range(5):
            save(tmp_path / folder / f"{number}.png", np.full((8, 8, 3), 10 * number + i, np.uint8))
    return tmp_path / "before", tmp_path / "after"


def answers(path: Path, key: Path, rater: str, skip: int = 0, turned: int = 0) -> Path:
    """All but the first `skip` pictures, the first `turned` taken for the other side."""
    content = json.loads(key.read_text())
    lines = [
        f"{content['study']},{rater},{name},{'yes' if (one['side'] == 'result') != (i < turned) else 'no'}"
        for i, (name, one) in enumerate(content["pictures"].items())
    ]
    path.write_text("\n".join(["study,rater,picture,artefacts", *lines[skip:]]) + "\n")
    return path


def test_make_and_score(visard: Run, folders: tuple[Path, Path], tmp_path: Path) -> None:
    page, key = tmp_path / "study.html", tmp_path / "study.key.json"
    code, out, err = visard("study", "make", *folders, "-o", page, "--seed", 3)
    assert (code, err) == (0, "")
    assert f"{page}: 10 pictures, 0.0 MB." in out
    assert f"visard study score {key} ANSWERS.csv..." in out
    assert "Large for a browser" not in out
    one = answers(tmp_path / "one.csv", key, "one", skip=1)
    code, out, _ = visard("study", "score", key, one)
    assert code == 0
    assert "originals" in out
    assert "0 % [0," in out
    assert "100 % [" in out
    assert "Results minus originals: +100 [-20, 100] percentage points (exact binomial over 4 people)." in out
    assert "1 rater, 9 of 10 pictures rated." in out
    assert "Did not rate all 10 pictures: one (9)." in out
    assert "One rater: what others would see is not known." in out
    two = answers(tmp_path / "two.csv", key, "two")
    out = visard("study", "score", key, one, two)[1]
    assert "2 raters, 10 of 10 pictures rated." in out
    assert "originals 0 % [0, 84] n=10 exact binomial over 2 independent answers" in " ".join(out.split())
    assert "One rater" not in out
    assert "a bootstrap over so few" not in out
    three = answers(tmp_path / "three.csv", key, "three", turned=2)
    out = visard("study", "score", key, one, two, three)[1]
    assert "bootstrap over 5 people and 3 raters" in out
    assert "3 raters: a bootstrap over so few is too narrow; ask more people." in out
    told = json.loads(visard("study", "score", key, one, two, "--json")[1])
    assert told["result"]["value"] == 1
    assert told["original"]["value"] == 0
    assert told["raters"] == {"one": 9, "two": 10}
    assert told["result"]["interval"] == "exact binomial over 2 independent answers"


def test_refusals(visard: Run, folders: tuple[Path, Path], tmp_path: Path) -> None:
    page = tmp_path / "study.html"
    assert visard("study", "make", *folders, "-o", page, "--pairs", 2)[0] == 0
    code, _, err = visard("study", "make", *folders, "-o", page)
    assert (code, err) == (2, f"visard: {page} exists already; choose another name or use --force.\n")
    assert visard("study", "make", *folders, "-o", page, "--force")[0] == 0
    empty = tmp_path / "empty.csv"
    empty.write_text("study,rater,picture,artefacts\n")
    code, _, err = visard("study", "score", tmp_path / "study.key.json", empty)
    assert (code, err.count("\n")) == (2, 1)
    assert "Nobody has answered yet, so the artefact rate is not known" in err
