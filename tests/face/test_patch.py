"""Patches: what is cut from a photo and what comes back."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.data import astronaut

from visard.face import Face, FacePatches, Pixels, cut, paste, warp
from visard.face.template import CANONICAL_POINTS, apply, compose

GRAY_LEVEL = 1 / 255


def made_face(x: float, y: float, size: float, degrees: float = 0.0) -> Face:
    """A face whose canonical frame of `size` pixels has its center at (x, y)."""
    angle = np.radians(degrees)
    turn = size / 112 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = (CANONICAL_POINTS["arcface"] - 55.5) @ turn.T + (x, y)
    return Face((x - size / 2, y - size / 2, x + size / 2, y + size / 2), points, "arcface")


def photo(height: int = 300, width: int = 400, channels: int = 3, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


CROWDS = {
    "one": [made_face(200, 150, 90)],
    "large, reduced": [made_face(200, 150, 230, 20)],
    "small and large": [made_face(60, 60, 30), made_face(260, 150, 200, -10)],
    "overlapping": [made_face(150, 150, 100), made_face(200, 150, 100), made_face(190, 180, 60, 30)],
    "at the borders": [made_face(0, 0, 80), made_face(399, 299, 120), made_face(200, -20, 70), made_face(400, 20, 250)],
    "outside": [made_face(900, 150, 100), made_face(100, 150, 100)],
}
crowd = pytest.mark.parametrize("faces", CROWDS.values(), ids=CROWDS)


def full_delta(patches: FacePatches, value: float = 1.0) -> torch.Tensor:
    return torch.full_like(patches.pixels, value)


def change(pixels: Pixels, patches: FacePatches, delta: torch.Tensor) -> np.ndarray:
    return (paste(pixels, patches, delta).astype(int) - pixels) * GRAY_LEVEL


@crowd
@pytest.mark.parametrize("channels", [1, 3])
def test_zero_delta_changes_nothing(faces: list[Face], channels: int) -> None:
    pixels = photo(channels=channels)
    patches = cut(pixels, faces)
    assert patches.pixels.shape[1] == channels
    out = paste(pixels, patches, full_delta(patches, 0))
    np.testing.assert_array_equal(out, pixels)
    assert out is not pixels


@crowd
@pytest.mark.parametrize("channels", [1, 3])
@settings(deadline=None, max_examples=3)
@given(seed=st.integers(0, 2**32 - 1), eps=st.integers(1, 60))
def test_a_budget_on_the_patch_holds_in_the_photo(faces: list[Face], channels: int, seed: int, eps: int) -> None:
    pixels = photo(channels=channels, seed=seed)
    patches = cut(pixels, faces)
    signs = torch.randint(0, 2, patches.pixels.shape, generator=torch.Generator().manual_seed(seed)) * 2.0 - 1
    changed = change(pixels, patches, signs * eps / 255)
    assert np.abs(changed).max() <= (eps + 0.5) * GRAY_LEVEL + 1e-6
    in_view = any(0 <= x < 400 and 0 <= y < 300 for x, y in (f.landmarks[2] for f in faces))
    assert not in_view or np.abs(changed).max() >= (0.5 * eps - 0.5) * GRAY_LEVEL


@crowd
def test_masks_sum_to_at_most_one(faces: list[Face]) -> None:
    pixels = np.zeros((300, 400, 1), np.uint8)
    patches = cut(pixels, faces)
    assert float(patches.mask.min()) >= 0
    assert float(patches.mask.max()) <= 1
    # a change of 100 gray levels under every mask: more than 100 where the masks sum to more than 1
    assert paste(pixels, patches, full_delta(patches, 100 / 255)).max() <= 101


@crowd
def test_pixels_outside_the_masks_never_change(faces: list[Face]) -> None:
    pixels = photo()
    patches = cut(pixels, faces)
    changed = np.abs(change(pixels, patches, full_delta(patches))).max(axis=2) > 0
    y, x = np.mgrid[:300, :400]
    near = np.zeros((300, 400), dtype=bool)
    for face in faces:
        linear, shift = face.frame[:, :2], face.frame[:, 2]
        canonical = np.stack([x - shift[0], y - shift[1]], axis=-1) @ np.linalg.inv(linear).T
        near |= ((canonical > (-7, -6)) & (canonical < (118, 128))).all(axis=2)  # the mask's rectangle, and a margin
    assert not (changed & ~near).any()


def test_the_middle_of_a_face_may_change_fully() -> None:
    pixels = np.zeros((300, 400, 1), np.uint8)
    for faces in (CROWDS["one"], CROWDS["large, reduced"]):
        patches = cut(pixels, faces)
        out = paste(pixels, patches, full_delta(patches, 100 / 255))
        for x, y in np.round(faces[0].landmarks).astype(int):
            assert out[y, x, 0] == 100


def test_overlapping_changes_are_summed_before_they_are_rounded() -> None:
    pixels = np.full((300, 400, 1), 128, np.uint8)
    faces = [made_face(200, 150, 100)] * 4
    patches = cut(pixels, faces)
    out = paste(pixels, patches, full_delta(patches, 1.2 / 255))  # each alone rounds to nothing
    assert out[150, 200, 0] == 129


def test_clipping_at_black_and_white() -> None:
    for value, sign in ((255, 1), (0, -1)):
        pixels = np.full((300, 400, 3), value, np.uint8)
        patches = cut(pixels, CROWDS["overlapping"])
        np.testing.assert_array_equal(paste(pixels, patches, full_delta(patches, float(sign))), pixels)


@crowd
def test_frames_map_canonical_points_onto_the_same_place(faces: list[Face]) -> None:
    patches = cut(photo(), faces)
    side = patches.pixels.shape[-1]
    for face, frame, corner, photo_side in zip(faces, patches.frames, patches.corners, patches.sides, strict=True):
        on_patch = apply(frame.double().numpy(), CANONICAL_POINTS["arcface"])
        in_photo = (on_patch + 0.5) * photo_side / side - 0.5 + corner
        np.testing.assert_allclose(in_photo, face.landmarks, atol=1e-3)


@pytest.mark.parametrize(("size", "tolerance"), [(70, 1e-3), (110, 1e-3), (330, 0.02)])
def test_patch_and_photo_show_the_same_face(size: float, tolerance: float) -> None:
    pixels = astronaut()
    face = made_face(225, 120, size, 12)
    patches = cut(pixels, [face])
    whole = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255
    direct = warp(whole, torch.from_numpy(face.frame)[None].float(), (112, 112))
    from_patch = warp(patches.pixels, patches.frames, (112, 112))
    assert float((direct - from_patch).abs().mean()) < tolerance


@crowd
def test_the_patch_holds_the_whole_mask(faces: list[Face]) -> None:
    mask = cut(photo(), faces).mask
    rim = torch.cat([mask[..., 0, :], mask[..., -1, :], mask[..., :, 0], mask[..., :, -1]], dim=-1)
    assert not rim.any()
    assert (mask.amax(dim=(1, 2, 3)) > 0.3).all()


def test_small_faces_keep_the_photos_own_grid() -> None:
    pixels = photo()
    patches = cut(pixels, CROWDS["small and large"])
    (x, y), side = patches.corners[0], patches.pixels.shape[-1]
    assert patches.sides[0] == side
    y0, x0 = max(-y, 0), max(-x, 0)
    patch = (patches.pixels[0] * 255).round().byte().permute(1, 2, 0).numpy()
    inside = patch[y0 : 300 - y, x0 : 400 - x]
    np.testing.assert_array_equal(inside, pixels[y + y0 : y + y0 + inside.shape[0], x + x0 : x + x0 + inside.shape[1]])
    assert not patch[:y0].any()
    assert not patch[:, :x0].any()


@pytest.mark.parametrize("working_size", [32, 100, 224, 1000])
def test_working_size_bounds_the_patch(working_size: int) -> None:
    patches = cut(photo(), [made_face(200, 150, 90), made_face(100, 100, 20)], working_size)
    assert patches.pixels.shape[-1] == patches.mask.shape[-1] <= working_size
    assert (patches.sides >= patches.pixels.shape[-1]).all()


def test_chunks_are_the_whole() -> None:
    faces = [made_face(80, 150, 40), made_face(200, 150, 40), made_face(330, 150, 40)]
    pixels = photo()
    patches = cut(pixels, faces)
    delta = torch.rand(patches.pixels.shape, generator=torch.Generator().manual_seed(0)) / 4
    out = pixels
    for start, stop in ((0, 2), (2, 3)):
        part = patches.chunk(start, stop)
        assert len(part) == stop - start
        out = paste(out, part, delta[start:stop])
    np.testing.assert_array_equal(out, paste(pixels, patches, delta))


def test_faces_do_not_depend_on_each_other() -> None:
    """Faces that do not touch: cut together or alone, the photo changes alike."""
    pixels, faces = photo(), [made_face(80, 150, 50), made_face(300, 150, 50)]
    out = pixels
    for face in faces:
        patches = cut(pixels, [face])
        out = paste(out, patches, full_delta(patches, 0.1))
    together = cut(pixels, faces)
    np.testing.assert_array_equal(out, paste(pixels, together, full_delta(together, 0.1)))


def test_frames_compose_with_templates() -> None:
    """Reduction is part of the frame: the patch's frame is the photo's, then crop and scale."""
    face = CROWDS["large, reduced"][0]
    patches = cut(photo(), [face])
    scale = patches.pixels.shape[-1] / patches.sides[0]
    shift = (0.5 - patches.corners[0]) * scale - 0.5
    expected = compose(np.hstack([np.eye(2) * scale, shift[:, None]]), face.frame)
    np.testing.assert_allclose(patches.frames[0].numpy(), expected, atol=1e-4)
