"""BIM and ILLC on saved pictures, with 52 people made of colors and three recognizers of them."""

import re
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from crowd import crowd
from visard.cli import main
from visard.cloak import Faces, Task, find, least_likely, untargeted
from visard.cloak.objective import embed
from visard.errors import AuditError, RecognizerError, SettingError
from visard.face import Detector, Face, Pixels, aligned_crop
from visard.measure import psr
from visard.papers import ghafourian2023 as paper
from visard.papers.cast import cast
from visard.papers.faces import rgb
from visard.papers.ghafourian2023 import experiment, tables
from visard.papers.ghafourian2023.experiment import LEVELS, METHODS, PARTS, TOPS, Bench, Judge, Shot, Size
from visard.papers.ghafourian2023.outcomes import Outcomes
from visard.papers.paper import Findings
from visard.papers.study import Study
from visard.recognizer import Card, Recognizer

PRINTED = paper.PAPER.printed
SMALL = Size(55, 3, 10, (4, 16))
WRONG = "table 1", "SENet-50 ILLC 32", "FaceNet top-25"


class Colors(nn.Module):
    """Sees the mean colors of a grid of fields, mixed at random."""

    def __init__(self, fields: int, seed: int) -> None:
        super().__init__()
        self.fields = fields
        self.mixed = torch.randn(3 * fields**2, 64, generator=torch.Generator().manual_seed(seed))

    def forward(self, faces: Tensor) -> Tensor:
        return torch.tanh((F.adaptive_avg_pool2d(faces, self.fields).flatten(1) - 0.5) @ self.mixed)


def eye(name: str, fields: int, seed: int) -> Recognizer:
    card = Card(
        name=name, format="onnx", file="none", sha256=name, input=(112, 112), crop=(0, 0, 112, 112),
        mean=(0, 0, 0), std=(255, 255, 255), dim=64,
    )  # fmt: skip
    return Recognizer(card, Colors(fields, seed))


EYES = {"FaceNet": eye("coarse", 4, 1), "ResNet-50": eye("fine", 8, 2), "SENet-50": eye("other", 8, 3)}


@pytest.fixture
def eyes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Study, "recognizer", lambda _study, part, *_stand_ins: EYES[part])


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures take longer than all else here."""
    monkeypatch.setattr(paper, "drawings", lambda _outcomes, _printed: {})


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return crowd(tmp_path_factory.mktemp("photos") / "crowd", people=52)


def study(data: Path, out: Path, detector: Detector = aligned_crop, **changes: object) -> Study:
    # any name but "aligned": then it is this detector that seeks the faces in the saved files
    return Study(paper.PAPER, data, out, detector, "made", **changes)


@pytest.fixture(scope="module")
def done(people: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Findings]:
    """A study that was run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Study, "recognizer", lambda _study, part, *_stand_ins: EYES[part])
        one = study(people, tmp_path_factory.mktemp("study") / "out")
        return one, run(one)


def run(one: Study, size: Size = SMALL) -> Findings:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paper, "FULL", size)
        return paper.run(one)


def outcomes_of(one: Study) -> Outcomes:
    rows = [row for path in sorted((one.out / "cells").glob("*.parquet")) for row in pq.read_table(path).to_pylist()]
    return Outcomes([row for row in rows if "method" in row], SMALL.levels)


def test_all_figures_are_printed() -> None:
    keys = {
        ("table 1", f"{source} {method} {level}", f"{target} top-{top}")
        for source in PARTS
        for method in METHODS
        for level in LEVELS
        for target in PARTS
        for top in TOPS
    }
    assert PRINTED.keys() == keys
    assert len(keys) == 540
    assert PRINTED["table 1", "FaceNet ILLC 4", "FaceNet top-1"] == 68
    assert PRINTED["table 1", "SENet-50 BIM 128", "ResNet-50 top-50"] == 83
    assert PRINTED["table 1", "ResNet-50 BIM 16", "SENet-50 top-5"] == 73


