"""visard protect"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from visard import photo
from visard.cli import arguments, report, show
from visard.cloak import Method
from visard.errors import SettingError
from visard.generator import find_method
from visard.pipeline import (
    LEDGER,
    Plan,
    Row,
    Selection,
    batch_for,
    choose_adaptive,
    choose_judges,
    choose_recognizers,
    jobs,
    protect_all,
    uncalibrated,
)
from visard.recognizer import cards, ready


def build_plan(
    *,
    method: str,
    settings: dict[str, Any],
    strength: str,
    surrogates: Sequence[str],
    thorough: bool,
    jury: Sequence[str],
    detector: str,
    boxes: Path | None,
    only: frozenset[int],
    but: frozenset[int],
    targets: Sequence[Path],
    references: Sequence[Path],
    fmr: float,
    batch: int | None,
    **rest: Any,
) -> Plan:
    """The plan that the options ask for; raises ``VisardError`` before any photo is touched."""
    chosen = find_method(method)
    settings = {**(chosen.at(strength) if strength else {}), **settings}
    chosen.check(settings)
    if chosen.learned is None:
        makers, judges = choose_recognizers(surrogates, jury, fmr, thorough=thorough)
    elif surrogates or thorough:
        names = ", ".join(card.name for card in chosen.learned.surrogates)
        raise SettingError(f"{method} was trained against {names}; leave --surrogates and --thorough out.")
    else:
        makers, judges = (), choose_judges(chosen.learned.surrogates, jury, fmr)
    taught = chosen.learned.surrogates if chosen.learned else ()
    show.left_out(uncalibrated(fmr) if not jury else [], fmr)
    by_role = {card.name for card in cards().values() if card.role == "surrogate" and ready(card)}
    if thorough and {maker.name for maker in makers} <= by_role:
        show.nothing_more()
    people = tuple(p for given in targets for p in (photo.find(given) if given.is_dir() else [given]))
    return Plan(
        method=chosen,
        settings=settings,
        surrogates=makers,
        jury=judges,
        detector=arguments.detector(detector),
        detector_name=detector,
        faces_from=boxes,
        selection=Selection(only, but),
        targets=people,
        references=tuple(references),
        fmr=fmr,
        batch=batch or batch_for(makers, len(people)),
        replaces=chosen.replaces,
        adaptive=choose_adaptive([*(maker.card for maker in makers), *taught], jury, fmr),
        **rest,
    )


def ready_plan(
    method: Method,
    *,
    jury: Sequence[str],
    detector: str,
    boxes: Path | None,
    only: frozenset[int],
    but: frozenset[int],
    references: Sequence[Path],
    fmr: float,
    **rest: Any,
) -> Plan:
    """The plan of a method that asks no surrogates any more; raises ``VisardError`` before any photo is touched."""
    makers = method.learned.surrogates if method.learned else ()
    judges = choose_judges(makers, jury, fmr)
    show.left_out(uncalibrated(fmr) if not jury else [], fmr)
    return Plan(
        method=method,
        surrogates=(),
        jury=judges,
        detector=arguments.detector(detector),
        detector_name=detector,
        faces_from=boxes,
        selection=Selection(only, but),
        references=tuple(references),
        fmr=fmr,
        adaptive=choose_adaptive(makers, jury, fmr),
        **rest,
    )


def run(photos: Sequence[Path], output: Path | None, report_file: Path | None, plan: Plan) -> None:
    """Protect the photos, or replace their faces, print the verdict, exit with its code."""
    planned = jobs(photos, output)
    report.check(report_file)
    for juror in (*plan.jury, *plan.adaptive):
        juror.threshold(plan.fmr)  # a juror without a threshold is found out before the work, not after
    folder = output if output is not None and planned[0][1] != output else None
    rows: list[Row] = []
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), transient=True
    ) as bar:
        overall = bar.add_task("photos", total=len(planned))

        def watch(source: Path, share: float) -> None:
            bar.update(overall, completed=len(rows) + share, description=source.name)

        for row in protect_all(planned, plan, folder / LEDGER if folder is not None else None, watch):
            rows.append(row)
            bar.update(overall, completed=len(rows))
            if len(planned) > 1:
                show.summary_row(row, bar.console)
    if len(planned) == 1:
        show.outcome(rows[0].outcome, plan.jury, replaced=plan.replaces)
    else:
        show.totals([row.outcome for row in rows], plan.jury, replaced=plan.replaces)
    if report_file is not None:
        report.write(report_file, {"run": plan.record(), "photos": [row.outcome for row in rows]})
    raise typer.Exit(report.exit_code([row.outcome["status"] for row in rows]))
