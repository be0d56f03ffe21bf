"""Reading a photo file into pixels and facts."""

import io
import math
import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    Image,
    ImageCms,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from visard.errors import UnreadablePhotoError, UnsupportedPhotoError
from visard.photo import metadata
from visard.photo.formats import heif, recognize
from visard.photo.types import Facts, JpegCoding, Photo

MAX_PIXELS = 200_000_000

# What Pillow and pillow_heif raise on damaged files.
_DAMAGE = (
    OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, OverflowError, RuntimeError,
    struct.error, zlib.error,
)  # fmt: skip

# Opened by class rather than by `Image.open`, which would give every frame of an MPO, accept many more
# formats, and refuse large photos that we allow.
_OPENERS: dict[str, type[Any]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
}
_DEEP_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
_SEQUENCE_BRANDS = (b"hevc", b"hevx", b"hevm", b"hevs", b"msf1")
_COLOR_CHUNKS = (b"cHRM", b"cICP", b"gAMA", b"sRGB")
_SUBFILE_TYPE, _BITS_PER_SAMPLE, _DNG_VERSION = 254, 258, 50706


def read(path: str | os.PathLike[str]) -> Photo:
    """The photo in the file `path`, upright and in color or gray as it is stored.

    The format is recognized by content.  CMYK becomes sRGB, a palette becomes RGB; alpha is kept bit for bit.
    Of several pictures in one JPEG or HEIC only the main one is read, with a note.

    Raises UnreadablePhotoError if the file is missing, empty, damaged or not a photo, UnsupportedPhotoError
    if it is animated, has several pages, more than 8 bits per channel or more than 200 megapixels, and
    MissingExtraError for a HEIC file without pillow_heif.
    """
    path = Path(path)
    data = _read_bytes(path)
    kind = _kind(path, data)
    opener = heif().HeifImageFile if kind == "HEIF" else _OPENERS[kind]
    with warnings.catch_warnings():
        # Pillow warns of damaged metadata, which must not keep a good picture from being read.
        warnings.simplefilter("ignore")
        try:
            with opener(io.BytesIO(data)) as image:
                _refuse(path, image, data)
                image.load()
                return _photo(image, data)
        except Image.DecompressionBombError as error:
            raise _too_large(path) from error
        except _DAMAGE as error:
            raise UnreadablePhotoError(
                f"{path} is damaged and cannot be decoded; repair it or choose another photo."
            ) from error


