"""A person's mask: the distances that it maximizes, how it is learned, where it lies, its file."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save
from scipy.optimize import LinearConstraint, minimize
from torch import Tensor, nn

from visard.cloak import Faces, PersonMask, Task, embed, hull, learn_mask, load_mask, save_mask
from visard.cloak.dropout import dropped
from visard.cloak.person import GRID
from visard.errors import CloakError, MaskError, SettingError, WriteError
from visard.face.patch import WORKING_SIZE, _canonical_grid, face_mask
from visard.recognizer import Recognizer

EPS = 8 / 255
LOSSES = ("fi-uap", "fi-uap+", "center", "affine-hull", "convex-hull")


def unit(count: int, dim: int = 12, seed: int = 0, spread: float = 1.0) -> Tensor:
    """Unit features around one direction."""
    generator = torch.Generator().manual_seed(seed)
    center = torch.randn(dim, generator=generator, dtype=torch.float64)
    return F.normalize(center + spread * torch.randn(count, dim, generator=generator, dtype=torch.float64))


def person(count: int = 4, seed: int = 0, channels: int = 3, side: int = 120) -> list[Faces]:
    """Pictures of one made-up face, each in other light and another frame."""
    generator = torch.Generator().manual_seed(seed)
    face = F.interpolate(torch.rand(1, channels, 12, 12, generator=generator), size=(side, side), mode="bicubic")
    found = []
    for i in range(count):
        noise = F.interpolate(torch.rand(1, channels, 9, 9, generator=generator), size=(side, side), mode="bicubic")
        frame = torch.tensor([[[1.0, 0.02 * i, 3.0 + i], [-0.02 * i, 1.0, 4.0]]])
        found.append(Faces((0.75 * face + 0.2 * noise).clamp(0.03, 0.97), frame))
    return found


# the distances


@settings(deadline=None, max_examples=25)
@given(count=st.integers(1, 9), spread=st.floats(0.1, 2), seed=st.integers(0, 99))
def test_the_convex_hulls_nearest_point_is_scipys(count: int, spread: float, seed: int) -> None:
    anchors, points = unit(count, seed=seed, spread=spread), unit(3, seed=seed + 1000)
    weights = hull.simplex_weights(anchors, points)
    assert (weights >= 0).all()
    assert torch.allclose(weights.sum(dim=1), torch.ones(3, dtype=torch.float64))
    a = anchors.numpy()
    for weight, point in zip(weights.numpy(), points.numpy(), strict=True):
        found = minimize(
            lambda w, point=point: ((w @ a - point) ** 2).sum(),
            np.full(count, 1 / count),
            jac=lambda w, point=point: 2 * a @ (w @ a - point),
            bounds=[(0, 1)] * count,
            constraints=LinearConstraint(np.ones(count), 1, 1),
            method="SLSQP",
            options={"ftol": 1e-14, "maxiter": 500},
        )
        ours = ((weight @ a - point) ** 2).sum()
        assert ours <= found.fun + 1e-9  # none is nearer
        assert ours == pytest.approx(found.fun, abs=1e-6)


@settings(deadline=None, max_examples=25)
@given(count=st.integers(1, 9), spread=st.floats(0.1, 2), seed=st.integers(0, 99))
def test_the_affine_hulls_nearest_point_is_that_of_least_squares(count: int, spread: float, seed: int) -> None:
    anchors, points = unit(count, seed=seed, spread=spread), unit(3, seed=seed + 1000)
    found = hull.to_affine_hull(anchors)(points)
    # w = (1, 0 .. 0) + free steps from the first anchor to the others
    steps = (anchors[1:] - anchors[0]).T.numpy()
    for distance, point in zip(found, points, strict=True):
        aside = (point - anchors[0]).numpy()
        w = np.linalg.lstsq(steps, aside, rcond=None)[0]
        assert float(distance) == pytest.approx(((steps @ w - aside) ** 2).sum(), abs=1e-9)


@settings(deadline=None, max_examples=20)
@given(count=st.integers(1, 8), seed=st.integers(0, 99))
def test_larger_hulls_are_nearer(count: int, seed: int) -> None:
    anchors, points = unit(count, seed=seed), unit(5, seed=seed + 1000)
    affine, convex, center = (
        make(anchors)(points) for make in (hull.to_affine_hull, hull.to_convex_hull, hull.to_center)
    )
    assert (affine <= convex + 1e-9).all()
    assert (convex <= center + 1e-9).all()


def test_a_point_of_the_hull_is_at_no_distance() -> None:
    anchors = unit(5)
    inside = torch.tensor([[0.1, 0.2, 0.3, 0.4, 0.0]], dtype=torch.float64) @ anchors
    beyond = torch.tensor([[2.0, -1.0, 0.0, 0.0, 0.0]], dtype=torch.float64) @ anchors
    assert float(hull.to_convex_hull(anchors)(inside)) == pytest.approx(0, abs=1e-12)
    assert float(hull.to_affine_hull(anchors)(beyond)) == pytest.approx(0, abs=1e-12)
    assert float(hull.to_convex_hull(anchors)(beyond)) > 0.01


def test_the_same_photo_twice_is_one_anchor() -> None:
    anchors, points = unit(3).float(), unit(4, seed=5).float()
    twice = torch.cat([anchors, anchors + 1e-8])
    for make in (hull.to_affine_hull, hull.to_convex_hull):
        assert torch.allclose(make(anchors)(points), make(twice)(points), atol=1e-5)


def test_distances_by_hand() -> None:
    anchors, points = torch.eye(3)[:2], torch.tensor([[0.0, 0.0, 1.0], [0.6, 0.8, 0.0]])
    assert hull.to_own(anchors)(points).tolist() == pytest.approx([2, 0.4])
    assert hull.to_all(anchors)(points).tolist() == pytest.approx([2, 0.6])
    assert hull.to_center(anchors)(points).tolist() == pytest.approx([1.5, 0.1])
    assert hull.to_affine_hull(anchors)(points).tolist() == pytest.approx([1.5, 0.08])
    assert hull.to_convex_hull(anchors)(points).tolist() == pytest.approx([1.5, 0.08])


@pytest.mark.parametrize("make", [hull.to_own, hull.to_all, hull.to_center, hull.to_affine_hull, hull.to_convex_hull])
def test_the_distances_gradients(make: Any) -> None:
    points = unit(4, seed=3).requires_grad_(True)
    assert torch.autograd.gradcheck(make(unit(4)), points)


# dropout


def test_dropout_hits_feature_maps_wherever_they_are_made() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(2, 3, 40, 40)
    layer = nn.Conv2d(3, 20, 3).requires_grad_(False)
    state = torch.random.get_rng_state()
    plain = layer(x)
    with dropped(0.25, generator):
        module, function = layer(x), F.conv2d(x, layer.weight, layer.bias)
        pooled = F.conv2d(x, torch.ones(4, 3, 40, 40))
    for out in (module, function):
        gone = out == 0
        assert float(gone.float().mean()) == pytest.approx(0.25, abs=0.01)
        assert torch.allclose(out[~gone], plain[~gone] / 0.75)
    assert not torch.equal(module == 0, function == 0)  # drawn anew
    assert (pooled != 0).all()  # one pixel: an embedding
    assert torch.equal(layer(x), plain)
    assert torch.equal(torch.random.get_rng_state(), state)
    with dropped(0.0, generator):
        assert torch.equal(layer(x), plain)


# where the mask lies


def a_mask(values: Tensor, surrogates: list[Recognizer], eps: float = 0.5) -> PersonMask:
    return PersonMask(values, tuple(s.card for s in surrogates), {"eps": eps}, 1, 0)


@pytest.mark.parametrize("scale", [0.3, 0.8, 1.4])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_mask_lies_in_the_faces_frame(surrogates: list[Recognizer], scale: float, channels: int) -> None:
    """A mask that holds each of its pixels' canonical place shows every pixel of the picture its own."""
    (sx, _, x0), (_, sy, y0) = GRID.to_canonical.tolist()
    x, y = x0 + sx * torch.arange(GRID.size[1]), y0 + sy * torch.arange(GRID.size[0])
    y, x = torch.meshgrid(y, x, indexing="ij")
    frames = scale * torch.tensor([[[1.0, 0.3, 20], [-0.3, 1.0, 60]], [[0.9, -0.2, 40], [0.2, 0.9, 10]]])
    faces = Faces(torch.zeros(2, channels, 90, 90), frames)
    got = a_mask(torch.stack([x, y, (x + y) / 2]), surrogates).on(faces)
    at_x, at_y = _canonical_grid(frames, 90)
    inside = (at_x > -10) & (at_x < 122) & (at_y > -8) & (at_y < 130)
    assert inside.float().mean() > 0.1
    assert got.shape == (2, channels, 90, 90)
    expected = [at_x, at_y, (at_x + at_y) / 2] if channels == 3 else [(at_x + at_y) / 2]
    for channel, wanted in enumerate(expected):
        assert torch.allclose(got[:, channel][inside], wanted[inside], atol=1e-2)


