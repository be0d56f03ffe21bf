"""Filters, small networks and other losses: each does what it is for, on small recognizers that see only colors."""

import copy
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from learners import made_crops, tiny_recognizer
from visard.cloak import find as find_method
from visard.errors import HardeningError, SettingError
from visard.generator import Crops
from visard.hardening import Material, cloaked_faces, descent, embed_faces, find_defence
from visard.hardening.defences.detector import _threshold
from visard.hardening.defences.parseval import tighten
from visard.hardening.defences.vos2023 import Course
from visard.hardening.material import as_posted, seen_by
from visard.recognizer import Recognizer
from visard.recognizer.front import Bits, Median

QUICK: dict[str, dict[str, Any]] = {
    "denoiser": {"steps": 60, "batch": 8, "rate": 5e-3, "guide": 3.0, "width": 16, "depth": 3},
    "detector": {"steps": 60, "batch": 16},
    "parseval": {"epochs": 2, "batch": 8},
    "projection": {"steps": 80, "batch": 4, "rate": 5e-3, "width": 8, "code": 6, "search": 2},
    "purification": {},
    "smoothing": {"epochs": 2, "batch": 8},
    "squeezing": {"depth": 3, "size": 5},
}


@pytest.fixture(scope="module")
def base() -> Recognizer:
    return tiny_recognizer(1)


def cloaked(crops: Crops, base: Recognizer) -> Tensor:
    return cloaked_faces(crops.pixels, find_method("pgd"), [base], {"eps": 12 / 255, "steps": 5})


@pytest.fixture(scope="module")
def material(base: Recognizer) -> Material:
    crops = made_crops(people=15)
    return Material(crops, {"pgd": cloaked(crops, base)})


@pytest.fixture(scope="module")
def others(base: Recognizer) -> tuple[Tensor, Tensor]:
    """Clean and cloaked faces of people whom no defence saw."""
    crops = made_crops(people=10, seed=7)
    return crops.pixels, cloaked(crops, base)


def to_itself(one: Recognizer, clean: Tensor, cloaked: Tensor) -> float:
    """The mean cosine of cloaked faces to their clean selves."""
    return float((embed_faces(one, clean) * embed_faces(one, cloaked)).sum(dim=1).mean())


@pytest.mark.parametrize("name", QUICK)
def test_every_defence(name: str, base: Recognizer, material: Material, others: tuple[Tensor, Tensor]) -> None:
    """A recognizer of its own, the same from the same seed; nothing else is changed."""
    before = copy.deepcopy(base.state_dict())
    state = torch.get_rng_state()
    settings = {**QUICK[name], **{key: 3 for key in ("steps",) if key in QUICK[name]}}
    made = find_defence(name).harden(base, material, settings)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[key]) for key, value in base.state_dict().items())
    card = made.card
    assert (card.role, card.format, card.base, card.thresholds) == ("adaptive", "derived", "tiny-1", ())
    assert f"defence {name}: " in card.source
    assert card.limits != "not stated"
    assert not any(weight.requires_grad for weight in made.parameters())
    again = find_defence(name).harden(base, material, settings)
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in made.state_dict().items())
    faces = seen_by(made, others[0][:2].float() / 255).requires_grad_(True)
    made.embed(faces)[:, 0].sum().backward()
    assert faces.grad is not None
    assert float(faces.grad.abs().max()) > 0
    page = find_defence(name).page
    assert "What differs" in page
    assert all(f"`{setting}`" in page for setting in find_defence(name).settings)


@pytest.mark.parametrize(
    ("name", "gained", "kept"),
    [("denoiser", 0.3, 0.97), ("projection", 0.8, 0.9), ("purification", 0.6, 0.98), ("squeezing", 0.6, 0.95)],
)
def test_cloaks_do_less(
    name: str, gained: float, kept: float, base: Recognizer, material: Material, others: tuple[Tensor, Tensor]
) -> None:
    """Of the way from a cloaked face to its clean self this share is `gained`; a clean face is `kept` as it was."""
    made = find_defence(name).harden(base, material, QUICK[name])
    lost, left = 1 - to_itself(base, *others), 1 - to_itself(made, *others)
    same = (embed_faces(base, others[0]) * embed_faces(made, others[0])).sum(dim=1).mean()
    assert left < (1 - gained) * lost
    assert float(same) > kept


