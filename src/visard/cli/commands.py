"""The commands and their options. What is slow to import is imported inside: help must not wait for it."""

import json
from pathlib import Path
from typing import Annotated

import typer

import visard
from visard.cli import arguments

app = typer.Typer(
    name="visard",
    help="Protect faces in photos from face recognizers, and say honestly how well it holds.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
models = typer.Typer(help="The recognizers: list them, add one.", no_args_is_help=True)
app.add_typer(models, name="models")

DetectorOption = Annotated[
    str, typer.Option("--detector", metavar="NAME", help='"dlib", "yunet:FILE.onnx", or "aligned" for aligned crops.')
]
JuryOption = Annotated[
    str, typer.Option("--jury", metavar="A,B", help='Recognizers that judge, or "none" (default: by card).')
]
FmrOption = Annotated[float, typer.Option("--fmr", min=0, max=1, help="False match rate of the jury's thresholds.")]
ReferenceOption = Annotated[
    list[Path] | None,
    typer.Option("--reference", metavar="PHOTO", help="Another photo of the person, to judge against; repeatable."),
]
ReportOption = Annotated[Path | None, typer.Option("--report", metavar="FILE", help="Write the verdict as JSON.")]
BoxesOption = Annotated[Path | None, typer.Option("--boxes", metavar="FILE", help="Faces from a JSON file.")]


@app.callback(invoke_without_command=True)
def options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(f"visard {visard.__version__}")
        raise typer.Exit


@app.command()
def protect(
    photos: Annotated[list[Path], typer.Argument(metavar="PHOTO...", help="Photos, or folders of photos.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File or folder (default: beside).")] = None,
    report: ReportOption = None,
    only: Annotated[str, typer.Option("--only", metavar="1,3", help="Protect these faces only.")] = "",
    but: Annotated[str, typer.Option("--except", metavar="2", help="Protect all faces but these.")] = "",
    boxes: BoxesOption = None,
    detector: DetectorOption = "dlib",
    method: Annotated[str, typer.Option("--method", help="How to make the cloak; see: visard methods.")] = "visard",
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A setting of the method; repeatable.")
    ] = None,
    target: Annotated[
        Path | None, typer.Option("--target", metavar="PHOTO", help="Steer toward this person instead of just away.")
    ] = None,
    surrogates: Annotated[
        str, typer.Option("--surrogates", metavar="A,B", help="Recognizers that make the cloak (default: by card).")
    ] = "",
    jury: JuryOption = "",
    fmr: FmrOption = 1e-3,
    reference: ReferenceOption = None,
    quality: Annotated[
        int | None, typer.Option("--quality", min=1, max=100, help="Of JPEG, WebP, HEIC (default: the input's own).")
    ] = None,
    keep_metadata: Annotated[
        bool, typer.Option("--keep-metadata", help="Keep EXIF, GPS and XMP (never the thumbnail).")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing files, even the input.")] = False,
    seed: Annotated[int, typer.Option("--seed", help="Seed of every random draw.")] = 0,
) -> None:
    """Protect the faces in photos: holiday.jpg becomes holiday.visard.jpg, with a verdict.

    Exit code 0: every face is protected. 1: some face is not, or nobody could judge it. 2: some photo failed or has
    no face.
    """
    from visard.cli import protect as command

    command.run(
        photos,
        output,
        report,
        command.build_plan(
            method=method,
            settings=arguments.settings(settings or []),
            surrogates=arguments.names(surrogates),
            jury=arguments.names(jury),
            detector=detector,
            boxes=boxes,
            only=arguments.numbers(only, "--only"),
            but=arguments.numbers(but, "--except"),
            target=target,
            references=reference or [],
            fmr=fmr,
            quality=quality,
            keep_metadata=keep_metadata,
            force=force,
            seed=seed,
        ),
    )


@app.command()
def audit(
    original: Annotated[Path, typer.Argument(help="The photo before.")],
    protected: Annotated[Path, typer.Argument(help="The photo after, whoever protected it.")],
    reference: ReferenceOption = None,
    report: ReportOption = None,
    boxes: BoxesOption = None,
    detector: DetectorOption = "dlib",
    jury: JuryOption = "",
    fmr: FmrOption = 1e-3,
) -> None:
    """Judge a protected photo against its original, or against other photos of the person."""
    from visard.cli import audit as command

    command.run(original, protected, reference or [], report, boxes, detector, arguments.names(jury), fmr)


@app.command()
def faces(
    photo: Annotated[Path, typer.Argument(help="The photo.")],
    draw: Annotated[Path | None, typer.Option("--draw", metavar="FILE", help="Draw the numbered boxes.")] = None,
    save: Annotated[Path | None, typer.Option("--save", metavar="FILE", help="Write them as JSON for --boxes.")] = None,
    detector: DetectorOption = "dlib",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing files.")] = False,
) -> None:
    """Number the faces of a photo, as --only and --except take them."""
    from visard.cli import faces as command

    command.run(photo, draw, save, detector, as_json, force)


@app.command()
def methods(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the methods and their settings."""
    from visard.cli import show
    from visard.cloak import find, method_names

    cards = [find(name) for name in method_names()]
    if as_json:
        rows = [{"name": m.name, "aim": m.aim, "paper": m.paper, "settings": m.settings} for m in cards]
        typer.echo(json.dumps(rows, indent=1))
    else:
        show.methods(cards)


@app.command()
def calibrate(
    people: Annotated[Path, typer.Option("--people", metavar="FOLDER", help="One folder of photos a person.")],
    recognizer: Annotated[str, typer.Option("--recognizer", metavar="A,B", help="Which ones (default: all).")] = "",
    role: Annotated[str | None, typer.Option("--role", help="Only rows with this role in FOLDER/meta.csv.")] = None,
    fmr: Annotated[str, typer.Option("--fmr", metavar="A,B", help="False match rates.")] = "1e-2,1e-3,1e-4",
    detector: DetectorOption = "dlib",
) -> None:
    """Compute the recognizers' thresholds from photos of people who are in no test."""
    from visard.cli import calibrate as command

    command.run(people, arguments.names(recognizer), role, arguments.rates(fmr), detector)


@models.command("list")
def models_list(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the recognizers: role, license, source, ready or not, thresholds."""
    from visard.cli import show
    from visard.recognizer import cards, ready

    found = list(cards().values())
    if as_json:
        typer.echo(json.dumps([{**card.to_json(), "ready": ready(card)} for card in found], indent=1))
    else:
        show.models([(card, ready(card)) for card in found])


@models.command("add")
def models_add(
    file: Annotated[Path, typer.Argument(help="The recognizer's ONNX file.")],
    card: Annotated[Path, typer.Option("--card", metavar="FILE", help="JSON: its input, crop, mean, std, dim ...")],
    role: Annotated[str | None, typer.Option("--role", help='"juror" (default) or "surrogate".')] = None,
    black_box: Annotated[bool, typer.Option("--black-box", help="Run by onnxruntime, to judge only.")] = False,
) -> None:
    """Add a recognizer: the file is checked and copied into visard's own folder."""
    from visard.recognizer import add

    added = add(file, card, role=arguments.role(role), black_box=black_box)
    typer.echo(f"Added {added.name} as a {added.role} ({added.dim}-d, license: {added.license}).")
    if added.role == "juror" and not added.thresholds:
        typer.echo(f"Give it thresholds: visard calibrate --people FOLDER --recognizer {added.name}")