def test_no_patch_is_finer_than_the_mask() -> None:
    height, width = GRID.size
    assert max(height, width) >= WORKING_SIZE
    assert GRID.to_canonical[0, 0] == GRID.to_canonical[1, 1] == 0.5


def test_as_a_method_it_keeps_the_range_and_names_its_file(surrogates: list[Recognizer], tmp_path: Path) -> None:
    mask = learn_mask(person(), surrogates, rounds=1)
    (faces, *_) = person(1, seed=3)
    bright = faces._replace(pixels=faces.pixels.clamp(min=0.99))
    heard: list[int] = []
    method = mask.method()
    delta = method.cloak(Task(bright, lambda _: torch.zeros(1), watch=lambda step, _: heard.append(step)))
    assert heard == [1]
    assert float(delta.abs().max()) > 0
    assert float((bright.pixels + delta).max()) <= 1
    save_mask(mask, tmp_path / "me.mask")
    assert method.learned is not None
    assert method.learned.sha256 == hashlib.sha256((tmp_path / "me.mask").read_bytes()).hexdigest()
    assert [card.name for card in method.learned.surrogates] == ["tiny-1", "tiny-2"]
    with pytest.raises(CloakError, match="give the faces with their frames"):
        mask.on(Faces(bright.pixels))


# learning


