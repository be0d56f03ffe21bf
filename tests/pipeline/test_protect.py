"""One photo end to end, through real files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from rig import DLIB, astronaut, astronaut_face, camera_exif, painted, save, thumbnail, write_boxes
from visard import photo
from visard.cloak import Faces, embed, find
from visard.errors import LandmarkError, NoFaceError, PhotoError, SettingError, VisardError, WriteError
from visard.face import Face, cut, paste
from visard.pipeline import Plan, Selection, cloak, protect

Plans = Callable[..., Plan]


@pytest.fixture(scope="module")
def face() -> Face:
    return astronaut_face()


def similarity(plan: Plan, one: Path, face: Face, other: Path, other_face: Face | None = None) -> float:
    def seen(path: Path, face: Face) -> torch.Tensor:
        patch = cut(photo.read(path).pixels, [face])
        return embed(plan.surrogates[0], Faces(patch.pixels, patch.frames))[0]

    return float(seen(one, face) @ seen(other, other_face or face))


def mask_in_photo(face: Face, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Where a photo may change."""
    patches = cut(np.zeros(shape, np.uint8), [face])
    (x, y), side = patches.corners[0], int(patches.sides[0])
    assert patches.mask.shape[-1] == side  # not reduced, so the mask is the photo's
    out = np.zeros(shape[:2], bool)
    out[y : y + side, x : x + side] = patches.mask[0, 0].numpy() > 0
    return out


def test_the_default_cloak_of_a_png(tmp_path: Path, plan: Plans, face: Face) -> None:
    source, output = save(tmp_path / "in.png"), tmp_path / "out.png"
    heard: list[float] = []
    asked = plan(jury=("blind",), settings={})
    outcome = protect(source, output, asked, heard.append)
    before, after = photo.read(source).pixels, photo.read(output).pixels
    changed = (before != after).any(axis=2)
    inside = mask_in_photo(face, before.shape)
    assert before.shape == after.shape
    assert not changed[~inside].any()
    assert changed[inside].mean() > 0.5
    assert np.abs(before.astype(int) - after).max() <= round(255 * find("visard").settings["cap"])
    assert similarity(asked, source, face, output) < asked.surrogates[0].threshold(1e-3).value - 0.02
    # what a search would hold: the face in another light
    other = save(tmp_path / "other.png", (astronaut() * 0.8).astype(np.uint8))
    assert similarity(asked, other, face, output) < asked.surrogates[0].threshold(1e-3).value
    assert similarity(asked, other, face, source) > 0.97
    assert (outcome.status, outcome.output, outcome.source) == ("protected", output, source)
    assert outcome.faces[0].number == 1
    assert 0.7 < outcome.faces[0].ssim < 0.995
    assert heard == sorted(heard)
    assert heard[-1] == 1
    assert 0 < outcome.cloak_seconds < outcome.seconds
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_the_default_cloak_of_a_jpeg(tmp_path: Path, plan: Plans, face: Face) -> None:
    source, output = save(tmp_path / "in.jpg", quality=90), tmp_path / "out.jpg"
    asked = plan(settings={})
    outcome = protect(source, output, asked)
    assert outcome.status == "not judged"
    assert photo.read(output).pixels.shape == (512, 512, 3)
    assert photo.read(output).facts.jpeg == photo.read(source).facts.jpeg
    assert similarity(asked, source, face, output) < asked.surrogates[0].threshold(1e-3).value


def test_gray_stays_gray(tmp_path: Path, plan: Plans) -> None:
    source = save(tmp_path / "in.png", astronaut()[..., 1:2])
    protect(source, tmp_path / "out.png", plan())
    with Image.open(tmp_path / "out.png") as image:
        assert image.mode == "L"
        assert (np.asarray(image) != astronaut()[..., 1]).any()


def test_alpha_is_kept(tmp_path: Path, plan: Plans) -> None:
    alpha = np.random.default_rng(0).integers(1, 256, (512, 512), dtype=np.uint8)
    source = save(tmp_path / "in.png", np.dstack([astronaut(), alpha]))
    protect(source, tmp_path / "out.png", plan())
    with Image.open(tmp_path / "out.png") as image:
        assert image.mode == "RGBA"
        out = np.asarray(image)
    assert (out[..., 3] == alpha).all()
    assert (out[..., :3] != astronaut()).any()


