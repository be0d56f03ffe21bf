"""A person's photos in, the person's mask out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from visard import photo
from visard.cloak import Faces, PersonMask, embed, learn_mask
from visard.errors import NoFaceError, SettingError, VisardError
from visard.face import Detector, cut
from visard.recognizer import Recognizer

PHOTOS = 10
"""How many photos a mask is learned from when there are more, as in the paper."""

_FMR = 1e-3


class _Seen(NamedTuple):
    """A photo with all its faces, each on a patch of its own, and each one's embeddings (F, D) per surrogate."""

    path: Path
    faces: list[Faces]
    looks: list[Tensor]


@dataclass(frozen=True, slots=True)
class Lesson:
    """A learned `mask`; `used`: the photos it was learned from, each with the number of the person's face and how many
    faces it has; `skipped`: photos that could not be used, and why; `left`: how many were not needed."""

    mask: PersonMask
    used: tuple[tuple[Path, int, int], ...]
    skipped: tuple[tuple[Path, str], ...]
    left: int


def learn_person(
    paths: Sequence[Path],
    surrogates: Sequence[Recognizer],
    detector: Detector,
    settings: Mapping[str, Any],
    *,
    most: int = PHOTOS,
    only: int | None = None,
    seed: int = 0,
    watch: Callable[[int, int], None] | None = None,
) -> Lesson:
    """Learn the mask of the person on the photos at `paths`, from at most `most` of them, spread evenly.

    A photo that cannot be read or shows no face is skipped. Where photos show several faces, the person is face
    number `only` of the first photo with a face; without `only`, whoever is alone in the other photos, else whoever is
    on most of them. Of each other photo with several faces the most similar one is taken, or none when no surrogate
    with a threshold would match it. `watch` hears (round, rounds).

    Raises ``NoFaceError`` when no photo is left, or when it is not clear which face is the person's.
    """
    seen, skipped = [], []
    order = _spread(paths, most)
    for tried, path in enumerate(order, start=1):  # noqa: B007
        try:
            seen.append(_look(path, detector, surrogates))
        except VisardError as error:
            skipped.append((path, str(error)))
        if len(seen) == most:
            break
    if not seen:
        reason = f": {skipped[0][1]}" if len(skipped) == 1 else "; give photos that show one."
        raise NoFaceError(f"No photo of the person could be used{reason}")
    # in the order they were given, so that "the first" is the first
    seen.sort(key=lambda one: paths.index(one.path))
    person = _person(seen, only)
    used, faces = [], []
    for one in seen:
        alike = _similarity(one, person)
        number = int(alike.argmax())
        if len(one.faces) > 1 and _stranger(one, number, person, surrogates):
            skipped.append((one.path, f"{one.path}: none of its {len(one.faces)} faces is like the person's."))
            continue
        used.append((one.path, number + 1, len(one.faces)))
        faces.append(one.faces[number])
    mask = learn_mask(faces, surrogates, seed, watch, **settings)
    return Lesson(mask, tuple(used), tuple(skipped), len(paths) - tried)


def _spread(paths: Sequence[Path], most: int) -> list[Path]:
    """The paths, `most` of them from everywhere first, then the rest to take the place of what cannot be used."""
    if most < 1:
        raise SettingError(f"A mask is learned from at least one photo, got {most}.")
    count = min(most, len(paths))
    first = [paths[i * len(paths) // count] for i in range(count)]
    return [*first, *(path for path in paths if path not in first)]


def _look(path: Path, detector: Detector, surrogates: Sequence[Recognizer]) -> _Seen:
    pixels = photo.read(path).pixels
    found = detector(pixels)
    if not found:
        raise NoFaceError(f"{path}: no face was found.")
    patches = [cut(pixels, [face]) for face in found]
    faces = [Faces(patch.pixels, patch.frames) for patch in patches]
    with torch.no_grad():
        looks = [torch.cat([embed(surrogate, face) for face in faces]) for surrogate in surrogates]
    return _Seen(path, faces, looks)


def _person(seen: Sequence[_Seen], only: int | None) -> list[Tensor]:
    """The person's embedding (D,) per surrogate."""
    if only is not None:
        first = seen[0]
        if not 1 <= only <= len(first.faces):
            raise NoFaceError(
                f"There is no face {only}: {first.path} has {len(first.faces)}; see them with: visard faces."
            )
        return [look[only - 1] for look in first.looks]
    alone = [one for one in seen if len(one.faces) == 1]
    if alone:
        return [
            F.normalize(torch.cat(looks).mean(dim=0), dim=0)
            for looks in zip(*(one.looks for one in alone), strict=True)
        ]
    if len(seen) == 1:
        raise NoFaceError(
            f"{seen[0].path} has {len(seen[0].faces)} faces; say which is the person's with --only, or give a photo of "
            "the person alone."
        )
    # whoever resembles somebody in every photo the most
    scores = [
        (
            float(sum(_similarity(other, [look[i] for look in one.looks]).max() for other in seen)),
            one,
            i,
        )
        for one in seen
        for i in range(len(one.faces))
    ]
    _, one, i = max(scores, key=lambda scored: scored[0])
    return [look[i] for look in one.looks]


def _similarity(one: _Seen, person: Sequence[Tensor]) -> Tensor:
    """The cosine of each of a photo's faces to the person, (F,), averaged over the surrogates."""
    return torch.stack([look @ own for look, own in zip(one.looks, person, strict=True)]).mean(dim=0)


def _stranger(one: _Seen, number: int, person: Sequence[Tensor], surrogates: Sequence[Recognizer]) -> bool:
    """Whether there are thresholds, and every surrogate that has one finds another person."""
    found = [
        float(look[number] @ own) < surrogate.card.valid_thresholds[_FMR].value
        for look, own, surrogate in zip(one.looks, person, surrogates, strict=True)
        if _FMR in surrogate.card.valid_thresholds
    ]
    return bool(found) and all(found)
