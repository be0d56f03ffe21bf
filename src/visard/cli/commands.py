"""The commands and their options. What is slow to import is imported inside: help must not wait for it."""

import json
import warnings
from pathlib import Path
from typing import Annotated

import typer

import visard
from visard.cli import arguments, models, person
from visard.cli.options import (
    BatchOption,
    BoxesOption,
    DefenceSettingsOption,
    DetectorOption,
    DeviceOption,
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

app = typer.Typer(
    name="visard",
    help="Protect faces in photos from face recognizers, and say honestly how well it holds.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
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


@app.command()
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


@app.command()
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


@app.command()
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


@app.command()
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


@app.command()
def train(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="advfaces, apf or latent-distance.")],
    data: Annotated[Path, typer.Option("--data", metavar="FOLDER", help="One folder of photos a person.")],
    recognizer: Annotated[
        str, typer.Option("--recognizer", metavar="A,B", help="Which recognizers the cloak is to mislead.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The cloak, such as mine.safetensors.")],
    settings: SettingsOption = None,
    size: Annotated[int, typer.Option("--size", help="Of the faces, px: a multiple of 4, 64 or more.")] = 112,
    steps: Annotated[int, typer.Option("--steps", min=1, help="How many, those of earlier runs too.")] = 20_000,
    max_minutes: Annotated[
        float | None, typer.Option("--max-minutes", min=0, help="Stop after this time, as it is.")
    ] = None,
    role: Annotated[str | None, typer.Option("--role", help="Only rows with this role in FOLDER/meta.csv.")] = None,
    detector: DetectorOption = "dlib",
    seed: SeedOption = 0,
    force: Annotated[bool, typer.Option("--force", help="Begin anew, over what is there.")] = False,
    device: DeviceOption = "cpu",
    precision: Annotated[
        str, typer.Option("--precision", metavar="float32|bfloat16", help="Of the networks' arithmetic.")
    ] = "float32",
) -> None:
    """Train a network that cloaks a face in one forward pass; apply it with visard protect --method FILE.

    Beside FILE.safetensors lies FILE.training: the checkpoint, the curves of the losses, and a sheet of faces clean,
    cloaked, and the change eightfold. All are written each minute; interrupted, the same command goes on from there.

    Settings (--set): of all kinds budget=ssim, ssim=0.97, views=true, batch=32, rate=1e-4, width; of advfaces
    mode=obfuscation or impersonation, norm=3, identity=10, perturbation=1, gan=1, reduced=2, places=8,
    cap=24/255; of latent-distance bound=32/255, weight=5, perceptual=dssim or lpips; of apf eps=16/255.

    As published, on a GPU: visard train advfaces --size 160 --device cuda ... On two CPU cores in half an hour:
    visard train advfaces --max-minutes 30 --set budget=ssim --set cap=14/255 --set gan=0 --set width=24
    --set reduced=2 --set places=8 --set batch=16 --set rate=3e-4 ... On N GPUs, each with its share of a batch:
    torchrun --nproc-per-node N -m visard train ... --device cuda.
    """
    from visard.cli import train as command

    command.run(
        kind,
        data,
        arguments.names(recognizer),
        out,
        arguments.settings(settings or []),
        size,
        steps,
        max_minutes,
        role,
        detector,
        seed,
        force,
        device,
        precision,
    )


