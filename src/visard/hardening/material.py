"""What defences learn from and are measured on: aligned faces, and the same faces under cloaks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from visard import photo
from visard.cloak import Faces, Method, Task, dodging, mirrored_anchors
from visard.errors import CloakError
from visard.face.patch import face_mask
from visard.generator import Crops, window
from visard.generator.learner import frames_in
from visard.recognizer import Recognizer

SIZE = 128
"""Side of the crops, px: one for each of the canonical frame."""
QUALITY = 90
"""Of the JPEG that cloaked faces have been."""
_BATCH = 32

Watch = Callable[[str], None]


@dataclass(frozen=True)
class Material:
    """What a defence learns from: `clean` faces, and `cloaked`, by the names of the methods: the same faces in the same
    order, (K, 3, s, s), uint8. `seed`: of every random draw; `watch` hears what is being done, a line at a time.

    `checkpoint`: the file that a training which takes a while keeps its state in, and goes on from; `device`: where
    it computes, as torch calls it.
    """

    clean: Crops
    cloaked: Mapping[str, Tensor] = field(default_factory=dict)
    seed: int = 0
    watch: Watch = lambda _line: None
    checkpoint: Path | None = None
    device: str = "cpu"


def cloaked_faces(
    clean: Tensor,
    method: Method,
    surrogates: Sequence[Recognizer],
    settings: Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
    batch: int = _BATCH,
) -> Tensor:
    """`clean` faces (K, 3, s, s), uint8, as the crops of ``generator.window``, cloaked by `method` against
    `surrogates`, to dodge, and saved as JPEG: (K, 3, s, s), uint8.

    A learned method has surrogates of its own. Raises ``CloakError`` for a method that steers toward a person alone,
    and what the method raises.
    """
    if method.aim == "targeted":
        raise CloakError(f"{method.name} steers toward a person; name a method that leads away from the face's own.")
    size = clean.shape[-1]
    found = []
    for number, part in enumerate(clean.split(batch)):
        frames = frames_in(window(size), len(part))
        faces = Faces(part.float() / 255, frames)
        with torch.no_grad():
            anchors = mirrored_anchors(surrogates, faces)
        task = Task(
            faces,
            dodging(surrogates, anchors),
            face_mask(frames, size),
            Generator().manual_seed(seed * 100_003 + number),
            surrogates=surrogates,
        )
        delta = task.masked(method.cloak(task, **(settings or {})))
        found.append(as_posted((faces.pixels + delta.detach()).clamp(0, 1)))
    return torch.cat(found)


def as_posted(faces: Tensor, quality: int = QUALITY) -> Tensor:
    """`faces` (N, 3, s, s) in [0, 1] after they were rounded and saved as JPEG: (N, 3, s, s), uint8."""
    pixels = (255 * faces).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
    saved = np.stack([photo.jpeg_round_trip(one, quality) for one in pixels])
    return torch.from_numpy(saved).permute(0, 3, 1, 2).contiguous()


@torch.no_grad()
def embed_faces(recognizer: Recognizer, faces: Tensor, *, batch: int = _BATCH) -> Tensor:
    """Unit embeddings (K, D) of `faces` (K, 3, s, s), uint8, as the crops of ``generator.window``."""
    return torch.cat([recognizer.embed(seen_by(recognizer, part.float() / 255)) for part in faces.split(batch)])


def seen_by(recognizer: Recognizer, faces: Tensor) -> Tensor:
    """`faces` (N, 3, s, s) in [0, 1], as the crops of ``generator.window``, aligned to the recognizer's template."""
    return recognizer.align(faces, frames_in(window(faces.shape[-1]), len(faces)))
