"""Genuine and impostor scores before and after the hardening, by regime."""

from collections.abc import Sequence

import numpy as np

from visard.audit.figures import COLORS, Drawing, panels, svg
from visard.hardening.outcome import REGIMES
from visard.papers.rows import where
from visard.papers.vos2023.experiment import BINS, DATASETS, METHODS, Rows
from visard.papers.vos2023.tables import histogram

_HOW = (
    "Gray: two people; orange: one person. Dashed: tau. A row per recognizer, a column per regime; the farther the two "
    "lie apart, the better the recognizer. In the titles the equal error rate."
)


def drawings(found: Rows, arms: Sequence[str]) -> dict[str, Drawing]:
    """One figure per dataset and method, with the recognizers of `arms`."""
    return {
        f"Scores: {dataset}, {method}": Drawing(_scores(found, arms, dataset, method), _HOW)
        for dataset in DATASETS
        for method in METHODS
    }


def _scores(found: Rows, arms: Sequence[str], dataset: str, method: str) -> str:
    figure, axes = panels(len(arms) * len(REGIMES), (3.6, 2.6), columns=len(REGIMES))
    places = [(arm, regime) for arm in arms for regime in REGIMES]
    for axis, (arm, regime) in zip(axes, places, strict=True):
        place = {"arm": arm, "dataset": dataset, "method": method, "regime": regime}
        (error,) = where(found.errors, **place)
        for kind, color in (("impostor", COLORS["others"]), ("genuine", COLORS["protected"])):
            counts = histogram(found, kind, **place)
            density = counts / max(1, counts.sum()) / np.diff(BINS)
            axis.stairs(density, BINS, fill=True, alpha=0.6, color=color)
        axis.axvline(error["tau"], color="black", linewidth=1, linestyle="--")
        axis.set_title(f"{arm}, {regime}: {100 * error['value']:.1f} %", fontsize=8)
        axis.set_yticks([])
        axis.set_xlabel("cosine", fontsize=8)
    return svg(figure)
