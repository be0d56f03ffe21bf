"""Algorithm 1 of Vos 2023: what it learns from, in which order, what it changes, and how it goes on."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from learners import made_crops, tiny_recognizer
from visard.errors import HardeningError, SettingError, WriteError
from visard.generator import Crops
from visard.hardening import Material, embed_faces, find_defence
from visard.hardening.defences import vos2023
from visard.hardening.defences.vos2023 import Course
from visard.hardening.outcome import outcomes
from visard.recognizer import Recognizer

RATE = 1e-3  # the paper's is for networks that know faces
FAR = 0.01


def stained(crops: Crops, seed: int) -> Tensor:
    """A cloak for tests: one and the same soft stain, in its own or in opposite colors."""
    generator = torch.Generator().manual_seed(seed)
    stain = made_crops(1, 1, seed=99).pixels.float() - 0.45 * 255
    signs = torch.randint(2, (len(crops), 1, 1, 1), generator=generator) * 2 - 1
    return (crops.pixels + 1.3 * signs * stain).clamp(0, 255).round().byte()


@pytest.fixture(scope="module")
def base() -> Recognizer:
    return tiny_recognizer(0)


@pytest.fixture(scope="module")
def material() -> Material:
    clean = made_crops(32, 2, seed=1)
    return Material(clean, {"stain": stained(clean, seed=4)})


def harden(base: Recognizer, material: Material, **settings: Any) -> Recognizer:
    return find_defence("vos2023").harden(base, material, {"rate": RATE, **settings})


def small(**changes: Any) -> Material:
    clean = made_crops(4, 2, seed=1)
    return Material(clean, {"stain": stained(clean, seed=4)}, **changes)


def test_hardened_against_a_cloak_it_does_not_miss_it_on_people_it_never_saw(
    base: Recognizer, material: Material
) -> None:
    """Clean photos alone do not do it, which shows that the cloaked ones did."""
    people, others = made_crops(8, 3, seed=2), made_crops(24, 2, seed=3)
    cloaked = stained(people, seed=5)
    arms = {"none": base, **{arm: harden(base, material, arm=arm) for arm in ("clean", "both")}}
    found = {arm: outcomes(one, people, {"stain": cloaked}, others, FAR)["stain"] for arm, one in arms.items()}
    assert found["none"].asr.value > 0.3
    assert found["clean"].asr.value > 0.2
    assert found["both"].asr.value < 0.05
    assert found["both"].eer["normal-normal"].value <= found["none"].eer["normal-normal"].value + 0.002


def test_each_epoch_has_all_clean_batches_and_then_all_cloaked_ones(base: Recognizer, material: Material) -> None:
    course = Course(base, material, "both", "sequential", "softmax", RATE, 10)
    for epoch in (0, 1):
        batches = course.batches(epoch)
        assert torch.cat(batches[:7]).sort().values.tolist() == list(range(64))
        assert torch.cat(batches[7:]).sort().values.tolist() == list(range(64, 128))
    assert not torch.equal(course.batches(0)[0], course.batches(1)[0])


@pytest.mark.parametrize(
    ("arm", "rows"), [("clean", range(64)), ("obfuscated", range(64, 128)), ("both", range(128)), ("none", range(0))]
)
@pytest.mark.parametrize("schedule", ["sequential", "interleaved", "mixed"])
def test_an_arm_sees_each_of_its_faces_once_an_epoch(
    base: Recognizer, material: Material, arm: Any, rows: range, schedule: Any
) -> None:
    batches = Course(base, material, arm, schedule, "softmax", RATE, 32).batches(0)
    assert sorted(row for batch in batches for row in batch.tolist()) == list(rows)


def test_schedules_differ_in_where_the_cloaked_faces_come(base: Recognizer, material: Material) -> None:
    def kinds(schedule: Any) -> list[list[bool]]:
        batches = Course(base, material, "both", schedule, "softmax", RATE, 16).batches(0)
        return [sorted(set((batch >= 64).tolist())) for batch in batches]

    assert kinds("sequential") == [[False]] * 4 + [[True]] * 4
    assert kinds("interleaved") == [[False], [True]] * 4
    assert kinds("mixed") == [[False, True]] * 8


def test_a_face_left_over_joins_the_last_batch(base: Recognizer) -> None:
    """Batch normalization cannot learn from one face."""
    clean = made_crops(3, 3)
    batches = Course(base, Material(clean), "clean", "sequential", "softmax", RATE, 4).batches(0)
    assert [len(batch) for batch in batches] == [4, 5]


def test_a_step_is_one_of_adam_on_the_cross_entropy(base: Recognizer) -> None:
    material = small()
    course = Course(base, material, "both", "sequential", "softmax", 1e-2, 8)
    weight = course.network.layers[0].weight  # type: ignore[union-attr,index]
    before = weight.detach().clone()
    head = {name: value.clone() for name, value in course.head.state_dict().items()}
    rows = torch.tensor([0, 9, 6, 15])
    loss = course.step(rows)

    every = torch.cat([material.clean.pixels, material.cloaked["stain"]])[rows]
    raw = base.network(base.normalize(vos2023.seen_by(base, every.float() / 255)))
    logits = raw @ head["layers.0.weight"].T + head["layers.0.bias"]
    wanted = nn.functional.cross_entropy(logits, material.clean.people[rows % 8])
    assert loss == pytest.approx(float(wanted), rel=1e-5)
    # the first step of Adam is as long as the rate, whatever the gradient
    moved = (weight.detach() - before).abs()
    assert moved.max() == pytest.approx(1e-2, rel=1e-3)
    assert moved.median() == pytest.approx(1e-2, rel=1e-2)


def test_people_may_have_any_numbers(base: Recognizer) -> None:
    clean = made_crops(3, 2)
    course = Course(base, Material(Crops(clean.pixels, 10 * clean.people + 7)), "clean", "mixed", "softmax", RATE, 4)
    assert course.labels.tolist() == [0, 0, 1, 1, 2, 2]


def test_the_base_stays_and_what_is_made_of_it_is_a_recognizer_like_it(base: Recognizer, material: Material) -> None:
    before = {name: value.clone() for name, value in base.state_dict().items()}
    random = torch.random.get_rng_state()
    hardened = harden(base, material, epochs=1)
    assert all(torch.equal(value, before[name]) for name, value in base.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), random)
    assert not hardened.network.training
    assert not any(weight.requires_grad for weight in hardened.parameters())
    assert embed_faces(hardened, material.clean.pixels[:2]).shape == (2, base.card.dim)
    assert hardened.card.role == "adaptive"
    assert hardened.card.base == base.name
    assert "64 photos of 32 people, clean and cloaked by stain" in hardened.card.training_data
    assert "schedule=sequential" in hardened.card.source


def test_the_arm_none_is_the_base_as_it_was(base: Recognizer) -> None:
    material = small()
    hardened = harden(base, material, arm="none")
    faces = material.clean.pixels
    assert torch.equal(embed_faces(hardened, faces), embed_faces(base, faces))


@pytest.mark.parametrize("head", ["softmax", "cosface", "arcface", "adaface"])
def test_every_head_learns(base: Recognizer, head: str) -> None:
    course = Course(base, small(), "both", "mixed", head, RATE, 16)
    losses = [course.step(torch.arange(16)) for _ in range(25)]
    assert losses[-1] < 0.7 * losses[0]


def test_batch_normalization_and_dropout_work_as_in_training() -> None:
    base = tiny_recognizer(0)
    base.network.layers.insert(1, nn.BatchNorm2d(8))  # type: ignore[union-attr,operator]
    base.network.layers.append(nn.Dropout(0.5))  # type: ignore[union-attr,operator]
    hardened = harden(base.eval(), small(), epochs=1, batch=4)
    norm = hardened.network.layers[1]  # type: ignore[union-attr,index]
    assert int(norm.num_batches_tracked) == 4
    assert norm.running_mean.abs().sum() > 0
    assert not any(module.training for module in hardened.network.modules())


class _StopError(Exception):
    pass


@pytest.fixture
def every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint after each step."""
    monkeypatch.setattr(vos2023, "SAVE_SECONDS", 0.0)


