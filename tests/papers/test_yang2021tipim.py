"""TIP-IM's study: the print, who is on which photo, the search, the effects on made people, and going on."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typer.testing import CliRunner

from crowd import juror
from rig import save
from visard.cli.commands import app
from visard.errors import AuditError, SettingError
from visard.face import aligned_crop
from visard.measure import rank_n_t, rank_n_ut
from visard.papers import find_paper
from visard.papers import yang2021tipim as tipim
from visard.papers.cast import cast
from visard.papers.report import run_study
from visard.papers.rows import mean, where
from visard.papers.study import Row, Study
from visard.papers.yang2021tipim import experiment, tables
from visard.papers.yang2021tipim.experiment import PARTS, Scene, Size
from visard.recognizer import Recognizer

SMALL = Size(
    probes=4, targets=2, others=3, steps=6, batch=2, sweep_probes=4, sweep_steps=6,
    sums=(0, 0.007, 0.1, 0.96, 2.5), means=(0.005, 0.007, 0.1),
)  # fmt: skip


class Channels(nn.Module):
    """Sees the colors of some channels."""

    def __init__(self, *channels: int) -> None:
        super().__init__()
        self.channels = list(channels)

    def forward(self, faces: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(faces[:, self.channels], 8).flatten(1) - 0.5


def players() -> dict[str, Recognizer]:
    """One sees all three channels, the others red and blue alone: their cloaks are nothing to each other."""
    networks = {"all": Channels(0, 1, 2), "red": Channels(0), "blue": Channels(2)}
    return dict(zip(PARTS, (juror(name, network) for name, network in networks.items()), strict=True))


def people(folder: Path, count: int, each: int = 2, first: int = 0) -> Path:
    """Aligned crops of people whose faint colors tell them apart: a cloak of 12/255 reaches any of them."""
    for i in range(first, first + count):
        person = np.random.default_rng([1, i]).normal(0, 0.025, (8, 8, 3))
        (folder / f"p{i:02}").mkdir(parents=True)
        for j in range(each):
            colors = 0.5 + person + np.random.default_rng([2, i, j]).normal(0, 0.01, (8, 8, 3))
            pixels = (255 * np.clip(colors, 0, 1)).astype(np.uint8)
            save(folder / f"p{i:02}/{j}.png", pixels.repeat(14, axis=0).repeat(14, axis=1))
    return folder


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tipim, "QUICK", SMALL)
    monkeypatch.setattr(tipim, "cast", lambda *_more: players())


def study(folder: Path, data: Path, **changes: Any) -> Study:
    return Study(tipim.PAPER, data, folder / "out", aligned_crop, "aligned", quick=True, **changes)


def scene(folder: Path, data: Path, size: Size = SMALL) -> Scene:
    return Scene(study(folder, data), size, players())


# the print


def test_the_print_is_whole_and_fits_itself() -> None:
    printed = find_paper("yang2021tipim").printed
    matrix = {key: value for key, value in printed.items() if key[0] == "matrix"}
    pairs = {f"{a} -> {b}" for a in PARTS for b in PARTS}
    assert set(matrix) == {("matrix", pair, metric) for pair in pairs for metric in tables.METRICS}
    assert all(round(value * 50, 6) == round(value * 50) for value in matrix.values())  # of 50 probes
    for pair in pairs:
        r1t, r5t, r1ut, r5ut = (matrix["matrix", pair, metric] for metric in tables.METRICS)
        assert r1t <= r5t
        assert r5ut <= r1ut
    assert printed["matrix", "CosFace -> SphereFace", "Rank-1-UT"] == 0.84
    assert {printed["gamma", "0.1", metric] for metric in ("Rank-1-UT", "Rank-5-UT")} == {0}


def test_the_erratum_shows_in_the_print_and_not_in_a_mended_one() -> None:
    (erratum,) = tipim.PAPER.errata
    printed = dict(tipim.PAPER.printed)
    assert erratum.shows(printed)
    printed["matrix", "CosFace -> ArcFace", "Rank-1-UT"] = 0.24
    assert not erratum.shows(printed)


# who is on which photo


def by_role(rows: list[Row]) -> dict[str, list[str]]:
    return {role: [r["person"] for r in rows if r["role"] == role] for role in ("probe", "mate", "target", "other")}


def test_people_are_every_kth_and_nobody_has_two_roles(tmp_path: Path) -> None:
    rows = experiment.chosen_people(scene(tmp_path, people(tmp_path / "data", 12)))
    roles = by_role(rows)
    assert roles["probe"] == roles["mate"] == ["p00", "p03", "p06", "p09"]
    assert (len(roles["target"]), len(roles["other"])) == (2, 3)
    assert len({*roles["probe"], *roles["target"], *roles["other"]}) == 4 + 2 + 3
    photos = {row["role"]: row["photo"] for row in rows if row["person"] == "p03"}
    assert photos == {"probe": "p03/0.png", "mate": "p03/1.png"}


def test_who_shows_no_face_gives_way_to_the_next(tmp_path: Path) -> None:
    data = people(tmp_path / "data", 12)
    save(data / "p03/1.png", np.zeros((50, 50, 3), np.uint8))  # too small for an aligned crop
    assert by_role(experiment.chosen_people(scene(tmp_path, data)))["probe"] == ["p00", "p04", "p06", "p09"]


def test_people_of_role_test_alone_where_roles_are_known(tmp_path: Path) -> None:
    data = people(tmp_path / "data", 24)
    lines = [f"p{i:02}/0.png,p{i:02},{'test' if i % 2 else 'calibration'}" for i in range(24)]
    (data / "meta.csv").write_text("\n".join(["path,person,role", *lines]))
    rows = experiment.chosen_people(scene(tmp_path, data))
    assert {int(row["person"][1:]) % 2 for row in rows} == {1}
    (data / "meta.csv").write_text("something,else\n1,2\n")  # not such a file
    assert by_role(experiment.chosen_people(scene(tmp_path, data)))["probe"] == ["p00", "p06", "p12", "p18"]


def test_lfw_is_taken_before_larger_ones(tmp_path: Path) -> None:
    people(tmp_path / "all/more", 20)
    for folder in people(tmp_path / "all/lfw", 12).iterdir():
        for photo in folder.iterdir():
            photo.rename(folder / f"{folder.name}_{int(photo.stem) + 1:04}.png")
    rows = experiment.chosen_people(scene(tmp_path, tmp_path / "all"))
    assert rows[0]["photo"] == "lfw/p00/p00_0001.png"


@pytest.mark.parametrize(("count", "each"), [(3, 2), (9, 1), (5, 2)])
def test_too_few_people_are_refused(tmp_path: Path, count: int, each: int) -> None:
    data = people(tmp_path / "data", count, each)
    with pytest.raises(AuditError, match=r"needs 4 and 2 others, with faces that are found: give a larger dataset"):
        experiment.chosen_people(scene(tmp_path, data))


# who plays what


def played(chosen: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    monkeypatch.setenv("VISARD_HOME", str(tmp_path / "home"))
    data = people(tmp_path / "data", 2)
    return [one.name for one in cast(study(tmp_path, data, chosen=chosen), PARTS, tipim.STAND_INS).values()]


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        ({}, ["dlib-resnet", "visard-resnet", "visard-vgg"]),
        ({"SphereFace": "dlib-resnet"}, ["visard-resnet", "visard-vgg", "dlib-resnet"]),
        ({"CosFace": "visard-vgg"}, ["dlib-resnet", "visard-vgg", "visard-resnet"]),
    ],
)
def test_three_different_recognizers_play(
    chosen: dict[str, str], names: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert played(chosen, monkeypatch, tmp_path) == names


def test_one_recognizer_cannot_play_two_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="visard-vgg plays both ArcFace and CosFace; name two"):
        played({"ArcFace": "visard-vgg", "CosFace": "visard-vgg"}, monkeypatch, tmp_path)


# the search


def test_ranks_are_those_of_the_measures(tmp_path: Path) -> None:
    some = scene(tmp_path, people(tmp_path / "data", 12))
    for part, player in some.parts.items():
        rows = [{f"clean_{k}": v for k, v in some.clean[part][path].items()} for path in some.probes]
        pixels = torch.stack([torch.from_numpy(some.view(p)[0]).permute(2, 0, 1).float() / 255 for p in some.probes])
        scores = player.embed(pixels) @ some.gallery[part].T
        names = [some.person[path] for path in some.probes]
        for n in (1, 5):
            t, ut = (float(np.mean(tables.hits(rows, f"Rank-{n}-{kind}", clean=True))) for kind in ("T", "UT"))
            assert t == pytest.approx(rank_n_t(scores, ["a target"] * 4, some.searched, n))
            assert ut == pytest.approx(rank_n_ut(scores, names, some.searched, n))
        own = [float(scores[i, some.searched.index(name)]) for i, name in enumerate(names)]
        assert [row["clean_mate"] for row in rows] == pytest.approx(own, abs=1e-5)


# the run


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A study's folder and its data."""
    folder = tmp_path_factory.mktemp("study")
    data = people(folder / "data", 12)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tipim, "QUICK", SMALL)
        patch.setattr(tipim, "cast", lambda *_more: players())
        run_study(study(folder, data))
    return folder, data


