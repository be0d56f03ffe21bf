"""A study that is kept and gone on with, and its report."""

import io
import json
import time
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from crowd import crowd
from rig import install
from visard.audit.figures import Drawing, panels, svg
from visard.audit.tables import Table
from visard.errors import AuditError, RecognizerError, SettingError, UnknownRecognizerError, WriteError
from visard.face import aligned_crop
from visard.measure import Rate
from visard.papers import find_paper, paper_names
from visard.papers.paper import Claim, Erratum, Findings, Paper, beside
from visard.papers.report import run_study
from visard.papers.study import Row, Study

PRINTED = {("main", "ours", "rate"): 98.0, ("main", "theirs", "rate"): 90.0}


def run(study: Study) -> Findings:
    """Two experiments with different columns, and all that a report can hold."""
    rows = study.cell("first", lambda: [{"person": "a", "hit": True}, {"person": "b", "hit": False}])
    study.cell("second", lambda: [{"person": "a", "score": 0.5}])
    figure, (axis,) = panels(1)
    axis.plot([0, 1])
    return Findings(
        (Table("Main", "Shares.", ("set", "rate"), (("ours", str(sum(row["hit"] for row in rows))),)),),
        (Claim("Ours is better.", True, "1 of 2"), Claim("It is new.", None, "who knows")),
        {"A line": Drawing(svg(figure), "It rises.")},
        ("LFW plays CelebA.", "dlib-resnet plays FaceNet."),
        ("Two people are few.",),
    )


def paper(**changes: Any) -> Paper:
    given = {
        "name": "made2020",
        "title": "A made paper",
        "source": "Nobody, 2020",
        "run": run,
        "networks": {"FaceNet": "a network"},
        "settings": {"eps": ("8/255", "printed")},
        "errata": (
            Erratum("Ours is above theirs.", lambda p: p["main", "ours", "rate"] > p["main", "theirs", "rate"]),
            Erratum("Theirs is zero.", lambda p: p["main", "theirs", "rate"] == 0),
        ),
    }
    found = Paper(**{**given, **changes})
    found.__dict__["printed"] = PRINTED  # the cached property's value: a made paper has no file
    return found


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return crowd(tmp_path / "data", 2, 2)


@pytest.fixture
def study(tmp_path: Path, data: Path) -> Callable[..., Study]:
    def made(out: str = "out", **changes: Any) -> Study:
        given = {"paper": paper(), "data": data, "out": tmp_path / out, "detector": aligned_crop}
        return Study(**{**given, "detector_name": "aligned", **changes})

    return made


Make = Callable[..., Study]


def unused() -> Any:
    raise AssertionError("computed again")


# cells


def test_a_cell_is_computed_once(study: Make) -> None:
    rows = [
        {"person": "a", "hit": True, "score": 0.5, "rank": None},
        {"person": "b", "hit": False, "score": 1.0, "rank": 3},
    ]
    heard: list[str] = []
    first = study(watch=heard.append)

    def compute() -> list[Row]:
        time.sleep(0.01)
        return rows

    assert first.cell("one (two)", compute) == rows
    again = study(watch=heard.append)
    assert again.cell("one (two)", unused) == rows
    assert heard == ["one (two)"]
    assert first.seconds == again.seconds
    assert first.seconds["one (two)"] >= 0.01


def test_what_stopped_in_the_middle_goes_on_there(study: Make) -> None:
    def broken() -> Any:
        raise KeyboardInterrupt

    one = study()
    one.cell("a", lambda: [{"x": 1}])
    with pytest.raises(KeyboardInterrupt):
        one.cell("b", broken)
    again = study()
    assert again.cell("a", unused) == [{"x": 1}]
    assert again.cell("b", lambda: [{"x": 2}]) == [{"x": 2}]


def test_names_that_differ_in_signs_alone_are_other_cells(study: Make) -> None:
    one = study()
    for number, name in enumerate(("eps 4/255", "eps 4-255", "EPS 4-255", "eps 4 255", "ä", "ö")):
        assert one.cell(name, lambda number=number: [{"x": number}]) == [{"x": number}]  # type: ignore[misc]


