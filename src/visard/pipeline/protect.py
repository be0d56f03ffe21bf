"""One photo: in, faces, cloak, out, read again, judged."""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from visard import photo
from visard.audit import FaceVerdict, judge
from visard.cloak import Faces, Objective, Task, dodging, embed, impersonation, mirrored_anchors
from visard.errors import NoFaceError
from visard.face import Detector, Face, FacePatches, Pixels, cut, paste, read_faces
from visard.pipeline.plan import Plan

# sides of the photo: more than the patch of any face in it has
_WHOLE = 2
Status = Literal["protected", "not protected", "not judged", "no face", "failed"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one photo: `status`; where the result lies, or why there is none; the verdict per face."""

    source: Path
    status: Status
    output: Path | None = None
    message: str = ""
    faces: tuple[FaceVerdict, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    cloak_seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return {
            "source": str(self.source),
            "output": None if self.output is None else str(self.output),
            "status": self.status,
            "message": self.message,
            "notes": list(self.notes),
            "seconds": round(self.seconds, 2),
            "cloak_seconds": round(self.cloak_seconds, 2),
            "faces": [face.to_json() for face in self.faces],
        }


@dataclass(frozen=True)
class Opened:
    """A photo that is to be protected: what was read, and its chosen `faces` with their `numbers`."""

    source: Path
    output: Path
    kind: str
    original: photo.Photo
    numbers: tuple[int, ...]
    faces: tuple[Face, ...]
    references: tuple[Pixels, ...]
    seconds: float

    @cached_property
    def patches(self) -> FacePatches:
        """The faces, cut out."""
        return cut(self.original.pixels, self.faces)


def protect(source: Path, output: Path, plan: Plan, watch: Callable[[float], None] | None = None) -> Outcome:
    """Protect the faces of the photo at `source`, or replace them, as the plan says, write `output`, read it again and
    judge it.

    `watch` hears how much of the change is done, in [0, 1]. Raises ``VisardError`` when the photo cannot be read,
    has no (chosen) face, or the result cannot be written; then nothing is written.
    """
    opened = open_photo(source, output, plan)
    return finish(opened, *changed(opened, plan, watch), plan)


def open_photo(source: Path, output: Path, plan: Plan) -> Opened:
    """Read a photo and find the faces that the plan chooses; raises ``VisardError`` as ``protect``."""
    start = time.perf_counter()
    original = photo.read(source)
    kind = photo.check_output(output, force=plan.force, source=source)
    references = tuple(read_reference(path, plan.detector) for path in plan.references)
    for juror in (*plan.jury, *plan.adaptive):
        juror.threshold(plan.fmr)
    chosen = plan.selection.apply(faces_of(original.pixels, source, plan))
    if not chosen:
        raise NoFaceError(f"{source}: no face was found; give boxes with --boxes, or another detector with --detector.")
    numbers, faces = zip(*chosen, strict=True)
    return Opened(source, output, kind, original, numbers, faces, references, time.perf_counter() - start)


def changed(opened: Opened, plan: Plan, watch: Callable[[float], None] | None = None) -> tuple[Pixels, float]:
    """A photo's pixels with its faces protected or replaced, and the seconds that took; raises ``VisardError`` when the
    method cannot do it."""
    started = time.perf_counter()
    if plan.replaces:
        pixels = replaced(opened.original.pixels, opened.faces, plan, watch)
    else:
        (delta,) = cloak([opened.patches], plan, watch)
        pixels = paste(opened.original.pixels, opened.patches, delta)
    return pixels, time.perf_counter() - started


def finish(opened: Opened, pixels: Pixels, cloak_seconds: float, plan: Plan) -> Outcome:
    """Write the photo with its new `pixels`, which took `cloak_seconds`, and judge it; raises ``VisardError`` when it
    cannot be written."""
    start = time.perf_counter()
    photo.write(
        replace(opened.original, pixels=pixels),
        opened.output,
        quality=plan.quality if opened.kind in photo.LOSSY else None,
        keep_metadata=plan.keep_metadata,
        force=plan.force,
        source=opened.source,
    )
    verdicts = judge(
        opened.original.pixels,
        photo.read(opened.output).pixels,
        opened.faces,
        plan.jury,
        plan.detector,
        fmr=plan.fmr,
        references=opened.references,
        numbers=opened.numbers,
        adaptive=plan.adaptive,
    )
    return Outcome(
        source=opened.source,
        status=status_of(verdicts),
        output=opened.output,
        faces=tuple(verdicts),
        notes=opened.original.facts.notes,
        seconds=opened.seconds + cloak_seconds + time.perf_counter() - start,
        cloak_seconds=cloak_seconds,
    )


def read_reference(path: Path, detector: Detector) -> Pixels:
    """The pixels of another photo of a person; raises ``NoFaceError`` when it shows no face."""
    pixels = photo.read(path).pixels
    if not detector(pixels):
        raise NoFaceError(f"{path}: no face was found in this reference; give another photo.")
    return pixels


def faces_of(pixels: Pixels, source: Path, plan: Plan) -> list[Face]:
    """A photo's faces: from the plan's file of boxes if there is one, else as its detector finds them."""
    if plan.faces_from is not None:
        return read_faces(plan.faces_from, pixels, source.name)
    return plan.detector(pixels)


def status_of(verdicts: Sequence[FaceVerdict]) -> Status:
    """The photo's status: protected only when every juror misses every face under every condition."""
    if any(verdict.protected is None for verdict in verdicts):
        return "not judged"
    return "protected" if all(verdict.protected for verdict in verdicts) else "not protected"


def cloak(photos: Sequence[FacePatches], plan: Plan, watch: Callable[[float], None] | None = None) -> list[Tensor]:
    """The change (N, C, S, S) of each photo's faces by the plan's method. Faces of different photos whose patches are
    of one shape share batches, of at most the plan's.

    `watch` hears how much is done, in [0, 1]. Raises ``SettingError`` when the method refuses a setting.
    """
    target_faces = [_target(path, plan.detector) for path in plan.targets]
    targets = _targets(plan, target_faces)
    shapes: dict[torch.Size, list[int]] = {}
    for number, patches in enumerate(photos):
        shapes.setdefault(patches.pixels.shape[1:], []).append(number)
    total, done, begun = sum(map(len, photos)), 0, time.monotonic()
    found: dict[int, Tensor] = {}
    for numbers in shapes.values():
        together = [photos[number] for number in numbers]
        pixels = torch.cat([patches.pixels for patches in together])
        frames = torch.cat([patches.frames for patches in together])
        mask = torch.cat([patches.mask for patches in together])
        deltas = []
        for rows in torch.arange(len(pixels)).split(plan.batch):
            seen = Faces(pixels[rows], frames[rows])
            share = (done + len(rows)) / total
            task = Task(
                seen,
                _objective(plan, seen, targets),
                mask[rows],
                # a face's draws are the same whatever it is with, if the method draws once for a batch
                torch.Generator().manual_seed(plan.seed),
                _progress(plan, done / total, share, watch),
                surrogates=plan.surrogates,
                targets=targets,
                target_faces=target_faces,
                # each batch gets its part of the time
                until=plan.max_seconds and begun + plan.max_seconds * len(photos) * share,
            )
            deltas.append(plan.method.cloak(task, **plan.settings))
            done += len(rows)
        sizes = [len(patches) for patches in together]
        found.update(zip(numbers, torch.cat(deltas).split(sizes), strict=True))
    return [found[number] for number in range(len(photos))]


def replaced(pixels: Pixels, faces: Sequence[Face], plan: Plan, watch: Callable[[float], None] | None = None) -> Pixels:
    """The photo (H, W, C) with its `faces` replaced by what the plan's method makes of them, one after another.

    Each at the photo's own resolution: a change that is made on a reduced face and enlarged would leave what is fine in
    the original, and a face can be told by that. A face's draws are fixed by the plan's seed and its own pixels.
    """
    for number, face in enumerate(faces):
        patches = cut(pixels, [face], working_size=_WHOLE * max(pixels.shape))
        drawn = hashlib.sha256(f"{plan.seed} ".encode() + patches.pixels.numpy().tobytes()).digest()
        (delta,) = cloak([patches], replace(plan, seed=int.from_bytes(drawn[:6], "big")))
        pixels = paste(pixels, patches, delta)
        if watch is not None:
            watch((number + 1) / len(faces))
    return pixels


def _objective(plan: Plan, faces: Faces, targets: list[Tensor]) -> Objective:
    if targets:
        return impersonation(plan.surrogates, targets)

    @cache
    def away() -> Objective:  # not before it is asked for: some methods have an objective of their own, or none
        return dodging(plan.surrogates, mirrored_anchors(plan.surrogates, faces))

    return lambda faces: away()(faces)


def _targets(plan: Plan, faces: Sequence[Faces]) -> list[Tensor]:
    """The embeddings (T, D) of the people to impersonate, one tensor per surrogate; none when there are none."""
    if not faces:
        return []
    with torch.no_grad():
        return [torch.cat([embed(s, face) for face in faces]) for s in plan.surrogates]


def _target(path: Path, detector: Detector) -> Faces:
    pixels = photo.read(path).pixels
    found = detector(pixels)
    if not found:
        raise NoFaceError(f"{path}: no face was found to impersonate; give another photo.")
    patches = cut(pixels, found[:1])
    return Faces(patches.pixels, patches.frames)


def _progress(
    plan: Plan, start: float, stop: float, watch: Callable[[float], None] | None
) -> Callable[[int, Tensor], None] | None:
    """Tells `watch` of a batch's steps, which lead from the share `start` of the work to `stop`."""
    if watch is None:
        return None
    steps = {**plan.method.settings, **plan.settings}.get("steps") or 1
    return lambda step, _delta: watch(start + (stop - start) * min(1.0, step / steps))