def lost(mask: Tensor, photos: list[Faces], surrogates: list[Recognizer], made: PersonMask) -> float:
    """The mean similarity of masked photos to their clean selves."""
    worn = replace(made, values=mask)
    with torch.no_grad():
        return float(
            np.mean(
                [
                    (embed(s, faces) * embed(s, faces._replace(pixels=faces.pixels + worn.on(faces)))).sum()
                    for s in surrogates
                    for faces in photos
                ]
            )
        )


@pytest.mark.parametrize("optimizer", ["sign", "transfer"])
@pytest.mark.parametrize("loss", LOSSES)
def test_the_mask_holds_on_photos_that_it_never_saw(loss: Any, optimizer: Any, surrogates: list[Recognizer]) -> None:
    photos = person(7)
    mask = learn_mask(photos[:4], surrogates, loss=loss, optimizer=optimizer, rounds=8)
    assert mask.values.shape == (3, *GRID.size)
    assert float(mask.values.abs().max()) <= EPS + 1e-7
    noise = EPS * torch.sign(torch.randn(mask.values.shape, generator=torch.Generator().manual_seed(4)))
    learned, chance = (lost(values, photos[4:], surrogates, mask) for values in (mask.values, noise))
    assert learned < chance - 0.02


def test_the_first_round_by_hand(surrogates: list[Recognizer]) -> None:
    """One photo, one surrogate, frames the mask's own: no warp lies between, and the step is one gray level."""
    (recognizer, *_) = surrogates
    pixels = F.interpolate(torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(2)), size=GRID.size)
    pixels = 0.1 + 0.8 * F.pad(pixels, (0, GRID.size[0] - GRID.size[1]))  # square, as patches are
    frame = torch.tensor([[[2.0, 0.0, 28.5], [0.0, 2.0, 24.5]]])  # the inverse of GRID.to_canonical
    faces = Faces(pixels, frame)
    start = EPS * (2 * torch.rand(1, 3, *GRID.size, generator=torch.Generator().manual_seed(0)) - 1)
    fade = face_mask(frame, pixels.shape[-1])
    mask = start.clone().requires_grad_(True)
    worn = pixels + fade * F.pad(mask, (0, GRID.size[0] - GRID.size[1]))
    similarity = (embed(recognizer, faces._replace(pixels=worn)) * embed(recognizer, faces)).sum()
    similarity.backward()
    assert mask.grad is not None
    expected = (start - mask.grad.sign() / 255).clamp(-EPS, EPS)
    made = learn_mask([faces], [recognizer], loss="fi-uap", rounds=1)
    sure = mask.grad[0].abs() > 1e-3 * mask.grad.abs().max()
    assert float(sure.float().mean()) > 0.1
    assert float((made.values - expected[0])[sure].abs().max()) <= EPS / 127


