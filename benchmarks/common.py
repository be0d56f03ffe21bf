"""What the benchmarks share: the assets, recognizers from them, photos of test people."""

import csv
import json
import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from visard.errors import CardError
from visard.face import dlib_hog
from visard.recognizer import Recognizer, add, calibrate, cards, find, load, people_photos, store_thresholds
from visard.recognizer.calibration import FMRS

ASSETS = Path(os.environ.get("VISARD_ASSETS", Path(__file__).parents[2] / "shared"))


def install_assets() -> None:
    """Add the assets' recognizers to the store ($VISARD_HOME) and calibrate what has no thresholds (minutes)."""
    sheet = ASSETS / "models/cards.json"
    for entry in json.loads(sheet.read_text())["recognizers"].values():
        try:
            add(ASSETS / "models" / entry["file"], sheet)
        except CardError:
            continue  # it is there already
    missing = [load(card) for card in cards().values() if not card.thresholds]
    if missing:
        print("calibrating", ", ".join(r.name for r in missing))
        photos = people_photos(ASSETS / "data/lfw-160", "calibration")
        found = calibrate(missing, photos, dlib_hog(), dataset="lfw-160, role calibration", fmrs=FMRS)
        for recognizer in missing:
            store_thresholds(recognizer.card, found[recognizer.name])


def recognizers(names: str) -> tuple[Recognizer, ...]:
    """The installed recognizers of "a,b", with thresholds."""
    return tuple(load(find(name)) for name in names.split(",") if name)


@dataclass(frozen=True)
class Trial:
    """A person's probe and up to three other photos of the same person."""

    person: str
    probe: Path
    mates: tuple[Path, ...]


def trials(role: str = "test", count: int | None = None) -> list[Trial]:
    """One trial per person of `role` with at least two photos, in the order of their names."""
    folder = ASSETS / ("data/lfw-250" if role == "test" else "data/lfw-160")
    photos: dict[str, list[Path]] = defaultdict(list)
    with (ASSETS / "data/lfw-160/meta.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["role"] == role and (folder / row["path"]).is_file():
                photos[row["person"]].append(folder / row["path"])
    found = [Trial(p, paths[0], tuple(paths[1:4])) for p, paths in sorted(photos.items()) if len(paths) > 1]
    # every k-th person, so that a smaller count still spans the alphabet
    return found if count is None or count >= len(found) else found[:: max(1, len(found) // count)][:count]


def table(header: list[str], rows: list[list[str]]) -> None:
    """Print a Markdown table."""
    widths = [max(len(r[i]) for r in [header, *rows]) for i in range(len(header))]
    for row in [header, ["-" * w for w in widths], *rows]:
        print("| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |", flush=True)
