"""The report of a duel: what each round came to, what survives of posted photos, and a row per comparison."""

import json
from collections.abc import Sequence

import numpy as np

import visard
from visard.audit import tables
from visard.audit.document import Document
from visard.audit.figures import COLORS, Drawing, panels, svg
from visard.audit.tables import NOTHING, Cell, Table, percent
from visard.hardening.duel import Duel, Fought, Round
from visard.measure import Rate
from visard.photo.files import write_whole
from visard.recognizer.card import kin

HOW_TO_READ = (
    "A comparison is of a cloaked photo with another, clean photo of the same person, never with itself. Missed: the "
    "share below the recognizer's threshold; what of that is not the cloak's doing is what it misses among clean "
    "photos. Escaped: of the comparisons that matched while both photos were clean, the share that does not any more. "
    "Every recognizer has a threshold of its own, from other people. Intervals are 95 %, over people."
)
_PAIRS = 30  # false matches that a threshold should rest on


def report(duel: Duel, rounds: Sequence[Round], cells: Sequence[Fought]) -> Document:
    """The duel as a document."""
    first, last = rounds[0], rounds[-1]
    facts = {
        "visard": visard.__version__,
        "recognizer": f"{duel.base.name}, sha256 {duel.base.card.sha256[:12]}",
        "defence": f"{duel.defence.name} "
        + ", ".join(f"{k}={v:g}" if isinstance(v, float) else f"{k}={v}" for k, v in duel.settings.items()),
        "hardened on": f"{len(duel.training)} faces of {duel.training.count} people",
        "attacked": f"{len(duel.attacked)} faces of {duel.attacked.count} other people",
        "thresholds": f"at false accepts under {duel.far:g}, from {len(duel.calibration)} faces of "
        f"{duel.calibration.count} others",
        "white box": f"APGD, eps {255 * duel.eps:g}/255, {duel.steps} steps, {duel.restarts} starts",
        "transfer": f"momentum with input diversity, eps {255 * duel.eps:g}/255, {duel.steps} steps, from "
        f"{', '.join(one.name for one in duel.surrogates)} and the recognizer of the round before",
        "seed": str(duel.seed),
    }
    attacks = list(first.cloaks)
    lead = (
        f"{duel.base.name} against cloaks that adapt, hardened {duel.rounds} time(s). On clean photos its equal error "
        f"rate went from {100 * first.eer.value:.2f} % to {100 * last.eer.value:.2f} %."
    )
    return Document(
        f"A duel over {duel.base.name}",
        facts,
        HOW_TO_READ,
        [
            headline(rounds, cells),
            recognizers(rounds, cells),
            *(survival(attack, duel, cells) for attack in attacks),
            budgets(rounds),
            checks(rounds),
        ],
        {"What survives": figure(attacks, duel, cells)},
        doubts(duel, rounds),
        lead,
    )


def headline(rounds: Sequence[Round], cells: Sequence[Fought]) -> Table:
    """Each attack, made anew in each round, before that round's recognizer."""
    rows = []
    for number, one in enumerate(rounds):
        for attack, cloaks in one.cloaks.items():
            found = next(c for c in cells if (c.attack, c.made, c.judged) == (attack, number, number))
            rows.append(
                (
                    str(number),
                    attack,
                    percent(found.asr),
                    percent(found.escaped),
                    f"{100 * found.fmr:.2f} %",
                    f"{cloaks.ssim:.3f}",
                    f"{cloaks.psnr:.1f}",
                    f"{cloaks.seconds:.2f}",
                )
            )
    return Table(
        "Cloaks that adapt",
        "Each attack is made anew in each round and meets that round's recognizer. Matched to others: the share of the "
        "comparisons with other people's clean photos that reach the threshold. SSIM and PSNR (dB) to the photo "
        "before, JPEG included; seconds a face.",
        ("round", "attack", "missed", "escaped", "matched to others", "SSIM", "PSNR", "s/face"),
        tuple(rows),
    )


