"""What an audit found: every table of the report, from the trials."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from visard.audit.collection import QUALITIES
from visard.audit.tables import NOTHING, Cell, Table, percent, share, spread
from visard.audit.trials import (
    Array,
    Gallery,
    Seen,
    Trials,
    compare,
    pairs_with,
    protection,
    quadrants,
    rate,
    run,
)
from visard.errors import CalibrationError
from visard.measure import Rate, bootstrap, bootstrap_eer, d_prime, eer, fnir_at_fpir, pair_histograms
from visard.recognizer import Card, Recognizer
from visard.recognizer.card import kin

FMRS = (1e-3, 1e-2)
FPIRS = (1e-1, 1e-2, 1e-3)
TOP = (1, 5, 10)
MOST_PAIRS = 20_000_000  # of which an equal error rate gets its interval; with more it would be narrow
_QUALITY_NAMES = {"ssim": "SSIM", "psnr": "PSNR (dB)", "ciede2000": "CIEDE2000", "visibility": "visibility (JND)"}


class Scores(NamedTuple):
    """One juror's scores as saved: of clean and protected probes with their mates (G,), and with others (I,), probe
    after probe; `people` (G,) whose mate it was; `comparisons` (N,) with others by probe."""

    clean: Array
    protected: Array
    clean_other: Array
    protected_other: Array
    people: Array
    comparisons: Array


@dataclass
class Protected:
    """One set of protected photos: its `name`, what was `seen`, against which `gallery`; `surrogates` that made it,
    None if that is not known."""

    name: str
    seen: Seen
    gallery: Gallery
    own: Array
    surrogates: tuple[Card, ...] | None
    jury: tuple[Recognizer, ...]
    conditions: tuple[str, ...]

    @cached_property
    def trials(self) -> dict[tuple[str, str], Trials]:
        """By (juror, condition)."""
        return {
            (juror.name, condition): run(self.seen, self.gallery, juror.name, number)
            for juror in self.jury
            for number, condition in enumerate(self.conditions)
        }

    def scores(self, juror: Recognizer) -> Scores:
        """Computed anew each time: of a large collection they fill gigabytes."""
        mate, other = pairs_with(self.seen.people, self.gallery.people, self.gallery.own)
        clean, protected = (
            compare(looks[juror.name][:, 0], self.gallery.embeddings[juror.name], self.gallery.own)
            for looks in (self.seen.before, self.seen.after)
        )
        people = np.repeat(self.seen.people, mate.sum(axis=1))
        return Scores(clean[mate], protected[mate], clean[other], protected[other], people, other.sum(axis=1))

    @cached_property
    def pair_people(self) -> tuple[Array, Array]:
        """Who is compared with whom in ``scores``, mates (G,) and then others (I,): numbers of people (G + I,)."""
        codes = np.unique(np.concatenate([self.seen.people, self.gallery.people]), return_inverse=True)[1]
        probes, gallery = codes[: len(self.seen.people)], codes[len(self.seen.people) :]
        places = [np.nonzero(kind) for kind in pairs_with(self.seen.people, self.gallery.people, self.gallery.own)]
        return np.concatenate([probes[p] for p, _ in places]), np.concatenate([gallery[g] for _, g in places])

    def held_out(self, juror: Recognizer) -> bool:
        """Whether a juror had no part in the cloaks, nor any of its kin."""
        return not any(kin(juror.card, card) for card in self.surrogates or ())

    def protection(self, juror: Recognizer, condition: str, fmr: float, *, conditional: bool = True) -> Rate | None:
        trials = self.trials[juror.name, condition]
        return protection(trials, self.seen.people, juror.threshold(fmr).value, conditional=conditional)

    def held_out_rates(self, condition: str, fmr: float) -> list[Rate]:
        found = [self.protection(juror, condition, fmr) for juror in self.jury if self.held_out(juror)]
        return [r for r in found if r is not None]


def tables(sets: Sequence[Protected]) -> list[Table]:
    """The report's tables, the most important first."""
    return [
        headline(sets),
        transfer(sets),
        *(robustness(one) for one in sets),
        four_quadrants(sets),
        impersonation(sets),
        identification(sets),
        verification(sets),
        quality(sets),
        thresholds(sets[0].jury),
    ]


def headline(sets: Sequence[Protected]) -> Table:
    rows: list[tuple[Cell | str, ...]] = []
    for one in sets:
        found = rate(one.seen.found_after[:, 0], one.seen.people)
        means = [f"{np.mean(one.seen.quality[name]):.3g}" for name in ("ssim", "ciede2000", "visibility")]
        rates = [spread(one.held_out_rates("as saved", fmr)) for fmr in FMRS]
        count = sum(one.held_out(juror) for juror in one.jury)
        rows.append((one.name, str(count), *rates, *means, percent(found)))
    return Table(
        "Protection",
        "Share of photos that match no other photo of their person any more, of those that did before: mean over the "
        "jurors that had no part in the cloaks / the worst of them, with its 95 % interval and number of photos; files "
        "as saved. Beside it what the eye sees, on the 160 px crop, and the share of protected faces that the detector "
        "still finds.",
        ("set", "jurors", *(f"at FMR {fmr:g}" for fmr in FMRS), "SSIM", "CIEDE2000", "visibility", "faces found"),
        tuple(rows),
    )


