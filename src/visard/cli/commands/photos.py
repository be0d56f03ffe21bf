"""Commands on photos. What is slow to import is imported inside: help must not wait for it."""

import json
from pathlib import Path
from typing import Annotated

import typer

from visard.cli import arguments
from visard.cli.options import (
    BatchOption,
    BoxesOption,
    DetectorOption,
    ExceptOption,
    FmrOption,
    ForceOption,
    JuryOption,
    KeepMetadataOption,
    OnlyOption,
    OutputOption,
    PhotosArgument,
    QualityOption,
    ReferenceOption,
    ReportOption,
    SeedOption,
    SettingsOption,
    SurrogatesOption,
)


def protect(
    photos: PhotosArgument,
    output: OutputOption = None,
    report: ReportOption = None,
    only: OnlyOption = "",
    but: ExceptOption = "",
    boxes: BoxesOption = None,
    detector: DetectorOption = "dlib",
    method: Annotated[
        str, typer.Option("--method", help="How to make the cloak (visard methods), or what visard train wrote.")
    ] = "visard",
    settings: SettingsOption = None,
    strength: Annotated[
        str, typer.Option("--strength", metavar="low|medium|high", help="How visible the cloak may be.")
    ] = "",
    max_seconds: Annotated[
        float | None, typer.Option("--max-seconds", min=0.1, help="Stop each photo's cloak after this time, as it is.")
    ] = None,
    target: Annotated[
        list[Path] | None,
        typer.Option("--target", metavar="PHOTO", help="Steer toward this person; repeatable, folders too."),
    ] = None,
    surrogates: SurrogatesOption = "",
    thorough: Annotated[
        bool, typer.Option("--thorough", help="Make the cloak with every recognizer but one, which judges.")
    ] = False,
    jury: JuryOption = "",
    fmr: FmrOption = 1e-3,
    reference: ReferenceOption = None,
    quality: QualityOption = None,
    keep_metadata: KeepMetadataOption = False,
    force: ForceOption = False,
    seed: SeedOption = 0,
    batch: BatchOption = "auto",
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
            strength=strength,
            max_seconds=max_seconds,
            surrogates=arguments.names(surrogates),
            thorough=thorough,
            jury=arguments.names(jury),
            detector=detector,
            boxes=boxes,
            only=arguments.numbers(only, "--only"),
            but=arguments.numbers(but, "--except"),
            targets=target or [],
            references=reference or [],
            fmr=fmr,
            quality=quality,
            keep_metadata=keep_metadata,
            force=force,
            seed=seed,
            batch=arguments.batch(batch),
        ),
    )


def anonymize(
    photos: PhotosArgument,
    output: OutputOption = None,
    style: Annotated[
        str, typer.Option("--style", metavar="NAME", help="person, blur, pixelate, box, eye-bar or noise.")
    ] = "person",
    disentangled: Annotated[
        Path | None,
        typer.Option("--disentangled", metavar="FILE", help="Who makes the people (default: what comes with visard)."),
    ] = None,
    settings: SettingsOption = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Of every random draw (default: a new one each time).")
    ] = None,
    report: ReportOption = None,
    only: OnlyOption = "",
    but: ExceptOption = "",
    boxes: BoxesOption = None,
    detector: DetectorOption = "dlib",
    jury: JuryOption = "",
    fmr: FmrOption = 1e-3,
    reference: ReferenceOption = None,
    quality: QualityOption = None,
    keep_metadata: KeepMetadataOption = False,
    force: ForceOption = False,
) -> None:
    """Make every face in photos unrecognizable: by a face of nobody, or behind a blur, squares or a box.

    Friends do not know the person either: visard protect is for photos in which they should. The verdict, folders and
    exit codes are those of visard protect.

    Settings (--set): blur sigma=14, pixelate block=16 (both in pixels of a face of 112), box shade=0, eye-bar shade=0,
    height=22, margin=16, noise eps=0.5. A bar or noise is not enough; they are here to show that.
    """
    from visard.cli import anonymize as command

    command.run(
        photos,
        output,
        report,
        style,
        disentangled,
        arguments.settings(settings or []),
        seed,
        jury=arguments.names(jury),
        detector=detector,
        boxes=boxes,
        only=arguments.numbers(only, "--only"),
        but=arguments.numbers(but, "--except"),
        references=reference or [],
        fmr=fmr,
        quality=quality,
        keep_metadata=keep_metadata,
        force=force,
    )


