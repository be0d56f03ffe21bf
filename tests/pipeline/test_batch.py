"""Many photos: what goes where, what fails alone, and how a run goes on after it was cut off."""

import errno
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rig import DLIB, astronaut, save
from visard import photo
from visard.errors import PhotoError
from visard.face import aligned_crop
from visard.pipeline import LEDGER, Plan, Row, Selection, batch, jobs, protect_all

Plans = Callable[..., Plan]


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def small(path: Path, seed: int = 0) -> Path:
    """The portrait, cut close; no two seeds make the same file."""
    pixels = np.ascontiguousarray(astronaut()[30:270, 100:360])
    pixels[0, :3] = seed
    return save(path, pixels)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for i, name in enumerate("abc"):
        small(tmp_path / f"in/{name}.png", seed=i)
    return tmp_path / "in"


def run(folder: Path, output: Path, plan: Plan) -> list[Row]:
    return list(protect_all(jobs([folder], output), plan, output / LEDGER))


def statuses(rows: list[Row]) -> list[tuple[str, bool]]:
    return [(row.outcome["status"], row.resumed) for row in rows]


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name != LEDGER}


def pictures(folder: Path) -> np.ndarray[Any, Any]:
    return np.stack([photo.read(path).pixels for path in sorted(folder.glob("*.png"))]).astype(int)


