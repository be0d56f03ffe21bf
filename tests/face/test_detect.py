"""Detectors, and faces read from files."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from visard import photo
from visard.errors import FaceError, LandmarkError
from visard.face import (
    Face,
    Pixels,
    aligned_crop,
    box_landmarks,
    dlib_hog,
    find_again,
    overlap,
    read_faces,
    write_faces,
    yunet,
)
from visard.face.template import CANONICAL_POINTS

ASTRONAUT = astronaut()
EYES = [(247, 104), (203, 102)]  # the middles of the astronaut's eyes, seen by eye: right one in the picture first


@pytest.fixture(scope="module")
def face() -> Face:
    (found,) = dlib_hog()(ASTRONAUT)
    return found


def eyes(landmarks: np.ndarray) -> np.ndarray:
    return np.stack([landmarks[:2].mean(axis=0), landmarks[2:4].mean(axis=0)])


def turned(face: Face, quarters: int) -> Face:
    """`face` as it lies in ``np.rot90(photo, quarters)``; every quarter turns counterclockwise."""
    for _ in range(quarters):
        x0, y0, x1, y1 = face.box
        points = np.stack([face.landmarks[:, 1], 511 - face.landmarks[:, 0]], axis=1)
        face = Face((y0, 512 - x1, y1, 512 - x0), points, face.scheme, face.score)
    return face


def test_one_face_in_the_astronaut(face: Face) -> None:
    x0, y0, x1, y1 = face.box
    assert ((face.landmarks > (x0, y0)) & (face.landmarks < (x1, y1))).all()
    np.testing.assert_allclose(eyes(face.landmarks), EYES, atol=5)
    assert face.scheme == "dlib"
    assert 0.8 * (x1 - x0) < face.size < 1.6 * (x1 - x0)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_turned_photos(face: Face, quarters: int) -> None:
    (found,) = dlib_hog()(np.ascontiguousarray(np.rot90(ASTRONAUT, quarters)))
    expected = turned(face, quarters)
    np.testing.assert_allclose(found.landmarks, expected.landmarks, atol=4)
    assert overlap(found.box, expected.box) > 0.75


def test_exactly_turned_boxes(face: Face) -> None:
    """Half a turn shows HOG the same pixels, so the box is the same one to the pixel."""
    (found,) = dlib_hog()(np.ascontiguousarray(ASTRONAUT[::-1, ::-1]))
    np.testing.assert_allclose(found.box, turned(face, 2).box, atol=0.01)
    np.testing.assert_allclose(found.landmarks, turned(face, 2).landmarks, atol=0.01)


@pytest.mark.parametrize("size", [(1, 1), (5, 5), (1, 90), (90, 1), (120, 150)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["black", "noise"])
def test_no_face(size: tuple[int, int], channels: int, kind: str) -> None:
    shape = (*size, channels)
    pixels = (
        np.zeros(shape, np.uint8) if kind == "black" else np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    )
    assert dlib_hog()(pixels) == []


def test_gray_photos(face: Face) -> None:
    gray = np.asarray(Image.fromarray(ASTRONAUT).convert("L"))[..., None]
    (found,) = dlib_hog()(gray)
    np.testing.assert_array_equal(found.landmarks, face.landmarks)


def test_largest_first() -> None:
    small = np.asarray(Image.fromarray(ASTRONAUT).resize((256, 256)))
    side_by_side = np.zeros((512, 768, 3), np.uint8)
    side_by_side[:256, :256], side_by_side[:, 256:] = small, ASTRONAUT
    found = [f for f in dlib_hog()(side_by_side) if f.score > 0.2]
    assert len(found) == 2
    np.testing.assert_allclose(eyes(found[0].landmarks), np.add(EYES, (256, 0)), atol=6)
    np.testing.assert_allclose(eyes(found[1].landmarks), np.divide(EYES, 2), atol=4)


def test_large_photos_are_searched_reduced(face: Face) -> None:
    large = np.asarray(Image.fromarray(ASTRONAUT).resize((3500, 3500)))
    box = tuple(v * 3500 / 512 for v in face.box)
    found = max(dlib_hog()(large), key=lambda f: f.score)
    assert overlap(found.box, box) > 0.6
    np.testing.assert_allclose(eyes(found.landmarks), np.multiply(EYES, 3500 / 512), atol=30)


def test_box_landmarks(face: Face) -> None:
    np.testing.assert_array_equal(box_landmarks(ASTRONAUT, face.box), face.landmarks)
    looser = tuple(np.add(face.box, (-8, -8, 8, 8)))
    np.testing.assert_allclose(eyes(box_landmarks(ASTRONAUT, looser)), EYES, atol=7)


@pytest.mark.parametrize("box", [(5, 5, 5, 5), (5, 5, 5.5, 5.5), (0, 0, float("inf"), 9), (float("nan"),) * 4])
def test_box_landmarks_of_an_empty_box(box: tuple[float, float, float, float]) -> None:
    with pytest.raises(LandmarkError, match="box"):
        box_landmarks(ASTRONAUT, box)


@pytest.mark.parametrize("enlarged", [1, 4])
def test_find_again_in_a_jpeg(face: Face, enlarged: int) -> None:
    """A copy compressed hard, in the photo's own size and in one whose face must be reduced for the search."""
    data = io.BytesIO()
    size = (512 * enlarged, 512 * enlarged)
    Image.fromarray(ASTRONAUT).resize((256, 256)).resize(size).save(data, "JPEG", quality=60)
    copy = np.asarray(Image.open(data))
    sought = face.moved(enlarged)
    found = find_again(copy, sought, dlib_hog())
    assert found is not None
    np.testing.assert_allclose(found.landmarks, sought.landmarks, atol=5 * enlarged)


