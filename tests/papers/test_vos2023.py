"""The study of Vos 2023: the print, who is in which group, the effect of the arms on made people, and going on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crowd import crowd
from visard.errors import AuditError
from visard.face import aligned_crop
from visard.hardening import Defence, Material
from visard.hardening.outcome import MIXED, NORMAL, OBFUSCATED
from visard.papers import find_paper, vos2023
from visard.papers.report import run_study
from visard.papers.rows import where
from visard.papers.study import Study
from visard.papers.vos2023 import experiment, tables
from visard.papers.vos2023.experiment import (
    ADVFACES,
    BEYOND,
    BOTH,
    CLEAN,
    FAWKES,
    LATENT,
    MARGIN,
    METHODS,
    NONE,
    Effort,
    Rows,
    Scene,
    arm_rows,
)
from visard.papers.vos2023.experiment import OBFUSCATED as OBFUSCATED_ONLY
from visard.papers.vos2023.people import CALIBRATION, EVERYONE, FIRST, SECOND, TRAINING, Size, groups
from visard.recognizer import Card, Recognizer

SIZE = Size(people=6, photos=2, others=4, judged=3, calibrated=8)
SMALL = Effort(SIZE, epochs=1, steps=2, fawkes={"steps": 1}, beyond={"steps": 1, "batch": 4})
LEARNED = {
    name: (kind, 64, {"width": 4, "batch": 2, "rate": 1e-2}) for name, (kind, _, _) in experiment.LEARNED.items()
}


class Corners(nn.Module):
    """Colors of a coarse grid, in proportions that can be learned."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(48))

    def forward(self, faces: Tensor) -> Tensor:
        return (F.adaptive_avg_pool2d(faces, 4).flatten(1) - 0.5) @ self.weight


def recognizer() -> Recognizer:
    card = Card(
        name="corners", format="onnx", file="none", sha256="made", input=(112, 112), crop=(0, 0, 112, 112),
        mean=(0, 0, 0), std=(255, 255, 255), dim=48,
    )  # fmt: skip
    return Recognizer(card, Corners())


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vos2023, "QUICK", SMALL)
    monkeypatch.setattr(vos2023, "cast", lambda *_more: {"recognizer": recognizer()})
    monkeypatch.setattr(experiment, "LEARNED", LEARNED)


def study(folder: Path, data: Path, **changes: Any) -> Study:
    return Study(vos2023.PAPER, data, folder / "out", aligned_crop, "aligned", quick=True, **changes)


def people_of(found: Mapping[str, Any]) -> dict[str, set[str]]:
    return {name: {person for person, _ in photos} for name, photos in found.items()}


# the print


def test_the_print_is_whole() -> None:
    printed = find_paper("vos2023").printed
    pairs = {"FRGC AdvFaces": (91.0, 0.55), "PUT AdvFaces": (76.7, 7.90), "FRGC Fawkes": (90.7, 0.65)}
    pairs["FRGC latent-distance"] = (99.0, 77.4)
    assert dict(printed) == {
        ("ASR", row, column): value
        for row, values in pairs.items()
        for column, value in zip(("before", "after"), values, strict=True)
    }


def test_the_errata_show_in_the_print_and_not_in_a_mended_one() -> None:
    printed = dict(vos2023.PAPER.printed)
    unseen, elsewhere = vos2023.PAPER.errata
    assert unseen.shows(printed)
    assert elsewhere.shows(printed)
    assert not unseen.shows({**printed, ("ASR", "FRGC latent-distance", "after"): 7.4})
    assert not elsewhere.shows({**printed, ("ASR", "PUT AdvFaces", "after"): 0.79})


# who is in which group


def test_four_groups_of_people_and_two_datasets(tmp_path: Path) -> None:
    crowd(tmp_path / "data" / "one", people=24, each=3)
    crowd(tmp_path / "data" / "two", people=5, each=2, first=22)  # two of them are in the first as well
    found = groups(study(tmp_path, tmp_path / "data"), SIZE)
    people = people_of(found.photos)
    everyone = people.pop(EVERYONE)
    assert {name: len(one) for name, one in people.items()} == {TRAINING: 6, FIRST: 3, SECOND: 3, CALIBRATION: 8}
    assert len(set.union(*people.values())) == 20  # nobody is in two
    assert people[TRAINING] < everyone
    assert len(everyone) == 10
    assert not everyone & (people[FIRST] | people[SECOND] | people[CALIBRATION])
    assert not (people[TRAINING] | people[FIRST] | people[CALIBRATION]) & {f"p{i}" for i in range(22, 27)}
    assert {len([p for p, _ in found.photos[FIRST] if p == person]) for person in people[FIRST]} == {2}
    assert len(found.photos[CALIBRATION]) == 8
    assert (found.first, found.second, found.apart) == ("one", "two", True)


