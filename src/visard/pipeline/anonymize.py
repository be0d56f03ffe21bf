"""Anonymizing: every face of a photo made unrecognizable, behind a blur, squares or a box, or by another face."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from torch import Generator, Tensor

from visard import photo
from visard.audit import FaceVerdict, judge
from visard.cloak import Method, find
from visard.cloak.method import Learned
from visard.errors import CloakError, NoFaceError
from visard.face import Detector, Template, cut, to_template
from visard.generator.latent import Disentangled, replacing, shipped_disentangled
from visard.pipeline.plan import Plan, Selection
from visard.pipeline.protect import Outcome, changed, finish, open_photo
from visard.recognizer import Recognizer

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
    return replace(replacing(made.strangers, made.template, PERSON), learned=learned)


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
