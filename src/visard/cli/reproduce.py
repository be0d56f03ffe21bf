"""visard reproduce"""

from collections.abc import Sequence
from pathlib import Path

import typer

from visard.audit.document import check_extras
from visard.cli import arguments, show
from visard.errors import SettingError


def run(paper: str, data: Path, out: Path, quick: bool, networks: Sequence[str], detector: str, seed: int) -> None:
    """Run the paper's experiments, write the report, print its first table and the claims."""
    check_extras("A study")
    from visard.papers import find_paper
    from visard.papers.report import WORDS, run_study
    from visard.papers.study import Study

    if out.exists() and not out.is_dir():
        raise SettingError(f"{out} is a file; name a folder for the study.")
    if out.resolve().is_relative_to(data.resolve()):
        raise SettingError(f"{out} lies among the photos; choose another folder for the study.")
    study = Study(
        find_paper(paper),
        data,
        out,
        arguments.detector(detector),
        detector,
        quick,
        seed,
        _choices(networks),
        lambda what: typer.echo(what, err=True),
    )
    found = run_study(study)
    for sentence in found.stand_ins:
        typer.echo(sentence)
    show.headline(found.tables[0], found.doubts, out / "report.md")
    for claim in found.claims:
        typer.echo(f"{WORDS[claim.holds]}: {claim.text} ({claim.evidence})")


def _choices(texts: Sequence[str]) -> dict[str, str]:
    """The recognizers' names by the part that they play."""
    found: dict[str, str] = {}
    for part, name in map(_choice, texts):
        if part in found:
            raise SettingError(f"--network names {part} twice, {found[part]} and {name}; name one.")
        found[part] = name
    return found


def _choice(text: str) -> tuple[str, str]:
    """ "FaceNet=edgeface-xs" -> the part and the recognizer's name."""
    part, equals, name = text.partition("=")
    if not (part and equals and name):
        raise SettingError(f'--network takes PART=RECOGNIZER, such as "FaceNet=edgeface-xs", got "{text}".')
    return part.strip(), name.strip()
