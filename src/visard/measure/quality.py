"""How far a picture is from another, to the eye. Pictures are (H, W, C) in [0, 1], C = 1 gray or 3 RGB."""

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.floating]


def psnr(a: Picture, b: Picture) -> float:
    """Peak signal-to-noise ratio in dB, peak 1; infinite for equal pictures. Higher is better."""
    error = float(np.mean((a.astype(np.float64) - b) ** 2))
    return float("inf") if error == 0 else -10 * float(np.log10(error))


def ssim(a: Picture, b: Picture) -> float:
    """Structural similarity, at most 1; mean over channels, Gaussian window 11 px, sigma 1.5. Higher is better.

    Wang et al., "Image quality assessment", TIP 2004. Raises ``ValueError`` for pictures under 11 px.
    """
    from skimage.metrics import structural_similarity

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


def ciede2000(a: Picture, b: Picture) -> float:
    """Mean CIEDE2000 color difference of two sRGB pictures (H, W, 3); about 1 is just noticeable. Lower is better.

    Sharma, Wu and Dalal, Color Research and Application 2005.
    """
    from skimage.color import deltaE_ciede2000, rgb2lab

    return float(np.mean(deltaE_ciede2000(rgb2lab(a), rgb2lab(b))))
