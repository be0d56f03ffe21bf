"""visard calibrate"""

from collections.abc import Sequence
from pathlib import Path

from rich.progress import track

from visard.cli import arguments, show
from visard.errors import CalibrationError
from visard.measure import required_pairs
from visard.recognizer import calibrate, cards, find, load, people_photos, ready, store_thresholds


def run(people: Path, recognizers: Sequence[str], role: str | None, fmrs: Sequence[float], detector: str) -> None:
    """Compute and store the thresholds, print them."""
    chosen = [load(find(name)) for name in recognizers] or [load(card) for card in cards().values() if ready(card)]
    photos = people_photos(people, role)
    pairs, needed = len(photos) * (len(photos) - 1) // 2, max(required_pairs(fmr) for fmr in fmrs)
    if pairs < needed:
        raise CalibrationError(
            f"FMR {min(fmrs):g} needs at least {needed:,} impostor pairs (rule of 30); {len(photos):,} photos give "
            f"{pairs:,} at most: give photos of more people, or a higher --fmr."
        )
    skipped: list[tuple[Path, str]] = []
    found = calibrate(
        chosen,
        track(photos, description="calibrating", transient=True),
        arguments.detector(detector),
        dataset=people.resolve().name + (f", role {role}" if role else ""),
        fmrs=fmrs,
        skipped=lambda path, reason: skipped.append((path, reason)),
    )
    for recognizer in chosen:
        store_thresholds(recognizer.card, found[recognizer.name])
    show.thresholds(found, skipped)
