"""The report of a study: the print beside ours, as Markdown, HTML and Parquet."""

import platform
import sys

import torch

import visard
from visard.audit.document import Document
from visard.audit.tables import Table
from visard.papers.paper import Findings
from visard.papers.study import Study
from visard.photo.files import write_whole

HOW_TO_READ = (
    "Ours stand with their 95 % interval and n, the number of trials; what the paper printed stands behind, in "
    "brackets. Where people give several trials each the interval is over people."
)
WORDS = {True: "holds", False: "does not hold", None: "cannot be said"}


def run_study(study: Study) -> Findings:
    """Run the study's paper and write report.html, report.md, figures/ and trials.parquet into its folder."""
    found = study.paper.run(study)
    document(study, found).write(study.out, "report")
    write_whole(study.out / "trials.parquet", study.trials())
    return found


def document(study: Study, found: Findings) -> Document:
    """The report of what was found."""
    paper = study.paper
    lead = " ".join(found.stand_ins) or "Data and networks are the paper's own kind."
    facts = {
        "paper": f"{paper.title}. {paper.source}",
        "command": _command(study),
        "size": "quick: fewer people and steps than the full run" if study.quick else "full",
        "detector": study.detector_name,
        "seed": study.seed,
        "seconds": f"{sum(study.seconds.values()):.0f}, of all cells",
        "device": f"CPU, {torch.get_num_threads()} threads, {platform.machine()}",
        "versions": f"visard {visard.__version__}, torch {torch.__version__}, Python {sys.version.split()[0]}",
    }
    tables = [*found.tables, _claims(found), _settings(study), _errata(study), _seconds(study)]
    return Document(
        f"{paper.name}, run again",
        facts,
        HOW_TO_READ,
        [table for table in tables if table.rows],
        found.drawings,
        found.doubts,
        lead,
    )


def _command(study: Study) -> str:
    data, out = study.data.resolve().name, study.out.resolve().name
    parts = [f"visard reproduce {study.paper.name} --data {data} --out {out}"]
    parts += ["--quick"] if study.quick else []
    parts += [f"--detector {study.detector_name}"] if study.detector_name != "dlib" else []
    parts += [f"--seed {study.seed}"] if study.seed else []
    parts += [f'--network "{part}={name}"' for part, name in study.chosen.items()]
    return " ".join(parts)


def _claims(found: Findings) -> Table:
    rows = tuple((claim.text, WORDS[claim.holds], claim.evidence) for claim in found.claims)
    return Table("What the paper claims", "Here, on what was run here.", ("claim", "it", "evidence"), rows)


def _settings(study: Study) -> Table:
    rows = tuple((name, value, where) for name, (value, where) in study.paper.settings.items())
    return Table("Settings", "With their source.", ("setting", "value", "from"), rows)


def _errata(study: Study) -> Table:
    paper = study.paper
    rows = tuple((e.text, "shown" if e.shows(paper.printed) else "NOT shown") for e in paper.errata)
    return Table("Errors of the print", "Each is checked on the printed figures.", ("error", "check"), rows)


def _seconds(study: Study) -> Table:
    rows = tuple((name, f"{seconds:.1f}") for name, seconds in study.seconds.items())
    return Table("Seconds", "Each experiment, when it was computed.", ("experiment", "s"), rows)