def transfer(sets: Sequence[Protected]) -> Table:
    jury = sets[0].jury
    rows: list[tuple[Cell | str, ...]] = []
    for conditional in (True, False):
        for one in sets:
            found = [one.protection(j, "as saved", FMRS[0], conditional=conditional) for j in jury]
            cells = [percent(r, muted=not one.held_out(j)) for r, j in zip(found, jury, strict=True)]
            rows.append((one.name if conditional else f"{one.name}, all photos", *cells))
    return Table(
        "Transfer",
        f"Protection at FMR {FMRS[0]:g} by juror, 95 % interval, n photos. Gray: the juror, or its kin, made these "
        "cloaks. All photos: also those that the juror missed when they were clean.",
        ("set", *(j.name for j in jury)),
        tuple(rows),
    )


def robustness(one: Protected) -> Table:
    rows: list[tuple[Cell | str, ...]] = []
    for condition in one.conditions:
        cells = [percent(one.protection(j, condition, FMRS[0]), muted=not one.held_out(j)) for j in one.jury]
        number = one.conditions.index(condition)
        found = [rate(f[:, number], one.seen.people) for f in (one.seen.found_before, one.seen.found_after)]
        both = spread(one.held_out_rates(condition, FMRS[0]))
        rows.append((condition, *cells, both, *map(percent, found)))
    return Table(
        f"Robustness: {one.name}",
        f"Protection at FMR {FMRS[0]:g} after what happens to posted photos, clean and protected photo alike; PNG "
        "copies are as saved. Screenshot: shown at three quarters and enlarged again. Second detector (where asked "
        "for): another program finds the face.",
        ("condition", *(j.name for j in one.jury), "mean / worst", "clean faces found", "protected faces found"),
        tuple(rows),
    )


def four_quadrants(sets: Sequence[Protected]) -> Table:
    names = [(p, g) for p in ("clean", "protected") for g in ("clean", "protected")]
    rows: list[tuple[Cell | str, ...]] = []
    for one in sets:
        paired = pairs_with(one.seen.people, one.seen.people, one.own)[0].any(axis=1)
        for juror in one.jury:
            found = quadrants(one.seen, one.own, juror.name)
            threshold = juror.threshold(FMRS[0]).value
            cells = [rate(found[name][paired] >= threshold, one.seen.people[paired]) for name in names]
            rows.append((one.name, _label(one, juror), *(percent(c, muted=not one.held_out(juror)) for c in cells)))
    return Table(
        "Four quadrants",
        f"Share of probes that match another photo of their person at FMR {FMRS[0]:g}, by probe and gallery, within "
        "the collection, as saved.",
        ("set", "juror", *(f"{p} probe, {g} gallery" for p, g in names)),
        tuple(rows),
    )


def _label(one: Protected, juror: Recognizer) -> Cell:
    return Cell(juror.name, muted=not one.held_out(juror))


def impersonation(sets: Sequence[Protected]) -> Table:
    rows: list[tuple[Cell | str, ...]] = []
    for one in sets:
        for juror in one.jury:
            scores = one.scores(juror)
            cells = [
                _matching(others, scores.comparisons, juror.threshold(fmr).value, one.seen.people)
                for fmr in FMRS
                for others in (scores.clean_other, scores.protected_other)
            ]
            rows.append((one.name, _label(one, juror), *cells, f"{scores.comparisons.sum():,}"))
    return Table(
        "Impersonation",
        "Share of the photos of other people that a probe matches, clean and protected, mean over probes, 95 % "
        "interval over people: a cloak should not turn people into each other.",
        ("set", "juror", *(f"{k}, FMR {f:g}" for f in FMRS for k in ("clean", "protected")), "comparisons"),
        tuple(rows),
    )


def _matching(scores: Array, comparisons: Array, threshold: float, people: Array) -> str:
    """The mean share of their `comparisons` (N,) in which probes reach the threshold; `scores` (I,) in their order."""
    some = comparisons > 0
    starts = np.cumsum(comparisons[some]) - comparisons[some]
    hits = np.add.reduceat(scores >= threshold, starts, dtype=np.intp) if some.any() else np.empty(0)
    found = rate(hits / comparisons[some], people[some])
    if found is None:
        return NOTHING
    return f"{found.value:.2e} [{found.low:.1e}, {found.high:.1e}] n={found.trials}"


