"""What visard train can train: a row each, of what it is made of, its settings, and what is said of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from visard.cloak.method import check_settings
from visard.errors import CloakError
from visard.generator import KINDS as CLOAKS
from visard.generator import (
    Course,
    Crops,
    LearnedCloak,
    Training,
    check_learner_settings,
)
from visard.generator.latent import (
    Disentangled,
    DisentangleSettings,
    DisentangleTraining,
    LatentCloak,
    LatentCloakTraining,
    LatentSettings,
    load_disentangled,
    shipped_disentangled,
    shipped_landmarks,
)
from visard.generator.stylegan import FaceGenerator, Shape, StyleSettings, StyleTraining, load_faces, shipped_faces
from visard.recognizer import Recognizer

PHOTOS = frozenset({"--data", "--size", "--role", "--detector"})
"""Options of trainings that see photos."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What a training is made of: checked `settings`, and of `crops`, `recognizers` and `files` (by option) what it
    takes."""

    settings: Any
    crops: Crops | None
    recognizers: Sequence[Recognizer]
    files: Mapping[str, Path]
    seed: int
    device: torch.device
    mixed: bool


@dataclass(frozen=True, slots=True)
class Kind:
    """Something that can be trained. `needs` and `takes`: options; `check`: from settings and the size of the faces to
    what `begin` takes, raises ``SettingError``; `says`: what was made, in words, and what to do with its file; `size`
    of the faces, px, unless another is asked for."""

    needs: frozenset[str]
    takes: frozenset[str]
    check: Callable[[Mapping[str, Any], int], Any]
    begin: Callable[[Sources], Course[Any]]
    says: Callable[[Any, Path], tuple[str, str]]
    size: int = 0


def _cloak(kind: str) -> Kind:
    def check(settings: Mapping[str, Any], _size: int) -> dict[str, Any]:
        check_learner_settings(CLOAKS[kind], dict(settings))
        return dict(settings)

    def begin(of: Sources) -> Course[LearnedCloak]:
        return Training(kind, of.settings, _crops(of), of.recognizers, of.seed, of.device, of.mixed)

    return Kind(frozenset({"--data", "--recognizer"}), PHOTOS, check, begin, _cloak_says, 112)


def _cloak_says(made: LearnedCloak, out: Path) -> tuple[str, str]:
    names = ", ".join(card.name for card in made.surrogates)
    target = " --target PERSON.jpg" if made.learner.targeted else ""
    return (
        f"{made.name}, {made.steps} steps on {made.photos} photos of {made.people} people against {names}",
        f"Protect photos with it: visard protect --method {out}{target} PHOTO...",
    )


def _chosen(kind: str, settings: type, given: Mapping[str, Any], _size: int = 0) -> Any:
    check_settings(kind, settings.__init__, given)  # type: ignore[misc]
    return settings(**given)


def _style_check(given: Mapping[str, Any], size: int) -> StyleSettings:
    found: StyleSettings = _chosen("stylegan", StyleSettings, given)
    Shape(size, found.base, found.widest, found.latent, found.layers)
    return found


def _style_begin(of: Sources) -> Course[FaceGenerator]:
    return StyleTraining(of.settings, _crops(of), of.seed, of.device, of.mixed)


def _style_says(made: FaceGenerator, out: Path) -> tuple[str, str]:
    return (
        f"a generator of faces of {made.size} px, {made.steps} steps on {made.photos} photos",
        f"Then: visard train disentangle --generator {out} --recognizer NAME --out FILE.safetensors",
    )


def _disentangle_begin(of: Sources) -> Course[Disentangled]:
    if len(of.recognizers) > 1:
        raise CloakError("Who is who is told by one recognizer; name one with --recognizer.")
    generator = load_faces(of.files["--generator"]) if "--generator" in of.files else shipped_faces()
    return DisentangleTraining(
        of.settings, generator, of.recognizers[0], shipped_landmarks(), of.seed, of.device, of.mixed, of.crops
    )


def _disentangle_says(made: Disentangled, out: Path) -> tuple[str, str]:
    return (
        f"who and how told apart by {made.identity.name}, {made.steps} steps on faces of {made.generator.size} px",
        f"Put a face in the place of another: visard swap --disentangled {out} --identity A.jpg --expression B.jpg -o "
        f"OUT.jpg; learn to cloak faces: visard train latent-cloak --disentangled {out} --recognizer A,B --out "
        "FILE.safetensors",
    )


def _latent_begin(of: Sources) -> Course[LatentCloak]:
    given = of.files.get("--disentangled")
    disentangled = shipped_disentangled() if given is None else load_disentangled(given)
    return LatentCloakTraining(
        of.settings, disentangled, of.recognizers, shipped_landmarks(), of.seed, of.device, of.mixed, of.crops
    )


def _latent_says(made: LatentCloak, out: Path) -> tuple[str, str]:
    names = ", ".join(card.name for card in made.surrogates)
    return (
        f"{made.name}, {made.steps} steps on faces of {made.disentangled.generator.size} px against {names}",
        f"Protect photos with it: visard protect --method {out} PHOTO...",
    )


def _crops(of: Sources) -> Crops:
    assert of.crops is not None  # all kinds that ask for them need --data
    return of.crops


KINDS = {
    **{kind: _cloak(kind) for kind in CLOAKS},
    "stylegan": Kind(frozenset({"--data"}), PHOTOS, _style_check, _style_begin, _style_says, 64),
    "disentangle": Kind(
        frozenset({"--recognizer"}),
        PHOTOS | {"--data", "--generator"},
        partial(_chosen, "disentangle", DisentangleSettings),
        _disentangle_begin,
        _disentangle_says,
        64,
    ),
    "latent-cloak": Kind(
        frozenset({"--recognizer"}),
        PHOTOS | {"--data", "--disentangled"},
        partial(_chosen, "latent-cloak", LatentSettings),
        _latent_begin,
        _latent_says,
        64,
    ),
}
