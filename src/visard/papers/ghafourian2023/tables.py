"""Tables and claims, the print beside ours, and what makes the comparison doubtful."""

from collections.abc import Sequence
from itertools import pairwise, product

import numpy as np

from visard.audit.difference import Difference
from visard.audit.tables import Cell, Table, percent, share
from visard.audit.trials import rate
from visard.papers.cast import introduced
from visard.papers.ghafourian2023.experiment import LEVELS, METHODS, PARTS, QUALITY, TOPS, Bench, Judge
from visard.papers.ghafourian2023.outcomes import Flags, Outcomes
from visard.papers.paper import Claim, Printed, beside
from visard.papers.rows import Array, columns, where
from visard.papers.study import Row

FEWEST_PROBES = 10  # under so many an interval over people says nothing
CLAIMS = (
    "Untargeted BIM protects better than targeted ILLC against networks that it was not made on.",
    "The protection success rate grows with eps.",
    "The protection success rate falls as k grows.",
    "The protection success rate is higher against the network that the change was made on than against others.",
)


def place(source: str, method: str, level: int, target: str, top: int) -> tuple[str, str, str]:
    """Where a rate stands in the print."""
    return "table 1", f"{source} {method} {level}", f"{target} top-{top}"


def breaks_in_k(printed: Printed) -> list[str]:
    """Where a printed rate rises with k, which the same faces' cannot: "SENet-50 ILLC 32 on FaceNet: ..."."""
    return [
        f"{source} {method} {level} on {target}: {low:g} at top-{k}, {high:g} at top-{more}"
        for source, method, level, target in product(PARTS, METHODS, LEVELS, PARTS)
        for k, more in pairwise(TOPS)
        if (low := printed[place(source, method, level, target, k)])
        < (high := printed[place(source, method, level, target, more)])
    ]


def breaks_in_eps(printed: Printed) -> list[str]:
    """Where a printed rate falls as eps grows: "SENet-50 ILLC on FaceNet, top-25: 13 at 16, 2 at 32"."""
    return [
        f"{source} {method} on {target}, top-{k}: {high:g} at {level}, {low:g} at {larger}"
        for source, method, target, k in product(PARTS, METHODS, PARTS, TOPS)
        for level, larger in pairwise(LEVELS)
        if (high := printed[place(source, method, level, target, k)])
        > (low := printed[place(source, method, larger, target, k)])
    ]


def summary(outcomes: Outcomes, printed: Printed) -> Table:
    """Top-1 PSR on the source itself and on the two others, by eps."""
    counted = outcomes.counted(conditional=True, missed=True)
    rows: list[tuple[Cell | str, ...]] = []
    for (s, source), (m, method) in product(enumerate(PARTS), enumerate(METHODS)):
        others = [t for t in range(len(PARTS)) if t != s]
        for who, targets in (("itself", [s]), ("the others", others)):
            cells = []
            for e, level in enumerate(outcomes.levels):
                of_print = np.mean([printed[place(source, method, level, PARTS[t], 1)] for t in targets])
                cells.append(beside(outcomes.rate(counted, s, m, e, targets, 0), float(of_print)))
            rows.append((f"{source} {method}", who, *cells))
    return Table(
        "Protection success rate in short",
        "Top-1: the share of faces, named rightly before, that the target no longer names rightly once they are "
        "changed on the source, saved and read again. A face that is not found counts as protected.",
        ("source and method", "target", *(f"eps {level}" for level in outcomes.levels)),
        tuple(rows),
    )


