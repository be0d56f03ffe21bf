"""A learned cloak as a method: the contract of all methods, its place on the photo, its file."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from learners import SIZE, tiny_recognizer
from visard.cloak import Faces, Structure, Task, embed, find
from visard.cloak.method import LEARNED
from visard.errors import CloakError, SettingError, UnknownMethodError
from visard.face import from_template, to_template
from visard.face.patch import _canonical_grid, face_mask
from visard.generator import KINDS, LearnedCloak, find_method, learned, load_cloak, shipped, window
from visard.generator.learner import frames_in
from visard.recognizer import Recognizer

Trained = dict[str, LearnedCloak]
KIND = ["advfaces", "apf", "latent-distance", "impersonation"]


@pytest.fixture(autouse=True)
def probes(surrogates: list[Recognizer], monkeypatch: pytest.MonkeyPatch) -> None:
    """The small recognizers are installed."""
    known = {r.name: r for r in surrogates}
    monkeypatch.setattr(learned, "find_card", lambda name: known[name].card)
    monkeypatch.setattr(learned, "load_recognizer", lambda card: known[card.name])


def made_faces(count: int = 3, channels: int = 3, seed: int = 0, side: int = 150) -> Faces:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, channels, 12, 12, generator=generator)
    pixels = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic").clamp(0.05, 0.95)
    frames = torch.tensor([[[1.1, 0.1, 12.0], [-0.1, 1.1, 16.0]]]).repeat(count, 1, 1)
    return Faces(pixels, frames)


def asked(faces: Faces, **more: Any) -> Task:
    """A task whose objective and surrogates are not there to be asked."""

    def refuse(_: Faces) -> Tensor:
        raise AssertionError("a learned cloak needs no objective")

    return Task(faces, refuse, target_faces=[made_faces(1, seed=5)], **more)


def test_the_kinds_have_cards_like_methods() -> None:
    assert sorted([*KINDS, "latent"]) == list(LEARNED)
    for name, kind in KINDS.items():
        assert kind.name == name
        assert kind.paper
        assert "Norm:" in __import__(kind.__module__, fromlist=["x"]).__doc__
        with pytest.raises(CloakError, match=rf"{name} is learned.*visard train {name} .*--method FILE\.safetensors"):
            find(name)
    with pytest.raises(UnknownMethodError, match='Did you mean "advfaces"'):
        find("advface")


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("kind", KIND)
def test_the_contract_of_methods(kind: str, channels: int, trained: Trained, surrogates: list[Recognizer]) -> None:
    """Shape, range, the same again, each face on its own, one step that is heard, torch's own generator."""
    faces = made_faces(channels=channels)
    bright = faces._replace(pixels=faces.pixels.clamp(min=0.97))
    method = trained[kind].method()
    heard: list[int] = []
    state = torch.random.get_rng_state()
    delta = method.cloak(asked(bright, watch=lambda step, _: heard.append(step)))
    assert heard == [1]
    assert delta.shape == faces.pixels.shape  # a gray photo's cloak is gray
    assert delta.dtype == torch.float32
    assert not delta.requires_grad
    assert float((bright.pixels + delta).max()) <= 1
    assert float((bright.pixels + delta).min()) >= 0
    delta = method.cloak(asked(faces))
    assert torch.equal(delta, method.cloak(asked(faces)))
    assert torch.equal(state, torch.random.get_rng_state())
    alone = torch.cat([method.cloak(asked(Faces(faces.pixels[i : i + 1], faces.frames[i : i + 1]))) for i in range(3)])  # type: ignore[index]
    assert torch.allclose(delta, alone, atol=1e-4)
    with torch.no_grad():
        own, found = (embed(surrogates[0], faces._replace(pixels=faces.pixels + d)) for d in (0, delta))
    assert ((own * found).sum(1) < 0.995).all()


