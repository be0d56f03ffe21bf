"""visard train"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn, track

from visard.cli import arguments
from visard.cloak import Method
from visard.errors import CloakError, Interrupted, SettingError
from visard.generator import (
    KINDS,
    LearnedCloak,
    Training,
    check_learner_settings,
    check_out,
    check_recognizers,
    load_cloak,
    parallel,
    read_crops,
    shipped,
    train,
    window,
)
from visard.recognizer import find, load, people_photos

_PRECISIONS = ("float32", "bfloat16")
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
    device: str,
    precision: str,
) -> None:
    """Train the cloak, print its losses on the way, and how to use it."""
    if kind not in KINDS:
        raise CloakError(f'No learned cloak is called "{kind}". There are: {", ".join(KINDS)}.')
    if precision not in _PRECISIONS:
        raise SettingError(f'--precision is {" or ".join(_PRECISIONS)}, got "{precision}".')
    check_learner_settings(KINDS[kind], dict(settings))
    window(size)
    check_out(out, force=force)
    against = [load(find(name)) for name in recognizers]
    check_recognizers(against)
    photos = people_photos(data, role)
    with _explained(out, force=force), parallel.started(device) as place:
        console = Console(soft_wrap=True, highlight=False, quiet=not parallel.first())
        shown = console.is_terminal and not console.quiet
        skipped: list[Path] = []
        crops = read_crops(
            track(photos, "reading", console=console, transient=True, disable=not shown),
            arguments.detector(detector),
            size,
            lambda path, _reason: skipped.append(path),
        )
        if skipped:
            first = escape(str(skipped[0]))
            console.print(f"{len(skipped)} photo(s) without a face were left out, the first {first}.")
        training = Training(kind, dict(settings), crops, against, seed, place, precision != _PRECISIONS[0])
        console.print(f"Training {_where(place)}, {precision}.")
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not shown,
        ) as bar:
            task = bar.add_task("training", total=steps)

            def watch(step: int, row: Mapping[str, float]) -> None:
                bar.update(task, completed=step)
                if step % _EVERY == 0 or step in (1, steps):
                    console.print(f"step {step}: {', '.join(f'{name} {value:.4g}' for name, value in row.items())}")

            made = train(training, out, steps, max_minutes=max_minutes, force=force, watch=watch)
        _show(made, out, steps, console)


def _where(place: torch.device) -> str:
    name = "the CPU" if place.type == "cpu" else f"{place} ({torch.cuda.get_device_name(place)})"
    return f"on {name}" if parallel.count() == 1 else f"in {parallel.count()} processes, the first on {name}"


@contextmanager
def _explained(out: Path, *, force: bool) -> Iterator[None]:
    """Ctrl-C says what is kept of the training, and how to go on."""
    try:
        yield
    except KeyboardInterrupt as stop:
        if not out.is_file():
            raise Interrupted("interrupted before anything was saved; the same command begins anew.") from stop
        again = "the same command without --force" if force else "the same command"
        raise Interrupted(
            f"interrupted; {out} is kept as it was after {load_cloak(out).steps} steps, and {again} goes on from there."
        ) from stop


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
    """The kinds that do not come trained, as methods, for their pages: their settings are those of the training."""
    there = shipped()
    return [Method(k.name, k.paper, k.aim, cast(Any, k)) for k in KINDS.values() if k.name not in there]


def show_how(names: Sequence[str]) -> None:
    """How to get those of these names, which are trained first."""
    if names:
        Console(soft_wrap=True, highlight=False).print(
            f"\nTo be trained first: {', '.join(names)}. Their weights do not come with visard: visard train "
            f"{names[0] if len(names) == 1 else 'NAME'} --data FOLDER --recognizer A,B --out FILE.safetensors, then "
            "visard protect --method FILE.safetensors PHOTO..."
        )
