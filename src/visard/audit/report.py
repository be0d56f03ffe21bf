"""The report of a collection's audit: one HTML file, Markdown, figures, a summary, and every trial."""

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import visard
from visard.audit.figures import Drawing, figures
from visard.audit.findings import FMRS, Protected, tables
from visard.audit.tables import Table
from visard.audit.trials import NOT_A_SCORE, Array
from visard.errors import MissingExtraError, WriteError
from visard.recognizer import Recognizer

HOW_TO_READ = (
    "Rates stand with their 95 % interval and n, the number of photos. A person's photos are not independent, so "
    "intervals go by people: with few people they are wide, however many photos there are. Where a photo shows "
    "several faces the largest counts. Visibility is in just-noticeable differences (JND). d' is how many standard "
    "deviations lie between the scores of the same and of other people. FNIR at FPIR: the share of searches that miss "
    "the person, at a threshold where that share of searches for absent people raise an alarm."
)


def write(
    out: Path, sets: Sequence[Protected], warnings: Sequence[str], facts: Mapping[str, Any], seconds: float
) -> dict[str, Any]:
    """The report in the folder `out`: report.html (one file, no network), report.md, figures/, summary.json and
    trials.parquet; the summary is returned. `facts` stand on top of it; the audit took `seconds`. Raises
    ``WriteError``; ``MissingExtraError`` without matplotlib, pyarrow.
    """
    check_extras()
    drawn, found = figures(sets), tables(sets)
    summary = {
        "visard": visard.__version__,
        **facts,
        "seconds": round(seconds, 1),
        "device": "cpu",
        "sha256": {juror.name: juror.card.sha256 for juror in sets[0].jury},
        "warnings": list(warnings),
        "sets": {one.name: _summary(one) for one in sets},
    }
    try:
        (out / "figures").mkdir(parents=True, exist_ok=True)
        _write(out / "trials.parquet", _parquet(sets))
        _write(out / "report.html", _html(found, drawn, warnings, facts).encode())
        for title, drawing in drawn.items():
            _write(out / "figures" / f"{_file_name(title)}.svg", drawing.svg.encode())
        _write(out / "report.md", _markdown(found, drawn, warnings, facts).encode())
        _write(out / "summary.json", (json.dumps(summary, indent=1) + "\n").encode())
    except OSError as error:
        raise WriteError(
            f"The report could not be written to {out}: {error.strerror}; choose another folder."
        ) from error
    return summary


def check_extras(purpose: str = "The audit of a collection") -> None:
    """Raises ``MissingExtraError`` before the work when the report could not be written after it."""
    if find_spec("pyarrow") is None or find_spec("matplotlib") is None:
        raise MissingExtraError(purpose, "report")


def _summary(one: Protected) -> dict[str, Any]:
    def rates(fmr: float, condition: str) -> dict[str, Any]:
        found = {}
        for juror in one.jury:
            value = one.protection(juror, condition, fmr)
            found[juror.name] = None if value is None else {**value._asdict(), "held_out": one.held_out(juror)}
        return found

    return {
        "photos": len(one.seen.people),
        "people": len(np.unique(one.seen.people)),
        "gallery": len(one.gallery.people),
        "surrogates": None if one.surrogates is None else {card.name: card.sha256 for card in one.surrogates},
        "quality": {name: float(np.mean(v[np.isfinite(v)])) if np.isfinite(v).any() else None
                    for name, v in one.seen.quality.items()},
        "protection": {f"{fmr:g}": {c: rates(fmr, c) for c in one.conditions} for fmr in FMRS},
    }  # fmt: skip


def _parquet(sets: Sequence[Protected]) -> bytes:
    """One row per set, juror, condition and probe."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    parts = []
    for one in sets:
        for (juror, condition), trials in one.trials.items():
            count, number = len(one.seen.people), one.conditions.index(condition)
            parts.append(
                pa.table(
                    {
                        "set": [one.name] * count,
                        "juror": [juror] * count,
                        "condition": [condition] * count,
                        "person": one.seen.people.tolist(),
                        "photo": one.seen.keys.tolist(),
                        "held_out": [one.held_out(_juror(one, juror))] * count,
                        **{f"threshold_{fmr:g}": [_juror(one, juror).threshold(fmr).value] * count for fmr in FMRS},
                        **{name: _column(name, values) for name, values in trials.columns().items()},
                        "found": one.seen.found_after[:, number],
                        **one.seen.quality,
                    }
                )
            )
    sink = pa.BufferOutputStream()
    pq.write_table(pa.concat_tables(parts), sink, compression="zstd")
    return bytes(sink.getvalue())


def _column(name: str, values: Array) -> Any:
    """Cosines and ranks are empty where a probe has no mate, or there is nobody else to compare it with."""
    import pyarrow as pa

    if name == "mates":
        return pa.array(values)
    return pa.array(values, mask=values == (NOT_A_SCORE if values.dtype.kind == "f" else 0))


def _juror(one: Protected, name: str) -> Recognizer:
    return next(juror for juror in one.jury if juror.name == name)


def _html(
    found: Sequence[Table], drawn: Mapping[str, Drawing], warnings: Sequence[str], facts: Mapping[str, Any]
) -> str:
    notes = "".join(f"<li>{escape(text)}</li>" for text in warnings)
    pictures = "".join(
        f"<h2>{escape(title)}</h2>\n<p class=note>{escape(d.caption)}</p>\n<figure>{d.svg}</figure>\n"
        for title, d in drawn.items()
    )
    style = (resources.files("visard.audit") / "report.css").read_text(encoding="utf-8")
    known = "".join(f"<dt>{escape(str(k))}</dt><dd>{escape(str(v))}</dd>" for k, v in facts.items())
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>visard audit</title>\n<style>{style}</style></head>\n<body>\n<h1>Audit</h1>\n<dl>{known}</dl>\n"
        f"<p class=note>{escape(HOW_TO_READ)}</p>\n"
        + (f"<h2>Before you believe this</h2>\n<ul>{notes}</ul>\n" if notes else "")
        + found[0].to_html()
        + pictures
        + "".join(table.to_html() for table in found[1:])
        + "</body></html>\n"
    )


def _markdown(
    found: Sequence[Table], drawn: Mapping[str, Drawing], warnings: Sequence[str], facts: Mapping[str, Any]
) -> str:
    known = "\n".join(f"- {key}: {value}" for key, value in facts.items())
    notes = "## Before you believe this\n\n" + "\n".join(f"- {text}" for text in warnings) + "\n\n" if warnings else ""
    pictures = "\n".join(f"![{title}](figures/{_file_name(title)}.svg)\n\n{d.caption}\n" for title, d in drawn.items())
    return f"# Audit\n\n{known}\n\n{HOW_TO_READ}\n\n{notes}" + "\n".join(
        [found[0].to_markdown(), pictures, *(t.to_markdown() for t in found[1:])]
    )


def _file_name(title: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in title.lower()).strip("-")


def _write(path: Path, content: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".report-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)
