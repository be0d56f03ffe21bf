"""visard person learn"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from visard import photo
from visard.cli import arguments
from visard.cloak import check_mask_settings, save_mask
from visard.errors import PhotoError, WriteError
from visard.pipeline import PHOTOS, Lesson, choose_recognizers, learn_person

SUFFIX = ".mask"


def run(
    given: Sequence[Path],
    output: Path,
    most: int | None,
    only: int | None,
    settings: Mapping[str, Any],
    surrogates: Sequence[str],
    detector: str,
    seed: int,
    force: bool,
) -> None:
    """Learn the mask, write it, print what it was learned from."""
    _check_output(output, force)
    check_mask_settings(settings)
    paths = _photos(given)
    makers, _ = choose_recognizers(surrogates, ["none"])
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeRemainingColumn(),
        transient=True,
        disable=not Console().is_terminal,
    ) as bar:
        task = bar.add_task("learning", total=None)
        lesson = learn_person(
            paths,
            makers,
            arguments.detector(detector),
            settings,
            most=most or PHOTOS,
            only=only,
            seed=seed,
            watch=lambda done, total: bar.update(task, completed=done, total=total),
        )
    save_mask(lesson.mask, output)
    _show(lesson, output)


def _check_output(output: Path, force: bool) -> None:
    """Raises ``WriteError`` before any work, when the mask could not be written."""
    if output.suffix != SUFFIX:
        raise WriteError(f"{output} must end in {SUFFIX}.")
    if output.is_dir():
        raise WriteError(f"{output} is a folder; name a file in it.")
    if output.exists() and not force:
        raise WriteError(f"{output} exists already; choose another name or use --force.")
    if not output.parent.is_dir():
        raise WriteError(f"{output} could not be written: the folder does not exist; create it first.")


def _photos(given: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in given:
        if not path.exists():
            raise PhotoError(f"{path} does not exist; check the name.")
        inside = photo.find(path) if path.is_dir() else [path]
        if not inside:
            raise PhotoError(f"{path} holds no photos to learn from.")
        found += inside
    return list(dict.fromkeys(found))


def _show(lesson: Lesson, output: Path) -> None:
    console = Console(soft_wrap=True, highlight=False)
    for _, reason in lesson.skipped:
        console.print(f"[yellow]Skipped: {escape(reason)}[/]")
    for path, number, count in lesson.used:
        if count > 1:
            console.print(f"{escape(str(path))}: face {number} of {count}")
    names = ", ".join(card.name for card in lesson.mask.surrogates)
    count = len(lesson.used)
    console.print(
        f"[bold]{escape(str(output))}[/]: a mask learned from {count} photo{'' if count == 1 else 's'} against {names}."
    )
    if lesson.left:
        console.print(f"[dim]{lesson.left} more were not needed; --photos takes more of them.[/]")
    if count == 1:
        console.print("[yellow]From one photo alone it will hold less on others; give about ten if you can.[/]")
    console.print(f"Protect other photos of this person: visard person apply {escape(str(output))} PHOTO...")
