"""Anonymizing: nothing of the face is left, nothing else is touched, and each face gets a person of its own."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Generator, Tensor

from latents import start_disentangling
from rig import DLIB, astronaut, astronaut_face, color_juror, save, threshold
from visard import photo
from visard.cloak import find
from visard.errors import CloakError, NoFaceError
from visard.face import FACE, HEAD, Face, Pixels, face_mask
from visard.generator import window
from visard.generator.latent import replacing
from visard.pipeline import LEDGER, STYLES, Plan, find_style, jobs, protect, protect_all, swap
from visard.pipeline.protect import replaced

Plans = Callable[..., Plan]
TEMPLATE = window(112)


def of_style(plan: Plans, style: str = "box", **changes: Any) -> Plan:
    return of_method(plan, find_style(style), settings=STYLES[style], **changes)


def of_method(plan: Plans, method: Any, **changes: Any) -> Plan:
    return replace(plan("box", **changes), method=method, surrogates=(), replaces=True)


def smooth(channels: int = 3) -> Pixels:
    """A photo without detail, (320, 400, C)."""
    y, x = np.mgrid[:320, :400]
    planes = [120 + 60 * np.sin(x / 60 + i) + 50 * np.cos(y / 70 - i) for i in range(channels)]
    return np.rint(np.stack(planes, axis=-1)).astype(np.uint8)


def made_face(x: float = 200, y: float = 160, size: float = 120) -> Face:
    return (
        astronaut_face()
        .moved(size / astronaut_face().size)
        .moved(shift=tuple(np.array((x, y)) - (astronaut_face().landmarks[2] * size / astronaut_face().size)))
    )


def mask_of(face: Face, shape: tuple[int, int], kind: Any = HEAD) -> np.ndarray[Any, Any]:
    side = max(shape)
    return face_mask(torch.from_numpy(face.frame)[None].float(), side, kind)[0, 0].numpy()[: shape[0], : shape[1]]


def same(crops: Tensor, _generator: Generator) -> Tensor:
    return crops


# the styles


@pytest.mark.parametrize("style", STYLES)
def test_styles_are_methods(style: str) -> None:
    assert find_style(style) is find(style)
    find(style).check(STYLES[style])


def test_styles_that_are_not_there() -> None:
    with pytest.raises(CloakError, match=r'No style is called "haze"\. There are: person, blur, pixelate, box'):
        find_style("haze")


def test_who_told_a_person_from_another_does_not_judge() -> None:
    made = start_disentangling().made()
    method = find_style("person", made)
    assert method.learned is not None
    assert method.learned.sha256 == made.sha256
    assert method.learned.surrogates == (made.identity.card,)


# nothing of the face is left


@pytest.mark.parametrize("scale", [1, 3])
def test_a_box_leaves_nothing_however_large_the_face(scale: int, plan: Plans) -> None:
    """A change made on a reduced face would leave what is fine in it."""
    size = (512 * scale, 512 * scale)
    pixels = np.asarray(Image.fromarray(astronaut()).resize(size, Image.Resampling.BICUBIC))
    grain = np.random.default_rng(0).integers(-20, 20, pixels.shape)
    pixels = np.clip(pixels.astype(int) + grain, 0, 255).astype(np.uint8)
    face = astronaut_face().moved(scale)
    out = replaced(pixels, [face], of_style(plan))
    mask = mask_of(face, pixels.shape[:2])
    assert not out[mask == 1].any()
    np.testing.assert_array_equal(out[mask == 0], pixels[mask == 0])


def test_where_faces_overlap_nothing_of_either_is_left(plan: Plans) -> None:
    pixels, faces = smooth(), [made_face(170), made_face(230)]
    out = replaced(pixels, faces, of_style(plan))
    left, right = (mask_of(face, pixels.shape[:2]) for face in faces)
    assert ((left == 1) & (right == 1)).any()
    assert not out[(left == 1) | (right == 1)].any()
    heard: list[float] = []
    replaced(pixels, faces, of_style(plan), heard.append)
    assert heard == [0.5, 1.0]


@pytest.mark.parametrize("style", ["blur", "pixelate", "box"])
def test_a_portrait_is_not_recognized(style: str, plan: Plans, tmp_path: Path) -> None:
    source = save(tmp_path / "me.png")
    outcome = protect(source, tmp_path / "out.png", of_style(plan, style, jury=("blind", "sharp")))
    assert outcome.status == "not protected"  # sharp matches everything
    (face,) = outcome.faces
    assert face.found is False
    assert face.to_json()["found"] is False
    nobody = protect(source, tmp_path / "out2.png", of_style(plan, style))
    assert nobody.status == "not judged"
    assert nobody.faces[0].found is None


def test_a_face_that_stays_is_found(plan: Plans, tmp_path: Path) -> None:
    outcome = protect(
        save(tmp_path / "me.png"),
        tmp_path / "out.png",
        of_method(plan, replacing(same, TEMPLATE, "same"), jury=("blind",)),
    )
    assert outcome.status == "protected"
    assert outcome.faces[0].found is True


# a face in the place of another


@pytest.mark.parametrize("channels", [1, 3])
def test_the_same_face_gives_back_the_photo(channels: int, plan: Plans) -> None:
    """Within what resampling costs; the offset of a crop that is darker throughout is taken off."""
    pixels, face = smooth(channels), made_face()
    for source in (same, lambda crops, _generator: 0.9 * crops):
        out = replaced(pixels, [face], of_method(plan, replacing(source, TEMPLATE, "other")))
        assert out.shape == pixels.shape
        assert np.abs(out.astype(int) - pixels).max() <= 2
        outside = mask_of(face, pixels.shape[:2], FACE) == 0
        np.testing.assert_array_equal(out[outside], pixels[outside])


@pytest.mark.parametrize("shift", [(0, 7), (-6, 0)])
def test_a_face_that_lies_elsewhere_in_its_crop_is_moved_onto_the_landmarks(
    shift: tuple[int, int], plan: Plans
) -> None:
    pixels, face = astronaut(), astronaut_face()
    inside = mask_of(face, pixels.shape[:2], FACE) > 0.9

    def off(moved: tuple[int, int]) -> float:
        method = replacing(lambda crops, _generator: crops.roll(moved, dims=(2, 3)), TEMPLATE, "moved")
        out = replaced(pixels, [face], of_method(plan, method))
        return float(np.abs(out.astype(int) - pixels)[inside].mean())

    rolled = np.abs(np.roll(pixels, shift, axis=(0, 1)).astype(int) - pixels)[inside].mean()
    assert off(shift) < 0.5 * rolled  # it would be about as far off, were it left there


@pytest.mark.parametrize("place", [(200, 160), (10, 160), (395, 315), (200, 5)])
def test_faces_at_the_edge(place: tuple[int, int], plan: Plans) -> None:
    """What lies beyond the photo is no light, and no black in the crop."""
    darkest: list[float] = []

    def source(crops: Tensor, _generator: Generator) -> Tensor:
        darkest.append(float(crops.amin()))
        return crops

    pixels = smooth()
    out = replaced(pixels, [made_face(*place)], of_method(plan, replacing(source, TEMPLATE, "other")))
    assert min(darkest) > 0.9 * pixels.min() / 255
    assert np.abs(out.astype(int) - pixels).max() <= 3


def test_what_a_source_gets_and_gives(plan: Plans) -> None:
    seen: list[tuple[Tensor, float]] = []

    def source(crops: Tensor, generator: Generator) -> Tensor:
        seen.append((crops, float(torch.rand(1, generator=generator))))
        return torch.rand(crops.shape, generator=generator).round()

    pixels, faces = smooth(1), [made_face(120, size=80), made_face(280, size=80)]
    method = replacing(source, TEMPLATE, "other")
    out = replaced(pixels, faces, of_method(plan, method, seed=3))
    assert out.shape == pixels.shape
    assert [tuple(crops.shape) for crops, _ in seen] == [(1, 3, 112, 112)] * 2
    assert all(float(crops.min()) >= 0 and float(crops.max()) <= 1 for crops, _ in seen)
    assert len({drawn for _, drawn in seen}) == 2  # each face has a person of its own
    np.testing.assert_array_equal(out, replaced(pixels, faces, of_method(plan, method, seed=3)))
    other = replaced(pixels, faces, of_method(plan, method, seed=4))
    inside = mask_of(faces[0], pixels.shape[:2], FACE) == 1
    assert np.abs(other[inside].astype(int) - out[inside]).mean() > 5
    assert seen[0][1] == seen[2][1] != seen[4][1]


def test_a_face_does_not_depend_on_its_place_in_the_batch(plan: Plans) -> None:
    pixels, faces = smooth(), [made_face(100, size=60), made_face(300, size=60)]
    noisy = of_style(plan, "noise")
    both = replaced(pixels, faces, noisy)
    np.testing.assert_array_equal(both, replaced(pixels, faces[::-1], noisy))


# many photos


def test_a_folder_goes_on_and_a_protected_one_does_not_count(plan: Plans, tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    save(folder / "a.png")
    save(folder / "b.png", smooth())
    box = of_style(plan)
    for resumed in (False, True):
        rows = list(protect_all(jobs([folder], out), box, out / LEDGER))
        assert [(row.outcome["status"], row.resumed) for row in rows] == [("not judged", resumed), ("no face", False)]
    assert box.fingerprint() != replace(box, replaces=False).fingerprint()
    np.testing.assert_array_equal(photo.read(out / "a.png").pixels, replaced(astronaut(), [astronaut_face()], box))


# a swap


def test_a_swap(tmp_path: Path) -> None:
    """The face of one photo in the other, with the verdict on both people."""
    red = astronaut().copy()
    red[..., 1:] //= 3
    who, where = save(tmp_path / "a.png", red), save(tmp_path / "b.png")
    made: list[tuple[Tensor, Tensor]] = []

    def make(identity: Tensor, expression: Tensor) -> Tensor:
        made.append((identity, expression))
        return identity

    juror, _ = color_juror(threshold(0.5))
    found = swap(who, where, tmp_path / "out.png", make, TEMPLATE, detector=DLIB, jury=[juror])
    ((identity, expression),) = made
    assert identity.shape == expression.shape == (1, 3, 112, 112)
    assert float(identity[:, 0].mean()) > 2 * float(identity[:, 1].mean())
    assert float(expression[:, 0].mean()) < 2 * float(expression[:, 1].mean())
    assert found.outcome.output == tmp_path / "out.png"
    assert found.outcome.faces[0].references == 0
    assert found.likeness.references == 1
    assert found.likeness.number == 1
    written = photo.read(tmp_path / "out.png").pixels
    outside = mask_of(astronaut_face(), (512, 512), FACE) == 0
    np.testing.assert_array_equal(written[outside], astronaut()[outside])
    assert (written != astronaut()).any()


def test_a_swap_without_a_face(tmp_path: Path) -> None:
    wall, me = save(tmp_path / "wall.png", smooth()), save(tmp_path / "me.png")
    for who, where, what in ((wall, me, "to take the identity from"), (me, wall, "no face 1: the photo has 0")):
        with pytest.raises(NoFaceError, match=what):
            swap(who, where, tmp_path / "out.png", lambda a, _b: a, TEMPLATE, detector=DLIB)
    assert not (tmp_path / "out.png").exists()
    with pytest.raises(NoFaceError, match="no face 2"):
        swap(me, me, tmp_path / "out.png", lambda a, _b: a, TEMPLATE, detector=DLIB, number=2)
