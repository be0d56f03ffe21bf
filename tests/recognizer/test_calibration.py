"""Thresholds from folders of people, against brute force."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tiny import tiny_card, tiny_onnx
from visard.errors import CalibrationError
from visard.face import Face, Pixels, aligned_crop
from visard.recognizer import Recognizer, calibrate, parse_card, people_photos
from visard.recognizer.onnx_graph import load_graph

PEOPLE, PHOTOS = 13, 3
PAIRS = 39 * 38 // 2 - PEOPLE * 3  # of different people
FMRS = (0.1, 0.05)


def save(path: Path, pixels: Pixels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(path)


def made_photo(person: int, number: int) -> Pixels:
    """Texture and color are the person's; the first photo is gray."""
    base = np.random.default_rng(person).integers(0, 200, (14, 14, 3)).repeat(8, axis=0).repeat(8, axis=1)
    noise = np.random.default_rng([person, number]).integers(0, 56, (112, 112, 3))
    pixels = (base + noise).astype(np.uint8)
    return pixels[..., :1] if number == 0 else pixels


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("people")
    for person in range(PEOPLE):
        for number in range(PHOTOS):
            save(folder / f"person-{person:02}" / f"{number}.png", made_photo(person, number))
    return folder


@pytest.fixture(scope="module")
def recognizers(tmp_path_factory: pytest.TempPathFactory) -> list[Recognizer]:
    files = [tiny_onnx(tmp_path_factory.mktemp("nets") / f"{seed}.onnx", seed) for seed in (1, 2)]
    return [
        Recognizer(parse_card(tiny_card(name=f"tiny-{i}", sha256=str(i) * 64)), load_graph(file))
        for i, file in enumerate(files)
    ]


def brute_force(recognizer: Recognizer) -> tuple[list[float], list[float]]:
    """Scores of all genuine and all impostor pairs, photo by photo."""
    embeddings = {}
    for person in range(PEOPLE):
        for number in range(PHOTOS):
            image = torch.from_numpy(made_photo(person, number)).permute(2, 0, 1)[None] / 255
            with torch.no_grad():
                aligned = recognizer.align(image, torch.eye(2, 3)[None])
                embeddings[person, number] = recognizer.embed(aligned)[0].double()
    scores: tuple[list[float], list[float]] = ([], [])
    keys = sorted(embeddings)
    for i, first in enumerate(keys):
        for second in keys[:i]:
            scores[first[0] != second[0]].append(float(embeddings[first] @ embeddings[second]))
    return scores


def test_thresholds_are_those_of_brute_force(folder: Path, recognizers: list[Recognizer]) -> None:
    found = calibrate(recognizers, people_photos(folder), aligned_crop, dataset="made", fmrs=FMRS)
    assert list(found) == ["tiny-0", "tiny-1"]
    for recognizer in recognizers:
        genuine, impostor = brute_force(recognizer)
        assert len(impostor) == PAIRS
        for fmr, threshold in zip(FMRS, found[recognizer.name], strict=True):
            allowed = int(fmr * PAIRS)
            # just above the highest score that may not match
            assert threshold.value == pytest.approx(sorted(impostor, reverse=True)[allowed], abs=3e-6)
            assert sum(score >= threshold.value for score in impostor) <= allowed
            assert threshold.fnmr == pytest.approx(np.mean(np.array(genuine) < threshold.value), abs=1e-5)
            assert (threshold.fmr, threshold.pairs, threshold.people) == (fmr, PAIRS, PEOPLE)
            assert (threshold.dataset, threshold.sha256) == ("made", recognizer.card.sha256)
    assert found["tiny-0"] != found["tiny-1"]


def test_largest_face_counts(folder: Path, recognizers: list[Recognizer]) -> None:
    def two_faces(pixels: Pixels) -> list[Face]:
        (face,) = aligned_crop(pixels)
        return [face, face.moved(0.5)]

    one, two = (
        calibrate(recognizers[:1], people_photos(folder), d, dataset="made", fmrs=FMRS)
        for d in (aligned_crop, two_faces)
    )
    assert one == two


def test_rule_of_30(folder: Path, recognizers: list[Recognizer]) -> None:
    with pytest.raises(CalibrationError, match=rf"needs at least 3,000 impostor pairs \(rule of 30\), got {PAIRS}"):
        calibrate(recognizers, people_photos(folder), aligned_crop, dataset="made", fmrs=[0.1, 0.01])