def test_the_convex_hull_begins_with_the_class_center(surrogates: list[Recognizer]) -> None:
    photos = person(3)

    def learned(**changes: Any) -> Tensor:
        return learn_mask(photos, surrogates[:1], rounds=3, **changes).values

    center = learned(loss="center")
    assert torch.equal(learned(loss="convex-hull", center_rounds=3), center)
    assert not torch.equal(learned(loss="convex-hull", center_rounds=2), center)
    assert not torch.equal(learned(loss="fi-uap"), center)
    # for squared distances of unit features, all pairs and the class center have one gradient
    assert ((learned(loss="fi-uap+") - center).abs() < 1e-6).float().mean() > 0.99


def test_photos_of_any_size_and_gray_ones_teach_together(surrogates: list[Recognizer]) -> None:
    photos = [*person(2), *person(1, channels=1), *person(1, side=150)]
    mask = learn_mask(photos, surrogates, rounds=4)
    assert mask.photos == 4
    gray = photos[2]
    assert mask.on(gray).shape == gray.pixels.shape
    assert lost(mask.values, photos, surrogates, mask) < 0.99


def test_seeds_and_rounds(surrogates: list[Recognizer]) -> None:
    photos = person(2)
    state = torch.random.get_rng_state()
    heard: list[tuple[int, int]] = []
    common: dict[str, Any] = {"optimizer": "transfer", "rounds": 3}
    first = learn_mask(photos, surrogates, 1, lambda *at: heard.append(at), **common)
    again, other = learn_mask(photos, surrogates, 1, **common), learn_mask(photos, surrogates, 2, **common)
    assert first.to_bytes() == again.to_bytes()
    assert not torch.equal(first.values, other.values)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert heard == [(1, 3), (2, 3), (3, 3)]
    without = learn_mask(photos, surrogates, 1, dropout=0.0, **common)
    assert not torch.equal(without.values, first.values)
    assert learn_mask(photos, surrogates, rounds=0).settings["rounds"] == 0


def test_the_papers_numbers_of_rounds(surrogates: list[Recognizer], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def descend(task: Task, *, steps: int, **_: Any) -> Tensor:
        asked.append(steps)
        return torch.zeros_like(task.faces.pixels)

    monkeypatch.setattr("visard.cloak.person.descend", descend)
    for optimizer in ("sign", "transfer"):
        assert learn_mask(person(1), surrogates, optimizer=optimizer).settings["rounds"] == asked[-1]  # type: ignore[arg-type]
    assert asked == [16, 100]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"loss": "hull"}, "opom: loss is one of fi-uap"),
        ({"optimizer": "adam"}, "optimizer is one of sign, transfer"),
        ({"eps": 0.6}, "eps is at most 0.5"),
        ({"eps": 8}, "did you mean 8/255"),
        ({"rounds": 1.5}, "rounds takes a whole number"),
        ({"dropout": 1.0}, "dropout must leave something"),
    ],
)
def test_settings_out_of_range(given: dict[str, Any], sentence: str, surrogates: list[Recognizer]) -> None:
    with pytest.raises(SettingError, match=sentence):
        learn_mask(person(1), surrogates, **given)


def test_nothing_to_learn_from(surrogates: list[Recognizer]) -> None:
    with pytest.raises(CloakError, match="at least one photo of the person"):
        learn_mask([], surrogates)
    with pytest.raises(CloakError, match="at least one surrogate"):
        learn_mask(person(1), [])


# the file


@pytest.fixture(scope="module")
def made(surrogates: list[Recognizer]) -> PersonMask:
    return learn_mask(person(2), surrogates, 3, rounds=2)


