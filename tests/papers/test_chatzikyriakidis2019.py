"""The paper of P-FGVM, on people made of colors and classifiers that can be worked out by hand."""

import json
import re
from dataclasses import replace
from itertools import product
from math import sqrt
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

from crowd import crowd
from rig import color_juror
from visard import photo
from visard.audit.tables import Cell, Table
from visard.cli.commands import app
from visard.errors import AuditError, SettingError
from visard.face import aligned_crop
from visard.papers import chatzikyriakidis2019 as paper
from visard.papers import find_paper
from visard.papers.chatzikyriakidis2019 import attack, experiment, tables
from visard.papers.chatzikyriakidis2019.attack import METHODS, OTHERS, OURS
from visard.papers.chatzikyriakidis2019.experiment import MODELS, Experiment, Size
from visard.papers.datasets import Dataset
from visard.papers.report import run_study
from visard.papers.study import Row, Study

TINY = Size(
    people=3, photos=9, test=2, search=1, epochs=(6, 30), steps=10, batch=9,
    lengths=(1.0,), bounds=(32.0,), pulls=(0.003, 0.03), evolution=(0, 40),
)  # fmt: skip


class Brightness(nn.Module):
    """Two people: the second is whoever is brighter than .6 on average."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def forward(self, pictures: Tensor) -> Tensor:
        self.batches.append(len(pictures))
        over = 100 * (pictures.mean(dim=(1, 2, 3)) - 0.6)
        return torch.stack([torch.zeros_like(over), over], dim=1)


def gray(*levels: float) -> Tensor:
    return torch.stack([torch.full((3, 4, 4), level) for level in levels])


def brighten(steps: int) -> tuple[attack.FirstSuccess, Brightness]:
    """Sign steps of .03 on two faces of .5 and .4: the first is over .6 after four, the second after seven."""
    classifier, people = Brightness(), torch.tensor([0, 0])
    result = attack.attack(classifier, "I-FGSM", gray(0.5, 0.4), people, 1 - people, steps, alpha=0.03, eps=1.0)
    return result, classifier


def test_each_face_stops_at_its_first_success() -> None:
    result, classifier = brighten(20)
    assert result.steps.tolist() == [4, 7]
    assert result.fooled.all()
    assert result.named.tolist() == [1, 1]
    torch.testing.assert_close(result.change, gray(0.12, 0.21))
    # a face that is done is looked at no more
    assert classifier.batches == [2] * 5 + [1] * 3


def test_who_is_not_fooled_keeps_the_last_change() -> None:
    result, _ = brighten(5)
    assert result.fooled.tolist() == [True, False]
    assert (result.steps.tolist(), result.named.tolist()) == ([4, 5], [1, 0])
    torch.testing.assert_close(result.change, gray(0.12, 0.15))


def test_the_last_step_counts() -> None:
    result, _ = brighten(7)
    assert result.fooled.all()


@pytest.mark.parametrize("method", METHODS)
def test_first_steps_are_equally_long(method: str) -> None:
    side, length, slope = 112, 0.4, 2.5
    direction = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    direction *= slope / direction.norm()

    class Plane(nn.Module):
        """Two people: a slope of 2.5 where cross-entropy is steepest, far on the first one's side."""

        def forward(self, pictures: Tensor) -> Tensor:
            score = (direction * (pictures - 0.5)).flatten(1).sum(dim=1) - 30
            return torch.stack([torch.zeros_like(score), score], dim=1)

    settings = attack.settings_of(method, length, 16.0, slope)
    picture, label = torch.full((1, 3, side, side), 0.5), torch.tensor([0])
    result = attack.attack(Plane(), method, picture, label, 1 - label, 1, **settings)
    assert float(result.change.norm()) == pytest.approx(length, rel=1e-3)