def test_find_again_takes_the_face_sought(face: Face) -> None:
    """Two astronauts side by side: each is found at its own place."""
    near = ASTRONAUT[40:240, 140:310]
    pair = np.concatenate([near, near], axis=1)
    left = face.moved(shift=(-140, -40))
    for sought in (left, left.moved(shift=(170, 0))):
        found = find_again(pair, sought, dlib_hog())
        assert found is not None
        np.testing.assert_allclose(found.landmarks, sought.landmarks, atol=4)


@pytest.mark.parametrize("shift", [(0, 250), (5000, 0), (-5000, -5000)])
def test_find_again_elsewhere(face: Face, shift: tuple[float, float]) -> None:
    assert find_again(ASTRONAUT, face.moved(shift=shift), dlib_hog()) is None


def test_find_again_maps_what_the_detector_says(face: Face) -> None:
    """A detector that always answers with the middle of what it is shown: the place comes back in photo pixels."""

    def middle(pixels: Pixels) -> list[Face]:
        height, width = pixels.shape[:2]
        assert max(height, width) <= 3 * 160 + 2
        points = (CANONICAL_POINTS["dlib"] - 55.5) * width / 3 / 112 + ((width - 1) / 2, (height - 1) / 2)
        return [Face((width / 3, height / 3, width * 2 / 3, height * 2 / 3), points, "dlib")]

    large = np.zeros((2048, 2048, 1), np.uint8)
    for scale in (1, 3.7):
        sought = face.moved(scale, (400, 400))
        center = (np.array(sought.box[:2]) + sought.box[2:]) / 2
        found = find_again(large, sought, middle)
        assert found is not None
        np.testing.assert_allclose((np.array(found.box[:2]) + found.box[2:]) / 2, center, atol=1.01)
        assert found.size == pytest.approx(sought.size, rel=0.02)


@pytest.mark.parametrize(("width", "height"), [(112, 112), (160, 160), (161, 120)])
def test_aligned_crop(width: int, height: int) -> None:
    (found,) = aligned_crop(np.zeros((height, width, 3), np.uint8))
    shift = ((width - 112) / 2, (height - 112) / 2)
    np.testing.assert_allclose(found.frame, [[1, 0, shift[0]], [0, 1, shift[1]]], atol=1e-9)
    np.testing.assert_allclose(found.box, (*shift, width - shift[0], height - shift[1]))


@pytest.mark.parametrize(("width", "height"), [(111, 200), (200, 111)])
def test_aligned_crops_have_112_pixels(width: int, height: int) -> None:
    with pytest.raises(LandmarkError, match=f"112 x 112 px, this has {width} x {height}"):
        aligned_crop(np.zeros((height, width, 3), np.uint8))


def test_faces_survive_a_file(face: Face, tmp_path: Path) -> None:
    path = tmp_path / "faces.json"
    faces = [face, Face((1.25, 2, 30, 40), CANONICAL_POINTS["arcface"] / 4, "arcface", 0.25)]
    write_faces(path, faces)
    for before, after in zip(faces, read_faces(path, ASTRONAUT), strict=True):
        np.testing.assert_allclose(after.landmarks, before.landmarks, atol=0.005001)
        np.testing.assert_allclose(after.box, before.box, atol=0.005001)
        assert after.scheme == before.scheme
        assert after.score == pytest.approx(before.score, abs=0.001)


def test_a_box_without_landmarks_gets_them(face: Face, tmp_path: Path) -> None:
    path = tmp_path / "faces.json"
    path.write_text(json.dumps({"a.jpg": [{"box": face.box, "scheme": "arcface"}], "b.jpg": []}))
    (found,) = read_faces(path, ASTRONAUT, "a.jpg")
    np.testing.assert_array_equal(found.landmarks, face.landmarks)
    assert found.scheme == "dlib"
    assert read_faces(path, ASTRONAUT, "b.jpg") == []


