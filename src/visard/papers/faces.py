"""The faces of a dataset's photos."""

from pathlib import Path

import numpy as np

from visard import photo
from visard.face import Face, Pixels
from visard.papers.study import Study


def rgb(path: Path) -> Pixels:
    """The pixels (H, W, 3) of a photo; gray ones get three equal channels."""
    pixels = photo.read(path).pixels
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels


def largest_face(study: Study, path: Path) -> Face | None:
    """The largest face that the study's detector finds on a photo."""
    return next(iter(study.detector(rgb(path))), None)
