"""The judged trials as arrays, and the two ways to count them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visard.audit.trials import rate
from visard.measure import Rate
from visard.papers.ghafourian2023.experiment import METHODS, PARTS, TOPS
from visard.papers.rows import where
from visard.papers.study import Row

Flags = NDArray[np.bool_]


class Outcomes:
    """The judged trials over sources S, methods M, eps E, targets T, tops K and probes P.

    `protected` (S, M, E, T, K, P): the face is not found, or its person is not among the top k; `found` (S, M, E, P);
    `known` (T, K, P): the person is among the top k of the unchanged picture; `people` (P,).
    """

    def __init__(self, rows: Sequence[Row], levels: Sequence[int]) -> None:
        self.levels = tuple(levels)
        clean = {(row["person"], row["target"]): row["rank"] for row in where(rows, method="unchanged")}
        self.people = np.array(list(dict.fromkeys(person for person, _ in clean)))
        tops = np.array(TOPS)[:, None]
        by_key = {
            (row["source"], row["method"], row["eps"], row["target"], row["person"]): (row["rank"], row["found"])
            for row in rows
        }
        place = np.array([[clean[person, target] for person in self.people] for target in PARTS])  # (T, P)
        self.known: Flags = place[:, None] <= tops
        pairs = np.array(
            [
                [[[[by_key[s, m, e, t, p] for p in self.people] for t in PARTS] for e in levels] for m in METHODS]
                for s in PARTS
            ]
        )  # (S, M, E, T, P, 2)
        self.found: Flags = pairs[:, :, :, 0, :, 1].astype(bool)
        self.protected: Flags = (pairs[..., None, :, 0] > tops) | ~self.found[:, :, :, None, None]

    def counted(self, *, conditional: bool, missed: bool) -> Flags:
        """Which trials (S, M, E, T, K, P) count: all, or only those of people who were `known`; those of `missed`
        faces too, or not."""
        flags = np.broadcast_to(self.found[:, :, :, None, None] | missed, self.protected.shape)
        return flags & self.known if conditional else flags

    def rate(self, counted: Flags, *cells: Any) -> Rate | None:
        """The PSR of the counted trials of the `cells`."""
        chosen = counted[cells]
        people = np.broadcast_to(self.people, chosen.shape)[chosen]
        return rate(self.protected[cells][chosen], people)

    @property
    def sure(self) -> Flags:
        """Whose person (P,) every target names first in the unchanged picture."""
        return np.asarray(self.known[:, 0].all(axis=0))