def rows_of(done: tuple[Path, Path], kind: str) -> list[Row]:
    folder, data = done
    some = scene(folder, data)
    return experiment.matrix_rows(some) if kind == "matrix" else experiment.sweep_rows(some)


def unused(*_args: Any, **_settings: Any) -> Any:
    raise AssertionError("computed again")


def test_a_cloak_hides_from_its_maker_and_not_from_who_sees_other_colors(
    done: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiment, "trials", unused)
    rows = rows_of(done, "matrix")
    assert len(rows) == 3 * 3 * 4

    def value(surrogate: str, judge: str, metric: str, **options: Any) -> float:
        return float(np.mean(tables.hits(where(rows, surrogate=surrogate, judge=judge), metric, **options)))

    for part in PARTS:
        assert (value(part, part, "Rank-1-T"), value(part, part, "Rank-1-UT")) == (1, 1)
        assert (value(part, part, "Rank-1-T", clean=True), value(part, part, "Rank-1-UT", clean=True)) == (0, 0)
    assert value("CosFace", "SphereFace", "Rank-1-UT") == 0
    assert value("ArcFace", "SphereFace", "Rank-1-UT") == 1  # all channels hold blue
    for row in rows:
        assert row["mate"] < row["clean_mate"] or row["surrogate"] != row["judge"]
        assert 26 < row["psnr"] < 40


