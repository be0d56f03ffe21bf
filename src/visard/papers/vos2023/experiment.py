"""The cloaks, the arms of the training, and what every recognizer makes of the people that none was trained on."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from visard.cloak import Method, find
from visard.errors import WriteError
from visard.generator import SUFFIX, Crops, Training, load_cloak, read_crops, train
from visard.hardening import Material, defence_names, embed_faces, find_defence
from visard.hardening.kept import kept_cloaks
from visard.hardening.material import SIZE
from visard.hardening.outcome import FAR, judged, pairs_of, threshold
from visard.papers.study import Row, Study
from visard.papers.vos2023.people import CALIBRATION, EVERYONE, FIRST, SECOND, TRAINING, Groups, Size, groups
from visard.recognizer import Recognizer

ADVFACES, FAWKES, LATENT = "AdvFaces", "Fawkes", "latent-distance"
METHODS = (ADVFACES, FAWKES, LATENT)
"""The first is trained on, the others are unseen."""
DATASETS = (FIRST, SECOND)
NONE, CLEAN, OBFUSCATED, BOTH = "none", "clean", "obfuscated", "both"
MARGIN, BEYOND = "margin", "adversarial"
"""Beyond the paper: both kinds of photos and a head with a margin; and another defence."""
ARMS: dict[str, dict[str, Any]] = {
    CLEAN: {"arm": "clean"},
    OBFUSCATED: {"arm": "obfuscated"},
    BOTH: {"arm": "both"},
    MARGIN: {"arm": "both", "head": "cosface"},
}
"""The settings of the arms that are trained by Algorithm 1."""
BINS = np.linspace(-0.5, 1.01, 61)


class Effort(NamedTuple):
    """How much is computed: `size` of the groups; `epochs` of the arms; `steps` of the learned cloaks; `fawkes` and
    `beyond`: settings of that method, and of the defence beside the arms."""

    size: Size
    epochs: int
    steps: int
    fawkes: Mapping[str, Any]
    beyond: Mapping[str, Any]


LEARNED: dict[str, tuple[str, int, dict[str, Any]]] = {
    ADVFACES: ("advfaces", 64, {"width": 16, "batch": 8, "rate": 1e-3, "perturbation": 0.5, "views": True}),
    LATENT: ("latent-distance", 64, {"width": 16, "batch": 8, "rate": 1e-3}),
}
"""Of the methods that are trained first: their kind, the side of the faces in px, and the settings."""


@dataclass(frozen=True)
class Scene:
    """What does not change in a study; everything is computed when it is first asked for, and kept."""

    study: Study
    effort: Effort
    base: Recognizer

    @cached_property
    def groups(self) -> Groups:
        return groups(self.study, self.effort.size)

    @cached_property
    def crops(self) -> dict[str, Crops]:
        """The faces of each group."""
        return {name: read_crops(photos, self.study.detector, SIZE) for name, photos in self.groups.photos.items()}

    @property
    def arms(self) -> tuple[str, ...]:
        return (NONE, *ARMS, *([BEYOND] if BEYOND in defence_names() else []))

    def method(self, name: str) -> tuple[Method, dict[str, Any]]:
        """A method with its settings, trained on the training people if it has to be."""
        if name not in LEARNED:
            return find("fawkes"), dict(self.effort.fawkes)
        kind, size, settings = LEARNED[name]
        out, steps = self._folder("cloaks") / f"{kind}{SUFFIX}", self.effort.steps
        if not out.is_file() or load_cloak(out).steps < steps:
            crops = read_crops(self.groups.photos[TRAINING], self.study.detector, size)
            training = Training(kind, settings, crops, [self.base], self.study.seed)
            self.study.watch(f"training {name}, {steps} steps")
            train(training, out, steps, watch=lambda step, row: self._told(name, step, row))
        return load_cloak(out).method(), {}

    def _told(self, name: str, step: int, row: Mapping[str, float]) -> None:
        if step % 50 == 0:
            self.study.watch(f"{name}, step {step}: cosine {row['cosine']:.3f}")

    def cloaked(self, group: str, name: str) -> Tensor:
        """The faces of a group under a method, made against the recognizer as it was before the hardening."""
        method, settings = self.method(name)
        path = self._folder("cloaks") / f"{group}-{name}.pt"
        return kept_cloaks(
            path, self.crops[group].pixels, method, [self.base], settings, seed=self.study.seed, watch=self._said(group)
        )

    def _said(self, what: str) -> Any:
        return lambda line: self.study.watch(f"{what}: {line}")

    def hardened(self, arm: str) -> Recognizer:
        """The recognizer of an arm."""
        if arm == NONE:
            return self.base
        group = EVERYONE if arm == BEYOND else TRAINING
        cloaks = {"advfaces": self.cloaked(group, ADVFACES)}
        checkpoint = self._folder("training") / f"{arm}.pt"
        material = Material(self.crops[group], cloaks, self.study.seed, self._said(arm), checkpoint)
        if arm == BEYOND:
            return find_defence(BEYOND).harden(self.base, material, self.effort.beyond)
        return find_defence("vos2023").harden(self.base, material, {**ARMS[arm], "epochs": self.effort.epochs})

    def _folder(self, name: str) -> Path:
        folder = self.study.out / name
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise WriteError(f"The folder {folder} could not be made: {error.strerror}; choose another.") from error
        return folder


class Rows(NamedTuple):
    """What was found, by arm, dataset, method and regime: a row a genuine comparison, a row with the error rates, and a
    row a histogram, genuine or impostor."""

    genuine: list[Row]
    errors: list[Row]
    bins: list[Row]


def arm_rows(scene: Scene, arm: str) -> Rows:
    """What the recognizer of an arm makes of both datasets under all methods."""
    found: list[Rows] = []

    def rows(place: int) -> list[Row]:
        if not found:
            found.append(_computed(scene, arm))
        return found[0][place]

    kinds = enumerate(Rows._fields)
    return Rows(*(scene.study.cell(f"{arm}: {kind}", partial(rows, place)) for place, kind in kinds))


def _computed(scene: Scene, arm: str) -> Rows:
    recognizer = scene.hardened(arm)
    tau = threshold(recognizer, scene.crops[CALIBRATION], FAR)
    rows = Rows([], [], [])
    for dataset in DATASETS:
        crops = scene.crops[dataset]
        clean = embed_faces(recognizer, crops.pixels)
        for method in METHODS:
            cloaked = embed_faces(recognizer, scene.cloaked(dataset, method))
            outcome = judged(clean, cloaked, crops.people, tau)
            for regime, pairs in pairs_of(clean, cloaked, crops.people).items():
                place = {"arm": arm, "dataset": dataset, "method": method, "regime": regime, "tau": float(tau)}
                same = pairs.same
                rows.genuine.extend(
                    {**place, "person": int(person), "cosine": float(cosine)}
                    for person, cosine in zip(pairs.first[same], pairs.cosines[same], strict=True)
                )
                error = outcome.eer[regime]._asdict()
                rows.errors.append({**place, **error, "eer_vos": float(outcome.eer_vos[regime])})
                for kind, scores in zip(("genuine", "impostor"), pairs.scores, strict=True):
                    counts, _ = np.histogram(scores, BINS)
                    rows.bins.append({**place, "kind": kind, "counts": " ".join(map(str, counts))})
    return rows
