"""A photo in memory: its pixels, and what its file said about itself."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visard.errors import PhotoError


@dataclass(frozen=True, slots=True)
class JpegCoding:
    """How a JPEG was compressed, so that it can be compressed alike again.

    tables: one to three quantization tables of 64 steps each, by component.
    subsampling: "4:4:4", "4:2:2" or "4:2:0".
    """

    tables: tuple[tuple[int, ...], ...]
    subsampling: str
    progressive: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """What a photo file said about itself, needed to write it back alike.

    format: "JPEG", "PNG", "WEBP", "TIFF", "BMP" or "HEIF".
    icc: the color profile; None for CMYK files, whose pixels are converted to sRGB.
    exif: the original EXIF from its byte order mark on, orientation not yet reset.  It may hold a thumbnail.
    xmp: the original XMP packet.
    dpi: horizontal and vertical resolution.
    text: key and value of the text chunks of a PNG.
    color_chunks: type and data of the chunks of a PNG that say how to display its colors.
    jpeg: None unless the file was a gray or color JPEG.
    lossless: whether a WebP was compressed without loss.
    compression: Pillow's name for the compression of a TIFF.
    chroma: 420, 422 or 444, the chroma subsampling of a HEIF.
    nclx: color primaries and transfer characteristics (ITU-T H.273) of a HEIF without ICC profile.
    notes: sentences for the user.
    """

    format: str
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    text: tuple[tuple[str, str], ...] = ()
    color_chunks: tuple[tuple[bytes, bytes], ...] = ()
    jpeg: JpegCoding | None = None
    lossless: bool = False
    compression: str | None = None
    chroma: int | None = None
    nclx: tuple[int, int] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """A decoded photo.

    pixels: (H, W, 3) RGB or (H, W, 1) gray, uint8, as displayed (the EXIF orientation is applied).
    alpha: (H, W) uint8, 255 is opaque; None if the file had no transparency.

    Raises PhotoError if a shape or a dtype differs from that.
    """

    pixels: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None
    facts: Facts

    def __post_init__(self) -> None:
        check_pixels(self.pixels)
        alpha = self.alpha
        if alpha is not None and (alpha.dtype != np.uint8 or alpha.shape != self.pixels.shape[:2]):
            raise PhotoError(
                f"Alpha must be uint8 of shape {self.pixels.shape[:2]}, not {alpha.dtype} of {alpha.shape}."
            )

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.pixels.shape[1])

    @property
    def gray(self) -> bool:
        """Whether the photo has one channel."""
        return int(self.pixels.shape[2]) == 1


def check_pixels(pixels: NDArray[np.uint8]) -> None:
    """Raise PhotoError unless `pixels` is uint8 of shape (H, W, 1) or (H, W, 3) with H and W above 0."""
    shape = pixels.shape
    if pixels.dtype != np.uint8 or len(shape) != 3 or shape[2] not in (1, 3) or not pixels.size:
        raise PhotoError(f"Pixels must be uint8 of shape (H, W, 1) or (H, W, 3), not {pixels.dtype} of shape {shape}.")