def alike(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> bool:
    """Whether pictures differ only as sums in another order make them differ: batches of other sizes."""
    return one.shape == other.shape and bool((one != other).mean() < 0.02)


def counting(monkeypatch: pytest.MonkeyPatch, act: Callable[[int], None] = lambda _n: None) -> list[Path]:
    """Hears of every photo that is really protected; `act(n)` happens within the n-th, once it is written."""
    done: list[Path] = []
    original = batch.finish

    def finish(opened: Any, *rest: Any) -> Any:
        done.append(opened.source)
        outcome = original(opened, *rest)
        act(len(done))
        return outcome

    monkeypatch.setattr(batch, "finish", finish)
    return done


# where results go


def test_beside_the_photo(tmp_path: Path) -> None:
    touch(tmp_path / "a.JPG", tmp_path / "sub/b.png", tmp_path / "sub/notes.txt", tmp_path / ".hidden/c.png")
    assert jobs([tmp_path], None) == [
        (tmp_path / "a.JPG", tmp_path / "a.visard.JPG"),
        (tmp_path / "sub/b.png", tmp_path / "sub/b.visard.png"),
    ]
    assert jobs([tmp_path / "a.JPG"], None) == [(tmp_path / "a.JPG", tmp_path / "a.visard.JPG")]
    assert len(jobs([tmp_path, tmp_path / "a.JPG", tmp_path / "a.JPG"], None)) == 2  # each photo once


def test_into_a_file_or_a_folder(tmp_path: Path) -> None:
    a, b, out = tmp_path / "in/a.jpg", tmp_path / "in/sub/b.jpg", tmp_path / "out"
    touch(a, b)
    assert jobs([a], tmp_path / "x.png") == [(a, tmp_path / "x.png")]
    assert jobs([a], out) == [(a, out / "a.jpg")]
    assert jobs([tmp_path / "in"], out) == [(a, out / "a.jpg"), (b, out / "sub/b.jpg")]
    assert jobs([a, b], out) == [(a, out / "a.jpg"), (b, out / "b.jpg")]
    with pytest.raises(PhotoError, match=r"x\.png is one file, but there are 2 photos; give a folder with -o"):
        jobs([a, b], tmp_path / "x.png")
    (tmp_path / "folder.jpg").mkdir()
    assert jobs([a], tmp_path / "folder.jpg") == [(a, tmp_path / "folder.jpg/a.jpg")]


def test_names_that_collide(tmp_path: Path) -> None:
    touch(tmp_path / "one/a.jpg", tmp_path / "two/a.jpg")
    with pytest.raises(PhotoError, match=r"Two photos would be written to .*a\.jpg; protect them in separate runs"):
        jobs([tmp_path / "one", tmp_path / "two"], tmp_path / "out")
    assert len(jobs([tmp_path / "one", tmp_path / "two"], None)) == 2
    assert len(jobs([tmp_path / "one", tmp_path / "one/a.jpg"], tmp_path / "out")) == 1  # the same photo


def test_missing_and_empty_inputs(tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match=r"no\.jpg does not exist"):
        jobs([tmp_path / "no.jpg"], None)
    touch(tmp_path / "in/notes.txt")
    with pytest.raises(PhotoError, match=r"in holds no photos to protect; visard reads \.bmp"):
        jobs([tmp_path / "in"], None)


def test_results_are_no_inputs(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "in/posted"
    touch(folder / "a.jpg", folder / "a.visard.jpg", out / "a.jpg", out / "sub/b.jpg", folder / "posted2/c.jpg")
    assert [p for p, _ in jobs([folder], out)] == [folder / "a.jpg", folder / "posted2/c.jpg"]
    (folder / "a.jpg").unlink()
    shutil.rmtree(folder / "posted2")
    with pytest.raises(PhotoError, match="takes no results of its own"):
        jobs([folder], out)


def test_photos_below_the_output_folder(tmp_path: Path) -> None:
    touch(tmp_path / "in/a.jpg")
    assert jobs([tmp_path / "in"], tmp_path) == [(tmp_path / "in/a.jpg", tmp_path / "a.jpg")]
    assert jobs([tmp_path / "in"], tmp_path / "in") == [(tmp_path / "in/a.jpg", tmp_path / "in/a.jpg")]


def test_results_never_land_on_the_photos(photos: Path, plan: Plans) -> None:
    before = contents(photos)
    rows = run(photos, photos, plan())
    assert statuses(rows) == [("failed", False)] * 3
    assert all("is the input itself" in row.outcome["message"] for row in rows)
    assert contents(photos) == before


# a run goes on


def test_one_bad_photo_spoils_no_other(tmp_path: Path, plan: Plans) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    good = small(folder / "e_good.png")
    (folder / "a_corrupt.png").write_bytes(good.read_bytes()[:2000])
    (folder / "b_empty.jpg").touch()
    (folder / "c_text.jpg").write_text("no photo")
    save(folder / "d_wall.png", np.full((100, 100, 3), 90, np.uint8))
    small(folder / "f_good.png", seed=1)
    rows = run(folder, out, plan(jury=("blind",)))
    assert [row.outcome["status"] for row in rows] == ["failed"] * 3 + ["no face"] + ["protected"] * 2
    for row, words in zip(rows, ("damaged", "empty", "is not a JPEG", "no face was found"), strict=False):
        assert words in row.outcome["message"]
        assert row.outcome["output"] is None
        assert row.outcome["message"].startswith(row.outcome["source"])
    assert contents(out).keys() == {"e_good.png", "f_good.png"}


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("out of memory"), ValueError("odd"), KeyError("odd")])
def test_a_method_may_raise_anything(photos: Path, tmp_path: Path, plan: Plans, error: Exception) -> None:
    def raises(*_words: Any, **_settings: Any) -> Any:
        raise error

    rows = run(
        photos, tmp_path / "out", replace(plan("fgsm"), method=replace(plan("fgsm").method, run=raises), settings={})
    )
    assert statuses(rows) == [("failed", False)] * 3
    assert f"could not be protected ({type(error).__name__}" in rows[0].outcome["message"]
    assert contents(tmp_path / "out") == {}