def identification(sets: Sequence[Protected]) -> Table:
    rows: list[tuple[Cell | str, ...]] = []
    for one in sets:
        for juror in one.jury:
            trials = one.trials[juror.name, "as saved"]
            some = trials.mates > 0
            for kind, ranks, best in (
                ("clean", trials.clean_rank, trials.clean_mate),
                ("protected", trials.protected_rank, trials.protected_mate),
            ):
                cells = [percent(rate(ranks[some] <= k, one.seen.people[some])) for k in TOP]
                open_set = [_open_set(best[some], one.seen.people[some], trials.clean_other, fpir) for fpir in FPIRS]
                rows.append((one.name, _label(one, juror), kind, *cells, *open_set))
    size = len(sets[0].gallery.people)
    return Table(
        "Identification",
        f"Share of probes whose person is among the best 1, 5 and 10 of a gallery of {size:,} clean photos, and the "
        "false negative identification rate of an open-set search, whose threshold is that of clean probes without "
        "their person in the gallery.",
        ("set", "juror", "probe", *(f"rank-{k}" for k in TOP), *(f"FNIR at FPIR {f:g}" for f in FPIRS)),
        tuple(rows),
    )


def _open_set(best: Array, people: Array, strangers: Array, fpir: float) -> Cell | str:
    """The share of probes whose `best` mate (P,) stays below the threshold that a share `fpir` of searches without
    the person reach; `strangers` (N,): the best score of each of those."""
    if not len(best):
        return NOTHING
    try:
        threshold = fnir_at_fpir(best[:, None], np.zeros(len(best)), [0], strangers[:, None], fpir).threshold
    except CalibrationError:
        return f"needs {round(30 / fpir):,} searches"
    return percent(rate(best < threshold, people))


def verification(sets: Sequence[Protected]) -> Table:
    rows: list[tuple[Cell | str, ...]] = []
    for one in sets:
        for juror in one.jury:
            scores = one.scores(juror)
            for kind, genuine, impostor in (
                ("clean", scores.clean, scores.clean_other),
                ("protected", scores.protected, scores.protected_other),
            ):
                counts = f"{len(genuine):,}", f"{len(impostor):,}"
                if not len(genuine) or not len(impostor):
                    rows.append((one.name, _label(one, juror), kind, *[NOTHING] * 3, *counts))
                    continue
                misses = percent(rate(genuine < juror.threshold(FMRS[0]).value, scores.people))
                both = _equal_error(one, genuine, impostor), f"{d_prime(genuine, impostor):.2f}"
                rows.append((one.name, _label(one, juror), kind, *both, misses, *counts))
    return Table(
        "Verification",
        "Probes against a clean gallery, pair by pair, as saved: equal error rate (interpolated), d', and the false "
        f"non-match rate at the threshold for FMR {FMRS[0]:g}, 95 % interval over people.",
        ("set", "juror", "probe", "EER", "d'", "FNMR", "genuine pairs", "impostor pairs"),
        tuple(rows),
    )


def _equal_error(one: Protected, genuine: Array, impostor: Array) -> str:
    text = f"{100 * eer(genuine, impostor):.2f} %"
    if len(genuine) + len(impostor) > MOST_PAIRS:
        return text
    low, high = bootstrap_eer(pair_histograms(np.concatenate([genuine, impostor]), *one.pair_people))
    return f"{text} [{100 * low:.1f}, {100 * high:.1f}]"


def quality(sets: Sequence[Protected]) -> Table:
    rows: list[tuple[Cell | str, ...]] = []
    for one in sets:
        cells = []
        for name in QUALITIES:
            values = one.seen.quality[name]
            finite = np.isfinite(values)
            if not finite.any():
                cells.append("equal")
                continue
            low, high = bootstrap(values[finite], one.seen.people[finite])
            cells.append(f"{values[finite].mean():.4g} [{low:.4g}, {high:.4g}]")
        rows.append((one.name, *cells, str(len(one.seen.people))))
    return Table(
        "Visibility",
        "Original against protected file on the 160 px crop of the face, range [0, 1], SSIM with a Gaussian window of "
        "11 px; mean, 95 % interval over people.",
        ("set", *(_QUALITY_NAMES[name] for name in QUALITIES), "photos"),
        tuple(rows),
    )


def thresholds(jury: Sequence[Recognizer]) -> Table:
    rows: list[tuple[Cell | str, ...]] = []
    for juror in jury:
        for fmr in FMRS:
            t = juror.threshold(fmr)
            fnmr = NOTHING if t.fnmr is None else share(t.fnmr)
            rows.append((juror.name, f"{fmr:g}", f"{t.value:.4f}", fnmr, f"{t.pairs:,}", f"{t.people:,}", t.dataset))
    return Table(
        "Thresholds",
        "At or above this similarity two photos count as one person; computed on people who are in no test.",
        ("juror", "FMR", "threshold", "FNMR there", "impostor pairs", "people", "dataset"),
        tuple(rows),
    )
