"""The faces of a dataset's photos, and whose of them a study may judge."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from visard import photo
from visard.errors import CalibrationError
from visard.face import Face, Pixels
from visard.papers.datasets import Dataset
from visard.papers.study import Study
from visard.recognizer import people_photos


def rgb(path: Path) -> Pixels:
    """The pixels (H, W, 3) of a photo; gray ones get three equal channels."""
    pixels = photo.read(path).pixels
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels


def largest_face(study: Study, path: Path) -> Face | None:
    """The largest face that the study's detector finds on a photo."""
    return next(iter(study.detector(rgb(path))), None)


def judgeable(study: Study) -> Dataset:
    """LFW, else the largest dataset, without the people from whom thresholds may be, where that is known."""
    dataset = next((one for one in study.datasets() if one.name == "LFW"), study.datasets()[0])
    if not (study.data / "meta.csv").is_file():
        return dataset
    with suppress(CalibrationError):  # a file of another kind
        tested = {person for person, _ in people_photos(study.data, "test")}
        if kept := {person: paths for person, paths in dataset.photos.items() if person in tested}:
            return replace(dataset, photos=kept)
    return dataset
