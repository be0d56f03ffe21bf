"""visard duel"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from visard.audit.document import check_extras
from visard.cli import show
from visard.cli.harden import faces_of, groups, methods_of
from visard.errors import CardError, SettingError
from visard.hardening import find_defence
from visard.hardening.duel import Duel
from visard.hardening.people import some, with_mates
from visard.pipeline import choose_judges, choose_recognizers
from visard.pipeline.duel_report import write
from visard.recognizer import cards, derived, find, load, ready, store_derived


def run(
    recognizer: str,
    data: Path,
    out: Path,
    rounds: int,
    methods: Sequence[str],
    surrogates: Sequence[str],
    jury: Sequence[str],
    defence: str,
    settings: Mapping[str, Any],
    roles: tuple[str | None, str | None, str | None],
    detector: str,
    training: int,
    photos: int,
    attack: Mapping[str, Any],
    keep: str,
    seed: int,
) -> None:
    """Fight the duel, write its report, print the headline; keep the recognizers if asked to."""
    check_extras("A duel")
    if out.exists() and not out.is_dir():
        raise SettingError(f"{out} is a file; name a folder for the duel.")
    if out.resolve().is_relative_to(data.resolve()):
        raise SettingError(f"{out} lies among the photos; choose another folder for the duel.")
    hardening = find_defence(defence)
    base = load(find(recognizer))
    hardening.check(base, settings)
    names = [f"{keep}-{number}" for number in range(1, rounds + 1)] if keep else []
    for name in names:
        derived(base, name=name)  # a name that no card can have is found out before the work
    if taken := [name for name in names if name in cards()]:
        raise CardError(f'A recognizer called "{taken[0]}" is there already; give another name with --keep.')
    strangers = surrogates or [
        c.name for c in cards().values() if c.role == "surrogate" and ready(c) and c != base.card
    ]
    makers = choose_recognizers(strangers, ["none"])[0] if strangers else ()
    jurors = choose_judges([base.card, *(maker.card for maker in makers)], jury)
    chosen = methods_of(methods)
    console = Console(soft_wrap=True, highlight=False)
    learning, *others = groups(data, roles[0], None, *roles[1:])
    trained, tested, calibration = (
        faces_of(group, detector, console) for group in (some(learning, training, seed), *others)
    )
    duel = Duel(
        base,
        hardening,
        trained,
        with_mates(tested, photos, seed),
        tested,
        calibration,
        makers,
        out,
        chosen,
        jurors,
        settings,
        rounds,
        **attack,
        seed=seed,
        watch=lambda line: console.print(escape(line)),
    )
    fought, cells = duel.fight()
    found = write(duel, fought, cells)
    show.headline(found.tables[0], found.warnings, out / "duel.md")
    for name, one in zip(names, fought[1:], strict=False):
        store_derived(derived(one.recognizer, name=name))
    if names:
        console.print(f"Kept: {', '.join(names)}; they judge once they have thresholds: visard calibrate.")
