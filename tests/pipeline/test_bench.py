"""The bench: what it protects and judges, what it does not do twice, and its figures against those by hand."""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from crowd import at, crowd, juror, protected
from rig import save
from visard import photo
from visard.audit import collection
from visard.audit.sight import CONDITIONS
from visard.cli.arguments import settings
from visard.cloak import find
from visard.cloak.methods.lowkey import LPIPS_FILE
from visard.errors import AuditError, CalibrationError, PhotoError, SettingError, WeightsError
from visard.face import aligned_crop
from visard.measure import clopper_pearson
from visard.measure.inception import OUTPUTS, Inception
from visard.measure.perceptual import LPIPS
from visard.pipeline import batch
from visard.pipeline.bench import Bench, Result, Run, inception_network, lens, run_bench
from visard.pipeline.bench_report import (
    conditions,
    difference,
    figures,
    headline,
    mean_protection,
    opponents,
    parquet,
    sentences,
    write,
)
from visard.recognizer import Recognizer

FMR = 1e-3
SURROGATE = juror("maker")
PEOPLE = ("a", "a", "b", "b", "b")
CLEAN = (0.0, 10.0, 90.0, 100.0, 200.0)


def run(text: str) -> Run:
    name, *pairs = text.split()
    return Run(text, find(name), settings(pairs))


def bench(people: Path, out: Path, *runs: str, **changes: Any) -> Bench:
    given = {"surrogates": (SURROGATE,), "lens": lens([juror()], aligned_crop, "aligned"), **changes}
    return Bench(tuple(map(run, runs or ("box", "noise eps=0.1"))), people, out, **given)


def result(
    text: str,
    after: Sequence[float],
    *,
    before: Sequence[float] = CLEAN,
    people: Sequence[str] = PEOPLE,
    jury: Sequence[Recognizer] = (),
    ssim: float = 0.9,
) -> Result:
    one = protected(list(people), at(*before), at(*after), jury, name=text, surrogates=(SURROGATE.card,))
    one.seen.quality["ssim"][:] = ssim
    return Result(run(text), one, np.arange(len(people)) / 10)


def rows(*results: Result) -> list[dict[str, Any]]:
    return pq.read_table(io.BytesIO(parquet(results, FMR))).to_pylist()


# figures by hand


def test_every_trial_is_a_row() -> None:
    # a: the first stays within 60 degrees of the mate at 10, the second leaves the mate at 0; b: the first leaves the
    # mate at 100 and meets the one at 200, the second leaves both, the third matched nobody when it was clean
    ours = result("bim eps=6/255", [50, 75, 170, 25, 0])
    other = result("box", CLEAN)
    found = rows(ours, other)
    assert len(found) == 2 * len(CONDITIONS) * 5
    assert len({(r["run"], r["condition"], r["photo"]) for r in found}) == len(found)
    saved = [r for r in found if r["condition"] == "as saved" and r["run"] == "bim eps=6/255"]
    assert [r["photo"] for r in saved] == ["a/0", "a/1", "b/2", "b/3", "b/4"]
    assert [r["counted"] for r in saved] == [True, True, True, True, False]
    assert [r["protected"] for r in saved] == [False, True, False, True, True]
    degrees = [40, 75, 30, 65, 90]
    assert [r["protected_score"] for r in saved] == pytest.approx(
        [math.cos(math.radians(d)) for d in degrees], abs=1e-5
    )
    degrees = [10, 10, 10, 10, 100]
    assert [r["clean_score"] for r in saved] == pytest.approx([math.cos(math.radians(d)) for d in degrees], abs=1e-5)
    first = saved[0]
    assert {k: first[k] for k in ("method", "juror", "fmr", "threshold", "person", "ssim", "lpips")} == {
        "method": "bim", "juror": "colors", "fmr": FMR, "threshold": 0.5, "person": "a", "ssim": 0.9, "lpips": None,
    }  # fmt: skip
    assert '"eps": 0.0235' in first["settings"]
    assert first["surrogates"] == '{"maker": "maker"}'
    assert [r["cloak_seconds_per_face"] for r in saved] == [0, 0.1, 0.2, 0.3, 0.4]
    # the other run changed nothing
    assert not any(r["protected"] and r["counted"] for r in found if r["run"] == "box")


