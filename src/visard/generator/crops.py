"""What learned cloaks are trained on: aligned faces of people, all of one size."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Generator, Tensor

from visard import photo
from visard.errors import CloakError, FaceError, PhotoError
from visard.face import Detector, to_template
from visard.generator.learner import window


@dataclass(frozen=True, slots=True)
class Crops:
    """Faces `pixels` (K, 3, s, s), uint8, cut as generators take them, and whose they are: `people` (K,), numbered."""

    pixels: Tensor
    people: Tensor

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def size(self) -> int:
        """Side of the crops, px."""
        return self.pixels.shape[-1]

    @property
    def count(self) -> int:
        """How many people there are."""
        return len(self.people.unique())

    def draw(self, count: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """`count` random faces (count, 3, s, s) in [0, 1], half of them mirrored, and their numbers (count,)."""
        rows = torch.randint(len(self.pixels), (count,), generator=generator)
        return self._mirrored(rows, generator), rows

    def others(self, rows: Tensor, generator: Generator) -> Tensor:
        """For each of the faces numbered `rows` (N,) a random one of another person, (N, 3, s, s) in [0, 1]."""
        apart = self.people[rows, None] != self.people  # (N, K)
        chosen = torch.multinomial(apart.float(), 1, generator=generator)[:, 0]
        return self._mirrored(chosen, generator)

    def _mirrored(self, rows: Tensor, generator: Generator) -> Tensor:
        faces = self.pixels[rows].float() / 255
        flip = torch.rand(len(rows), generator=generator) < 0.5
        return torch.where(flip.view(-1, 1, 1, 1), faces.flip(3), faces)

    def sha256(self) -> str:
        """Of the faces and whose they are."""
        found = hashlib.sha256(self.pixels.numpy().tobytes())
        found.update(self.people.numpy().tobytes())
        return found.hexdigest()


def read_crops(
    photos: Iterable[tuple[str, Path]],
    detector: Detector,
    size: int,
    skipped: Callable[[Path, str], None] = lambda _path, _reason: None,
) -> Crops:
    """The largest face of each of `photos` (person, path), cut to `size` px; `skipped` hears of photos without one.

    Raises ``CloakError`` when faces of fewer than two people are found.
    """
    template, found, people = window(size), [], list[str]()
    reasons: list[str] = []
    for person, path in photos:
        try:
            picture = photo.read(path)
            faces = detector(picture.pixels)
        except (PhotoError, FaceError) as error:
            reasons.append(str(error))
            skipped(path, str(error))
            continue
        if not faces:
            reasons.append(f"{path}: no face was found.")
            skipped(path, "no face was found")
            continue
        image = torch.from_numpy(picture.pixels).permute(2, 0, 1)[None].float()
        frame = torch.from_numpy(faces[0].frame)[None].float()
        crop = to_template(image, frame, template).round().clamp(0, 255)
        found.append(crop.byte().expand(-1, 3, -1, -1))
        people.append(person)
    if not found:
        why = f" The first reason: {reasons[0]}" if reasons else ""
        raise CloakError(f"No photo has a face to learn from; choose other photos or another --detector.{why}")
    numbers = {person: number for number, person in enumerate(dict.fromkeys(people))}
    if len(numbers) < 2:
        raise CloakError(
            f"All {len(found)} photos with a face are of one person; give photos of two people or more, a folder each."
        )
    return Crops(torch.cat(found), torch.tensor([numbers[person] for person in people]))
