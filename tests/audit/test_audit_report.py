"""The report: its tables against the trials, its figures, its files."""

import io
import json
import re
import sys
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow.parquet as pq
import pytest

from crowd import FAR, NEAR, at, juror, protected
from visard.audit import report
from visard.audit.figures import det_curves, figures, histograms, tradeoff
from visard.audit.findings import (
    Protected,
    four_quadrants,
    headline,
    identification,
    impersonation,
    quality,
    robustness,
    tables,
    transfer,
    verification,
)
from visard.audit.sight import CONDITIONS
from visard.audit.tables import Cell, Table, percent, share, spread
from visard.audit.trials import Gallery
from visard.errors import MissingExtraError, WriteError
from visard.measure import Rate, d_prime, eer, fnir_at_fpir

FACTS = {"photos": "40 in ours", "jury": "colors, others"}
COLUMNS = {
    "set", "juror", "condition", "person", "photo", "held_out", "threshold_0.001", "threshold_0.01", "mates",
    "clean_mate", "protected_mate", "clean_other", "protected_other", "clean_rank", "protected_rank", "found",
    "ssim", "psnr", "ciede2000", "visibility",
}  # fmt: skip


def made(people: int = 20, each: int = 2, seed: int = 0, **options: Any) -> Protected:
    """People in random directions, some of whose photos are protected and some not; the last has one photo only."""
    rng = np.random.default_rng(seed)
    names = [f"p{i:03}" for i in range(people) for _ in range(each)][: people * each - each + 1]
    base = rng.uniform(0, 360, people).repeat(each)[: len(names)]
    before = base + rng.normal(0, 15, len(names))
    after = before + rng.normal(0, 50, len(names))
    options.setdefault("jury", [juror(), juror("others", near=0.7)])
    found = rng.random(len(names)) < 0.8
    return without_copies(protected(names, at(*before), at(*after), found=found.tolist(), **options))


def without_copies(one: Protected) -> Protected:
    """Nothing is taken for a copy but the photo itself: on a circle people meet."""
    one.own = np.eye(len(one.seen.people), dtype=bool)
    one.gallery = Gallery(one.gallery.people, one.gallery.embeddings, one.own)
    return one


@pytest.fixture(scope="module")
def sets() -> list[Protected]:
    maker = juror("maker", origin="others")
    unchanged = [float("inf")] + [30.0] * 38
    return [made(), made(seed=1, name="a|b <i>", surrogates=(maker.card,), psnr=unchanged)]