def stop_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    step = Course.step

    def limited(course: Course, rows: Tensor) -> float:
        if len(course.losses) == steps:
            raise _StopError
        return step(course, rows)

    monkeypatch.setattr(Course, "step", limited)


@pytest.mark.parametrize("steps", [1, 4, 7])
def test_an_interrupted_training_goes_on_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every_step: None, steps: int
) -> None:
    """Dropout and the order of the faces included."""
    base = tiny_recognizer(0)
    base.network.layers.append(nn.Dropout(0.5))  # type: ignore[union-attr,operator]
    base.eval()
    whole = harden(base, small(), epochs=2, batch=4)
    interrupted = small(checkpoint=tmp_path / "checkpoint")
    with monkeypatch.context() as patch:
        stop_after(patch, steps)
        with pytest.raises(_StopError):
            harden(base, interrupted, epochs=2, batch=4)
    lines: list[str] = []
    resumed = harden(base, small(checkpoint=tmp_path / "checkpoint", watch=lines.append), epochs=2, batch=4)
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name
    assert len(lines) == (2 if steps < 4 else 1)


def test_a_finished_training_is_not_run_again(
    tmp_path: Path, base: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    material = small(checkpoint=tmp_path / "checkpoint")
    first = harden(base, material, epochs=1)
    stop_after(monkeypatch, 2)
    again = harden(base, material, epochs=1)
    assert torch.equal(again.network.state_dict()["layers.0.weight"], first.network.state_dict()["layers.0.weight"])


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path, base: Recognizer) -> None:
    material = small(checkpoint=tmp_path / "checkpoint")
    harden(base, material, epochs=1)
    with pytest.raises(HardeningError, match="begun with other settings"):
        harden(base, material, epochs=1, schedule="mixed")


