"""The trainings in the latent space: who learns from what, that they work, and go on bit for bit; their files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from latents import (
    SHAPE,
    codes,
    observer,
    start_cloaking,
    start_disentangling,
    strangers,
    tiny_generator,
    tiny_landmarks,
)
from learners import made_crops
from visard.errors import CloakError, RecognizerError, SettingError
from visard.generator import train
from visard.generator.latent import (
    Disentangled,
    DisentangleSettings,
    DisentangleTraining,
    LatentCloak,
    LatentCloakTraining,
    LatentSettings,
)
from visard.generator.latent.disentangle import CROSS_EVERY
from visard.generator.latent.losses import identity_loss, reconstruction_loss
from visard.measure import inception

Training = DisentangleTraining | LatentCloakTraining


@pytest.fixture
def starts(disentangled: Disentangled) -> dict[str, Callable[..., Training]]:
    return {"disentangle": start_disentangling, "latent-cloak": lambda **given: start_cloaking(disentangled, **given)}


def numbers(*modules: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten().clone() for module in modules for p in module.parameters()])


# who learns


def test_each_update_trains_the_networks_that_it_is_for() -> None:
    """With all other optimizers' steps left out; the generator, the recognizer and the landmarks never learn."""
    for name in ("adversarial", "kept", "judge"):
        training = start_disentangling()
        fixed = (training.generator.network, training.identity, training.landmarks.network)
        parts = {
            "mapper": training.networks.mapper,
            "expression": training.networks.expression,
            "judge": training.judge,
        }
        before = {part: numbers(module) for part, module in parts.items()}
        still = numbers(*fixed)
        for other, optimizer in training.optimizers.items():
            if other != name:
                optimizer.step = lambda: None  # type: ignore[method-assign,assignment]
        training.step()
        moved = {part for part, module in parts.items() if not torch.equal(before[part], numbers(module))}
        assert moved == ({"judge"} if name == "judge" else {"mapper", "expression"})
        assert torch.equal(still, numbers(*fixed))
        assert all(p.grad is None for module in fixed for p in module.parameters())