def test_a_photo_without_a_mate_has_no_score() -> None:
    found = rows(result("box", (0, 10, 90), before=(0, 10, 90), people=("a", "a", "b")))
    alone = [r for r in found if r["person"] == "b"]
    assert {(r["clean_score"], r["protected_score"], r["counted"], r["protected"]) for r in alone} == {
        (None, None, False, None)
    }


def test_the_mean_over_jurors_and_its_interval() -> None:
    # `far` matches up to 78 degrees: of a it still knows both, of b the second is out of its reach too
    jury = (juror(), juror("far", near=0.2))
    ours = result("box", [50, 75, 170, 10, 0], jury=jury)
    found = mean_protection(ours, "as saved", FMR)
    assert found is not None
    assert found.value == pytest.approx((2 / 4 + 1 / 4) / 2)
    # draws of two people are both, a alone (1/2, 0/2) or b alone (1/2, 1/2)
    assert (found.low, found.high) == pytest.approx((1 / 4, 1 / 2))
    assert (found.trials, found.people) == (4, 2)
    (row,) = headline([ours], FMR).rows
    assert row == ("box", "0.900", "1.500", "0.800", "38 % [25, 50] n=4", "25 % [0, 50] n=4", "0.20")
    (row,) = conditions([ours], FMR).rows
    assert row == ("box", *["38 % [25, 50] / 25 % [0, 50] n=4"] * (len(CONDITIONS) - 1))


def test_figures_join_the_runs_of_a_method() -> None:
    runs = ("visard ssim=0.96", "bim eps=4/255", "visard", "bim eps=8/255")
    drawn = figures([result(name, CLEAN, ssim=0.9 + i / 100) for i, name in enumerate(runs)], FMR)
    svg = drawn["pareto-ssim"]
    for text in ("visard", "bim", "ssim=0.96", "default", "eps=4/255", "eps=8/255", "SSIM, 160 px crop"):
        assert svg.count(f"<!-- {text} -->") == 1


def test_people_who_agree_are_counted_as_trials() -> None:
    found = mean_protection(result("box", CLEAN), "as saved", FMR)
    assert found is not None
    assert (found.value, found.low, found.high) == (0, *clopper_pearson(0, 2))


def test_a_jury_that_knew_nobody_has_no_say() -> None:
    ours = result("box", CLEAN, jury=[juror(near=2.0)])
    assert mean_protection(ours, "as saved", FMR) is None
    assert difference(ours, ours, FMR) is None
    assert headline([ours], FMR).rows[0][-3:-1] == ("–", "–")
    assert sentences([ours, result("noise", CLEAN, jury=[juror(near=2.0)])], FMR) == []
    assert figures([ours], FMR) == {}


def test_a_juror_that_knew_only_one_person() -> None:
    # `near` knows a's pair at 10 degrees and not b's at 40: a draw without a has no rate of it
    jury = (juror(), juror("near", near=0.9))
    ours = result("box", [0, 10, 250, 250], before=[0, 10, 90, 130], people="aabb", jury=jury)
    found = mean_protection(ours, "as saved", FMR)
    assert found is not None
    assert found.value == pytest.approx((2 / 4 + 0 / 2) / 2)
    assert (found.low, found.high) == (0, 1)


def test_the_paired_difference_is_that_of_every_draw() -> None:
    people, rng = "aabbccddd", np.random.default_rng(5)
    clean = [0, 10, 90, 100, 180, 190, 270, 280, 40]  # nobody knew the last, whose verdicts differ
    moves = rng.choice([0.0, 40.0, 75.0], (2, len(people)))  # from near the mate to out of its reach
    moves[:, -1] = 75, 240
    jury = (juror(), juror("far", near=0.2))
    a, b = (result(name, clean + move, before=clean, people=people, jury=jury) for name, move in
            zip(("bim", "box"), moves, strict=True))  # fmt: skip
    found = difference(a, b, FMR)
    assert found is not None

    def mean(one: Result, chosen: Sequence[int]) -> float:
        shares = []
        for name, threshold in (("colors", 0.5), ("far", 0.2)):
            trials = one.photos.trials[name, "as saved"]
            numbers = [2 * p + i for p in chosen for i in (0, 1)]
            shares.append(np.mean([trials.protected_mate[n] < threshold for n in numbers]))
        return float(np.mean(shares))

    assert found.value == pytest.approx(mean(a, range(4)) - mean(b, range(4)))
    drawn = np.random.default_rng(0).integers(4, size=(1000, 4))
    expected = np.percentile([mean(a, row) - mean(b, row) for row in drawn], [2.5, 97.5])
    assert (found.low, found.high) == pytest.approx(tuple(expected))
    assert found.high > found.low


