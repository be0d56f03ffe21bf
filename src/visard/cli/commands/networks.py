"""Commands that train networks. What is slow to import is imported inside: help must not wait for it."""

from pathlib import Path
from typing import Annotated

import typer

from visard.cli import arguments
from visard.cli.options import (
    DefenceSettingsOption,
    DetectorOption,
    DeviceOption,
    JuryOption,
    SeedOption,
    SettingsOption,
)


def train(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help="A cloak: advfaces, apf, latent-distance or latent-cloak; or what that last one needs: stylegan, "
            "disentangle.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="What is made, such as mine.safetensors.")],
    data: Annotated[
        Path | None, typer.Option("--data", metavar="FOLDER", help="One folder of photos a person.")
    ] = None,
    recognizer: Annotated[
        str, typer.Option("--recognizer", metavar="A,B", help="Whom a cloak is to mislead, or who tells who is who.")
    ] = "",
    generator: Annotated[
        Path | None,
        typer.Option(
            "--generator", metavar="FILE", help="For disentangle: what stylegan made (default: what comes with visard)."
        ),
    ] = None,
    disentangled: Annotated[
        Path | None,
        typer.Option(
            "--disentangled", metavar="FILE", help="For latent-cloak: what disentangle made (default: as before)."
        ),
    ] = None,
    settings: SettingsOption = None,
    size: Annotated[
        int | None,
        typer.Option(
            "--size", help="Of the faces, px: 64 or more, a multiple of 4 (default 112), of stylegan a power of 2 (64)."
        ),
    ] = None,
    steps: Annotated[int, typer.Option("--steps", min=1, help="How many, those of earlier runs too.")] = 20_000,
    max_minutes: Annotated[
        float | None, typer.Option("--max-minutes", min=0, help="Stop after this time, as it is.")
    ] = None,
    role: Annotated[str | None, typer.Option("--role", help="Only rows with this role in FOLDER/meta.csv.")] = None,
    detector: Annotated[
        str | None,
        typer.Option("--detector", metavar="NAME", help='"dlib" (default), "yunet:FILE.onnx", or "aligned".'),
    ] = None,
    seed: SeedOption = 0,
    force: Annotated[bool, typer.Option("--force", help="Begin anew, over what is there.")] = False,
    device: DeviceOption = "cpu",
    precision: Annotated[
        str, typer.Option("--precision", metavar="float32|bfloat16", help="Of the networks' arithmetic.")
    ] = "float32",
) -> None:
    """Train a network that cloaks a face in one forward pass; apply it with visard protect --method FILE.

    Beside FILE.safetensors lies FILE.training: the checkpoint, the curves of the losses, and a sheet of pictures: faces
    clean, cloaked, and the change eightfold. All are written each minute; interrupted, the same command goes on from
    there.

    Settings (--set) of the first three: budget=ssim, ssim=0.97, views=true, batch=32, rate=1e-4, width; of advfaces
    mode=obfuscation or impersonation, norm=3, identity=10, perturbation=1, gan=1, reduced=2, places=8, cap=24/255,
    at_once=2 of the recognizers a step; of latent-distance bound=32/255, weight=5, perceptual=dssim or lpips; of apf
    eps=16/255.

    As published, on a GPU: visard train advfaces --size 160 --device cuda ... On two CPU cores in half an hour:
    visard train advfaces --max-minutes 30 --set budget=ssim --set cap=14/255 --set gan=0 --set width=24
    --set reduced=2 --set places=8 --set batch=16 --set rate=3e-4 ... On N GPUs, each with its share of a batch:
    torchrun --nproc-per-node N -m visard train ... --device cuda.

    latent-cloak makes the face anew, after three trainings. stylegan makes a generator of faces from photos (--data);
    settings base, widest, latent, layers, batch, rate, r1, path, mixing, goal. disentangle learns to make with it whom
    a recognizer sees (--generator, --recognizer, and photos beside what it draws with --data), for visard swap too;
    settings encoder, width, expression, batch, rate, adversarial_rate, judge_rate, identity, landmarks,
    reconstruction, r1, truncation. latent-cloak learns to mislead recognizers (--disentangled, --recognizer, and
    photos with --data); settings delta, identity, landmarks, batch, rate, truncation.
    """
    from visard.cli import train as command

    command.run(
        kind,
        data,
        arguments.names(recognizer),
        generator,
        disentangled,
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
    settings: DefenceSettingsOption = None,
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