def recognizers(rounds: Sequence[Round], cells: Sequence[Fought]) -> Table:
    """What hardening cost."""
    rows = []
    for number, one in enumerate(rounds):
        fnmr = next(c.fnmr for c in cells if c.judged == number)
        held = sum(check.holds for check in one.checks)
        eer = one.eer
        rows.append(
            (
                str(number),
                f"{100 * eer.value:.2f} % [{100 * eer.low:.2f}, {100 * eer.high:.2f}] n={eer.trials:,}",
                f"{100 * (eer.value - rounds[0].eer.value):+.2f}",
                percent(fnmr),
                f"{one.tau:.4f}",
                f"{one.seconds:.0f}",
                f"{held} of {len(one.checks)}",
            )
        )
    return Table(
        "The recognizers, on clean photos",
        "Equal error rate of all tested people, and how many points it changed; what is missed of the attacked ones at "
        "the threshold; the seconds of the hardening, its cloaks included; the sanity checks that hold.",
        ("round", "equal error rate", "points", "missed", "threshold", "s", "checks"),
        tuple(rows),
    )


def survival(attack: str, duel: Duel, cells: Sequence[Fought]) -> Table:
    """The cloaks of each round, frozen, before that and every later recognizer, and the jury."""
    judges = list(dict.fromkeys(c.judge for c in cells))
    found = {(c.made, c.judge): c for c in cells if c.attack == attack}

    def shown(made: int, judge: str) -> Cell:
        met = found.get((made, judge))
        return Cell(NOTHING, muted=True) if met is None else percent(met.escaped)

    rows: list[tuple[Cell | str, ...]] = [
        (f"round {made}", *(shown(made, judge) for judge in judges)) for made in range(duel.rounds + 1)
    ]
    return Table(
        f"What survives: {attack}",
        "A posted photo stays as it is. Escaped, of the photos cloaked in a round (down), before the recognizer of "
        "that and of every later round (across), and before the jury, who had no part.",
        ("posted in", *judges),
        tuple(rows),
    )


def budgets(rounds: Sequence[Round]) -> Table:
    """The white box on each round's recognizer, over budgets."""
    rows: list[tuple[Cell | str, ...]] = [
        (str(number), *(percent(one) for one in each.over_budgets.values())) for number, each in enumerate(rounds)
    ]
    return Table(
        "The white box over budgets",
        "Missed, of a few of the attacked faces, by how far the white box may change a pixel, in 1/255.",
        ("round", *(f"{255 * eps:g}" for eps in rounds[0].over_budgets)),
        tuple(rows),
    )


def checks(rounds: Sequence[Round]) -> Table:
    """The sanity checks of each round's white box attack."""
    rows = tuple(
        (str(number), check.name, "holds" if check.holds else "FAILS", check.figures)
        for number, one in enumerate(rounds)
        for check in one.checks
    )
    return Table(
        "Sanity checks",
        "What is true of every attack that deserves the name. Cosines are to the face's own clean embedding.",
        ("round", "check", "it", "figures"),
        rows,
    )


def figure(attacks: Sequence[str], duel: Duel, cells: Sequence[Fought]) -> Drawing:
    """A panel per attack: the share escaped over the rounds' recognizers, a line per round of posting."""
    drawn, axes = panels(len(attacks))
    for axis, attack in zip(axes, attacks, strict=True):
        own = [c for c in cells if c.attack == attack and c.judged is not None and c.escaped is not None]
        for made in range(duel.rounds + 1):
            line = [(c.judged, c.escaped.value) for c in own if c.made == made and c.escaped]
            axis.plot(*zip(*line, strict=True), "o-", markersize=4, linewidth=1, label=f"posted in round {made}")
        anew = [c for c in own if c.made == c.judged]
        values = [c.escaped.value for c in anew if c.escaped]
        axis.plot(
            [c.judged for c in anew], values, "--", color=COLORS["others"], zorder=0, label="made anew in each round"
        )
        axis.set_title(attack)
        axis.set_xticks(range(duel.rounds + 1))
        axis.set_xlabel("recognizer of round")
        axis.set_ylim(-0.03, 1.05)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel(f"escaped, false accepts under {duel.far:g}")
    axes[0].legend(fontsize=7)
    return Drawing(
        svg(drawn),
        "Solid: photos that were posted and stay as they are, before the recognizers of later rounds. Dashed: cloaks "
        "made anew against each.",
    )


