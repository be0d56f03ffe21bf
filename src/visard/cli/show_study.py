"""What visard study prints."""

from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from visard.audit.tables import percent
from visard.pipeline.rating import Score, key_of

_FEW = 5  # raters, from whom on a 95 % interval covers 90 %
_LARGE = 100 << 20  # bytes: some browsers take long to open more


def made(page: Path, count: int) -> None:
    """A page was written."""
    console = Console(soft_wrap=True, highlight=False)
    size = page.stat().st_size
    console.print(f"[bold]{escape(str(page))}[/]: {count} pictures, {size / (1 << 20):.1f} MB.")
    if size > _LARGE:
        console.print("[yellow]Large for a browser: take fewer with --pairs, or smaller pictures.[/]")
    key = escape(str(key_of(page)))
    console.print(f"Its key, not for the raters: {key}. Then: visard study score {key} ANSWERS.csv...")


def scored(found: Score) -> None:
    """What people answered."""
    console = Console(soft_wrap=True, highlight=False)
    table = Table(box=None, pad_edge=False)
    for name in ("", "pictures with visible artefacts", "95 % interval"):
        table.add_column(name)
    for side, rate in found.rates.items():
        table.add_row(f"{side}s", escape(percent(rate).text), found.intervals.get(side, ""))
    console.print(table)
    if found.difference is not None:
        points = escape(found.difference.text(0, times=100))
        console.print(f"Results minus originals: {points} percentage points ({found.intervals['difference']}).")
    raters = len(found.raters)
    console.print(
        f"[dim]{raters} rater{'' if raters == 1 else 's'}, {found.rated} of {found.pictures} pictures rated.[/]"
    )
    unfinished = [f"{escape(name)} ({count})" for name, count in found.raters.items() if count < found.pictures]
    if unfinished:
        console.print(f"[yellow]Did not rate all {found.pictures} pictures: {', '.join(unfinished)}.[/]")
    if raters == 1:
        console.print("[yellow]One rater: what others would see is not known.[/]")
    elif raters < _FEW and any(how.startswith("bootstrap") for how in found.intervals.values()):
        console.print(f"[yellow]{raters} raters: a bootstrap over so few is too narrow; ask more people.[/]")