def swap(
    identity: Annotated[Path, typer.Option("--identity", metavar="PHOTO", help="Whose face it is to be.")],
    expression: Annotated[Path, typer.Option("--expression", metavar="PHOTO", help="The photo that is changed.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The new photo.")],
    disentangled: Annotated[
        Path | None,
        typer.Option("--disentangled", metavar="FILE", help="Who makes the face (default: what comes with visard)."),
    ] = None,
    number: Annotated[int, typer.Option("--only", metavar="N", min=1, help="Which face of the changed photo.")] = 1,
    report: ReportOption = None,
    detector: DetectorOption = "dlib",
    jury: JuryOption = "",
    fmr: FmrOption = 1e-3,
    quality: QualityOption = None,
    keep_metadata: KeepMetadataOption = False,
    force: ForceOption = False,
) -> None:
    """Put the face of one photo in the place of one in another, with the expression and the pose that it has there.

    The verdict says whom jurors take the new face for. Ask both people before you do.
    """
    from visard.cli import swap as command

    command.run(
        disentangled,
        identity,
        expression,
        output,
        number,
        report,
        arguments.names(jury),
        fmr,
        detector,
        quality,
        keep_metadata,
        force,
    )


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


def methods(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Print this method's page.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the methods and their settings, or say what one does, or a defence of visard harden."""
    from visard.cli import harden, show, train
    from visard.cloak import method_names
    from visard.cloak.method import LEARNED
    from visard.generator import find_method

    if harden.page(name, as_json=as_json):
        return
    untrained = {method.name: method for method in train.untrained()}
    names = [name] if name else sorted([*method_names(), *LEARNED])
    cards = [untrained[one] if one in untrained else find_method(one) for one in names]
    if as_json:
        rows = [{"name": m.name, "aim": m.aim, "paper": m.paper, "page": m.page, "settings": m.settings} for m in cards]
        typer.echo(json.dumps([{**row, "trained": row["name"] in untrained} for row in rows], indent=1))
        return
    if name:
        show.method(cards[0])
    else:
        show.methods(cards)
    train.show_how([card.name for card in cards if card.name in untrained])


def audit(
    original: Annotated[Path, typer.Option("--original", metavar="PATH", help="The photo before, or the folder.")],
    protected: Annotated[
        list[Path],
        typer.Option("--protected", metavar="PATH", help="The photo after, whoever protected it; folders: repeatable."),
    ],
    out: Annotated[Path | None, typer.Option("--out", metavar="FOLDER", help="Folders: where the report goes.")] = None,
    people: Annotated[
        Path | None,
        typer.Option(
            "--people", metavar="FOLDER", help="Folders: other photos of the people (default: the originals)."
        ),
    ] = None,
    surrogates: Annotated[
        str, typer.Option("--surrogates", metavar="A,B", help="Folders: who made the cloaks (default: as recorded).")
    ] = "",
    second: Annotated[
        str | None, typer.Option("--second-detector", metavar="NAME", help="Folders: also find faces with this one.")
    ] = None,
    keep_embeddings: Annotated[
        bool, typer.Option("--keep-embeddings", help="Folders: keep what was seen in FOLDER/.looks, for a next audit.")
    ] = False,
    reference: ReferenceOption = None,
    report: ReportOption = None,
    boxes: BoxesOption = None,
    detector: DetectorOption = "dlib",
    jury: JuryOption = "",
    fmr: FmrOption = 1e-3,
) -> None:
    """Judge protected photos that anybody made: one photo, or folders that hold one folder per person.

    One photo: against its original, or other photos of the person; the exit code is that of visard protect. Folders:
    a report with tables, figures and every trial; interrupted, it goes on where it was.
    """
    from visard.cli import audit as command

    names = arguments.names(jury)
    if original.is_dir():
        given: dict[str, object] = {
            "--reference": reference,
            "--report": report,
            "--boxes": boxes,
            "--fmr": fmr != 1e-3,
        }
        folder = arguments.folders(original, protected, out, given)
        command.run_collection(
            original, protected, people, folder, arguments.names(surrogates), names, detector, second, keep_embeddings
        )
    else:
        given = {
            "--out": out,
            "--people": people,
            "--surrogates": surrogates,
            "--second-detector": second,
            "--keep-embeddings": keep_embeddings,
        }
        photo = arguments.single(original, protected, given)
        command.run_photo(original, photo, reference or [], report, boxes, detector, names, fmr)


def calibrate(
    people: Annotated[Path, typer.Option("--people", metavar="FOLDER", help="One folder of photos a person.")],
    recognizer: Annotated[str, typer.Option("--recognizer", metavar="A,B", help="Which ones (default: all).")] = "",
    role: Annotated[str | None, typer.Option("--role", help="Only rows with this role in FOLDER/meta.csv.")] = None,
    fmr: Annotated[str, typer.Option("--fmr", metavar="A,B", help="False match rates.")] = "1e-2,1e-3",
    detector: DetectorOption = "dlib",
) -> None:
    """Compute the recognizers' thresholds from photos of people who are in no test."""
    from visard.cli import calibrate as command

    command.run(people, arguments.names(recognizer), role, arguments.rates(fmr), detector)
