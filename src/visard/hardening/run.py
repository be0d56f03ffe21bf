"""A recognizer hardened by a defence, and judged before and after on people who were not in the training."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from visard.cloak import Method
from visard.errors import CalibrationError, WriteError
from visard.generator import Crops
from visard.hardening.defence import Defence
from visard.hardening.kept import kept_cloaks
from visard.hardening.material import Material, Watch
from visard.hardening.outcome import FAR, Outcome, outcomes
from visard.measure import required_pairs
from visard.recognizer import Recognizer

CHECKPOINT = "training.pt"
Photos = Sequence[tuple[str, Path]]
_HELD_OUT = 5  # each fifth person judges, each fifth gives thresholds


class Hardened(NamedTuple):
    """What came of a hardening: the `recognizer`, and what it and its base make of each method's cloaks."""

    recognizer: Recognizer
    before: Mapping[str, Outcome]
    after: Mapping[str, Outcome]


@dataclass(frozen=True)
class Hardening:
    """What is to be done: `base`, hardened by `defence` with `settings` on faces `training` and their cloaks by
    `methods`, and judged on other people's, `validation`, by those and by `unseen` methods, at the threshold that
    faces of a third group of people, `calibration`, give at the false accept rate `far`.

    Cloaks are made against `surrogates`. What is done is kept in `folder`, and not done again. Raises
    ``CalibrationError`` when `far` would rest on fewer than 30 false matches.
    """

    base: Recognizer
    defence: Defence
    training: Crops
    validation: Crops
    calibration: Crops
    methods: Mapping[str, Method]
    surrogates: Sequence[Recognizer]
    folder: Path
    unseen: Mapping[str, Method] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    far: float = FAR
    seed: int = 0
    device: str = "cpu"
    watch: Watch = lambda _line: None

    def __post_init__(self) -> None:
        _, counts = self.calibration.people.unique(return_counts=True)
        pairs = math.comb(len(self.calibration), 2) - sum(math.comb(count, 2) for count in counts.tolist())
        if pairs < (needed := required_pairs(self.far)):
            raise CalibrationError(
                f"A threshold at FMR {self.far:g} needs at least {needed:,} impostor pairs (rule of 30); "
                f"{len(self.calibration):,} photos of {len(counts):,} people give {pairs:,}: give photos of more "
                "people, or a higher FMR."
            )

    def run(self) -> Hardened:
        """Make the cloaks, harden, judge; raises ``CloakError``, ``HardeningError`` and ``WriteError``."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WriteError(f"The folder {self.folder} could not be made: {error.strerror}.") from error
        cloaked = {name: self._cloaked("training", name, method) for name, method in self.methods.items()}
        shown = {
            name: self._cloaked("validation", name, method) for name, method in {**self.methods, **self.unseen}.items()
        }
        before = outcomes(self.base, self.validation, shown, self.calibration, self.far)
        material = Material(self.training, cloaked, self.seed, self.watch, self.folder / CHECKPOINT, self.device)
        recognizer = self.defence.harden(self.base, material, self.settings)
        return Hardened(recognizer, before, outcomes(recognizer, self.validation, shown, self.calibration, self.far))

    def _cloaked(self, whom: str, name: str, method: Method) -> Tensor:
        faces: Crops = getattr(self, whom)
        path = self.folder / f"{whom}-{name}.pt"
        return kept_cloaks(path, faces.pixels, method, self.surrogates, seed=self.seed, watch=self.watch)


def held_out(photos: Photos) -> tuple[Photos, Photos, Photos]:
    """`photos` (person, path) of people to train on, of people to judge on, and of people who give thresholds: three,
    one and one of every five."""
    places = {person: place % _HELD_OUT for place, person in enumerate(sorted({person for person, _ in photos}))}
    groups: tuple[list[tuple[str, Path]], ...] = ([], [], [])
    for person, path in photos:
        groups[{0: 1, 1: 2}.get(places[person], 0)].append((person, path))
    return groups[0], groups[1], groups[2]
