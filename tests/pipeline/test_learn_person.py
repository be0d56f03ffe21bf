"""A person's photos in: which face is the person's, which photos teach."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rig import color_juror, save, threshold
from visard.errors import NoFaceError, SettingError
from visard.face import Face, Pixels
from visard.face.template import CANONICAL_POINTS
from visard.pipeline import Lesson, learn_person
from visard.recognizer import Recognizer

SIDE = 112
ME, ANNA, BEN = 1, 2, 3


def panel(who: int, take: int) -> Pixels:
    """A made-up face: colors of its own, and a little of each photo's."""
    person = np.random.default_rng(who).normal(0, 0.2, (8, 8, 3))
    colors = 0.5 + person + np.random.default_rng([who, take]).normal(0, 0.05, (8, 8, 3))
    return (255 * np.clip(colors, 0.02, 0.98)).astype(np.uint8).repeat(SIDE // 8, axis=0).repeat(SIDE // 8, axis=1)


def panels(pixels: Pixels) -> list[Face]:
    """A detector: every panel that is not black shows one face."""
    return [
        Face((x, 0, x + SIDE, SIDE), CANONICAL_POINTS["arcface"] + (x, 0), "arcface")
        for x in range(0, pixels.shape[1], SIDE)
        if pixels[:, x : x + SIDE].any()
    ]


@pytest.fixture(scope="module")
def eye() -> Recognizer:
    recognizer, _ = color_juror()
    return recognizer


def shot(folder: Path, name: str, *who: int) -> Path:
    take = sum(map(ord, name))
    shown = [panel(w, take) for w in who] or [np.zeros((SIDE, SIDE, 3), np.uint8)]
    return save(folder / f"{name}.png", np.concatenate(shown, axis=1))


def learned(paths: list[Path], eye: Recognizer, **changes: Any) -> Lesson:
    return learn_person(paths, [eye], panels, {"rounds": 1}, **changes)


def test_in_a_group_the_face_of_the_other_photos_is_taken(tmp_path: Path, eye: Recognizer) -> None:
    paths = [shot(tmp_path, "a", ANNA, ME, BEN), shot(tmp_path, "b", ME), shot(tmp_path, "c", BEN, ME)]
    lesson = learned(paths, eye)
    assert lesson.used == ((paths[0], 2, 3), (paths[1], 1, 1), (paths[2], 2, 2))
    assert (lesson.skipped, lesson.left, lesson.mask.photos) == ((), 0, 3)
    assert [card.name for card in lesson.mask.surrogates] == ["colors"]


def test_where_nobody_is_ever_alone_it_is_who_is_in_all_photos(tmp_path: Path, eye: Recognizer) -> None:
    paths = [shot(tmp_path, "a", ANNA, ME), shot(tmp_path, "b", ME, BEN), shot(tmp_path, "c", 4, ME)]
    assert [number for _, number, _ in learned(paths, eye).used] == [2, 1, 2]


def test_only_says_who_it_is_in_the_first_photo(tmp_path: Path, eye: Recognizer) -> None:
    paths = [shot(tmp_path, "a", ANNA, ME), shot(tmp_path, "b", ME, BEN, ANNA)]
    assert [number for _, number, _ in learned(paths, eye, only=1).used] == [1, 3]
    assert [number for _, number, _ in learned(paths, eye, only=2).used] == [2, 1]
    with pytest.raises(NoFaceError, match=r"There is no face 3: .*a\.png has 2"):
        learned(paths, eye, only=3)


def test_one_group_photo_alone_asks_who_it_is(tmp_path: Path, eye: Recognizer) -> None:
    paths = [shot(tmp_path, "a", ANNA, ME)]
    with pytest.raises(NoFaceError, match=r"a\.png has 2 faces; say which is the person's with --only"):
        learned(paths, eye)
    assert learned(paths, eye, only=2).used == ((paths[0], 2, 2),)


def test_a_group_without_the_person_is_skipped(tmp_path: Path, eye: Recognizer) -> None:
    paths = [shot(tmp_path, "a", ME), shot(tmp_path, "b", ANNA, BEN)]
    lesson = learned(paths, eye)
    assert [path for path, *_ in lesson.used] == paths[:1]
    ((path, reason),) = lesson.skipped
    assert path == paths[1]
    assert reason.endswith("b.png: none of its 2 faces is like the person's.")
    # without a threshold nobody can tell
    blind, _ = color_juror(threshold(0.5, fmr=1e-2))
    assert [path for path, *_ in learned(paths, blind).used] == paths


def test_photos_without_a_face_and_broken_ones_are_skipped(tmp_path: Path, eye: Recognizer) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no photo")
    paths = [shot(tmp_path, "a"), broken, shot(tmp_path, "b", ME)]
    lesson = learned(paths, eye)
    assert [path for path, *_ in lesson.used] == paths[2:]
    assert [path for path, _ in lesson.skipped] == paths[:2]
    assert lesson.skipped[0][1].endswith("a.png: no face was found.")
    with pytest.raises(NoFaceError, match="No photo of the person could be used; give photos"):
        learned(paths[:2], eye)
    with pytest.raises(NoFaceError, match=r"No photo of the person could be used: .*a\.png: no face"):
        learned(paths[:1], eye)


def test_of_many_photos_some_from_everywhere_are_taken(tmp_path: Path, eye: Recognizer) -> None:
    paths = [shot(tmp_path, f"{i}", *([] if i == 3 else [ME])) for i in range(9)]
    lesson = learned(paths, eye, most=3)
    # 0, 3, 6 are tried first; 3 shows nobody, 1 takes its place
    assert [path for path, *_ in lesson.used] == [paths[0], paths[1], paths[6]]
    assert [path for path, _ in lesson.skipped] == [paths[3]]
    assert lesson.left == 5
    with pytest.raises(SettingError, match="at least one photo"):
        learned(paths, eye, most=0)


def test_the_persons_own_face_is_what_is_learned(tmp_path: Path, eye: Recognizer) -> None:
    alone, group = shot(tmp_path, "b", ME), shot(tmp_path, "a", ANNA, ME)
    mine = learn_person([group, alone], [eye], panels, {"rounds": 3})
    hers = learn_person([group, shot(tmp_path, "c", ANNA)], [eye], panels, {"rounds": 3})
    assert not torch.equal(mine.mask.values, hers.mask.values)
    assert mine.mask.settings["rounds"] == 3
