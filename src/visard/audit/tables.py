"""A table of findings, and its two forms: HTML and Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from visard.measure import Rate

NOTHING = "–"


@dataclass(frozen=True, slots=True)
class Cell:
    """A table's cell; a `muted` one is shown in gray, for it counts in no summary."""

    text: str
    muted: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """`rows` of cells or plain texts under a `header`; `note` says how to read them."""

    title: str
    note: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell | str, ...], ...]

    def to_html(self) -> str:
        head = "".join(f"<th>{escape(name)}</th>" for name in self.header)
        body = "".join("<tr>" + "".join(_html(cell) for cell in row) + "</tr>\n" for row in self.rows)
        return (
            f"<h2>{escape(self.title)}</h2>\n<p class=note>{escape(self.note)}</p>\n"
            f"<div class=wide><table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></div>\n"
        )

    def to_markdown(self) -> str:
        texts = [[_markdown(c) for c in row] for row in (self.header, *self.rows)]
        lines = [texts[0], ["---"] * len(self.header), *texts[1:]]
        body = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        return f"## {self.title}\n\n{self.note}\n\n{body}\n"


def percent(rate: Rate | None, *, muted: bool = False) -> Cell:
    """ "87 % [80, 92] n=100"; a dash without trials."""
    if rate is None:
        return Cell(NOTHING, muted)
    return Cell(f"{share(rate.value)} [{100 * rate.low:.0f}, {100 * rate.high:.0f}] n={rate.trials:,}", muted)


def share(value: float) -> str:
    """ "87 %", with a digit more where it would read as none or all."""
    digits = 1 if 0 < value < 0.01 or 0.99 < value < 1 else 0
    return f"{100 * value:.{digits}f} %"


def spread(rates: Sequence[Rate]) -> str:
    """ "81 % / 67 % [60, 74] n=100": the mean of rates, and the lowest of them."""
    if not rates:
        return NOTHING
    mean = sum(rate.value for rate in rates) / len(rates)
    return f"{share(mean)} / {percent(min(rates, key=lambda rate: rate.value)).text}"


def parquet(table: Any) -> bytes:
    """A pyarrow table as a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue())


def _html(cell: Cell | str) -> str:
    if isinstance(cell, str):
        return f"<td>{escape(cell)}</td>"
    return f"<td class=muted>{escape(cell.text)}</td>" if cell.muted else f"<td>{escape(cell.text)}</td>"


def _markdown(cell: Cell | str) -> str:
    text = cell if isinstance(cell, str) else f"*({cell.text})*" if cell.muted else cell.text
    return text.replace("|", "\\|")