def _read_bytes(path: Path) -> bytes:
    """The content of a photo file; other files are refused by their first bytes, however long they are."""
    try:
        if path.is_dir():
            raise UnreadablePhotoError(f"{path} is a folder; name a photo in it.")
        if path.exists() and not path.is_file():
            raise UnreadablePhotoError(f"{path} is not a regular file; name a photo.")
        with path.open("rb") as file:
            head = file.read(64)
            if not head:
                raise UnreadablePhotoError(f"{path} is empty; choose another photo.")
            if recognize(head) is None:
                raise UnreadablePhotoError(
                    f"{path} is not a JPEG, PNG, WebP, TIFF, BMP or HEIC photo; convert it to one first."
                )
            return head + file.read()
    except FileNotFoundError as error:
        raise UnreadablePhotoError(f"{path} does not exist; check the name.") from error
    except PermissionError as error:
        raise UnreadablePhotoError(f"{path} may not be read; change its permissions.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UnreadablePhotoError(f"{path} could not be read ({reason}); check the name.") from error


def _kind(path: Path, data: bytes) -> str:
    """The format of `data`, refusing the ones that are recognized only to be refused."""
    kind = recognize(data[:64])
    if kind == "GIF":
        raise UnsupportedPhotoError(f"{path} is a GIF, which visard does not read; save it as PNG first.")
    if kind == "AVIF":
        raise UnsupportedPhotoError(f"{path} is an AVIF, which visard does not read; save it as PNG first.")
    if kind is None:
        raise UnreadablePhotoError(f"{path} changed while it was read; try again.")
    return kind


def _refuse(path: Path, image: Any, data: bytes) -> None:
    """Raise UnsupportedPhotoError for what a photo may not be; nothing has been decoded yet."""
    if image.width * image.height > MAX_PIXELS:
        raise _too_large(path)
    if _depth(image, data) > 8 or image.mode in _DEEP_MODES:
        raise UnsupportedPhotoError(f"{path} has more than 8 bits per channel; save it with 8 bits per channel first.")
    if image.format == "TIFF":
        if image.n_frames > 1:
            raise UnsupportedPhotoError(f"{path} has {image.n_frames} pages; save the page you want as its own file.")
        if _DNG_VERSION in image.tag_v2 or image.tag_v2.get(_SUBFILE_TYPE, 0) == 1:
            raise UnsupportedPhotoError(f"{path} is a camera's raw file; develop it to JPEG, PNG or TIFF first.")
    elif (image.format in ("PNG", "WEBP") and image.n_frames > 1) or (
        image.format == "HEIF" and data[8:12] in _SEQUENCE_BRANDS
    ):
        raise UnsupportedPhotoError(f"{path} is animated; save the frame you want as PNG first.")


def _too_large(path: Path) -> UnsupportedPhotoError:
    return UnsupportedPhotoError(
        f"{path} is too large: visard reads up to {MAX_PIXELS // 1_000_000} megapixels"
        " (TIFF and WebP: 178); scale it down first."
    )


def _depth(image: Any, data: bytes) -> int:
    """Bits per channel as the file says; Pillow cuts 16-bit color to 8 bits without a word."""
    match image.format:
        case "PNG":
            return data[24]
        case "TIFF":
            bits = image.tag_v2.get(_BITS_PER_SAMPLE, 1)
            return max(bits) if isinstance(bits, tuple) else int(bits)
        case "HEIF":
            return int(image.info.get("bit_depth", 8))
    return 8


def _photo(image: Any, data: bytes) -> Photo:
    """The photo of a decoded image."""
    info = image.info
    kind: str = image.format
    cmyk = image.mode == "CMYK"
    icc = info.get("icc_profile") or None
    exif = metadata.exif_of_tiff(data) if kind == "TIFF" else metadata.without_prefix(info.get("exif"))
    # The other two turn their pixels themselves.
    turn = 1 if kind in ("TIFF", "HEIF") else metadata.orientation(exif)
    facts = Facts(
        format=kind,
        icc=None if cmyk else icc,
        exif=exif,
        xmp=_xmp(info.get("xmp")),
        dpi=_dpi(info.get("dpi")),
        text=tuple((key, str(value)) for key, value in image.text.items()) if kind == "PNG" else (),
        color_chunks=tuple(_color_chunks(data)) if kind == "PNG" else (),
        jpeg=_jpeg_coding(image, transposed=turn > 4) if kind == "JPEG" and not cmyk else None,
        lossless=kind == "WEBP" and b"VP8L" in _riff_chunks(data),
        compression=info.get("compression") if kind == "TIFF" else None,
        chroma=info.get("chroma") if kind == "HEIF" else None,
        nclx=_nclx(info.get("nclx_profile")) if not icc else None,
        notes=tuple(_notes(image)),
    )
    pixels, alpha = _pixels(image, icc)
    return Photo(_upright(pixels, turn), None if alpha is None else _upright(alpha, turn), facts)


def _pixels(image: Image.Image, icc: bytes | None) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """(H, W, 1 or 3) pixels and (H, W) alpha of an image in any 8-bit mode."""
    if image.mode == "CMYK":
        image = _from_cmyk(image, icc)
    channels = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    if image.has_transparency_data:
        values = np.array(image.convert(channels + "A"))
        return np.ascontiguousarray(values[..., :-1]), np.ascontiguousarray(values[..., -1])
    values = np.array(image.convert(channels))
    return (values if values.ndim == 3 else values[..., None]), None


def _from_cmyk(image: Image.Image, icc: bytes | None) -> Image.Image:
    """CMYK converted to sRGB through its profile, or plainly if that is missing or broken."""
    if icc:
        try:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            srgb = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, profile, srgb, outputMode="RGB")
        except (ImageCms.PyCMSError, OSError):
            return image.convert("RGB")
        if converted is not None:
            return converted
    return image.convert("RGB")