@pytest.mark.parametrize("keep", [False, True])
def test_the_unprotected_thumbnail_is_gone(tmp_path: Path, plan: Plans, keep: bool) -> None:
    small = thumbnail()
    source, output = save(tmp_path / "in.jpg", quality=90, exif=camera_exif(small)), tmp_path / "out.jpg"
    with Image.open(source) as image:
        assert image.getexif().get_ifd(0x8825)[1] == "N"
        assert image.getexif().get_ifd(ExifTags.IFD.IFD1)[0x0202] == len(small)
    assert small in source.read_bytes()
    protect(source, output, plan(keep_metadata=keep))
    written = output.read_bytes()
    assert small not in written
    assert small[1000:1040] not in written
    assert (b"Secret Camera" in written) is keep
    with Image.open(output) as image:
        assert (0x8825 in image.getexif()) is keep


def test_nothing_is_overwritten(tmp_path: Path, plan: Plans) -> None:
    source, output = save(tmp_path / "in.png"), tmp_path / "out.png"
    output.write_bytes(b"mine")
    with pytest.raises(WriteError, match=r"out\.png exists already"):
        protect(source, output, plan())
    assert output.read_bytes() == b"mine"
    data = source.read_bytes()
    with pytest.raises(WriteError, match=r"in\.png is the input itself"):
        protect(source, source, plan())
    assert source.read_bytes() == data
    outcome = protect(source, source, plan(jury=("sharp",), force=True))
    assert source.read_bytes() != data
    assert outcome.status == "not protected"
    assert outcome.faces[0].psnr < 60  # judged against what it was


