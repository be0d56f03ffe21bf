"""visard harden"""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from visard.cli import arguments
from visard.cloak import Method
from visard.errors import CardError, HardeningError, Interrupted, SettingError
from visard.generator import SUFFIX, Crops, find_method, parallel, read_crops
from visard.hardening import defence_names, find_defence
from visard.hardening.material import SIZE
from visard.hardening.outcome import NORMAL, Outcome
from visard.hardening.run import Hardened, Hardening, Photos, held_out
from visard.measure import Rate
from visard.recognizer import cards, derived, load, people_photos, store_derived
from visard.recognizer import find as find_card
from visard.recognizer.store import home

FOLDER = "hardening"
"""In visard's own folder: where what is done of a hardening is kept until its recognizer is stored."""


def run(
    recognizer: str,
    data: Path,
    name: str,
    cloaks: Sequence[str],
    unseen: Sequence[str],
    defence: str,
    settings: Mapping[str, Any],
    surrogates: Sequence[str],
    role: str | None,
    validate: Path | None,
    validate_role: str | None,
    calibrate_role: str | None,
    detector: str,
    fmr: float,
    device: str,
    seed: int,
    force: bool,
) -> None:
    """Harden the recognizer, print what it misses before and after, keep it."""
    chosen = find_defence(defence)
    base = load(find_card(recognizer))
    chosen.check(base, settings)
    derived(base, name=name)  # a name that no card can have is found out before the work
    if name in cards():
        raise CardError(f'A recognizer called "{name}" is there already; give another --name.')
    if not cloaks:
        raise SettingError("--cloaks is empty; name the methods that make the cloaks, such as advfaces,visard.")
    if set(cloaks) & set(unseen):
        raise SettingError("--unseen names methods that --cloaks does not; leave out those that are in both.")
    methods, others = methods_of(cloaks), methods_of(unseen)
    makers = [load(find_card(one)) for one in surrogates] or [base]
    parts = groups(data, role, validate, validate_role, calibrate_role)
    console = Console(soft_wrap=True, highlight=False)
    folder = home() / FOLDER / name
    if force:
        shutil.rmtree(folder, ignore_errors=True)
    with _explained(name), parallel.started(device) as place:
        training, validation, calibration = (faces_of(photos, detector, console) for photos in parts)
        console.print(
            f"{base.name}, by {defence}: trained on {_counted(training)}, judged on {_counted(validation)}, thresholds "
            f"from {_counted(calibration)}; computed on {_where(place)}."
        )
        hardening = Hardening(
            base, chosen, training, validation, calibration, methods, makers, folder, others, settings, fmr, seed,
            str(place), lambda line: console.print(escape(line)),
        )  # fmt: skip
        found = hardening.run()
        console.print(_table(found, others, base.name, name))
        card = store_derived(derived(found.recognizer, name=name, network=found.recognizer.network))
    shutil.rmtree(folder, ignore_errors=True)
    console.print(
        f"[bold]{card.name}[/] is kept, as an adaptive recognizer: it is asked beside the jury once it has thresholds. "
        f"Next: visard calibrate --people FOLDER --recognizer {card.name}, then visard protect PHOTO..."
    )


def methods_of(names: Sequence[str]) -> dict[str, Method]:
    """Methods by name, those in files by the file's."""
    found: dict[str, Method] = {}
    for name in names:
        key = Path(name).stem if name.endswith(SUFFIX) else name
        if key in found:
            raise SettingError(f"Two cloaks are called {key}; name each once, or rename a file.")
        found[key] = find_method(name)
    return found


def groups(
    data: Path, role: str | None, validate: Path | None, validate_role: str | None, calibrate_role: str | None
) -> tuple[Photos, Photos, Photos]:
    """The photos to train on, to judge on, and to take thresholds from; raises ``HardeningError`` for a person in two
    of the three."""
    given = people_photos(data, role)
    if validate is None and validate_role is None:
        training, validation, calibration = held_out(given)
    else:
        training = given
        validation = people_photos(validate or data, validate_role)
        if calibrate_role is None:
            people = sorted({person for person, _ in validation})[1::2]
            calibration = [(person, path) for person, path in validation if person in people]
            validation = [(person, path) for person, path in validation if person not in people]
    if calibrate_role is not None:
        calibration = people_photos(validate or data, calibrate_role)
    names = [{person for person, _ in photos} for photos in (training, validation, calibration)]
    if min(map(len, names)) < 2:
        raise HardeningError(
            f"People are needed to train on, to judge on and to take thresholds from, two at least of each; here are "
            f"{', '.join(str(len(one)) for one in names)}: give photos of more people, a folder each."
        )
    for first, second in ((0, 1), (0, 2), (1, 2)):
        if both := names[first] & names[second]:
            raise HardeningError(
                f"{len(both)} people are in two of the three groups, trained on, judged on and calibrated on, the "
                f"first of them {min(both)}; give photos of other people."
            )
    return training, validation, calibration


def faces_of(photos: Photos, detector: str, console: Console) -> Crops:
    skipped: list[tuple[Path, str]] = []
    crops = read_crops(
        track(photos, "reading", console=console, transient=True, disable=not console.is_terminal),
        arguments.detector(detector),
        SIZE,
        lambda path, reason: skipped.append((path, reason)),
    )
    if skipped:
        first = escape(str(skipped[0][0]))
        console.print(f"{len(skipped)} photo(s) without a face were left out, the first {first}.")
    return crops


def _counted(crops: Crops) -> str:
    return f"{len(crops):,} photos of {crops.count:,} people"


def _where(place: torch.device) -> str:
    return "the CPU" if place.type == "cpu" else f"{place} ({torch.cuda.get_device_name(place)})"


def _table(found: Hardened, unseen: Mapping[str, Method], base: str, name: str) -> Table:
    """What is missed before and after, at the same false accept rate."""
    table = Table(box=None, pad_edge=False)
    for column in ("", "tau", "EER", "FNMR at tau", *(f"ASR {key}{_mark(key, unseen)}" for key in found.before)):
        table.add_column(column)
    for row, by_method in ((base, found.before), (name, found.after)):
        if by_method:
            one: Outcome = next(iter(by_method.values()))
            rates = [one.eer[NORMAL], one.fnmr, *(outcome.asr for outcome in by_method.values())]
            table.add_row(row, f"{one.tau:.4f}", *map(_share, rates))
    return table


def _mark(key: str, unseen: Mapping[str, Method]) -> str:
    return " (unseen)" if key in unseen else ""


def _share(one: Rate) -> str:
    return f"{100 * one.value:.2f} % [{100 * one.low:.2f}, {100 * one.high:.2f}] n={one.trials:,}"


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Ctrl-C says what is kept of the hardening, and how to go on."""
    try:
        yield
    except KeyboardInterrupt as stop:
        raise Interrupted(
            f"interrupted; the cloaks and the training of {name} are kept as far as they were saved, and the same "
            "command goes on from there."
        ) from stop


def page(name: str, *, as_json: bool) -> bool:
    """Print what the defence called `name` does, and its settings with their defaults; whether there is one."""
    if name not in defence_names():
        return False
    found = find_defence(name)
    console = Console(soft_wrap=True, highlight=False)
    if as_json:
        row = {"name": found.name, "source": found.source, "page": found.page, "settings": found.settings}
        typer.echo(json.dumps([row], indent=1))
        return True
    console.print(escape(found.page))
    console.print()
    for key, value in found.settings.items():
        console.print(f"--set {key}={value}")
    return True