def _upright(values: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """(H, W) or (H, W, C) values turned and mirrored as EXIF asks."""
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    return np.ascontiguousarray(values)


def _jpeg_coding(image: Any, transposed: bool) -> JpegCoding | None:
    """Tables in the order of the components, and the subsampling; None if a table is missing.

    If the pixels are `transposed` then so are the tables, to meet the same frequencies again.
    """
    tables = [tuple(image.quantization.get(table, ())) for _, _, _, table in image.layer]
    if not all(len(table) == 64 for table in tables):
        return None
    if transposed:
        tables = [tuple(step for column in range(8) for step in table[column::8]) for table in tables]
    while len(tables) > 1 and tables[-1] == tables[-2]:
        tables.pop()  # an encoder uses its last table for all components that are left
    first, *others = [(horizontal, vertical) for _, horizontal, vertical, _ in image.layer]
    ratios = {(first[0] / other[0], first[1] / other[1]) for other in others}
    # Those that Pillow cannot write become 4:4:4, which loses least.
    known = {(2, 2): "4:2:0"} if transposed else {(2, 2): "4:2:0", (2, 1): "4:2:2"}
    subsampling = known.get(ratios.pop(), "4:4:4") if len(ratios) == 1 else "4:4:4"
    return JpegCoding(tuple(tables), subsampling, bool(image.info.get("progressive")))


def _notes(image: Any) -> Iterator[str]:
    """What a user should know about how the photo was read."""
    info = image.info
    if image.mode == "CMYK":
        yield "CMYK was converted to sRGB; the output is RGB."
    several = image.format == "HEIF" and (image.n_frames > 1 or info.get("depth_images") or info.get("aux"))
    if several or (image.format == "JPEG" and "mp" in info):
        yield (
            "The file holds further pictures (other frames, a gain map or a depth map);"
            " only the main one is used, the others are dropped."
        )
    nclx = _nclx(info.get("nclx_profile"))
    if nclx and nclx[0] not in (1, 2, 5, 6) and not info.get("icc_profile"):
        yield "The colors are wide-gamut without an ICC profile; only HEIC output shows them right."
    if metadata.holds_preview(_xmp(info.get("xmp")) or b""):
        yield "The XMP metadata holds a preview of the photo; it is never kept."


def _nclx(profile: dict[str, int] | None) -> tuple[int, int] | None:
    return (profile["color_primaries"], profile["transfer_characteristics"]) if profile else None


def _xmp(xmp: object) -> bytes | None:
    if isinstance(xmp, str):
        xmp = xmp.encode("utf-8", "replace")
    return xmp.rstrip(b"\0") or None if isinstance(xmp, bytes) else None


def _dpi(dpi: object) -> tuple[float, float] | None:
    """A resolution that every format can store; None if it is missing or absurd."""
    if not isinstance(dpi, tuple) or len(dpi) != 2:
        return None
    across, down = float(dpi[0]), float(dpi[1])
    return (across, down) if all(math.isfinite(x) and 1 <= x < 65536 for x in (across, down)) else None


def _color_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunks before the pixels of a PNG that say how to display its colors."""
    at = 8
    while at + 8 <= len(data) and data[at + 4 : at + 8] != b"IDAT":
        (length,) = struct.unpack(">L", data[at : at + 4])
        if data[at + 4 : at + 8] in _COLOR_CHUNKS:
            yield data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        at += 12 + length


def _riff_chunks(data: bytes) -> set[bytes]:
    """The names of the chunks of a WebP."""
    names, at = set(), 12
    while at + 8 <= len(data):
        names.add(data[at : at + 4])
        (length,) = struct.unpack("<L", data[at + 4 : at + 8])
        at += 8 + length + length % 2
    return names
