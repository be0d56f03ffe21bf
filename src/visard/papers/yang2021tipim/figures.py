"""The sweep over gamma, drawn."""

from collections.abc import Sequence

import numpy as np

from visard.audit.figures import Drawing, panels, svg
from visard.papers.rows import column, where
from visard.papers.study import Row
from visard.papers.yang2021tipim.experiment import SWEPT
from visard.papers.yang2021tipim.tables import curve, hits, runs

_COLORS = {"sum": "#2a6f97", "mean": "#c1440e"}


def puzzle(rows: Sequence[Row]) -> Drawing:
    """Protection and PSNR against gamma, and against gamma as a sum, where the curves of both reductions are one."""
    figure, axes = panels(4, (4.6, 3.2), columns=2)
    held_out = {row["judge"] for row in rows} - {SWEPT}
    for axis, (by, value) in zip(axes, ((0, 2), (0, 3), (1, 2), (1, 3)), strict=True):
        for (reduction, color), marker in zip(_COLORS.items(), "os", strict=True):
            own = curve(rows, reduction, {SWEPT})
            label = f"D is the {reduction}"
            axis.plot(own[:, by], own[:, value], marker + "-", color=color, markersize=4, label=label)
            if value == 2 and held_out:
                transfer = curve(rows, reduction, held_out)
                axis.plot(transfer[:, by], transfer[:, value], marker + "--", color=color, markersize=3, linewidth=0.8)
        if value == 2:
            clean = hits(where(rows, judge=SWEPT), "Rank-1-UT", clean=True).mean()
            axis.axhline(clean, color="#8a8a8a", linewidth=0.8, linestyle=":")
            axis.set_ylim(-0.03, 1.03)
        linear = 1e-3 if by == 0 else 0.1
        axis.set_xscale("symlog", linthresh=linear)
        axis.set_xlim(left=-linear / 5)
        axis.set_xlabel("gamma, as it is given" if by == 0 else "gamma as of a sum")
        axis.set_ylabel("Rank-1-UT" if value == 2 else "PSNR, dB")
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=7)
    return Drawing(
        svg(figure),
        "Above, against gamma as it is given: the mean falls earlier, by as many times as there are dimensions. Below, "
        "a gamma of the mean times the dimensions: the two are one curve. Solid: the recognizer that made the cloaks; "
        "dashed: the mean of the others; dotted: clean probes. To the left of the first tick mark the axis is linear.",
    )


def naturalness(rows: Sequence[Row]) -> Drawing:
    """PSNR and SSIM over gamma as a sum: median and the middle half of the probes."""
    figure, axes = panels(2, (4.6, 3.2))
    some = where(rows, judge=SWEPT)
    for axis, measure, label in zip(axes, ("psnr", "ssim"), ("PSNR, dB", "SSIM"), strict=True):
        for reduction, color in _COLORS.items():
            shown = [run for run in runs(some) if run[0] == reduction or run[1] == 0]
            gammas = [as_sum for _, _, as_sum in shown]
            values = [column(where(some, reduction=kind, gamma=gamma), measure) for kind, gamma, _ in shown]
            low, middle, high = np.percentile(values, [25, 50, 75], axis=1)
            axis.plot(gammas, middle, "o-", color=color, markersize=4, label=f"D is the {reduction}")
            axis.fill_between(gammas, low, high, color=color, alpha=0.2, linewidth=0)
        axis.set_xscale("symlog", linthresh=0.1)
        axis.set_xlim(left=-0.02)
        axis.set_xlabel("gamma as of a sum")
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=7)
    return Drawing(svg(figure), "The line is the median probe, the band the middle half of them; 160 px crop.")
