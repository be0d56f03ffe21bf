"""What a paper is to the rest of visard: its printed figures, what is wrong with them, and how it is run again."""

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from typing import TYPE_CHECKING

from visard.audit.figures import Drawing
from visard.audit.tables import Cell, Table, percent
from visard.measure import Rate

if TYPE_CHECKING:
    from visard.papers.study import Study

Printed = Mapping[tuple[str, str, str], float]
"""A paper's printed figures by (table, row, column), in the units of the print."""


@dataclass(frozen=True, slots=True)
class Erratum:
    """What is wrong with a print, in a sentence; `shows` is true of the printed figures if it is so."""

    text: str
    shows: Callable[[Printed], bool]


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence of the paper; whether it `holds` in what was run, None where that cannot be said; and the figures."""

    text: str
    holds: bool | None
    evidence: str


@dataclass(frozen=True, slots=True)
class Findings:
    """What a run found: `tables` with the print beside ours, `drawings` by title, the paper's `claims`; `stand_ins`:
    what plays the part of data and networks that are not there, a sentence each; `doubts`: what makes it doubtful."""

    tables: tuple[Table, ...]
    claims: tuple[Claim, ...]
    drawings: Mapping[str, Drawing] = field(default_factory=dict)
    stand_ins: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Paper:
    """A published experiment that `run` does again.

    `name`: the short name everywhere, also of its file of printed figures; `networks`: the parts that recognizers play
    in it, by name, and what each was in the paper; `settings`: the hyper-parameters, each with its value and where it
    is from (printed, published code, or a declared search); `errata`: known errors of the print.
    """

    name: str
    title: str
    source: str
    run: "Callable[[Study], Findings]"
    networks: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    errata: tuple[Erratum, ...] = ()

    @cached_property
    def printed(self) -> Printed:
        """The printed figures."""
        file = resources.files("visard.papers") / "printed" / f"{self.name}.csv"
        rows = csv.DictReader(file.read_text(encoding="utf-8").splitlines())
        return {(row["table"], row["row"], row["column"]): float(row["value"]) for row in rows}


def beside(ours: Rate | str | None, printed: float | None) -> Cell:
    """A cell with ours and the print: "97 % [92, 99] n=100 (printed 98)"; rates are printed in percent."""
    text = ours if isinstance(ours, str) else percent(ours).text
    return Cell(text if printed is None else f"{text} (printed {printed:g})")
