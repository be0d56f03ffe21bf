"""Adversarial training: what it learns from, what it leaves alone, what it gains, and how it goes on."""

import errno
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from learners import made_crops, tiny_recognizer
from visard.cloak import Faces, Method, Task, dodging, find
from visard.errors import HardeningError, SettingError, WriteError
from visard.generator import Crops, window
from visard.generator.learner import frames_in
from visard.hardening import Material, descent, embed_faces, find_defence
from visard.hardening.adaptive import white_box
from visard.hardening.defences import adversarial as module
from visard.hardening.defences.adversarial import adversarial
from visard.recognizer import Recognizer

QUICK: dict[str, Any] = {"steps": 4, "batch": 4, "attack_steps": 1}


@pytest.fixture
def base() -> Recognizer:
    return tiny_recognizer(0)


def small(**facts: Any) -> Material:
    return Material(made_crops(6, 1, seed=1), **facts)


def cosine(recognizer: Recognizer, faces: Tensor, other: Recognizer, others: Tensor) -> float:
    """The mean cosine of two recognizers' embeddings, face by face."""
    return float((embed_faces(recognizer, faces) * embed_faces(other, others)).sum(dim=1).mean())


def test_cloaks_move_a_hardened_recognizer_less_and_clean_faces_stay_where_they_were(base: Recognizer) -> None:
    """On people it never saw, against who has its weights; not saved, for JPEG takes away what fools small networks."""
    settings = {"steps": 25, "batch": 8, "rate": 5e-4, "saved": 0, "weight": 3, "relation": 0}
    hardened = find_defence("adversarial").harden(base, Material(made_crops(32, 1, seed=1)), settings)
    strangers = made_crops(6, 1, seed=2).pixels
    before, after = (_under_attack(one, strangers) for one in (base, hardened))
    assert before < -0.5
    assert after > before + 1
    assert cosine(hardened, strangers, base, strangers) > 0.75


def _under_attack(recognizer: Recognizer, faces: Tensor) -> float:
    """The mean cosine to the clean faces that a white box leaves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("visard.hardening.material.as_posted", lambda cloaked: (255 * cloaked).round().byte())
        return cosine(recognizer, faces, recognizer, white_box(recognizer, faces, steps=5, restarts=1))


def test_what_was_cloaked_beforehand_is_learned_too(base: Recognizer) -> None:
    """Mirrored faces have mirrored cloaks, or nothing could be learned of this one."""
    clean = made_crops(12, 1, seed=1)
    half = torch.arange(64) < 32
    stained = torch.where(half, clean.pixels // 3, clean.pixels)
    hardened = adversarial(base, Material(clean, {"shade": stained}), steps=40, batch=8, rate=1e-3, live=0)
    for flip in (False, True):
        faces, others = (x.flip(3) if flip else x for x in (clean.pixels, stained))
        assert cosine(hardened, others, base, faces) > cosine(base, others, base, faces) + 0.05


@pytest.mark.parametrize("past", [0.0, 0.5, 1.0])
def test_some_cloaks_are_made_against_the_base(base: Recognizer, past: float, monkeypatch: pytest.MonkeyPatch) -> None:
    against: list[bool] = []

    def watched(recognizers: Sequence[Recognizer], anchors: Sequence[Tensor]) -> Any:
        against.append(recognizers[0] is base)
        return dodging(recognizers, anchors)

    monkeypatch.setattr(module, "dodging", watched)
    adversarial(base, small(), **{**QUICK, "steps": 16}, past=past)
    assert len(against) == 16
    assert (any(against), all(against)) == (past > 0, past == 1)


def test_the_base_stays_as_it_was_and_the_card_says_what_was_done(base: Recognizer) -> None:
    before = {name: value.clone() for name, value in base.state_dict().items()}
    random = torch.random.get_rng_state()
    hardened = adversarial(base, small(cloaked={"shade": small().clean.pixels}), **QUICK)
    assert torch.equal(torch.random.get_rng_state(), random)
    assert all(torch.equal(value, before[name]) for name, value in base.state_dict().items())
    assert not any(weight.requires_grad for weight in (*base.parameters(), *hardened.parameters()))
    assert not hardened.network.training
    assert hardened.card.role == "adaptive"
    assert hardened.card.loss == "distilled from tiny-0, clean and under cloaks of pgd, mi-di-fgsm, visard, shade"
    assert hardened.card.training_data.endswith("hardened on 6 photos of 6 people")
    assert "steps=4, batch=4, rate=0.0005, eps=0.0156863" in hardened.card.source


def test_a_cloak_is_made_against_the_network_as_it_will_be_used(
    base: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its weights ask for no gradient then, and nothing is normalized by the batch."""
    base.network = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.5), base.network).eval().requires_grad_(False)
    asked: set[tuple[bool, bool]] = set()
    learned: list[bool] = []
    embed = Recognizer.embed

    def spied(recognizer: Recognizer, faces: Tensor) -> Tensor:
        modes = {module.training for module in recognizer.network.modules()}
        if faces.requires_grad:
            asked.add((any(weight.requires_grad for weight in recognizer.parameters()), any(modes)))
        elif recognizer is not base:
            learned.extend(module.training for module in recognizer.network[:2])  # type: ignore[index]
        return embed(recognizer, faces)

    monkeypatch.setattr(Recognizer, "embed", spied)
    hardened = adversarial(base, small(), **QUICK)
    assert asked == {(False, False)}
    assert learned[-2:] == [True, False]  # dropout stays off
    norm, old = hardened.network[0], base.network[0]  # type: ignore[index]
    assert not torch.equal(norm.running_mean, old.running_mean)
    assert not torch.equal(norm.weight, old.weight)
    assert torch.equal(old.running_mean, torch.zeros(3))


