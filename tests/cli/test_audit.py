"""visard audit, as a person types it: photos, folders, and what it answers to mistakes."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import pyarrow.parquet as pq
import pytest
from onnx import numpy_helper

from crowd import SIDE, cloaked, crowd
from rig import install, save
from tiny import tiny_onnx, write_card
from visard.audit.sight import CONDITIONS
from visard.pipeline import LEDGER
from visard.recognizer import Threshold, add, find, store_thresholds

Run = Callable[..., tuple[int, str, str]]
ALIGNED = ("--detector", "aligned")


def calibrated(name: str, value: float) -> None:
    """A recognizer with this threshold at both false match rates that an audit asks for."""
    card = find(name)
    store_thresholds(card, [Threshold(f, value, 300_000, 500, "made", card.sha256, 0.2) for f in (1e-2, 1e-3)])


@pytest.fixture
def jury(tmp_path: Path, home: Path) -> None:
    """`sharp` matches everybody, `blind` nobody; both have all that an audit needs."""
    for seed, (name, value) in enumerate({"blind": 2.0, "sharp": -1.0}.items(), start=1):
        install(tmp_path, name, seed, None)
        calibrated(name, value)


@pytest.fixture
def photos(tmp_path: Path) -> tuple[Path, Path]:
    original = crowd(tmp_path / "photos", 3, 2)
    return original, cloaked(original, tmp_path / "posted", mark=".visard")


def words(original: Path, protected: Path, *more: object) -> tuple[object, ...]:
    return ("audit", "--original", original, "--protected", protected, *ALIGNED, *more)


# folders


@pytest.mark.usefixtures("jury")
def test_folders(visard: Run, photos: tuple[Path, Path], tmp_path: Path) -> None:
    code, out, err = visard(*words(*photos, "--out", tmp_path / "new/report"))
    assert (code, err) == (0, "")
    report = tmp_path / "new/report"
    assert out.rstrip().endswith(f"The report: {report / 'report.html'}")
    # blind knew nobody and has no say; sharp matches everybody; three people prove little
    row = next(line for line in out.splitlines() if line.startswith("posted"))
    assert re.sub(r"\s+", " ", row).startswith("posted 2 0 % / 0 % [0, 71] n=6 0 % / 0 % [0, 71] n=6 ")
    assert row.rstrip().endswith("100 % [29, 100] n=6")
    assert "posted: it is not known which recognizers made these cloaks" in out
    assert "posted: 3 people are few" in out
    assert "posted: blind misses 100% of the clean photos too" in out
    assert sorted(p.name for p in report.iterdir() if not p.name.startswith(".")) == [
        "figures", "report.html", "report.md", "summary.json", "trials.parquet",
    ]  # fmt: skip
    summary = json.loads((report / "summary.json").read_text())
    assert summary["gallery"] == "6 photos of 3 people"
    assert summary["set posted"] == "made with recognizers that are not known"
    assert not (report / ".looks").exists()  # embeddings are templates of faces
    rates = summary["sets"]["posted"]["protection"]["0.001"]["as saved"]
    assert rates["blind"] is None
    assert (rates["sharp"]["value"], rates["sharp"]["trials"], rates["sharp"]["people"]) == (0, 6, 3)
    assert pq.read_table(report / "trials.parquet").num_rows == 2 * len(CONDITIONS) * 6


@pytest.mark.usefixtures("jury")
def test_the_same_command_goes_on(visard: Run, photos: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from visard.audit import collection

    def never(*_args: object) -> None:
        raise AssertionError("looked at twice")

    command = words(*photos, "--out", "report", "--keep-embeddings")
    first = visard(*command)
    content = Path("report/report.html").read_bytes()
    monkeypatch.setattr(collection, "embed_views", never)
    assert visard(*command) == first
    assert Path("report/report.html").read_bytes() == content


@pytest.mark.usefixtures("jury")
def test_several_sets_and_another_gallery(visard: Run, photos: tuple[Path, Path], tmp_path: Path) -> None:
    original, posted = photos
    same = cloaked(original, tmp_path / "other/posted", lambda pixels: pixels)
    (posted / "p0/0.visard.png").unlink()
    people = crowd(tmp_path / "people", 4, 3)
    code, out, _ = visard(
        *words(original, posted, "--protected", same, "--people", people, "--out", "report", "--jury", "sharp"),
        *("--second-detector", "aligned"),
    )
    assert code == 0
    # two folders of one name are told apart by their paths
    assert [line.split()[0] for line in out.splitlines() if " n=" in line] == [str(posted), str(same)]
    assert f"{same}: 6 of 6 protected photos show the same face, pixel by pixel, as their originals." in out
    assert "1 photos were left out, the first: p" in out
    assert f"it has no partner in the set {posted}" in out
    summary = json.loads(Path("report/summary.json").read_text())
    assert summary["gallery"] == "12 photos of 4 people"
    assert summary["detector"] == "aligned, second aligned"
    assert "second detector" in summary["sets"][str(posted)]["protection"]["0.01"]


@pytest.mark.usefixtures("jury")
def test_who_made_the_cloaks_is_read_from_the_run(visard: Run, tmp_path: Path) -> None:
    original = crowd(tmp_path / "photos", 2, 2)
    made = visard("protect", original, "-o", "posted", "--method", "fgsm", "--jury", "none", *ALIGNED)
    assert made[0] == 1  # nobody was asked to judge
    assert Path("posted", LEDGER).is_file()
    command = words(original, Path("posted"), "--jury", "sharp,dlib-resnet", "--out", "report")
    code, out, _ = visard(*command)
    assert code == 0
    assert "posted: dlib-resnet made these cloaks, or a recognizer of the same origin did: gray, in no mean." in out
    assert "not known" not in out
    summary = json.loads(Path("report/summary.json").read_text())
    assert summary["set posted"] == "fgsm (eps=0.03137), made with dlib-resnet"
    rates = summary["sets"]["posted"]["protection"]["0.001"]["as saved"]
    assert rates["sharp"]["held_out"] is True
    rows = pq.read_table("report/trials.parquet", columns=["juror", "held_out"]).to_pylist()
    assert {(row["juror"], row["held_out"]) for row in rows} == {("sharp", True), ("dlib-resnet", False)}
    # whoever knows better says so
    _, out, _ = visard(*command, "--surrogates", "sharp")
    assert "posted: sharp made these cloaks" in out
    # a surrogate that is gone is not forgotten
    ledger = Path("posted", LEDGER)
    ledger.write_text(ledger.read_text().replace(find("dlib-resnet").sha256, "0" * 64))
    _, out, _ = visard(*command)
    assert (
        "posted: dlib-resnet made these cloaks and is not installed any more, so a juror of its origin counts." in out
    )
    assert json.loads(Path("report/summary.json").read_text())["set posted"].endswith("made with dlib-resnet")


def test_a_surrogate_without_a_gradient_is_named(
    visard: Run, photos: tuple[Path, Path], tmp_path: Path, home: Path
) -> None:
    install(tmp_path, "sharp", 2, None)
    calibrated("sharp", -1.0)
    install(tmp_path, "dark", 3, None, black_box=True)  # has none to look at
    model = onnx.load(tiny_onnx(tmp_path / "flat.onnx"))
    weights = next(w for w in model.graph.initializer if w.name == "w")
    weights.CopyFrom(numpy_helper.from_array(0 * numpy_helper.to_array(weights), "w"))
    onnx.save(model, tmp_path / "flat.onnx")
    add(tmp_path / "flat.onnx", write_card(tmp_path / "card.json", name="flat"))
    torn = photos[0] / "p0/00.png"
    torn.write_bytes(b"\x89PNG\r\n\x1a\n torn")  # is left out wherever photos are read
    code, out, err = visard(*words(*photos, "--out", "report", "--jury", "sharp", "--surrogates", "flat,dark"))
    assert (code, err) == (0, "")
    assert "flat: its gradient is zero here, so cloaks made with it are noise and prove nothing." in out
    assert "dark: its gradient" not in out
    assert "1 photos were left out, the first: p0/00.png: " in out


# a photo


@pytest.mark.usefixtures("jury")
def test_a_photo(visard: Run, photos: tuple[Path, Path]) -> None:
    original, posted = photos[0] / "p0/0.png", photos[1] / "p0/0.visard.png"
    code, out, err = visard(*words(original, posted, "--jury", "blind", "--report", "report.json"))
    assert (code, err) == (0, "")
    assert ": protected (SSIM" in out
    assert json.loads(Path("report.json").read_text())["photos"][0]["status"] == "protected"
    assert visard(*words(original, posted, "--jury", "sharp"))[0] == 1
    code, _, err = visard(*words(original, posted.with_name("no.png")))
    assert (code, err.count("\n")) == (2, 1)
    assert "does not exist" in err


# mistakes


MISTAKES = {
    "no report": (["photos", "posted"], "--out is missing; name a folder for the report."),
    "out in original": (["photos", "posted", "--out", "photos/x"], "photos/x lies among the photos; choose another"),
    "out in protected": (["photos", "posted", "--out", "posted"], "posted lies among the photos; choose another"),
    "reference": (
        ["photos", "posted", "--out", "r", "--reference", "photos/p0/0.png"],
        "--reference has no use with fol",
    ),
    "report": (
        ["photos", "posted", "--out", "r", "--report", "x.json"],
        "--report has no use with folders; leave it out",
    ),
    "boxes": (
        ["photos", "posted", "--out", "r", "--boxes", "x.json"],
        "--boxes has no use with folders; leave it out.",
    ),
    "folder and photo": (
        ["photos", "posted/p0/0.visard.png", "--out", "r"],
        "photos is a folder and posted/p0/0.visard.",
    ),
    "photo and folder": (
        ["photos/p0/0.png", "posted"],
        "posted is a folder and photos/p0/0.png is none; give two folders",
    ),
    "two photos": (
        ["photos/p0/0.png", "posted/p0/0.visard.png", "--protected", "x.png"],
        "--protected takes one photo;",
    ),
    "out of a photo": (
        ["photos/p0/0.png", "posted/p0/0.visard.png", "--out", "r"],
        "--out has no use with single photos",
    ),
    "people of a photo": (
        ["photos/p0/0.png", "posted/p0/0.visard.png", "--people", "photos"],
        "--people has no use with s",
    ),
    "second detector": (
        ["photos/p0/0.png", "posted/p0/0.visard.png", "--second-detector", "dlib"],
        "--second-detector ha",
    ),
    "twice": (["photos", "posted", "--protected", "posted", "--out", "r"], "A folder is given twice with --protected"),
    "surrogate": (
        ["photos", "posted", "--out", "r", "--surrogates", "shrap"],
        'No recognizer is called "shrap". Did you',
    ),
    "detector": (["photos", "posted", "--out", "r", "--second-detector", "haar"], '--second-detector is "dlib"'),
    "nobody": (["photos", "posted", "--out", "r", "--jury", "none"], "There is nobody to judge: add a recognizer"),
    "people missing": (["photos", "posted", "--out", "r", "--people", "no"], "The folder no could not be read"),
    "empty": (
        ["photos", "empty", "--out", "r"],
        "empty holds no photos in folders of people; lay it out as PERSON/photo",
    ),
    "flat": (["photos", "photos/p0", "--out", "r"], "photos and photos/p0 lie in each other; move one of them out."),
    "names": (["photos", "strangers", "--out", "r"], "No photo of strangers has the name of one in photos"),
    "no folder": (["photos", "posted", "--out", "photos/p0/0.png/x"], "lies among the photos; choose another folder"),
    "a file": (["photos", "posted", "--out", "file"], "is a file; name a folder for the report"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.usefixtures("jury")
def test_mistakes_are_answered_in_one_sentence(visard: Run, tmp_path: Path, mistake: str) -> None:
    for i in range(2):
        (tmp_path / f"photos/p{i}").mkdir(parents=True)
        save(tmp_path / f"photos/p{i}/0.png", np.zeros((SIDE, SIDE, 3), np.uint8))
    shutil.copytree("photos", "strangers/p9")
    (tmp_path / "posted/p0").mkdir(parents=True)
    shutil.copy("photos/p0/0.png", "posted/p0/0.visard.png")
    Path("empty").mkdir()
    Path("file").touch()
    before = sorted(Path().rglob("*"))
    (first, second, *more), sentence = MISTAKES[mistake]
    code, out, err = visard(*words(Path(first), Path(second), *more))
    assert (code, out) == (2, "")
    assert err.startswith("visard: ")
    assert err.count("\n") == 1
    assert sentence in err
    assert sorted(Path().rglob("*")) == before


def test_a_juror_without_the_other_threshold(visard: Run, photos: tuple[Path, Path], tmp_path: Path) -> None:
    install(tmp_path, "half", 1, -1.0)  # at FMR 1e-3 alone
    assert [asdict(t)["fmr"] for t in find("half").thresholds] == [1e-3]
    code, _, err = visard(*words(*photos, "--out", "report"))
    assert (code, err.count("\n")) == (2, 1)
    assert "half has no threshold at FMR 0.01 (it has 0.001); run: visard calibrate" in err


@pytest.mark.usefixtures("jury")
def test_without_the_extra(visard: Run, photos: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from visard.audit import document

    monkeypatch.setattr(document, "find_spec", lambda _name: None)
    code, out, err = visard(*words(*photos, "--out", "report"))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "pip install 'visard[report]'" in err
    assert not Path("report").exists()  # before the work, not after
