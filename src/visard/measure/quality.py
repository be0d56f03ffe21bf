"""How far a picture is from another. Pictures are (H, W, C) in [0, 1], C = 1 gray or 3 RGB, sRGB values.

The region is what the caller gives: cut out the face, or give the whole photo, and say which.
"""

import numpy as np

from visard.errors import MeasureError
from visard.measure._arrays import Floats, Numbers, floats, same_shape

_WINDOW = 11
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_LEAST = _WINDOW * 2 ** (len(SCALES) - 1)


def pair(a: Numbers, b: Numbers) -> tuple[Floats, Floats]:
    """Two pictures (H, W, C) of one shape. Raises ``MeasureError`` for other shapes and values outside [0, 1]."""
    pictures = floats(a, "pictures", "(H, W, C)"), floats(b, "pictures", "(H, W, C)")
    same_shape(*pictures, "pictures")
    for picture in pictures:
        if picture.shape[2] not in (1, 3):
            raise MeasureError(f"A picture has 1 or 3 channels, the last axis, got the shape {picture.shape}.")
        if picture.min() < -1e-4 or picture.max() > 1 + 1e-4:
            raise MeasureError(f"Pixels lie in [0, 1], got {picture.min():g} to {picture.max():g}: divide by 255?")
    return pictures


def l2(a: Numbers, b: Numbers) -> float:
    """The Euclidean norm of the difference, in units of the pixel range [0, 1]; at most sqrt(H W C). Lower is better.

    It grows with the picture: compare only pictures of one size.
    """
    a, b = pair(a, b)
    return float(np.linalg.norm(a.astype(np.float64) - b))


def linf(a: Numbers, b: Numbers) -> float:
    """The largest change of any pixel and channel, in [0, 1]. Lower is better."""
    a, b = pair(a, b)
    return float(np.max(np.abs(a.astype(np.float64) - b)))


def psnr(a: Numbers, b: Numbers) -> float:
    """Peak signal-to-noise ratio in dB, peak 1; infinite for equal pictures. Higher is better."""
    a, b = pair(a, b)
    error = float(np.mean((a.astype(np.float64) - b) ** 2))
    return float("inf") if error == 0 else -10 * float(np.log10(error))


def ssim(a: Numbers, b: Numbers) -> float:
    """Mean structural similarity (MSSIM), at most 1, data range 1. Higher is better.

    Gaussian window 11 px, sigma 1.5, K1 .01, K2 .03; the mean over channels and over all windows that lie wholly
    inside the picture. Wang et al., "Image quality assessment", TIP 2004. Raises ``ValueError`` for pictures under
    11 px.
    """
    from skimage.metrics import structural_similarity

    a, b = pair(a, b)
    return float(
        structural_similarity(
            a,
            b,
            data_range=1.0,
            channel_axis=-1,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )


def ms_ssim(a: Numbers, b: Numbers) -> float:
    """Multi-scale structural similarity in [0, 1]. Higher is better.

    Five scales, each the 2x2 mean of the one before, weights .0448, .2856, .3001, .2363, .1333; window and constants
    as in ``ssim``; a negative mean counts as 0. Wang, Simoncelli and Bovik, Asilomar 2003. Raises ``MeasureError``
    for pictures under 176 px, whose last scale would not hold a window.
    """
    a, b = (picture.astype(np.float64) for picture in pair(a, b))
    if min(a.shape[:2]) < _LEAST:
        raise MeasureError(f"MS-SSIM needs at least {_LEAST} x {_LEAST} px, got {a.shape[0]} x {a.shape[1]}.")
    product = 1.0
    for scale, weight in enumerate(SCALES):
        if scale:
            a, b = _halved(a), _halved(b)
        similarity, structure = _similarity(a, b)
        last = scale == len(SCALES) - 1
        product *= max(similarity if last else structure, 0.0) ** weight
    return product


def ciede2000(a: Numbers, b: Numbers) -> float:
    """Mean CIEDE2000 color difference of two sRGB pictures (H, W, 3); about 1 is just noticeable. Lower is better.

    Sharma, Wu and Dalal, Color Research and Application 2005. Raises ``MeasureError`` for gray pictures.
    """
    from skimage.color import deltaE_ciede2000, rgb2lab

    a, b = pair(a, b)
    if a.shape[2] != 3:
        raise MeasureError(f"A color difference needs three channels, got the shape {a.shape}.")
    return float(np.mean(deltaE_ciede2000(rgb2lab(a), rgb2lab(b))))


def _similarity(a: Floats, b: Floats) -> tuple[float, float]:
    """Mean SSIM and mean contrast-structure term of pictures (H, W, C) over all windows wholly inside."""
    mean_a, mean_b = _windowed(a), _windowed(b)
    variances = _windowed(a * a) - mean_a**2 + _windowed(b * b) - mean_b**2
    structure = (2 * (_windowed(a * b) - mean_a * mean_b) + 0.03**2) / (variances + 0.03**2)
    luminance = (2 * mean_a * mean_b + 0.01**2) / (mean_a**2 + mean_b**2 + 0.01**2)
    return float(np.mean(luminance * structure)), float(np.mean(structure))


def _windowed(picture: Floats) -> Floats:
    """Gaussian means of (H, W, C) at the windows wholly inside: (H - 10, W - 10, C)."""
    from scipy.ndimage import gaussian_filter

    edge = _WINDOW // 2
    means = gaussian_filter(picture, 1.5, axes=(0, 1), radius=edge)
    return np.asarray(means[edge:-edge, edge:-edge])


def _halved(picture: Floats) -> Floats:
    """Means of 2 x 2 pixels; an odd last row or column is left out."""
    height, width = (side // 2 * 2 for side in picture.shape[:2])
    even = picture[:height, :width]
    return np.asarray((even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4)
