"""What every measure asks of its input: numbers, from numpy or torch, of a stated shape, none of them missing."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from visard.errors import MeasureError

if TYPE_CHECKING:
    from torch import Tensor

Numbers: TypeAlias = "NDArray[Any] | Tensor | Sequence[float]"
People: TypeAlias = Sequence[Any] | NDArray[Any]
Floats: TypeAlias = NDArray[np.floating]


def plain(values: Any) -> NDArray[Any]:
    """`values` as a numpy array; a tensor leaves its graph and its device, bfloat16 becomes float32."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if str(values.dtype) == "torch.bfloat16":
            values = values.float()
    return np.asarray(values)


def floats(values: Numbers, name: str, shape: str) -> Floats:
    """`values` as float32 or float64 with as many axes as `shape` has letters, "(P, G)"; not empty, all finite.

    Raises ``MeasureError`` otherwise; `name` is the plural noun that its sentence begins with.
    """
    array = plain(values)
    if array.dtype.kind not in "fiub":
        raise MeasureError(f"{name.capitalize()} must be real numbers, got {array.dtype}.")
    axes = shape.count(",") + (not shape.endswith(",)"))
    if array.ndim != axes:
        raise MeasureError(f"{name.capitalize()} must have the shape {shape}, got {array.shape}.")
    if array.size == 0:
        raise MeasureError(f"There are no {name}: give at least one.")
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float32 if array.dtype == np.float16 else np.float64)
    if not (math.isfinite(array.min()) and math.isfinite(array.max())):
        raise MeasureError(f"{name.capitalize()} hold NaN or infinite values: leave out what could not be measured.")
    return array


def same_shape(a: NDArray[Any], b: NDArray[Any], name: str) -> None:
    """Raises ``MeasureError`` unless the two have one shape."""
    if a.shape != b.shape:
        raise MeasureError(f"The {name} must have one shape, got {a.shape} and {b.shape}.")


def codes(people: People, count: int, name: str = "people") -> NDArray[np.intp]:
    """`people` (K,) as numbers from 0, in the order of their sorted names. Raises ``MeasureError`` unless K = count."""
    names = plain(people)
    if names.shape != (count,):
        raise MeasureError(f"The {name} must name one person for each of {count} rows, got the shape {names.shape}.")
    return np.asarray(np.unique(names, return_inverse=True)[1], dtype=np.intp)


def share(value: float, name: str) -> float:
    """`value`, if strictly between 0 and 1. Raises ``MeasureError`` otherwise."""
    if not 0 < value < 1:
        raise MeasureError(f"{name} lies between 0 and 1, got {value:g}.")
    return value


def whole(value: int, name: str, most: int | None = None) -> int:
    """`value`, if it is at least 1 and at most `most`. Raises ``MeasureError`` otherwise."""
    if value != int(value) or value < 1 or (most is not None and value > most):
        raise MeasureError(f"{name} is a whole number from 1{f' to {most}' if most else ''}, got {value}.")
    return int(value)