BOX = [170, 70, 270, 170]
POINTS = CANONICAL_POINTS["arcface"].tolist()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "does not exist"),
        ("{not json", "could not be read as JSON.*should hold a list"),
        (b"\xff\xfe\x00", "could not be read as JSON"),
        (7, "should hold a list"),
        ({"other.jpg": []}, "no faces for photo.jpg; it has other.jpg"),
        ({}, "no faces for photo.jpg; it has none"),
        ({"photo.jpg": 5}, "should hold a list"),
        ([5], "Face 1 .* malformed"),
        ([{}], "Face 1 .* malformed"),
        ([{"box": 5}], "Face 1 .* malformed"),
        ([{"box": BOX, "landmarks": "eyes"}], "Face 1 .* malformed"),
        ([{"box": BOX, "landmarks": POINTS, "score": "high"}], "Face 1 .* malformed"),
        ([{"box": BOX[:3]}], "Face 1 .* malformed"),
        ([{"box": BOX}, {"box": [*BOX[:3], "x"]}], "Face 2 .* malformed"),
        ([{"box": [9, 9, 9, 20]}], "Face 1.*box .* is empty or outside the 512 x 512 photo"),
        ([{"box": [30, 9, 20, 20]}], "Face 1.*is empty or outside"),
        ([{"box": [600, 9, 700, 90]}], "Face 1.*is empty or outside"),
        ([{"box": [-90, 9, 0, 90]}], "Face 1.*is empty or outside"),
        ([{"box": [float("nan"), 9, 20, 20]}], "Face 1.*is empty or outside"),
        ([{"box": [0, 0, float("inf"), 20], "landmarks": POINTS}], "Face 1.*is empty or outside"),
        ([{"box": BOX, "landmarks": POINTS[:4]}], "Face 1.*five finite landmarks"),
        ([{"box": BOX, "landmarks": [*POINTS[:4], [float("nan"), 1]]}], "Face 1.*five finite landmarks"),
        ([{"box": BOX, "landmarks": [*POINTS[:4], [1]]}], "Face 1 .* malformed"),
        ([{"box": BOX, "landmarks": [[5, 5]] * 5}], "Face 1.*five distinct landmarks"),
        ([{"box": BOX, "landmarks": POINTS, "scheme": "mtcnn"}], 'scheme is "mtcnn"; use "arcface" or "dlib"'),
        ([{"box": BOX, "landmarks": POINTS, "scheme": ["dlib"]}], "scheme"),
    ],
)
def test_malformed_faces(tmp_path: Path, content: Any, sentence: str) -> None:
    path = tmp_path / "faces.json"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(LandmarkError, match=sentence) as caught:
        read_faces(path, ASTRONAUT, "photo.jpg")
    assert str(path) in str(caught.value)


def test_yunet_needs_its_file(tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    with pytest.raises(FaceError, match="is not a file"):
        yunet(tmp_path / "none.onnx")
    (tmp_path / "damaged.onnx").write_bytes(b"nothing of use")
    with pytest.raises(FaceError, match="could not load"):
        yunet(tmp_path / "damaged.onnx")


@pytest.fixture(scope="module")
def yunet_file(assets: Path) -> Path:
    pytest.importorskip("cv2")
    return assets / "models/detectors/yunet_n_640_640.onnx"


@pytest.mark.assets
def test_yunet_on_odd_pictures(yunet_file: Path, face: Face) -> None:
    detect = yunet(yunet_file)
    for shape in ((1, 1, 3), (5, 5, 1), (3, 200, 3)):
        assert detect(np.zeros(shape, np.uint8)) == []
    for pixels in (ASTRONAUT, ASTRONAUT[..., 1:2]):
        (found,) = detect(pixels)
        assert found.scheme == "arcface"
        np.testing.assert_allclose(found.landmarks[[1, 0]], EYES, atol=6)
        # the two landmark schemes fix nearly the same frame
        assert found.size == pytest.approx(face.size, rel=0.15)
        np.testing.assert_allclose(found.frame[:, :2] @ (56, 70) + found.frame[:, 2], face.frame @ (56, 70, 1), atol=6)


@pytest.mark.assets
@pytest.mark.parametrize(
    "name", ["dlib_bald_guys.jpg", "couple.jpg", "vlad_sample1.jpg", "dlib_2008_002506.jpg", "compreface_011_3.jpg"]
)
def test_yunet_and_dlib_agree(assets: Path, yunet_file: Path, name: str) -> None:
    pixels = photo.read(assets / "data/photos" / name).pixels
    by_dlib = [face for face in dlib_hog()(pixels) if face.score > 0.3]
    by_yunet = yunet(yunet_file)(pixels)
    assert by_dlib
    for face in by_dlib:
        nearest = min(by_yunet, key=lambda other: np.linalg.norm(eyes(face.landmarks) - other.landmarks[[1, 0]]))
        np.testing.assert_allclose(nearest.landmarks[[1, 0]], eyes(face.landmarks), atol=0.15 * face.size)


@pytest.mark.assets
@pytest.mark.parametrize("detector", ["dlib", "yunet"])
def test_a_group_of_40(assets: Path, yunet_file: Path, detector: str) -> None:
    pixels = photo.read(assets / "data/photos-made/group_40_faces_72px.jpg").pixels
    faces = (dlib_hog() if detector == "dlib" else yunet(yunet_file))(pixels)
    assert len(faces) == 40
    assert [f.size for f in faces] == sorted((f.size for f in faces), reverse=True)
