"""The study of Yang et al. 2021: the print, whom it compares, what every job does to made people, and going on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crowd import crowd
from latents import tiny_landmarks
from visard.audit.sight import quality_crop
from visard.errors import AuditError, SettingError
from visard.face import aligned_crop
from visard.generator.latent import shipped_landmarks
from visard.generator.stylegan import FaceGenerator, Shape, make_network
from visard.measure import kid
from visard.papers import find_paper, yang2021systematical
from visard.papers.report import run_study
from visard.papers.rows import column, where
from visard.papers.study import Study
from visard.papers.yang2021systematical.experiment import (
    CLOAKS,
    IDENTITY,
    JOBS,
    JURY,
    LARGE_STEP,
    MAPPER,
    PARTS,
    RECONSTRUCTION,
    SMALL_STEP,
    STRANGER,
    SWAP,
    Effort,
    Scene,
    displacement,
    distance_rows,
    job_rows,
)
from visard.papers.yang2021systematical.tables import doubts
from visard.recognizer import Card, Recognizer, Threshold

SMALL = Effort(people=4, steps=(2, 2), disentangle={"width": 4, "expression": 4, "batch": 2}, mapper={"batch": 2})


class Corners(nn.Module):
    """Colors of a coarse grid, weighed by chance."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        weights = torch.randn(48, 24, generator=torch.Generator().manual_seed(seed))
        self.weight = nn.Parameter(weights)

    def forward(self, faces: Tensor) -> Tensor:
        return (F.adaptive_avg_pool2d(faces, 4).flatten(1) - 0.5) @ self.weight


def recognizers() -> dict[str, Recognizer]:
    def one(number: int) -> Recognizer:
        threshold = Threshold(
            value=0.9, fmr=1e-3, pairs=40_000, people=300, dataset="made", sha256=str(number), fnmr=None
        )
        card = Card(
            name=f"corners-{number}", format="onnx", file="none", sha256=str(number), input=(112, 112),
            crop=(0, 0, 112, 112), mean=(0, 0, 0), std=(255, 255, 255), dim=24, thresholds=(threshold,),
        )  # fmt: skip
        return Recognizer(card, Corners(number))

    return {part: one(number) for number, part in enumerate(PARTS)}


def generator() -> FaceGenerator:
    return FaceGenerator(make_network(Shape(64, 256, 8, 8, 2), 0).eval(), {}, 5, 7, 0, sha256="made")


class Blots(nn.Module):
    """In place of Inception-V3: features that see colors only."""

    variant = "FID"

    def forward(self, pictures: Tensor) -> Tensor:
        assert pictures.shape[1:] == (3, 160, 160)
        return F.adaptive_avg_pool2d(pictures, 2).flatten(1)


def study(folder: Path, people: int = 6, **changes: Any) -> Study:
    data = folder / "data"
    if not data.is_dir():
        crowd(data, people=people, each=2)
    return Study(yang2021systematical.PAPER, data, folder / "out", aligned_crop, "aligned", quick=True, **changes)


def scene(folder: Path) -> Scene:
    return Scene(study(folder), SMALL, recognizers(), generator())


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yang2021systematical, "QUICK", SMALL)
    monkeypatch.setattr(yang2021systematical, "cast", lambda *_more: recognizers())
    monkeypatch.setattr(yang2021systematical, "shipped_faces", generator)


def test_the_print_and_its_errata() -> None:
    printed = dict(find_paper("yang2021systematical").printed)
    assert len(printed) == 12
    assert {row for _, row, _ in printed} == set(CLOAKS)
    place = ("de-identification", MAPPER)
    assert printed[(*place, "similarity")] == 0.531
    similar, visible = yang2021systematical.PAPER.errata
    assert similar.shows(printed)
    assert visible.shows(printed)
    assert not similar.shows({**printed, (*place, "similarity"): 0.1})
    assert not visible.shows({**printed, (*place, "FID"): 20.0})


def test_too_few_people_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match=r"3 people with two photos, of whom 3 show their faces; the study needs 4"):
        _ = Scene(study(tmp_path, people=3), SMALL, recognizers(), generator()).people


def test_displacement_is_none_of_the_same_face_and_a_shift_in_distances_of_the_eyes(tmp_path: Path) -> None:
    views = scene(tmp_path).views("probe")
    landmarks = shipped_landmarks()
    assert displacement(landmarks, views, views).max() == 0
    moved = [(pixels, face.moved(shift=(3.0, 0.0))) for pixels, face in views]
    assert displacement(landmarks, moved, views).min() > 0