def test_a_cell_without_trials_is_done_too(study: Make) -> None:
    one = study()
    assert one.cell("none", list) == []
    assert study().cell("none", unused) == []
    one.cell("some", lambda: [{"x": 1}])
    assert pq.read_table(io.BytesIO(one.trials())).to_pylist() == [{"cell": "some", "x": 1}]


def test_trials_join_cells_of_different_columns(study: Make) -> None:
    one = study()
    one.cell("a", lambda: [{"person": "p", "k": 1, "score": None}])
    one.cell("b", lambda: [{"person": "q", "score": 0.5}, {"person": "r", "score": float("inf")}])
    rows = {row["person"]: row for row in pq.read_table(io.BytesIO(one.trials())).to_pylist()}
    assert rows["p"] == {"person": "p", "k": 1, "score": None, "cell": "a"}
    assert rows["r"] == {"person": "r", "k": None, "score": float("inf"), "cell": "b"}
    assert len(rows) == 3


# what belongs to one folder


@pytest.mark.parametrize(
    "change", [{"quick": True}, {"seed": 1}, {"detector_name": "dlib"}, {"paper": paper(name="x")}]
)
def test_other_settings_are_refused(study: Make, change: dict[str, Any]) -> None:
    study()
    study()  # the same again
    with pytest.raises(SettingError, match="out holds a study with other settings; choose another folder"):
        study(**change)
    study("other", **change)


def test_other_data_and_a_damaged_record_are_refused(study: Make, data: Path, tmp_path: Path) -> None:
    study()
    (crowd(tmp_path / "more", 1, 3, first=9) / "p9").rename(data / "p9")
    with pytest.raises(SettingError, match="other settings"):
        study()
    (tmp_path / "out/run.json").write_text("{")
    with pytest.raises(SettingError, match="other settings"):
        study()


def test_missing_data_is_refused_before_anything_is_written(study: Make, tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="nowhere is not a folder"):
        study(data=tmp_path / "nowhere")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made_is_named(study: Make, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match="could not be made"):
        study("file/out")


def test_an_unknown_part_is_refused_with_those_there_are(study: Make, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match='made2020 has no network "ArcFace"; its networks: FaceNet'):
        study(chosen={"ArcFace": "dlib-resnet"})
    with pytest.raises(SettingError, match="its networks: none"):
        study(paper=paper(networks={}), chosen={"ArcFace": "dlib-resnet"})
    with pytest.raises(UnknownRecognizerError, match='Did you mean "dlib-resnet"'):
        study(chosen={"FaceNet": "dlib-resnt"})
    assert not (tmp_path / "out").exists()


# who plays


