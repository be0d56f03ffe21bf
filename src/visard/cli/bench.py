"""visard bench"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from visard.audit.document import check_extras
from visard.cli import arguments, show
from visard.errors import SettingError
from visard.generator import find_method
from visard.pipeline import batch_for, choose_judges, choose_recognizers, uncalibrated
from visard.pipeline.bench import LOOKS, Bench, Run, lens, run_bench
from visard.pipeline.bench_report import write


def run(
    people: Path,
    out: Path,
    runs: Sequence[str],
    photos: int | None,
    surrogates: Sequence[str],
    jury: Sequence[str],
    detector: str,
    fmr: float,
    seed: int,
    keep_embeddings: bool,
    batch: int | None,
) -> None:
    """Protect, judge, write the tables, print the headline."""
    check_extras("A bench")
    parsed = tuple(_run(text) for text in runs)
    makers, jurors = choose_recognizers(surrogates, jury, fmr)
    if taught := [card for one in parsed if one.method.learned for card in one.method.learned.surrogates]:
        jurors = choose_judges([*(maker.card for maker in makers), *taught], jury, fmr)
    show.left_out(uncalibrated(fmr) if not jury else [], fmr)
    seeing = lens(jurors, arguments.detector(detector), detector)
    bench = Bench(parsed, people, out, makers, seeing, photos, fmr, seed, batch or batch_for(makers))
    columns = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
    with Progress(*columns, transient=True, disable=not Console().is_terminal) as bar:
        task = bar.add_task("photos")
        results, doubts = run_bench(
            bench, lambda what, done, total: bar.update(task, description=what, completed=done, total=total)
        )
    table, compared = write(bench, results, doubts)
    if not keep_embeddings:
        shutil.rmtree(out / LOOKS, ignore_errors=True)
    show.headline(table, doubts, out / "bench.md")
    for sentence in compared:
        typer.echo(sentence)


def _run(text: str) -> Run:
    """ "bim eps=8/255" -> the run of that name; raises ``CloakError``."""
    words = text.split()
    if not words:
        raise SettingError('--run takes a method and its settings, such as "visard ssim=0.96"; it is empty.')
    return Run(" ".join(words), find_method(words[0]), arguments.settings(words[1:], "--run"))