def test_every_job_changes_what_it_should(tmp_path: Path) -> None:
    made = scene(tmp_path)
    rows = [row for job in JOBS for row in job_rows(made, job)]
    assert len(rows) == len(JOBS) * len(PARTS) * 4
    assert set(column(rows, "lpips")) == {None}

    def mean(job: str, name: str, part: str = IDENTITY) -> float:
        return float(column(where(rows, job=job, part=part), name).mean())

    # a larger step is seen more, and takes the face further from itself
    assert mean(LARGE_STEP, "ssim") < mean(SMALL_STEP, "ssim") < 1
    assert mean(LARGE_STEP, "own") < mean(SMALL_STEP, "own") < 1
    for job in (MAPPER, RECONSTRUCTION, SWAP, STRANGER):
        assert mean(job, "ssim") < 0.9
    # a swap is compared with the person before, every other job with the person
    people = [row["person"] for row in made.people]
    swaps = where(rows, job=SWAP, part=JURY[0])
    assert [row["person"] for row in swaps] == people
    assert any(row["own"] != row["wanted"] for row in swaps)
    assert all(row["own"] == row["wanted"] for row in where(rows, job=RECONSTRUCTION))
    again = job_rows(scene(tmp_path), STRANGER)
    assert again == where(rows, job=STRANGER)


def test_distances_are_least_between_photos_of_the_same_people(tmp_path: Path) -> None:
    found = {row["job"]: row["kid"] for row in distance_rows(scene(tmp_path))}
    assert set(found) == {*JOBS, "mates"}
    assert np.isfinite(list(found.values())).all()
    assert found["mates"] < found[STRANGER]


def test_distances_by_features_of_inception(tmp_path: Path) -> None:
    by_embeddings = distance_rows(scene(tmp_path))
    made = replace(scene(tmp_path), inception=Blots())
    rows = distance_rows(made)
    crops = [np.stack([quality_crop(*view) for view in made.views(kind)]) for kind in ("mate", "probe")]
    # the order of the features does not matter
    mates, probes = (crop.reshape(4, 2, 80, 2, 80, 3).mean(axis=(2, 4)).reshape(4, -1) for crop in crops)
    (row,) = where(rows, job="mates")
    assert (row["kid"], row["error"]) == pytest.approx(kid(mates, probes, subset_size=2), rel=1e-3)
    assert row["n"] == 4
    assert "the weights of published FIDs" in doubts(made, rows)[0]
    assert "embeddings" not in doubts(made, rows)[0]
    assert "embeddings of juror 1 in place of Inception's features" in doubts(scene(tmp_path), by_embeddings)[0]
    assert distance_rows(scene(tmp_path)) == by_embeddings  # those of the one are not taken for the other's


def test_who_judges_where_landmarks_are(tmp_path: Path) -> None:
    plain = scene(tmp_path)
    assert "the network that also places another person's face" in doubts(plain, distance_rows(plain))[1]
    judged = replace(plain, landmarks=tiny_landmarks())
    assert "had no part in what was made" in doubts(judged, distance_rows(plain))[1]
    (before, *_), (after, *_) = (where(job_rows(one, LARGE_STEP), part=IDENTITY) for one in (plain, judged))
    assert before.pop("moved") != after.pop("moved")
    assert before == after


@pytest.mark.usefixtures("small")
def test_a_juror_of_the_encoders_origin_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = recognizers()
    parts[JURY[1]].card = replace(parts[JURY[1]].card, origin=parts[IDENTITY].card.name)
    monkeypatch.setattr(yang2021systematical, "cast", lambda *_more: parts)
    with pytest.raises(SettingError, match=r'corners-2 and corners-0 are of one origin.*--network "juror 2=NAME"'):
        run_study(study(tmp_path))


@pytest.mark.usefixtures("small")
def test_a_whole_run_and_going_on(tmp_path: Path) -> None:
    found = run_study(study(tmp_path))
    report = (tmp_path / "out" / "report.md").read_text()
    assert [table.title for table in found.tables] == [
        "Table 1: de-identification",
        "Table 2: face swap",
        "Table 3: reconstruction",
        "Anonymization: another person",
    ]
    assert "printed 0.531" in report
    assert "visard study" in report
    rates = [row[1] for row in found.tables[0].rows]
    # only people can say: no figure of ours ever stands there
    assert all(not isinstance(cell, str) and cell.text.startswith("\N{EN DASH}") for cell in rates)
    cells = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out" / "cells").iterdir()}
    again = run_study(study(tmp_path))
    assert again.tables == found.tables
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out" / "cells").iterdir()} == cells