def test_all_methods_are_drawn(base: Recognizer, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: set[str] = set()

    def noted(name: str) -> Method:
        drawn.add(name)
        return find(name)

    monkeypatch.setattr(module, "find", noted)
    adversarial(base, small(), **{**QUICK, "steps": 12})
    assert drawn == {"pgd", "mi-di-fgsm", "visard"}


def test_a_pattern_is_one_for_all_faces_coarse_and_fools_what_it_is_made_against(base: Recognizer) -> None:
    faces = 0.3 + 0.4 * made_crops(6, 1, seed=1).pixels.float() / 255  # the range binds nowhere
    frames = frames_in(window(faces.shape[-1]), 1).expand(len(faces), -1, -1)
    anchors = embed_faces(base, (255 * faces).round().byte())
    task = Task(Faces(faces, frames), dodging([base], [anchors]), generator=torch.Generator().manual_seed(0))
    seen: list[Tensor] = []

    def watch(_step: int, delta: Tensor) -> None:
        seen.append(task.objective(task.seen(delta)).mean())

    change = module.pattern(replace(task, watch=watch), 0.2, 6)
    assert float(change.abs().max()) <= 0.2 + 1e-6
    assert torch.equal(change, change[:1].expand_as(change))
    assert float(change.abs().mean()) < 0.5 * float(change.abs().max())  # strong in few places
    assert float(seen[-1]) < float(seen[0]) - 0.05


def test_a_pattern_is_among_the_methods_where_it_has_a_strength(
    base: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[float] = []

    def noted(task: Task, eps: float, _steps: int) -> Tensor:
        made.append(eps)
        return torch.zeros_like(task.faces.pixels)

    monkeypatch.setattr(module, "pattern", noted)
    hardened = adversarial(base, small(), **{**QUICK, "steps": 12}, pattern=0.2)
    assert made
    assert 0.05 <= min(made) <= max(made) <= 0.2
    assert "cloaks of pgd, mi-di-fgsm, visard, pattern" in hardened.card.loss
    adversarial(base, small(), **QUICK)
    assert len(made) < 12


@pytest.mark.parametrize("steps", [1, 3])
def test_an_interrupted_training_goes_on_bit_for_bit(
    base: Recognizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    whole = adversarial(base, small(), **QUICK)
    monkeypatch.setattr(descent, "SAVE_SECONDS", 0.0)
    material = small(checkpoint=tmp_path / "a.pt")
    loss, begun = module._Lesson.loss, 0

    def stopping(lesson: Any, generator: torch.Generator) -> Tensor:
        nonlocal begun
        begun += 1
        if begun > steps:
            raise KeyboardInterrupt
        return loss(lesson, generator)

    with monkeypatch.context() as patch:
        patch.setattr(module._Lesson, "loss", stopping)
        with pytest.raises(KeyboardInterrupt):
            adversarial(base, material, **QUICK)
    resumed = adversarial(base, material, **QUICK)
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name
    with monkeypatch.context() as patch:
        patch.setattr(module._Lesson, "loss", None)  # a finished training is not run again
        again = adversarial(base, material, **QUICK)
    assert torch.equal(again.network.layers[0].weight, whole.network.layers[0].weight)  # type: ignore[union-attr,index]


def test_a_full_disk_leaves_the_last_checkpoint_whole(
    base: Recognizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    material = small(checkpoint=tmp_path / "a.pt")
    monkeypatch.setattr(descent, "SAVE_SECONDS", 0.0)
    sync, written = os.fsync, 0

    def full(handle: int) -> None:
        nonlocal written
        written += 1
        if written > 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(WriteError, match=r"a\.pt could not be written: the disk is full"):
            adversarial(base, material, **QUICK)
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]
    lines: list[str] = []
    adversarial(base, small(checkpoint=tmp_path / "a.pt", watch=lines.append), **QUICK)
    assert [line.split(":")[1] for line in lines] == [" step 3 of 4", " step 4 of 4"]


def test_a_checkpoint_of_another_training_is_refused(base: Recognizer, tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    adversarial(base, small(checkpoint=path), **QUICK)
    others: list[tuple[str, Recognizer, Material, dict[str, Any]]] = [
        ("settings", base, small(checkpoint=path), {**QUICK, "eps": 0.1}),
        ("recognizer", tiny_recognizer(1), small(checkpoint=path), QUICK),
        ("seed", base, small(checkpoint=path, seed=1), QUICK),
        ("faces", base, Material(made_crops(6, 1, seed=2), checkpoint=path), QUICK),
        ("cloaks", base, small(checkpoint=path, cloaked={"a": small().clean.pixels}), QUICK),
    ]
    for what, recognizer, material, settings in others:
        with pytest.raises(HardeningError, match=rf"a\.pt was begun with other {what}; give the same"):
            adversarial(recognizer, material, **settings)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"steps": 0}, "adversarial: steps, batch and attack_steps must be 1 or more."),
        ({"saved": 1.5}, "adversarial: live, past, pattern and saved are at most 1, got 0.5, 0, 0 and 1.5."),
        ({"eps": 12}, "adversarial: eps is a share of a pixel's full range"),
        ({"speed": 1}, 'adversarial has no setting "speed".'),
    ],
)
def test_settings_out_of_range(base: Recognizer, settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingError) as error:
        find_defence("adversarial").harden(base, small(), settings)
    assert str(error.value).startswith(sentence)


def test_a_training_that_comes_apart_says_so(base: Recognizer) -> None:
    broken = tiny_recognizer(0)
    broken.network.layers[0].weight.fill_(float("nan"))  # type: ignore[union-attr,index]
    with pytest.raises(
        HardeningError, match="adversarial came apart at step 1: the loss is not finite; set a lower rate"
    ):
        adversarial(broken, small(), **QUICK)


def test_one_person_with_one_photo_teaches_as_well(base: Recognizer) -> None:
    clean = Crops(made_crops(2, 1).pixels[:1], torch.zeros(1, dtype=torch.long))
    assert adversarial(base, Material(clean), **QUICK).card.training_data.endswith("1 photos of 1 people")
