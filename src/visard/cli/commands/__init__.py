"""The commands and their options. What is slow to import is imported inside: help must not wait for it."""

import warnings
from typing import Annotated

import typer

import visard
from visard.cli import arguments, models, person, study
from visard.cli.commands.networks import duel, harden, train
from visard.cli.commands.photos import anonymize, audit, calibrate, faces, methods, protect, swap
from visard.cli.commands.studies import bench, reproduce

app = typer.Typer(
    name="visard",
    help="Protect faces in photos from face recognizers, and say honestly how well it holds.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
# in the order of the help
for command in (protect, anonymize, swap, faces, methods, audit, calibrate, bench, reproduce, train, harden, duel):
    app.command()(command)
app.add_typer(study.app, name="study")
app.add_typer(models.app, name="models")
app.add_typer(person.app, name="person")


@app.callback(invoke_without_command=True)
def options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(f"visard {visard.__version__}")
        raise typer.Exit
    warnings.formatwarning = arguments.plain_warning
