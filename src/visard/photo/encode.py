"""Turning a photo back into the bytes of a file."""

import io
from typing import Any

import numpy as np
from PIL import Image, ImageFile, PngImagePlugin

from visard.errors import PhotoError, UnsupportedPhotoError, WriteError
from visard.photo import metadata
from visard.photo.degrade import check_quality, to_image
from visard.photo.formats import LOSSY, heif
from visard.photo.types import Photo

_WITHOUT_ALPHA = ("JPEG", "BMP", "HEIF")
_TIFF_COMPRESSIONS = ("raw", "tiff_lzw", "packbits", "tiff_adobe_deflate", "tiff_deflate", "lzma", "zstd")
_JPEG_QUALITY, _WEBP_QUALITY, _HEIF_QUALITY = 95, 90, 90


def encode(photo: Photo, kind: str, quality: int | None, keep_metadata: bool) -> bytes:
    """The bytes of `photo` as a file of the format `kind`; see `visard.photo.write`."""
    if quality is not None:
        check_quality(quality)
        if kind not in LOSSY:
            raise PhotoError(f"{kind} is lossless and has no quality; leave the quality out or write a JPEG.")
    image = _image(photo, kind)
    options: dict[str, Any] = {}
    if photo.facts.icc:
        if kind == "BMP":
            raise UnsupportedPhotoError("BMP cannot keep the color profile of this photo; write a PNG instead.")
        options["icc_profile"] = photo.facts.icc
    if keep_metadata:
        options |= _kept(photo, kind)
    buffer = io.BytesIO()
    try:
        match kind:
            case "JPEG":
                _save_jpeg(image, buffer, photo, quality, options)
            case "PNG":
                image.save(
                    buffer,
                    format="PNG",
                    pnginfo=_png_chunks(photo, options.pop("xmp", None), keep_metadata),
                    **options,
                )
            case "WEBP":
                lossless = photo.facts.lossless and quality is None
                # "exact" keeps the colors of transparent pixels, which are part of the photo.
                image.save(
                    buffer,
                    format="WEBP",
                    lossless=lossless,
                    exact=True,
                    quality=quality or _WEBP_QUALITY,
                    **options,
                )
            case "TIFF":
                exif, xmp = options.pop("exif", None), options.pop("xmp", None)
                image.save(buffer, format="TIFF", compression=_tiff_compression(photo), **options)
                if exif or xmp:
                    return metadata.add_to_tiff(buffer.getvalue(), metadata.without_prefix(exif), xmp)
            case "BMP":
                image.save(buffer, format="BMP", **options)
            case _:
                _save_heif(image, buffer, photo, quality, options)
    except (ValueError, OSError, RuntimeError) as error:
        raise WriteError(
            f"The photo could not be written as {kind} ({error}); choose another format or drop the metadata."
        ) from error
    return buffer.getvalue()


def _image(photo: Photo, kind: str) -> Image.Image:
    """The photo as a Pillow image with its alpha, and without any metadata."""
    alpha = photo.alpha
    if alpha is None:
        return to_image(photo.pixels)
    if kind in _WITHOUT_ALPHA:
        if (alpha != 255).any():
            raise UnsupportedPhotoError(
                f"{'HEIC' if kind == 'HEIF' else kind} cannot keep the transparency of this photo;"
                " write a PNG, WebP or TIFF instead."
            )
        return to_image(photo.pixels)
    return Image.fromarray(np.dstack((photo.pixels, alpha)))


def _kept(photo: Photo, kind: str) -> dict[str, Any]:
    """The metadata to keep, as options of Pillow's `save`."""
    facts = photo.facts
    exif = metadata.kept_exif(facts.exif, photo.width, photo.height)
    xmp = metadata.kept_xmp(facts.xmp, photo.width, photo.height)
    kept: dict[str, Any] = {}
    if exif and kind != "BMP":
        kept["exif"] = b"Exif\0\0" + exif
    if xmp and kind != "BMP":
        kept["xmp"] = xmp
    if facts.dpi and kind not in ("WEBP", "HEIF"):
        kept["dpi"] = facts.dpi
    return kept


def _save_jpeg(
    image: Image.Image, buffer: io.BytesIO, photo: Photo, quality: int | None, options: dict[str, Any]
) -> None:
    """JPEG coded as `visard.photo.write` says."""
    coding = photo.facts.jpeg
    options["subsampling"] = coding.subsampling if coding else "4:4:4"
    options["progressive"] = bool(coding and coding.progressive)
    if coding and quality is None:
        options["qtables"] = [list(table) for table in coding.tables]
    else:
        options["quality"] = quality or _JPEG_QUALITY
    block = ImageFile.MAXBLOCK
    if options["progressive"]:
        # The whole file must fit into one block, for which Pillow leaves too little if the pixels are noisy.
        ImageFile.MAXBLOCK = max(block, 2 * photo.pixels.size + sum(map(len, _blocks(options))) + 65536)
    try:
        image.save(buffer, format="JPEG", **options)
    finally:
        ImageFile.MAXBLOCK = block


def _blocks(options: dict[str, Any]) -> list[bytes]:
    return [value for value in options.values() if isinstance(value, bytes)]


def _png_chunks(photo: Photo, xmp: bytes | None, keep_metadata: bool) -> PngImagePlugin.PngInfo:
    """The color chunks of the input, and its text and XMP if they are kept."""
    chunks = PngImagePlugin.PngInfo()
    for name, data in photo.facts.color_chunks:
        chunks.add(name, data)
    if keep_metadata:
        for key, value in metadata.kept_text(photo.facts.text):
            chunks.add_text(key, value)
    if xmp:
        chunks.add_itxt("XML:com.adobe.xmp", xmp.decode("utf-8", "replace"))
    return chunks


def _tiff_compression(photo: Photo) -> str:
    """The input's compression if it is lossless and takes 8-bit channels, else deflate."""
    compression = photo.facts.compression
    return compression if compression in _TIFF_COMPRESSIONS else "tiff_adobe_deflate"


def _save_heif(
    image: Image.Image, buffer: io.BytesIO, photo: Photo, quality: int | None, options: dict[str, Any]
) -> None:
    facts = photo.facts
    if facts.nclx:
        options |= {"color_primaries": facts.nclx[0], "transfer_characteristics": facts.nclx[1]}
        options |= {"matrix_coefficients": 6, "full_range_flag": 1}
    heif().from_pillow(image).save(buffer, quality=quality or _HEIF_QUALITY, chroma=facts.chroma or 444, **options)
