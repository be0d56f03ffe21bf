"""The attack success rates beside the print, the error rates, claims and doubts."""

from collections.abc import Sequence

import numpy as np

from visard.audit.difference import Difference
from visard.audit.tables import Cell, Table, share
from visard.audit.trials import rate
from visard.hardening.outcome import FAR, MIXED, NORMAL, REGIMES
from visard.measure import Rate, required_pairs
from visard.papers.cast import introduced
from visard.papers.paper import Claim, Printed, beside
from visard.papers.rows import Array, columns, where
from visard.papers.study import Row
from visard.papers.vos2023.experiment import (
    ADVFACES,
    BEYOND,
    BOTH,
    CLEAN,
    DATASETS,
    FAWKES,
    LATENT,
    LEARNED,
    MARGIN,
    METHODS,
    NONE,
    Rows,
    Scene,
)
from visard.papers.vos2023.people import CALIBRATION, EVERYONE, FIRST, SECOND, TRAINING

GOAL_TRAINED, GOAL_UNSEEN, GOAL_CLEAN = 0.01, 0.10, 0.002
"""Ours, not the paper's: the rates after the hardening, and what the equal error rate of clean photos may gain."""
_ARM = {NONE: "before", BOTH: "after"}


def missed(found: Rows, arm: str, dataset: str, method: str, regime: str = MIXED) -> tuple[Array, Array]:
    """Of the genuine comparisons, whether each is under the recognizer's threshold (K,), and whose it is (K,)."""
    some = where(found.genuine, arm=arm, dataset=dataset, method=method, regime=regime)
    cosines, taus, people = columns(some, "cosine", "tau", "person")
    return cosines < taus, people


def missed_rate(found: Rows, arm: str, dataset: str, method: str, regime: str = MIXED) -> Rate:
    """The attack success rate with its interval; of two clean photos, the false non-match rate."""
    known = rate(*missed(found, arm, dataset, method, regime))
    assert known is not None  # ``judged`` refuses groups without a genuine comparison
    return known


def asr_table(found: Rows, printed: Printed, arms: Sequence[str]) -> Table:
    """The paper's table: a row per dataset and method, a column per arm; under them the same of clean photos."""
    body: list[tuple[Cell | str, ...]] = []
    for dataset in DATASETS:
        for method in METHODS:
            of_print = {arm: printed.get(("ASR", f"{dataset} {method}", when)) for arm, when in _ARM.items()}
            cells = [beside(_fine(missed_rate(found, arm, dataset, method)), of_print.get(arm)) for arm in arms]
            body.append((dataset, method + ("" if method == ADVFACES else " (unseen)"), *cells))
        clean = [Cell(_fine(missed_rate(found, arm, dataset, ADVFACES, NORMAL)), muted=True) for arm in arms]
        body.append((dataset, "no cloak: FNMR", *clean))
    return Table(
        "Attack success rate",
        "The share of genuine comparisons of a cloaked photo with another, clean photo of the person that lie under "
        f"tau; tau is each recognizer's own, the lowest threshold with FAR under {FAR:g} on other people. Columns: the "
        f"recognizer as it was ({NONE}), and trained on the {CLEAN}, the obfuscated or {BOTH} kinds of photos"
        + f"; beyond the paper, {MARGIN}: both with CosFace as head"
        + (f", and {BEYOND}: visard's own defence" if BEYOND in arms else "")
        + ". Gray: the same of two clean photos, under which no attack success rate can be expected to fall.",
        ("people", "cloak", *arms),
        tuple(body),
    )


