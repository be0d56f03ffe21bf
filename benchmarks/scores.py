"""How long the measures take on all pairs of 10,000 faces: scores, EER, DET, and the bootstrap over people.

    python benchmarks/scores.py [faces]

1,000 made people with unequal numbers of photos, embeddings of 512 numbers. One process; peak memory is the whole
process's, interpreter and libraries included. Needs no assets.
"""

import os
import resource
import sys
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from common import table
from visard.measure import bootstrap_eer, bootstrap_fnmr_at_fmr, det, eer, genuine_and_impostor, person_histograms

PEOPLE, DIMENSIONS, NOISE = 1000, 512, 2.5
DRAWS, FMR = 1000, 1e-3
Result = TypeVar("Result")


def made_embeddings(faces: int) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Unit embeddings (N, 512) scattered around those of 1,000 people, and whose each is (N,)."""
    rng = np.random.default_rng(0)
    people = rng.integers(PEOPLE, size=faces)
    embeddings = rng.normal(size=(PEOPLE, DIMENSIONS))[people] + NOISE * rng.normal(size=(faces, DIMENSIONS))
    return np.float32(embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)), people


def main(faces: int = 10_000) -> None:
    rows: list[list[str]] = []

    def timed(name: str, work: Callable[[], Result], told: Callable[[Result], str]) -> Result:
        begun = time.perf_counter()
        result = work()
        seconds = time.perf_counter() - begun
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        rows.append([name, f"{seconds:.2f}", f"{peak:.0f}", told(result)])
        return result

    def interval(ends: tuple[float, float]) -> str:
        return f"{100 * ends[0]:.2f} to {100 * ends[1]:.2f} %"

    embeddings, people = made_embeddings(faces)
    begun = time.perf_counter()
    genuine, impostor = timed(
        "genuine and impostor scores",
        lambda: genuine_and_impostor(embeddings, people),
        lambda scores: f"{len(scores[0]):,} + {len(scores[1]):,} pairs",
    )
    timed("EER", lambda: eer(genuine, impostor), lambda rate: f"{100 * rate:.2f} %")
    timed("DET", lambda: det(genuine, impostor), lambda curve: f"{len(curve.fmr):,} points")
    histograms = timed(
        "histograms per person", lambda: person_histograms(embeddings, people), lambda h: f"{h.genuine.shape[1]} bins"
    )
    timed(f"EER, bootstrap of {DRAWS:,}", lambda: bootstrap_eer(histograms, DRAWS), interval)
    timed(
        f"FNMR at FMR {FMR:g}, bootstrap of {DRAWS:,}",
        lambda: bootstrap_fnmr_at_fmr(histograms, FMR, DRAWS),
        interval,
    )
    rows.append(["all", f"{time.perf_counter() - begun:.2f}", rows[-1][2], ""])
    table(["step", "s", "peak MB so far", "result"], rows)


if __name__ == "__main__":
    print(
        f"numpy {np.__version__}, {os.cpu_count()} cores, OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'unset')}"
    )
    main(*map(int, sys.argv[1:]))
