"""The duel: cloaks adapt to a recognizer, the recognizer is hardened against those cloaks, round after round.

In every round the same faces are cloaked anew by who knows the recognizer's weights (white box), by who knows other
recognizers and the one of the round before (transfer), and by methods that have both. Then the recognizer is hardened
on other people, cloaked the same way. A cloak that was posted stays as it is while recognizers go on, so the cloaks of
each round are kept and judged by the recognizers of all later rounds too.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from visard.cloak import Method, find
from visard.errors import CloakError, HardeningError, SettingError, WriteError
from visard.generator import Crops
from visard.hardening.adaptive import EPS, RESTARTS, STEPS, Check, comparisons, over_budgets, sanity_checks
from visard.hardening.checkpoint import load_state, save_state, sha256_of
from visard.hardening.defence import Defence
from visard.hardening.kept import timed_cloaks
from visard.hardening.material import Material, Watch, embed_faces
from visard.hardening.outcome import FAR, Array, threshold
from visard.measure import (
    Rate,
    bootstrap_eer,
    eer,
    fmr_at,
    genuine_and_impostor,
    mean_rate,
    person_histograms,
    psnr,
    ssim,
)
from visard.recognizer import Recognizer, derived

WHITE_BOX, TRANSFER = "white box", "transfer"
_CHECKED = 24  # faces that the sanity checks are made on


class Attack(NamedTuple):
    """A `method` with `settings` against the recognizers `known` to it."""

    method: Method
    settings: Mapping[str, Any]
    known: Sequence[Recognizer]


class Cloaks(NamedTuple):
    """Faces `pixels` (K, 3, s, s), uint8, under an `attack`, saved; the `seconds` that a face took; the mean `ssim` and
    `psnr` (dB) to the clean ones, what saving as JPEG costs included."""

    attack: Attack
    pixels: Tensor
    seconds: float
    ssim: float
    psnr: float


class Round(NamedTuple):
    """A round's `recognizer`, its threshold `tau`, its equal error rate `eer` on clean photos, and the `seconds` that
    its hardening took; the `cloaks` made against it, by attack; the `checks` of the white box attack on it, and what
    it misses on a few faces `over_budgets`, by eps."""

    recognizer: Recognizer
    tau: float
    eer: Rate
    seconds: float
    cloaks: Mapping[str, Cloaks]
    checks: Sequence[Check]
    over_budgets: Mapping[float, Rate]


class Fought(NamedTuple):
    """How the cloaks that `attack` made in round `made` fare before `judge`, the recognizer of the round `judged` or a
    juror (None), at its threshold `tau`.

    The comparisons are those of a cloaked photo, numbered `probe` (P,), with a clean one of the same person, `mate`
    (P,), never its own; their cosines (P,) `clean`, before the photo was cloaked, and `cloaked`. `asr`: the share that
    does not match; `fnmr`: the same while clean; `escaped`: of those that matched while clean, the share that does not
    any more, None where none did; `fmr`: the share of the comparisons with other people that matches.
    """

    attack: str
    made: int
    judge: str
    judged: int | None
    tau: float
    asr: Rate
    fnmr: Rate
    escaped: Rate | None
    fmr: float
    probe: Array
    mate: Array
    clean: Array
    cloaked: Array


@dataclass(frozen=True)
class Duel:
    """What is fought over.

    `base`: the recognizer of round 0; hardened by `defence` with `settings` on the faces `training`; `attacked`: faces
    of other people that are cloaked and judged, `tested`: more of theirs, for the clean error rate; `calibration`: of
    a third group, for thresholds at the false accept rate `far`. `surrogates`: what transfer starts from; `methods`:
    what else makes cloaks, with the recognizer and the surrogates. `eps` in [0, 1], `steps` and `restarts` of the
    white box. What is done is kept in the folder `out`, and not done again. Raises ``HardeningError`` and
    ``SettingError`` for what cannot be fought.
    """

    base: Recognizer
    defence: Defence
    training: Crops
    attacked: Crops
    tested: Crops
    calibration: Crops
    surrogates: Sequence[Recognizer]
    out: Path
    methods: Mapping[str, Method] = field(default_factory=dict)
    jury: Sequence[Recognizer] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    rounds: int = 2
    eps: float = EPS
    steps: int = STEPS
    restarts: int = RESTARTS
    far: float = FAR
    seed: int = 0
    watch: Watch = lambda _line: None

    def __post_init__(self) -> None:
        self.defence.check(self.base, self.settings)
        if not self.surrogates:
            raise HardeningError("Transfer needs other recognizers to start from; name them with --surrogates.")
        if same := [one.name for one in self.surrogates if one.card.sha256 == self.base.card.sha256]:
            raise HardeningError(f"{same[0]} is the recognizer itself, not a stranger; name others with --surrogates.")
        for method in self.methods.values():
            if method.aim == "targeted":
                raise CloakError(f"{method.name} steers toward a person, and a duel is about dodging; leave it out.")
        counts = self.attacked.people.unique(return_counts=True)[1]
        if len(counts) < 2 or int(counts.max()) < 2:
            raise HardeningError(
                "A cloaked photo is compared with another one of its person, and with other people's; give photos of "
                "two people or more to attack, and two of a person."
            )
        find("apgd").check({"eps": self.eps, "steps": self.steps, "restarts": self.restarts})
        if self.rounds < 1:
            raise SettingError(f"A duel has 1 round or more, got {self.rounds}.")

    def fight(self) -> tuple[list[Round], list[Fought]]:
        """All rounds, from 0 to the last, and how the cloaks of each fare before its own and all later recognizers.

        Raises ``HardeningError`` when the folder holds another duel or is damaged, and ``WriteError``.
        """
        rounds: list[Round] = []
        recognizer, seconds = self.base, 0.0
        for number in range(self.rounds + 1):
            before = [one.recognizer for one in rounds[-1:]]
            if number:
                recognizer, seconds = self._hardened(number, rounds)
            attacks = self._attacks(recognizer, before, self.restarts)
            cloaks = {name: self._cloaked(number, name, attack, self.attacked) for name, attack in attacks.items()}
            tau = threshold(recognizer, self.calibration, self.far)
            tested = self._checked(number, recognizer, tau, [*self.surrogates, *before])
            rounds.append(Round(recognizer, tau, self._error(recognizer), seconds, cloaks, *tested))
        return rounds, self._cells(rounds)

    def _attacks(self, now: Recognizer, before: Sequence[Recognizer], restarts: int) -> dict[str, Attack]:
        """By name, the attacks on the recognizer `now`, of whom those `before` it are known."""
        strangers = [*self.surrogates, *before]
        steps = {"eps": self.eps, "steps": self.steps}
        return {
            WHITE_BOX: Attack(find("apgd"), {**steps, "restarts": restarts}, [now]),
            TRANSFER: Attack(find("mi-di-fgsm"), {**steps, "alpha": self.eps / 8}, strangers),
            **{name: Attack(method, {}, [now, *self.surrogates]) for name, method in self.methods.items()},
        }

    def _cloaked(self, number: int, name: str, attack: Attack, faces: Crops) -> Cloaks:
        """`faces` under an attack of round `number`."""
        whom = "attacked" if faces is self.attacked else "training"
        self.watch(f"round {number}: {name}, {len(faces)} {whom} faces")
        made, seconds = timed_cloaks(
            self._path(number, f"{whom}-{name}"),
            faces.pixels,
            attack.method,
            attack.known,
            attack.settings,
            seed=self.seed * 101 + number,
        )
        pairs = [(_picture(a), _picture(b)) for a, b in zip(faces.pixels, made, strict=True)]
        seen = [(ssim(*pair), psnr(*pair)) for pair in pairs] if faces is self.attacked else [(math.nan, math.nan)]
        return Cloaks(attack, made, seconds / len(faces), *map(float, np.mean(seen, axis=0)))

    def _hardened(self, number: int, rounds: Sequence[Round]) -> tuple[Recognizer, float]:
        """The recognizer of the round `number`, made of the last one of `rounds`, and the seconds that it took."""
        last, before = rounds[-1].recognizer, [one.recognizer for one in rounds[-2:-1]]
        attacks = self._attacks(last, before, restarts=1)  # who trains sees many faces, not the worst of each
        begun = time.monotonic()
        cloaked = {
            name: self._cloaked(number - 1, name, attack, self.training).pixels for name, attack in attacks.items()
        }
        self.watch(f"round {number}: hardening {last.name} by {self.defence.name}")
        material = Material(
            self.training,
            cloaked,
            self.seed * 101 + number,
            lambda line: self.watch(f"round {number}: {line}"),
            self._path(number, "training"),
        )
        made = self.defence.harden(last, material, self.settings)
        spent = time.monotonic() - begun
        record = {"defence": self.defence.name, "recognizer": sha256_of(made.state_dict().values())}
        kept = self._kept(number, "hardening", record, lambda: {"seconds": spent})
        return derived(made, name=f"{self.base.name}-round-{number}"), float(kept["seconds"])

    def _checked(
        self, number: int, recognizer: Recognizer, tau: float, strangers: Sequence[Recognizer]
    ) -> tuple[list[Check], dict[float, Rate]]:
        """The sanity checks of the white box attack, and what it does over budgets, on the first faces."""
        faces = Crops(self.attacked.pixels[:_CHECKED], self.attacked.people[:_CHECKED])
        attack: dict[str, Any] = {"steps": self.steps, "restarts": self.restarts, "seed": self.seed}
        record = {
            **attack,
            "eps": self.eps,
            "recognizers": [sha256_of(one.state_dict().values()) for one in (recognizer, *strangers)],
            "faces": faces.sha256(),
            "tau": tau,
        }

        def make() -> dict[str, Any]:
            self.watch(f"round {number}: sanity checks")
            checks = sanity_checks(recognizer, faces.pixels, tau, strangers, eps=self.eps, **attack)
            budgets = over_budgets(recognizer, faces, tau, **attack)
            return {"checks": [tuple(one) for one in checks], "budgets": {e: tuple(one) for e, one in budgets.items()}}

        kept = self._kept(number, "checks", record, make)
        return [Check(*one) for one in kept["checks"]], {eps: Rate(*one) for eps, one in kept["budgets"].items()}

    def _error(self, recognizer: Recognizer) -> Rate:
        """The equal error rate on clean photos of all the tested people."""
        embeddings, people = embed_faces(recognizer, self.tested.pixels).numpy(), self.tested.people.numpy()
        genuine, impostor = genuine_and_impostor(embeddings, people)
        interval = bootstrap_eer(person_histograms(embeddings, people))
        return Rate(eer(genuine, impostor), *interval, len(genuine), len(np.unique(people)))

    def _cells(self, rounds: Sequence[Round]) -> list[Fought]:
        found = []
        for number, one in enumerate(rounds):
            found += self._judged(f"round {number}", number, one.recognizer, one.tau, rounds[: number + 1])
        for juror in self.jury:
            found += self._judged(juror.name, None, juror, threshold(juror, self.calibration, self.far), rounds)
        return found

    def _judged(
        self, judge: str, number: int | None, recognizer: Recognizer, tau: float, rounds: Sequence[Round]
    ) -> list[Fought]:
        self.watch(f"judging: {judge}")
        people = self.attacked.people.numpy()
        others = people[:, None] != people
        probe, mate = comparisons(self.attacked)
        clean = embed_faces(recognizer, self.attacked.pixels).numpy()
        before = (clean @ clean.T)[probe, mate]
        fnmr, counted = mean_rate(before < tau, people[probe]), before >= tau
        found = []
        for made, one in enumerate(rounds):
            for attack, cloaks in one.cloaks.items():
                scores = embed_faces(recognizer, cloaks.pixels).numpy() @ clean.T
                after = scores[probe, mate]
                escaped = mean_rate(after[counted] < tau, people[probe][counted]) if counted.any() else None
                asr, fmr = mean_rate(after < tau, people[probe]), fmr_at(scores[others], tau)
                found.append(
                    Fought(attack, made, judge, number, tau, asr, fnmr, escaped, fmr, probe, mate, before, after)
                )
        return found

    def _path(self, number: int, name: str) -> Path:
        """Of what is kept of a round by `name`."""
        folder = self.out / f"round-{number}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WriteError(f"The folder {folder} could not be made: {error.strerror}; choose another.") from error
        return folder / f"{name.replace(' ', '-')}.pt"

    def _kept(
        self, number: int, name: str, record: Mapping[str, Any], make: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        """What `make` gives, from the folder if it was made before."""
        path = self._path(number, name)
        state = load_state(path, record)
        if state is None:
            state = make()
            save_state(path, record, state)
        return state


def _picture(face: Tensor) -> Array:
    """A face (3, s, s), uint8, as (s, s, 3) in [0, 1]."""
    return np.asarray(face.permute(1, 2, 0).numpy() / np.float32(255))
