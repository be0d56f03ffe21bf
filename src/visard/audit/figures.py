"""The report's figures, as SVG text."""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from visard.audit.findings import FMRS, Protected
from visard.measure import det

if TYPE_CHECKING:
    from visard.recognizer import Recognizer

COLORS = {"clean": "#2a6f97", "protected": "#c1440e", "others": "#8a8a8a"}
_MARKERS = "osD^vPX*"
_RATES = (1e-4, 1e-3, 1e-2, 0.05, 0.2, 0.5, 0.8, 0.95)
_HIGH = 1.01  # above every cosine, rounding included
_MOST_POINTS = 2000  # of a curve: more than a screen shows


class Drawing(NamedTuple):
    """A figure as SVG text, and how to read it."""

    svg: str
    caption: str


class Point(NamedTuple):
    """One run of a method: its `label`, its `visibility` by some measure, and the share protected in [0, 1], the `mean`
    over jurors and the `worst` of them."""

    label: str
    visibility: float
    mean: float
    worst: float


def figures(sets: Sequence[Protected]) -> dict[str, Drawing]:
    """The figures by title."""
    found = {}
    if len(sets) > 1:
        found["Protection against visibility"] = Drawing(
            tradeoff(sets),
            "One point per set, up and to the left is better: the share protected, mean over held-out jurors; the bar "
            "goes down to the worst of them.",
        )
    for one in sets:
        found[f"Scores: {one.name}"] = Drawing(
            histograms(one),
            "Left of the dashed line two photos do not match. A cloak that works moves the orange scores, protected "
            "photos of the same person, from the blue ones to the gray ones of other people.",
        )
        found[f"Detection error tradeoff: {one.name}"] = Drawing(
            det_curves(one),
            "The farther up and to the right, the more errors the juror makes at every threshold: with protected "
            "photos that is protection. Where the scores of the two kinds do not overlap there is no curve.",
        )
    return found


def histograms(one: Protected) -> str:
    """Genuine scores before and after, and other people's, one panel per juror."""
    figure, axes = panels(len(one.jury))
    for axis, juror in zip(axes, one.jury, strict=True):
        found = one.scores(juror)
        kinds = {"others": found.protected_other, "clean": found.clean, "protected": found.protected}
        low = min((float(s.min()) for s in kinds.values() if len(s)), default=-1.0)
        edges = np.linspace(min(low, _HIGH - 0.1), _HIGH, 60)
        for name, scores in kinds.items():
            if len(scores):
                label = {"others": "other people, protected"}.get(name, f"same person, {name}")
                density, _ = np.histogram(scores, edges, density=True)
                axis.stairs(density, edges, fill=True, alpha=0.6, color=COLORS[name], label=label)
        axis.axvline(juror.threshold(FMRS[0]).value, color="black", linewidth=1, linestyle="--")
        axis.set_title(_title(one, juror))
        axis.set_xlabel(f"cosine; dashed: threshold at FMR {FMRS[0]:g}")
        axis.set_yticks([])
    axes[0].legend(fontsize=7)
    return svg(figure)


def det_curves(one: Protected) -> str:
    """FMR against FNMR on probit axes, clean and protected probes."""
    from scipy.special import ndtri

    figure, axes = panels(len(one.jury))
    places = ndtri(np.array(_RATES))
    for axis, juror in zip(axes, one.jury, strict=True):
        scores = one.scores(juror)
        for name, genuine, impostor in (
            ("clean", scores.clean, scores.clean_other),
            ("protected", scores.protected, scores.protected_other),
        ):
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
    return svg(figure)


def tradeoff(sets: Sequence[Protected]) -> str:
    """Protection against SSIM and CIEDE2000, one point per set; the bar goes down to the worst juror."""
    figure, axes = panels(2)
    for axis, name, label in zip(axes, ("ssim", "ciede2000"), ("SSIM", "CIEDE2000"), strict=True):
        for one in sets:
            rates = [rate.value for rate in one.held_out_rates("as saved", FMRS[0])]
            if not rates:
                continue
            x, mean = float(np.mean(one.seen.quality[name])), float(np.mean(rates))
            axis.errorbar([x], [mean], yerr=[[max(0.0, mean - min(rates))], [0]], fmt="o", markersize=4, capsize=2)
            text = axis.annotate(one.name, (x, mean), fontsize=7, xytext=(4, 4), textcoords="offset points")
            text.set_in_layout(False)  # a long name may be cut off, but not push the axes off the figure
        axis.set_ylim(-0.02, 1.05)
        axis.set_xlabel(f"{label}, 160 px crop")
        axis.set_ylabel(f"protected at FMR {FMRS[0]:g}:\nmean, down to the worst juror")
        axis.grid(alpha=0.3)
    axes[0].invert_xaxis()
    return svg(figure)


def pareto(methods: Mapping[str, Sequence[Point]], measure: str, fmr: float, *, falling: bool) -> str:
    """Protection against visibility, one line per method through its runs; bars go down to the worst juror. `falling`:
    the less a cloak is seen the higher the measure, which then runs from right to left."""
    figure, (axis,) = panels(1, (7.0, 4.6))
    for number, (name, points) in enumerate(methods.items()):
        found = sorted(points, key=lambda point: point.visibility)
        means = [point.mean for point in found]
        below = [max(0.0, point.mean - point.worst) for point in found]
        line = axis.errorbar(
            [point.visibility for point in found],
            means,
            yerr=[below, [0.0] * len(found)],
            fmt=f"{_MARKERS[number % len(_MARKERS)]}-",
            markersize=5,
            linewidth=1.2,
            elinewidth=0.8,
            capsize=2,
            label=name,
        )
        above = number % 2 == 0  # two methods' labels at one place do not cover each other
        for point in found:
            text = axis.annotate(
                point.label,
                (point.visibility, point.mean),
                fontsize=7,
                color=line[0].get_color(),
                xytext=(-4, 5) if above else (4, -5),
                textcoords="offset points",
                ha="right" if above else "left",
                va="bottom" if above else "top",
                bbox={"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 0.5},
            )
            text.set_in_layout(False)
    axis.margins(x=0.15)
    axis.set_ylim(-0.05, 1.1)
    axis.set_xlabel(f"{measure}, 160 px crop")
    axis.set_ylabel(f"protected at FMR {fmr:g}:\nmean, down to the worst juror")
    axis.grid(alpha=0.3)
    if falling:
        axis.invert_xaxis()
    figure.legend(loc="outside upper left", fontsize=8, ncols=4, frameon=False)
    return svg(figure)


def _title(one: Protected, juror: "Recognizer") -> str:
    return juror.name if one.held_out(juror) else f"{juror.name} (made the cloaks)"


def panels(count: int, size: tuple[float, float] = (4.0, 3.2), *, columns: int = 3) -> tuple[Any, list[Any]]:
    """A figure of `count` axes, each of a `size` in inches, at most `columns` side by side."""
    from matplotlib.figure import Figure

    columns = min(columns, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for unused in axes[count:]:
        unused.remove()
    return figure, axes[:count]


def svg(figure: Any) -> str:
    """A figure as SVG text, the same for the same figure."""
    buffer = io.StringIO()
    # neither a date, a version nor random names: equal findings make equal files
    from matplotlib import rc_context

    with rc_context({"svg.hashsalt": "visard"}):
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = buffer.getvalue()
    return text[text.index("<svg") :]
