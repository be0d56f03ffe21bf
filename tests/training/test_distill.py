"""The distillation script: what it asks of a student, and that a broken run goes on bit for bit."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import fx
from torch.fx.passes.shape_prop import ShapeProp

import distill
import pictures
from visard.recognizer import Card, Recognizer
from visard.recognizer.networks.small import SMALL, small_resnet

PEOPLE = list("aabbccdd")
Run = Callable[[Path], None]


@pytest.fixture(scope="module")
def teacher() -> Recognizer:
    """An untrained residual network, traced as the ONNX importer would have it."""
    torch.manual_seed(5)
    graph = fx.symbolic_trace(small_resnet(16).eval())
    ShapeProp(graph).propagate(torch.zeros(2, 3, 112, 112))
    for node in graph.graph.nodes:
        if hasattr(node.meta.get("tensor_meta"), "shape"):
            node.meta["shape"] = tuple(node.meta["tensor_meta"].shape)
    card = Card(
        name="made", format="onnx", file="made.onnx", sha256="", input=(112, 112), crop=(0, 0, 112, 112),
        mean=(127.5,) * 3, std=(127.5,) * 3, dim=16,
    )  # fmt: skip
    return Recognizer(card, graph)


@pytest.fixture
def run(teacher: Recognizer, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Two rounds of 16 faces, the second with cloaks."""
    monkeypatch.setattr(distill, "ROUND", 16)
    monkeypatch.setattr(distill, "BATCH", 8)
    monkeypatch.setattr(distill, "REUSE", 1)
    faces = (torch.rand(20, 3, 160, 160, generator=torch.Generator().manual_seed(1)) * 255).byte()

    def go(out: Path) -> None:
        distill.distill(
            teacher, "small-vgg", faces, (faces[:8], PEOPLE), out, rounds=2, rate=2e-3, cloaked=0.25, cloaked_from=1,
            seed=3,
        )  # fmt: skip

    return go


def test_a_broken_run_goes_on_bit_for_bit(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path / "whole.pt")
    real, calls = distill.validate, []

    def breaks(*given: object) -> dict[str, float]:
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(distill, "validate", breaks)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken.pt")
    monkeypatch.setattr(distill, "validate", real)
    run(tmp_path / "broken.pt")
    whole, broken = (torch.load(tmp_path / name, weights_only=True) for name in ("whole.pt", "broken.pt"))
    assert whole["network"].keys() == broken["network"].keys()
    assert all(torch.equal(value, broken["network"][key]) for key, value in whole["network"].items())
    assert [row["round"] for row in broken["history"]] == [1, 2]


def test_the_teacher_shows_its_maps(teacher: Recognizer) -> None:
    x = torch.rand(2, 3, 112, 112)
    embedding, maps = distill.teacher_with_maps(teacher)(x)
    assert [m.shape[2] for m in maps] == list(distill.MAP_SIZES)
    torch.testing.assert_close(embedding, teacher.network(x))


@pytest.mark.parametrize("name", sorted(SMALL))
def test_a_student_that_equals_its_teacher_loses_nothing(name: str) -> None:
    """The loss's terms are all zero for equal embeddings and maps."""
    torch.manual_seed(0)
    student = Recognizer(distill.student_card(_card(dim=16), name), SMALL[name](16))
    inputs = (torch.rand(4, 3, 112, 112) * 255).byte()
    targets = object.__new__(distill.Targets)
    with torch.no_grad():
        maps = student.network.features(student.normalize(inputs.float() / 255))
        embeddings = torch.nn.functional.normalize(student.network.embed(maps[-1]))
    targets.inputs, targets.embeddings, targets.maps = inputs, embeddings, maps
    same = torch.nn.ModuleList(torch.nn.Identity() for _ in maps)
    terms = distill.loss(student, same, targets, torch.arange(4))
    assert all(float(term.detach()) == pytest.approx(0, abs=1e-5) for term in terms.values())


def test_variations_are_seeded_pictures() -> None:
    faces = (torch.rand(12, 3, 160, 160) * 255).byte()
    one, again, other = (pictures.varied(faces, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert one.shape == (12, 3, 160, 160)
    assert float(one.min()) >= 0
    assert float(one.max()) <= 1


def test_validation_people_are_kept_apart(tmp_path: Path) -> None:
    """Nobody is trained on and validated on."""
    rows = []
    for i in range(41):
        path = tmp_path / "lfw-160" / f"p{i:02}" / "a.jpg"
        path.parent.mkdir(parents=True)
        Image.new("RGB", (160, 160), (i, i, i)).save(path)
        rows.append((f"p{i:02}/a.jpg", f"p{i:02}", "train" if i < 40 else "test"))
    for name in ("sfhq-160", "tpdne-160"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (160, 160)).save(tmp_path / name / f"{name}.jpg")
    with (tmp_path / "lfw-160" / "meta.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "person", "role"), *rows])
    (train, people), (apart, others) = (pictures.load(tmp_path, validation=v) for v in (False, True))
    assert (len(train), len(apart)) == (38 + 2, 2)
    assert not set(people) & set(others)
    assert "p40" not in {*people, *others}


def _card(dim: int) -> Card:
    return Card(
        name="teacher", format="onnx", file="t.onnx", sha256="", input=(112, 112), crop=(0, 0, 112, 112),
        mean=(127.5,) * 3, std=(127.5,) * 3, dim=dim,
    )  # fmt: skip
