"""Rates of the rows, tables with the print beside ours, claims and doubts."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from visard.audit.difference import Difference
from visard.audit.tables import Cell, Table, percent, share
from visard.audit.trials import rate
from visard.measure import Rate
from visard.papers.cast import introduced
from visard.papers.faces import judgeable
from visard.papers.paper import Claim, Printed, beside
from visard.papers.rows import Array, column, columns, mean, where
from visard.papers.study import Row
from visard.papers.yang2021tipim.experiment import FMR, PARTS, SWEPT, Scene
from visard.recognizer.card import kin

METRICS = ("Rank-1-T", "Rank-5-T", "Rank-1-UT", "Rank-5-UT")
_REPRODUCED = 0.007  # the middle one of the reproduction's gammas
_DESTROYED = 0.5  # of what the cloak adds to the clean probes' Rank-1-UT
_NEAR_ONE = 0.9
_MOST = 2.5  # the paper's largest gamma
_DENSE = 3.6  # up to this gamma the sums are dense enough to be read between


def hits(rows: Sequence[Row], metric: str, *, clean: bool = False) -> Array:
    """Whether a cloak succeeded by Rank-N-T or Rank-N-UT, per row; `clean`: the same of the clean probe."""
    _, n, kind = metric.split("-")
    among = column(rows, ("clean_" if clean else "") + ("target_rank" if kind == "T" else "mate_rank")) <= int(n)
    return among if kind == "T" else ~among


def rank_rate(rows: Sequence[Row], metric: str, *, clean: bool = False) -> Rate | None:
    """Rank-N-T or Rank-N-UT with its interval."""
    return rate(hits(rows, metric, clean=clean), column(rows, "person"))


def protected(rows: Sequence[Row]) -> Rate | None:
    """The share below the threshold at FMR 1e-3, of those whose clean probe matched its mate; None without one."""
    counted = [row for row in rows if row["threshold"] is not None and row["clean_mate"] >= row["threshold"]]
    people, mates, thresholds = columns(counted, "person", "mate", "threshold")
    return rate(mates < thresholds, people)


def matrix_table(rows: Sequence[Row], printed: Printed, names: Mapping[str, str]) -> Table:
    """One row per surrogate and recognizer; the surrogate's own are muted."""
    body: list[tuple[Cell | str, ...]] = []
    for surrogate in names:
        for judge in names:
            some = where(rows, surrogate=surrogate, judge=judge)
            cells = [_rank_cell(some, m, printed.get(("matrix", f"{surrogate} -> {judge}", m))) for m in METRICS]
            cells.append(percent(protected(some)))
            body.append((names[surrogate], names[judge], *(replace(c, muted=surrogate == judge) for c in cells)))
    return Table(
        "Surrogates against recognizers, gamma 0",
        "Rank-N-T: a target is among the first N of the gallery. Rank-N-UT: the person is not. Behind each its value "
        f"for the clean probes. Protected: below the threshold at FMR {FMR:g}, of those whose clean probe matched. "
        "Gray: the recognizer made the cloaks.",
        ("surrogate", "recognizer", *METRICS, "protected"),
        tuple(body),
    )


def gamma_table(rows: Sequence[Row], printed: Printed, names: Mapping[str, str], judge: str) -> Table:
    """The sweep, as one recognizer sees it."""
    own = judge == SWEPT
    body: list[tuple[Cell | str, ...]] = []
    for reduction, gamma, as_sum in runs(rows):
        some = where(rows, reduction=reduction, gamma=gamma, judge=judge)
        reproduced = printed if reduction == "mean" else {}
        ranked = (_rank_cell(some, metric, reproduced.get(("gamma", f"{gamma:g}", metric))) for metric in METRICS)
        visible = (f"{mean(some, 'psnr'):.1f}", f"{mean(some, 'ssim'):.3f}") if own else ()
        body.append((f"{gamma:g}", reduction, f"{as_sum:.4g}", *ranked, percent(protected(some)), *visible))
    how = "the recognizer made the cloaks (white box)" if own else "it had no part in the cloaks"
    return Table(
        f"Gamma: {names[SWEPT]} against {names[judge]}",
        f"Here {how}. Every gamma with the distance a sum over the embedding's dimensions (the paper) or a "
        "mean (the published code); as a sum: what it would be there."
        + (" PSNR in dB and SSIM: the 160 px crop." if own else ""),
        ("gamma", "reduction", "as a sum", *METRICS, "protected", *(("PSNR", "SSIM") if own else ())),
        tuple(body),
    )


