"""Photos on disk: find them, and write them whole or not at all."""

import errno
import os
import secrets
from pathlib import Path

from visard.errors import PhotoError, WriteError
from visard.photo.encode import encode
from visard.photo.formats import FORMATS, REFUSED, SUFFIXES
from visard.photo.types import Photo

_REASONS = {
    errno.ENOSPC: "the disk is full; make room or choose another folder",
    errno.EDQUOT: "your quota is used up; make room or choose another folder",
    errno.EACCES: "the folder may not be written to; choose another one",
    errno.EPERM: "the folder may not be written to; choose another one",
    errno.EROFS: "the disk is read-only; choose another folder",
    errno.ENOENT: "the folder does not exist; create it first",
    errno.ENOTDIR: "its parent is not a folder; choose another one",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
}


def find(folder: str | os.PathLike[str]) -> list[Path]:
    """The photos below `folder` by their suffixes, sorted; hidden files and folders are skipped.

    Pictures of kinds that `read` refuses are among them: who asked for a folder should hear of each.

    Raises PhotoError if `folder` or one below it is missing, no folder, or may not be read.
    """

    def stop(error: OSError) -> None:
        raise PhotoError(f"The folder {error.filename} could not be read: {error.strerror}.") from error

    photos: list[Path] = []
    for parent, folders, names in os.walk(folder, onerror=stop):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (Path(parent, name) for name in names if not name.startswith("."))
        photos.extend(path for path in paths if path.suffix.lower() in SUFFIXES | REFUSED)
    return sorted(photos)


def write(
    photo: Photo,
    path: str | os.PathLike[str],
    *,
    quality: int | None = None,
    keep_metadata: bool = False,
    force: bool = False,
    source: Path | None = None,
) -> None:
    """Write `photo` to `path`, in the format of its suffix, whole or not at all.

    JPEG: the input's own quantization tables, chroma subsampling and progressive mode; with `quality`
    Pillow's tables of that quality (1 to 100) and the input's subsampling.  Photos that were no JPEG, or a
    CMYK one, get quality 95 and 4:4:4.
    PNG, BMP, TIFF: lossless; a TIFF keeps its compression if that is lossless, else it is deflated.
    WebP: lossless if the input was a lossless WebP and no `quality` is given, else `quality` or 90.
    HEIC: `quality` or 90, with the input's chroma subsampling or 4:4:4.

    keep_metadata: keep EXIF with GPS, XMP, PNG text and the resolution, as far as the format has them.
        Thumbnails and previews are never kept: they show the unprotected face.  The ICC profile is always
        kept.
    force: overwrite an existing file, even the input.
    source: the input, to name it when `path` leads to it.

    Raises WriteError if the file exists (without `force`) or cannot be written, UnsupportedPhotoError for
    transparency in JPEG, BMP or HEIC and for an ICC profile in BMP, PhotoError for an unknown suffix, a
    quality out of range or for a lossless format, and MissingExtraError for HEIC without pillow_heif.
    """
    path = Path(path)
    kind = check_output(path, force=force, source=source)
    write_whole(path, encode(photo, kind, quality, keep_metadata))


def check_output(path: Path, *, force: bool = False, source: Path | None = None) -> str:
    """The format that `path` asks for by its suffix, once it is sure that a photo may be written there.

    Raises as `write` does, but before any work is done: PhotoError for an unknown suffix, WriteError if the
    file exists (without `force`), is a folder, or lies in a folder that does not exist.
    """
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise PhotoError(f"{path} must end in one of {', '.join(sorted(SUFFIXES))}.")
    if os.path.isdir(path):  # noqa: PTH112 - unlike Path.is_dir it also takes names that no file can have
        raise WriteError(f"{path} is a folder; name a file in it.")
    if not force and os.path.lexists(path):
        if source is not None and path.exists() and source.exists() and path.samefile(source):
            raise WriteError(f"{path} is the input itself; choose another name or use --force.")
        raise WriteError(f"{path} exists already; choose another name or use --force.")
    if not os.path.isdir(path.parent):  # noqa: PTH112 - as above
        reason = errno.ENOTDIR if os.path.lexists(path.parent) else errno.ENOENT
        raise WriteError(f"{path} could not be written: {_REASONS[reason]}.")
    return kind


def write_whole(path: Path, data: bytes) -> None:
    """Put `data` at `path` in one step, by way of a hidden file beside it that never stays behind."""
    partial = path.with_name(f".visard-{secrets.token_hex(8)}.tmp")
    try:
        try:
            # Opened plainly rather than through `tempfile`, whose files only their owner may read.
            with partial.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, f"{error.strerror or error}; choose another folder")
        raise WriteError(f"{path} could not be written: {reason}.") from error