def test_the_errors_of_the_print_show_and_would_not_once_they_are_mended() -> None:
    assert [erratum.shows(PRINTED) for erratum in paper.PAPER.errata] == [True] * 3
    mended = {**PRINTED, WRONG: 20.0, ("table 1", "FaceNet BIM 128", "ResNet-50 top-5"): 99.0}
    assert [erratum.shows(mended) for erratum in paper.PAPER.errata] == [False] * 3
    assert tables.breaks_in_k(mended) == tables.breaks_in_eps(mended) == []


def test_a_further_error_of_the_print_would_be_found() -> None:
    place = "table 1", "ResNet-50 BIM 8", "FaceNet top-50"
    worse = {**PRINTED, place: 40.0}
    assert "ResNet-50 BIM 8 on FaceNet: 5 at top-25, 40 at top-50" in tables.breaks_in_k(worse)
    assert "ResNet-50 BIM on FaceNet, top-50: 40 at 8, 8 at 16" in tables.breaks_in_eps(worse)
    assert not paper.PAPER.errata[0].shows(worse)


@pytest.mark.parametrize("method", ["bim", "illc"])
def test_one_descent_finds_what_a_run_of_its_own_finds_at_every_eps(method: str) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 6, 3, 2), nn.Tanh(), nn.Conv2d(6, 6, 3, 2), nn.Tanh(), nn.Flatten()).eval()
    net.append(nn.Linear(net(torch.zeros(1, 3, 20, 20)).shape[1], 9)).requires_grad_(False)
    faces = Faces(torch.rand(3, 3, 20, 20))
    labels = torch.tensor([0, 4, 8])
    task = Task(faces, least_likely(net, faces) if method == "illc" else untargeted(net, labels))
    levels = (4, 8, 16, 32)
    found = experiment.at_each(find(method), task, levels)
    for level in levels:
        alone = find(method).cloak(task, eps=level / 255)
        assert torch.equal(found[level], alone)
        assert found[level].abs().max() <= level / 255
    # the budget binds: no path is a part of the largest one's
    assert len({tuple(delta.flatten().tolist()) for delta in found.values()}) == len(levels)


def test_rates_are_counted_in_both_ways() -> None:
    people = ("a", "b", "c", "d")
    before = {"a": 1, "b": 1, "c": 3, "d": 1}  # c is named wrongly before
    after = {"a": (7, True), "b": (1, True), "c": (9, True), "d": (1, False)}  # d is not found
    rows = [
        {"person": p, "source": "", "method": "unchanged", "eps": 0, "target": t, "found": True, "rank": before[p]}
        for p in people
        for t in PARTS
    ]
    rows += [
        {"person": p, "source": s, "method": m, "eps": 4, "target": t, "found": after[p][1], "rank": after[p][0]}
        for p in people
        for s in PARTS
        for m in METHODS
        for t in PARTS
    ]
    outcomes = Outcomes(rows, (4,))

    def psr_of(top: int, *, conditional: bool, missed: bool) -> tuple[float, int]:
        found = outcomes.rate(outcomes.counted(conditional=conditional, missed=missed), 0, 1, 0, 2, top)
        assert found is not None
        return found.value, found.trials

    assert psr_of(0, conditional=False, missed=True) == (3 / 4, 4)  # a, c, d
    assert psr_of(0, conditional=False, missed=False) == (2 / 3, 3)  # a, c
    assert psr_of(0, conditional=True, missed=True) == (2 / 3, 3)  # a, d of a, b, d
    assert psr_of(0, conditional=True, missed=False) == (1 / 2, 2)  # a of a, b
    assert psr_of(1, conditional=True, missed=True) == (3 / 4, 4)  # among the top 5 c was, too
    assert psr_of(2, conditional=True, missed=False) == (0, 3)  # top-10: everybody is
    assert outcomes.sure.tolist() == [True, True, False, True]
    # without faces that are not found it is equation 5 as measure.psr has it
    found = [p for p in people if after[p][1]]
    scores = np.zeros((len(found), 20))
    for i, person in enumerate(found):
        scores[i, 1 : after[person][0]] = 1  # so many are likelier than class 0
    for k, top in enumerate(TOPS[:3]):
        assert psr_of(k, conditional=False, missed=False)[0] == pytest.approx(psr(scores, [0] * len(found), top))