def visibility_table(rows: Sequence[Row], names: Mapping[str, str]) -> Table:
    """How far the matrix's cloaks can be seen."""
    body: list[tuple[Cell | str, ...]] = []
    for surrogate, name in names.items():
        some = where(rows, surrogate=surrogate, judge=surrogate)
        found = percent(rate(*columns(some, "found", "person")))
        body.append((name, str(len(some)), f"{mean(some, 'psnr'):.1f}", f"{mean(some, 'ssim'):.3f}", found))
    return Table(
        "Visibility of the cloaks, gamma 0",
        "Means on the 160 px crop, PSNR in dB; found: the detector finds the face in the cloaked photo.",
        ("surrogate", "n", "PSNR", "SSIM", "found"),
        tuple(body),
    )


def _rank_cell(rows: Sequence[Row], metric: str, printed: float | None) -> Cell:
    """Ours and the print, in percent, and the clean probes' value."""
    clean = rank_rate(rows, metric, clean=True)
    cell = beside(rank_rate(rows, metric), None if printed is None else round(100 * printed, 6))
    return cell if clean is None else Cell(f"{cell.text}; clean {share(clean.value)}")


def runs(rows: Sequence[Row]) -> list[tuple[str, float, float]]:
    """Reduction, gamma and gamma as a sum of each run of the sweep, sums first, by gamma."""
    found = {(row["reduction"], row["gamma"], row["as_sum"]) for row in rows}
    return sorted(found, key=lambda one: (one[0] != "sum", one[1]))


def curve(rows: Sequence[Row], reduction: str, judges: Collection[str]) -> Array:
    """(gamma, gamma as a sum, Rank-1-UT, PSNR) along the sweep, (K, 4), over `judges`; gamma 0 belongs to both
    reductions."""
    some = [row for row in rows if row["judge"] in judges]
    found = []
    for kind, gamma, as_sum in runs(some):
        if kind == reduction or gamma == 0:
            here = where(some, reduction=kind, gamma=gamma)
            found.append((gamma, as_sum, hits(here, "Rank-1-UT").mean(), mean(here, "psnr")))
    return np.array(found)


def claims(matrix: Sequence[Row], sweep: Sequence[Row]) -> tuple[Claim, ...]:
    """What the paper and the reproduction say, and what is seen here."""
    return (
        _white_box(matrix),
        _transfer(matrix),
        *_trade(sweep),
        *(_destroys(sweep, kind) for kind in ("mean", "sum")),
        _one_curve(sweep),
    )


def _white_box(rows: Sequence[Row]) -> Claim:
    near, texts = True, []
    for metric in ("Rank-1-T", "Rank-1-UT"):
        rates = [rank_rate(where(rows, surrogate=part, judge=part), metric) for part in PARTS]
        near &= all(one is not None and one.value >= _NEAR_ONE for one in rates)
        texts.append(f"{metric} {', '.join(percent(one).text for one in rates)}")
    return Claim(
        "Against the recognizer that made it, a cloak nearly always works.",
        near,
        f"{', '.join(PARTS)}, white box: {'; '.join(texts)}; nearly always: at least {share(_NEAR_ONE)}",
    )


def _transfer(rows: Sequence[Row]) -> Claim:
    own, other, people = [], [], []
    for part in PARTS:
        ut = {judge: hits(where(rows, surrogate=part, judge=judge), "Rank-1-UT") for judge in PARTS}
        own.append(ut.pop(part))
        other.append(np.mean(list(ut.values()), axis=0))
        people.append(column(where(rows, surrogate=part, judge=part), "person"))
    white, transfer = np.concatenate(own), np.concatenate(other)
    found = Difference.of(white, transfer, np.concatenate(people))
    return Claim(
        "Against recognizers that had no part in it, a cloak works less often.",
        found.positive,
        f"Rank-1-UT {share(white.mean())} white box, {share(transfer.mean())} transfer; the difference in points "
        f"{found.text(0, times=100)}",
    )


def _trade(rows: Sequence[Row]) -> tuple[Claim, Claim]:
    sums = where(rows, judge=SWEPT, reduction="sum")
    start, end = where(sums, gamma=0.0), where(sums, gamma=_MOST)
    people = column(start, "person")
    finer, closer = (Difference.of(column(end, name), column(start, name), people) for name in ("psnr", "mate"))
    before, after = (percent(rank_rate(some, "Rank-1-UT")).text for some in (start, end))
    return (
        Claim(
            "Naturalness grows with gamma.",
            finer.positive,
            f"PSNR of gamma {_MOST:g} as a sum, less that of 0: {finer.text(1, ' dB')}",
        ),
        Claim(
            "Protection falls as gamma grows.",
            closer.positive,
            f"from gamma 0 to {_MOST:g} as a sum the cosine to the mate changes by {closer.text(3)}, Rank-1-UT from "
            f"{before} to {after}",
        ),
    )


