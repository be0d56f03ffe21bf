"""The bench: methods and their budgets on the same photos, with the same surrogates, before the same jury."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from visard.audit.collection import QUALITIES, Lens, Picture, by_key
from visard.audit.dataset import blind_surrogates, collect
from visard.audit.doubts import warnings
from visard.audit.findings import Protected
from visard.audit.trials import Array
from visard.cloak import Method
from visard.cloak.methods.lowkey import LPIPS_FILE
from visard.errors import AuditError, SettingError
from visard.generator.latent import Landmarker, onnx_landmarks, shipped_landmarks
from visard.measure.inception import Inception, load_inception
from visard.measure.perceptual import LPIPS, load_lpips
from visard.pipeline.batch import LEDGER, protect_all
from visard.pipeline.plan import Plan
from visard.recognizer import Card, Recognizer
from visard.recognizer.store import home

PROTECTED = "protected"
"""The folder below the bench's own that holds a folder of photos per run."""

LOOKS = ".looks"
"""Where it keeps what the jury saw: templates of faces, so not for longer than the bench takes."""

LANDMARKS_FILE = "landmarks-68.onnx"
INCEPTION_FILES = ("inception-v3.safetensors", "inception-v3.pth")
"""In visard's folder (``$VISARD_HOME``), the first that is there: what ``measure.inception.load_inception`` reads."""

Watch = Callable[[str, float, float], None]


@dataclass(frozen=True, slots=True)
class Run:
    """A `method` with `settings`, and the `name` it goes by: "bim eps=8/255"."""

    name: str
    method: Method
    settings: dict[str, Any]

    @property
    def label(self) -> str:
        """The name without the method's."""
        return self.name.removeprefix(self.method.name).strip() or "default"


@dataclass(frozen=True, slots=True)
class Bench:
    """What is compared, on what, and before whom.

    `people`: a folder with a folder of photos per person, of each of which `most` are protected (None: all) and all
    are what a juror compares them with; `surrogates` make every cloak that was not learned beforehand; `lens` has the
    jury; `fmr` of its thresholds; `batch`: faces that are cloaked at once.
    Raises ``SettingError``, ``AuditError`` and ``CalibrationError`` for what cannot be compared.
    """

    runs: tuple[Run, ...]
    people: Path
    out: Path
    surrogates: tuple[Recognizer, ...]
    lens: Lens
    most: int | None = None
    fmr: float = 1e-3
    seed: int = 0
    batch: int = 8

    def __post_init__(self) -> None:
        _check_runs(self.runs)
        _check_folders(self.people, self.out)
        if not self.lens.jury:
            raise SettingError("No juror is left that had no part in the cloaks; name others with --jury.")
        for juror in self.lens.jury:
            juror.threshold(self.fmr)
        self.probes()

    def probes(self) -> list[Picture]:
        """The photos that are protected: the first ones of each person who has others to compare them with."""
        by_person: dict[str, list[Picture]] = {}
        for picture in by_key(self.people).values():
            by_person.setdefault(picture.person, []).append(picture)
        if len(by_person) < 2:
            raise AuditError(
                f"{self.people} holds photos of one person only; a bench needs at least two people, each in a folder "
                "of their own."
            )
        found = [p for photos in by_person.values() if len(photos) > 1 for p in photos[: self.most]]
        if not found:
            raise AuditError(f"Nobody in {self.people} has two photos to be compared with each other; add some.")
        return found

    def folder(self, run: Run) -> Path:
        return self.out / PROTECTED / run.name.replace("/", "-")

    def makers(self, run: Run) -> list[Card]:
        """Whose gradients made a run's cloaks: for a learned method that was long before."""
        learned = run.method.learned
        return list(learned.surrogates) if learned else [surrogate.card for surrogate in self.surrogates]

    def plan(self, run: Run) -> Plan:
        return Plan(
            run.method,
            () if run.method.learned else self.surrogates,
            (),
            self.lens.detector,
            self.lens.detector_name,
            settings=run.settings,
            force=True,  # the folder is the bench's own: what another plan left there is done anew
            seed=self.seed,
            batch=self.batch,
        )


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a run: its `photos` as the jury sees them, and the `seconds` (N,) that each one's cloak took, per
    face."""

    run: Run
    photos: Protected
    seconds: Array


def lpips_network() -> LPIPS | None:
    """The network of LPIPS, where its weights are in visard's folder."""
    path = home() / LPIPS_FILE
    return load_lpips(path) if path.is_file() else None


def inception_network() -> Inception | None:
    """The network whose features FID and KID compare, where its weights are in visard's folder."""
    for name in INCEPTION_FILES:
        if (path := home() / name).is_file():
            return load_inception(path)
    return None


def landmark_network() -> Landmarker:
    """PFLD, or another of 68 points, where its file is in visard's folder; else the one that comes with visard."""
    path = home() / LANDMARKS_FILE
    return onnx_landmarks(path) if path.is_file() else shipped_landmarks()