def test_without_a_second_dataset_its_part_is_played_by_other_people(tmp_path: Path) -> None:
    found = groups(study(tmp_path, crowd(tmp_path / "data", people=24, each=3)), SIZE)
    people = people_of(found.photos)
    people.pop(EVERYONE)
    assert len(set.union(*people.values())) == sum(map(len, people.values()))
    assert (found.second, found.apart) == ("further people of data", False)


def test_roles_say_who_is_trained_on(tmp_path: Path) -> None:
    data = crowd(tmp_path / "data", people=24, each=2)
    lines = ["path,person,role"]
    for number, path in enumerate(sorted(data.glob("*/*"))):
        role = "train" if number < 20 else "test"
        lines.append(f"{path.relative_to(data)},{path.parent.name},{role}")
    (data / "meta.csv").write_text("\n".join(lines))
    trained = {line.split(",")[1] for line in lines if line.endswith("train")}
    people = people_of(groups(study(tmp_path, data), SIZE).photos)
    assert people[TRAINING] <= people[EVERYONE] <= trained
    assert not (people[FIRST] | people[SECOND] | people[CALIBRATION]) & trained


@pytest.mark.parametrize(("people", "each"), [(10, 2), (40, 1)])
def test_too_few_people_or_photos_are_one_sentence(tmp_path: Path, people: int, each: int) -> None:
    with pytest.raises(AuditError, match="too few people for 6 to train on"):
        groups(study(tmp_path, crowd(tmp_path / "data", people=people, each=each)), SIZE)


# the arms


def test_each_arm_is_trained_on_its_kinds_of_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = recognizer()
    scene = Scene(study(tmp_path, crowd(tmp_path / "data", people=24, each=3)), SMALL, base)
    given: list[tuple[str, Mapping[str, Any], Material]] = []

    def find(name: str) -> Defence:
        class Spy(Defence):
            def harden(
                self, base: Recognizer, material: Material, settings: Mapping[str, Any] | None = None
            ) -> Recognizer:
                given.append((name, settings or {}, material))
                return base

        return Spy(name, "here", lambda: base)

    monkeypatch.setattr(experiment, "find_defence", find)
    monkeypatch.setattr(Scene, "cloaked", lambda self, group, name: (group, name))
    for arm in (NONE, CLEAN, OBFUSCATED_ONLY, BOTH, MARGIN, BEYOND):
        assert scene.hardened(arm) is base
    assert [(name, settings) for name, settings, _ in given] == [
        ("vos2023", {"arm": "clean", "epochs": 1}),
        ("vos2023", {"arm": "obfuscated", "epochs": 1}),
        ("vos2023", {"arm": "both", "epochs": 1}),
        ("vos2023", {"arm": "both", "head": "cosface", "epochs": 1}),
        ("adversarial", SMALL.beyond),
    ]
    for name, _, material in given:
        group = EVERYONE if name == "adversarial" else TRAINING
        assert material.clean is scene.crops[group]
        assert material.cloaked == {"advfaces": (group, ADVFACES)}
    assert len({material.checkpoint for _, _, material in given}) == 5


