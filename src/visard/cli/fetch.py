"""visard models fetch"""

from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from visard.errors import RecognizerError, SettingError
from visard.recognizer import Card, fetch, fetch_new
from visard.recognizer.card import Role


def run(name: str, card_file: Path | None, role: Role | None, mirror: Path | None) -> Card:
    """Fetch a known recognizer, or a new one by its card, with a bar for who watches."""
    if card_file is None and not name:
        raise SettingError("Name a recognizer to fetch (visard models list shows them), or give a new one's --card.")
    if card_file is None and role is not None:
        raise SettingError(f"The role of {name} is on its card already; --role goes with --card.")
    console = Console(stderr=True)
    columns = (TextColumn("fetching"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)

        def progress(have: int, total: int | None) -> None:
            bar.update(task, completed=have, total=total)

        try:
            if card_file is None:
                return fetch(name, mirror=mirror, progress=progress)
            return fetch_new(card_file, name, role=role, mirror=mirror, progress=progress)
        except KeyboardInterrupt as error:
            raise RecognizerError("Interrupted; what came is kept, the same command goes on from there.") from error