def test_a_gamma_of_the_mean_is_that_times_the_dimensions_of_the_sum(done: tuple[Path, Path]) -> None:
    rows = where(rows_of(done, "sweep"), judge="ArcFace")

    def psnr(reduction: str, gamma: float) -> float:
        return mean(where(rows, reduction=reduction, gamma=gamma), "psnr")

    assert {row["as_sum"] for row in where(rows, reduction="mean", gamma=0.005)} == {0.96}  # 192 dimensions
    assert psnr("mean", 0.005) == pytest.approx(psnr("sum", 0.96), abs=1e-3)
    assert psnr("mean", 0.1) > psnr("sum", 0.96) + 1 > psnr("sum", 0.007) + 1


def test_the_report_says_what_plays_what_and_shows_the_puzzle(done: tuple[Path, Path]) -> None:
    folder, _ = done
    text = (folder / "out/report.md").read_text()
    first = text.splitlines()[2]
    assert first.startswith("data plays LFW: 4 people with two photos each")
    assert all(f"{name} plays {part}" in first for name, part in zip(("all", "red", "blue"), PARTS, strict=True))
    assert "(printed 98)" in text
    assert "; clean 0 %" in text
    assert "| shown |" in text
    assert (folder / "out/figures/the-puzzle-of-gamma.svg").is_file()
    assert re.search(r"\| 0\.1 \| mean \| 19\.2 .*\(printed 0\)", text)
    assert re.search(r"\| 0\.1 \| sum ", text)
    assert not re.search(r"\| 0\.1 \| sum .*\(printed", text)  # the reproduction's gammas are the mean's
    assert re.search(r"\| ArcFace \(all\) \| ArcFace \(all\) \| \*\(100 %", text)  # gray: the maker judges itself
    assert re.search(r"\| ArcFace \(all\) \| CosFace \(red\) \| 100 %", text)


