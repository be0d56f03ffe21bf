"""Checkpoints: whole or not at all, and of one training alone."""

import errno
import os
from pathlib import Path

import pytest
import torch

from learners import made_crops, tiny_recognizer
from visard.errors import HardeningError, WriteError
from visard.hardening import Material
from visard.hardening.checkpoint import load_state, record_of, save_state

RECORD = {"settings": {"rate": 0.1, "arm": "both"}, "seed": 3}
STATE = {"weights": torch.arange(6.0), "done": 4, "names": ["a", "b"]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_state(tmp_path / "kept.pt", RECORD, STATE)
    return tmp_path / "kept.pt"


def test_what_was_saved_is_read(path: Path) -> None:
    found = load_state(path, RECORD)
    assert found is not None
    assert torch.equal(found.pop("weights"), STATE["weights"])
    assert found == {"done": 4, "names": ["a", "b"]}
    assert [one.name for one in path.parent.iterdir()] == ["kept.pt"]


def test_where_nothing_is_there_is_nothing_to_go_on_from(tmp_path: Path) -> None:
    assert load_state(tmp_path / "kept.pt", RECORD) is None


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.99])
def test_a_flipped_bit_is_not_taken_for_a_weight(path: Path, share: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(share * len(data))] ^= 1
    path.write_bytes(data)
    with pytest.raises(HardeningError, match=r"The checkpoint \S+kept\.pt is damaged; delete it to begin anew\.$"):
        load_state(path, RECORD)


@pytest.mark.parametrize("size", [0, 10, 200])
def test_a_file_cut_short_is_damaged(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(HardeningError, match="is damaged; delete it"):
        load_state(path, RECORD)


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    with pytest.raises(HardeningError, match="could not be read: Is a directory"):
        load_state(tmp_path, RECORD)


def test_another_training_is_named_by_what_differs(path: Path) -> None:
    with pytest.raises(HardeningError, match=r"kept\.pt was begun with other settings and seed; give the same"):
        load_state(path, {"settings": {"rate": 0.2, "arm": "both"}, "seed": 4})


def test_a_full_disk_leaves_what_was_there(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(WriteError, match="the disk is full; make room or choose another folder"):
            save_state(path, RECORD, {"done": 5})
    found = load_state(path, RECORD)
    assert found is not None
    assert found["done"] == 4
    assert [one.name for one in path.parent.iterdir()] == ["kept.pt"]


def test_a_record_tells_trainings_apart() -> None:
    base, clean = tiny_recognizer(0), made_crops(3, 1)
    material = Material(clean, {"a": clean.pixels}, seed=1)
    one = record_of("d", base, material, {"rate": 0.1})
    assert one == record_of("d", tiny_recognizer(0), material, {"rate": 0.1})
    others = {
        "defence": record_of("e", base, material, {"rate": 0.1}),
        "settings": record_of("d", base, material, {"rate": 0.2}),
        "recognizer": record_of("d", tiny_recognizer(1), material, {"rate": 0.1}),
        "faces": record_of("d", base, Material(made_crops(3, 1, seed=1), material.cloaked, seed=1), {"rate": 0.1}),
        "cloaks": record_of("d", base, Material(clean, {"a": clean.pixels + 1}, seed=1), {"rate": 0.1}),
        "seed": record_of("d", base, Material(clean, material.cloaked, seed=2), {"rate": 0.1}),
    }
    assert set(others) == set(one)
    for key, other in others.items():
        assert [name for name in one if one[name] != other[name]] == [key]