def test_a_full_disk(photos: Path, tmp_path: Path, plan: Plans, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    rows = run(photos, tmp_path / "out", plan(jury=("blind",)))
    assert [row.outcome["status"] for row in rows] == ["protected", "failed", "protected"]
    assert "the disk is full; make room" in rows[1].outcome["message"]
    assert contents(tmp_path / "out").keys() == {"a.png", "c.png"}


def test_a_ledger_that_cannot_be_written(
    photos: Path, tmp_path: Path, plan: Plans, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = batch._append

    def full(ledger: Path, entry: dict[str, Any]) -> None:
        if "outcome" in entry:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(ledger, entry)

    with monkeypatch.context() as patch:
        patch.setattr(batch, "_append", full)
        rows = run(photos, tmp_path / "out", plan(jury=("blind",)))
    assert statuses(rows) == [("protected", False)] * 3
    assert (
        statuses(run(photos, tmp_path / "out", plan(jury=("blind",)))) == [("protected", False)] * 3
    )  # again, as ours


def test_an_output_folder_that_cannot_be(photos: Path, tmp_path: Path, plan: Plans) -> None:
    (tmp_path / "out").write_text("a file")
    for output in (tmp_path / "out", tmp_path / "out/below"):
        rows = run(photos, output, plan())
        assert statuses(rows) == [("failed", False)] * 3
        assert "could not be made: a file is in its place" in rows[0].outcome["message"]
        assert "Errno" not in rows[0].outcome["message"]


def test_progress_is_heard(photos: Path, tmp_path: Path, plan: Plans) -> None:
    heard: list[tuple[Path, float]] = []
    list(protect_all(jobs([photos], tmp_path), plan(), None, lambda path, share: heard.append((path, share))))
    shares = [share for _, share in heard]
    assert shares == sorted(shares)
    assert shares[-1] == 3  # photos
    assert heard[-1][0].name == "c.png"


def test_photos_are_cloaked_together_as_they_would_be_alone(
    photos: Path, tmp_path: Path, plan: Plans, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = []
    original = batch.cloak
    monkeypatch.setattr(batch, "cloak", lambda given, *rest: batches.append(len(given)) or original(given, *rest))
    asked = plan("visard", settings={"steps": 3})
    run(photos, tmp_path / "together", asked)
    assert batches == [3]
    run(photos, tmp_path / "alone", replace(asked, batch=1))
    together, alone = pictures(tmp_path / "together"), pictures(tmp_path / "alone")
    assert (together != pictures(photos)).any(axis=(1, 2, 3)).all()
    assert alike(together, alone)
    assert abs(together - alone).max() <= 1


def test_what_fails_together_is_tried_alone(
    photos: Path, tmp_path: Path, plan: Plans, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = batch.cloak

    def failing(given: Any, *rest: Any) -> Any:
        if len(given) > 1:
            raise RuntimeError("out of memory")
        return original(given, *rest)

    monkeypatch.setattr(batch, "cloak", failing)
    assert statuses(run(photos, tmp_path / "out", plan())) == [("not judged", False)] * 3


# a run resumes


def test_the_second_run_does_nothing_again(
    photos: Path, tmp_path: Path, plan: Plans, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, asked = tmp_path / "out", plan(jury=("sharp",))
    first = run(photos, out, asked)
    before = contents(out)
    done = counting(monkeypatch)
    second = run(photos, out, asked)
    assert done == []
    assert [row.resumed for row in second] == [True] * 3
    assert [row.outcome for row in second] == [row.outcome for row in first]
    assert contents(out) == before
    small(photos / "d.png", seed=9)
    assert statuses(run(photos, out, asked)) == [("not protected", True)] * 3 + [("not protected", False)]
    assert done == [photos / "d.png"]


def test_what_changed_is_not_taken_for_done(photos: Path, tmp_path: Path, plan: Plans) -> None:
    out, asked = tmp_path / "out", plan()
    run(photos, out, asked)
    small(photos / "a.png", seed=77)  # another photo
    data = bytearray((out / "b.png").read_bytes())
    data[-20] ^= 1
    (out / "b.png").write_bytes(data)  # another result
    (out / "c.png").unlink()  # none
    rows = run(photos, out, asked)
    assert statuses(rows) == [("failed", False), ("failed", False), ("not judged", False)]
    for row in rows[:2]:
        assert "exists already" in row.outcome["message"]
    assert (out / "b.png").read_bytes() == data
    assert statuses(run(photos, out, replace(asked, force=True))) == [("not judged", False)] * 2 + [
        ("not judged", True)
    ]


def test_another_plan_is_another_run(photos: Path, tmp_path: Path, plan: Plans) -> None:
    run(photos, tmp_path / "out", plan())
    before = contents(tmp_path / "out")
    assert statuses(run(photos, tmp_path / "out", plan(seed=1))) == [("failed", False)] * 3
    assert contents(tmp_path / "out") == before
    run(photos, tmp_path / "out", plan(seed=1, force=True))
    assert contents(tmp_path / "out") != before


@pytest.mark.parametrize("where", ["within the cloak", "once it is written"])
def test_an_interrupted_run_goes_on(
    photos: Path, tmp_path: Path, plan: Plans, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    asked = plan(jury=("blind",))
    run(photos, tmp_path / "whole", asked)

    def interrupt(_share: Any) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        if where == "within the cloak":
            stop = lambda path, _share: interrupt(0) if path.name == "c.png" else None  # noqa: E731
            with pytest.raises(KeyboardInterrupt):
                list(protect_all(jobs([photos], out), replace(asked, batch=2), out / LEDGER, stop))
            assert contents(out).keys() == {"a.png", "b.png"}
        else:
            counting(patch, lambda n: interrupt(0) if n == 2 else None)
            with pytest.raises(KeyboardInterrupt):
                run(photos, out, asked)
            assert contents(out).keys() == {"a.png", "b.png"}
    before = len((out / LEDGER).read_text().split('"outcome"')) - 1
    done = counting(monkeypatch)
    assert statuses(run(photos, out, asked)) == [("protected", n < before) for n in range(3)]
    assert [p.name for p in done] == ["a.png", "b.png", "c.png"][before:]
    assert alike(pictures(out), pictures(tmp_path / "whole"))


def test_a_half_written_ledger(photos: Path, tmp_path: Path, plan: Plans) -> None:
    out, asked = tmp_path / "out", plan()
    run(photos, out, asked)
    ledger = out / LEDGER
    whole = ledger.read_bytes()
    lines = whole.split(b"\n")
    ledger.write_bytes(b"\n".join(lines[:-1]) + b"\n" + lines[-1][: len(lines[-1]) // 2])
    before = pictures(out)
    # the last photo is done again: its entry says begun, so its file is ours
    assert statuses(run(photos, out, asked)) == [("not judged", True)] * 2 + [("not judged", False)]
    assert alike(pictures(out), before)
    assert statuses(run(photos, out, asked)) == [("not judged", True)] * 3
    ledger.write_bytes(b"\xff\xfe\0garbage\n[1]\nnull\n" + b'{"output": []}\n' + ledger.read_bytes())
    assert statuses(run(photos, out, asked)) == [("not judged", True)] * 3


def test_a_file_put_where_a_photo_failed_is_not_ours(photos: Path, tmp_path: Path, plan: Plans) -> None:
    out = tmp_path / "out"
    nobody = plan(selection=Selection(only=frozenset({5})))
    assert statuses(run(photos, out, nobody)) == [("no face", False)] * 3
    (out / "a.png").write_bytes(b"mine")
    rows = run(photos, out, plan())
    assert statuses(rows) == [("failed", False)] + [("not judged", False)] * 2
    assert (out / "a.png").read_bytes() == b"mine"


@pytest.mark.assets
@pytest.mark.parametrize("folder", ["photos-made", "photos-odd"])
def test_every_odd_photo_has_an_outcome(assets: Path, tmp_path: Path, plan: Plans, folder: str) -> None:
    sources = [
        p
        for p in sorted((assets / "data" / folder).iterdir())
        if p.suffix != ".json" and not re.search(r"orientation_[^6]|group_(02|03|08|40)", p.name)
    ]
    planned = [(p, tmp_path / p.name.replace(".HEIC", ".jpg")) for p in sources]  # HEIC takes half a minute to write
    # the odd ones hold few faces; their middle serves as one, so that they are written too
    asked = plan(settings={"steps": 1}, detector=DLIB if folder == "photos-made" else aligned_crop)
    failed = {}
    for (source, output), row in zip(planned, protect_all(planned, asked), strict=True):
        if row.outcome["status"] == "not judged":
            before, after = photo.read(source), photo.read(output)
            assert before.pixels.shape == after.pixels.shape
            assert (before.pixels != after.pixels).any()
        else:
            assert not output.exists()
            failed[source.name] = row.outcome["message"]
    expected = {"corrupted.png": "is damaged", "einstein.gif": "is a GIF"} if folder == "photos-odd" else {}
    assert failed.keys() == expected.keys()
    assert all(words in failed[name] for name, words in expected.items())
