"""Thresholds of a recognizer, from photos of people who are in no test."""

import csv
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from visard import photo
from visard.errors import CalibrationError, FaceError, PhotoError
from visard.face import Detector
from visard.measure import fnmr_at, genuine_and_impostor, threshold_at_fmr
from visard.recognizer.base import Recognizer
from visard.recognizer.card import Threshold

Scores = NDArray[Any]
FMRS = (1e-2, 1e-3, 1e-4)
_BATCH = 32


def people_photos(folder: Path, role: str | None = None) -> list[tuple[str, Path]]:
    """(person, path) of the photos below `folder`: one sub-folder a person.

    With `role`, only the rows of ``folder/meta.csv`` (path, person, role) that have it. Raises
    ``CalibrationError`` when there are none.
    """
    if not folder.is_dir():
        raise CalibrationError(f"{folder} is not a folder; give one that holds a folder of photos per person.")
    if role is None:
        found = [(path.relative_to(folder).parts[0], path) for path in photo.find(folder) if path.parent != folder]
    else:
        index = folder / "meta.csv"
        if not index.is_file():
            raise CalibrationError(f"A role needs {index} with the columns path, person, role.")
        with index.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            if not {"path", "person", "role"} <= set(rows.fieldnames or ()):
                raise CalibrationError(f"{index} needs the columns path, person, role.")
            found = [(r["person"], folder / r["path"]) for r in rows if r["role"] == role]
    if not found:
        raise CalibrationError(f"{folder} has no photos{f' of role {role}' if role else ' in folders of people'}.")
    return found


def calibrate(
    recognizers: Sequence[Recognizer],
    photos: Iterable[tuple[str, Path]],
    detector: Detector,
    *,
    dataset: str,
    fmrs: Sequence[float] = FMRS,
    skipped: Callable[[Path, str], None] = lambda _path, _reason: None,
) -> dict[str, tuple[Threshold, ...]]:
    """Thresholds per recognizer's name at each of `fmrs`, over all impostor pairs of `photos` (person, path).

    The largest face of a photo counts; `skipped` hears of photos without one. Raises ``CalibrationError`` when a
    rate would rest on fewer than 30 false matches.
    """
    people: list[str] = []
    waiting: dict[str, list[torch.Tensor]] = {r.name: [] for r in recognizers}
    embedded: dict[str, list[torch.Tensor]] = {r.name: [] for r in recognizers}

    def embed_waiting(least: int) -> None:
        for recognizer in recognizers:
            batch = waiting[recognizer.name]
            if len(batch) >= least:
                with torch.no_grad():
                    embedded[recognizer.name].append(recognizer.embed(torch.cat(batch)))
                batch.clear()

    for person, path in photos:
        try:
            picture = photo.read(path)
            faces = detector(picture.pixels)
        except (PhotoError, FaceError) as error:
            skipped(path, str(error))
            continue
        if not faces:
            skipped(path, "no face was found")
            continue
        people.append(person)
        image = torch.from_numpy(picture.pixels).permute(2, 0, 1)[None].float() / 255
        frame = torch.from_numpy(faces[0].frame)[None].float()
        for recognizer in recognizers:
            waiting[recognizer.name].append(recognizer.align(image, frame))
        embed_waiting(_BATCH)
    embed_waiting(1)
    if len(set(people)) < 2:
        raise CalibrationError("Calibration needs photos of at least two people, one folder a person.")

    result = {}
    for recognizer in recognizers:
        embeddings = torch.cat(embedded[recognizer.name]).numpy()
        genuine, impostor = genuine_and_impostor(embeddings, people)
        result[recognizer.name] = tuple(
            _threshold(recognizer, genuine, impostor, fmr, len(set(people)), dataset) for fmr in fmrs
        )
    return result


def _threshold(
    recognizer: Recognizer, genuine: Scores, impostor: Scores, fmr: float, people: int, dataset: str
) -> Threshold:
    value = threshold_at_fmr(impostor, fmr)
    return Threshold(
        fmr=fmr,
        value=math.ceil(value * 1e6) / 1e6,  # rounded up: the rate must not rise
        pairs=len(impostor),
        people=people,
        dataset=dataset,
        sha256=recognizer.card.sha256,
        fnmr=round(fnmr_at(genuine, value), 5) if len(genuine) else None,
    )