def test_what_an_arm_misses_is_counted_by_dataset_method_and_regime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here AdvFaces does nothing, Fawkes makes negatives, and the third mirrors."""
    scene = Scene(study(tmp_path, crowd(tmp_path / "data", people=24, each=3)), SMALL, recognizer())
    change = {ADVFACES: lambda faces: faces, FAWKES: lambda faces: 255 - faces, LATENT: lambda faces: faces.flip(3)}
    monkeypatch.setattr(Scene, "cloaked", lambda self, group, name: change[name](self.crops[group].pixels))
    found = arm_rows(scene, NONE)
    rates = {method: tables.missed_rate(found, NONE, FIRST, method).value for method in METHODS}
    assert rates[ADVFACES] == tables.missed_rate(found, NONE, FIRST, ADVFACES, NORMAL).value < 1
    assert rates[FAWKES] == 1
    counts = {regime: len(where(found.genuine, dataset=FIRST, method=FAWKES, regime=regime)) for regime in REGIMES}
    assert counts == {NORMAL: 3, MIXED: 6, OBFUSCATED: 3}
    for dataset, regime, pairs in ((FIRST, MIXED, 6 * 5 - 6), (SECOND, NORMAL, 15 - 3)):
        place = {"arm": NONE, "dataset": dataset, "method": LATENT, "regime": regime}
        assert tables.histogram(found, "impostor", **place).sum() == pairs
        (error,) = where(found.errors, **place)
        assert error["trials"] == tables.histogram(found, "genuine", **place).sum()


REGIMES = (NORMAL, MIXED, OBFUSCATED)


# the whole


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.usefixtures("small")
def test_a_study_from_the_photos_to_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gone on with it computes nothing again; its cells gone, the cloaks and trainings are still there."""
    crowd(tmp_path / "data" / "one", people=24, each=3)
    crowd(tmp_path / "data" / "two", people=4, each=2, first=50)
    heard: list[str] = []
    first = study(tmp_path, tmp_path / "data", watch=heard.append)
    found = run_study(first)
    out = tmp_path / "out"
    assert names(out / "cloaks") == [
        *sorted(f"{group}-{method}.pt" for group in (FIRST, SECOND) for method in METHODS),
        "advfaces.safetensors", "advfaces.training", f"{EVERYONE}-{ADVFACES}.pt",
        "latent-distance.safetensors", "latent-distance.training",
        f"{TRAINING}-{ADVFACES}.pt",
    ]  # fmt: skip
    assert {"both.pt", "clean.pt", "margin.pt", "obfuscated.pt"} <= set(names(out / "training"))
    text = (out / "report.md").read_text()
    assert "one plays FRGC: 12 photos of 6 people are trained on, 6 photos of 3 people, other people, are" in text
    assert "two plays PUT: 6 photos of 3 people" in text
    asr = found.tables[0]
    assert [row[:2] for row in asr.rows] == [
        (dataset, cloak)
        for dataset in (FIRST, SECOND)
        for cloak in (ADVFACES, f"{FAWKES} (unseen)", f"{LATENT} (unseen)", "no cloak: FNMR")
    ]
    assert asr.header[2:6] == ("none", "clean", "obfuscated", "both")
    assert "(printed 91)" in text
    assert "(printed 7.9)" in text
    assert f"Scores: {SECOND}, {LATENT}" in found.drawings
    assert any("rule of 30" in doubt for doubt in found.doubts)
    assert BEYOND in asr.header
    assert len(found.claims) == 6 + 3 * 3

    heard.clear()
    again = run_study(study(tmp_path, tmp_path / "data", watch=heard.append))
    assert heard == []
    assert again.tables == found.tables
    for path in (out / "cells").iterdir():
        path.unlink()
    monkeypatch.setattr(experiment, "train", None)  # not called
    third = study(tmp_path, tmp_path / "data", watch=heard.append)
    arm_rows(Scene(third, SMALL, recognizer()), BOTH)
    assert not [line for line in heard if "epoch" in line or "faces" in line]


def test_goals_and_directions_are_read_off_the_comparisons() -> None:
    """Four comparisons of two people: before all are missed, afterwards none but one of the latent-distance model."""

    def rows(arm: str, cosines: Mapping[str, list[float]]) -> Rows:
        found = Rows([], [], [])
        for dataset in (FIRST, SECOND):
            for method, values in cosines.items():
                for regime in REGIMES:
                    place = {"arm": arm, "dataset": dataset, "method": method, "regime": regime, "tau": 0.5}
                    found.genuine.extend(
                        {**place, "person": i // 2, "cosine": c}
                        for i, c in enumerate(values if regime == MIXED else [1.0] * 4)
                    )
                    worse = 0.003 if arm == BOTH and dataset == SECOND else 0.0
                    found.errors.append(
                        {**place, "value": 0.01 + worse, "low": 0.0, "high": 0.1, "n": 4, "eer_vos": 0.01}
                    )
        return found

    before = rows(NONE, dict.fromkeys(METHODS, [0.0] * 4))
    clean = rows(CLEAN, dict.fromkeys(METHODS, [0.0] * 4))
    both = rows(BOTH, {ADVFACES: [0.9] * 4, FAWKES: [0.9] * 4, LATENT: [0.9, 0.0, 0.9, 0.0]})
    found = Rows(*([row for part in (before, clean, both) for row in part[kind]] for kind in range(3)))
    said = {claim.text: (claim.holds, claim.evidence) for claim in tables.claims(found, (NONE, CLEAN, BOTH))}
    held = [holds for holds, _ in said.values()]
    #  four falls, better than clean alone, more against Fawkes, then the goals
    assert held == [True, True, True, True, True, True, True, False, False]
    assert next(iter(said.values()))[1].startswith("+100.0 points")
    assert said["Our goal, both: the equal error rate of clean photos gains at most 0.2 points."][1] == (
        "+0.00 points; +0.30 points"
    )
