"""visard reproduce, as a person types it."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from crowd import crowd
from rig import save
from visard import papers
from visard.audit import document
from visard.audit.tables import Table
from visard.papers.paper import Claim, Findings, Paper
from visard.papers.study import Study

Run = Callable[..., tuple[int, str, str]]


def run_made(study: Study) -> Findings:
    player = study.recognizer("FaceNet", "sharp")
    rows = study.cell("photos", lambda: [{"photos": len(study.datasets()[0]), "seed": study.seed}])
    table = Table("Photos", "How many.", ("dataset", "photos"), (("ours", str(rows[0]["photos"])),))
    claims = (Claim("There are photos.", True, f"{rows[0]['photos']}"), Claim("They are many.", False, "few"))
    return Findings((table,), claims, {}, (f"{player.name} plays FaceNet.",), ("One dataset is not two.",))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, jurors: None) -> None:
    paper = Paper("made2020", "A made paper", "Nobody, 2020", run_made, {"FaceNet": "a network"})
    monkeypatch.setattr(papers, "find_paper", lambda _name: paper)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return crowd(tmp_path / "data", 2, 2)


def words(
    *more: object, paper: str = "yang2021tipim", data: object = "data", out: object = "out"
) -> tuple[object, ...]:
    return ("reproduce", paper, "--data", data, "--out", out, "--detector", "aligned", *more)


@pytest.mark.usefixtures("made", "data")
def test_reproduce(visard: Run) -> None:
    code, out, err = visard(*words("--quick"))
    assert (code, err) == (0, "photos\n")  # the experiment, as it begins
    lines = [re.sub(r"\s+", " ", line).strip() for line in out.splitlines()]
    assert lines[0] == "sharp plays FaceNet."
    assert "ours 4" in lines
    assert "One dataset is not two." in lines
    assert "The report: out/report.md" in lines
    assert lines[-2:] == ["holds: There are photos. (4)", "does not hold: They are many. (few)"]
    assert sorted(p.name for p in Path("out").iterdir() if p.is_file()) == [
        "networks.json", "report.html", "report.md", "run.json", "trials.parquet",
    ]  # fmt: skip
    # once more: nothing is computed, and the same is said
    assert visard(*words("--quick")) == (0, out, "")


@pytest.mark.usefixtures("made", "data")
def test_who_plays_can_be_named(visard: Run) -> None:
    code, out, _ = visard(*words("--network", "FaceNet=blind"))
    assert (code, out.splitlines()[0]) == (0, "blind plays FaceNet.")
    code, _, err = visard(*words())
    assert (code, err.count("\n")) == (2, 1)
    assert "out holds a study with other settings; choose another folder" in err


MISTAKES = {
    "paper": ({"paper": "yang2021tpim"}, (), 'No paper is called "yang2021tpim". Did you mean "yang2021tipim"?'),
    "no such paper": ({"paper": "qqq"}, (), 'No paper is called "qqq". There are: chatzikyriakidis2019,'),
    "place": ({"out": "data/out"}, (), "data/out lies among the photos; choose another folder for the study."),
    "out is data": ({"out": "data"}, (), "data lies among the photos"),
    "file": ({"out": "me.png"}, (), "me.png is a file; name a folder for the study."),
    "data": ({"data": "nowhere"}, (), "nowhere is not a folder; name one that holds a folder of photos per person"),
    "data is a file": ({"data": "me.png"}, (), "me.png is not a folder"),
    "no photos": ({"data": "empty"}, (), "empty holds no photos of people"),
    "no equals": (
        {},
        ("--network", "ArcFace"),
        '--network takes PART=RECOGNIZER, such as "FaceNet=edgeface-xs", got "A',
    ),
    "no name": (
        {},
        ("--network", "ArcFace="),
        '--network takes PART=RECOGNIZER, such as "FaceNet=edgeface-xs", got "A',
    ),
    "no part": ({}, ("--network", "=sharp"), '--network takes PART=RECOGNIZER, such as "FaceNet=edgeface-xs", got "=s'),
    "part": ({}, ("--network", "FaceNet=sharp"), 'yang2021tipim has no network "FaceNet"; its networks: ArcFace, CosF'),
    "twice": (
        {},
        ("--network", "ArcFace=sharp", "--network", "ArcFace=blind"),
        "--network names ArcFace twice, sharp and blind",
    ),
    "nobody": ({}, ("--network", "ArcFace=shrap"), 'No recognizer is called "shrap". Did you mean "sharp"?'),
    "detector": ({}, ("--detector", "haar"), '--detector is "dlib"'),
}


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.usefixtures("jurors", "data")
def test_mistakes_are_answered_in_one_sentence(visard: Run, tmp_path: Path, mistake: str) -> None:
    save(tmp_path / "me.png")
    (tmp_path / "empty").mkdir()
    places, more, sentence = MISTAKES[mistake]
    code, out, err = visard(*words(*more, **places))
    assert (code, out) == (2, "")
    assert err.startswith("visard: ")
    assert err.count("\n") == 1
    assert sentence in err
    assert sorted(p.name for p in (tmp_path / "data").iterdir()) == ["p0", "p1"]
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("made", "data")
def test_a_missing_extra_is_named_before_the_work(visard: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "find_spec", lambda _name: None)
    code, out, err = visard(*words())
    assert (code, out) == (2, "")
    assert err == "visard: A study needs an optional part: pip install 'visard[report]'.\n"
    assert not (tmp_path / "out").exists()