def doubts(duel: Duel, rounds: Sequence[Round]) -> list[str]:
    """What makes the figures doubtful."""
    found = []
    count = len(duel.calibration)
    pairs = count * (count - 1) // 2
    if pairs * duel.far < _PAIRS:
        found.append(
            f"Thresholds rest on {pairs:,} pairs of faces; at false accepts under {duel.far:g} some "
            f"{_PAIRS / duel.far:,.0f} pairs are needed: give more people to calibrate on."
        )
    if related := [one.name for one in duel.surrogates if kin(one.card, duel.base.card)]:
        found.append(
            f"{', '.join(related)} and {duel.base.name} are of one origin: transfer between them is easier than "
            "between strangers."
        )
    for number, one in enumerate(rounds):
        failed = [f"{check.name} ({check.figures})" for check in one.checks if not check.holds]
        if failed:
            found.append(f"Round {number}: the attack fails a sanity check: {'; '.join(failed)}.")
    return found


def write(duel: Duel, rounds: Sequence[Round], cells: Sequence[Fought]) -> Document:
    """Write duel.html, duel.md, figures/, ledger.parquet and trials.parquet into the duel's folder; the document.

    Raises ``WriteError``.
    """
    made = report(duel, rounds, cells)
    made.write(duel.out, "duel")
    write_whole(duel.out / "ledger.parquet", ledger(duel, rounds, cells))
    write_whole(duel.out / "trials.parquet", trials(duel, cells))
    return made


def ledger(duel: Duel, rounds: Sequence[Round], cells: Sequence[Fought]) -> bytes:
    """A row per attack, round of making and judge, as Parquet."""
    import pyarrow as pa

    rows = []
    for one in cells:
        cloaks = rounds[one.made].cloaks[one.attack]
        own = None if one.judged is None else rounds[one.judged]
        rows.append(
            {
                "attack": one.attack,
                "made": one.made,
                "judge": one.judge,
                "judged": one.judged,
                "threshold": one.tau,
                "far": duel.far,
                **_named("missed", one.asr),
                **_named("clean_missed", one.fnmr),
                **_named("escaped", one.escaped),
                "matched_to_others": one.fmr,
                **_named("clean_eer", None if own is None else own.eer),
                "hardening_seconds": None if own is None else own.seconds,
                "method": cloaks.attack.method.name,
                "settings": json.dumps({**cloaks.attack.method.settings, **cloaks.attack.settings}, sort_keys=True),
                "known": ",".join(known.name for known in cloaks.attack.known),
                "ssim": cloaks.ssim,
                "psnr": cloaks.psnr,
                "seconds_per_face": cloaks.seconds,
            }
        )
    return tables.parquet(pa.Table.from_pylist(rows))


def trials(duel: Duel, cells: Sequence[Fought]) -> bytes:
    """A row per comparison, as Parquet; photos go by their numbers."""
    import pyarrow as pa

    people = duel.attacked.people.numpy()
    parts = [
        pa.table(
            {
                "attack": [one.attack] * len(one.probe),
                "made": np.full(len(one.probe), one.made),
                "judge": [one.judge] * len(one.probe),
                "threshold": np.full(len(one.probe), one.tau),
                "person": people[one.probe],
                "probe": one.probe,
                "mate": one.mate,
                "clean_score": one.clean,
                "cloaked_score": one.cloaked,
            }
        )
        for one in cells
    ]
    return tables.parquet(pa.concat_tables(parts))


def _named(name: str, share: Rate | None) -> dict[str, float | None]:
    value, low, high = (None, None, None) if share is None else share[:3]
    return {name: value, f"{name}_low": low, f"{name}_high": high}