def test_pfgvms_bound_is_what_a_step_takes_back() -> None:
    settings = attack.settings_of(OURS, 0.4, 0.03, 2.0)
    assert settings == {"alpha": pytest.approx(0.2), "realism": pytest.approx(0.15)}
    assert attack.settings_of("I-FGSM", 0.4, 8.0, 2.0) == {
        "alpha": pytest.approx(0.4 / (112 * sqrt(3))),
        "eps": pytest.approx(8 / 255),
    }


def tried(length: float, bound: float, fooled: int, l2: float) -> list[Row]:
    return [{"length": length, "bound": bound, "fooled": i < fooled, "l2": l2} for i in range(20)]


def test_the_search_takes_the_least_change_that_fools_enough() -> None:
    small, enough, large = tried(1, 1, 18, 0.5), tried(1, 2, 19, 1.0), tried(2, 1, 20, 1.5)
    assert attack.chosen(small + large + enough) == (1, 2)
    assert attack.chosen(small + large) == (2, 1)
    # where nothing fools enough the most successful is taken
    assert attack.chosen(tried(1, 1, 3, 0.1) + small) == (1, 1)
    assert attack.chosen(tried(3, 1, 3, 0.1) + small) == (1, 1)


def test_a_descriptor_sees_what_its_recognizer_sees() -> None:
    recognizer, eye = color_juror()
    pictures = torch.rand(2, 3, 112, 112, generator=torch.Generator().manual_seed(0), requires_grad=True)
    embedded = experiment.Descriptor(recognizer)(pictures)
    torch.testing.assert_close(embedded, recognizer.embed(pictures))
    torch.testing.assert_close(eye.seen[0], pictures[0], atol=1e-4, rtol=0)
    (gradient,) = torch.autograd.grad(embedded[0, 0], pictures)
    assert gradient[0].abs().sum() > 0
    assert gradient[1].abs().sum() == 0


PRINTED = find_paper("chatzikyriakidis2019").printed


def test_the_print() -> None:
    assert len(PRINTED) == 2 * 3 * 3
    assert PRINTED["Model A", "P-FGVM", "L2"] == 3.38
    assert PRINTED["Model B", "I-FGVM", "MSSIM"] == 0.993
    # the paper's claims hold in its own figures
    for model, other in product(MODELS, OTHERS):
        ours, theirs = (
            {m: PRINTED[model, who, m] for m in ("L2", "MSSIM", "misclassification")} for who in (OURS, other)
        )
        assert ours["L2"] < theirs["L2"]
        assert ours["MSSIM"] > theirs["MSSIM"]
        assert ours["misclassification"] > theirs["misclassification"]


def test_the_fewest_photos_that_give_the_prints_rates() -> None:
    assert tables.fewest([50.0]) == 2
    assert tables.fewest([50.0, 33.3]) == 6
    assert tables.fewest([PRINTED["Model A", method, "misclassification"] for method in METHODS]) == 462


def outcomes(l2: float, mssim: float, fooled: float, count: int = 40) -> list[Row]:
    """Test rows of people with two photos each; the first share of them is fooled; sizes vary a little by photo."""
    return [
        {
            "person": f"p{i // 2}", "photo": str(i), "target": "x", "named": "x", "fooled": i < fooled * count,
            "steps": 5, "l2": l2 + 0.001 * i, "mssim": mssim - 0.0001 * i, "saved": False,
            "other": None if i % 2 else i % 4 == 0,
        }
        for i in range(count)
    ]  # fmt: skip


def made(ours: list[Row], fgvm: list[Row], fgsm: list[Row]) -> tables.Tests:
    return {(model, method): rows for model in MODELS for method, rows in zip(METHODS, (ours, fgvm, fgsm), strict=True)}


def text(table: Table, row: int, column: str) -> str:
    cell = table.rows[row][table.header.index(column)]
    return cell.text if isinstance(cell, Cell) else cell