def test_a_difference_in_which_all_agree_is_not_certain() -> None:
    out, same = result("bim", [100, 100, 0, 0, 0]), result("box", CLEAN)
    found = difference(out, same, FMR)
    unseen = clopper_pearson(0, 2)[1]
    assert found == pytest.approx((1, 1 - unseen, 1))
    assert difference(same, same, FMR) == pytest.approx((0, -unseen, unseen))


def test_a_run_meets_the_nearest_that_is_seen_no_more() -> None:
    ours = [result(f"visard ssim={s}", CLEAN, ssim=s) for s in (0.96, 0.985, 0.975)]
    others = [result(f"bim eps={i}/255", [100, 100, 0, 0, 0], ssim=s) for i, s in ((8, 0.95), (6, 0.975), (4, 0.99))]
    pairs = opponents([*ours, *others])
    assert [(a.run.name if a else None, b.run.name) for a, b in pairs] == [
        ("visard ssim=0.96", "bim eps=8/255"),
        ("visard ssim=0.975", "bim eps=6/255"),
        (None, "bim eps=4/255"),
    ]
    unseen = round(100 * clopper_pearson(0, 2)[1])
    assert sentences([*ours, *others], FMR) == [
        f"visard ssim=0.96 against bim eps=8/255: -100 points [-100, {unseen - 100}], SSIM .960 against .950",
        f"visard ssim=0.975 against bim eps=6/255: -100 points [-100, {unseen - 100}], SSIM .975 against .975",
        "no run of visard is as little seen as bim eps=4/255, SSIM .990",
    ]


# from photos


def test_from_photos_to_tables(tmp_path: Path) -> None:
    people = crowd(tmp_path / "photos", 3, 3)
    task = bench(people, tmp_path / "out", "box", "noise eps=0.02", "noise eps=0.3", most=2)
    heard: list[tuple[str, float, float]] = []
    results, doubts = run_bench(task, lambda *words: heard.append(words))
    assert {what for what, _, _ in heard} >= {"box", "noise eps=0.3", "judging gallery", "judging box"}
    assert all(done <= total for _, done, total in heard)
    assert doubts == ["every set: 3 people are few: the intervals say how little that proves."]
    for one in results:
        assert one.photos.seen.keys.tolist() == [f"p{i}/{j}" for i in range(3) for j in range(2)]
        assert len(one.photos.gallery.people) == 9  # all other photos of the person are mates
        assert set(one.photos.trials["colors", "as saved"].mates) == {2}
        assert [c.name for c in one.photos.surrogates or ()] == ["maker"]
        assert (one.seconds >= 0).all()
    # the figures are those of the files
    saved = photo.read(tmp_path / "out/protected/noise eps=0.3/p1/0.png").pixels
    clean = photo.read(people / "p1/0.png").pixels
    assert not np.array_equal(saved, clean)
    noisy = results[2].photos.seen.quality["ssim"]
    assert noisy.mean() < results[1].photos.seen.quality["ssim"].mean() < 1
    table, compared = write(task, results, doubts)
    assert [row[0] for row in table.rows] == ["box", "noise eps=0.02", "noise eps=0.3"]
    assert len(compared) == 2
    found = pq.read_table(tmp_path / "out/bench.parquet")
    assert found.num_rows == 3 * 6 * 1 * len(CONDITIONS)
    text = (tmp_path / "out/bench.md").read_text()
    for words in ("# Bench", "## As saved", "## At equal visibility", "| box |", "JPEG 50", doubts[0], *compared):
        assert words in text
    assert str(tmp_path) not in text
    drawn = sorted(p.name for p in (tmp_path / "out/figures").iterdir())
    assert drawn == ["pareto-ciede2000.svg", "pareto-ssim.svg", "pareto-visibility.svg"]
    assert (tmp_path / "out/figures/pareto-ssim.svg").read_text().startswith("<svg")


