"""visard faces"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import typer
from PIL import Image, ImageDraw, ImageFont

from visard import photo
from visard.cli import arguments, show
from visard.errors import NoFaceError, WriteError
from visard.face import Face, Pixels, write_faces

_COLOR = (255, 214, 0)


def run(path: Path, draw: Path | None, save: Path | None, detector: str, as_json: bool, force: bool) -> None:
    """Print the faces; draw and save them when asked."""
    if save is not None and save.exists() and not force:
        raise WriteError(f"{save} exists already; choose another name or use --force.")
    picture = photo.read(path)
    found = arguments.detector(detector)(picture.pixels)
    if draw is not None:
        drawn = replace(picture, pixels=_draw(picture.pixels, found))
        photo.write(drawn, draw, force=force, source=path)
    if save is not None:
        try:
            write_faces(save, found)
        except OSError as error:
            raise WriteError(f"{save} could not be written: {error.strerror}.") from error
    if as_json:
        typer.echo(json.dumps([face.to_json() for face in found], indent=1))
    elif found:
        show.faces(found)
    if not found:
        raise NoFaceError(
            f"{path}: no face was found; try another --detector, or give boxes to visard protect with --boxes."
        )


def _draw(pixels: Pixels, faces: list[Face]) -> Pixels:
    """The photo (H, W, 3) with numbered boxes."""
    canvas = Image.fromarray(np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3))))
    pen = ImageDraw.Draw(canvas)
    for number, face in enumerate(faces, start=1):
        side = face.box[2] - face.box[0]
        width = max(2, round(side / 60))
        size = max(12, round(side / 5))
        font = ImageFont.load_default(size=size)
        # above the box, so that the number hides no face
        corner = (face.box[0] + width, max(0, face.box[1] - 1.3 * size - width))
        pen.rectangle(face.box, outline=_COLOR, width=width)
        pen.rectangle(pen.textbbox(corner, str(number), font=font), fill=(0, 0, 0))
        pen.text(corner, str(number), fill=_COLOR, font=font)
    return np.asarray(canvas)