def long_table(outcomes: Outcomes, printed: Printed, *, conditional: bool, missed: bool) -> Table:
    """All cells, counted one way."""
    counted = outcomes.counted(conditional=conditional, missed=missed)
    rows: list[tuple[Cell | str, ...]] = []
    for (s, source), (m, method), (e, level) in product(
        enumerate(PARTS), enumerate(METHODS), enumerate(outcomes.levels)
    ):
        cells = [
            beside(outcomes.rate(counted, s, m, e, t, k), printed[place(source, method, level, target, top)])
            for (t, target), (k, top) in product(enumerate(PARTS), enumerate(TOPS))
        ]
        rows.append((f"{source} {method} {level}", *cells))
    whose = "faces named rightly before" if conditional else "all faces"
    which = "those not found count as protected" if missed else "those not found are left out"
    note = (
        "Counted are the faces whose person was among the target's top k in the unchanged picture: what the change "
        "did, and nothing else."
        if conditional
        else "The paper's equation 5 as it stands: faces that the target did not name before the change count too."
    )
    return Table(
        f"PSR of {whose}; {which}",
        note,
        ("source, method, eps", *(f"{target} top-{top}" for target, top in product(PARTS, TOPS))),
        tuple(rows),
    )


def classifiers(accuracy: Sequence[Row], outcomes: Outcomes, bench: Bench) -> Table:
    """How well the classifiers do on photos that nobody changed."""
    enrolled = sum(len(shots) - 1 for shots in bench.shots.values())
    rows: list[tuple[Cell | str, ...]] = []
    for t, part in enumerate(PARTS):
        people, places = columns(where(accuracy, target=part), "person", "rank")
        held_out = [percent(rate(places <= top, people)) for top in (TOPS[0], TOPS[-1])]
        probes = percent(rate(outcomes.known[t, 0], outcomes.people))
        rows.append((part, bench.recognizers[part].name, f"{len(bench.people):,}", f"{enrolled:,}", *held_out, probes))
    return Table(
        "The classifiers",
        f"The share of subjects named rightly: in their held-out photos as they are, and in the {len(outcomes.people)} "
        f"probes, saved as JPEG at quality {QUALITY} without a change.",
        ("part", "network", "subjects", "photos learned from", "top-1", f"top-{TOPS[-1]}", "probes, top-1"),
        tuple(rows),
    )


def undetected(outcomes: Outcomes) -> Table:
    """Which faces are not found in the saved file."""
    rows: tuple[tuple[Cell | str, ...], ...] = tuple(
        (f"{source} {method}", *(percent(rate(~found, outcomes.people)) for found in outcomes.found[s, m]))
        for (s, source), (m, method) in product(enumerate(PARTS), enumerate(METHODS))
    )
    return Table(
        "Faces that are not found",
        "The share of saved pictures in which the detector does not find the face any more; in the unchanged "
        "pictures it found all of them, since the probes were chosen so.",
        ("source and method", *(f"eps {level}" for level in outcomes.levels)),
        rows,
    )


def claims(outcomes: Outcomes, printed: Printed) -> tuple[Claim, ...]:
    """The paper's directions of effect, each as a paired difference over the same probes."""
    sure = outcomes.sure
    if sure.sum() < FEWEST_PROBES:
        few = f"{sure.sum()} probes are named first by all targets in the unchanged picture, fewer than {FEWEST_PROBES}"
        return tuple(Claim(text, None, few) for text in CLAIMS)
    people, flags = outcomes.people[sure], outcomes.protected[..., sure]  # (S, M, E, T, K, P)
    pairs, itself = flags.transpose(0, 3, 1, 2, 4, 5), np.eye(len(PARTS), dtype=bool)  # (S, T, M, E, K, P)
    transfer, white = pairs[~itself], pairs[itself]  # (pairs, M, E, K, P)
    among = f"over the {len(people)} probes that all targets name first in the unchanged picture"

    method = _gap(transfer[:, 1], transfer[:, 0], people)
    higher, equal, lower = _printed_wins(printed)
    whole = _gap(flags[:, :, -1], flags[:, :, 0], people)
    rises = [_gap(flags[:, :, e + 1], flags[:, :, e], people) for e in range(len(outcomes.levels) - 1)]
    doublings = "; ".join(
        f"from {low} to {high} {_points(found)}"
        for (low, high), found in zip(pairwise(outcomes.levels), rises, strict=True)
    )
    falls = _gap(flags[..., 0, :], flags[..., -1, :], people)
    nearer = _gap(white, transfer, people)
    grows = False if any(found.positive is False for found in rises) else whole.positive
    first, last = outcomes.levels[0], outcomes.levels[-1]
    evidence = (
        (
            method.positive,
            f"BIM less ILLC on the other targets, all eps and k: {_points(method)}, {among}; the printed BIM is higher "
            f"in {higher} of the 180 cells, equal in {equal}, lower in {lower}",
        ),
        (
            grows,
            f"from eps {first} to {last}, all cells: {_points(whole)}; step by step, {doublings}; {among}; of the "
            f"print's 450 steps from one eps to the next {len(breaks_in_eps(printed))} go down",
        ),
        (
            falls.positive,
            f"top-1 less top-50: {_points(falls)}, {among}; for the same faces it cannot rise, by its definition; of "
            f"the print's 432 steps from one k to the next {len(breaks_in_k(printed))} goes up",
        ),
        (nearer.positive, f"the source itself less the other targets: {_points(nearer)}, {among}"),
    )
    return tuple(Claim(text, *found) for text, found in zip(CLAIMS, evidence, strict=True))