def test_equal_seeds_make_equal_files(tmp_path: Path, plan: Plans) -> None:
    source = save(tmp_path / "in.jpg", quality=90)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        protect(source, tmp_path / f"{name}.jpg", plan(seed=seed))
    a, b, c = ((tmp_path / f"{name}.jpg").read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_only_the_chosen_faces_change(tmp_path: Path, plan: Plans, face: Face) -> None:
    both = np.hstack([astronaut(), astronaut()[:, ::-1]])
    source = save(tmp_path / "in.png", both)
    # the file's order numbers the faces, and no detector is asked
    right = Face((1024 - face.box[2], face.box[1], 1024 - face.box[0], face.box[3]),
                 (face.landmarks * (-1, 1) + (1023, 0))[[2, 3, 0, 1, 4]], "dlib")  # fmt: skip
    boxes = write_boxes(tmp_path / "boxes.json", right, face)

    def refuse(_pixels: Any) -> list[Face]:
        raise AssertionError("the detector was asked for faces")

    for selection, changed_half, number in (
        (Selection(only=frozenset({1})), 1, 1),
        (Selection(but=frozenset({1})), 0, 2),
    ):
        output = tmp_path / f"out{number}.png"
        outcome = protect(source, output, plan(faces_from=boxes, selection=selection, detector=refuse))
        changed = (photo.read(output).pixels != both).any(axis=2)
        assert [changed[:, :512].any(), changed[:, 512:].any()] == [changed_half == 0, changed_half == 1]
        assert [f.number for f in outcome.faces] == [number]
    with pytest.raises(NoFaceError, match="no face 3"):
        protect(source, tmp_path / "x.png", plan(faces_from=boxes, selection=Selection(only=frozenset({3}))))
    assert not (tmp_path / "x.png").exists()


def test_both_faces_of_two(tmp_path: Path, plan: Plans) -> None:
    both = np.hstack([astronaut(), astronaut()[:, ::-1]])
    outcome = protect(save(tmp_path / "in.png", both), tmp_path / "out.png", plan(jury=("blind",)))
    changed = (photo.read(tmp_path / "out.png").pixels != both).any(axis=2)
    assert changed[:, :512].any()
    assert changed[:, 512:].any()
    assert [f.number for f in outcome.faces] == [1, 2]


def test_boxes_of_another_photo(tmp_path: Path, plan: Plans, face: Face) -> None:
    source = save(tmp_path / "in.png", astronaut()[:100, :100])
    with pytest.raises(LandmarkError, match="outside the 100 x 100 photo"):
        protect(source, tmp_path / "out.png", plan(faces_from=write_boxes(tmp_path / "b.json", face)))
    (tmp_path / "named.json").write_text(json.dumps({"other.png": []}))
    with pytest.raises(LandmarkError, match=r"no faces for in\.png; it has other\.png"):
        protect(source, tmp_path / "out.png", plan(faces_from=tmp_path / "named.json"))
    assert not (tmp_path / "out.png").exists()


def test_a_photo_without_a_face(tmp_path: Path, plan: Plans) -> None:
    source = save(tmp_path / "in.png", np.full((120, 160, 3), 90, np.uint8))
    with pytest.raises(NoFaceError, match="no face was found; give boxes with --boxes, or another detector"):
        protect(source, tmp_path / "out.png", plan())
    assert [p.name for p in tmp_path.iterdir()] == ["in.png"]


def test_what_must_fail_fails_before_anything_is_written(tmp_path: Path, plan: Plans) -> None:
    source, output = save(tmp_path / "in.png"), tmp_path / "out.png"
    empty = save(tmp_path / "empty.png", np.full((120, 160, 3), 90, np.uint8))
    broken: list[tuple[dict[str, Any], type[VisardError], str]] = [
        ({"references": (tmp_path / "no.png",)}, PhotoError, r"no\.png does not exist"),
        ({"targets": (tmp_path / "no.png",)}, PhotoError, r"no\.png does not exist"),
        ({"targets": (empty,)}, NoFaceError, "no face was found to impersonate"),
        ({"jury": ("blind",), "fmr": 1e-2}, VisardError, "blind has no threshold"),
        ({"settings": {"stepz": 3}}, SettingError, 'Did you mean "steps"'),
    ]
    for changes, error, message in broken:
        with pytest.raises(error, match=message):
            protect(source, output, plan(**changes))
        assert not output.exists()
    gif = tmp_path / "in.gif"
    Image.fromarray(astronaut()).save(gif)
    with pytest.raises(PhotoError, match="GIF, which visard does not read"):
        protect(gif, tmp_path / "in.visard.gif", plan())


def test_impersonation_moves_toward_the_target(tmp_path: Path, plan: Plans, face: Face) -> None:
    # another face by shape: the astronaut, narrowed and lengthened
    image = Image.fromarray(astronaut()[40:220, 140:300]).resize((400, 600))
    target = save(tmp_path / "target.png", np.asarray(image))
    (other,) = DLIB(photo.read(target).pixels)
    source = save(tmp_path / "in.png")
    toward, away = plan(targets=(target,), settings={"steps": 8}), plan(settings={"steps": 8})
    protect(source, tmp_path / "toward.png", toward)
    protect(source, tmp_path / "away.png", away)
    clean = similarity(away, source, face, target, other)
    assert similarity(away, tmp_path / "toward.png", face, target, other) > clean + 0.01
    assert similarity(away, tmp_path / "away.png", face, target, other) < clean


@pytest.mark.parametrize("name", ["bim", "fgsm", "i-fgsm", "i-fgvm", "mi-di-fgsm", "p-fgvm"])
def test_every_method_fools_its_surrogate_in_a_file(tmp_path: Path, plan: Plans, face: Face, name: str) -> None:
    source, output = save(tmp_path / "in.png"), tmp_path / "out.png"
    # value steps are small at first
    steps = 12 if name.endswith("fgvm") else 4
    asked = plan(name, settings={"steps": steps} if "steps" in find(name).settings else {})
    protect(source, output, asked)
    start = similarity(asked, source, face, source)
    assert similarity(asked, source, face, output) < start - 0.01


def test_a_big_photo_costs_no_more_than_its_face(tmp_path: Path, plan: Plans) -> None:
    canvas = np.broadcast_to((np.arange(4000) // 32).astype(np.uint8)[:, None], (3000, 4000, 3)).copy()
    large = np.asarray(Image.fromarray(astronaut()).resize((1536, 1536), Image.Resampling.BICUBIC))
    canvas[500:2036, 1000:2536] = large
    source, output = save(tmp_path / "in.png", canvas, compress_level=1), tmp_path / "out.png"
    (face,) = (found.moved(shift=(1000.0, 500.0)) for found in DLIB(large))
    boxes = write_boxes(tmp_path / "boxes.json", face)
    outcome = protect(source, output, plan(jury=("sharp",), faces_from=boxes))
    after = photo.read(output).pixels
    assert all(v.found for v in outcome.faces[0].jurors)
    x0, y0, x1, y1 = outcome.faces[0].box
    changed = (after != canvas).any(axis=2)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    side = x1 - x0
    assert x0 - side < columns[0] < columns[-1] < x1 + side
    assert y0 - side < rows[0] < rows[-1] < y1 + side
    assert changed[int(y0) : int(y1), int(x0) : int(x1)].mean() > 0.3
    patches = cut(canvas, [face])
    assert patches.pixels.shape[-1] <= 224 < patches.sides[0]


def test_a_face_at_the_edge(tmp_path: Path, plan: Plans, face: Face) -> None:
    x0, y0, x1, y1 = (round(v) for v in face.box)
    cropped = astronaut()[y0 + 10 : y1, x0 + 20 : x1]  # forehead and a cheek are outside
    boxes = write_boxes(tmp_path / "boxes.json", face.moved(shift=(-(x0 + 20.0), -(y0 + 10.0))))
    outcome = protect(save(tmp_path / "in.png", cropped), tmp_path / "out.png", plan(faces_from=boxes, jury=("sharp",)))
    assert photo.read(tmp_path / "out.png").pixels.shape == cropped.shape
    assert (photo.read(tmp_path / "out.png").pixels != cropped).any()
    assert outcome.status == "not protected"


def test_a_face_does_not_depend_on_the_others(plan: Plans, face: Face) -> None:
    """More faces than are in memory at once: each is cloaked as it would be alone."""
    one = astronaut()[30:270, 110:350]
    row = np.hstack([one] * 10)
    here = face.moved(shift=(-110.0, -30.0))
    faces = [here.moved(shift=(240.0 * i, 0.0)) for i in range(10)]
    asked = plan("i-fgsm", settings={"steps": 2})
    together, alone = (
        paste(row, patches, cloak([patches], asked)[0]) for patches in (cut(row, faces), cut(row, faces[9:]))
    )
    assert (together != row).any(axis=(0, 2)).reshape(10, 240).any(axis=1).all()
    difference = together[:, 2160:].astype(int) - alone[:, 2160:]
    assert (difference != 0).mean() < 0.02  # sums in another order, no more


def test_the_painted_face_is_not_the_face(tmp_path: Path, plan: Plans, face: Face) -> None:
    """A check of the yardstick itself: what is not there has a low similarity."""
    source = save(tmp_path / "in.png")
    gone = save(tmp_path / "gone.png", painted(astronaut(), face))
    assert similarity(plan(), source, face, source) > 0.9999
    assert similarity(plan(), source, face, gone) < 0.9


@pytest.mark.assets
def test_a_group_of_forty(assets: Path, tmp_path: Path, plan: Plans) -> None:
    source = assets / "data/photos-made/group_40_faces_72px.jpg"
    outcome = protect(source, tmp_path / "out.jpg", plan(settings={"steps": 1}))
    assert len(outcome.faces) == 40
    assert all(20 < f.psnr < 60 for f in outcome.faces)


@pytest.mark.assets
def test_references_in_a_real_group(assets: Path, tmp_path: Path, plan: Plans) -> None:
    """Each face of a photo of two finds its own crop again among references, and nobody else's."""
    group = assets / "data/photos-made/group_02_faces_400px.jpg"
    pixels = photo.read(group).pixels
    faces = DLIB(pixels)
    assert len(faces) == 2
    references = []
    for i, f in enumerate(faces):
        x0, y0, x1, y1 = (round(v) for v in f.box)
        part = pixels[max(0, y0 - 40) : y1 + 40, max(0, x0 - 40) : x1 + 40]
        references.append(save(tmp_path / f"{i}.jpg", part, quality=80))
    for i, reference in enumerate(references):
        outcome = protect(group, tmp_path / "out.jpg", plan(jury=("sharp",), references=(reference,), force=True))
        assert [f.references for f in outcome.faces] == [int(j == i) for j in range(2)]
