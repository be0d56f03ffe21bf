"""Similarities against scikit-image, and aligned faces against dlib's own."""

import dlib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.data import astronaut
from skimage.transform import SimilarityTransform, estimate_transform

from visard.errors import LandmarkError
from visard.face import ARCFACE_112, DLIB_150, Face, Template, dlib_hog, overlap, similarity, warp
from visard.face.detect.hog import face_recognition_model
from visard.face.template import CANONICAL_POINTS, apply, compose, invert
from visard.recognizer import find, load

SEEDS = st.integers(0, 2**32 - 1)


def points(seed: int, count: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-100, 100, (count, 2))


@settings(deadline=None)
@given(SEEDS, st.integers(3, 9))
def test_similarity_is_that_of_skimage(seed: int, count: int) -> None:
    source, target = points(seed, count), points(seed + 1, count)
    theirs = estimate_transform("similarity", source, target)
    if np.linalg.det(theirs.params[:2, :2]) > 0:
        np.testing.assert_allclose(similarity(source, target), theirs.params[:2], atol=1e-8)


@settings(deadline=None)
@given(SEEDS)
def test_similarity_finds_the_one_that_made_the_points(seed: int) -> None:
    rng = np.random.default_rng(seed)
    made = SimilarityTransform(
        scale=rng.uniform(0.1, 9), rotation=rng.uniform(-3, 3), translation=rng.uniform(-50, 50, 2)
    )
    source = points(seed)
    np.testing.assert_allclose(similarity(source, made(source)), made.params[:2], atol=1e-9)


def test_similarity_never_mirrors() -> None:
    source = points(0)
    assert np.linalg.det(similarity(source, source * (-1, 1))[:, :2]) >= 0


def test_coinciding_points() -> None:
    with pytest.raises(ValueError, match="five distinct points"):
        similarity(np.full((5, 2), 7.0), points(0))


@pytest.mark.parametrize("landmarks", [np.full((5, 2), 7.0), np.full((5, 2), np.nan), np.zeros((4, 2))])
def test_a_face_needs_five_distinct_landmarks(landmarks: np.ndarray) -> None:
    with pytest.raises(LandmarkError, match="landmarks"):
        Face((0, 0, 10, 10), landmarks, "dlib")


@settings(deadline=None)
@given(SEEDS)
def test_compose_and_invert(seed: int) -> None:
    rng = np.random.default_rng(seed)
    outer, inner = (similarity(points(seed + i), points(seed + i + 1)) + rng.normal(size=(2, 3)) for i in (0, 2))
    some = points(seed)
    np.testing.assert_allclose(apply(compose(outer, inner), some), apply(outer, apply(inner, some)), atol=1e-8)
    if abs(np.linalg.det(outer[:, :2])) > 1e-2:
        np.testing.assert_allclose(apply(invert(outer), apply(outer, some)), some, atol=1e-7)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (ARCFACE_112, [[1, 0, 0], [0, 1, 0]]),
        (Template((224, 224), (0, 0, 112, 112)), [[0.5, 0, -0.25], [0, 0.5, -0.25]]),
        (Template((112, 96), (8, 0, 104, 112)), [[1, 0, 8], [0, 1, 0]]),
    ],
)
def test_to_canonical(template: Template, expected: list[list[float]]) -> None:
    np.testing.assert_allclose(template.to_canonical, expected, atol=1e-12)


@pytest.mark.parametrize("scheme", ["arcface", "dlib"])
def test_frame_of_a_face_at_its_canonical_points_is_identity(scheme: str) -> None:
    face = Face((0, 0, 112, 112), CANONICAL_POINTS[scheme], scheme)
    np.testing.assert_allclose(face.frame, np.eye(2, 3), atol=1e-12)
    assert face.size == pytest.approx(112)


@settings(deadline=None)
@given(SEEDS)
def test_moved_faces_move_their_frame(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scale, shift = rng.uniform(0.2, 5), rng.uniform(-99, 99, 2)
    face = Face((10, 20, 30, 50), 40 * CANONICAL_POINTS["arcface"] / 112 + rng.normal(size=(5, 2)), "arcface", 0.5)
    moved = face.moved(scale, tuple(shift))
    resize = np.array([[scale, 0, scale / 2 - 0.5 + shift[0]], [0, scale, scale / 2 - 0.5 + shift[1]]])
    np.testing.assert_allclose(moved.frame, compose(resize, face.frame), atol=1e-8)
    np.testing.assert_allclose(np.reshape(moved.box, (2, 2)), np.array([[10, 20], [30, 50]]) * scale + shift)


@settings(deadline=None)
@given(st.lists(st.integers(0, 12), min_size=8, max_size=8))
def test_overlap_counts_pixels(numbers: list[int]) -> None:
    a, b = (
        (min(n[0], n[2]), min(n[1], n[3]), max(n[0], n[2]) + 1, max(n[1], n[3]) + 1) for n in (numbers[:4], numbers[4:])
    )
    grids = np.zeros((2, 14, 14), dtype=bool)
    for grid, (x0, y0, x1, y1) in zip(grids, (a, b), strict=True):
        grid[y0:y1, x0:x1] = True
    assert overlap(a, b) == pytest.approx((grids[0] & grids[1]).sum() / (grids[0] | grids[1]).sum())


@pytest.mark.parametrize("side", [512, 400])
def test_dlib_chip(side: int) -> None:
    """Our warp cuts the chip that dlib cuts."""
    pixels = dlib.resize_image(astronaut(), side, side)
    face = max(dlib_hog()(pixels), key=lambda face: face.score)
    whole = Face(face.box, np.round(face.landmarks), "dlib")  # dlib takes whole numbers only
    parts = [dlib.point(int(x), int(y)) for x, y in whole.landmarks]
    box = dlib.rectangle(*(round(v) for v in face.box))
    theirs = dlib.get_face_chip(pixels, dlib.full_object_detection(box, parts), 150, 0.25)

    maps = torch.from_numpy(compose(whole.frame, DLIB_150.to_canonical))[None].float()
    ours = warp(torch.from_numpy(pixels).permute(2, 0, 1)[None].float(), maps, (150, 150))
    chips = torch.cat([ours, torch.from_numpy(theirs).permute(2, 0, 1)[None].float()])
    assert float((chips[0] - chips[1]).abs().mean()) < 2  # a shift by half a pixel gives 4.5

    first, second = load(find("dlib-resnet")).embed(chips / 255)
    assert float(first @ second) > 0.995


def test_templates_agree_on_where_the_face_is() -> None:
    """dlib's chip corners lie where the card's crop says: the canonical points of both schemes are near."""
    eyes = [CANONICAL_POINTS["dlib"][:2].mean(axis=0), CANONICAL_POINTS["dlib"][2:4].mean(axis=0)]
    np.testing.assert_allclose(eyes, CANONICAL_POINTS["arcface"][[1, 0]], atol=3)


def test_dlib_points_are_the_published_ones() -> None:
    """dlib's own chip of a face at its reference points is the picture itself."""
    reference = np.array(
        [
            [0.8595674595992, 0.2134981538014],
            [0.6460604764104, 0.2289674387677],
            [0.1205750620789, 0.2137274526848],
            [0.3340850613712, 0.2290642403242],
            [0.4901123135679, 0.6277975316475],
        ]
    )
    edges = (0.25 + reference) / 1.5 * 150
    np.testing.assert_allclose(apply(DLIB_150.to_canonical, edges - 0.5), CANONICAL_POINTS["dlib"], atol=1e-9)


def test_model_files_are_there() -> None:
    assert face_recognition_model("shape_predictor_5_face_landmarks.dat").is_file()
