"""visard swap"""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from visard.audit import FaceVerdict
from visard.cli import arguments, report, show
from visard.generator.latent import load_disentangled, shipped_disentangled
from visard.pipeline import choose_judges, swap, uncalibrated


def run(
    disentangled: Path | None,
    identity: Path,
    expression: Path,
    output: Path,
    number: int,
    report_file: Path | None,
    jury: Sequence[str],
    fmr: float,
    detector: str,
    quality: int | None,
    keep_metadata: bool,
    force: bool,
) -> None:
    """Swap the face, print whom jurors take it for now."""
    report.check(report_file)
    made = shipped_disentangled() if disentangled is None else load_disentangled(disentangled)
    # the recognizer that told who is who made the face: neither it nor its kin judges
    judges = choose_judges([made.identity.card], jury, fmr)
    show.left_out(uncalibrated(fmr) if not jury else [], fmr)
    swapped = swap(
        identity, expression, output, made.made, made.template, detector=arguments.detector(detector), jury=judges,
        number=number, fmr=fmr, quality=quality, keep_metadata=keep_metadata, force=force,
    )  # fmt: skip
    outcome = swapped.outcome.to_json()
    show.outcome(outcome, judges, replaced=True)
    _show(swapped.likeness, identity)
    if report_file is not None:
        run_facts = {"method": "swap", "learned": made.sha256, "identity": str(identity), "fmr": fmr}
        report.write(report_file, {"run": run_facts, "photos": [outcome], "likeness": swapped.likeness.to_json()})


def _show(likeness: FaceVerdict, identity: Path) -> None:
    """Whether jurors take the new face for the person who lent the identity."""
    rows = [verdict for verdict in likeness.jurors if verdict.condition == "as saved"]
    if not rows:
        return
    table = Table(box=None, padding=(0, 1, 0, 0), title=f"Similarity to {identity}, before and after:")
    table.title_justify, table.title_style = "left", "dim"
    for column in ("juror", "before", "after", "match at", "taken for that person"):
        table.add_column(column, no_wrap=True)
    for row in rows:
        values = [f"{value:.2f}" for value in (row.before, row.after, row.threshold)]
        table.add_row(row.juror, *values, "no" if row.protected else "yes")
    Console(soft_wrap=True, highlight=False).print(table)
