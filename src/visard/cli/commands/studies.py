"""Commands that compare methods. What is slow to import is imported inside: help must not wait for it."""

from pathlib import Path
from typing import Annotated

import typer

from visard.cli import arguments
from visard.cli.options import (
    BatchOption,
    DetectorOption,
    FmrOption,
    JuryOption,
    SeedOption,
    SurrogatesOption,
)


def bench(
    people: Annotated[Path, typer.Option("--people", metavar="FOLDER", help="One folder of photos a person.")],
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where photos, tables and figures go.")],
    run: Annotated[
        list[str] | None,
        typer.Option("--run", metavar='"METHOD NAME=VALUE ..."', help="A method and its settings; repeatable."),
    ] = None,
    photos: Annotated[
        int | None, typer.Option("--photos", min=1, help="Protect the first ones of each person (default: all).")
    ] = None,
    surrogates: SurrogatesOption = "",
    jury: JuryOption = "",
    detector: DetectorOption = "dlib",
    fmr: FmrOption = 1e-3,
    seed: SeedOption = 0,
    keep_embeddings: Annotated[
        bool, typer.Option("--keep-embeddings", help="Keep what was seen in FOLDER/.looks, to add runs later.")
    ] = False,
    batch: BatchOption = "auto",
) -> None:
    """Compare methods and their settings: the same photos, surrogates and jury for all.

    Every run's photos are judged as saved, and after what happens to posted photos, by recognizers that had no part
    in the cloaks. Writes bench.md, bench.parquet and figures; interrupted, it goes on where it was.
    """
    from visard.cli import bench as command

    command.run(
        people,
        out,
        run or [],
        photos,
        arguments.names(surrogates),
        arguments.names(jury),
        detector,
        fmr,
        seed,
        keep_embeddings,
        arguments.batch(batch),
    )


def reproduce(
    paper: Annotated[str, typer.Argument(metavar="PAPER", help="Its short name, such as chatzikyriakidis2019.")],
    data: Annotated[Path, typer.Option("--data", metavar="ROOT", help="A dataset, or a folder of datasets.")],
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where trials, tables and figures go.")],
    quick: Annotated[bool, typer.Option("--quick", help="Fewer people and steps: minutes.")] = False,
    network: Annotated[
        list[str] | None,
        typer.Option("--network", metavar="PART=NAME", help="Who plays a network of the paper; repeatable."),
    ] = None,
    detector: DetectorOption = "dlib",
    seed: SeedOption = 0,
) -> None:
    """Run a paper's experiments again: its tables, the print beside what is found here.

    Where data or networks of the paper are not there, others stand in for them, and the report says so first.
    Interrupted, it goes on where it was.
    """
    from visard.cli import reproduce as command

    command.run(paper, data, out, quick, network or [], detector, seed)
