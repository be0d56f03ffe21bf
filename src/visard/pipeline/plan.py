"""What is to be done with every photo of a run: one frozen record, so that a run can be resumed and repeated."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import visard
from visard.cloak import Method
from visard.errors import NoFaceError, RecognizerError, SettingError
from visard.face import Detector, Face
from visard.recognizer import Card, Recognizer, cards, find, load, ready
from visard.recognizer.card import Role, file_sha256, kin


@dataclass(frozen=True, slots=True)
class Selection:
    """Which of a photo's faces are protected: `only` these numbers (from 1), or all `but` those."""

    only: frozenset[int] = frozenset()
    but: frozenset[int] = frozenset()

    def apply(self, faces: Sequence[Face]) -> list[tuple[int, Face]]:
        """(number, face) of the chosen ones; raises ``NoFaceError`` for a number that no face has."""
        if unknown := sorted((self.only | self.but) - set(range(1, len(faces) + 1))):
            numbers = ", ".join(map(str, unknown))
            raise NoFaceError(f"There is no face {numbers}: the photo has {len(faces)}; see them with: visard faces.")
        numbered = list(enumerate(faces, start=1))
        chosen = [(n, f) for n, f in numbered if (n in self.only or not self.only) and n not in self.but]
        if faces and not chosen:
            raise NoFaceError("No face is left to protect; choose fewer with --except.")
        return chosen


@dataclass(frozen=True, slots=True)
class Plan:
    """A run's settings.

    `detector` (`detector_name` in the record) finds a photo's faces, unless `faces_from`, a file of boxes, gives them,
    and finds them again in the published file; `adaptive`: hardened recognizers, asked beside the jury; `fmr` of all
    their thresholds; `quality` 1..100 of JPEG, WebP and
    HEIC, None for the input's own; `targets`: photos of people to impersonate; `references`: other photos of the
    people, to judge against. A method that was learned beforehand brings its surrogates along and needs none here.
    `batch`: faces whose networks' activations are in memory at once, at most; results differ by rounding only.
    `replaces`: the method does not change faces but puts others in their place, each at the photo's own resolution.
    `max_seconds`: how long a photo's cloak may take; what is found by then counts, so two runs may differ. Raises
    ``SettingError`` when the method needs a target and there is none, or the other way round.
    """

    method: Method
    surrogates: tuple[Recognizer, ...]
    jury: tuple[Recognizer, ...]
    detector: Detector
    detector_name: str = "dlib"
    faces_from: Path | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    selection: Selection = Selection()
    targets: tuple[Path, ...] = ()
    references: tuple[Path, ...] = ()
    fmr: float = 1e-3
    quality: int | None = None
    keep_metadata: bool = False
    force: bool = False
    seed: int = 0
    max_seconds: float | None = None
    adaptive: tuple[Recognizer, ...] = ()
    batch: int = 8
    replaces: bool = False

    def __post_init__(self) -> None:
        if self.method.aim == "targeted" and not self.targets:
            raise SettingError(f"{self.method.name} steers toward another person; give a photo with --target.")
        if self.method.aim == "untargeted" and self.targets:
            raise SettingError(f"{self.method.name} only steers away from the person; leave --target out.")
        if len(self.targets) > 1 and not self.method.many:
            raise SettingError(f"{self.method.name} steers toward one person; give one photo with --target.")

    def record(self) -> dict[str, Any]:
        """Everything that decides the output, as plain values, and how many faces are taken at once."""
        learned = self.method.learned
        makers = [*(r.card for r in self.surrogates), *(learned.surrogates if learned else ())]
        return {
            "visard": visard.__version__,
            "method": self.method.name,
            "replaces": self.replaces,
            "settings": {**(learned.settings if learned else {}), **self.method.settings, **self.settings},
            "learned": learned.sha256 if learned else None,
            "surrogates": {card.name: card.sha256 for card in makers},
            "jury": {r.name: r.card.sha256 for r in self.jury},
            "adaptive": {r.name: r.card.sha256 for r in self.adaptive},
            "thresholds": {
                r.name: t.value for r in (*self.jury, *self.adaptive) for t in r.card.thresholds if t.fmr == self.fmr
            },
            "detector": self.detector_name,
            "faces_from": _content(self.faces_from),
            "only": sorted(self.selection.only),
            "except": sorted(self.selection.but),
            "targets": [_content(path) for path in self.targets],
            "references": [_content(path) for path in self.references],
            "fmr": self.fmr,
            "quality": self.quality,
            "keep_metadata": self.keep_metadata,
            "seed": self.seed,
            "max_seconds": self.max_seconds,
            "batch": self.batch,
            "device": "cpu",
        }

    def fingerprint(self) -> str:
        """A hash of ``record``: equal plans make equal files, but for the rounding of other batches."""
        decides = {key: value for key, value in self.record().items() if key != "batch"}
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def _content(path: Path | None) -> dict[str, str] | None:
    return None if path is None else {"path": str(path), "sha256": file_sha256(path) if path.is_file() else "missing"}


