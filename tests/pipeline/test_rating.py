"""The rating page: blind, whole, and answered in the form that the score reads; the score against rates by hand."""

import base64
import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rig import camera_exif, save, thumbnail
from visard.errors import AuditError, WriteError
from visard.measure import clopper_pearson
from visard.pipeline.rating import key_of, make_page, score

HEADER = "study,rater,picture,artefacts\n"
BROWSER = """
const fs = require("fs"), source = fs.readFileSync(process.argv[2], "utf8"), words = process.argv.slice(3);
const scripts = [...source.matchAll(/<script([^>]*)>([\\s\\S]*?)<\\/script>/g)];
const parts = {}, keys = [], out = {pictures: []};
const part = name => parts[name] ??= {
  value: "", complete: true, act: {}, focus() {}, setAttribute() {}, addEventListener(on, f) { this.act[on] = f; },
};
part("study").textContent = scripts.find(([, kind]) => kind)[2];
globalThis.document = {
  getElementById: part, addEventListener: (on, f) => keys.push(f),
  createElement: () => ({click() { out.file = this.download; }}),
};
globalThis.localStorage = {getItem: () => null, setItem() {}};
globalThis.window = {addEventListener() {}};
globalThis.Blob = class { constructor(bits) { out.csv = bits.join(""); } };
URL.createObjectURL = () => "blob:";
new Function(scripts.find(([, kind]) => !kind)[2])();
const press = key => keys.forEach(f => f({key}));
press("y");  // before it has begun
out.begun = !part("rate").hidden;
part("rater").value = " Ann, é ";
part("who").act.submit({preventDefault() {}});
for (const word of words) {
  out.pictures.push(part("picture").src);
  word.length > 1 ? part(word).act.click() : press(word);
}
out.end = !part("end").hidden;
out.bar = part("bar").value;
part("save").act.click();
console.log(JSON.stringify(out));
"""


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Three people, one with two photos, and results of other kinds and names."""
    before, after = tmp_path / "before", tmp_path / "after"
    for i, name in enumerate(("ann/1", "ann/2", "bob/1", "cem/1")):
        for folder, suffix, more in ((before, ".jpg", 0), (after, ".visard.png", 100)):
            path = folder / f"{name}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            save(path, np.full((20, 24, 3), 20 * i + more, np.uint8))
    return before, after


@pytest.fixture
def page(folders: tuple[Path, Path], tmp_path: Path) -> Path:
    assert make_page(*folders, tmp_path / "study.html") == 8
    return tmp_path / "study.html"


def data_of(page: Path) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="study">(.*?)</script>', page.read_text(), re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def level(uri: str) -> float:
    return float(np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))).mean())


def key(page: Path) -> dict[str, Any]:
    return json.loads(key_of(page).read_text())


def answered(page: Path, path: Path, yes: Any, rater: str = "ann", most: int | None = None) -> Path:
    """A file of answers: `yes` says of (picture, side) whether it shows artefacts."""
    content = key(page)
    rows = [
        f"{content['study']},{rater},{name},{'yes' if yes(one['name'], one['side']) else 'no'}"
        for name, one in list(content["pictures"].items())[:most]
    ]
    path.write_text(HEADER + "\n".join(rows) + "\n")
    return path


# the page


def test_the_page_is_blind_and_whole(page: Path) -> None:
    content, known = data_of(page), key(page)
    assert content["id"] == known["study"]
    assert {one["id"] for one in content["pictures"]} == known["pictures"].keys()
    assert all(re.fullmatch("[0-9a-f]{12}", name) for name in known["pictures"])
    text = page.read_text()
    for word in ("ann", "bob", "original", "result", ".jpg", ".visard", str(page.parent)):
        assert f'"{word}' not in text
        assert f"{word}/" not in text
    assert not re.search(r"https?://|//[a-z]+\.[a-z]", text)
    assert "default-src 'none'" in text
    by_side = {name: (one["name"], one["side"]) for name, one in known["pictures"].items()}
    assert sorted(by_side.values()) == sorted(
        (name, side) for name in ("ann/1", "ann/2", "bob/1", "cem/1") for side in ("original", "result")
    )
    for one in content["pictures"]:
        assert one["uri"].startswith("data:image/png;base64,")
        name, side = by_side[one["id"]]
        number = ("ann/1", "ann/2", "bob/1", "cem/1").index(name)
        assert level(one["uri"]) == pytest.approx(20 * number + 100 * (side == "result"), abs=2)
    assert {name: one["person"] for name, one in known["pictures"].items()} == {
        name: one["name"].split("/")[0] for name, one in known["pictures"].items()
    }


def test_the_order_is_drawn(folders: tuple[Path, Path], page: Path, tmp_path: Path) -> None:
    make_page(*folders, tmp_path / "again.html")
    make_page(*folders, tmp_path / "other.html", seed=1)
    assert (tmp_path / "again.html").read_bytes() == page.read_bytes()
    sides = [
        [key(p)["pictures"][one["id"]]["side"] for one in data_of(p)["pictures"]]
        for p in (page, tmp_path / "other.html")
    ]
    assert sides[0] != sides[1]
    assert all(side != sorted(side) for side in sides)
    assert not set(key(page)["pictures"]) & set(key(tmp_path / "other.html")["pictures"])


def test_some_pairs_only(folders: tuple[Path, Path], tmp_path: Path) -> None:
    assert make_page(*folders, tmp_path / "few.html", most=2) == 4
    names = [one["name"] for one in key(tmp_path / "few.html")["pictures"].values()]
    assert len(set(names)) == 2
    assert sorted(names) == sorted(2 * list(set(names)))


def test_metadata_does_not_tell(tmp_path: Path) -> None:
    for folder in ("before", "after"):
        (tmp_path / folder).mkdir()
    save(tmp_path / "before/a.jpg", exif=camera_exif(thumbnail()))
    save(tmp_path / "after/a.jpg")
    make_page(tmp_path / "before", tmp_path / "after", tmp_path / "study.html")
    for one in data_of(tmp_path / "study.html")["pictures"]:
        assert b"Secret" not in base64.b64decode(one["uri"].split(",")[1])


def test_folders_that_do_not_fit(folders: tuple[Path, Path], page: Path, tmp_path: Path) -> None:
    before, after = folders
    with pytest.raises(WriteError, match=r"study\.html exists already; choose another name or use --force"):
        make_page(before, after, page)
    make_page(before, after, page, force=True)
    with pytest.raises(AuditError, match="is no folder"):
        make_page(before, tmp_path / "none", tmp_path / "x.html")
    (tmp_path / "empty").mkdir()
    with pytest.raises(AuditError, match="holds no photos to rate"):
        make_page(before, tmp_path / "empty", tmp_path / "x.html")
    save(after / "ann/1.bmp", np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(AuditError, match="would be one picture of a study"):
        make_page(before, after, tmp_path / "x.html")
    (after / "ann/1.bmp").rename(after / "ann/9.bmp")
    with pytest.raises(AuditError, match=r"9\.bmp has no original in .*before"):
        make_page(before, after, tmp_path / "x.html")
    assert not (tmp_path / "x.html").exists()


@pytest.mark.skipif(shutil.which("node") is None, reason="no node to run the page's script")
def test_what_the_page_saves_is_what_the_score_reads(page: Path, tmp_path: Path) -> None:
    """The page's own script, its keys and its buttons, with the least of a browser around it."""
    (tmp_path / "browser.js").write_text(BROWSER)
    words = ["y", "n", "b", "Y", "yes", "no", "x", "back", "n", "n", "y", "y", "no"]
    done = subprocess.run(["node", tmp_path / "browser.js", page, *words], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    shown = [one["uri"] for one in data_of(page)["pictures"]]
    assert told["begun"] is False
    assert told["pictures"] == [shown[i] for i in (0, 1, 2, 1, 2, 3, 4, 4, 3, 4, 5, 6, 7)]
    assert (told["end"], told["bar"], told["file"]) == (True, 8, "answers-Ann_é.csv")
    rows = [line.split(",") for line in told["csv"].splitlines()]
    assert ",".join(rows[0]) + "\n" == HEADER
    assert [row[2] for row in rows[1:]] == [one["id"] for one in data_of(page)["pictures"]]
    assert [row[3] for row in rows[1:]] == ["yes", "yes", "yes", "no", "no", "yes", "yes", "no"]
    (tmp_path / "answers.csv").write_text(told["csv"])
    found = score(key_of(page), [tmp_path / "answers.csv"])
    assert (found.raters, found.rated, found.pictures) == ({"Ann_é": 8}, 8, 8)
    hits = sum(one.value * one.trials for one in found.rates.values() if one is not None)
    assert hits == pytest.approx(5)


# the score


def test_rates_by_hand(page: Path, tmp_path: Path) -> None:
    saved = answered(page, tmp_path / "a.csv", lambda name, side: side == "result" and name != "bob/1")
    found = score(key_of(page), [saved])
    original, result = found.rates["original"], found.rates["result"]
    assert original is not None
    assert result is not None
    assert (original.value, original.trials, original.people) == (0, 4, 3)
    assert (original.low, original.high) == clopper_pearson(0, 3)
    assert (result.value, result.trials, result.people) == (0.75, 4, 3)
    assert 0 <= result.low < 0.75 < result.high <= 1
    assert found.difference is not None
    assert found.difference.value == 0.75
    over = ["exact binomial over 3 people", "bootstrap over 3 people", "bootstrap over 3 people"]
    assert [found.intervals[name] for name in ("original", "result", "difference")] == over
    json.dumps(found.to_json(), allow_nan=False)


def test_several_raters_widen_the_interval(folders: tuple[Path, Path], tmp_path: Path) -> None:
    before, after = tmp_path / "many-before", tmp_path / "many-after"
    for folder in (before, after):
        folder.mkdir()
        for i in range(60):
            save(folder / f"{i}.png", np.full((4, 4, 3), i, np.uint8))
    page = tmp_path / "many.html"
    make_page(before, after, page)

    def saved(rater: int, share: float) -> Path:
        said = np.random.default_rng(rater)
        return answered(page, tmp_path / f"{rater}.csv", lambda *_: said.random() < share, f"rater{rater}")

    strict = [saved(i, share) for i, share in enumerate((0.05, 0.1, 0.6, 0.9))]
    alike = [saved(i + 10, 0.41) for i in range(4)]
    wide, narrow = (score(key_of(page), files).rates["result"] for files in (strict, alike))
    assert wide is not None
    assert narrow is not None
    assert (wide.trials, wide.people) == (240, 60)
    assert wide.high - wide.low > 2.5 * (narrow.high - narrow.low)
    assert narrow.low < 0.41 < narrow.high
    assert score(key_of(page), alike).intervals["result"] == "bootstrap over 60 people and 4 raters"
    alone = score(key_of(page), strict[:1]).rates["result"]
    assert alone is not None
    low, high = clopper_pearson(round(60 * alone.value), 60)
    assert (alone.low, alone.high) == pytest.approx((low, high))


def test_where_all_agree_the_interval_is_exact(page: Path, tmp_path: Path) -> None:
    """By hand: at 97.5 %, with `n` alike, at most `unseen` of all are otherwise, and then as unlike as can be."""
    sides = [answered(page, tmp_path / f"{i}.csv", lambda _, side: side == "result", f"rater{i}") for i in range(4)]
    for raters, units in ((1, 3), (2, 2), (3, 3), (4, 3)):  # of 3 people
        found = score(key_of(page), sides[:raters])
        unseen = 1 - 0.025 ** (1 / units)
        original, result, difference = found.rates["original"], found.rates["result"], found.difference
        assert original is not None
        assert result is not None
        assert difference is not None
        assert (original.value, original.low, original.high) == pytest.approx((0, 0, unseen))
        assert (result.value, result.low, result.high) == pytest.approx((1, 1 - unseen, 1))
        assert tuple(difference) == pytest.approx((1, 1 - 2 * unseen, 1))
        what = "people" if raters == 1 else "independent answers"
        assert set(found.intervals.values()) == {f"exact binomial over {units} {what}"}
    none = [answered(page, tmp_path / f"none{i}.csv", lambda *_: False, f"rater{i}") for i in range(2)]
    difference = score(key_of(page), none).difference
    assert difference is not None
    assert tuple(difference) == pytest.approx((0, -(1 - 0.025**0.5), 1 - 0.025**0.5))


def test_answers_are_independent_of_other_raters_and_people(page: Path, tmp_path: Path) -> None:
    """Three raters of whom two saw the same person only: two answers share nothing, not three."""
    first = {one["person"]: name for name, one in reversed(key(page)["pictures"].items()) if one["side"] == "result"}
    seen = {"ann": ["ann"], "bea": ["ann"], "cy": ["bob", "cem"]}
    for rater, people in seen.items():
        rows = [f"{key(page)['study']},{rater},{first[person]},yes\n" for person in people]
        (tmp_path / f"{rater}.csv").write_text(HEADER + "".join(rows))
    found = score(key_of(page), [tmp_path / f"{rater}.csv" for rater in seen])
    assert found.intervals == {"result": "exact binomial over 2 independent answers"}


def test_answers_in_part(page: Path, tmp_path: Path) -> None:
    found = score(key_of(page), [answered(page, tmp_path / "a.csv", lambda *_: True, most=1)])
    assert found.rated == 1
    assert sorted(one is None for one in found.rates.values()) == [False, True]
    assert found.difference is None


def test_no_answers(page: Path, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(HEADER)
    for files in ([], [tmp_path / "a.csv"]):
        with pytest.raises(AuditError, match="Nobody has answered yet, so the artefact rate is not known"):
            score(key_of(page), files)


def test_answers_that_do_not_fit(page: Path, folders: tuple[Path, Path], tmp_path: Path) -> None:
    make_page(*folders, tmp_path / "other.html", seed=1)
    good = answered(page, tmp_path / "good.csv", lambda *_: True)
    lines = good.read_text().splitlines()
    stranger = answered(tmp_path / "other.html", tmp_path / "other.csv", lambda *_: True)
    cases = {
        "line 2: this is an answer to another page": stranger.read_text(),
        "its first line must be study,rater,picture,artefacts": "a,b\n1,2\n",
        "is no file of answers": "\x00\n",
        "line 2: an answer names its rater and is yes or no": HEADER + lines[1].replace("yes", "maybe"),
        "line 3: an answer names its rater": "\n".join(lines[:2]) + "\n" + lines[2].replace(",ann,", ",,"),
        "line 2: an answer has 4 fields": HEADER + lines[1] + ",more",
        "line 3: an answer has 4 fields": "\n".join(lines[:2]) + "\n" + lines[2][:9],
        "answers a picture twice": "\n".join([*lines, lines[1]]),
    }  # fmt: skip
    for number, (what, text) in enumerate(cases.items()):
        path = tmp_path / f"bad{number}.csv"
        path.write_text(text)
        with pytest.raises(AuditError, match=what):
            score(key_of(page), [path])
    copy = shutil.copy(good, tmp_path / "copy.csv")
    with pytest.raises(AuditError, match="both hold answers of ann; leave one of them out, or where these are two"):
        score(key_of(page), [good, copy])
    with pytest.raises(AuditError, match="is not the key of a study"):
        score(good, [good])
    with pytest.raises(AuditError, match=r"none\.json could not be read"):
        score(tmp_path / "none.json", [good])
