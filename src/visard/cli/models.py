"""visard models. What is slow to import is imported inside: help must not wait for it."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from visard.cli import arguments

app = typer.Typer(help="The recognizers: list, inspect, add, fetch, verify, remove them.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The recognizer's name; see: visard models list.")]
RoleOption = Annotated[str | None, typer.Option("--role", help='"juror" (default), "surrogate" or "adaptive".')]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _print_json(content: Any) -> None:
    typer.echo(json.dumps(content, indent=1))


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List the recognizers: role, ready or why not, license, threshold."""
    from visard.cli import show_models
    from visard.recognizer import cards, verify

    found = [(card, verify(card)) for card in cards().values()]
    if as_json:
        _print_json([{**card.to_json(), "ready": state == "intact", "state": state} for card, state in found])
    else:
        show_models.table(found)


@app.command()
def info(name: NameArgument, as_json: JsonOption = False) -> None:
    """Show everything that is known of a recognizer, and whether its file is intact."""
    from visard.cli import show_models
    from visard.recognizer import find, owner, verify, weights

    card = find(name)
    path, state = weights(card), verify(card)
    if as_json:
        size = path.stat().st_size if path.is_file() else None
        _print_json({**card.to_json(), "state": state, "path": str(path), "bytes": size, "from": owner(card)})
    else:
        show_models.facts(card, path, state)


@app.command()
def add(
    file: Annotated[Path, typer.Argument(help="Its weights: .onnx, .safetensors, .pt, .pth or .ckpt.")],
    card: Annotated[Path, typer.Option("--card", metavar="FILE", help="JSON: its input, crop, mean, std, dim ...")],
    role: RoleOption = None,
    black_box: Annotated[bool, typer.Option("--black-box", help="Run ONNX by onnxruntime, to judge only.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Add a recognizer: the file is checked and copied into visard's own folder."""
    from visard.cli import show_models
    from visard.recognizer import add

    added = add(file, card, role=arguments.role(role), black_box=black_box)
    if as_json:
        _print_json(added.to_json())
    else:
        show_models.added(added)


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="One that visard models list calls not fetched.")] = "",
    mirror: Annotated[
        Path | None,
        typer.Option("--from", metavar="FOLDER", help="Take it from here (default: $VISARD_MIRROR, else its url)."),
    ] = None,
    card: Annotated[
        Path | None, typer.Option("--card", metavar="FILE", help="Add a new one by its card, which has url and sha256.")
    ] = None,
    role: RoleOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch a recognizer's weights and check their sha256: the one command of visard that uses the network.

    A download that broke off goes on where it stopped when the same command is run again.
    """
    from visard.cli import fetch as command
    from visard.cli import show_models
    from visard.recognizer import weights

    fetched = command.run(name, card, arguments.role(role), mirror)
    if as_json:
        _print_json({**fetched.to_json(), "path": str(weights(fetched))})
    else:
        show_models.added(fetched)


@app.command()
def verify(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME...", help="Which ones (default: all).")] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the weights with their sha256. Exit code 1: a file is missing or damaged."""
    from visard.cli import show_models
    from visard.recognizer import cards, find, verify, weights

    chosen = [find(name) for name in names or []] or list(cards().values())
    rows = [(card.name, verify(card), weights(card)) for card in chosen]
    if as_json:
        _print_json([{"name": name, "state": state, "path": str(path)} for name, state, path in rows])
    else:
        show_models.states(rows)
    # what nobody fetched is missed only by who asks for it
    bad = {"missing", "damaged", "base missing", *(["not fetched"] if names else [])}
    raise typer.Exit(1 if any(state in bad for _, state, _ in rows) else 0)


@app.command()
def remove(name: NameArgument, as_json: JsonOption = False) -> None:
    """Delete a recognizer that was added or fetched, with its thresholds."""
    from visard.recognizer import remove

    remove(name)
    if as_json:
        _print_json({"removed": name})
    else:
        typer.echo(f"Removed {name}.")
