"""visard train"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn, track

from visard.cli import arguments
from visard.cloak import Method
from visard.errors import CloakError
from visard.generator import (
    KINDS,
    LearnedCloak,
    Training,
    check_learner_settings,
    check_out,
    check_recognizers,
    read_crops,
    train,
    window,
)
from visard.recognizer import find, load, people_photos

_EVERY = 100  # steps between two lines on the losses


def run(
    kind: str,
    data: Path,
    recognizers: Sequence[str],
    out: Path,
    settings: Mapping[str, Any],
    size: int,
    steps: int,
    max_minutes: float | None,
    role: str | None,
    detector: str,
    seed: int,
    force: bool,
) -> None:
    """Train the cloak, print its losses on the way, and how to use it."""
    if kind not in KINDS:
        raise CloakError(f'No learned cloak is called "{kind}". There are: {", ".join(KINDS)}.')
    check_learner_settings(KINDS[kind], dict(settings))
    window(size)
    check_out(out, force=force)
    against = [load(find(name)) for name in recognizers]
    check_recognizers(against)
    photos = people_photos(data, role)
    console = Console(soft_wrap=True, highlight=False)
    skipped: list[Path] = []
    crops = read_crops(
        track(photos, "reading", console=console, transient=True, disable=not console.is_terminal),
        arguments.detector(detector),
        size,
        lambda path, _reason: skipped.append(path),
    )
    if skipped:
        console.print(f"{len(skipped)} photo(s) without a face were left out, the first {escape(str(skipped[0]))}.")
    training = Training(kind, dict(settings), crops, against, seed)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("training", total=steps)

        def watch(step: int, row: Mapping[str, float]) -> None:
            bar.update(task, completed=step)
            if step % _EVERY == 0 or step in (1, steps):
                console.print(f"step {step}: {', '.join(f'{name} {value:.4g}' for name, value in row.items())}")

        made = train(training, out, steps, max_minutes=max_minutes, force=force, watch=watch)
    _show(made, out, steps, console)


def _show(made: LearnedCloak, out: Path, steps: int, console: Console) -> None:
    names = ", ".join(card.name for card in made.surrogates)
    console.print(
        f"[bold]{escape(str(out))}[/]: {made.name}, {made.steps} steps on {made.photos} photos of {made.people} people "
        f"against {names}."
    )
    if made.steps < steps:
        console.print(f"{steps - made.steps} steps are left; the same command goes on from here.")
    target = " --target PERSON.jpg" if made.learner.targeted else ""
    console.print(f"Protect photos with it: visard protect --method {escape(str(out))}{target} PHOTO...")


def untrained() -> list[Method]:
    """The kinds as methods before they are trained, for their pages: their settings are those of the training."""
    return [Method(kind.name, kind.paper, kind.aim, cast(Any, kind)) for kind in KINDS.values()]


def show_how(names: Sequence[str]) -> None:
    """How to get those of these names, which are trained first."""
    if names:
        Console(soft_wrap=True, highlight=False).print(
            f"\nTo be trained first: {', '.join(names)}. Their weights do not come with visard: visard train "
            f"{names[0] if len(names) == 1 else 'NAME'} --data FOLDER --recognizer A,B --out FILE.safetensors, then "
            "visard protect --method FILE.safetensors PHOTO..."
        )