def test_a_second_run_computes_nothing(
    done: tuple[Path, Path], small: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder, data = done
    before = {path.name: path.read_bytes() for path in (folder / "out").iterdir() if path.is_file()}
    for name in ("trials", "chosen_people", "embed_views"):
        monkeypatch.setattr(experiment, name, unused)
    run_study(study(folder, data))
    assert {path.name: path.read_bytes() for path in (folder / "out").iterdir() if path.is_file()} == before


# claims, of made rows


def made(gamma: float, reduction: str, hidden: int, psnr: float, mate: float) -> list[Row]:
    """Ten probes, of whom `hidden` are not found first."""
    return [
        {
            "person": f"p{i}", "surrogate": "ArcFace", "judge": "ArcFace", "gamma": gamma, "reduction": reduction,
            "as_sum": gamma * (512 if reduction == "mean" else 1), "psnr": psnr + i / 10, "mate": mate + i / 100,
            "clean_mate": 0.8, "threshold": 0.5, "mate_rank": 2 if i < hidden else 1, "clean_mate_rank": 1,
            "target_rank": 1 if i < hidden else 2, "clean_target_rank": 9,
        }
        for i in range(10)
    ]  # fmt: skip


def sweep(of_mean: int = 3) -> list[Row]:
    sums = [(0.0, 10, 30, 0.1), (0.007, 10, 30, 0.1), (2.5, 8, 36, 0.3), (3.6, of_mean, 38, 0.5)]
    return [row for run in sums for row in made(run[0], "sum", *run[1:])] + made(0.007, "mean", of_mean, 38, 0.5)


@pytest.mark.parametrize(("of_mean", "destroyed"), [(3, True), (5, True), (6, False)])
def test_gamma_destroys_where_half_is_lost(of_mean: int, destroyed: bool) -> None:
    rows = sweep(of_mean)
    mean, total = (tables._destroys(rows, kind) for kind in ("mean", "sum"))
    assert (mean.holds, total.holds) == (destroyed, False)
    assert f"{of_mean}0 % of what the cloak adds is left" in mean.evidence
    for row in rows:
        row["clean_mate_rank"] = 2  # nobody was found first before
    assert tables._destroys(rows, "mean").holds is None


def test_naturalness_and_protection_are_told_apart() -> None:
    rows = sweep()
    assert [claim.holds for claim in tables._trade(rows)] == [True, True]
    for row in rows:
        row["psnr"] = 30 + (row["person"] > "p4") * (row["gamma"] - 1)  # better for some and worse for others
        row["mate"] = -row["gamma"]
    assert [claim.holds for claim in tables._trade(rows)] == [True, False]
    for row in rows:
        row["psnr"] = 30 + (1 if row["person"] > "p4" else -1) * row["gamma"]
    assert tables._trade(rows)[0].holds is None


def test_curves_that_differ_are_not_one() -> None:
    assert tables._one_curve(sweep()).holds
    rows = sweep()
    for row in where(rows, reduction="mean"):
        row["psnr"] += 3
    assert tables._one_curve(rows).holds is False


def test_protection_counts_those_who_matched_before() -> None:
    rows = made(0.0, "sum", 10, 30, 0.45)  # .45 to .54: five below .5
    assert tables.protected(rows).value == 0.5
    for row in rows[:4]:
        row["clean_mate"] = 0.4
    found = tables.protected(rows)
    assert (found.trials, round(found.value, 3)) == (6, round(1 / 6, 3))
    for row in rows:
        row["threshold"] = None
    assert tables.protected(rows) is None


def test_kin_and_missing_thresholds_are_doubted(tmp_path: Path) -> None:
    some = scene(tmp_path, people(tmp_path / "data", 12))
    parts = dict(some.parts)
    parts["CosFace"] = juror("pupil", Channels(0), origin="all")
    parts["SphereFace"].card = replace(parts["SphereFace"].card, thresholds=())
    text = " ".join(tables.doubts(replace(some, parts=parts), sweep()))
    assert "ArcFace and CosFace are played by kin (all, pupil)" in text
    assert "blue, which plays SphereFace, has no threshold at FMR 0.001" in text
    assert "kin" not in " ".join(tables.doubts(some, sweep()))


@pytest.mark.assets
def test_the_quick_run(assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISARD_HOME", str(tmp_path / "home"))
    few = replace(tipim.QUICK, probes=4, steps=4, sweep_probes=2, sweep_steps=2, sums=(0, 0.007, 2.5), others=10)
    monkeypatch.setattr(tipim, "QUICK", few)
    data = assets / "data/lfw-160"
    words = [
        "reproduce",
        "yang2021tipim",
        "--data",
        data,
        "--out",
        tmp_path / "out",
        "--detector",
        "aligned",
        "--quick",
    ]
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0
    assert "The photos are of LFW: 4 people with two photos each" in result.output
    assert "dlib-resnet plays ArcFace" in result.output
    assert "holds: Against the recognizer that made it" in result.output
    assert (tmp_path / "out/trials.parquet").is_file()