def _gap(ours: Flags, other: Flags, people: Array) -> Difference:
    """How much higher the rates of `ours` (..., P) are than those of `other` (..., P), each a mean over its cells."""
    first, second = (flags.reshape(-1, len(people)).mean(axis=0) for flags in (ours, other))
    return Difference.of(first, second, people)


def _points(found: Difference) -> str:
    return found.text(1, " points", times=100)


def _printed_wins(printed: Printed) -> tuple[int, int, int]:
    """In how many printed transfer cells BIM is higher than ILLC, as high, and lower."""
    signs = [
        np.sign(printed[place(source, "BIM", level, target, k)] - printed[place(source, "ILLC", level, target, k)])
        for source, target, level, k in product(PARTS, PARTS, LEVELS, TOPS)
        if source != target
    ]
    return signs.count(1), signs.count(0), signs.count(-1)


def stand_ins(bench: Bench, outcomes: Outcomes) -> tuple[str, ...]:
    """Who plays VGGFace2 and the three networks."""
    name = bench.dataset.name
    played = [
        introduced(bench.study, part, one, one.card.architecture, f"trained on: {one.card.training_data}")
        for part, one in bench.recognizers.items()
    ]
    return (
        f"{name}{'' if name == 'VGGFace2' else ' plays VGGFace2'}: {len(bench.people):,} of its people are the "
        f"classes, and one photo each of {len(outcomes.people)} of them is changed.",
        *played,
    )


def doubts(bench: Bench, outcomes: Outcomes) -> tuple[str, ...]:
    """What makes the comparison with the print doubtful."""
    found = [
        f"The classifiers are linear heads on frozen embeddings, learned from at most {bench.size.photos - 1} photos "
        "of a subject; the paper's networks were trained whole, on far more.",
        "The headline counts the faces whose person was among the target's top k before the change: what a classifier "
        "gets wrong anyway is no protection. The paper's equation 5 counts every face; that reading has tables of its "
        "own. Which of the two ways to count faces that are not found the print took is not known here, so it stands "
        "beside both.",
        f"The top {TOPS[-1]} are {share(TOPS[-1] / len(bench.people))} of the classes here: the fewer classes, the "
        "lower the rates.",
    ]
    if Judge(bench).aligned:
        found.append(
            "The photos count as aligned: dlib's detector says whether a face is found, and the targets see it exactly "
            "where it was. A program that aligns it anew sees it worse: the rates here are rather too low than too "
            "high."
        )
    if bench.study.quick:
        found.append(
            f"A quick run: {len(outcomes.people)} probes and {len(outcomes.levels)} of 6 eps say nothing of the paper."
        )
    return tuple(found)