def test_every_weight_of_the_networks_learns() -> None:
    training = start_disentangling()
    for network in (training.networks, training.judge):
        before = [p.detach().clone() for p in network.parameters()]
        training.step()
        assert all(not torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


def test_the_latent_cloaks_step_trains_the_adversary_alone(disentangled: Disentangled) -> None:
    training = start_cloaking(disentangled)
    fixed = (training.networks, training.generator.network, training.identity, *training.recognizers)
    before, still = numbers(training.adversary), numbers(*fixed, training.landmarks.network)
    training.step()
    assert not torch.equal(before, numbers(training.adversary))
    assert torch.equal(still, numbers(*fixed, training.landmarks.network))
    assert all(p.grad is None for module in fixed for p in module.parameters())
    assert all(p.grad is not None and float(p.grad.abs().max()) > 0 for p in training.adversary.parameters())


# what each step sees


def test_every_third_step_is_of_two_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    training = start_disentangling()
    seen: list[tuple[bool, bool]] = []
    kept = training.kept

    def watched(made: Tensor, who: Tensor, points: Tensor, whole: Tensor | None) -> dict[str, Tensor]:
        same = torch.allclose(codes(1, faces[-1]), who, atol=1e-4)
        seen.append((same, whole is None))
        return kept(made, who, points, whole)

    faces: list[Tensor] = []
    forward = training.networks.forward
    monkeypatch.setattr(training.networks, "forward", lambda who, how: faces.append(how) or forward(who, how))
    monkeypatch.setattr(training, "kept", watched)
    rows = [training.step() for _ in range(2 * CROSS_EVERY)]
    assert [row["cross"] for row in rows] == [0, 0, 1] * 2
    assert seen == [(True, False), (True, False), (False, True)] * 2
    assert all((row["reconstruction"] == 0) == (row["cross"] == 1) for row in rows)


def test_the_cloak_is_taught_with_each_face_itself(disentangled: Disentangled) -> None:
    training = start_cloaking(disentangled)
    faces = training.faces(training.drawn())
    found = training.found(faces)
    torch.testing.assert_close(found, disentangled.latent(faces, faces))
    assert not found.requires_grad


def test_every_other_step_with_one_face_is_on_photos(
    disentangled: Disentangled, monkeypatch: pytest.MonkeyPatch
) -> None:
    crops = made_crops(size=SHAPE.size)
    for training, wanted in (
        (start_disentangling(crops=crops), [1, 4]),
        (start_cloaking(disentangled, crops=crops), [1, 3, 5]),
    ):
        seen: list[int] = []
        monkeypatch.setattr(training, "photos", lambda t=training, s=seen: s.append(t.steps) or type(t).photos(t))
        for _ in range(6):
            training.step()
        assert seen == wanted
        assert training.record()["faces"] == crops.sha256()
        photos = type(training).photos(training)
        alike = (photos[:, None] - crops.pixels / 255).abs().amax(dim=(2, 3, 4)).amin(dim=1)
        assert float(alike.max()) < 1e-6 or float((photos.flip(3)[:, None] - crops.pixels / 255).abs().min()) < 1e-6
    with pytest.raises(SettingError, match=f"give --size {SHAPE.size}"):
        start_cloaking(disentangled, crops=made_crops(size=64))


def test_truncation_draws_plainer_faces() -> None:
    spread = [start_disentangling(truncation=t).drawn().std(dim=0).mean() for t in (0.0, 0.5, 1.0)]
    assert float(spread[0]) == pytest.approx(0, abs=1e-6)
    assert float(spread[1] / spread[2]) == pytest.approx(0.5, abs=1e-4)


# that they work


def test_people_and_expressions_that_it_never_saw(disentangled: Disentangled) -> None:
    """A face made again is nearer to itself than before the training, and has the identity it is given and not that of
    the face that lends the expression."""
    crops = strangers()
    others = crops.roll(1, dims=0)
    fresh = start_disentangling().made()
    with torch.no_grad():
        before, after = (reconstruction_loss(d.made(crops, crops), crops) for d in (fresh, disentangled))
        assert float(after) < 0.8 * float(before)
        away, near = (identity_loss(codes(1, d.made(crops, crops)), codes(1, crops)) for d in (fresh, disentangled))
        assert float(near) < 0.7 * float(away)
        swapped = codes(1, disentangled.made(crops, others))
        wanted, lent = ((swapped * codes(1, faces)).sum(dim=1).mean() for faces in (crops, others))
        assert float(wanted) > float(lent) + 0.05  # .74 each before


def test_the_losses_fall(disentangling: DisentangleTraining) -> None:
    for name in ("identity", "reconstruction"):
        values = [row[name] for row in disentangling.history if not row["cross"]]
        assert sum(values[-5:]) < 0.85 * sum(values[:5])


class Known(nn.Module):
    """A judge who takes w for real the nearer they are to 3."""

    def forward(self, w: Tensor) -> Tensor:
        return 4 - (w - 3).square().mean(dim=1, keepdim=True)


def test_the_adversarial_update_pleases_the_judge() -> None:
    training = start_disentangling(identity=0.0, landmarks=0.0, reconstruction=0.0, adversarial_rate=3e-2)
    training.judge = Known()  # type: ignore[assignment]
    rows = [training.step() for _ in range(20)]
    assert rows[-1]["adversarial"] < rows[0]["adversarial"] - 1
    crops = strangers()
    with torch.no_grad():
        w = training.networks(codes(1, crops), crops)
    assert float((w.mean() - 3).abs()) < 1  # from 0


def test_the_judge_tells_w_apart() -> None:
    training = start_disentangling(
        identity=0.0, landmarks=0.0, reconstruction=0.0, adversarial_rate=0.0, judge_rate=2e-2
    )
    rows = [training.step() for _ in range(20)]
    assert rows[-1]["judge"] < rows[0]["judge"] - 0.15


def test_recognizers_take_strangers_for_others(cloak: LatentCloak) -> None:
    """Both that it was taught against; more of `delta` hides more, and none hides nothing."""
    crops = strangers()
    with torch.no_grad():
        plain = cloak.disentangled.made(crops, crops)
        for seed in (2, 3):
            before, after = (
                (codes(seed, made) * codes(seed, crops)).sum(dim=1).mean() for made in (plain, cloak.made(crops))
            )
            assert float(after) < float(before) - 0.3
        w = cloak.disentangled.latent(crops, crops)
        assert float((cloak.adversary(w) - w).abs().max()) <= cloak.settings.delta * (1 + 1e-5)
    training = start_cloaking(cloak.disentangled, delta=0.0)
    rows = [training.step() for _ in range(2)]
    assert torch.equal(training.made().made(crops), plain)
    assert rows[0]["cosine"] > 0.5


# going on


@pytest.mark.parametrize("kind", ["disentangle", "latent-cloak"])
def test_a_broken_training_goes_on_bit_for_bit(
    kind: str, starts: dict[str, Callable[..., Training]], tmp_path: Path
) -> None:
    start: Callable[..., Any] = starts[kind]
    whole = train(start(), tmp_path / "whole.safetensors", 4)

    def stop(step: int, _row: dict[str, float]) -> None:
        if step == 3:
            raise KeyboardInterrupt

    broken = tmp_path / "broken.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(start(), broken, 4, save_seconds=0, watch=stop)
    seen: list[int] = []
    made = train(start(), broken, 4, watch=lambda step, _row: seen.append(step))
    assert seen == [3, 4]
    assert made.to_bytes() == whole.to_bytes()
    for name in ("curves.csv", "samples.png"):
        one, other = (tmp_path / f"{stem}.training" / name for stem in ("whole", "broken"))
        assert one.read_bytes() == other.read_bytes()
    with pytest.raises(CloakError, match="was begun with other seed"):
        train(start(seed=1), broken, 5)
    with pytest.raises(CloakError, match="was begun with other settings"):
        train(start(rate=0.5), broken, 5)


def test_inception_learns_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its running statistics move with the training, and not with the sheet."""
    monkeypatch.setattr(inception, "_SIDE", 75)  # the least that it takes
    training = start_disentangling(encoder="inception", batch=2)
    training.step()
    state = {key: value.clone() for key, value in training.networks.state_dict().items()}
    training.sheet()
    assert all(torch.equal(value, state[key]) for key, value in training.networks.state_dict().items())
    assert float(state["expression.Conv2d_1a_3x3.bn.running_mean"].abs().max()) > 0
    crops = strangers(2)
    training.networks.eval()
    made = training.made().made(crops, crops)
    with torch.no_grad():
        mine = training.generator.faces(training.networks(codes(1, crops), crops))
    torch.testing.assert_close(made, mine, atol=2e-2, rtol=0)


def test_torchs_own_generator_is_left_alone(disentangled: Disentangled) -> None:
    state = torch.random.get_rng_state()
    rows = [start_disentangling(seed).step() for seed in (1, 1, 2)]
    more = [start_cloaking(disentangled, seed).step() for seed in (1, 1, 2)]
    for one, same, other in (rows, more):
        assert one == same
        assert one != other
    assert torch.equal(state, torch.random.get_rng_state())


def test_what_cannot_be_trained() -> None:
    landmarks, generator = tiny_landmarks(), tiny_generator()
    blind = observer(1, format="onnx-black-box")
    with pytest.raises(RecognizerError, match="tiny-1 is a black box"):
        DisentangleTraining(DisentangleSettings(), generator, blind, landmarks)
    with pytest.raises(SettingError, match="batch must be 1 or more"):
        DisentangleSettings(batch=0)
    with pytest.raises(SettingError, match="truncation is at most 1, got 2"):
        LatentSettings(truncation=2.0)
    with pytest.raises(SettingError, match="batch must be 1 or more"):
        LatentSettings(batch=0)
