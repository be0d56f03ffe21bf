"""What claims are judged by: a difference on the same trials, with its interval."""

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from visard.measure import paired_bootstrap


class Difference(NamedTuple):
    """The mean of one minus the mean of another on the same trials, and its 95 % interval over people."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, ours: NDArray[Any], other: NDArray[Any], people: NDArray[Any]) -> Self:
        """Of two arrays (K,), a trial each, of `people` (K,)."""
        return cls(float(np.mean(ours) - np.mean(other)), *paired_bootstrap(ours, other, people))

    @property
    def positive(self) -> bool | None:
        """Whether it is above 0; None where the interval has 0 in it."""
        return None if self.low <= 0 <= self.high else self.low > 0

    def text(self, digits: int, unit: str = "", *, times: float = 1, sign: str = "") -> str:
        """ "+1.5 dB [0.9, 2.1]"; `times`: what it is multiplied by; `sign` "+": the interval's ends have theirs too."""
        value, low, high = (times * one for one in self)
        return f"{value:+.{digits}f}{unit} [{low:{sign}.{digits}f}, {high:{sign}.{digits}f}]"