def test_a_damaged_checkpoint_is_one_sentence(tmp_path: Path, base: Recognizer) -> None:
    material = small(checkpoint=tmp_path / "checkpoint")
    harden(base, material, epochs=1)
    whole = (tmp_path / "checkpoint").read_bytes()
    (tmp_path / "checkpoint").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(HardeningError, match=r"checkpoint is damaged; delete it to begin anew\.$"):
        harden(base, material, epochs=1)


def test_on_a_full_disk_the_last_whole_checkpoint_stays(
    tmp_path: Path, base: Recognizer, monkeypatch: pytest.MonkeyPatch, every_step: None
) -> None:
    path = tmp_path / "checkpoint"
    written = 0
    sync = os.fsync

    def full(file: int) -> None:
        nonlocal written
        written += 1
        if written == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(file)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(WriteError, match="the disk is full"):
            harden(base, small(checkpoint=path), epochs=2, batch=4)
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint"]
    resumed = harden(base, small(checkpoint=path), epochs=2, batch=4)
    whole = harden(base, small(), epochs=2, batch=4)
    assert all(torch.equal(resumed.state_dict()[name], value) for name, value in whole.state_dict().items())


def test_one_person_is_too_little(base: Recognizer) -> None:
    crops = made_crops(1, 4)
    with pytest.raises(HardeningError, match="two people or more, not of 1"):
        harden(base, Material(crops, {"stain": crops.pixels}))


def test_without_cloaks_only_clean_photos_can_be_learned_from(base: Recognizer) -> None:
    bare = Material(made_crops(3, 2))
    with pytest.raises(HardeningError, match="name methods that make them"):
        harden(base, bare)
    assert "clean" in harden(base, bare, arm="clean", epochs=1).card.training_data


def test_other_faces_than_the_clean_ones_are_refused(base: Recognizer) -> None:
    crops = made_crops(3, 2)
    with pytest.raises(HardeningError, match="stain has 5 faces of 64 px, the clean ones are 6 of 64 px"):
        harden(base, Material(crops, {"stain": crops.pixels[:5]}))


def test_a_loss_that_is_not_finite_is_one_sentence(base: Recognizer) -> None:
    with pytest.raises(HardeningError, match="came apart at step 2"):
        harden(base, small(), rate=1e30, epochs=3)


def test_settings_out_of_range(base: Recognizer) -> None:
    with pytest.raises(SettingError, match="batch must be 2 or more, got 1"):
        harden(base, small(), batch=1)
    with pytest.raises(SettingError, match="schedule is one of sequential, interleaved, mixed"):
        harden(base, small(), schedule="alternating")
