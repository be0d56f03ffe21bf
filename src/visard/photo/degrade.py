"""What happens to photos on their way: compression and scaling, in memory."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from skimage.restoration import denoise_tv_chambolle

from visard.errors import PhotoError
from visard.photo.types import check_pixels


def jpeg_round_trip(pixels: NDArray[np.uint8], quality: int, subsampling: str = "4:2:0") -> NDArray[np.uint8]:
    """`pixels` compressed as JPEG and decoded again.

    pixels: (H, W, 3) RGB or (H, W, 1) gray, uint8; the result has the same shape.
    quality: 1 to 100, on libjpeg's scale.
    subsampling: "4:4:4", "4:2:2" or "4:2:0"; gray has no chroma to subsample.

    Raises PhotoError if an argument is out of range.
    """
    check_quality(quality)
    if subsampling not in ("4:4:4", "4:2:2", "4:2:0"):
        raise PhotoError(f"Subsampling must be 4:4:4, 4:2:2 or 4:2:0, not {subsampling!r}.")
    buffer = io.BytesIO()
    to_image(pixels).save(buffer, format="JPEG", quality=quality, subsampling=subsampling)
    with Image.open(buffer, formats=["JPEG"]) as image:
        return _to_pixels(image)


def webp_round_trip(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """`pixels` compressed as lossy WebP and decoded again; arguments, result and errors as in `jpeg_round_trip`."""
    check_quality(quality)
    buffer = io.BytesIO()
    to_image(pixels).convert("RGB").save(buffer, format="WEBP", quality=quality)
    with Image.open(buffer, formats=["WEBP"]) as image:
        decoded = _to_pixels(image.convert("RGB"))
    return decoded[..., : pixels.shape[2]]


def screenshot(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`pixels` as on a screen that shows them at three quarters, saved from there and enlarged again: (H, W, C).

    A stand-in for the screenshot of a photo: two bilinear resamplings and the blur that comes with them.
    """
    height, width = pixels.shape[:2]
    shown = to_image(pixels).resize((max(1, width * 3 // 4), max(1, height * 3 // 4)), Image.Resampling.BILINEAR)
    return _to_pixels(shown.resize((width, height), Image.Resampling.BILINEAR))


def purified(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`pixels` as somebody cleans them who expects a cloak: JPEG 50, the median of 3 x 3 pixels, and total-variation
    denoising (Chambolle 2004, weight .05, ten iterations); (H, W, C).
    """
    compressed = to_image(jpeg_round_trip(pixels, 50)).filter(ImageFilter.MedianFilter(3))
    values = _to_pixels(compressed).astype(np.float32) / 255
    smooth = denoise_tv_chambolle(values, weight=0.05, max_num_iter=10, channel_axis=-1)
    return np.asarray(np.clip(np.rint(255 * smooth), 0, 255), dtype=np.uint8)


def resize(pixels: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    """`pixels` scaled by `factor` with an antialiased Lanczos filter; each side is rounded and at least 1.

    pixels: (H, W, 3) RGB or (H, W, 1) gray, uint8; the result has the same number of channels.

    Raises PhotoError unless `factor` is above 0.
    """
    if not factor > 0:
        raise PhotoError(f"A factor to resize by must be above 0, not {factor}.")
    height, width = pixels.shape[:2]
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return _to_pixels(to_image(pixels).resize(size, Image.Resampling.LANCZOS))


def check_quality(quality: int) -> None:
    """Raise PhotoError unless `quality` lies in 1 to 100."""
    if not 1 <= quality <= 100:
        raise PhotoError(f"Quality must lie between 1 and 100, not {quality}.")


def to_image(pixels: NDArray[np.uint8]) -> Image.Image:
    """A Pillow image of (H, W, 1) or (H, W, 3) uint8 pixels; raises PhotoError for other shapes."""
    check_pixels(pixels)
    return Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels))


def _to_pixels(image: Image.Image) -> NDArray[np.uint8]:
    pixels = np.array(image, dtype=np.uint8)
    return pixels if pixels.ndim == 3 else pixels[..., None]
