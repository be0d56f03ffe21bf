"""The report's figures, as SVG text."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from visard.audit.findings import FMRS, Protected
from visard.measure import det

if TYPE_CHECKING:
    from visard.recognizer import Recognizer

COLORS = {"clean": "#2a6f97", "protected": "#c1440e", "others": "#8a8a8a"}
_RATES = (1e-4, 1e-3, 1e-2, 0.05, 0.2, 0.5, 0.8, 0.95)
_MOST_POINTS = 2000  # of a curve: more than a screen shows


def figures(sets: Sequence[Protected]) -> dict[str, str]:
    """SVG by title."""
    found = {}
    if len(sets) > 1:
        found["Protection against visibility"] = tradeoff(sets)
    for one in sets:
        found[f"Scores: {one.name}"] = histograms(one)
        found[f"Detection error tradeoff: {one.name}"] = det_curves(one)
    return found


def histograms(one: Protected) -> str:
    """Genuine scores before and after, and other people's, one panel per juror."""
    figure, axes = _panels(len(one.jury))
    for axis, juror in zip(axes, one.jury, strict=True):
        clean, protected, _, others = one.scores[juror.name]
        kinds = {"others": others, "clean": clean, "protected": protected}
        low, high = min((s.min() for s in kinds.values() if len(s)), default=-1), 1.0
        for name, scores in kinds.items():
            if len(scores):
                label = {"others": "other people, protected"}.get(name, f"same person, {name}")
                axis.hist(
                    scores, bins=np.linspace(low, high, 60), density=True, alpha=0.6, color=COLORS[name], label=label
                )
        axis.axvline(juror.threshold(FMRS[0]).value, color="black", linewidth=1, linestyle="--")
        axis.set_title(_title(one, juror))
        axis.set_xlabel(f"cosine; dashed: threshold at FMR {FMRS[0]:g}")
        axis.set_yticks([])
    axes[0].legend(fontsize=7)
    return _svg(figure)


def det_curves(one: Protected) -> str:
    """FMR against FNMR on probit axes, clean and protected probes."""
    from scipy.special import ndtri

    figure, axes = _panels(len(one.jury))
    places = ndtri(np.array(_RATES))
    for axis, juror in zip(axes, one.jury, strict=True):
        clean, protected, clean_others, protected_others = one.scores[juror.name]
        for name, genuine, impostor in (("clean", clean, clean_others), ("protected", protected, protected_others)):
            if len(genuine) and len(impostor):
                curve = det(genuine, impostor)
                some = np.unique(np.linspace(0, max(len(curve.fmr) - 1, 0), _MOST_POINTS).astype(int))[: len(curve.fmr)]
                axis.plot(curve.fmr[some], curve.fnmr[some], color=COLORS[name], label=name)
        axis.set_xticks(places, [f"{r:g}" for r in _RATES], rotation=90, fontsize=7)
        axis.set_yticks(places, [f"{r:g}" for r in _RATES], fontsize=7)
        axis.set_xlim(places[0], places[-1])
        axis.set_ylim(places[0], places[-1])
        axis.grid(alpha=0.3)
        axis.set_title(_title(one, juror))
        axis.set_xlabel("FMR")
        axis.set_ylabel("FNMR")
    axes[0].legend(fontsize=7)
    return _svg(figure)


def tradeoff(sets: Sequence[Protected]) -> str:
    """Protection against SSIM and CIEDE2000, one point per set; the bar goes down to the worst juror."""
    figure, axes = _panels(2)
    for axis, name, label in zip(axes, ("ssim", "ciede2000"), ("SSIM", "CIEDE2000"), strict=True):
        for one in sets:
            rates = one.held_out_rates("as saved", FMRS[0])
            if not rates:
                continue
            x, mean = float(np.mean(one.seen.quality[name])), float(np.mean(rates))
            axis.errorbar([x], [mean], yerr=[[mean - min(rates)], [0]], fmt="o", markersize=4, capsize=2)
            axis.annotate(one.name, (x, mean), fontsize=7, xytext=(4, 4), textcoords="offset points")
        axis.set_ylim(-0.02, 1.05)
        axis.set_xlabel(f"{label}, 160 px crop")
        axis.set_ylabel(f"protected at FMR {FMRS[0]:g}: mean, and worst juror")
        axis.grid(alpha=0.3)
    axes[0].invert_xaxis()
    return _svg(figure)


def _title(one: Protected, juror: "Recognizer") -> str:
    return juror.name if one.held_out(juror) else f"{juror.name} (made the cloaks)"


def _panels(count: int) -> tuple[Any, list[Any]]:
    from matplotlib.figure import Figure

    columns = min(3, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(4 * columns, 3.2 * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for unused in axes[count:]:
        unused.remove()
    return figure, axes[:count]


def _svg(figure: Any) -> str:
    buffer = io.StringIO()
    # neither a date nor random names: equal findings make equal files
    from matplotlib import rc_context

    with rc_context({"svg.hashsalt": "visard"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