def test_improvements_stand_beside_the_prints() -> None:
    table = tables.improvements(made(outcomes(1, 0.99, 1), outcomes(2, 0.9, 0.8), outcomes(4, 0.8, 1)), PRINTED)
    assert [row[:2] for row in table.rows] == [(m, f"P-FGVM over {o}") for m in MODELS for o in OTHERS]
    # on the 32 photos on which both succeed the means are 1.0155 and 2.0155
    assert re.match(r"\+49\.6 % \[\+49\.\d, \+49\.\d\] n=32 ", text(table, 0, "less L2"))
    assert text(table, 0, "more misclassified").startswith("+25.0 % [")
    assert text(table, 1, "more misclassified").startswith("0, the same on each, n=40 (")
    # (5.31 - 3.38) / 5.31, (.986 - .963) / .963 and (99.6 - 99.4) / 99.4
    ends = [text(table, 0, column).partition("(printed ")[2] for column in table.header[2:]]
    assert ends == ["+36.3 %)", "+2.39 %)", "+0.2 %)"]
    assert text(table, 3, "less L2").endswith("(printed +63.2 %)")


def test_improvements_without_common_success() -> None:
    table = tables.improvements(made(outcomes(1, 0.99, 0), outcomes(2, 0.9, 1), outcomes(2, 0.9, 1)), PRINTED)
    assert text(table, 0, "less L2") == "– (printed +36.3 %)"


def test_claims_hold_only_where_the_difference_is_shown() -> None:
    found = tables.claims(made(outcomes(1, 0.99, 1), outcomes(2, 0.9, 0.5), outcomes(4, 0.8, 0.5)))
    assert [claim.holds for claim in found] == [True] * 6
    assert "against I-FGVM -1.0000 [-1.0000, -1.0000] n=20" in found[0].evidence
    worse = tables.claims(made(outcomes(3, 0.85, 1), outcomes(2, 0.9, 1), outcomes(4, 0.8, 1)))
    assert [claim.holds for claim in worse] == [False] * 6
    assert worse[2].evidence.startswith("against I-FGVM the same on each of 40 photos")
    noisy = [{**row, "l2": row["l2"] + (0.5 if i % 4 < 2 else -0.5)} for i, row in enumerate(outcomes(2, 0.95, 1))]
    unclear = tables.claims(made(noisy, outcomes(2, 0.9, 1), outcomes(4, 0.8, 1)))
    assert (unclear[0].holds, unclear[1].holds) == (None, True)
    nobody = tables.claims(made(outcomes(1, 0.99, 0), outcomes(2, 0.9, 1), outcomes(4, 0.8, 1)))
    assert (nobody[0].holds, nobody[2].holds) == (None, False)
    assert "no photo on which both succeed" in nobody[0].evidence


def test_the_main_table() -> None:
    table = tables.main_table(made(outcomes(1, 0.99, 1), outcomes(2, 0.9, 0.8), outcomes(4, 0.8, 1)), PRINTED, TINY)
    assert re.fullmatch(r"1\.02 \[1\.01, 1\.02\] \(printed 3\.38\)", text(table, 0, "L2"))
    assert re.fullmatch(r"0\.988 \[0\.98\d, 0\.98\d\] \(printed 0\.986\)", text(table, 0, "MSSIM"))
    assert re.fullmatch(r"80 % \[\d+, \d+\] n=40 \(printed 99\.4\)", text(table, 1, "misclassified"))
    # the other model judges only what it names right unchanged
    assert re.fullmatch(r"50 % \[\d+, \d+\] n=20", text(table, 0, "by the other"))


