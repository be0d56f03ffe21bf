"""The print's figures 3 to 5, ours with intervals and the print's lines."""

from collections.abc import Mapping, Sequence

import numpy as np

from visard.audit.figures import Drawing, panels, svg
from visard.papers.ghafourian2023.experiment import LEVELS, METHODS, PARTS, TOPS
from visard.papers.ghafourian2023.outcomes import Outcomes
from visard.papers.ghafourian2023.tables import place
from visard.papers.paper import Printed

_COLORS = ("#2a6f97", "#c1440e", "#5a8f29", "#7a4f9a", "#8a8a8a")
_HOW = (
    "Solid: here, of faces named rightly before, those not found counted as protected, with 95 % intervals. Dashed: "
    "the print."
)
_Cells = Sequence[tuple[int, int, int, int]]


def drawings(outcomes: Outcomes, printed: Printed) -> dict[str, Drawing]:
    """Figures 3 to 5: the rates against eps by source and method, by target, by k."""
    pairs = [(s, t) for s in range(len(PARTS)) for t in range(len(PARTS)) if s != t]
    by_source = {
        source: {
            f"{method} on {'itself' if own else 'the others'}": [(s, m, t, 0) for t in range(3) if (s == t) is own]
            for m, method in enumerate(METHODS)
            for own in (True, False)
        }
        for s, source in enumerate(PARTS)
    }
    by_target = {
        f"{target}, {method}": {f"made on {source}": [(s, m, t, 0)] for s, source in enumerate(PARTS)}
        for m, method in enumerate(METHODS)
        for t, target in enumerate(PARTS)
    }
    by_top = {
        method: {f"top-{top}": [(s, m, t, k) for s, t in pairs] for k, top in enumerate(TOPS)}
        for m, method in enumerate(METHODS)
    }
    return {
        title: Drawing(_against_eps(outcomes, printed, lines), f"{text} {_HOW}")
        for title, text, lines in (
            ("Figure 3: sources and methods", "Top-1 PSR against eps, one panel per source.", by_source),
            ("Figure 4: targets", "Top-1 PSR against eps, one panel per target and method.", by_target),
            ("Figure 5: k", "Top-k PSR against eps on targets other than the source, one panel per method.", by_top),
        )
    }


def _against_eps(outcomes: Outcomes, printed: Printed, lines: Mapping[str, Mapping[str, _Cells]]) -> str:
    """One panel per title; a line per label, the mean over its cells (source, method, target, top), by number."""
    counted = outcomes.counted(conditional=True, missed=True)
    figure, axes = panels(len(lines), (4.4, 3.4))
    for axis, (title, of) in zip(axes, lines.items(), strict=True):
        for color, (label, cells) in zip(_COLORS, of.items(), strict=False):
            s, m, t, k = np.array(cells).T
            found = [(level, outcomes.rate(counted, s, m, e, t, k)) for e, level in enumerate(outcomes.levels)]
            known = [(level, one) for level, one in found if one is not None]
            if known:
                axis.errorbar(
                    [level for level, _ in known],
                    [one.value for _, one in known],
                    # a bootstrap's interval need not hold the value itself
                    yerr=np.array([[one.value - one.low, one.high - one.value] for _, one in known]).clip(0).T,
                    color=color,
                    marker="o",
                    markersize=3,
                    linewidth=1.2,
                    elinewidth=0.7,
                    capsize=2,
                    label=label,
                )
            means = [
                np.mean([printed[place(PARTS[a], METHODS[b], level, PARTS[c], TOPS[d])] for a, b, c, d in cells]) / 100
                for level in LEVELS
            ]
            axis.plot(LEVELS, means, color=color, linewidth=0.9, linestyle="--")
        axis.set_xscale("log", base=2)
        axis.set_xticks(LEVELS, [str(level) for level in LEVELS])
        axis.set_ylim(-0.03, 1.05)
        axis.grid(alpha=0.3)
        axis.set_title(title)
        axis.set_xlabel("eps, gray levels")
        axis.set_ylabel("PSR")
        axis.legend(fontsize=7)
    return svg(figure)