@pytest.fixture(scope="module")
def out(sets: list[Protected], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "new" / "report"
    report.write(folder, sets, ["ours: beware of <b>dogs</b> & cats."], FACTS, 12.3)
    return folder


def text(cell: Cell | str) -> str:
    return cell if isinstance(cell, str) else cell.text


# tables


def test_forms_of_a_rate() -> None:
    rate = Rate(0.875, 0.8, 0.924, 1200, 30)
    assert percent(rate) == Cell("88 % [80, 92] n=1,200")
    assert percent(None, muted=True) == Cell("–", True)
    assert [share(v) for v in (0, 0.004, 0.01, 0.5, 0.99, 0.996, 1)] == [
        "0 %", "0.4 %", "1 %", "50 %", "99 %", "99.6 %", "100 %",
    ]  # fmt: skip
    assert spread([rate, Rate(0.125, 0.1, 0.2, 8, 8)]) == "50 % / 12 % [10, 20] n=8"
    assert spread([]) == "–"


def test_a_table_in_both_forms() -> None:
    table = Table("A & B", "1 < 2", ("x|y", "z"), (("a|b", Cell("<i>", True)), ("c", Cell("d"))))
    assert table.to_markdown().splitlines()[4:] == [
        "| x\\|y | z |", "| --- | --- |", "| a\\|b | *(<i>)* |", "| c | d |",
    ]  # fmt: skip
    assert "<td>a|b</td><td class=muted>&lt;i&gt;</td>" in table.to_html()
    assert "A &amp; B" in table.to_html()


def test_every_table_is_whole(sets: list[Protected]) -> None:
    found = tables(sets)
    titles = [table.title for table in found]
    assert titles == [
        "Protection", "Transfer", "Robustness: ours", "Robustness: a|b <i>", "Four quadrants", "Impersonation",
        "Identification", "Verification", "Visibility", "Thresholds",
    ]  # fmt: skip
    for table in found:
        assert table.rows
        assert {len(row) for row in table.rows} == {len(table.header)}, table.title
        lines = table.to_markdown().strip().splitlines()[4:]
        assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {len(table.header) + 1}, table.title
        for row in table.rows:
            assert not any(re.search(r"nan|inf\b|-2\.0", text(cell)) for cell in row), (table.title, row)


def test_a_rate_never_goes_without_interval_and_n(sets: list[Protected]) -> None:
    without = {"EER", "FNMR there"}  # n beside it; stored with the threshold
    for table in tables(sets):
        for row in table.rows:
            for name, cell in zip(table.header, row, strict=True):
                if "%" in text(cell) and name not in without:
                    assert re.fullmatch(r"(\S+ % / )?\S+ % \[\d+, \d+\] n=[\d,]+", text(cell)), (table.title, name)


def rates(one: Protected, condition: str, fmr: float) -> list[float]:
    found = [one.protection(j, condition, fmr) for j in one.jury]
    return [rate.value for rate in found if rate is not None]


def test_headline_and_transfer(sets: list[Protected]) -> None:
    first, second = sets
    row = [text(cell) for cell in headline(sets).rows[0]]
    near, far = (rates(first, "as saved", fmr) for fmr in (1e-3, 1e-2))
    assert row[:2] == ["ours", "2"]
    assert row[2].startswith(f"{share(np.mean(near))} / {share(min(near))} [")
    assert row[3].startswith(f"{share(np.mean(far))} / {share(min(far))} [")
    assert row[4:7] == ["0.9", "1.5", "0.8"]
    rows = transfer(sets).rows
    assert [text(r[0]) for r in rows] == ["ours", "a|b <i>", "ours, all photos", "a|b <i>, all photos"]
    assert [c.muted for r in rows for c in r[1:] if isinstance(c, Cell)] == [False, False, False, True] * 2
    everybody = first.protection(first.jury[0], "as saved", 1e-3, conditional=False)
    assert everybody is not None
    assert text(rows[2][1]) == percent(everybody).text
    assert everybody.trials == 38  # of 39 photos one has no mate
    assert second.held_out_rates("as saved", 1e-3)[0].value == rates(second, "as saved", 1e-3)[0]


def test_a_juror_of_the_same_origin_is_gray_wherever_it_is_named(sets: list[Protected]) -> None:
    for table in (four_quadrants(sets), impersonation(sets), identification(sets), verification(sets)):
        names = {(row[0], cell.text): cell.muted for row in table.rows if isinstance(cell := row[1], Cell)}
        assert [name for name, muted in names.items() if muted] == [("a|b <i>", "others")], table.title
        assert len(names) == 4


def test_robustness_has_every_condition(sets: list[Protected]) -> None:
    table = robustness(sets[0])
    assert [row[0] for row in table.rows] == list(CONDITIONS)
    assert table.header == (
        "condition",
        "colors",
        "others",
        "mean / worst",
        "clean faces found",
        "protected faces found",
    )
    found = sets[0].seen.found_after[:, 0].mean()
    assert 0.5 < found < 1
    assert [text(cell).split(" [")[0] for cell in table.rows[0][-2:]] == ["100 %", share(float(found))]


def test_quadrants_leave_out_who_has_no_mate(sets: list[Protected]) -> None:
    row = [text(cell) for cell in four_quadrants(sets).rows[0]]
    assert all("n=38" in cell for cell in row[2:])
    clean = sets[0].trials["colors", "as saved"]
    some = clean.mates > 0
    assert row[2].startswith(share(float(np.mean(clean.clean_mate[some] >= NEAR))))
    assert row[4].startswith(share(float(np.mean(clean.protected_mate[some] >= NEAR))))


def naive_scores(one: Protected, look: str) -> tuple[list[float], list[float], list[list[float]]]:
    genuine: list[float] = []
    impostor: list[float] = []
    by_probe: list[list[float]] = []
    scores = getattr(one.seen, look)["colors"][:, 0] @ one.gallery.embeddings["colors"].T
    for i, person in enumerate(one.seen.people):
        by_probe.append([])
        for j, known in enumerate(one.gallery.people):
            if i != j:
                (genuine if person == known else by_probe[-1]).append(float(scores[i, j]))
        impostor += by_probe[-1]
    return genuine, impostor, by_probe


@pytest.mark.parametrize(("kind", "look"), [(0, "before"), (1, "after")])
def test_verification_and_impersonation(sets: list[Protected], kind: int, look: str) -> None:
    genuine, impostor, by_probe = naive_scores(sets[0], look)
    row = [text(cell) for cell in verification(sets).rows[kind]]
    assert row[2] == ("clean", "protected")[kind]
    assert float(row[3].split()[0]) == pytest.approx(100 * eer(genuine, impostor), abs=0.02)
    assert float(row[4]) == pytest.approx(d_prime(genuine, impostor), abs=0.01)
    misses = np.array(genuine) < NEAR
    assert row[5].startswith(f"{share(float(misses.mean()))} [")
    assert row[6:] == [f"{len(genuine):,}", f"{len(impostor):,}"]
    cells = [text(cell) for cell in impersonation(sets).rows[0]]
    for threshold, cell in ((NEAR, cells[2 + kind]), (FAR, cells[4 + kind])):
        expected = np.mean([np.mean(np.array(scores) >= threshold) for scores in by_probe])
        assert re.fullmatch(r"\d\.\d\de-\d\d \[\d\.\de.\d\d, \d\.\de.\d\d\] n=39", cell)
        assert float(cell.split()[0]) == pytest.approx(expected, rel=0.01)
    assert cells[-1] == f"{len(impostor):,}"


def test_other_peoples_copies_are_no_impostors() -> None:
    """A probe's own photo under another name is no comparison at all, whatever its place in a matrix holds."""
    one = protected(["a", "a", "b", "b"], at(0, 20, 0, 90), at(60, 20, 0, 90))
    assert one.gallery.own[0, 2]
    assert one.gallery.own[2, 0]
    scores = one.scores(one.jury[0])
    assert scores.comparisons.tolist() == [1, 2, 1, 2]
    assert len(scores.clean_other) == len(scores.protected_other) == 6
    assert min(scores.clean_other.min(), scores.protected_other.min()) > -1.01


def test_identification() -> None:
    """A hundred and sixty people: enough searches for a false positive rate of .1, not for .01."""
    one = made(people=160, jury=[juror()])
    found = identification([one])
    assert "best 1, 5 and 10 of a gallery of 319 clean photos" in found.note
    trials = one.trials["colors", "as saved"]
    some = trials.mates > 0
    assert some.sum() == 318
    for row, kind, look in zip(found.rows, ("clean", "protected"), ("before", "after"), strict=True):
        ranks = trials.columns()[f"{kind}_rank"][some]
        for cell, k in zip(row[3:6], (1, 5, 10), strict=True):
            assert text(cell).startswith(f"{share(float(np.mean(ranks <= k)))} [")
        probes = getattr(one.seen, look)["colors"][:, 0]
        gallery = one.gallery.embeddings["colors"]
        scores = np.where(one.gallery.own, -2, probes @ gallery.T)
        searches = one.seen.before["colors"][:, 0] @ gallery.T
        searches[one.seen.people[:, None] == one.gallery.people] = -2  # the person is not in the gallery
        people = one.seen.people[some]
        expected = fnir_at_fpir(scores[some], people, one.gallery.people, searches, 0.1)
        assert text(row[6]).startswith(f"{share(expected.fnir)} [")
        assert row[7] == "needs 3,000 searches"


def test_quality_has_intervals_and_leaves_out_what_is_equal(sets: list[Protected]) -> None:
    rows = quality(sets).rows
    assert [row[-1] for row in rows] == ["39", "39"]
    assert rows[1][2] == "30 [30, 30]"
    same = made(psnr=[float("inf")] * 39)
    assert quality([same]).rows[0][2] == "equal"


def test_nobody_was_ever_matched() -> None:
    """Jurors that see nothing make dashes, not errors."""
    one = made(jury=[juror(near=2.0)])
    assert text(transfer([one]).rows[0][1]) == "–"
    assert [text(cell) for cell in headline([one]).rows[0][2:3]] == ["–"]
    assert set(figures([one, one])) == {
        "Protection against visibility",
        "Scores: ours",
        "Detection error tradeoff: ours",
    }
    assert report._summary(one)["protection"]["0.001"]["as saved"] == {"colors": None}


# figures


def test_figures_of_odd_scores() -> None:
    """Scores that are all alike, or do not overlap, or of rates whose mean rounds below the least of them."""
    alike = protected(["a", "a", "b", "b"], at(0, 20, 0, 0), at(0, 20, 0, 0))
    apart = protected(["a", "a", "b", "b"], at(0, 5, 180, 185), at(0, 5, 180, 185), name="apart")
    copies = without_copies(protected(["a", "a", "b", "b"], at(0, 0, 0, 0), at(0, 0, 0, 0), name="one point"))
    for one in (alike, apart, copies):
        for draw in (histograms, det_curves):
            assert draw(one).startswith("<svg")
    people = [f"p{i}" for i in range(10)]
    before = np.arange(10) * 36.0
    gallery = Gallery(np.array(people), {n: at(*(before + 9)) for n in ("a", "b", "c")}, np.zeros((10, 10), dtype=bool))
    seventy = protected(
        people, at(*before), at(*(before + np.array([200] * 7 + [0] * 3))), [juror(n) for n in "abc"], gallery=gallery
    )
    values = [rate.value for rate in seventy.held_out_rates("as saved", 1e-3)]
    assert values == [0.7] * 3
    assert np.mean(values) < 0.7
    drawn = tradeoff([seventy, seventy])
    assert all(f"<!-- {words} -->" in drawn for words in ("SSIM, 160 px crop", "CIEDE2000, 160 px crop", "ours"))


def test_one_set_has_no_tradeoff_and_many_jurors_many_panels() -> None:
    one = made(jury=[juror(name) for name in ("a", "b", "c", "d")])
    drawn = figures([one])
    assert list(drawn) == ["Scores: ours", "Detection error tradeoff: ours"]
    for drawing in drawn.values():
        assert drawing.caption
        tree = ElementTree.parse(io.StringIO(drawing.svg))
        assert len(tree.findall(".//*[@id='axes_4']")) == 1


# files


class Tags(HTMLParser):
    """Whether every element that is opened is closed, in order."""

    VOID = frozenset(("meta", "br", "hr", "img"))

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_one_file_without_a_network(out: Path) -> None:
    page = (out / "report.html").read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(page)
    tags.close()
    assert tags.open == []
    assert set(re.findall(r"https?://[^\s\"'<>]+", page)) <= {
        "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink",
    }  # fmt: skip
    for tag, attributes in tags.seen:
        assert tag not in ("script", "link", "img", "iframe", "object", "base"), tag
        assert "src" not in attributes
        assert all((attributes.get(key) or "#").startswith("#") for key in ("href", "xlink:href"))
    assert not re.search(r"@import|url\((?!#)", page)
    assert "beware of &lt;b&gt;dogs&lt;/b&gt; &amp; cats." in page
    assert "a|b &lt;i&gt;" in page
    assert "<i>" not in page
    assert page.count("<svg") == 5


def test_the_figures_stand_alone(out: Path) -> None:
    names = sorted(path.name for path in (out / "figures").iterdir())
    assert names == [
        "detection-error-tradeoff--a-b--i.svg", "detection-error-tradeoff--ours.svg",
        "protection-against-visibility.svg", "scores--a-b--i.svg", "scores--ours.svg",
    ]  # fmt: skip
    markdown = (out / "report.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"\]\(figures/(.*?)\)", markdown)) == names
    for name in names:
        ElementTree.parse(out / "figures" / name)


def test_equal_findings_make_equal_files(sets: list[Protected], out: Path, tmp_path: Path) -> None:
    report.write(tmp_path, sets, ["ours: beware of <b>dogs</b> & cats."], FACTS, 12.3)
    for path in (p for p in out.rglob("*") if p.is_file()):
        assert (tmp_path / path.relative_to(out)).read_bytes() == path.read_bytes(), path.name
    assert not list(tmp_path.rglob(".*"))


def test_every_trial_is_in_the_parquet(sets: list[Protected], out: Path) -> None:
    table = pq.read_table(out / "trials.parquet")
    assert set(table.column_names) == COLUMNS
    assert table.num_rows == 2 * 2 * len(CONDITIONS) * 39
    rows = table.to_pylist()
    assert len({(r["set"], r["juror"], r["condition"], r["photo"]) for r in rows}) == len(rows)
    alone = [r for r in rows if r["photo"] == "p019/38"]
    assert len(alone) == 2 * 2 * len(CONDITIONS)
    for row in alone:  # nothing to compare it with: no number pretends to be a score
        assert row["mates"] == 0
        assert all(row[k] is None for k in ("clean_mate", "protected_mate", "clean_rank", "protected_rank"))
        assert -1 <= row["clean_other"] <= 1.0001
    assert all(row["mates"] == 1 for row in rows if row["photo"] != "p019/38")


def test_the_summary_follows_from_the_trials(out: Path) -> None:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    summary = json.loads((out / "summary.json").read_text(), parse_constant=refuse)
    rows = pq.read_table(out / "trials.parquet").to_pylist()
    count = 0
    for name, one in summary["sets"].items():
        assert (one["photos"], one["people"], one["gallery"]) == (39, 20, 39)
        for fmr, conditions in one["protection"].items():
            for condition, jurors in conditions.items():
                for juror_name, found in jurors.items():
                    chosen = [
                        r for r in rows
                        if (r["set"], r["condition"], r["juror"]) == (name, condition, juror_name) and r["mates"]
                        and r["clean_mate"] >= r[f"threshold_{fmr}"]
                    ]  # fmt: skip
                    gone = [r["protected_mate"] < r[f"threshold_{fmr}"] for r in chosen]
                    assert found["trials"] == len(chosen)
                    assert found["people"] == len({r["person"] for r in chosen})
                    assert found["value"] == pytest.approx(np.mean(gone))
                    assert {r["held_out"] for r in chosen} == {found["held_out"]}
                    count += 1
    assert count == 2 * 2 * len(CONDITIONS) * 2
    assert summary["sets"]["ours"]["surrogates"] == {}
    assert list(summary["sets"]["a|b <i>"]["surrogates"]) == ["maker"]
    assert summary["sets"]["a|b <i>"]["quality"]["psnr"] == 30
    assert summary["warnings"] == ["ours: beware of <b>dogs</b> & cats."]
    assert summary["jury"] == FACTS["jury"]


def test_a_folder_that_cannot_be_written(sets: list[Protected], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match=r"The folder .*file/report could not be made: .*; choose another"):
        report.write(tmp_path / "file/report", sets[:1], [], FACTS, 12.3)


@pytest.mark.parametrize("missing", ["pyarrow", "matplotlib"])
def test_without_the_extra(missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sets: Sequence[Any]) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtraError, match=r"audit of a collection needs .*: pip install 'visard\[report\]'"):
        report.write(tmp_path / "out", sets, [], FACTS, 12.3)
    assert not (tmp_path / "out").exists()