def test_celeba_is_taken_where_it_is() -> None:
    def data(name: str, *counts: int) -> Dataset:
        return Dataset(name, {f"p{i}": tuple(Path(f"{i}/{j}.jpg") for j in range(n)) for i, n in enumerate(counts)})

    large, celeba = data("LFW", 30, 30, 30, 30), data("CelebA", 5, 14, 6, 8)
    found = experiment.people_of([large, celeba], TINY)
    assert (found.name, [len(v) for v in found.photos.values()]) == ("CelebA", [9, 8, 6])
    assert experiment.people_of([large], TINY).name == "LFW"
    with pytest.raises(AuditError, match="CelebA does not have 3 people with 9 photos each"):
        experiment.people_of([celeba], replace(TINY, test=4, search=3))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of people of colors, 9 photos each, and more people with fewer."""
    folder = crowd(tmp_path_factory.mktemp("data") / "colors", TINY.people, TINY.photos)
    crowd(folder, 2, 3, first=TINY.people)
    return folder


@pytest.fixture(scope="module")
def done(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, list[str]]:
    """A study that was run, and what it said it did."""
    heard: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paper, "QUICK", TINY)
        study = made_study(root, tmp_path_factory.mktemp("out"), heard)
        run_study(study)
    return study, heard


def made_study(root: Path, out: Path, heard: list[str], network: str = "visard-vgg") -> Study:
    one = find_paper("chatzikyriakidis2019")
    chosen = {"VGG-Face": network} if network else {}
    return Study(one, root, out, aligned_crop, "aligned", True, 0, chosen, heard.append)


def rows_of(study: Study, name: str) -> list[Row]:
    return study.cell(name, list)


def test_photos_are_split_within_each_person(done: tuple[Study, list[str]]) -> None:
    rows = rows_of(done[0], "photos")
    counts = {person: [r["part"] for r in rows if r["person"] == person] for person in ("p0", "p1", "p2")}
    assert len(rows) == 27
    for parts in counts.values():
        assert [parts.count(name) for name in ("test", "search", "train")] == [2, 1, 6]


def test_attacks_fool_who_is_named_right(done: tuple[Study, list[str]]) -> None:
    study, _ = done
    parts = {(r["person"], r["photo"]): r["part"] for r in rows_of(study, "photos")}
    for model in MODELS:
        clean = {(r["person"], r["photo"]): r["named"] for r in rows_of(study, f"{model}, trained")}
        assert np.mean([person == named for (person, _), named in clean.items()]) > 0.6
        for method in METHODS:
            rows = rows_of(study, f"{model}, test, {method}")
            keys = {(r["person"], r["photo"]) for r in rows}
            assert keys == {key for key, named in clean.items() if named == key[0] and parts[key] == "test"}
            for row in rows:
                assert row["target"] != row["person"]
                assert row["fooled"] == (row["named"] != row["person"])
                assert row["l2"] > 0
                assert row["mssim"] < 1
                assert 1 <= row["steps"] <= TINY.steps
    # the embedding's head is fooled by each of them; targets are the same for all
    found = [rows_of(study, f"Model B, test, {method}") for method in METHODS]
    assert all(row["fooled"] for row in found[0])
    assert len({tuple(row["target"] for row in rows) for rows in found}) == 1


def test_only_the_searchs_photos_are_searched(done: tuple[Study, list[str]]) -> None:
    study, _ = done
    parts = {(r["person"], r["photo"]): r["part"] for r in rows_of(study, "photos")}
    rows = rows_of(study, "Model B, search, P-FGVM, first step 1")
    assert {parts[r["person"], r["photo"]] for r in rows} == {"search"}
    assert {r["bound"] for r in rows} == set(TINY.pulls)
    assert all(r["realism"] * r["alpha"] == pytest.approx(r["bound"]) for r in rows)


def test_the_realism_term_pulls_noise_to_the_photo(done: tuple[Study, list[str]]) -> None:
    for model in MODELS:
        start, end = rows_of(done[0], f"{model}, from noise")
        assert (start["step"], end["step"]) == (0, 40)
        assert start["l2"] > 40
        assert end["l2"] < start["l2"] / 2
        first = photo.read(done[0].out / "pictures" / start["picture"]).pixels
        assert abs(first.mean() / 255 - 0.5) < 0.05
        assert first.std() / 255 > 0.15


def test_the_report(done: tuple[Study, list[str]]) -> None:
    study, _ = done
    report = (study.out / "report.md").read_text()
    assert "colors plays CelebA-30 (30 people, 900 photos): the 3 people with the most photos, 9 of each, 27" in report
    for title in ("Improvement", "The classifiers", "The declared search of alpha, lambda and eps", "Settings"):
        assert f"## {title}" in report
    assert report.count("| chosen |") == len(MODELS) * len(METHODS)
    assert report.count("(printed 3.38)") == 1
    for model in ("model-a", "model-b"):
        for kind in ("examples", "from-noise-to-the-picture"):
            assert "data:image/png;base64" in (study.out / f"figures/{model}--{kind}.svg").read_text()
    assert pq.read_table(study.out / "trials.parquet").num_rows > 27


def test_a_second_run_computes_nothing(
    done: tuple[Study, list[str]], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, first = done
    assert "Model A, trained" in first
    assert "Model B, test, I-FGSM" in first
    monkeypatch.setattr(paper, "QUICK", TINY)

    def never(*_args: object, **_more: object) -> None:
        raise AssertionError("computed twice")

    for name in ("fit", "fit_head", "attack", "predicted"):
        monkeypatch.setattr(experiment, name, never)
    text, heard = (study.out / "report.md").read_text(), []
    run_study(made_study(root, study.out, heard))
    assert heard == []
    assert (study.out / "report.md").read_text() == text


def test_an_interrupted_run_goes_on_with_the_same_models(
    done: tuple[Study, list[str]], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, _ = done
    monkeypatch.setattr(paper, "QUICK", TINY)
    monkeypatch.setattr(experiment, "fit", lambda *_args, **_more: pytest.fail("trained again"))
    (cell,) = (study.out / "cells").glob("Model-B-test-P-FGVM*")
    before = rows_of(study, "Model B, test, P-FGVM")
    cell.unlink()
    heard: list[str] = []
    run_study(made_study(root, study.out, heard))
    assert heard == ["Model B, test, P-FGVM"]
    assert rows_of(study, "Model B, test, P-FGVM") == before


def test_the_stand_in_is_named(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recognizer, _ = color_juror()
    monkeypatch.setattr(Study, "recognizer", lambda *_args: recognizer)
    study = made_study(root, tmp_path, [], "")
    found = Experiment(study, TINY, experiment.people_of(study.datasets(), TINY), recognizer)
    assert tables.stand_ins(found)[1] == "Model B runs on colors in the place of VGG-Face's descriptor."


def test_a_black_box_cannot_play(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recognizer, _ = color_juror()
    recognizer.card = replace(recognizer.card, format="onnx-black-box")
    monkeypatch.setattr(Study, "recognizer", lambda *_args: recognizer)
    with pytest.raises(SettingError, match="colors gives no gradient, so it cannot play VGG-Face"):
        paper.run(made_study(root, tmp_path, [], ""))


def test_nothing_to_attack(done: tuple[Study, list[str]]) -> None:
    study, _ = done
    bench = Experiment(study, TINY, experiment.people_of(study.datasets(), TINY), color_juror()[0])
    bench.clean = lambda model: [{"part": "test", "named": "p1", "person": "p0", "number": 0}]  # type: ignore[method-assign]
    with pytest.raises(AuditError, match="Model A names nobody right on the test photos"):
        bench.right("Model A", "test")


@pytest.mark.assets
def test_quick(assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paper, "QUICK", replace(TINY, photos=14, epochs=(4, 30)))
    out = tmp_path / "out"
    words = ["reproduce", "chatzikyriakidis2019", "--data", str(assets / "data/lfw-160"), "--detector", "aligned"]
    words += ["--out", str(out), "--quick", "--network", "VGG-Face=visard-vgg"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert "LFW plays CelebA-30 (30 people, 900 photos): the 3 people with the most photos, 14 of each" in result.stdout
    assert json.loads((out / "run.json").read_text())["paper"] == "chatzikyriakidis2019"
    (cell,) = (out / "cells").glob("Model-B-test-P-FGVM*")
    rows = pq.read_table(cell).to_pylist()
    assert np.mean([row["fooled"] for row in rows]) > 0.8