def test_the_filters_are_what_the_settings_say(base: Recognizer, material: Material) -> None:
    made = find_defence("squeezing").harden(base, material, {"depth": 3, "size": 5})
    faces = seen_by(base, material.clean.pixels[:3].float() / 255)
    torch.testing.assert_close(made.embed(faces), base.embed(Median(size=5)(Bits(depth=3)(faces))))
    assert made.card.front == ({"name": "bits", "depth": 3}, {"name": "median", "size": 5})
    (jpeg, median, smooth) = (
        find_defence("purification").harden(base, material, {"quality": 40, "weight": 0.1}).card.front
    )
    assert (jpeg["quality"], median["size"], smooth["weight"]) == (40, 3, 0.1)


def test_a_denoiser_is_trained_on_what_stands_behind_the_rest(base: Recognizer, material: Material) -> None:
    first = find_defence("squeezing").harden(base, material, {"depth": 2, "size": 1})
    both = find_defence("denoiser").harden(first, material, QUICK["denoiser"] | {"steps": 3})
    assert [entry["name"] for entry in both.card.front] == ["bits", "median", "denoiser"]
    assert both.card.base == "tiny-1"


def test_the_detector(base: Recognizer, material: Material, others: tuple[Tensor, Tensor]) -> None:
    lines: list[str] = []
    made = find_defence("detector").harden(base, replace(material, watch=lines.append), QUICK["detector"])
    assert made.detector is not None
    assert made.card.detector is not None
    clean, posted, under = (
        (made.detector(seen_by(made, faces.float() / 255)) >= made.card.detector).float().mean().item()
        for faces in (others[0], as_posted(others[0].float() / 255), others[1])
    )
    assert under > 0.9
    assert max(clean, posted) < 0.1
    assert torch.equal(embed_faces(made, others[0]), embed_faces(base, others[0]))
    assert "at 1% false alarms" in lines[-1]
    assert "of pgd" in made.card.limits


@pytest.mark.parametrize(("count", "alarms"), [(30, 0), (99, 0), (100, 1), (1000, 10)])
def test_the_threshold_of_the_detector(count: int, alarms: int) -> None:
    """As many false alarms as are allowed, and the next clean face is just below, in float32."""
    logits = torch.randperm(count, generator=torch.Generator().manual_seed(0)).float() / 7
    threshold = _threshold(logits)
    assert int((logits >= threshold).sum()) == alarms
    assert threshold - float(logits.sort(descending=True)[0][alarms]) < 1e-4


def test_smoothed_labels(base: Recognizer, material: Material) -> None:
    """The loss of a step by hand: the share that all have in common is spread over all people."""
    rows = torch.arange(6)
    course = Course(base, material, "clean", "sequential", "softmax", 1e-4, 8, spread=0.3)
    with torch.no_grad():
        seen = base.normalize(seen_by(base, material.clean.pixels[:6].float() / 255))
        logs = F.log_softmax(course.head(course.network(seen)), dim=1)
    wanted = torch.full((6, 15), 0.3 / 15)
    wanted[rows, material.clean.people[:6]] += 0.7
    assert course.step(rows) == pytest.approx(float(-(wanted * logs).sum(dim=1).mean()), rel=1e-5)


@pytest.mark.parametrize("name", ["parseval", "smoothing"])
def test_people_are_told_apart_better(name: str, base: Recognizer, material: Material) -> None:
    def apart(one: Recognizer) -> float:
        cosines = embed_faces(one, material.clean.pixels)
        same = material.clean.people[:, None] == material.clean.people
        found = cosines @ cosines.T
        return float(found[same].mean() - found[~same].mean())

    made = find_defence(name).harden(base, material, {"epochs": 4, "batch": 8, "rate": 1e-3})
    assert apart(made) > apart(base) + 0.1


@pytest.mark.parametrize("shape", [(6, 20), (20, 6), (8, 3, 3, 3)])
def test_a_step_toward_a_tight_frame(shape: tuple[int, ...]) -> None:
    """Each singular value s, in units of their mean square, becomes (1 + beta) s - beta s^3; the norm stays."""
    layer = nn.Linear(*shape[::-1]) if len(shape) == 2 else nn.Conv2d(3, 8, 3)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(shape, generator=torch.Generator().manual_seed(0)))
    before = torch.linalg.svdvals(layer.weight.detach().flatten(1))
    unit = before / before.square().mean().sqrt()
    tighten(layer, 0.05)
    after = torch.linalg.svdvals(layer.weight.detach().flatten(1))
    moved = (1.05 * unit - 0.05 * unit**3).sort(descending=True)[0]
    torch.testing.assert_close(after / after.square().mean().sqrt(), moved / moved.square().mean().sqrt())
    assert float(after.norm()) == pytest.approx(float(before.norm()), rel=1e-5)
    for _ in range(300):
        tighten(layer, 0.05)
    after = torch.linalg.svdvals(layer.weight.detach().flatten(1))
    assert float(after.max() / after.min()) < 1.01


