"""The files of the trainings in the latent space, and the cloak as a method."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Generator

from latents import SHAPE, observer, strangers, tiny_generator
from rig import astronaut, astronaut_face
from visard.cloak import Faces, Task, dodging
from visard.errors import CloakError, SettingError
from visard.face import FACE, cut, face_mask
from visard.generator import find_method, learned
from visard.generator.latent import (
    Disentangled,
    LatentCloak,
    load_disentangled,
    parse_disentangled,
    parse_latent_cloak,
    replacing,
)
from visard.recognizer import Recognizer


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, Recognizer]:
    """The small recognizers are in the store."""
    known = {r.name: r for r in map(observer, (1, 2, 3))}
    monkeypatch.setattr(learned, "find_card", lambda name: known[name].card)
    monkeypatch.setattr(learned, "load_recognizer", lambda card: known[card.name])
    return known


def test_the_file_of_a_disentanglement(disentangled: Disentangled, tmp_path: Path) -> None:
    file = tmp_path / "who.safetensors"
    file.write_bytes(disentangled.to_bytes())
    back = load_disentangled(file)
    crops = strangers(3)
    assert torch.equal(back.made(crops, crops), disentangled.made(crops, crops))
    assert (back.steps, back.seed, back.settings, back.landmarks) == (24, 0, disentangled.settings, "made 0")
    assert back.generator.sha256 == tiny_generator().sha256
    assert back.identity.name == "tiny-1"
    assert back.sha256 != disentangled.generator.sha256
    assert back.to_bytes() == file.read_bytes()


def test_another_recognizer_is_refused(
    disentangled: Disentangled, tmp_path: Path, installed: dict[str, Recognizer]
) -> None:
    data = disentangled.to_bytes()
    with pytest.raises(CloakError, match=r"mine needs the recognizer tiny-1, sha256 1\.\.\., not tiny-2\."):
        parse_disentangled(data, "mine", observer(2))
    installed["tiny-1"] = observer(4)
    with pytest.raises(CloakError, match=r"mine needs the recognizer tiny-1, sha256 1.*which is not here"):
        parse_disentangled(data, "mine")


@pytest.mark.parametrize("spoil", [lambda data: b"words", lambda data: data[:-9], lambda data: data[:-4] + b"abcd"])
def test_damaged_files(spoil: Any, disentangled: Disentangled, cloak: LatentCloak, tmp_path: Path) -> None:
    with pytest.raises(CloakError, match="mine is not a disentanglement that visard train made, or it is damaged"):
        parse_disentangled(spoil(disentangled.to_bytes()), "mine")
    with pytest.raises(CloakError, match="mine is not a latent cloak that visard train made, or it is damaged"):
        parse_latent_cloak(spoil(cloak.to_bytes()), "mine")
    with pytest.raises(CloakError, match="mine is not a latent cloak"):
        parse_latent_cloak(disentangled.to_bytes(), "mine")
    with pytest.raises(CloakError, match=r"no\.safetensors does not exist; .* visard train disentangle"):
        load_disentangled(tmp_path / "no.safetensors")


def test_strangers_are_drawn_anew_and_look_alike(disentangled: Disentangled) -> None:
    crops = strangers(4)
    one, same, other = (disentangled.strangers(crops, Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert one.shape == crops.shape
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


# the method


@pytest.mark.parametrize("channels", [3, 1])
def test_the_cloak_as_a_method(channels: int, cloak: LatentCloak, tmp_path: Path) -> None:
    file = tmp_path / "mine.safetensors"
    file.write_bytes(cloak.to_bytes())
    method = find_method(str(file))
    assert (method.name, method.aim, method.settings) == ("latent", "untargeted", {})
    assert method.learned is not None
    assert [card.name for card in method.learned.surrogates] == ["tiny-1", "tiny-2", "tiny-3"]
    assert method.learned.settings["trained"] == 24
    assert method.learned.settings["size"] == SHAPE.size
    assert "SSIM is low" in method.page
    assert "against tiny-2, tiny-3" in method.page
    patches = cut(astronaut(), [astronaut_face()])
    pixels = patches.pixels.mean(dim=1, keepdim=True) if channels == 1 else patches.pixels
    faces = Faces(pixels, patches.frames)
    heard: list[int] = []
    task = Task(faces, dodging([], []), patches.mask, watch=lambda step, _delta: heard.append(step))
    delta = method.cloak(task)
    assert heard == [1]
    assert delta.shape == pixels.shape
    assert float((pixels + delta).min()) >= 0
    assert float((pixels + delta).max()) <= 1
    assert method.replaces
    beyond = face_mask(patches.frames, pixels.shape[-1], FACE) == 0
    assert float((delta * beyond).abs().max()) == 0
    same = replacing(lambda crops, _generator: cloak.made(crops), cloak.disentangled.template, "same")
    torch.testing.assert_close(delta, same.cloak(task))
    with pytest.raises(SettingError, match='latent has no setting "delta"'):
        method.cloak(task, delta=1.0)
