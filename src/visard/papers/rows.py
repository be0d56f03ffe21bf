"""Rows of trials: those that one wants, and their columns."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visard.papers.study import Row

Array = NDArray[Any]


def where(rows: Sequence[Row], **values: Any) -> list[Row]:
    """The rows that have these values."""
    return [row for row in rows if all(row[name] == value for name, value in values.items())]


def column(rows: Sequence[Row], name: str) -> Array:
    """A column (N,)."""
    return np.array([row[name] for row in rows])


def columns(rows: Sequence[Row], *names: str) -> list[Array]:
    """Columns, each (N,)."""
    return [column(rows, name) for name in names]


def mean(rows: Sequence[Row], name: str) -> float:
    """The mean of a column."""
    return float(column(rows, name).mean())
