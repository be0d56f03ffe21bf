"""Every defence on one recognizer, under equal terms: what gets away, what it costs, and whether who adapts gets away.

Faces are the aligned ones of lfw-160: people of role `train` are trained on, others judged (role `test`) and calibrated
on (role `calibration`). Frozen cloaks are made against the recognizer as it was; `white box` ones against the defended
one, on some of the faces. Cloaks, trainings and rows are kept in --out, so a run that was stopped goes on.

    python benchmarks/defences.py --out FOLDER --recognizer mobileface-v2
"""

import argparse
import json
import time
from collections import Counter
from pathlib import Path

from torch import Tensor

from common import ASSETS, table
from visard.face import aligned_crop
from visard.generator import Crops, find_method, read_crops
from visard.hardening import Material, defence_names, find_defence
from visard.hardening.adaptive import EPS, over_budgets
from visard.hardening.kept import kept_cloaks
from visard.hardening.material import SIZE
from visard.hardening.outcome import FAR, NORMAL, outcomes
from visard.measure import Rate
from visard.photo.files import write_whole
from visard.recognizer import Recognizer, find, load, people_photos

TRAINED, UNSEEN = ("advfaces",), ("mi-di-fgsm", "fawkes")
ADAPTIVE = {"steps": 20, "restarts": 1}


def faces(role: str, people: int, photos: int) -> Crops:
    """Of `people` people of a role, evenly apart by name, up to `photos` photos of each, two at least unless one is
    asked for."""
    given = people_photos(ASSETS / "data/lfw-160", role)
    counts = Counter(person for person, _ in given)
    able = sorted(person for person, count in counts.items() if count >= min(photos, 2))
    chosen = set(able[:: max(1, len(able) // people)][:people])
    taken: Counter[str] = Counter()
    rows = []
    for person, path in given:
        if person in chosen and taken[person] < photos:
            taken[person] += 1
            rows.append((person, path))
    return read_crops(rows, aligned_crop, SIZE)


class Bench:
    """The faces, their cloaks, and a row per defence."""

    def __init__(self, base: Recognizer, out: Path, people: int, attacked: int) -> None:
        self.base, self.out, self.attacked = base, out, attacked
        self.training = faces("train", people, 5)
        self.judged = faces("test", 75, 2)
        self.calibration = faces("calibration", 400, 1)
        self.taught = {name: self._cloaked("training", self.training, name) for name in TRAINED}
        self.shown = {name: self._cloaked("judged", self.judged, name) for name in (*TRAINED, *UNSEEN)}

    def _cloaked(self, group: str, crops: Crops, name: str) -> Tensor:
        path = self.out / f"{group}-{name}.pt"
        return kept_cloaks(path, crops.pixels, find_method(name), [self.base], watch=print)

    def row(self, name: str) -> list[str]:
        """A defence by its name, with its default settings; "none" for the recognizer as it was."""
        path = self.out / f"{name}.json"
        if not path.is_file():
            write_whole(path, json.dumps(self._row(name)).encode())
        return json.loads(path.read_text())

    def _row(self, name: str) -> list[str]:
        begun = time.perf_counter()
        recognizer = self.base
        if name != "none":
            material = Material(self.training, self.taught, watch=print, checkpoint=self.out / f"{name}.pt")
            recognizer = find_defence(name).harden(self.base, material, {})
        trained = time.perf_counter() - begun
        found = outcomes(recognizer, self.judged, self.shown, self.calibration)
        few = Crops(self.judged.pixels[: self.attacked], self.judged.people[: self.attacked])
        one = next(iter(found.values()))
        adaptive = over_budgets(recognizer, few, one.tau, [EPS], **ADAPTIVE)[EPS]
        rates = [one.eer[NORMAL], one.fnmr, *(outcome.asr for outcome in found.values()), adaptive]
        return [name, *map(_share, rates), f"{trained:.0f}"]


def _share(rate: Rate) -> str:
    return f"{100 * rate.value:.1f} [{100 * rate.low:.0f}, {100 * rate.high:.0f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for what is made; goes on where it was")
    parser.add_argument("--recognizer", default="mobileface-v2")
    parser.add_argument("--people", type=int, default=250, help="to train on, up to five photos of each")
    parser.add_argument("--attacked", type=int, default=60, help="photos that the white box attacks")
    parser.add_argument("--defences", default=",".join(defence_names()))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    bench = Bench(load(find(args.recognizer)), args.out, args.people, args.attacked)
    rows = [bench.row(name) for name in ["none", *args.defences.split(",")]]
    header = ["defence", "clean EER", "clean FNMR", *TRAINED, *(f"{name} (unseen)" for name in UNSEEN)]
    table([*header, f"white box, eps {255 * EPS:g}/255", "s to train"], rows)
    print(f"in %, with the 95 % interval over people; tau at FAR {FAR:g} on {len(bench.calibration)} other people")


if __name__ == "__main__":
    main()