@pytest.mark.parametrize("kind", KIND)
def test_pictures_that_are_aligned_already(kind: str, trained: Trained) -> None:
    pixels = torch.rand(1, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    framed = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    method = trained[kind].method()
    without, with_frames = method.cloak(asked(Faces(pixels))), method.cloak(asked(Faces(pixels, framed)))
    assert torch.equal(without, with_frames)
    assert float(without.abs().max()) > 0


def test_a_gray_photo_gets_the_mean_of_the_channels(trained: Trained) -> None:
    method, gray = trained["latent-distance"].method(), made_faces(1, channels=1)
    # its change, at most .2, keeps within the range
    middle = gray._replace(pixels=0.4 + 0.2 * gray.pixels)
    colored = method.cloak(asked(middle._replace(pixels=middle.pixels.expand(-1, 3, -1, -1))))
    torch.testing.assert_close(method.cloak(asked(middle)), colored.mean(dim=1, keepdim=True), atol=1e-6, rtol=0)


def test_a_crop_and_back() -> None:
    """What lies at a place of the canonical frame comes back to that place; the window holds all of the mask."""
    template = window(SIZE)
    (sx, _, x0), (_, sy, y0) = template.to_canonical.tolist()
    y, x = torch.meshgrid(y0 + sy * torch.arange(SIZE), x0 + sx * torch.arange(SIZE), indexing="ij")
    frames = torch.tensor([[[1.0, 0.3, 10], [-0.3, 1.0, 50]], [[0.9, -0.2, 40], [0.2, 0.9, 10]]])
    back = from_template(torch.stack([x, y])[None].expand(2, -1, -1, -1), frames, template, (170, 170))
    at_x, at_y = _canonical_grid(frames, 170)
    inside = face_mask(frames, 170)[:, 0] > 0.02
    assert inside.float().mean() > 0.2
    assert torch.allclose(back[:, 0][inside], at_x[inside], atol=0.05)
    assert torch.allclose(back[:, 1][inside], at_y[inside], atol=0.05)
    there = to_template(torch.stack([at_x, at_y], dim=1), frames, template)
    middle = slice(SIZE // 4, 3 * SIZE // 4)
    assert torch.allclose(there[:, 0, middle, middle], x[middle, middle].expand(2, -1, -1), atol=0.05)
    # of a crop itself, both are nothing
    same = torch.rand(1, 3, SIZE, SIZE)
    torch.testing.assert_close(to_template(same, frames_in(template, 1), template), same, atol=1e-4, rtol=0)


def test_the_structure_holds_on_the_photos_own_pixels(start: Any) -> None:
    training = start("advfaces", budget="ssim", ssim=0.95)
    with torch.no_grad():
        training.learner.generator.output.weight.mul_(100)
    training.step()
    faces = made_faces(2)
    assert faces.frames is not None
    mask = face_mask(faces.frames, 150)
    delta = training.made().method().cloak(asked(faces, mask=mask))
    unit = torch.linalg.det(faces.frames[:, :, :2]).sqrt()
    used = Structure(faces.pixels, 0.95, (160 * unit) ** 2, mask).used(delta)
    assert float(used.max()) <= 1.02
    assert float(used.min()) > 0.3


def test_a_learned_cloak_is_as_visible_as_it_is_asked_to_be(start: Any) -> None:
    """More than in the training too: the change is scaled, not only shortened."""
    training = start("advfaces", budget="ssim", ssim=0.98)
    for _ in range(4):
        training.step()
    method, faces = training.made().method(), made_faces(2)
    assert faces.frames is not None
    mask = face_mask(faces.frames, 150)
    area = (160 * torch.linalg.det(faces.frames[:, :, :2]).sqrt()) ** 2
    lost = {}
    for ssim in (0.99, 0.98, 0.96):
        delta = method.cloak(asked(faces, mask=mask), ssim=ssim)
        lost[ssim] = (1 - ssim) * float(Structure(faces.pixels, ssim, area, mask).used(delta).mean()) ** 2
    assert lost[0.99] < 1.02 * 0.01
    assert lost[0.98] > 1.3 * lost[0.99]
    assert lost[0.96] > 1.3 * lost[0.98]
    assert torch.equal(method.cloak(asked(faces, mask=mask), ssim=0.98), method.cloak(asked(faces, mask=mask)))
    assert method.settings == {"ssim": 0.98}
    assert method.at("low") == find("visard").at("low")
    unstructured = start("advfaces").made().method()
    assert (unstructured.settings, dict(unstructured.strengths)) == ({}, {})
    with pytest.raises(SettingError, match="ssim lies between 0 and 1"):
        method.check({"ssim": 1.5})


def test_a_cloak_that_comes_with_visard(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned, "SHIPPED", tmp_path)
    assert shipped() == []
    with pytest.raises(CloakError, match="advfaces is learned, and no trained one is here"):
        find_method("advfaces")
    (tmp_path / "advfaces.safetensors").write_bytes(trained["advfaces"].to_bytes())
    (tmp_path / "bim.safetensors").write_bytes(b"no kind")
    assert shipped() == ["advfaces"]
    method = find_method("advfaces")
    assert method.learned is not None
    assert method.learned.sha256 == hashlib.sha256((tmp_path / "advfaces.safetensors").read_bytes()).hexdigest()
    assert find_method(str(tmp_path / "advfaces.safetensors")).learned == method.learned
    assert find_method("bim") is find("bim")
    with pytest.raises(CloakError, match="apf is learned"):
        find_method("apf")
    assert method.page.startswith("AdvFaces: a generator")
    assert "12 steps on 12 photos of 6 people, cut to 64 px, against tiny-1, tiny-2, from seed 0, with" in method.page
    assert f"sha256 {method.learned.sha256}." in method.page


def test_impersonation_needs_a_target(trained: Trained) -> None:
    method = trained["impersonation"].method()
    assert method.aim == "targeted"
    faces = made_faces(2)
    with pytest.raises(CloakError, match="give a photo of that person"):
        method.cloak(Task(faces, lambda _: torch.zeros(2)))
    one, other = (
        method.cloak(Task(faces, lambda _: torch.zeros(2), target_faces=[made_faces(1, seed=seed)])) for seed in (5, 6)
    )
    assert not torch.equal(one, other)
    assert trained["advfaces"].method().aim == "untargeted"


# the file


@pytest.mark.parametrize("kind", KIND)
def test_a_cloak_comes_back_as_it_was(kind: str, trained: Trained, tmp_path: Path) -> None:
    made = trained[kind]
    path = tmp_path / "a.safetensors"
    path.write_bytes(made.to_bytes())
    back = load_cloak(path)
    assert replace(back, learner=made.learner) == made
    assert back.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [(c.name, c.sha256) for c in back.surrogates] == [("tiny-1", "1"), ("tiny-2", "2")]
    assert (back.size, back.steps, back.photos, back.people) == (SIZE, 12, 12, 6)
    faces = made_faces(1)
    method = back.method()
    assert torch.equal(method.cloak(asked(faces)), made.method().cloak(asked(faces)))
    assert method.learned is not None
    assert method.learned.sha256 == back.sha256
    assert method.learned.settings["width"] == 4
    assert method.settings == {}


def other(made: LearnedCloak, weights: dict[str, Tensor] | None = None, **changes: Any) -> bytes:
    """The cloak's file with other weights or other facts."""
    data = made.to_bytes()
    length = int.from_bytes(data[:8], "little")
    facts = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["visard"])
    entries = {key: value for key, value in {**facts, **changes}.items() if value is not None}
    return save(load(data) if weights is None else weights, {"visard": json.dumps(entries)})


@pytest.mark.parametrize(
    "spoil",
    [
        lambda made: b"",
        lambda made: b"a text, not a cloak",
        lambda made: made.to_bytes()[:-1],
        lambda made: made.to_bytes()[:-4] + b"abcd",
        lambda made: save({"weight": torch.zeros(3)}),
        lambda made: other(made, {"weight": torch.zeros(3)}),
        lambda made: other(made, kind="opom"),
        lambda made: other(made, kind="apf"),
        lambda made: other(made, settings={"width": 5}),
        lambda made: other(made, settings={"depth": 5}),
        lambda made: other(made, size=63),
        lambda made: other(made, surrogates=[]),
        lambda made: other(made, surrogates=[{"name": "x"}]),
        lambda made: other(made, format="another"),
        lambda made: other(made, steps=None),
    ],
)
def test_another_file_is_refused_in_one_sentence(spoil: Any, trained: Trained, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(spoil(trained["advfaces"]))
    with pytest.raises(CloakError, match=r"a\.safetensors is not a cloak that visard train made, or it is damaged"):
        load_cloak(path)


def test_files_that_cannot_be_read(trained: Trained, tmp_path: Path) -> None:
    with pytest.raises(CloakError, match="does not exist; check the name, or make it with: visard train"):
        load_cloak(tmp_path / "a.safetensors")
    with pytest.raises(CloakError, match="could not be read"):
        load_cloak(tmp_path)
    (tmp_path / "new").write_bytes(other(trained["apf"], format="visard learned cloak 12", visard="9.9"))
    with pytest.raises(CloakError, match=r"made by visard 9\.9, which writes cloaks in another form"):
        load_cloak(tmp_path / "new")


def test_a_filter_needs_its_probe(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    from visard.errors import UnknownRecognizerError

    changed = tiny_recognizer(3)
    monkeypatch.setattr(learned, "find_card", lambda name: changed.card)
    with pytest.raises(CloakError, match=r"apf needs the recognizer tiny-1, sha256 1\.\.\., which is not here"):
        trained["apf"].method()

    def unknown(name: str) -> None:
        raise UnknownRecognizerError(name)

    monkeypatch.setattr(learned, "find_card", unknown)
    with pytest.raises(CloakError, match="apf needs the recognizer tiny-1"):
        trained["apf"].method()
    trained["advfaces"].method()
