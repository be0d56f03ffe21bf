"""How visible a change is to the eye: a model of early vision that needs no trained network.

Three well-known facts, in this order:

1. Color and lightness are near uniform in CIELAB, and the eye resolves lightness finer than color: the difference
   of the pictures passes contrast sensitivity filters, for L* that of Mannos and Sakrison (IEEE Trans. Inf. Theory
   1974), for a* and b* the color kernels of S-CIELAB (Zhang and Wandell, SID 1996).
2. Texture hides: where a picture itself has contrast, a change needs more of it. The threshold grows with the local
   contrast, itself in thresholds, to the power .7 (Legge and Foley, JOSA 1980). The contrast is the lesser of the two
   pictures', so noise does not hide itself.
3. The eye goes to the worst place: pooling over pixels is by the Minkowski norm of exponent 4.

The result is in just-noticeable differences (JND). A grating of .5 % contrast on mid-gray at the most sensitive
frequency is 1 JND, and so is a uniform step of about 2.3 units of CIELAB (Mahy et al., Color Res. Appl. 1994). The
model was not fitted to any ratings: use it to rank changes and to set limits, not as the answer of observers.
"""

import numpy as np

from visard.errors import MeasureError
from visard.measure._arrays import Floats, Numbers
from visard.measure.quality import pair

# weights and spreads (degrees) of S-CIELAB's kernels exp(-r^2 / spread^2), each normalized
_RED_GREEN = ((0.531, 0.0392), (0.330, 0.494))
_BLUE_YELLOW = ((0.488, 0.0536), (0.371, 0.386))
_COLOR_JND = 2.3  # units of CIELAB
_PEAK = 9.0  # JND per unit of L*: .5 % contrast is .11 units at L* = 50
_MASKING = 0.7
_NEIGHBORHOOD = 0.15  # degrees, sigma
_POOLING = 4


def visibility(a: Numbers, b: Numbers, *, pixels_per_degree: float = 40.0) -> float:
    """How visible the difference of two pictures (H, W, C) in [0, 1] is, in JND, from 0. Lower is better.

    Symmetric; 0 only for equal pictures. `pixels_per_degree` of visual angle: 40 is a full-HD screen of 24 inches from
    65 cm; from farther away, 60 and more, fine detail vanishes. Raises ``MeasureError`` for other shapes and ranges.
    """
    jnd = visibility_map(a, b, pixels_per_degree=pixels_per_degree)
    return float(np.mean(jnd**_POOLING) ** (1 / _POOLING))


def visibility_map(a: Numbers, b: Numbers, *, pixels_per_degree: float = 40.0) -> Floats:
    """Where the difference of two pictures is seen: JND per pixel (H, W). See ``visibility``."""
    if not pixels_per_degree > 0:
        raise MeasureError(f"Pixels per degree must be positive, got {pixels_per_degree:g}.")
    first, second = (_lab(picture) for picture in pair(a, b))
    frequencies = _frequencies(first.shape[:2], pixels_per_degree)
    lightness = _lightness_sensitivity(frequencies)
    sensitivities = lightness, *(_color_sensitivity(frequencies, kernels) for kernels in (_RED_GREEN, _BLUE_YELLOW))
    seen = np.zeros(first.shape[:2])
    for channel, sensitivity in enumerate(sensitivities):
        seen += _filtered(second[..., channel] - first[..., channel], sensitivity) ** 2
    sigma = _NEIGHBORHOOD * pixels_per_degree
    contrast = np.minimum(*(_contrast(_filtered(lab[..., 0], lightness), sigma) for lab in (first, second)))
    return np.asarray(np.sqrt(seen) / (1 + contrast) ** (_MASKING / 2))


def _lab(picture: Floats) -> Floats:
    from skimage.color import rgb2lab

    picture = picture.astype(np.float64)
    return np.asarray(rgb2lab(np.repeat(picture, 3, axis=2) if picture.shape[2] == 1 else picture))


def _frequencies(shape: tuple[int, ...], pixels_per_degree: float) -> Floats:
    """Cycles per degree (H, W) of the terms of a discrete cosine transform."""
    rows, columns = (np.arange(side) / (2 * side) * pixels_per_degree for side in shape)
    return np.hypot(rows[:, None], columns[None])


def _lightness_sensitivity(frequencies: Floats) -> Floats:
    """JND per unit of L*; Mannos and Sakrison 1974, eq. for A(f), peak at 8 cycles per degree."""
    scaled = 0.114 * frequencies
    return np.asarray(_PEAK * 2.6 * (0.0192 + scaled) * np.exp(-(scaled**1.1)) / 0.981)


def _color_sensitivity(frequencies: Floats, kernels: tuple[tuple[float, float], ...]) -> Floats:
    """JND per unit of a* or b*: the transform of a sum of Gaussians, 1 / 2.3 for uniform color."""
    total = sum(weight for weight, _ in kernels)
    gains = [weight * np.exp(-((np.pi * spread * frequencies) ** 2)) for weight, spread in kernels]
    return np.asarray(np.sum(gains, axis=0) / total / _COLOR_JND)


def _filtered(channel: Floats, gains: Floats) -> Floats:
    """`channel` (H, W) after a filter with `gains` per frequency; the picture goes on mirrored beyond its edges."""
    from scipy.fft import dctn, idctn

    return np.asarray(idctn(dctn(channel, norm="ortho") * gains, norm="ortho"))


def _contrast(response: Floats, sigma: float) -> Floats:
    """The local variance of a response in JND: (H, W)."""
    from scipy.ndimage import gaussian_filter

    variance = gaussian_filter(response**2, sigma) - gaussian_filter(response, sigma) ** 2
    return np.asarray(np.maximum(variance, 0))