def _destroys(rows: Sequence[Row], reduction: str) -> Claim:
    """Whether gamma .007 takes half or more of what the cloak adds to the clean probes' Rank-1-UT."""
    some = where(rows, judge=SWEPT)
    start, here = where(some, reduction="sum", gamma=0.0), where(some, reduction=reduction, gamma=_REPRODUCED)
    clean = float(hits(start, "Rank-1-UT", clean=True).mean())
    full, left = (rank_rate(part, "Rank-1-UT") for part in (start, here))
    kept = (left.value - clean) / (full.value - clean) if left and full and full.value > clean else None
    source = "published code" if reduction == "mean" else "paper"
    rest = "" if kept is None else f": {share(max(0.0, kept))} of what the cloak adds is left; destroyed: at most half"
    return Claim(
        f"Gamma .007 destroys the protection (the reproduction), where D is the {reduction} ({source}).",
        None if kept is None else kept <= _DESTROYED,
        f"Rank-1-UT clean {share(clean)}, gamma 0 {percent(full).text}, gamma .007 {percent(left).text}{rest}",
    )


def _one_curve(rows: Sequence[Row]) -> Claim:
    """Whether the mean's PSNR lies on the sum's curve, read between its points, at the same gamma as a sum."""
    sums, means = (curve(rows, kind, {SWEPT}) for kind in ("sum", "mean"))
    inside = means[(means[:, 1] > 0) & (means[:, 1] <= _DENSE)]
    if not len(inside):
        return Claim("Both reductions are one curve.", None, "no gamma of the mean lies within the sums")
    apart = np.abs(inside[:, 3] - np.interp(inside[:, 1], sums[:, 1], sums[:, 3]))
    span = float(np.ptp(sums[sums[:, 1] <= _DENSE, 3]))
    return Claim(
        "A gamma of the mean is that gamma times the dimensions of the sum: both reductions are one curve (ours).",
        bool(apart.max() < max(0.1 * span, 0.3)),
        f"PSNR at the same gamma as a sum, read between the points: at most {apart.max():.2f} dB apart, where the sums "
        f"span {span:.1f} dB",
    )


def stand_ins(scene: Scene) -> tuple[str, ...]:
    """What plays what, a sentence each."""
    dataset = judgeable(scene.study)
    probes, targets, others = (len(scene.paths(role)) for role in ("probe", "target", "other"))
    data = "The photos are of LFW" if dataset.name == "LFW" else f"{dataset.name} plays LFW"
    played = []
    for part, one in scene.parts.items():
        card = one.card
        facts = f"loss: {card.loss}", f"trained on: {card.training_data}", f"{card.dim} dimensions"
        played.append(introduced(scene.study, part, one, card.architecture, *facts))
    return (
        f"{data}: {probes} people with two photos each give probes and mates, {targets} others are the targets, and "
        f"{others} more fill the gallery.",
        *played,
    )


def doubts(scene: Scene, sweep: Sequence[Row]) -> tuple[str, ...]:
    """What makes the figures doubtful."""
    size, found = scene.size, []
    for (a, first), (b, second) in combinations(scene.parts.items(), 2):
        if kin(first.card, second.card):
            found.append(
                f"{a} and {b} are played by kin ({first.name}, {second.name}): between them it is no transfer."
            )
    for part, one in scene.parts.items():
        if FMR not in one.card.valid_thresholds:
            found.append(
                f"{one.name}, which plays {part}, has no threshold at FMR {FMR:g}: no protection is counted by it."
            )
    people = len({row["person"] for row in sweep})
    if size.sweep_steps < size.steps or people < len(scene.probes):
        found.append(
            f"The sweep over gamma has {people} probes and {size.sweep_steps} steps, the matrix {len(scene.probes)} "
            f"and {size.steps}: compare its gammas with each other, not with the matrix."
        )
    found.append(
        "Two more errors of the print are in figures that are not set beside ours, so nothing checks them here: the "
        "reproduction's row of gamma .0007 holds multiples of 1/6 (six probes), and the last two rows of its Fig. 8 "
        "are copies of Fig. 7's."
    )
    return tuple(found)