@app.command()
def duel(
    recognizer: Annotated[str, typer.Option("--recognizer", metavar="NAME", help="Who is hardened.")],
    data: Annotated[Path, typer.Option("--data", metavar="FOLDER", help="One folder of photos a person.")],
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where rounds, tables and figures go.")],
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="How often the recognizer is hardened.")] = 2,
    methods: Annotated[
        str, typer.Option("--methods", metavar="A,B", help="Cloaks beside the white box and transfer, or files.")
    ] = "visard",
    surrogates: Annotated[
        str, typer.Option("--surrogates", metavar="A,B", help="Whom transfer starts from (default: by card).")
    ] = "",
    jury: JuryOption = "",
    defence: Annotated[str, typer.Option("--defence", metavar="NAME", help="How it is hardened.")] = "adversarial",
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A setting of the defence; repeatable.")
    ] = None,
    role: Annotated[str | None, typer.Option("--role", help="Harden on this role in FOLDER/meta.csv.")] = None,
    validate_role: Annotated[
        str | None, typer.Option("--validate-role", help="Attack people of this role (default: a fifth).")
    ] = None,
    calibrate_role: Annotated[
        str | None, typer.Option("--calibrate-role", help="Thresholds from this role (default: a fifth).")
    ] = None,
    photos: Annotated[int, typer.Option("--photos", min=4, help="How many photos are attacked, at most.")] = 200,
    training: Annotated[int, typer.Option("--training", min=1, help="How many photos it is hardened on.")] = 400,
    eps: Annotated[
        str, typer.Option("--eps", metavar="8/255", help="How far white box and transfer may change a pixel.")
    ] = "8/255",
    steps: Annotated[int, typer.Option("--steps", min=1, help="Of white box and transfer.")] = 20,
    restarts: Annotated[int, typer.Option("--restarts", min=1, help="Random starts of the white box.")] = 2,
    keep: Annotated[
        str, typer.Option("--keep", metavar="NAME", help="Store the hardened recognizers as NAME-1, NAME-2, ...")
    ] = "",
    detector: DetectorOption = "dlib",
    seed: SeedOption = 0,
) -> None:
    """Let cloaks and a recognizer adapt to each other: attack it, harden it against that, and again.

    In each round photos are cloaked by who knows the recognizer's weights, by who knows others only, and by METHODS
    that have both; then it is hardened on other people under the same cloaks. The report says what each side gains,
    and what survives of photos that were posted in earlier rounds. Who is hardened on, attacked and calibrated on are
    different people. Writes duel.md, duel.html, ledger.parquet and
    trials.parquet; interrupted, it goes on where it was.
    """
    from visard.cli import duel as command

    command.run(
        recognizer,
        data,
        out,
        rounds,
        arguments.names(methods),
        arguments.names(surrogates),
        arguments.names(jury),
        defence,
        arguments.settings(settings or []),
        (role, validate_role, calibrate_role),
        detector,
        training,
        photos,
        {"eps": arguments.settings([f"eps={eps}"], "--eps")["eps"], "steps": steps, "restarts": restarts},
        keep,
        seed,
    )


@app.command()
def harden(
    recognizer: Annotated[str, typer.Option("--recognizer", metavar="NAME", help="Which recognizer to harden.")],
    data: Annotated[Path, typer.Option("--data", metavar="FOLDER", help="One folder of photos a person.")],
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="What the hardened recognizer is to be called.")],
    cloaks: Annotated[
        str, typer.Option("--cloaks", metavar="A,B", help="Methods that make the cloaks, or what visard train wrote.")
    ],
    unseen: Annotated[
        str, typer.Option("--unseen", metavar="A,B", help="Methods to judge by that the training does not see.")
    ] = "",
    defence: Annotated[str, typer.Option("--defence", metavar="NAME", help="How to harden.")] = "vos2023",
    settings: DefenceSettingsOption = None,
    surrogates: Annotated[
        str, typer.Option("--surrogates", metavar="A,B", help="Whom the cloaks are made against (default: itself).")
    ] = "",
    role: Annotated[str | None, typer.Option("--role", help="Only rows with this role in FOLDER/meta.csv.")] = None,
    validate: Annotated[
        Path | None,
        typer.Option("--validate", metavar="FOLDER", help="Other people, to judge on (default: a fifth of --data)."),
    ] = None,
    validate_role: Annotated[
        str | None, typer.Option("--validate-role", help="Judge on the rows with this role in meta.csv.")
    ] = None,
    calibrate_role: Annotated[
        str | None, typer.Option("--calibrate-role", help="Thresholds from the rows with this role in meta.csv.")
    ] = None,
    detector: DetectorOption = "dlib",
    fmr: Annotated[float, typer.Option("--fmr", min=0, max=1, help="False match rate to judge at.")] = 1e-3,
    device: DeviceOption = "cpu",
    seed: SeedOption = 0,
    force: Annotated[bool, typer.Option("--force", help="Begin anew, over what was begun under this name.")] = False,
) -> None:
    """Make a recognizer that cloaks do not fool: train it on, or put something before it, and keep it as NAME.

    Cloaks are made of the faces of --data and the recognizer is hardened against them; what it misses before and
    after is measured on people who were not in the training. Interrupted, the same command goes on.

    Defences: adversarial, denoiser, detector, parseval, projection, purification, smoothing, squeezing, vos2023. What
    one does, and its settings: visard methods NAME.
    """
    from visard.cli import harden as command

    command.run(
        recognizer,
        data,
        name,
        arguments.names(cloaks),
        arguments.names(unseen),
        defence,
        arguments.settings(settings or []),
        arguments.names(surrogates),
        role,
        validate,
        validate_role,
        calibrate_role,
        detector,
        fmr,
        device,
        seed,
        force,
    )


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
def methods(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Print this method's page.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the methods and their settings, or say what one does, or a defence of visard harden."""
    from visard.cli import harden, show, train
    from visard.cloak import method_names
    from visard.generator import KINDS, find_method

    if harden.page(name, as_json=as_json):
        return
    untrained = {method.name: method for method in train.untrained()}
    names = [name] if name else sorted([*method_names(), *KINDS])
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


@app.command()
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