def error_table(found: Rows, arms: Sequence[str]) -> Table:
    """Equal error rates by regime, in a row per dataset, method and regime; clean pairs once per dataset."""
    body: list[tuple[Cell | str, ...]] = []
    for dataset in DATASETS:
        for regime in REGIMES:
            for method in METHODS if regime != NORMAL else METHODS[:1]:
                rows = [_error(found, arm, dataset, method, regime) for arm in arms]
                cells = [
                    f"{100 * r['value']:.2f} % [{100 * r['low']:.2f}, {100 * r['high']:.2f}] ({100 * r['eer_vos']:.2f})"
                    for r in rows
                ]
                body.append((dataset, regime, "" if regime == NORMAL else method, *cells))
    return Table(
        "Equal error rate by regime",
        "By interpolation, with its interval over people; in brackets (FAR + FRR) / 2 where the two are closest, as "
        "the paper computes it. Normal: a clean photo; obfuscated: a cloaked one. No photo meets itself.",
        ("people", "regime", "cloak", *arms),
        tuple(body),
    )


def threshold_table(scene: Scene, found: Rows, arms: Sequence[str]) -> Table:
    """Each recognizer's threshold, and what the hardening cost on clean photos."""
    body: list[tuple[Cell | str, ...]] = []
    for arm in arms:
        taus = {row["tau"] for row in where(found.errors, arm=arm)}
        costs = [f"{100 * _cost(found, arm, dataset):+.2f} points" for dataset in DATASETS]
        body.append((arm, ", ".join(f"{tau:.4f}" for tau in taus), *costs))
    crops = scene.crops[CALIBRATION]
    return Table(
        "Thresholds, and the cost on clean photos",
        f"tau from {len(crops)} photos of {crops.count} people who are in no other group; the equal error rate of "
        "clean pairs against that of the recognizer before the hardening.",
        ("recognizer", "tau", *(f"EER, {dataset}" for dataset in DATASETS)),
        tuple(body),
    )


def claims(found: Rows, arms: Sequence[str]) -> tuple[Claim, ...]:
    """The paper's directions, as differences on the same comparisons, and the goals that we set."""

    def fewer(dataset: str, method: str, before: str = NONE) -> tuple[Array, Array]:
        """By how much less each comparison is missed (K,): -1, 0 or 1; and whose it is (K,)."""
        (first, people), (then, _) = (missed(found, arm, dataset, method) for arm in (before, BOTH))
        return first.astype(float) - then, people

    said = []
    for text, dataset, method, before in (
        ("Trained on AdvFaces, it misses fewer of its cloaks, on people it never saw.", FIRST, ADVFACES, NONE),
        ("So it does on another dataset.", SECOND, ADVFACES, NONE),
        ("Fewer get away by Fawkes too, which it never saw.", FIRST, FAWKES, NONE),
        ("Fewer get away by the latent-distance model, which it never saw.", FIRST, LATENT, NONE),
        ("Cloaked photos do it: of a recognizer trained on clean ones alone more get away.", FIRST, ADVFACES, CLEAN),
    ):
        less, people = fewer(dataset, method, before)
        said.append(_claim(text, Difference.of(less, np.zeros(len(less)), people)))
    (fawkes, people), (latent, _) = (fewer(FIRST, method) for method in (FAWKES, LATENT))
    text = "It helps more against Fawkes than against the latent-distance model."
    said.append(_claim(text, Difference.of(fawkes, latent, people)))
    return (*said, *(goal for arm in arms if arm in (BOTH, MARGIN, BEYOND) for goal in _goals(found, arm)))


def _claim(text: str, found: Difference) -> Claim:
    return Claim(text, found.positive, found.text(1, " points", times=100))


