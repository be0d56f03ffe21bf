"""The subjects and their classifiers, the changed pictures, and who is named in the saved files."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visard import photo
from visard.cloak import Faces, Linf, Method, Task, descend, find, least_likely, untargeted
from visard.cloak.methods.bim import kurakin_steps
from visard.cloak.objective import embed
from visard.cloak.step import sign
from visard.errors import AuditError, WriteError
from visard.face import Detector, Face, FacePatches, Pixels, cut, dlib_hog, find_again, paste
from visard.measure import ranks
from visard.papers.datasets import Dataset
from visard.papers.faces import largest_face, rgb
from visard.papers.study import Row, Study
from visard.recognizer import Recognizer
from visard.recognizer.classifier import fit_head
from visard.recognizer.losses import Head

PARTS = ("FaceNet", "ResNet-50", "SENet-50")
METHODS = ("ILLC", "BIM")
LEVELS = (4, 8, 16, 32, 64, 128)
TOPS = (1, 5, 10, 25, 50)
QUALITY = 95
FEWEST_PHOTOS = 3
_ALPHA = 1 / 255
_BATCH = 32  # faces whose embeddings are computed together
_AT_ONCE = 10  # probes that are changed together, one cell of the study


@dataclass(frozen=True, slots=True)
class Size:
    """How much is run: at most so many `subjects`, `photos` of each and `probes`; `levels`: eps in gray levels."""

    subjects: int
    photos: int
    probes: int
    levels: tuple[int, ...]


class Shot(NamedTuple):
    """A photo of a subject, and where its face is."""

    person: str
    path: Path
    face: Face


class Victim(nn.Module):
    """A recognizer and its head, looking through its own alignment: patches (N, C, S, S) -> logits (N, P)."""

    def __init__(self, recognizer: Recognizer, head: Head, frames: Tensor | None) -> None:
        super().__init__()
        self.recognizer, self.head, self.frames = recognizer, head, frames

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.head(embed(self.recognizer, Faces(pixels, self.frames)))
        return logits


@dataclass(frozen=True)
class Bench:
    """What the pictures are changed and judged on: the `recognizers` by part, with heads for the subjects. Everything
    is computed when it is first asked for: a study that is done has no use for heads."""

    study: Study
    size: Size
    recognizers: Mapping[str, Recognizer]

    @cached_property
    def dataset(self) -> Dataset:
        return self.study.datasets()[0]

    @cached_property
    def shots(self) -> dict[str, list[Shot]]:
        """The photos of each subject in which a face is found, two at least, the last one held out."""
        found: dict[str, list[Shot]] = {}
        for row in self.study.cell("faces", lambda: list(self._find_faces())):
            if row["face"] is not None:
                shot = Shot(row["person"], self.dataset.path(row["person"], row["photo"]), _face(row["face"]))
                found.setdefault(row["person"], []).append(shot)
        enough = {person: shots for person, shots in found.items() if len(shots) > 1}
        if len(enough) <= max(TOPS):
            raise AuditError(
                f"{self.dataset.name} has {len(enough)} people with {FEWEST_PHOTOS} photos and a face in two of them, "
                f"top-{max(TOPS)} needs more than {max(TOPS)}; give a larger dataset with --data."
            )
        return enough

    def _find_faces(self) -> Iterator[Row]:
        photos = self.dataset.photos
        most = sorted((p for p in photos if len(photos[p]) >= FEWEST_PHOTOS), key=lambda p: (-len(photos[p]), p))
        for person in sorted(most[: self.size.subjects]):
            for path in photos[person][: self.size.photos]:
                face = largest_face(self.study, path)
                yield {"person": person, "photo": path.name, "face": json.dumps(face.to_json()) if face else None}

    @property
    def people(self) -> list[str]:
        """The subjects, in the order of the classes."""
        return list(self.shots)

    @property
    def held_out(self) -> list[Shot]:
        return [shots[-1] for shots in self.shots.values()]

    def classes(self, people: Sequence[str]) -> Tensor:
        """The classes (N,) of `people`."""
        number = {person: i for i, person in enumerate(self.people)}
        return torch.tensor([number[person] for person in people])

    @cached_property
    def heads(self) -> dict[str, Head]:
        """A linear head per part, on the embeddings of all photos but the held-out ones."""
        enrolled = [shot for shots in self.shots.values() for shot in shots[:-1]]
        found: dict[str, list[Tensor]] = {part: [] for part in self.recognizers}
        for some in _batches(enrolled, _BATCH):
            faces = together([whole_patch(rgb(shot.path), shot.face) for shot in some])
            for part, recognizer in self.recognizers.items():
                with torch.no_grad():
                    found[part].append(embed(recognizer, faces))
        labels = self.classes([shot.person for shot in enrolled])
        return {
            part: fit_head(torch.cat(embeddings), labels, self.people, seed=self.study.seed)
            for part, embeddings in found.items()
        }

    def victim(self, part: str, faces: Faces) -> Victim:
        """The classifier of `part`, looking at faces that lie where `faces` do."""
        return Victim(self.recognizers[part], self.heads[part], faces.frames)

    def ranks(self, people: Sequence[str], pictures: Sequence[Pixels], faces: Sequence[Face]) -> dict[str, list[int]]:
        """The true person's place among the classes, from 1, in each picture; by part. Ties count against the
        protection, as in ``measure.psr``."""
        classes = self.classes(people).numpy()
        seen = together([whole_patch(pixels, face) for pixels, face in zip(pictures, faces, strict=True)])
        found = {}
        for part in self.recognizers:
            victim = self.victim(part, seen)
            with torch.no_grad():
                logits = victim(seen.pixels).numpy()
            found[part] = ranks(logits, classes, np.arange(len(self.people)), ties="best").tolist()
        return found


class Judge:
    """Writes a changed picture to disk and has the targets name the face that is found in the file.

    Faces are sought by the study's detector. When that takes every picture for an aligned crop, whose face it cannot
    miss, dlib's detector says whether the face is found, and the targets see it where it was: their best case.
    """

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.aligned = bench.study.detector_name == "aligned"
        self.detector: Detector = dlib_hog() if self.aligned else bench.study.detector

    def seek(self, path: Path, face: Face) -> tuple[Pixels, Face | None]:
        """The pixels of the file, and its face where it is found again."""
        pixels = rgb(path)
        found = find_again(pixels, face, self.detector)
        return pixels, face if self.aligned and found is not None else found

    def rows(self, shots: Sequence[Shot], files: Sequence[Path], **facts: Any) -> list[Row]:
        """A row per picture and target: whether the face is `found` in the file, and the person's `rank`, for faces
        that are not found where they were."""
        seen = [self.seek(path, shot.face) for path, shot in zip(files, shots, strict=True)]
        faces = [place or shot.face for (_, place), shot in zip(seen, shots, strict=True)]
        places = self.bench.ranks([shot.person for shot in shots], [pixels for pixels, _ in seen], faces)
        return [
            {"person": shot.person, "photo": shot.path.name, **facts, "target": part}
            | {"found": seen[i][1] is not None, "rank": places[part][i]}
            for i, shot in enumerate(shots)
            for part in places
        ]

    def file(self, folder: str, shot: Shot, pixels: Pixels) -> Path:
        """The picture as a JPEG file below the study's folder."""
        path = self.bench.study.out / "pictures" / folder / f"{shot.person}.jpg"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WriteError(f"The folder {path.parent} could not be made: {error.strerror}.") from error
        original = photo.read(shot.path)
        photo.write(replace(original, pixels=pixels, alpha=None), path, quality=QUALITY, force=True)
        return path


