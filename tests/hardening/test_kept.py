"""Cloaks that are kept as they are made, and what is asked of a hardening before it begins."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from learners import made_crops, tiny_recognizer
from visard.cloak import Task, find
from visard.cloak.method import Method
from visard.errors import CalibrationError, HardeningError
from visard.hardening import find_defence, kept
from visard.hardening.kept import kept_cloaks
from visard.hardening.run import Hardening, held_out

FACES = made_crops(5, 2).pixels


class _StopError(Exception):
    pass


def counting(stop_at: int = 99) -> tuple[Method, list[int]]:
    """Noise, and how many faces it was asked for at each call, of which that number `stop_at` fails."""
    asked: list[int] = []

    def run(task: Task) -> Tensor:
        if len(asked) == stop_at:
            raise _StopError
        asked.append(len(task.faces.pixels))
        return 0.2 * torch.rand(task.faces.pixels.shape, generator=task.generator) - 0.1

    return Method("noisy", "here", "untargeted", run), asked


def test_interrupted_it_goes_on_to_the_same_cloaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "_TOGETHER", 4)
    base = [tiny_recognizer(0)]
    method, asked = counting()
    whole = kept_cloaks(tmp_path / "whole.pt", FACES, method, base, seed=3)
    assert asked == [4, 4, 2]
    assert whole.dtype == torch.uint8
    assert not torch.equal(whole[:4], whole[4:8])
    with pytest.raises(_StopError):
        kept_cloaks(tmp_path / "parts.pt", FACES, counting(2)[0], base, seed=3)
    method, asked = counting()
    lines: list[str] = []
    assert torch.equal(kept_cloaks(tmp_path / "parts.pt", FACES, method, base, seed=3, watch=lines.append), whole)
    assert asked == [2]
    assert lines == ["noisy: 10 of 10 faces"]
    kept_cloaks(tmp_path / "parts.pt", FACES, method, base, seed=3)
    assert asked == [2]


def test_cloaks_of_another_making_are_refused(tmp_path: Path) -> None:
    path, method = tmp_path / "cloaks.pt", find("noise")
    kept_cloaks(path, FACES, method, [tiny_recognizer(0)])
    for faces, base, seed, what in (
        (FACES.flip(0), tiny_recognizer(0), 0, "faces"),
        (FACES, tiny_recognizer(1), 0, "surrogates"),
        (FACES, tiny_recognizer(0), 1, "seed"),
    ):
        with pytest.raises(HardeningError, match=f"begun with other {what}"):
            kept_cloaks(path, faces, method, [base], seed=seed)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(HardeningError, match="is damaged; delete it to begin anew"):
        kept_cloaks(path, FACES, method, [tiny_recognizer(0)])


def test_a_threshold_rests_on_thirty_false_matches(tmp_path: Path) -> None:
    crops = made_crops(10, 2)  # 190 pairs, 10 of them of one person
    made = (tiny_recognizer(0), find_defence("vos2023"), crops, crops, crops, {}, [], tmp_path)
    Hardening(*made, far=30 / 180)
    with pytest.raises(CalibrationError, match=r"at least 182 impostor pairs .*; 20 photos of 10 people give 180:"):
        Hardening(*made, far=0.165)


def test_three_of_five_people_are_trained_on() -> None:
    photos = [(f"p{i:02}", Path(f"{i}-{j}")) for i in range(11) for j in range(2)]
    groups = held_out(photos)
    assert [len({person for person, _ in group}) for group in groups] == [6, 3, 2]
    assert sorted(photo for group in groups for photo in group) == sorted(photos)


def test_a_defence_that_computes_on_the_cpu_alone_refuses_another_device() -> None:
    from visard.hardening import Material

    crops = made_crops(3, 2)
    material = Material(crops, {"noise": crops.pixels}, device="cuda")
    with pytest.raises(HardeningError, match="squeezing computes on the CPU alone; leave the device out"):
        find_defence("squeezing").harden(tiny_recognizer(0), material)
