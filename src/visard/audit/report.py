"""The report of a collection's audit: one HTML file, Markdown, figures, a summary, and every trial."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import visard
from visard.audit.document import Document, check_extras
from visard.audit.figures import figures
from visard.audit.findings import FMRS, Protected, tables
from visard.audit.tables import parquet
from visard.audit.trials import NOT_A_SCORE, Array
from visard.photo.files import write_whole
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
    summary = {
        "visard": visard.__version__,
        **facts,
        "seconds": round(seconds, 1),
        "device": "cpu",
        "sha256": {juror.name: juror.card.sha256 for juror in sets[0].jury},
        "warnings": list(warnings),
        "sets": {one.name: _summary(one) for one in sets},
    }
    Document("Audit", facts, HOW_TO_READ, tables(sets), figures(sets), warnings).write(out, "report")
    write_whole(out / "summary.json", (json.dumps(summary, indent=1) + "\n").encode())
    write_whole(out / "trials.parquet", _parquet(sets))
    return summary


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
    return parquet(pa.concat_tables(parts))


def _column(name: str, values: Array) -> Any:
    """Cosines and ranks are empty where a probe has no mate, or there is nobody else to compare it with."""
    import pyarrow as pa

    if name == "mates":
        return pa.array(values)
    return pa.array(values, mask=values == (NOT_A_SCORE if values.dtype.kind == "f" else 0))


def _juror(one: Protected, name: str) -> Recognizer:
    return next(juror for juror in one.jury if juror.name == name)