def choose_recognizers(
    surrogates: Sequence[str] = (), jury: Sequence[str] = (), fmr: float = 1e-3, *, thorough: bool = False
) -> tuple[tuple[Recognizer, ...], tuple[Recognizer, ...]]:
    """The recognizers that make and that judge a cloak, by name; where none are named, by their cards' roles.

    `thorough`: every recognizer that can makes the cloak, but for adaptive ones and the named jury, or one juror if
    none is named. The
    jury "none" is nobody; a juror by role judges once it has a threshold at `fmr`, and if none of its kin makes the
    cloak. Raises ``RecognizerError`` when one would do both, or there is no surrogate, or a surrogate is a black box.
    """
    if thorough and surrogates:
        raise RecognizerError("--thorough chooses the surrogates itself; leave --surrogates out.")
    if thorough:
        judges = _named(jury) if jury else _calibrated_jurors(fmr)[:1]
        able = [c for c in cards().values() if ready(c) and c.differentiable and c.role != "adaptive"]
        makers = [card for card in able if not _related(card, judges)]
    else:
        makers = _named(surrogates) or [card for card in _by_role("surrogate") if card.name not in jury]
    judging = choose_judges(makers, jury, fmr)
    if not makers:
        raise RecognizerError("No surrogate is left to make a cloak with; name one with --surrogates.")
    return tuple(_surrogate(card) for card in makers), judging


def choose_judges(makers: Sequence[Card], jury: Sequence[str] = (), fmr: float = 1e-3) -> tuple[Recognizer, ...]:
    """The recognizers that judge what `makers` made, by name; where none are named, all jurors with a threshold at
    `fmr` that are no kin of the makers. Raises ``RecognizerError`` when one that is named is.
    """
    jurors = _named(jury) if jury else [card for card in _calibrated_jurors(fmr) if not _related(card, makers)]
    for card in jurors:
        if same := [maker for maker in makers if kin(card, maker)]:
            raise RecognizerError(
                f"{card.name} cannot judge what {same[0].name} makes: "
                + ("they are one" if card.sha256 == same[0].sha256 else "they are of one origin")
                + "; name others with --jury or --surrogates."
            )
    return tuple(load(card) for card in jurors)


def _related(card: Card, others: Sequence[Card]) -> bool:
    return any(kin(card, other) for other in others)


def choose_jury(names: Sequence[str] = (), fmr: float = 1e-3) -> tuple[Recognizer, ...]:
    """The recognizers that judge, by name; where none are named, all jurors with a threshold at `fmr`."""
    return tuple(load(card) for card in (_named(names) if names else _calibrated_jurors(fmr)))


def choose_adaptive(makers: Sequence[Card], jury: Sequence[str] = (), fmr: float = 1e-3) -> tuple[Recognizer, ...]:
    """The recognizers that were hardened against cloaks and are asked beside the jury that is named: all by role with a
    threshold at `fmr`, but for jurors and `makers`; nobody where the jury is "none".

    They may be kin of the makers: who expects a cloak hardens just what it was made with.
    """
    if list(jury) == ["none"]:
        return ()
    made = {card.sha256 for card in makers}
    chosen = [c for c in _by_role("adaptive") if c.name not in jury and c.sha256 not in made]
    return tuple(load(card) for card in chosen if fmr in card.valid_thresholds)


def uncalibrated(fmr: float) -> list[str]:
    """The names of the jurors and adaptive recognizers that have no say, since they have no threshold at `fmr`."""
    return [c.name for c in (*_by_role("juror"), *_by_role("adaptive")) if fmr not in c.valid_thresholds]


def _calibrated_jurors(fmr: float) -> list[Card]:
    return [card for card in _by_role("juror") if fmr in card.valid_thresholds]


def _named(names: Sequence[str]) -> list[Card]:
    return [] if list(names) == ["none"] else [find(name) for name in dict.fromkeys(names)]


def _by_role(role: Role) -> list[Card]:
    return [card for card in cards().values() if card.role == role and ready(card)]


def _surrogate(card: Card) -> Recognizer:
    recognizer = load(card)
    if not recognizer.differentiable:
        raise RecognizerError(f"{card.name} is a black box: it can judge a cloak but not make one.")
    return recognizer