def accuracy_rows(bench: Bench) -> list[Row]:
    """The rank of each subject in its held-out photo as it is, by part."""
    shots = bench.held_out

    def compute() -> Iterator[Row]:
        for some in _batches(shots, _BATCH):
            pictures, faces = [rgb(shot.path) for shot in some], [shot.face for shot in some]
            for part, places in bench.ranks([shot.person for shot in some], pictures, faces).items():
                for shot, rank in zip(some, places, strict=True):
                    yield {"person": shot.person, "photo": shot.path.name, "target": part, "rank": rank}

    return bench.study.cell("classifiers", lambda: list(compute()))


def trial_rows(bench: Bench) -> list[Row]:
    """The probes' trials: unchanged, and changed on every source by both methods at every eps."""
    judge, study = Judge(bench), bench.study
    rows = study.cell("unchanged", lambda: unchanged(bench, judge))
    probes = [bench.shots[person][-1] for person in dict.fromkeys(row["person"] for row in rows)]
    for source, method in product(PARTS, METHODS):
        for number, some in enumerate(_batches(probes, _AT_ONCE)):
            compute = partial(attack, bench, judge, source, method, some)
            rows += study.cell(f"{source} {method}, probes from {number * _AT_ONCE + 1}", compute)
    return rows


def unchanged(bench: Bench, judge: Judge) -> list[Row]:
    """The probes' pictures, saved and judged without a change; drawing them goes on until enough faces are found."""
    drawn = torch.randperm(len(bench.people), generator=bench.study.generator("probes")).tolist()
    shots, probes, files = bench.held_out, [], []
    for shot in (shots[number] for number in drawn):
        path = judge.file("unchanged", shot, rgb(shot.path))
        if judge.seek(path, shot.face)[1] is not None:
            probes.append(shot)
            files.append(path)
        if len(probes) == bench.size.probes:
            break
    if not probes:
        raise AuditError("No face is found in a saved photo; take another detector with --detector.")
    return judge.rows(probes, files, source="", method="unchanged", eps=0)


