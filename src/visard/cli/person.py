"""visard person. What is slow to import is imported inside: help must not wait for it."""

from pathlib import Path
from typing import Annotated

import typer

from visard.cli import arguments
from visard.cli.options import (
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

app = typer.Typer(help="One mask per person: learn it from some photos, add it to all others.", no_args_is_help=True)


@app.command()
def learn(
    photos: Annotated[list[Path], typer.Argument(metavar="PHOTO...", help="Photos of one person, or folders of them.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The mask, such as me.mask.")],
    count: Annotated[
        int | None, typer.Option("--photos", min=1, help="Learn from at most this many (default: 10).")
    ] = None,
    only: Annotated[
        int | None, typer.Option("--only", metavar="2", help="The person's face in the first photo, where it has more.")
    ] = None,
    settings: SettingsOption = None,
    surrogates: SurrogatesOption = "",
    detector: DetectorOption = "dlib",
    seed: SeedOption = 0,
    force: ForceOption = False,
) -> None:
    """Learn a person's mask from photos of that person: about ten, in different light and from different sides.

    In photos of several people it takes the face most like those in the other photos.

    Settings (--set): loss=fi-uap, fi-uap+, center, affine-hull or convex-hull; optimizer=sign or transfer; eps=8/255;
    alpha=1/255; rounds=16; center_rounds=5; dropout=0.1; decay=1.
    """
    from visard.cli import person_learn as command

    command.run(
        photos,
        output,
        count,
        only,
        arguments.settings(settings or []),
        arguments.names(surrogates),
        detector,
        seed,
        force,
    )


@app.command()
def apply(
    mask: Annotated[Path, typer.Argument(metavar="MASK", help="What visard person learn wrote, such as me.mask.")],
    photos: PhotosArgument,
    output: OutputOption = None,
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
    """Protect a person's photos with the mask: as visard protect does, in a fraction of its time.

    Every face of a photo gets the mask; choose with --only where it shows other people too. Exit codes are those of
    visard protect.
    """
    from visard.cli import protect as command
    from visard.cloak import load_mask

    command.run(
        photos,
        output,
        report,
        command.ready_plan(
            load_mask(mask).method(),
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
        ),
    )
