"""What the tests of audit, pipeline and command line share: one real portrait, and jurors whose verdict is known."""

import io
import json
import struct
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch.nn.functional as F
from PIL import Image
from skimage import data
from torch import Tensor, nn

from tiny import tiny_onnx, write_card
from visard.face import Face, Pixels, dlib_hog
from visard.recognizer import Card, Recognizer, Threshold, add, derived, find, load, store_derived, store_thresholds
from visard.recognizer.card import file_sha256
from visard.recognizer.front import CloakDetector

DLIB = dlib_hog()


def astronaut() -> Pixels:
    """A real photo, (512, 512, 3), with one face of 136 px."""
    return np.ascontiguousarray(data.astronaut())


def astronaut_face() -> Face:
    (face,) = DLIB(astronaut())
    return face


def save(path: Path, pixels: Pixels | None = None, **options: Any) -> Path:
    image = astronaut() if pixels is None else pixels
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(path, **options)
    return path


def painted(pixels: Pixels, face: Face) -> Pixels:
    """The photo with a gray square over the face."""
    out = pixels.copy()
    x0, y0, x1, y1 = (round(v) for v in face.box)
    margin = round(face.size / 2)
    out[max(0, y0 - margin) : y1 + margin, max(0, x0 - margin) : x1 + margin] = 128
    return out


def threshold(value: float, fmr: float = 1e-3, sha256: str = "made") -> Threshold:
    return Threshold(fmr, value, pairs=40_000, people=300, dataset="made", sha256=sha256, fnmr=0.25)


class Eye(nn.Module):
    """Sees colors and nothing else, and remembers what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, faces: Tensor) -> Tensor:
        self.seen.extend(faces)
        return F.adaptive_avg_pool2d(faces, 8).flatten(1) - 0.5


def color_juror(*thresholds: Threshold, name: str = "colors") -> tuple[Recognizer, Eye]:
    """A recognizer of aligned 112 px faces whose network gets exactly their pixels in [0, 1]."""
    card = Card(
        name=name, format="onnx", file="none", sha256="made", input=(112, 112), crop=(0, 0, 112, 112),
        mean=(0, 0, 0), std=(255, 255, 255), dim=192, thresholds=thresholds or (threshold(0.5),),
    )  # fmt: skip
    eye = Eye()
    return Recognizer(card, eye), eye


def install(folder: Path, name: str, seed: int, value: float | None, *, black_box: bool = False) -> Card:
    """Add a tiny ONNX recognizer as a juror that matches from the similarity `value` on."""
    file = tiny_onnx(folder / f"{name}.onnx", seed=seed)
    given = [] if value is None else [asdict(threshold(value, sha256=file_sha256(file)))]
    card = write_card(folder / f"{name}.json", name=name, thresholds=given)
    return add(file, card, black_box=black_box)


def install_adaptive(name: str, base: str, value: float, detector: CloakDetector | None = None) -> Card:
    """Store a copy of the recognizer `base` as a hardened one that matches from the similarity `value` on."""
    card = store_derived(derived(load(find(base)), name=name, detector=detector))
    store_thresholds(card, [threshold(value, sha256=card.sha256)])
    return find(name)


def install_jurors(folder: Path) -> None:
    """`blind` matches nothing, `sharp` matches everything."""
    install(folder, "blind", 1, 2.0)
    install(folder, "sharp", 2, -1.0)


def thumbnail() -> bytes:
    """A small JPEG of the unprotected portrait, as a camera embeds it."""
    buffer = io.BytesIO()
    Image.fromarray(astronaut()).resize((80, 80)).save(buffer, format="JPEG", quality=80)
    return buffer.getvalue()


def camera_exif(picture: bytes) -> bytes:
    """EXIF with a maker, a latitude and, in its second directory, `picture` as the thumbnail."""

    def directory(*entries: tuple[int, int, int, bytes], following: int = 0) -> bytes:
        table = b"".join(struct.pack(">HHL", tag, kind, count) + value for tag, kind, count, value in entries)
        return struct.pack(">H", len(entries)) + table + struct.pack(">L", following)

    def long(value: int) -> bytes:
        return struct.pack(">L", value)

    maker = b"Secret Camera\0"
    gps_at = 8 + 30 + len(maker)
    second_at = gps_at + 18
    picture_at = second_at + 42
    first = directory((0x010F, 2, len(maker), long(38)), (0x8825, 4, 1, long(gps_at)), following=second_at)
    gps = directory((1, 2, 2, b"N\0\0\0"))
    second = directory(
        (0x0103, 3, 1, b"\0\6\0\0"), (0x0201, 4, 1, long(picture_at)), (0x0202, 4, 1, long(len(picture)))
    )
    return b"Exif\0\0MM\0*" + long(8) + first + maker + gps + second + picture


def write_boxes(path: Path, *faces: Face) -> Path:
    path.write_text(json.dumps([face.to_json() for face in faces]))
    return path