@pytest.mark.usefixtures("dlib_alone")
def test_the_first_that_is_there_plays_and_the_chosen_before_it(
    study: Make, installed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VISARD_HOME", str(installed))
    assert study().recognizer("FaceNet", "nobody", "sharp", "blind").name == "sharp"
    assert study("two", chosen={"FaceNet": "blind"}).recognizer("FaceNet", "sharp").name == "blind"
    with pytest.raises(RecognizerError, match=r'Nobody plays "FaceNet" \(a network\); add .* --network "FaceNet=NAME"'):
        study("three").recognizer("FaceNet", "nobody")


@pytest.mark.usefixtures("dlib_alone")
def test_a_study_does_not_go_on_with_another_stand_in(
    study: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Who was added since would be mixed with what is there."""
    monkeypatch.setenv("VISARD_HOME", str(tmp_path / "home"))
    install(tmp_path, "late", 2, 0.5)
    assert study().recognizer("FaceNet", "early", "late").name == "late"
    assert study().recognizer("FaceNet", "early", "late").name == "late"
    install(tmp_path, "early", 1, 0.5)
    with pytest.raises(SettingError, match='a study in which late plays "FaceNet", now it is early; choose another'):
        study().recognizer("FaceNet", "early", "late")
    assert study("new").recognizer("FaceNet", "early", "late").name == "early"


# random numbers


def test_random_numbers_depend_on_seed_and_name_not_on_order(study: Make) -> None:
    def draw(one: Study, name: str) -> list[float]:
        return torch.rand(4, generator=one.generator(name)).tolist()  # type: ignore[no-any-return]

    one, other = study(), study("other", seed=1)
    a, b = draw(one, "a"), draw(one, "b")
    assert (draw(study(), "b"), draw(one, "a")) == (b, a)
    assert a != b
    assert draw(other, "a") != a


# the report


class Page(HTMLParser):
    """Texts in their order, and everything that would be fetched."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.fetched: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if name in ("src", "href", "xlink:href", "data", "poster") and not (value or "").startswith("#"):
                self.fetched.append(f"{tag} {name}={value}")
        if tag in ("script", "link", "iframe", "object"):
            self.fetched.append(tag)

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append(data.strip())


def test_the_report_says_stand_ins_first_and_opens_without_network(study: Make, tmp_path: Path) -> None:
    run_study(study(quick=True, seed=3, chosen={"FaceNet": "dlib-resnet"}))
    out = tmp_path / "out"
    markdown = (out / "report.md").read_text()
    assert markdown.splitlines()[2] == "LFW plays CelebA. dlib-resnet plays FaceNet."
    html = (out / "report.html").read_text()
    page = Page(html)
    assert page.fetched == []
    assert not [text for text in ("@import", "url(http", "<?xml-stylesheet") if text in html]
    body = page.texts[page.texts.index("made2020, run again") :]
    assert body[1] == "LFW plays CelebA. dlib-resnet plays FaceNet."
    for text in (markdown, html):
        for part in (
            "Two people are few.",
            "Ours is better.",
            "holds",
            "cannot be said",
            "8/255",
            "It rises.",
            "quick",
        ):
            assert part in text
    command = "visard reproduce made2020 --data data --out out --quick --detector aligned --seed 3"
    assert f'- command: {command} --network "FaceNet=dlib-resnet"' in markdown
    assert "| Ours is above theirs. | shown |" in markdown
    assert "| Theirs is zero. | NOT shown |" in markdown
    assert str(tmp_path) not in markdown + html
    assert (out / "figures/a-line.svg").read_text().startswith("<svg")
    assert {row["cell"] for row in pq.read_table(out / "trials.parquet").to_pylist()} == {"first", "second"}


def test_a_report_without_stand_ins_says_so(study: Make, tmp_path: Path) -> None:
    def alone(one: Study) -> Findings:
        one.cell("a", lambda: [{"x": 1}])
        return Findings((Table("Main", "", ("x",), (("1",),)),), ())

    run_study(study(paper=paper(run=alone, errata=(), settings={})))
    markdown = (tmp_path / "out/report.md").read_text()
    assert "Data and networks are the paper's own kind." in markdown
    assert "Errors of the print" not in markdown
    assert "--detector aligned\n" in markdown


def test_the_same_study_writes_the_same_report(study: Make, tmp_path: Path) -> None:
    def files() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}

    run_study(study())
    first = files()
    run_study(study())
    assert files() == first


def test_ours_beside_the_print() -> None:
    found = Rate(0.97, 0.92, 0.99, 1200, 1200)
    assert beside(found, 98.0).text == "97 % [92, 99] n=1,200 (printed 98)"
    assert beside(found, None).text == "97 % [92, 99] n=1,200"
    assert beside("3.14", 3.38).text == "3.14 (printed 3.38)"
    assert beside(None, 3.0).text == "– (printed 3)"


# the papers that there are


def test_every_paper_states_what_it_is() -> None:
    for name in paper_names():
        found = find_paper(name)
        assert found.name == name
        assert found.printed
        assert all(value and source for value, source in found.settings.values())
        for erratum in found.errata:
            assert erratum.shows(found.printed), erratum.text


def test_an_unknown_paper_is_answered_with_a_near_name() -> None:
    with pytest.raises(SettingError, match=r'No paper is called "yang2021"\. Did you mean "yang2021tipim"'):
        find_paper("yang2021")
    with pytest.raises(SettingError, match="There are: chatzikyriakidis2019"):
        find_paper("qqq")


def test_a_record_holds_no_path_of_the_machine(study: Make, tmp_path: Path) -> None:
    study()
    record = (tmp_path / "out/run.json").read_text()
    assert str(tmp_path) not in record
    assert json.loads(record)["data"] == {"data": [2, 4]}
