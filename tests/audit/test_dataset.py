"""The audit of folders, from photos to findings: people are colors, and the jurors' verdicts are known."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crowd import cloaked, crowd, inverted, juror, lens
from rig import Eye, save
from visard import photo
from visard.audit import collection
from visard.audit.dataset import collect
from visard.audit.findings import Protected
from visard.audit.sight import CONDITIONS
from visard.errors import AuditError, CalibrationError
from visard.face import Pixels

TORN = "{} is not a JPEG, PNG, WebP, TIFF, BMP or HEIC photo; convert it to one first."


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return crowd(tmp_path_factory.mktemp("photos") / "original")


@pytest.fixture(scope="module")
def gone(original: Path) -> Path:
    return cloaked(original, original.parent / "gone", inverted, mark=".visard")


@pytest.fixture(scope="module")
def hardly(original: Path) -> Path:
    return cloaked(original, original.parent / "hardly", lambda pixels: pixels ^ 1)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def audit(original: Path, cache: Path, *sets: Path, **options: Any) -> list[Protected]:
    lenses = options.pop("lens", None) or lens()
    return collect(original, {s.name: s for s in sets}, lenses, cache, made_by={}, **options)


def protection(one: Protected, condition: str = "as saved") -> float:
    found = one.protection(one.jury[0], condition, 1e-3)
    assert found is not None
    return found.value


def test_two_sets(original: Path, gone: Path, hardly: Path, cache: Path) -> None:
    first, second = audit(original, cache, gone, hardly)
    assert [one.name for one in (first, second)] == ["gone", "hardly"]
    for one in (first, second):
        assert one.seen.people.tolist() == ["p0"] * 3 + ["p1"] * 3 + ["p2"] * 3
        assert one.seen.keys.tolist() == [f"p{i}/{j}" for i in range(3) for j in range(3)]
        assert (one.gallery.own == np.eye(9)).all()
        assert (one.own == np.eye(9)).all()
        assert one.surrogates is None
        trials = one.trials["colors", "as saved"]
        assert trials.mates.tolist() == [2] * 9
        assert trials.clean_rank.tolist() == [1] * 9
        assert 0.5 < trials.clean_mate.min() < trials.clean_mate.max() < 0.999
    for condition in CONDITIONS:
        assert (protection(first, condition), protection(second, condition)) == (1, 0)
    rate = first.protection(first.jury[0], "as saved", 1e-2)
    assert rate is not None
    assert (rate.trials, rate.people) == (9, 3)
    assert rate.low < 0.5  # nine photos of three people prove what three people prove
    gray = first.trials["colors", "as saved"]
    np.testing.assert_allclose(gray.protected_mate, -_worst_mates(original), atol=2e-3)


def _worst_mates(original: Path) -> np.ndarray[Any, Any]:
    """Of each photo the least cosine with a mate: inverted colors make it the best, with the other sign."""
    pixels = np.stack([photo.read(path).pixels for path in photo.find(original)]) / 255.0
    seen = pixels.reshape(9, 8, 14, 8, 14, 3).mean(axis=(2, 4)).reshape(9, -1) - 0.5
    seen /= np.linalg.norm(seen, axis=1, keepdims=True)
    cosines = seen @ seen.T
    return np.array([min(cosines[i, j] for j in range(9) if j // 3 == i // 3 and j != i) for i in range(9)])


def test_a_gallery_of_other_photos(original: Path, gone: Path, cache: Path, tmp_path: Path) -> None:
    people = crowd(tmp_path / "people", 5, 1, first=1)  # p1 .. p5; the first photo of each is an original's copy
    for i in range(1, 6):
        save(people / f"p{i}/9.png", photo.read(people / f"p{i}/0.png").pixels ^ 1)
    (one,) = audit(original, cache, gone, people=people)
    assert len(one.gallery.people) == 10
    assert one.own.shape == (9, 9)
    trials = one.trials["colors", "as saved"]
    # nobody knows p0; of p1 and p2 the gallery has 0.png, the same file, and 9.png, a copy to the juror's eye
    assert trials.mates.tolist() == [0, 0, 0, 0, 2, 2, 0, 2, 2]
    rate = one.protection(one.jury[0], "as saved", 1e-3)
    assert rate is not None
    assert (rate.value, rate.trials, rate.people) == (1, 4, 2)


def test_a_collection_is_looked_at_once(original: Path, gone: Path, cache: Path) -> None:
    first = audit(original, cache, gone)[0]
    watcher = juror()
    heard: list[tuple[str, int, int]] = []
    again = audit(original, cache, gone, lens=lens(watcher), watch=lambda *a: heard.append(a))[0]
    assert isinstance(watcher.network, Eye)
    assert watcher.network.seen == []
    assert heard[0] == ("gallery", 1, 27)
    assert heard[-1] == ("gone", 27, 27)
    assert [done for _, done, _ in heard] == list(range(1, 28))
    for name, values in first.trials["colors", "JPEG 50"].columns().items():
        assert (again.trials["colors", "JPEG 50"].columns()[name] == values).all()


def test_an_interrupted_audit_goes_on(original: Path, gone: Path, tmp_path: Path, monkeypatch: Any) -> None:
    done: list[int] = []

    def stop(_name: str, count: int, _total: int) -> None:
        done.append(count)
        if count == 14:
            raise KeyboardInterrupt

    first, second = juror(), juror()
    with pytest.raises(KeyboardInterrupt):
        audit(original, tmp_path / "cache", gone, lens=lens(first), watch=stop)
    audit(original, tmp_path / "cache", gone, lens=lens(second))
    assert isinstance(first.network, Eye)
    assert isinstance(second.network, Eye)
    # 9 in the gallery, then clean (seen before) and protected by turns: 11, 13 (the 14th is a clean one)
    assert [len(eye.seen) // len(CONDITIONS) for eye in (first.network, second.network)] == [11, 7]


def test_photos_are_hashed_once(original: Path, gone: Path, hardly: Path, cache: Path, monkeypatch: Any) -> None:
    hashed: list[Path] = []
    plain = collection.file_sha256

    def counted(path: Path) -> str:
        hashed.append(path)
        return plain(path)

    monkeypatch.setattr(collection, "file_sha256", counted)
    audit(original, cache, gone, hardly)
    assert len(hashed) == len(set(hashed)) == 27


def test_what_is_left_out_is_said(original: Path, gone: Path, cache: Path, tmp_path: Path) -> None:
    some = cloaked(original, tmp_path / "some")
    (some / "p0/0.png").unlink()
    (some / "p0/1.png").write_bytes(b"torn")
    save(some / "p0/new.png", np.zeros((112, 112, 3), np.uint8))
    heard: dict[Path, str] = {}
    (one,) = audit(original, cache, some, skipped=lambda path, reason: heard.update({path: reason}))
    assert one.seen.keys.tolist() == ["p0/2", *(f"p{i}/{j}" for i in (1, 2) for j in range(3))]
    assert len(one.gallery.people) == 9  # the originals are there all the same
    assert one.trials["colors", "as saved"].mates.tolist() == [2] * 7
    assert heard == {
        original / "p0/0.png": "it has no partner in the set some",
        some / "p0/new.png": "it has no partner in the set some",
        some / "p0/1.png": TORN.format(some / "p0/1.png"),
    }


def test_one_photo_in_two_places(original: Path, cache: Path, tmp_path: Path) -> None:
    """A copy among the originals is no mate, neither of the gallery nor of the four quadrants."""
    doubled = crowd(tmp_path / "doubled", 2, 2)
    save(doubled / "p0/again.png", photo.read(doubled / "p0/0.png").pixels)
    (one,) = audit(doubled, tmp_path / "cache", cloaked(doubled, tmp_path / "out"))
    assert one.seen.keys.tolist() == ["p0/0", "p0/1", "p0/again", "p1/0", "p1/1"]
    assert one.trials["colors", "as saved"].mates.tolist() == [1, 2, 1, 1, 1]
    assert one.own[0].tolist() == [True, False, True, False, False]
    assert one.scores(one.jury[0]).clean.max() < 0.999


# what cannot be audited


def one_person(folder: Path) -> Path:
    return crowd(folder, 1, 3)


def one_photo_each(folder: Path) -> Path:
    return crowd(folder, 3, 1)


def faceless(folder: Path) -> Path:
    for i in range(2):
        (folder / f"p{i}").mkdir(parents=True)
        save(folder / f"p{i}/0.png", np.zeros((40, 40, 3), np.uint8))
    return folder


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (one_person, "in shows faces of one person only; an audit needs at least two people"),
        (one_photo_each, "out: no person has another photo to be compared with; give .* with --people"),
        (faceless, "No photo of .*in can be judged; the first reason: An aligned crop has at least 112 x 112 px"),
    ],
)
def test_collections_that_cannot_be_audited(tmp_path: Path, make: Callable[[Path], Path], sentence: str) -> None:
    folder = make(tmp_path / "in")
    with pytest.raises(AuditError, match=sentence):
        audit(folder, tmp_path / "cache", cloaked(folder, tmp_path / "out"))


def test_protected_photos_that_cannot_be_judged(original: Path, cache: Path, tmp_path: Path) -> None:
    def cut(pixels: Pixels) -> Pixels:
        return pixels[:100]

    with pytest.raises(AuditError, match=r"cut: no photo can be judged .*the first reason: The photos differ in size"):
        audit(original, cache, cloaked(original, tmp_path / "cut", cut))


def test_a_jury_that_cannot_judge(original: Path, gone: Path, tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="There is nobody to judge"):
        audit(original, tmp_path / "cache", gone, lens=replace(lens(), jury=()))
    watcher = juror()
    watcher.card = replace(watcher.card, thresholds=watcher.card.thresholds[1:])
    with pytest.raises(CalibrationError, match=r"colors has no threshold at FMR 0\.01 \(it has 0\.001\)"):
        audit(original, tmp_path / "cache", gone, lens=lens(watcher))
    assert not (tmp_path / "cache").exists()  # found out before the work
