"""One photo: in, faces, cloak, out, read again, judged."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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

Status = Literal["protected", "not protected", "not judged", "no face", "failed"]
# faces whose networks' activations are in memory at once
BATCH = 8


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


def protect(source: Path, output: Path, plan: Plan, watch: Callable[[float], None] | None = None) -> Outcome:
    """Protect the faces of the photo at `source`, write `output`, read it again and judge it.

    `watch` hears how much of the cloak is done, in [0, 1]. Raises ``VisardError`` when the photo cannot be read,
    has no (chosen) face, or the result cannot be written; then nothing is written.
    """
    start = time.perf_counter()
    original = photo.read(source)
    kind = photo.check_output(output, force=plan.force, source=source)
    references = [read_reference(path, plan.detector) for path in plan.references]
    for juror in plan.jury:
        juror.threshold(plan.fmr)
    found = faces_of(original.pixels, source, plan)
    chosen = plan.selection.apply(found)
    if not chosen:
        raise NoFaceError(f"{source}: no face was found; give boxes with --boxes, or another detector with --detector.")
    faces = [face for _, face in chosen]

    cloak_start = time.perf_counter()
    pixels = cloak_faces(original.pixels, faces, plan, watch)
    cloak_seconds = time.perf_counter() - cloak_start
    photo.write(
        replace(original, pixels=pixels),
        output,
        quality=plan.quality if kind in photo.LOSSY else None,
        keep_metadata=plan.keep_metadata,
        force=plan.force,
        source=source,
    )
    verdicts = judge(
        original.pixels,
        photo.read(output).pixels,
        faces,
        plan.jury,
        plan.detector,
        fmr=plan.fmr,
        references=references,
        numbers=[number for number, _ in chosen],
    )
    return Outcome(
        source=source,
        status=status_of(verdicts),
        output=output,
        faces=tuple(verdicts),
        notes=original.facts.notes,
        seconds=time.perf_counter() - start,
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


def cloak_faces(
    pixels: Pixels, faces: Sequence[Face], plan: Plan, watch: Callable[[float], None] | None = None
) -> Pixels:
    """The photo's pixels (H, W, C) uint8 with `faces` cloaked by the plan's method; the rest is untouched.

    Raises ``SettingError`` when the method refuses a setting.
    """
    patches = cut(pixels, faces)
    targets = _targets(plan)
    generator = torch.Generator().manual_seed(plan.seed)
    deltas, begun = [], time.monotonic()
    for start in range(0, len(patches), BATCH):
        part = patches.chunk(start, start + BATCH)
        seen = Faces(part.pixels, part.frames)
        task = Task(
            seen,
            _objective(plan, seen, targets),
            part.mask,
            generator,
            _progress(plan, patches, start, watch),
            surrogates=plan.surrogates,
            targets=targets,
            # each batch gets its part of the photo's time
            until=plan.max_seconds and begun + plan.max_seconds * min(1.0, (start + len(part)) / len(patches)),
        )
        deltas.append(plan.method.cloak(task, **plan.settings))
    return paste(pixels, patches, torch.cat(deltas))


def _objective(plan: Plan, faces: Faces, targets: list[Tensor]) -> Objective:
    if targets:
        return impersonation(plan.surrogates, targets)
    return dodging(plan.surrogates, mirrored_anchors(plan.surrogates, faces))


def _targets(plan: Plan) -> list[Tensor]:
    """The embeddings (T, D) of the people to impersonate, one tensor per surrogate; none when there are none."""
    if not plan.targets:
        return []
    patches = [_target(path, plan.detector) for path in plan.targets]
    with torch.no_grad():
        return [torch.cat([embed(s, Faces(p.pixels, p.frames)) for p in patches]) for s in plan.surrogates]


def _target(path: Path, detector: Detector) -> FacePatches:
    pixels = photo.read(path).pixels
    found = detector(pixels)
    if not found:
        raise NoFaceError(f"{path}: no face was found to impersonate; give another photo.")
    return cut(pixels, found[:1])


def _progress(
    plan: Plan, patches: FacePatches, start: int, watch: Callable[[float], None] | None
) -> Callable[[int, Tensor], None] | None:
    if watch is None:
        return None
    steps = {**plan.method.settings, **plan.settings}.get("steps") or 1

    def heard(step: int, delta: Tensor) -> None:
        watch(min(1.0, (start + len(delta) * step / steps) / len(patches)))

    return heard
