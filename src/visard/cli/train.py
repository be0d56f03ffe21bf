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
from visard.cli.train_kinds import KINDS, PHOTOS, Kind, Sources
from visard.cloak import Method
from visard.cloak.method import LEARNED
from visard.errors import CloakError, Interrupted, SettingError
from visard.generator import KINDS as CLOAKS
from visard.generator import Crops, check_out, check_recognizers, parallel, read_crops, shipped, steps_of, train, window
from visard.generator.latent.cloak import NAME, LatentSettings
from visard.generator.latent.replacing import PAPER
from visard.recognizer import find, load, people_photos

_PRECISIONS = ("float32", "bfloat16")
_EVERY = 100  # steps between two lines on the losses


def run(
    kind: str,
    data: Path | None,
    recognizers: Sequence[str],
    generator: Path | None,
    disentangled: Path | None,
    out: Path,
    settings: Mapping[str, Any],
    size: int | None,
    steps: int,
    max_minutes: float | None,
    role: str | None,
    detector: str | None,
    seed: int,
    force: bool,
    device: str,
    precision: str,
) -> None:
    """Train it, print its losses on the way, and what to do with it."""
    if kind not in KINDS:
        raise CloakError(f'Nothing to train is called "{kind}". There are: {", ".join(KINDS)}.')
    if precision not in _PRECISIONS:
        raise SettingError(f'--precision is {" or ".join(_PRECISIONS)}, got "{precision}".')
    row = KINDS[kind]
    files = {"--generator": generator, "--disentangled": disentangled}
    given = {"--data": data, "--recognizer": recognizers or None, **files, "--size": size, "--role": role,
             "--detector": detector}  # fmt: skip
    _check_options(kind, row, {name for name, value in given.items() if value is not None})
    side = row.size if size is None else size
    checked = row.check(settings, side)
    if data is not None:
        window(side)
    check_out(out, force=force)
    against = [load(find(name)) for name in recognizers]
    if "--recognizer" in row.needs:
        check_recognizers(against)
    photos = [] if data is None else people_photos(data, role)
    with _explained(out, force=force), parallel.started(device) as place:
        console = Console(soft_wrap=True, highlight=False, quiet=not parallel.first())
        crops = None if data is None else _read(photos, detector or "dlib", side, console)
        sources = Sources(
            checked, crops, against, {name: path for name, path in files.items() if path is not None}, seed, place,
            precision != _PRECISIONS[0],
        )  # fmt: skip
        training = row.begin(sources)
        console.print(f"Training {_where(place)}, {precision}.")
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not _shown(console),
        ) as bar:
            task = bar.add_task("training", total=steps)

            def watch(step: int, row: Mapping[str, float]) -> None:
                bar.update(task, completed=step)
                if step % _EVERY == 0 or step in (1, steps):
                    console.print(f"step {step}: {', '.join(f'{name} {value:.4g}' for name, value in row.items())}")

            made = train(training, out, steps, max_minutes=max_minutes, force=force, watch=watch)
        words, use = row.says(made, out)
        console.print(f"[bold]{escape(str(out))}[/]: {escape(words)}.")
        if made.steps < steps:
            console.print(f"{steps - made.steps} steps are left; the same command goes on from here.")
        console.print(escape(use))


def _check_options(kind: str, row: Kind, given: set[str]) -> None:
    if missing := sorted(row.needs - given):
        raise SettingError(f"visard train {kind} needs {' and '.join(missing)} too.")
    if more := sorted(given - row.needs - row.takes):
        raise SettingError(f"visard train {kind} has no use for {' and '.join(more)}; leave that out.")
    if "--data" not in given and (alone := sorted(given & PHOTOS)):
        raise SettingError(f"{' and '.join(alone)} goes with --data; give that too, or leave it out.")


def _read(photos: Sequence[tuple[str, Path]], detector: str, size: int, console: Console) -> Crops:
    skipped: list[Path] = []
    crops = read_crops(
        track(photos, "reading", console=console, transient=True, disable=not _shown(console)),
        arguments.detector(detector),
        size,
        lambda path, _reason: skipped.append(path),
    )
    if skipped:
        first = escape(str(skipped[0]))
        console.print(f"{len(skipped)} photo(s) without a face were left out, the first {first}.")
    return crops


def _shown(console: Console) -> bool:
    return console.is_terminal and not console.quiet


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
            f"interrupted; {out} is kept as it was after {steps_of(out)} steps, and {again} goes on from there."
        ) from stop


def untrained() -> list[Method]:
    """The kinds that do not come trained, as methods, for their pages: their settings are those of the training."""
    there = shipped()
    kinds = [Method(k.name, k.paper, k.aim, cast(Any, k)) for k in CLOAKS.values()]
    latent = Method(NAME, PAPER, "untargeted", cast(Any, LatentSettings))
    return [method for method in (*kinds, latent) if method.name not in there]


def show_how(names: Sequence[str]) -> None:
    """How to get those of these names, which are trained first."""
    if names:
        how = LEARNED[names[0]] if len(names) == 1 else "NAME --data FOLDER"
        Console(soft_wrap=True, highlight=False).print(
            f"\nTo be trained first: {', '.join(names)}. Their weights do not come with visard: visard train {how} "
            "--recognizer A,B --out FILE.safetensors, then visard protect --method FILE.safetensors PHOTO..."
        )