def lens(jury: Sequence[Recognizer], detector: Any, name: str) -> Lens:
    """The lens of a bench: that of an audit, which measures LPIPS too where its weights are in visard's folder."""
    network = lpips_network()
    qualities = dict(QUALITIES)
    if network is not None:
        qualities["lpips"] = partial(_distance, network)
    return Lens(tuple(jury), detector, name, qualities=qualities)


def run_bench(bench: Bench, watch: Watch = lambda _what, _done, _total: None) -> tuple[list[Result], list[str]]:
    """The results of a bench's runs, over the photos that every run could protect, and doubts about them.

    What an interrupted bench had protected and seen is kept in its folder and not done again. `watch` hears
    (what, done, total). Raises ``AuditError`` when a run can protect nothing.
    """
    probes, doubts = bench.probes(), []
    lost: dict[Path, str] = {}
    seconds = [_protect(bench, run, probes, lost, watch) for run in bench.runs]
    shared = {picture.key for picture in probes if picture.path not in lost}
    if not shared:
        raise AuditError(f"No photo was protected in every run; the first reason: {next(iter(lost.values()))}")
    skipped: dict[Path, str] = {}
    sets = collect(
        bench.people,
        {run.name: bench.folder(run) for run in bench.runs},
        bench.lens,
        bench.out / LOOKS,
        made_by={run.name: bench.makers(run) for run in bench.runs},
        only=shared,
        fmrs=[bench.fmr],
        watch=lambda name, done, total: watch(f"judging {name}", done, total),
        skipped=lambda path, reason: skipped.update({path: reason}),
    )
    for one in sets[1:]:
        if one.seen.keys.tolist() != sets[0].seen.keys.tolist():
            raise AuditError(f"Photos of {one.name} cannot be read back; delete its folder in {bench.out / PROTECTED}.")
    if alone := len({p.person for p in by_key(bench.people).values()}) - len({p.person for p in probes}):
        doubts.append(f"{alone} people have one photo only, with nothing to compare it with: they are left out.")
    if left := {**skipped, **lost}:
        first = next(iter(left.values())).replace(f"{bench.people}/", "")  # the tables are read elsewhere
        doubts.append(f"{len(left)} photos were left out of every run, the first: {first.rstrip('.')}.")
    doubts += [*warnings(sets, bench.fmr), *blind_surrogates(sets[:1], bench.people, bench.lens)]
    return [
        Result(run, one, np.array([taken[key] for key in one.seen.keys]))
        for run, one, taken in zip(bench.runs, sets, seconds, strict=True)
    ], doubts


def _protect(
    bench: Bench, run: Run, probes: Sequence[Picture], lost: dict[Path, str], watch: Watch
) -> dict[str, float]:
    """Protect the probes; the seconds per face by key, and in `lost` why a photo could not be protected."""
    folder = bench.folder(run)
    taken: dict[str, float] = {}
    planned = [(p.path, folder / p.path.relative_to(bench.people)) for p in probes]
    rows = protect_all(
        planned, bench.plan(run), folder / LEDGER, lambda _path, share: watch(run.name, len(taken) + share, len(probes))
    )
    reasons = {}
    for picture, row in zip(probes, rows, strict=True):
        outcome = row.outcome
        if outcome["output"] is None:
            reasons[picture.path] = f"{run.name}: {outcome['message']}"
        taken[picture.key] = outcome.get("cloak_seconds", math.nan) / max(1, len(outcome["faces"]))
        watch(run.name, len(taken), len(probes))
    if len(reasons) == len(probes):
        raise AuditError(f"No photo was protected in every run; the first reason: {next(iter(reasons.values()))}")
    for path, reason in reasons.items():
        lost.setdefault(path, reason)
    return taken


def _check_runs(runs: Sequence[Run]) -> None:
    if not runs:
        raise SettingError('There is nothing to compare; name a run with --run, such as --run "visard ssim=0.96".')
    seen: list[tuple[str, str | None, dict[str, Any]]] = []
    for run in runs:
        run.method.check(run.settings)
        if run.method.aim == "targeted":
            raise SettingError(
                f"{run.method.name} steers toward another person, and a bench compares what steers away; leave it out."
            )
        weights = run.method.learned.sha256 if run.method.learned else None
        full = run.method.name, weights, {**run.method.settings, **run.settings}
        if full in seen:
            raise SettingError(
                f'The run "{run.name}" is given twice (as "{runs[seen.index(full)].name}"); give it once.'
            )
        seen.append(full)


def _check_folders(people: Path, out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise SettingError(f"{out} is a file; name a folder for the bench.")
    own, photos = out.resolve(), people.resolve()
    if own.is_relative_to(photos) or photos.is_relative_to(own / PROTECTED):
        raise SettingError(f"{out} lies among the photos; choose another folder for the bench.")


def _distance(lpips: Any, a: Array, b: Array) -> float:
    both = torch.from_numpy(np.stack([a, b])).float().permute(0, 3, 1, 2)
    with torch.no_grad():
        return float(lpips(both[:1], both[1:])[0])