def test_a_mask_comes_back_as_it_was(made: PersonMask, tmp_path: Path) -> None:
    path = tmp_path / "me.mask"
    save_mask(made, path)
    back = load_mask(path)
    assert torch.equal(back.values, made.values)
    assert replace(back, values=made.values) == made
    assert back.to_bytes() == made.to_bytes() == path.read_bytes()
    assert (back.photos, back.seed, back.eps) == (2, 3, EPS)
    assert [(c.name, c.sha256) for c in back.surrogates] == [("tiny-1", "1"), ("tiny-2", "2")]
    assert path.stat().st_size < 260_000
    assert [p.name for p in tmp_path.iterdir()] == ["me.mask"]
    with pytest.raises(WriteError, match="does not exist"):
        save_mask(made, tmp_path / "nowhere/me.mask")


def test_no_mask_at_all_is_a_mask_of_zeros(made: PersonMask, surrogates: list[Recognizer], tmp_path: Path) -> None:
    nothing = learn_mask(person(1), surrogates, eps=0.0, rounds=1)
    save_mask(nothing, tmp_path / "me.mask")
    assert float(load_mask(tmp_path / "me.mask").values.abs().max()) == 0


def other(made: PersonMask, tensors: dict[str, Tensor] | None = None, **changes: Any) -> bytes:
    """The mask's file with other tensors or other facts."""
    data = made.to_bytes()
    length = int.from_bytes(data[:8], "little")
    facts = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["visard"])
    entries = {key: value for key, value in {**facts, **changes}.items() if value is not None}
    return save(tensors or {"mask": torch.zeros((3, *GRID.size), dtype=torch.int8)}, {"visard": json.dumps(entries)})


@pytest.mark.parametrize(
    "spoil",
    [
        lambda made: b"",
        lambda made: b"a text, not a mask",
        lambda made: made.to_bytes()[:-1],
        lambda made: made.to_bytes()[:400],
        lambda made: save({"mask": torch.zeros((3, *GRID.size), dtype=torch.int8)}),
        lambda made: save({"weight": torch.zeros(3)}, {"visard": "{}"}),
        lambda made: other(made, {"mask": torch.zeros((3, *GRID.size))}),
        lambda made: other(made, {"mask": torch.zeros((3, 9, 9), dtype=torch.int8)}),
        lambda made: other(made, format="another"),
        lambda made: other(made, format=None),
        lambda made: other(made, surrogates=[]),
        lambda made: other(made, surrogates=[{"name": "x"}]),
        lambda made: other(made, surrogates="tiny"),
        lambda made: other(made, settings={"eps": "much"}),
        lambda made: other(made, settings={}),
        lambda made: other(made, photos="two"),
    ],
)
def test_another_file_is_refused_in_one_sentence(spoil: Any, made: PersonMask, tmp_path: Path) -> None:
    path = tmp_path / "me.mask"
    path.write_bytes(spoil(made))
    with pytest.raises(MaskError, match=r"me\.mask is not a mask that visard person learn made"):
        load_mask(path)


def test_files_that_cannot_be_read(made: PersonMask, tmp_path: Path) -> None:
    with pytest.raises(MaskError, match="does not exist; check the name"):
        load_mask(tmp_path / "me.mask")
    with pytest.raises(MaskError, match="could not be read"):
        load_mask(tmp_path)
    (tmp_path / "new.mask").write_bytes(other(made, format="visard person mask 12", visard="9.9"))
    with pytest.raises(MaskError, match=r"made by visard 9\.9, which writes masks in another form"):
        load_mask(tmp_path / "new.mask")


@settings(deadline=None, max_examples=60)
@given(place=st.integers(0, 4000), value=st.integers(0, 255))
def test_a_damaged_header_is_refused_or_harmless(
    made: PersonMask, tmp_path_factory: pytest.TempPathFactory, place: int, value: int
) -> None:
    data = bytearray(made.to_bytes())
    data[place] = value
    path = tmp_path_factory.getbasetemp() / "damaged.mask"
    path.write_bytes(data)
    try:
        found = load_mask(path)
    except MaskError:
        return
    assert float(found.values.abs().max()) <= found.eps + 1e-7
