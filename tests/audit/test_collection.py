"""A collection: which photos belong together, and that each is looked at once."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from crowd import SIDE, cloaked, crowd, inverted, juror, lens
from rig import Eye, save
from visard import photo
from visard.audit import collection
from visard.audit.collection import Look, Looks, Pair, pair_up, pictures
from visard.audit.sight import CONDITIONS, quality_crop, sights
from visard.errors import AuditError, FaceError, PhotoError, WriteError
from visard.face import Face, Pixels, aligned_crop
from visard.measure import psnr, ssim
from visard.recognizer import Recognizer


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def names(pairs: list[Pair], folder: Path) -> list[tuple[str, str, str]]:
    return [
        (p.original.person, *(q.path.relative_to(folder).as_posix() for q in (p.original, p.protected))) for p in pairs
    ]


# which photos belong together


def test_pairs_have_one_name_up_to_the_mark_and_the_suffix(tmp_path: Path) -> None:
    touch(*(tmp_path / "in" / name for name in ("ann/1.jpg", "ann/2.PNG", "ann/trip/1.jpg", "bob/1.jpg", "bob/x.txt")))
    touch(
        *(tmp_path / "out" / n for n in ("ann/1.visard.jpg", "ann/2.webp", "ann/trip/1.png", "bob/2.jpg", "eve/1.jpg"))
    )
    pairs, alone = pair_up(tmp_path / "in", tmp_path / "out")
    assert names(pairs, tmp_path) == [
        ("ann", "in/ann/1.jpg", "out/ann/1.visard.jpg"),
        ("ann", "in/ann/2.PNG", "out/ann/2.webp"),
        ("ann", "in/ann/trip/1.jpg", "out/ann/trip/1.png"),
    ]
    assert [p.path.relative_to(tmp_path).as_posix() for p in alone] == [
        "in/bob/1.jpg",
        "out/bob/2.jpg",
        "out/eve/1.jpg",
    ]


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        (["ann/1.jpg", "ann/1.png"], ["ann/1.jpg"], r"ann/1\.jpg and .*ann/1\.png have one name; keep one"),
        (["ann/1.jpg"], ["ann/1.jpg", "ann/1.visard.jpg"], r"ann/1\.jpg and .*ann/1\.visard\.jpg have one name"),
        (
            ["1.jpg", "2.jpg"],
            ["ann/1.jpg"],
            r"in holds no photos in folders of people; lay it out as PERSON/photo\.jpg",
        ),
        (["ann/1.jpg"], ["1.jpg"], "out holds no photos in folders of people"),
        (["ann/notes.txt"], ["ann/1.jpg"], "in holds no photos in folders of people"),
        (["ann/1.jpg"], ["Ann/1.jpg"], r"has the name of one in .* \(the first are Ann/1 and ann/1\); give folders"),
        (["ann/1.jpg"], ["ann/2.jpg"], r"the first are ann/2 and ann/1"),
    ],
)
def test_folders_that_do_not_fit(tmp_path: Path, before: list[str], after: list[str], sentence: str) -> None:
    touch(*(tmp_path / "in" / name for name in before), *(tmp_path / "out" / name for name in after))
    with pytest.raises(AuditError, match=sentence):
        pair_up(tmp_path / "in", tmp_path / "out")


def test_folders_that_are_not_there_or_empty(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(AuditError, match="empty holds no photos in folders of people"):
        pictures(tmp_path / "empty")
    with pytest.raises(PhotoError, match=r"The folder .*no could not be read"):
        pictures(tmp_path / "no")


def test_a_folder_within_the_other_would_make_its_photos_a_person(tmp_path: Path) -> None:
    touch(tmp_path / "in/ann/1.jpg", tmp_path / "in/posted/ann/1.jpg")
    for folders in ((tmp_path / "in", tmp_path / "in/posted"), (tmp_path / "in/posted", tmp_path / "in/ann/..")):
        with pytest.raises(AuditError, match="lie in each other; move one of them out"):
            pair_up(*folders)


# what is seen


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    original = crowd(tmp_path / "in", 1, 2)
    return original, cloaked(original, tmp_path / "out")


class Broken(nn.Module):
    def forward(self, faces: Tensor) -> Tensor:
        return torch.full((len(faces), 192), float("nan"))


def counting(recognizer: Recognizer) -> Callable[[], int]:
    """How many faces a recognizer of ``crowd`` has looked at."""
    eye = recognizer.network
    assert isinstance(eye, Eye)
    return lambda: len(eye.seen)


def same(a: Look | None, b: Look | None) -> bool:
    assert a is not None
    assert b is not None
    assert a.embeddings.keys() == b.embeddings.keys()
    assert a.quality == b.quality
    assert (a.found == b.found).all()
    return all((values == b.embeddings[name]).all() for name, values in a.embeddings.items())


def test_a_look_is_what_the_juror_sees(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (pair, _), _ = pair_up(*folders)
    recognizer = juror()
    looks = Looks(lens(recognizer), tmp_path / "cache")
    clean, protected = looks.clean(pair.original.path), looks.protected(pair)
    assert clean is not None
    assert protected is not None
    assert list(clean.embeddings) == ["colors"]
    assert clean.embeddings["colors"].shape == (len(CONDITIONS), 192)
    assert clean.found.all()
    assert clean.quality == {}
    pixels = photo.read(pair.original.path).pixels
    expected = pixels.astype(float).reshape(8, 14, 8, 14, 3).mean(axis=(1, 3)) / 255 - 0.5
    expected = expected.transpose(2, 0, 1).ravel() / np.linalg.norm(expected)
    np.testing.assert_allclose(clean.embeddings["colors"][0], expected, atol=1e-3)
    # whatever happens to a photo of flat colors, its colors stay: half of its size is no half of its face
    np.testing.assert_array_less(0.98, clean.embeddings["colors"] @ expected)
    np.testing.assert_allclose(protected.embeddings["colors"][0], -expected, atol=1e-3)
    (face,) = aligned_crop(pixels)
    crops = quality_crop(pixels, face), quality_crop(inverted(pixels), face)
    assert protected.quality.keys() == collection.QUALITIES.keys()
    assert protected.quality["psnr"] == pytest.approx(psnr(*crops))
    assert protected.quality["ssim"] == pytest.approx(ssim(*crops))


def test_aligned_crops_of_any_size_stay_aligned() -> None:
    """Half of a crop is the same face at half the size: no detector of aligned crops may say otherwise."""
    rng = np.random.default_rng(0)
    for side in (SIDE, 160, 250, 700):
        pixels = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
        (face,) = aligned_crop(pixels)
        whole, half = sights(pixels, face, aligned_crop, {k: CONDITIONS[k] for k in ("as saved", "half size")})
        assert whole.found
        assert half.found
        assert half.view[1].size == pytest.approx(whole.view[1].size / 2)
        center = np.mean(half.view[1].landmarks, axis=0) / half.view[0].shape[0]
        np.testing.assert_allclose(center, np.mean(whole.view[1].landmarks, axis=0) / whole.view[0].shape[0], atol=0.01)


def test_a_second_detector_is_one_more_condition(folders: tuple[Path, Path], tmp_path: Path) -> None:
    def blind(_pixels: Pixels) -> list[Face]:
        return []

    (pair, _), _ = pair_up(*folders)
    both = lens(second=blind, second_name="blind")
    assert both.conditions == [*CONDITIONS, "second detector"]
    found = Looks(both, tmp_path / "cache").protected(pair)
    assert found is not None
    assert found.found.tolist() == [True] * len(CONDITIONS) + [False]
    np.testing.assert_allclose(found.embeddings["colors"][-1], found.embeddings["colors"][0], atol=1e-6)


def test_gray_photos(tmp_path: Path) -> None:
    for name, value in (("in", 90), ("out", 93)):
        (tmp_path / name / "ann").mkdir(parents=True)
        noise = np.random.default_rng(0).integers(0, 60, (SIDE, SIDE, 1), dtype=np.uint8)
        save(tmp_path / name / "ann/1.png", (noise + value).astype(np.uint8))
    (pair,), _ = pair_up(tmp_path / "in", tmp_path / "out")
    found = Looks(lens(), tmp_path / "cache").protected(pair)
    assert found is not None
    assert np.isfinite(list(found.quality.values())).all()


# each photo is looked at once


def test_nothing_is_looked_at_twice(folders: tuple[Path, Path], tmp_path: Path) -> None:
    pairs, _ = pair_up(*folders)
    recognizer = juror()
    looked_at = counting(recognizer)
    first = Looks(lens(recognizer), tmp_path / "cache")
    before = [(first.clean(p.original.path), first.protected(p)) for p in pairs]
    assert looked_at() == 4 * len(CONDITIONS)
    again = Looks(lens(recognizer), tmp_path / "cache")
    for pair, (clean, protected) in zip(pairs, before, strict=True):
        assert same(again.clean(pair.original.path), clean)
        assert same(again.protected(pair), protected)
    assert looked_at() == 4 * len(CONDITIONS)
    moved = tmp_path / "elsewhere.png"
    pairs[0].original.path.rename(moved)  # it is the content that counts
    assert same(Looks(lens(recognizer), tmp_path / "cache").clean(moved), before[0][0])
    assert looked_at() == 4 * len(CONDITIONS)
    assert all(p.suffix == ".npz" for p in (tmp_path / "cache").iterdir())  # nothing half-written stays


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 and no more", b"\x93NUMPY", b"garbage", None])
def test_what_was_kept_and_is_damaged_is_looked_at_again(
    folders: tuple[Path, Path], tmp_path: Path, damage: bytes | None
) -> None:
    (pair, _), _ = pair_up(*folders)
    recognizer = juror()
    looked_at = counting(recognizer)
    first = Looks(lens(recognizer), tmp_path / "cache").clean(pair.original.path)
    (file,) = (tmp_path / "cache").iterdir()
    file.write_bytes(file.read_bytes()[:-40] if damage is None else damage)
    assert same(Looks(lens(recognizer), tmp_path / "cache").clean(pair.original.path), first)
    assert looked_at() == 2 * len(CONDITIONS)
    assert same(Looks(lens(recognizer), tmp_path / "cache").clean(pair.original.path), first)
    assert looked_at() == 2 * len(CONDITIONS)


def test_what_was_kept_without_its_parts_is_looked_at_again(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (pair, _), _ = pair_up(*folders)
    first = Looks(lens(), tmp_path / "cache").clean(pair.original.path)
    (file,) = (tmp_path / "cache").iterdir()
    np.savez(file, other=np.zeros(3))
    assert same(Looks(lens(), tmp_path / "cache").clean(pair.original.path), first)


def test_whatever_decides_what_is_seen_is_looked_at_anew(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (pair, _), _ = pair_up(*folders)
    cache = tmp_path / "cache"

    def files(**changes: Any) -> int:
        recognizer = changes.pop("recognizer", None) or juror()
        Looks(lens(recognizer, **changes), cache).protected(pair)
        return len(list(cache.iterdir()))

    assert files() == files() == 1
    assert files(detector_name="another") == 2
    assert files(second=aligned_crop, second_name="second") == 3
    assert files(recognizer=juror("others")) == 4
    assert files(recognizer=juror(sha256="retrained")) == 5
    plain = juror()
    changed = Recognizer(replace(plain.card, mean=(9.0, 9.0, 9.0)), Eye())
    assert files(recognizer=changed) == 6  # the same weights, fed otherwise
    save(pair.protected.path, photo.read(pair.original.path).pixels)
    assert files() == 7
    save(pair.original.path, np.full((SIDE, SIDE, 3), 7, np.uint8))
    assert files() == 8
    assert files() == 8


def test_the_order_of_the_jury_does_not_matter(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (pair, _), _ = pair_up(*folders)
    a, b = juror("a"), juror("b")
    for jury in ((a, b), (b, a)):
        Looks(lens(*jury), tmp_path / "cache").clean(pair.original.path)
    assert len(list((tmp_path / "cache").iterdir())) == 1


# what cannot be looked at


def test_a_bad_photo_is_left_out_with_a_reason(folders: tuple[Path, Path], tmp_path: Path) -> None:
    original, out = folders
    save(original / "p0/small.png", np.zeros((50, 50, 3), np.uint8))
    (original / "p0/torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 torn")
    Image.new("RGB", (SIDE, SIDE)).save(out / "p0/0.png")
    Image.new("RGB", (SIDE, SIDE + 9)).save(out / "p0/1.png")
    heard: dict[str, str] = {}
    looks = Looks(lens(), tmp_path / "cache", lambda path, reason: heard.update({path.name: reason}))
    assert looks.clean(original / "p0/small.png") is None
    assert looks.clean(original / "p0/torn.jpg") is None
    equal, cropped = pair_up(*folders)[0]
    assert looks.protected(equal) is not None
    assert looks.protected(cropped) is None
    assert list(heard) == ["small.png", "torn.jpg", "1.png"]
    assert "at least 112 x 112 px, this has 50 x 50" in heard["small.png"]
    assert "damaged" in heard["torn.jpg"]
    assert "112 x 112 and 112 x 121: give the same photo before and after" in heard["1.png"]
    assert len(list((tmp_path / "cache").iterdir())) == 1  # it is tried again next time


def test_a_photo_without_a_face_is_left_out(folders: tuple[Path, Path], tmp_path: Path) -> None:
    heard: list[str] = []
    looks = Looks(lens(detector=lambda _p: []), tmp_path / "cache", lambda _path, reason: heard.append(reason))
    (pair, _), _ = pair_up(*folders)
    assert looks.clean(pair.original.path) is None
    assert heard == [f"{pair.original.path}: no face was found."]


def test_a_juror_that_gives_nan_ends_the_audit(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """It is no photo's fault, so no photo is left out for it."""
    heard: list[Path] = []
    looks = Looks(lens(juror(), juror("broken", Broken())), tmp_path / "cache", lambda path, _r: heard.append(path))
    (pair, _), _ = pair_up(*folders)
    with pytest.raises(AuditError, match=r"broken gives no finite embedding of .*0\.png; name a jury without it"):
        looks.clean(pair.original.path)
    assert heard == []
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_cache_that_cannot_be_written(folders: tuple[Path, Path], tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match=r"file/cache could not be made.*choose another"):
        Looks(lens(), tmp_path / "file/cache")

    def full(*_args: Any, **_kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    (pair, _), _ = pair_up(*folders)
    with pytest.raises(WriteError, match=r"No space left on device"):  # no photo is left out for that either
        Looks(lens(), tmp_path / "cache").clean(pair.original.path)
    assert list((tmp_path / "cache").iterdir()) == []


def test_the_errors_of_photos_are_apart_from_those_of_audits() -> None:
    assert not issubclass(AuditError, (PhotoError, FaceError))
