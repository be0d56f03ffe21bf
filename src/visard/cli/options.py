"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

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
PhotosArgument = Annotated[list[Path], typer.Argument(metavar="PHOTO...", help="Photos, or folders of photos.")]
OutputOption = Annotated[Path | None, typer.Option("--output", "-o", help="File or folder (default: beside).")]
OnlyOption = Annotated[str, typer.Option("--only", metavar="1,3", help="Protect these faces only.")]
ExceptOption = Annotated[str, typer.Option("--except", metavar="2", help="Protect all faces but these.")]
SettingsOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A setting of the method; repeatable.")
]
DefenceSettingsOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A setting of the defence; repeatable.")
]
DeviceOption = Annotated[str, typer.Option("--device", metavar="cpu|cuda|cuda:N", help="Where to compute.")]
SurrogatesOption = Annotated[
    str, typer.Option("--surrogates", metavar="A,B", help="Recognizers that make the cloak (default: by card).")
]
QualityOption = Annotated[
    int | None, typer.Option("--quality", min=1, max=100, help="Of JPEG, WebP, HEIC (default: the input's own).")
]
KeepMetadataOption = Annotated[
    bool, typer.Option("--keep-metadata", help="Keep EXIF, GPS and XMP (never the thumbnail).")
]
ForceOption = Annotated[bool, typer.Option("--force", help="Overwrite existing files, even the input.")]
SeedOption = Annotated[int, typer.Option("--seed", help="Seed of every random draw.")]
BatchOption = Annotated[
    str, typer.Option("--batch", metavar="auto|N", help="Faces at once (auto: as half of the free memory holds).")
]