def test_a_face_painted_over_is_protected_and_an_untouched_one_is_not(tmp_path: Path) -> None:
    people = crowd(tmp_path / "photos", 3, 3)
    results, _ = run_bench(bench(people, tmp_path / "out", "pixelate block=112", "noise eps=0"))
    painted, untouched = (mean_protection(one, "as saved", FMR) for one in results)
    assert painted is not None
    assert untouched is not None
    assert (painted.value, untouched.value) == (1, 0)
    assert painted.trials == untouched.trials == 9
    assert results[1].photos.seen.quality["ssim"].tolist() == [1] * 9


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Path]]:
    """The photos that are protected, and how often a jury looks."""
    done: dict[str, list[Path]] = {"protect": [], "look": []}
    finish, look = batch.finish, collection.embed_views

    def finishing(opened: Any, *rest: Any) -> Any:
        if len(done["protect"]) == done.get("stop", math.inf):
            raise KeyboardInterrupt
        outcome = finish(opened, *rest)
        done["protect"].append(opened.output)
        return outcome

    def looking(*given: Any) -> Any:
        if len(done["look"]) == done.get("stop looking", math.inf):
            raise KeyboardInterrupt
        done["look"].append(Path())
        return look(*given)

    monkeypatch.setattr(batch, "finish", finishing)
    monkeypatch.setattr(collection, "embed_views", looking)
    return done


def test_an_interrupted_bench_goes_on(tmp_path: Path, counted: dict[str, Any]) -> None:
    people = crowd(tmp_path / "photos", 2, 2)
    task = bench(people, tmp_path / "out")
    counted["stop"] = 5  # within the second run
    with pytest.raises(KeyboardInterrupt):
        run_bench(task)
    del counted["stop"]
    counted["stop looking"] = 3
    with pytest.raises(KeyboardInterrupt):
        run_bench(task)
    del counted["stop looking"]
    first, _ = run_bench(task)
    outputs = [tmp_path / f"out/protected/{n}/p{i}/{j}.png" for n in ("box", "noise eps=0.1") for i in (0, 1)
               for j in (0, 1)]  # fmt: skip
    assert counted["protect"] == outputs
    assert len(counted["look"]) == 4 + 2 * 4  # each photo before and after, once
    again, _ = run_bench(task)
    assert (len(counted["protect"]), len(counted["look"])) == (8, 12)
    assert parquet(again, FMR) == parquet(first, FMR)
    # one run more, and only that is done
    run_bench(bench(people, tmp_path / "out", "box", "pixelate", "noise eps=0.1"))
    assert (len(counted["protect"]), len(counted["look"])) == (12, 16)


def test_a_changed_plan_is_done_anew(tmp_path: Path, counted: dict[str, Any]) -> None:
    people = crowd(tmp_path / "photos", 2, 2)
    run_bench(bench(people, tmp_path / "out"))
    before = (tmp_path / "out/protected/noise eps=0.1/p0/0.png").read_bytes()
    results, doubts = run_bench(bench(people, tmp_path / "out", seed=1))
    assert (tmp_path / "out/protected/noise eps=0.1/p0/0.png").read_bytes() != before
    assert len(counted["protect"]) == 16
    assert len(results[0].photos.seen.people) == 4
    assert not [text for text in doubts if "left out" in text]
    # other thresholds make no other photos
    run_bench(bench(people, tmp_path / "out", seed=1, fmr=1e-2))
    assert len(counted["protect"]) == 16
    # and fewer photos are not judged with what is left of more
    results, _ = run_bench(bench(people, tmp_path / "out", seed=1, most=1))
    assert [one.photos.seen.keys.tolist() for one in results] == [["p0/0", "p1/0"]] * 2
    assert len(counted["protect"]) == 16


def test_a_photo_that_one_run_lacks_counts_in_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    people = crowd(tmp_path / "photos", 2, 2)
    (people / "p9").mkdir()
    save(people / "p9/0.png", photo.read(people / "p0/0.png").pixels)
    run_bench(bench(people, tmp_path / "out"))  # whose results lie there
    opened = batch.open_photo

    def failing(source: Path, output: Path, *rest: Any) -> Any:
        if output.parts[-3:] == ("box", "p1", "1.png"):
            raise PhotoError(f"{source} is broken.")
        return opened(source, output, *rest)

    monkeypatch.setattr(batch, "open_photo", failing)
    results, doubts = run_bench(bench(people, tmp_path / "out", seed=1))
    assert [one.photos.seen.keys.tolist() for one in results] == [["p0/0", "p0/1", "p1/0"]] * 2
    assert doubts[0] == "1 people have one photo only, with nothing to compare it with: they are left out."
    assert doubts[1] == "1 photos were left out of every run, the first: box: p1/1.png is broken."
    assert results[0].photos.gallery.people.tolist().count("p1") == 2  # clean it can be compared with