def attack(bench: Bench, judge: Judge, source: str, method: str, shots: Sequence[Shot]) -> list[Row]:
    """The probes changed on `source` by `method` at every eps, saved and judged."""
    pictures = [rgb(shot.path) for shot in shots]
    patches = [whole_patch(pixels, shot.face) for pixels, shot in zip(pictures, shots, strict=True)]
    faces = together(patches)
    victim = bench.victim(source, faces)
    if method == "ILLC":
        objective = least_likely(victim, faces)
    else:
        objective = untargeted(victim, bench.classes([shot.person for shot in shots]))
    task = Task(faces, objective, _padded([patch.mask for patch in patches]))
    rows = []
    for level, delta in at_each(find(method.lower()), task, bench.size.levels).items():
        files = []
        for shot, pixels, patch, change in zip(shots, pictures, patches, delta, strict=True):
            side = patch.pixels.shape[-1]
            changed = paste(pixels, patch, change[None, :, :side, :side])
            files.append(judge.file(f"{source} {method} {level}", shot, changed))
        rows += judge.rows(shots, files, source=source, method=method, eps=level)
    return rows


def at_each(method: Method, task: Task, levels: Sequence[int]) -> dict[int, Tensor]:
    """The changes (N, C, H, W) of `method`, BIM or ILLC, at every eps of `levels`, in gray levels.

    No step is longer than one level, so before step e a budget of e levels binds nowhere, and all descents are one
    until then: the largest eps is run, and the others go on from its path. Each change is the one that a run of its
    own finds.
    """
    begun: dict[int, Tensor] = {}

    def keep(step: int, delta: Tensor) -> None:
        if step + 1 in levels:
            begun[step + 1] = delta

    *smaller, largest = sorted(levels)
    last = method.cloak(replace(task, watch=keep), eps=largest / 255, alpha=_ALPHA)
    found = {}
    for level in smaller:
        start, rest = begun[level], kurakin_steps(level / 255) - (level - 1)

        def init(_clean: Tensor, start: Tensor = start) -> Tensor:
            return start

        found[level] = descend(task, step=sign(_ALPHA), budget=Linf(level / 255), steps=rest, init=init)
    return {**found, largest: last}


def whole_patch(pixels: Pixels, face: Face) -> FacePatches:
    """The patch around the face; all of it may change that lies in the photo."""
    inside = cut(np.full_like(pixels, 255), [face]).pixels[:, :1]
    return replace(cut(pixels, [face]), mask=inside)


def together(patches: Sequence[FacePatches]) -> Faces:
    """Patches of different photos in one batch."""
    return Faces(_padded([patch.pixels for patch in patches]), torch.cat([patch.frames for patch in patches]))


def _padded(pictures: Sequence[Tensor]) -> Tensor:
    """Squares (1, C, S, S) of different sides in one batch; smaller ones get zeros at the right and below."""
    side = max(picture.shape[-1] for picture in pictures)
    return torch.cat([F.pad(p, (0, side - p.shape[-1], 0, side - p.shape[-1])) for p in pictures])


def _face(text: str) -> Face:
    """The face that ``Face.to_json`` wrote."""
    fields = json.loads(text)
    return Face(tuple(fields["box"]), np.array(fields["landmarks"]), fields["scheme"], fields["score"])


def _batches(shots: Sequence[Shot], size: int) -> list[Sequence[Shot]]:
    return [shots[first : first + size] for first in range(0, len(shots), size)]