def _goals(found: Rows, arm: str) -> list[Claim]:
    trained = [missed_rate(found, arm, dataset, ADVFACES) for dataset in DATASETS]
    unseen = [missed_rate(found, arm, dataset, method) for dataset in DATASETS for method in (FAWKES, LATENT)]
    costs = [_cost(found, arm, dataset) for dataset in DATASETS]
    return [
        Claim(
            f"Our goal, {arm}: at most {share(GOAL_TRAINED)} get away by the method it was trained on.",
            all(one.value <= GOAL_TRAINED for one in trained),
            "; ".join(map(_fine, trained)),
        ),
        Claim(
            f"Our goal, {arm}: at most {share(GOAL_UNSEEN)} get away by each unseen method.",
            all(one.value <= GOAL_UNSEEN for one in unseen),
            "; ".join(map(_fine, unseen)),
        ),
        Claim(
            f"Our goal, {arm}: the equal error rate of clean photos gains at most {100 * GOAL_CLEAN:.1f} points.",
            all(cost <= GOAL_CLEAN for cost in costs),
            "; ".join(f"{100 * cost:+.2f} points" for cost in costs),
        ),
    ]


def _error(found: Rows, arm: str, dataset: str, method: str, regime: str) -> Row:
    (row,) = where(found.errors, arm=arm, dataset=dataset, method=method, regime=regime)
    return row


def _cost(found: Rows, arm: str, dataset: str) -> float:
    after, before = (_error(found, one, dataset, ADVFACES, NORMAL)["value"] for one in (arm, NONE))
    return float(after - before)


def _fine(one: Rate) -> str:
    """With a digit more than ``percent`` has: the goals are of single points."""
    return f"{100 * one.value:.1f} % [{100 * one.low:.1f}, {100 * one.high:.1f}] n={one.trials:,}"


def stand_ins(scene: Scene) -> tuple[str, ...]:
    """Who plays the datasets, the network and the latent-distance model."""
    found, crops = scene.groups, scene.crops
    counted = {name: f"{len(one):,} photos of {one.count:,} people" for name, one in crops.items()}
    facts = (scene.base.card.architecture, f"trained on: {scene.base.card.training_data}")
    return (
        f"{found.first} plays FRGC: {counted[TRAINING]} are trained on, {counted[FIRST]}, other people, are judged on. "
        f"The arm adversarial, which needs no names, is trained on {counted[EVERYONE]}.",
        f"{found.second} plays PUT: {counted[SECOND]}, none of them trained on.",
        introduced(scene.study, "recognizer", scene.base, *facts),
        "AdvFaces and the latent-distance model are trained here, on the training people against that recognizer, for "
        f"{scene.effort.steps} steps at {LEARNED[ADVFACES][1]} px; the latter, Kelly's, is our reading of a paper "
        "without public code. Fawkes is visard's own, version 1.0, against the same recognizer.",
    )


def doubts(scene: Scene, found: Rows, arms: Sequence[str]) -> tuple[str, ...]:
    """What makes the comparison with the print doubtful."""
    crops = scene.crops[CALIBRATION]
    weak = [
        f"{method} on {dataset} ({missed_rate(found, NONE, dataset, method).value:.0%})"
        for dataset in DATASETS
        for method in METHODS
        if missed_rate(found, NONE, dataset, method).value < 0.5
    ]
    said = [
        "All cloaks are made against the recognizer as it was before, and frozen; one that is made against the "
        "hardened recognizer may get away (visard duel).",
    ]
    if not scene.groups.apart:
        said.append("There is no second dataset here: what plays PUT are other people of the same one.")
    if weak:
        said.append(f"Before the hardening under half get away by {', '.join(weak)}; the print begins at 77 to 99 %.")
    if (pairs := len(crops) * (len(crops) - 1) // 2) < (needed := required_pairs(FAR)):
        said.append(
            f"tau rests on {pairs:,} pairs of other people; at FAR {FAR:g} it should be {needed:,} (rule of 30)."
        )
    if BEYOND not in arms:
        said.append(f"The defence {BEYOND} is not here, so the paper's arms stand alone.")
    if scene.study.quick:
        said.append("A quick run says nothing of the paper.")
    return tuple(said)


def histogram(found: Rows, kind: str, **place: str) -> Array:
    """The counts (B,) of the cosines of one kind, "genuine" or "impostor", in the bins."""
    (row,) = where(found.bins, kind=kind, **place)
    return np.array(row["counts"].split(), dtype=int)