def test_a_run_that_protects_nothing_ends_the_bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    people = crowd(tmp_path / "photos", 2, 2)

    def failing(source: Path, *rest: Any) -> Any:
        raise PhotoError(f"{source} is broken.")

    monkeypatch.setattr(batch, "open_photo", failing)
    with pytest.raises(AuditError, match=r"No photo was protected in every run; the first reason: box: .*is broken"):
        run_bench(bench(people, tmp_path / "out"))


def test_lpips_where_its_weights_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISARD_HOME", str(tmp_path))
    assert "lpips" not in lens([juror()], aligned_crop, "aligned").qualities
    model = LPIPS()
    places = (0, 3, 6, 8, 10)
    weights = {
        **{f"features.{p}.weight": c.weight for p, c in zip(places, model.convs, strict=True)},
        **{f"features.{p}.bias": c.bias for p, c in zip(places, model.convs, strict=True)},
        **{f"lin{i}.model.1.weight": c.weight.abs() for i, c in enumerate(model.lins)},
    }
    save_file({k: v.detach().contiguous() for k, v in weights.items()}, tmp_path / LPIPS_FILE)
    people = crowd(tmp_path / "photos", 2, 2)
    task = bench(people, tmp_path / "out", "noise eps=0", "noise eps=0.2")
    results, _ = run_bench(task)
    same, noisy = (one.photos.seen.quality["lpips"] for one in results)
    assert same == pytest.approx(0)
    assert (noisy > 0).all()
    assert "LPIPS" in headline(results, FMR).header
    assert "pareto-lpips" in figures(results, FMR)
    assert [r["lpips"] for r in rows(*results) if r["condition"] == "as saved"] == pytest.approx([*same, *noisy])


def test_inception_where_its_weights_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISARD_HOME", str(tmp_path))
    assert inception_network() is None
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in Inception("FID").state_dict().items()}
    # of expanded tensors a file holds one number
    weights = {name: torch.zeros(()).expand(shape) for name, shape in (shapes | {"fc.weight": (1008, OUTPUTS)}).items()}
    torch.save(weights, tmp_path / "inception-v3.pth")
    found = inception_network()
    assert found is not None
    assert found.variant == "FID"
    (tmp_path / "inception-v3.safetensors").write_bytes(b"none")
    with pytest.raises(WeightsError, match=r"inception-v3\.safetensors is no safetensors file"):
        inception_network()


# what cannot be compared


def test_what_cannot_be_compared_is_said_before_any_work(tmp_path: Path) -> None:
    people, out = crowd(tmp_path / "photos", 2, 2), tmp_path / "out"
    single, alone = crowd(tmp_path / "single", 1, 3), crowd(tmp_path / "alone", 3, 1)
    mistakes = [
        (SettingError, 'The run "noise  eps=0.1" is given twice', (people, out, "noise eps=0.1", "noise  eps=0.1"), {}),
        (SettingError, r'"box shade=0" is given twice \(as "box"\)', (people, out, "box", "box shade=0"), {}),
        (SettingError, 'box has no setting "shad"', (people, out, "box shad=0"), {}),
        (SettingError, "tip-im steers toward another person", (people, out, "box", "tip-im"), {}),
        (SettingError, "No juror is left", (people, out), {"lens": lens([], aligned_crop, "aligned")}),
        (CalibrationError, "colors has no threshold at FMR 0.0001", (people, out), {"fmr": 1e-4}),
        (SettingError, "photos/x lies among the photos", (people, people / "x"), {}),
        (SettingError, "out lies among the photos", (out / "protected/box", out), {}),
        (SettingError, "0.png is a file", (people, people / "p0/0.png"), {}),
        (AuditError, "photos of one person only", (single, out), {}),
        (AuditError, "Nobody in .* has two photos", (alone, out), {}),
        (PhotoError, "could not be read", (tmp_path / "no", out), {}),
    ]
    for error, words, given, changes in mistakes:
        with pytest.raises(error, match=words):
            bench(*given, **changes)
    with pytest.raises(SettingError, match="There is nothing to compare; name a run with --run"):
        Bench((), people, out, (SURROGATE,), lens([juror()], aligned_crop, "aligned"))
    save(people / "p0/0.jpg", photo.read(people / "p0/0.png").pixels)
    with pytest.raises(AuditError, match="have one name; keep one of them"):
        bench(people, out)
    assert not out.exists()
