"""An audit's report: the default at its strengths and two other methods on `test` people, whole photos, audited.

Each run protects the first photos of the same people with the same surrogates (`visard protect`'s own code), then
one audit judges all sets (`visard audit`'s own code) with the recognizers that had no part.

    python benchmarks/baseline.py --out FOLDER [--people 40] [--photos 2] [--surrogates A,B] [--jury C,D]
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from common import install_assets, trials

RUNS = {
    "visard low": ["--strength", "low"],
    "visard medium": ["--strength", "medium"],
    "visard high": ["--strength", "high"],
    "mi-di-fgsm": ["--method", "mi-di-fgsm"],
    "i-fgvm": ["--method", "i-fgvm"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--people", type=int, default=40)
    parser.add_argument("--photos", type=int, default=2, help="of each person")
    parser.add_argument("--runs", default=",".join(RUNS))
    parser.add_argument("--surrogates", default="")
    parser.add_argument("--jury", default="")
    args = parser.parse_args()
    install_assets()
    originals = args.out / "originals"
    for trial in trials("test", args.people):
        for path in (trial.probe, *trial.mates)[: args.photos]:
            copy = originals / trial.person / path.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    chosen = [f"--surrogates={args.surrogates}"] * bool(args.surrogates)
    names = args.runs.split(",")
    for name in names:
        run(["protect", originals, "-o", args.out / name, "--jury", "none", *RUNS[name], *chosen], allowed=(0, 1, 2))
    sets = [word for name in names for word in ("--protected", args.out / name)]
    jury = [f"--jury={args.jury}"] * bool(args.jury)
    run(["audit", "--original", originals, *sets, "--out", args.out / "report", *jury])


def run(words: list[object], allowed: tuple[int, ...] = (0,)) -> None:
    print("visard", *words, flush=True)
    code = subprocess.run([sys.executable, "-m", "visard", *map(str, words)]).returncode
    if code not in allowed:
        raise SystemExit(code)


if __name__ == "__main__":
    main()