def test_what_parseval_leaves_alone() -> None:
    """Single channels, biases, lone numbers."""
    layers = nn.Sequential(nn.Conv2d(4, 4, 3, groups=4), nn.BatchNorm2d(4), nn.PReLU())
    before = copy.deepcopy(layers.state_dict())
    tighten(layers, 0.1)
    assert all(torch.equal(value, before[key]) for key, value in layers.state_dict().items())


def test_parseval_stretches_less(base: Recognizer, material: Material) -> None:
    def stretch(one: Recognizer) -> float:
        matrices = [weight.detach().flatten(1) for weight in one.network.parameters() if weight.ndim > 1]
        values = [torch.linalg.svdvals(matrix) for matrix in matrices]
        return math.prod(float(v.max() / v.square().mean().sqrt()) for v in values)

    loose, tight = (
        find_defence("parseval").harden(base, material, {"epochs": 4, "batch": 8, "beta": beta}) for beta in (0.0, 0.02)
    )
    assert stretch(tight) < 0.85 * stretch(loose)


class Stop(Exception):
    """As if somebody pressed Ctrl-C."""


@pytest.mark.parametrize("name", ["denoiser", "detector", "projection"])
def test_an_interrupted_training_goes_on_bit_for_bit(
    name: str, base: Recognizer, material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(line: str) -> None:
        if "step 6 of" in line:
            raise Stop

    settings = {**QUICK[name], "steps": 10}
    whole = find_defence(name).harden(base, material, settings)
    monkeypatch.setattr(descent, "SAVE_SECONDS", 0.0)
    kept = replace(material, checkpoint=tmp_path / "state")
    with pytest.raises(Stop):
        find_defence(name).harden(base, replace(kept, watch=stop), settings)
    lines: list[str] = []
    made = find_defence(name).harden(base, replace(kept, watch=lines.append), settings)
    assert "step 7 of 10" in lines[0]
    assert all(torch.equal(value, whole.state_dict()[key]) for key, value in made.state_dict().items())
    with pytest.raises(HardeningError, match="begun with other settings"):
        find_defence(name).harden(base, kept, {**settings, "rate": 0.1})


@pytest.mark.parametrize("name", ["denoiser", "detector"])
def test_nothing_to_learn_from(name: str, base: Recognizer, material: Material) -> None:
    with pytest.raises(HardeningError, match=f"{name} learns from cloaked faces; name methods that make them"):
        find_defence(name).harden(base, Material(material.clean))


def test_too_few_people(base: Recognizer) -> None:
    crops = made_crops(people=4)
    with pytest.raises(HardeningError, match="detector leaves one of 5 people out; give photos of that many"):
        find_defence("detector").harden(base, Material(crops, {"pgd": crops.pixels}))


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        ("denoiser", {"batch": 1}, "denoiser: batch must be 2 or more, got 1"),
        ("denoiser", {"depth": 1}, "denoiser: depth must lie in 2 to 64, got 1"),
        ("denoiser", {"rate": -1.0}, "rate cannot be negative"),
        ("detector", {"batch": 1}, "detector: batch must be 2 or more, got 1"),
        ("parseval", {"beta": 0.5}, "parseval: beta must be below 0.5, got 0.5"),
        ("projection", {"batch": 0}, "projection: batch must be 1 or more, got 0"),
        ("projection", {"code": 0}, "projection: code must lie in 1 to 512, got 0"),
        ("purification", {"quality": 0}, "jpeg: quality must lie in 1 to 100, got 0"),
        ("smoothing", {"spread": 1.0}, "smoothing: spread is a share, below 1, got 1"),
        ("squeezing", {"size": 2}, "median: size must be odd, got 2"),
        ("squeezing", {"dept": 2}, 'squeezing has no setting "dept". Did you mean "depth"'),
    ],
)
def test_settings_that_cannot_be(
    name: str, settings: dict[str, Any], sentence: str, base: Recognizer, material: Material
) -> None:
    with pytest.raises(SettingError, match=sentence):
        find_defence(name).harden(base, material, settings)


def test_a_training_that_comes_apart(base: Recognizer, material: Material) -> None:
    with pytest.raises(HardeningError, match=r"denoiser came apart at step \d+: the loss is not finite"):
        find_defence("denoiser").harden(base, material, {**QUICK["denoiser"], "guide": 1e39})
