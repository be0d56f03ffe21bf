"""Pictures that were changed, and the one that grows out of noise."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from visard.audit.figures import Drawing, svg
from visard.audit.tables import share
from visard.papers.chatzikyriakidis2019.experiment import AMPLIFIED, EVOLUTION_PULL
from visard.papers.study import Row, Study


def draw_examples(study: Study, rows: Sequence[Row]) -> Drawing:
    """A photo, what each method made of it, and the changes, amplified."""
    figure, axes = _grid(2, len(rows) + 1)
    _show(axes[0][0], study, f"{rows[0]['stem']}-clean.png", rows[0]["person"])
    for number, row in enumerate(rows, start=1):
        _show(axes[0][number], study, f"{row['stem']}-changed.png", f"{row['method']}:\n{row['named']}")
        _show(axes[1][number], study, f"{row['stem']}-change.png", f"L2 {row['l2']:.2f}")
    return Drawing(
        svg(figure),
        f"Left the unchanged photo; above what each method made of it and whom the classifier then names; below the "
        f"change, {AMPLIFIED} times amplified around mid-gray.",
    )


def draw_evolution(study: Study, rows: Sequence[Row]) -> Drawing:
    """The picture that grows out of noise, over steps."""
    figure, axes = _grid(1, len(rows))
    for axis, row in zip(axes[0], rows, strict=True):
        _show(axis, study, row["picture"], f"step {row['step']}, L2 {row['l2']:.2f}:\n{row['named']}")
    return Drawing(
        svg(figure),
        "P-FGVM begins at Gaussian noise. At each step its realism term takes back "
        f"{share(EVOLUTION_PULL)} of what is left and so pulls to the photo of {rows[0]['person']}, and the "
        f"classifier's gradient pulls to {rows[0]['target']}. Above each picture its distance from the photo (L2), and "
        "whom the classifier names.",
    )


def _grid(rows: int, across: int) -> tuple[Any, Any]:
    """A figure of `rows` x `across` pictures, and its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.7 * across, 2.15 * rows), layout="constrained")
    axes = figure.subplots(rows, across, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    return figure, axes


def _show(axis: Any, study: Study, name: str, title: str) -> None:
    with Image.open(study.out / "pictures" / name) as picture:
        axis.imshow(np.asarray(picture), interpolation="none")
    axis.set_title(title, fontsize=7)