def no_faces(_pixels: Pixels) -> list[Face]:
    return []


def test_skipped_photos_are_named(folder: Path, recognizers: list[Recognizer], tmp_path: Path) -> None:
    """A corrupt file, a missing one, one the detector refuses and one without a face leave the thresholds alone."""
    (tmp_path / "corrupt.jpg").write_bytes(b"no picture")
    save(tmp_path / "small.png", np.zeros((90, 90, 3), np.uint8))
    save(tmp_path / "empty.png", np.zeros((200, 200, 3), np.uint8))
    odd = [("person-00", tmp_path / name) for name in ("corrupt.jpg", "missing.jpg", "small.png", "empty.png")]
    skipped: dict[str, str] = {}

    def detect(pixels: Pixels) -> list[Face]:
        return aligned_crop(pixels) if len(pixels) < 200 else []

    photos = people_photos(folder)
    found = calibrate(
        recognizers,
        [*odd[:2], *photos, *odd[2:]],
        detect,
        dataset="made",
        fmrs=FMRS,
        skipped=lambda path, reason: skipped.update({path.name: reason}),
    )
    assert found == calibrate(recognizers, photos, detect, dataset="made", fmrs=FMRS)
    assert list(skipped) == ["corrupt.jpg", "missing.jpg", "small.png", "empty.png"]
    assert "112 x 112" in skipped["small.png"]
    assert skipped["empty.png"] == "no face was found"


@pytest.mark.parametrize(
    ("keep", "detector"), [(slice(3), aligned_crop), (slice(0), aligned_crop), (slice(None), no_faces)]
)
def test_one_person_is_not_enough(
    folder: Path, recognizers: list[Recognizer], keep: slice, detector: Callable[[Pixels], list[Face]]
) -> None:
    with pytest.raises(CalibrationError, match="at least two people"):
        calibrate(recognizers, people_photos(folder)[keep], detector, dataset="made")


def test_people_without_genuine_pairs(folder: Path, recognizers: list[Recognizer]) -> None:
    strangers = [(str(path), path) for _, path in people_photos(folder)]
    ((threshold,),) = calibrate(recognizers[:1], strangers, aligned_crop, dataset="made", fmrs=[0.1]).values()
    assert threshold.fnmr is None
    assert threshold.people == PEOPLE * PHOTOS


def test_people_are_folders(tmp_path: Path) -> None:
    for name in ("loose.png", "anna/1.png", "anna/trip/2.jpg", "bert/1.PNG", "bert/notes.txt", ".hidden/1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = {(person, path.relative_to(tmp_path).as_posix()) for person, path in people_photos(tmp_path)}
    assert found == {("anna", "anna/1.png"), ("anna", "anna/trip/2.jpg"), ("bert", "bert/1.PNG")}


def write_index(folder: Path, rows: Sequence[Sequence[str]]) -> None:
    with (folder / "meta.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def test_people_of_a_role(tmp_path: Path) -> None:
    write_index(
        tmp_path,
        [
            ["path", "person", "role", "note"],
            ["a/1.png", "Anna, the first", "calibration", ""],
            ["a/2.png", "Anna, the first", "test", ""],
            ["b.png", "Bert", "calibration", "x"],
        ],
    )
    expected = [("Anna, the first", tmp_path / "a/1.png"), ("Bert", tmp_path / "b.png")]
    assert people_photos(tmp_path, "calibration") == expected
    with pytest.raises(CalibrationError, match="no photos of role train"):
        people_photos(tmp_path, "train")


@pytest.mark.parametrize("rows", [None, [], [["path", "name", "role"], ["a.png", "Anna", "test"]]])
def test_roles_need_an_index(tmp_path: Path, rows: list[list[str]] | None) -> None:
    if rows is not None:
        write_index(tmp_path, rows)
    with pytest.raises(CalibrationError, match=r"meta\.csv .*path, person, role"):
        people_photos(tmp_path, "test")


def test_folders_without_people(tmp_path: Path) -> None:
    (tmp_path / "loose.png").touch()
    with pytest.raises(CalibrationError, match="no photos in folders of people"):
        people_photos(tmp_path)
    with pytest.raises(CalibrationError, match="missing is not a folder"):
        people_photos(tmp_path / "missing")
