"""visard study. What is slow to import is imported inside: help must not wait for it."""

import json
from pathlib import Path
from typing import Annotated

import typer

from visard.cli.options import ForceOption, SeedOption

app = typer.Typer(help="Ask people: which pictures show visible artefacts?", no_args_is_help=True)


@app.command()
def make(
    originals: Annotated[Path, typer.Argument(metavar="ORIGINALS", help="The folder of the photos before.")],
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="The folder of the photos after.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The page, such as study.html.")],
    pairs: Annotated[
        int | None, typer.Option("--pairs", min=1, help="Draw so many originals and their results (default: all).")
    ] = None,
    seed: SeedOption = 0,
    force: ForceOption = False,
) -> None:
    """Write a page on which people rate originals and results blindly, and its key.

    The page is one file that needs no network; each rater opens it in a browser, answers, and saves a file of answers.
    Keep the key (study.key.json beside study.html) from the raters. A folder in ORIGINALS is a person.
    """
    from visard.cli import show_study
    from visard.pipeline.rating import make_page

    count = make_page(originals, results, output, seed=seed, most=pairs, force=force)
    show_study.made(output, count)


@app.command()
def score(
    key: Annotated[Path, typer.Argument(metavar="KEY", help="The page's key, such as study.key.json.")],
    answers: Annotated[list[Path], typer.Argument(metavar="ANSWERS...", help="What the raters saved.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compute the artefact rate of results and of originals from the raters' answers, with 95 % intervals.

    An interval draws the people shown again (a bootstrap), and the raters too where there are several. Where all
    answers agree that has no width: the exact binomial interval then counts people, or with several raters the answers
    of which no two are by one rater or about one person.
    """
    from visard.cli import show_study
    from visard.pipeline.rating import score

    found = score(key, answers)
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=1))
    else:
        show_study.scored(found)