def test_what_is_judged_is_the_saved_file(done: tuple[Study, Findings], eyes: None) -> None:
    one, _ = done
    bench = Bench(one, SMALL, EYES)
    cells = [pq.read_table(path).to_pylist() for path in sorted((one.out / "cells").glob("*.parquet"))]
    rows = [row for cell in cells for row in cell if row.get("method") == "BIM"]
    files = sorted((one.out / "pictures").rglob("*.jpg"))
    assert len(files) == 10 * (1 + 3 * 2 * 2)
    for row in rows[:: len(rows) // 8]:
        path = one.out / "pictures" / f"{row['source']} BIM {row['eps']}" / f"{row['person']}.jpg"
        with Image.open(path) as image:
            assert image.format == "JPEG"
        found = bench.ranks([row["person"]], [rgb(path)], aligned_crop(rgb(path)))
        assert found[row["target"]] == [row["rank"]]


def test_the_change_of_a_picture_keeps_its_budget(done: tuple[Study, Findings], eyes: None) -> None:
    bench = Bench(done[0], SMALL, EYES)
    shot = bench.shots["p0"][-1]
    clean = rgb(shot.path).astype(int)

    pictures: dict[str, Pixels] = {}

    class Kept(Judge):
        def file(self, folder: str, shot: Shot, pixels: Pixels) -> Path:
            pictures[folder] = pixels
            return super().file(folder, shot, pixels)

    judge = Kept(bench)
    experiment.attack(bench, judge, "ResNet-50", "ILLC", [shot])
    largest = {name: np.abs(pixels.astype(int) - clean).max() for name, pixels in pictures.items()}
    assert largest == {"ResNet-50 ILLC 4": 4, "ResNet-50 ILLC 16": 16}


def test_the_attacks_work_best_on_their_own_classifier(done: tuple[Study, Findings]) -> None:
    one, findings = done
    outcomes = outcomes_of(one)
    assert outcomes.known[:, 0].mean() > 0.9  # the classifiers know the people
    own = np.stack([outcomes.protected[s, :, :, s] for s in range(3)])  # (S, M, E, K, P)
    others = np.stack([outcomes.protected[s, :, :, t] for s in range(3) for t in range(3) if s != t])
    assert own[:, 1, -1, 0].mean() > 0.8  # BIM at the largest eps, top-1
    assert own.mean() > others.mean() + 0.1
    holds = {claim.text: claim.holds for claim in findings.claims}
    assert [holds[text] for text in tables.CLAIMS[1:]] == [True, True, True]
    assert all("[" in claim.evidence for claim in findings.claims)


def test_tables_have_every_cell_with_its_print(done: tuple[Study, Findings]) -> None:
    short, known, missed, *long = done[1].tables
    assert len(short.rows) == 12
    assert len(known.rows) == 3
    assert known.rows[0][2] == "52"
    assert known.rows[0][3] == "104"
    assert len(missed.rows) == 6
    assert len({table.title for table in long}) == 4
    for table in long:
        assert [len(table.rows), *{len(row) for row in table.rows}] == [12, 16]
        for row in table.rows:
            for column, cell in zip(table.header[1:], row[1:], strict=True):
                text = cell if isinstance(cell, str) else cell.text
                assert re.fullmatch(r"\d+(\.\d)? % \[\d+, \d+\] n=\d+ \(printed [\d.]+\)", text), text
                assert text.endswith(f"(printed {PRINTED['table 1', str(row[0]), column]:g})")
    assert list(done[1].drawings) == ["Figure 3: sources and methods", "Figure 4: targets", "Figure 5: k"]
    assert all(drawing.svg.startswith("<svg") for drawing in done[1].drawings.values())
    assert done[1].stand_ins[0].startswith("crowd plays VGGFace2: 52 of its people")


def test_a_second_run_computes_nothing(
    done: tuple[Study, Findings], eyes: None, undrawn: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, findings = done

    def never(*_args: object, **_settings: object) -> None:
        raise AssertionError("this was done before")

    monkeypatch.setattr(experiment, "fit_head", never)
    monkeypatch.setattr(experiment, "descend", never)
    monkeypatch.setattr(experiment, "embed", never)
    again = run(study(one.data, one.out, never))
    assert again.tables == findings.tables
    assert again.claims == findings.claims


def test_an_interrupted_study_goes_on_to_the_same_end(
    done: tuple[Study, Findings], eyes: None, undrawn: None, people: Path, tmp_path: Path
) -> None:
    other = study(people, tmp_path / "out")
    for path in sorted((done[0].out / "cells").glob("*.parquet"))[::2]:
        (other.out / "cells" / path.name).write_bytes(path.read_bytes())
    assert run(other).tables == done[1].tables


def test_faces_that_are_not_found_are_counted_both_ways(
    done: tuple[Study, Findings], eyes: None, undrawn: None, people: Path, tmp_path: Path
) -> None:
    fields = np.stack([rgb(path)[7::14, 7::14].astype(int) for path in sorted(people.rglob("*.png"))])

    def familiar_only(pixels: Pixels) -> list[Face]:
        """Finds no face whose colors are far from those of every photo."""
        change = np.abs(fields - pixels[7::14, 7::14]).mean(axis=(1, 2, 3)).min()
        return aligned_crop(pixels) if change < 8 else []

    other = study(people, tmp_path / "out", familiar_only)
    found = run(other)
    outcomes = outcomes_of(other)
    assert outcomes.found[:, :, 0].all()  # 4 gray levels are not noticed
    assert not outcomes.found[:, :, 1].all()
    missed = ~outcomes.found[:, :, 1]
    assert outcomes.protected[:, :, 1].transpose(0, 1, 4, 2, 3)[missed].all()
    as_protected = outcomes.counted(conditional=False, missed=True)
    left_out = outcomes.counted(conditional=False, missed=False)
    assert as_protected.all()
    assert (~left_out).sum() == missed.sum() * len(PARTS) * len(TOPS)
    share = found.tables[2].rows[0][2]
    assert not isinstance(share, str)
    assert share.text.split()[0] == f"{100 * missed[0, 0].mean():.0f}"


def test_aligned_photos_are_sought_by_another_detector(
    eyes: None, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an aligned crop a face cannot be missed."""
    monkeypatch.setattr(experiment, "dlib_hog", lambda: lambda _pixels: [])
    one = Study(paper.PAPER, people, tmp_path / "out", aligned_crop, "aligned")
    with pytest.raises(AuditError, match="No face is found in a saved photo"):
        run(one)


def test_few_probes_show_no_direction(eyes: None, undrawn: None, people: Path, tmp_path: Path) -> None:
    few = run(study(people, tmp_path / "out"), Size(55, 3, 2, (4,)))
    assert [claim.holds for claim in few.claims] == [None] * 4


def test_too_few_people_for_the_top_50_are_refused(eyes: None, tmp_path: Path) -> None:
    one = study(crowd(tmp_path / "few", people=5), tmp_path / "out")
    with pytest.raises(AuditError, match=r"few has 5 people .* top-50 needs more than 50"):
        run(one)


def test_three_different_networks_play(
    people: Path, tmp_path: Path, installed: Path, dlib_alone: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISARD_HOME", str(installed))

    def names(out: str, **chosen: str) -> list[str]:
        chosen = {part.replace("_", "-"): name for part, name in chosen.items()}
        return [one.name for one in cast(study(people, tmp_path / out, chosen=chosen), PARTS, paper.STAND_INS).values()]

    assert names("a", FaceNet="blind", ResNet_50="sharp") == ["blind", "sharp", "dlib-resnet"]
    with pytest.raises(RecognizerError, match='Nobody plays "FaceNet"'):
        names("b", SENet_50="dlib-resnet", ResNet_50="sharp")
    with pytest.raises(SettingError, match="blind plays both FaceNet and ResNet-50"):
        names("c", FaceNet="blind", ResNet_50="blind", SENet_50="sharp")


def test_a_black_box_is_no_source(monkeypatch: pytest.MonkeyPatch, people: Path, tmp_path: Path) -> None:
    card = Card(
        name="sealed", format="onnx-black-box", file="none", sha256="x", input=(112, 112), crop=(0, 0, 112, 112),
        mean=(0, 0, 0), std=(255, 255, 255), dim=64,
    )  # fmt: skip
    sealed = Recognizer(card, Colors(4, 1))
    monkeypatch.setattr(Study, "recognizer", lambda _study, _part, *_stand_ins: sealed)
    with pytest.raises(SettingError, match=r'sealed gives no gradient.*--network "FaceNet=NAME"'):
        cast(study(people, tmp_path / "out"), PARTS, paper.STAND_INS)


def test_a_face_in_a_batch_with_larger_ones_is_seen_as_it_is_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    large, gray = rng.integers(0, 255, (160, 160, 3), np.uint8), rng.integers(0, 255, (112, 112), np.uint8)
    Image.fromarray(gray).save(tmp_path / "gray.png")
    pictures = [large, rgb(tmp_path / "gray.png")]
    assert pictures[1].shape == (112, 112, 3)
    far = aligned_crop(large)[0].moved(1.3, (-20.0, -20.0))
    patches = [experiment.whole_patch(p, f) for p, f in zip(pictures, [far, aligned_crop(pictures[1])[0]], strict=True)]
    both = experiment.together(patches)
    one = EYES["ResNet-50"]
    for i, patch in enumerate(patches):
        alone = embed(one, Faces(patch.pixels, patch.frames))
        assert torch.allclose(embed(one, both)[i], alone[0], atol=1e-5)
    assert patches[0].pixels.shape != patches[1].pixels.shape


def test_what_lies_beyond_the_photo_does_not_change() -> None:
    photo = np.full((160, 160, 3), 99, np.uint8)
    patch = experiment.whole_patch(photo, aligned_crop(photo)[0].moved(1.0, (-40.0, 0.0)))
    assert torch.equal(patch.mask > 0, patch.pixels[:, :1] > 0)
    assert 0.5 < patch.mask.mean() < 0.9


@pytest.mark.assets
def test_the_command_runs_the_paper(
    assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the recognizers that come with visard."""
    monkeypatch.setenv("VISARD_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(paper, "QUICK", Size(51, 3, 2, (4, 16)))
    data, out = assets / "data/lfw-160", tmp_path / "study"
    words = ["reproduce", "ghafourian2023", "--data", data, "--detector", "aligned", "--out", out, "--quick"]
    monkeypatch.setattr(sys, "argv", ["visard", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code, capsys.readouterr().err
    report = (out / "report.md").read_text()
    assert "lfw-160 plays VGGFace2" in report or "LFW plays VGGFace2" in report
    assert all(f"{name} plays" in report for name in ("dlib-resnet", "visard-resnet", "visard-vgg"))
    assert "A quick run" in report
    trials = pq.read_table(out / "trials.parquet").to_pylist()
    clean = [row["rank"] for row in trials if row["method"] == "unchanged"]
    own = [row["rank"] for row in trials if row["method"] == "BIM" and row["source"] == row["target"]]
    assert np.mean(np.array(clean) == 1) > 0.6
    assert min(own[-3:]) > 1
