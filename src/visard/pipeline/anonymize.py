"""Anonymizing: every face of a photo made unrecognizable, behind a blur, squares or a box, or by another face."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor

from visard import photo
from visard.audit import FaceVerdict, judge
from visard.cloak import Method, Task, find
from visard.cloak.geometry import frames_of
from visard.cloak.method import Learned
from visard.errors import CloakError, NoFaceError
from visard.face import (
    FACE,
    Detector,
    Template,
    after,
    blend,
    cut,
    face_mask,
    fitting,
    from_template,
    hull_mask,
    membrane,
    to_template,
)
from visard.generator.latent import NOSE, Disentangled, framed, shipped_disentangled, shipped_landmarks
from visard.pipeline.plan import Plan, Selection
from visard.pipeline.protect import Outcome, changed, finish, open_photo
from visard.recognizer import Recognizer

Source = Callable[[Tensor, Generator], Tensor]
"""Makes faces (N, 3, s, s) in [0, 1] to put in the place of `crops` (N, 3, s, s) in [0, 1]; every random draw comes
from the generator."""

Make = Callable[[Tensor, Tensor], Tensor]
"""Makes faces (N, 3, s, s) in [0, 1] of crops that say who and crops that say which expression, both like that."""

STYLES: Mapping[str, Mapping[str, Any]] = {
    "blur": {"sigma": 14.0},
    "pixelate": {"block": 16.0},
    "box": {},
    "eye-bar": {},
    "noise": {"eps": 0.5},
}
"""The classical methods that hide a face, and settings where a baseline's own hide too little."""
PERSON = "person"
# brows, eyes and mouth moved so many times as far from the nose, so that less is replaced on the side that is turned
# away, and what is around them, px of the canonical frame
_WIDER, _REACH, _FADE = 1.6, 10.0, 14.0
# of a pixel that the crop fills
_INSIDE = 0.99


def find_style(name: str, disentangled: Disentangled | None = None) -> Method:
    """The method that anonymizes in the style `name`: one of ``STYLES``, or "person", another one for each face, made
    by `disentangled`, or by what comes with visard. Raises ``CloakError`` for another name."""
    if name in STYLES:
        return find(name)
    if name != PERSON:
        raise CloakError(f'No style is called "{name}". There are: {", ".join((PERSON, *STYLES))}.')
    return person(disentangled or shipped_disentangled())


def person(made: Disentangled) -> Method:
    """The method that puts people whom `made` invents in the place of others, with their expression and pose."""
    settings = {"size": made.generator.size, "trained": made.steps}
    # the recognizer that told it who is who cannot judge it, nor can its kin
    learned = Learned(made.sha256, (made.identity.card,), settings)
    return replace(replacing(made.strangers, made.template), learned=learned)


def replacing(source: Source, template: Template, name: str = PERSON, paper: str = "Yang et al. 2021") -> Method:
    """The method that puts what `source` makes of a face's crop, cut by `template`, in the place of the face.

    The crop is brought back into the photo at the photo's own resolution, so that its landmarks lie where those of the
    face were, and blended between and around them: hair and outline, which tell the pose, stay. Gray photos stay gray.
    """

    def run(task: Task) -> Tensor:
        pixels, frames = task.faces.pixels.detach(), frames_of(task.faces)
        size = pixels.shape[-2:]
        shown = _shown(pixels)
        whole = torch.where(shown, pixels, membrane(pixels, shown))  # no source takes the photo's edge for a face's
        crops = to_template(whole, frames, template).clamp(0, 1).expand(-1, 3, -1, -1)
        with torch.no_grad():
            made = source(crops, task.generator).clamp(0, 1)
        landmarks = shipped_landmarks()
        points = landmarks.points(task.faces._replace(pixels=whole))
        placed = after(frames, fitting(landmarks.points(framed(made, template)), points))
        if pixels.shape[1] == 1:
            made = made.mean(dim=1, keepdim=True)
        back = from_template(made, placed, template, (size[0], size[1]))
        inside = from_template(torch.ones_like(made[:, :1]), placed, template, (size[0], size[1])) > _INSIDE
        nose = points[:, NOSE].mean(dim=1, keepdim=True)
        hull = hull_mask(frames, size[0], nose + _WIDER * (points - nose), _REACH, _FADE)
        mask = face_mask(frames, size[0], FACE) * hull
        delta = task.in_range(blend(pixels, back, mask, inside & shown) - pixels)
        task.heard(1, delta)
        return delta

    return Method(name, paper, "untargeted", run, about=inspect.getdoc(source) or "")


def _shown(pixels: Tensor) -> Tensor:
    """Where pictures (N, C, H, W) show something, (N, 1, H, W) bool: not beyond a photo's edge, where all is black."""
    lit = pixels.amax(dim=1) > 0
    rows, columns = lit.any(dim=2), lit.any(dim=1)

    def between(found: Tensor) -> Tensor:
        return (found.cummax(dim=1)[0] & found.flip(1).cummax(dim=1)[0].flip(1)).bool()

    return (between(rows)[:, :, None] & between(columns)[:, None])[:, None]


class Swapped(NamedTuple):
    """What became of a swap: its `outcome`, which judges the face that was replaced, and the `likeness` of the new one,
    judged against the photo of whom it is to be."""

    outcome: Outcome
    likeness: FaceVerdict


def swap(
    identity: Path,
    expression: Path,
    output: Path,
    make: Make,
    template: Template,
    *,
    detector: Detector,
    jury: Sequence[Recognizer] = (),
    number: int = 1,
    **terms: Any,
) -> Swapped:
    """Put the largest face of the photo `identity` in the place of face `number` of the photo `expression`, as `make`
    makes it of their crops, cut by `template`; write `output`, read it again and judge it.

    `terms` as of a ``Plan``. Raises ``VisardError`` as ``protect``.
    """
    pixels = photo.read(identity).pixels
    found = detector(pixels)
    if not found:
        raise NoFaceError(f"{identity}: no face was found to take the identity from; give another photo.")
    patches = cut(pixels, found[:1])
    who = to_template(patches.pixels, patches.frames, template).clamp(0, 1).expand(-1, 3, -1, -1)

    def source(crops: Tensor, _generator: Generator) -> Tensor:
        return make(who.expand_as(crops), crops)

    plan = Plan(
        replacing(source, template, "swap"), (), tuple(jury), detector,
        selection=Selection(only=frozenset({number})), replaces=True, **terms,
    )  # fmt: skip
    opened = open_photo(expression, output, plan)
    outcome = finish(opened, *changed(opened, plan), plan)
    (likeness,) = judge(
        opened.original.pixels, photo.read(output).pixels, opened.faces, jury, detector, fmr=plan.fmr,
        references=[pixels], numbers=opened.numbers,
    )  # fmt: skip
    return Swapped(outcome, likeness)
