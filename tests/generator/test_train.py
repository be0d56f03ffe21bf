"""The training: who learns from which loss, that it works, that a broken one goes on bit for bit."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from learners import QUICK, SIZE, made_crops, tiny_recognizer
from visard import photo
from visard.cloak import Structure
from visard.errors import CloakError, RecognizerError, SettingError, WriteError
from visard.generator import Crops, Training, load_cloak, train
from visard.generator.learner import mean_cosine
from visard.recognizer import Recognizer

Start = Callable[..., Training]


def weights(module: nn.Module | None) -> list[Tensor]:
    return [] if module is None else [p.detach().clone() for p in module.parameters()]


def moved(before: list[Tensor], module: nn.Module | None) -> bool:
    return any(not torch.equal(a, b) for a, b in zip(before, weights(module), strict=True))


def cosine(training: Training, crops: Crops) -> float:
    """How much the recognizers still see in cloaked faces, views aside."""
    faces = crops.pixels.float() / 255
    with torch.no_grad():
        seen = training.seen(faces)
    return float(mean_cosine(seen.found, seen.own).mean())


# who learns


def test_each_step_trains_the_network_that_it_is_for(start: Start) -> None:
    training = start("advfaces")
    learner = training.learner
    seen = training.seen(training.crops.pixels[:4].float() / 255)
    sum(learner.losses(seen).values()).backward(inputs=list(learner.parameters()))  # type: ignore[union-attr]
    # the GAN loss alone would reach the discriminator too: the step must not
    assert all(p.grad is not None and float(p.grad.abs().max()) > 0 for p in learner.generator.parameters())
    assert learner.discriminator is not None
    learner.zero_grad()
    learner.discriminator_loss(seen).backward()
    assert all(p.grad is None for p in learner.generator.parameters())
    assert all(p.grad is not None and float(p.grad.abs().max()) > 0 for p in learner.discriminator.parameters())


def test_the_generators_step_leaves_the_discriminator_alone(start: Start) -> None:
    training = start("advfaces")
    generator, judge = weights(training.learner.generator), weights(training.learner.discriminator)
    training._judge = None
    training.step()
    assert moved(generator, training.learner.generator)
    assert not moved(judge, training.learner.discriminator)
    assert training.learner.discriminator is not None
    assert all(p.grad is None for p in training.learner.discriminator.parameters())
    other = start("advfaces")
    training._optimizer.step = lambda: None  # type: ignore[assignment,method-assign]
    other._optimizer.step = lambda: None  # type: ignore[assignment,method-assign]
    generator = weights(other.learner.generator)
    other.step()
    assert moved(judge, other.learner.discriminator)
    assert not moved(generator, other.learner.generator)


def test_recognizers_never_learn(start: Start) -> None:
    training = start("apf")
    before = [weights(r) for r in training.recognizers]
    training.step()
    assert not any(moved(b, r) for b, r in zip(before, training.recognizers, strict=True))
    assert all(p.grad is None for r in training.recognizers for p in r.parameters())


# that it works


@pytest.mark.parametrize(
    ("kind", "settings", "falls_by"),
    [
        ("advfaces", {}, 0.5),
        ("advfaces", {"budget": "ssim", "ssim": 0.9, "views": False}, 0.05),
        ("latent-distance", {}, 0.2),
        ("apf", {}, 0.1),
    ],
)
def test_people_that_it_never_saw_are_recognized_less(
    kind: str, settings: dict[str, Any], falls_by: float, start: Start
) -> None:
    training = start(kind, **settings)
    strangers = made_crops(seed=9)
    before = cosine(training, strangers)
    for _ in range(20):
        training.step()
    assert cosine(training, strangers) < before - falls_by


def test_impersonation_steers_toward_the_target(start: Start) -> None:
    training = start("advfaces", mode="impersonation", perturbation=0.1, norm=20.0)
    crops = made_crops(seed=9)
    faces = crops.pixels.float() / 255
    targets = faces.roll(2, dims=0)

    def likeness() -> float:
        with torch.no_grad():
            seen = training.seen(faces, targets)
        return float(mean_cosine(seen.found, seen.goal).mean())

    before = likeness()
    for _ in range(30):
        training.step()
    assert likeness() > before + 0.1


def test_the_structure_holds_whatever_the_generator_does(start: Start) -> None:
    training = start("advfaces", budget="ssim", ssim=0.95)
    with torch.no_grad():
        training.learner.generator.output.weight.mul_(100)  # type: ignore[operator,union-attr]
    faces = training.crops.pixels[:4].float() / 255
    seen = training.seen(faces)
    area = torch.tensor([(160 * SIZE / 128) ** 2] * 4)
    used = Structure(faces, 0.95, area, training.mask).used(seen.change.detach())
    assert float(used.max()) <= 1.02
    assert float(used.min()) > 0.3
    assert float(seen.change.detach().abs().max()) <= 24 / 255
    colored = seen.change - seen.change.mean(dim=1, keepdim=True)
    assert float(colored.detach().norm()) < 0.3 * float(seen.change.detach().norm())
    assert "perturbation" not in training.learner.losses(seen)


def test_some_of_the_recognizers_see_a_step_and_all_in_turn(surrogates: list[Recognizer], start: Start) -> None:
    training = start("advfaces", at_once=1)
    faces = training.crops.pixels[:2].float() / 255
    whole = start("advfaces").seen(faces).own
    seen = [training.seen(faces) for _ in range(20)]
    assert {(len(one.own), len(one.found)) for one in seen} == {(1, 1)}
    for own in whole:
        assert 3 < sum(torch.equal(own, one.own[0]) for one in seen) < 17
    assert [len(start("advfaces", at_once=count).seen(faces).own) for count in (len(surrogates), 9)] == [2, 2]


def test_views_follow_the_budget_unless_they_are_set(start: Start) -> None:
    assert [start("advfaces", **given).learner.views for given in (
        {}, {"budget": "ssim"}, {"views": True}, {"budget": "ssim", "views": False},
    )] == [False, True, True, False]  # fmt: skip
    training = start("apf", views=True)
    faces = training.crops.pixels[:2].float() / 255
    one, other = (training.seen(faces) for _ in range(2))
    assert torch.equal(one.cloaked, other.cloaked)
    assert not torch.equal(one.found[0], other.found[0])  # drawn anew
    assert torch.equal(one.own[0], other.own[0])


def test_what_the_mask_hides_does_not_count(start: Start) -> None:
    training = start("latent-distance")
    with torch.no_grad():
        seen = training.seen(training.crops.pixels[:2].float() / 255)
    assert float(seen.change[..., 0, 0].abs().max()) == 0
    assert float((seen.change * (training.mask == 0)).abs().max()) == 0
    assert torch.equal(seen.cloaked, (seen.clean + seen.change).clamp(0, 1))


def test_draws() -> None:
    crops = made_crops(people=3, each=5)
    generator = torch.Generator().manual_seed(0)
    faces, rows = crops.draw(40, generator)
    plain = crops.pixels[rows].float() / 255
    flipped = torch.tensor([torch.equal(a, b.flip(2)) for a, b in zip(faces, plain, strict=True)])
    same = torch.tensor([torch.equal(a, b) for a, b in zip(faces, plain, strict=True)])
    assert (flipped | same).all()
    assert 10 < int(flipped.sum()) < 30
    others = crops.others(rows, generator)
    known = {face.numpy().tobytes(): int(p) for face, p in zip(crops.pixels, crops.people, strict=True)}
    mirrored = Crops(crops.pixels.flip(3), crops.people)
    known |= {f.contiguous().numpy().tobytes(): int(p) for f, p in zip(mirrored.pixels, mirrored.people, strict=True)}
    whose = [known[(255 * face).round().byte().contiguous().numpy().tobytes()] for face in others]
    assert all(a != int(b) for a, b in zip(whose, crops.people[rows], strict=True))
    assert len(set(whose)) == 3


# files


@pytest.mark.parametrize("settings", [{}, {"mode": "impersonation"}, {"budget": "ssim", "at_once": 1}])
def test_a_broken_training_goes_on_bit_for_bit(settings: dict[str, Any], start: Start, tmp_path: Path) -> None:
    whole = train(start("advfaces", **settings), tmp_path / "whole.safetensors", 5)

    def stop(step: int, _row: dict[str, float]) -> None:
        if step == 3:
            raise KeyboardInterrupt

    broken = tmp_path / "broken.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(start("advfaces", **settings), broken, 5, save_seconds=0, watch=stop)
    assert load_cloak(broken).steps == 2
    seen: list[int] = []
    again = start("advfaces", **settings)
    made = train(again, broken, 5, watch=lambda step, _row: seen.append(step))
    assert seen == [3, 4, 5]
    assert made.to_bytes() == whole.to_bytes()
    for name in ("curves.csv", "samples.png"):
        one, other = (tmp_path / f"{stem}.training" / name for stem in ("whole", "broken"))
        assert one.read_bytes() == other.read_bytes()
    more = train(start("advfaces", **settings), broken, 6)
    assert more.steps == 6


def test_seeds_decide_and_torchs_own_generator_is_left_alone(start: Start) -> None:
    state = torch.random.get_rng_state()
    rows = []
    for seed in (1, 1, 2):
        training = start("advfaces", seed=seed, views=True)
        rows.append([training.step() for _ in range(2)])
    assert rows[0] == rows[1]
    assert rows[0] != rows[2]
    assert torch.equal(state, torch.random.get_rng_state())


def test_curves_and_sheet(start: Start, tmp_path: Path) -> None:
    training = start("advfaces")
    train(training, tmp_path / "a.safetensors", 3)
    header, *lines = (tmp_path / "a.training/curves.csv").read_text().splitlines()
    assert header == "step,identity,gan,perturbation,discriminator,cosine"
    assert [line.split(",")[0] for line in lines] == ["1", "2", "3"]
    assert float(lines[1].split(",")[1]) == pytest.approx(training.history[1]["identity"], rel=1e-4)
    sheet = photo.read(tmp_path / "a.training/samples.png").pixels
    assert sheet.shape == (3 * SIZE, 6 * SIZE, 3)
    clean = training.crops.pixels[2].permute(1, 2, 0).numpy()
    assert (sheet[:SIZE, SIZE : 2 * SIZE] == clean).all()  # the second person's first face


def test_time_that_is_up(start: Start, tmp_path: Path) -> None:
    out = tmp_path / "a.safetensors"
    assert train(start("apf"), out, 50, max_minutes=0).steps == 1
    assert load_cloak(out).steps == 1
    assert train(start("apf"), out, 3).steps == 3


def test_a_full_disk_leaves_the_last_checkpoint_whole(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "a.safetensors"
    train(start("advfaces"), out, 2)
    files = sorted(p for p in tmp_path.rglob("*") if p.is_file())
    before = {path: path.read_bytes() for path in files}
    real = os.fsync

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WriteError, match=r"checkpoint\.pt could not be written: the disk is full; make room"):
        train(start("advfaces"), out, 4)
    assert {path: path.read_bytes() for path in sorted(p for p in tmp_path.rglob("*") if p.is_file())} == before
    monkeypatch.setattr(os, "fsync", real)
    whole = train(start("advfaces"), tmp_path / "whole.safetensors", 4)
    assert train(start("advfaces"), out, 4).to_bytes() == whole.to_bytes()


def test_what_lies_there_already(start: Start, tmp_path: Path, surrogates: list[Recognizer]) -> None:
    out = tmp_path / "a.safetensors"
    out.write_bytes(b"mine")
    with pytest.raises(WriteError, match="exists already; choose another name or use --force"):
        train(start("apf"), out, 1)
    assert out.read_bytes() == b"mine"
    train(start("apf"), out, 2, force=True)
    with pytest.raises(CloakError, match="is trained for 2 steps already; ask for more with --steps"):
        train(start("apf"), out, 2)
    with pytest.raises(CloakError, match="was begun with other seed; give the same, choose another --out"):
        train(start("apf", seed=1), out, 3)
    with pytest.raises(CloakError, match="was begun with other settings;"):
        train(start("apf", eps=0.01), out, 3)
    others = Training("apf", {**QUICK["apf"], "batch": 4}, made_crops(seed=1), surrogates[:1])
    with pytest.raises(CloakError, match="was begun with other recognizers and faces;"):
        train(others, out, 3)
    assert load_cloak(out).steps == 2
    assert train(start("apf", seed=1), out, 1, force=True).steps == 1


@pytest.mark.parametrize(
    "spoil", [lambda data: b"", lambda data: b"words", lambda data: data[: len(data) // 2], lambda data: data[:-9]]
)
def test_a_damaged_checkpoint(spoil: Any, start: Start, tmp_path: Path) -> None:
    out = tmp_path / "a.safetensors"
    train(start("apf"), out, 1)
    checkpoint = tmp_path / "a.training/checkpoint.pt"
    checkpoint.write_bytes(spoil(checkpoint.read_bytes()))
    with pytest.raises(CloakError, match=r"The checkpoint .*checkpoint\.pt is damaged; begin anew with --force"):
        train(start("apf"), out, 2)
    assert train(start("apf"), out, 2, force=True).steps == 2


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("a.pt", "must end in .safetensors"),
        ("nowhere/a.safetensors", "the folder does not exist; create it first"),
        ("folder.safetensors", "is a folder; name a file in it"),
        ("taken.safetensors", "taken.training could not be made"),
    ],
)
def test_places_that_cannot_be_written(name: str, sentence: str, start: Start, tmp_path: Path) -> None:
    (tmp_path / "folder.safetensors").mkdir()
    (tmp_path / "taken.training").write_text("a file")
    with pytest.raises(WriteError, match=sentence):
        train(start("apf"), tmp_path / name, 1)


def test_a_training_that_comes_apart(start: Start) -> None:
    training = start("apf")
    with torch.no_grad():
        training.learner.generator.output.bias.fill_(float("nan"))  # type: ignore[union-attr,operator]
    with pytest.raises(CloakError, match="came apart at step 1: a loss is not finite; start again with a lower rate"):
        training.step()
    assert training.steps == 0


def test_recognizers_that_cannot_train() -> None:
    with pytest.raises(RecognizerError, match="name one or more with --recognizer"):
        Training("apf", {}, made_crops(), [])
    with pytest.raises(RecognizerError, match="tiny-1 is a black box"):
        Training("apf", {}, made_crops(), [tiny_recognizer(1, format="onnx-black-box")])
    with pytest.raises(SettingError, match="did you mean 16/255"):
        Training("apf", {"eps": 16.0}, made_crops(), [tiny_recognizer(1)])
