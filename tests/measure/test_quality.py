"""Picture quality against scikit-image, and what every measure keeps."""

import math

import numpy as np
import pytest
import torch
from skimage import metrics
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.data import astronaut
from torchmetrics.functional import image as theirs

from visard.errors import MeasureError
from visard.measure import ciede2000, l2, linf, ms_ssim, psnr, ssim

PICTURE = astronaut()[:120, 150:300] / 255
NOISE = np.random.default_rng(0).normal(scale=0.03, size=PICTURE.shape)
NOISY = np.clip(PICTURE + NOISE, 0, 1)
PERFECT = {psnr: math.inf, ssim: 1.0, ciede2000: 0.0}
measures = pytest.mark.parametrize("measure", PERFECT, ids=lambda measure: measure.__name__)


@measures
def test_symmetric(measure) -> None:
    assert measure(PICTURE, NOISY) == pytest.approx(measure(NOISY, PICTURE), rel=1e-6)


@measures
def test_equal_pictures(measure) -> None:
    assert measure(PICTURE, PICTURE.copy()) == pytest.approx(PERFECT[measure])


@measures
def test_more_noise_is_worse(measure) -> None:
    worse = np.clip(PICTURE + 2 * NOISE, 0, 1)
    distances = [
        abs(measure(PICTURE, other) - (100 if measure is psnr else PERFECT[measure])) for other in (NOISY, worse)
    ]
    assert distances[0] < distances[1]


@measures
def test_single_precision_is_enough(measure) -> None:
    single = measure(PICTURE.astype(np.float32), NOISY.astype(np.float32))
    assert single == pytest.approx(measure(PICTURE, NOISY), rel=1e-4)


@pytest.mark.parametrize("measure", [psnr, ssim])
def test_gray_is_as_three_equal_channels(measure) -> None:
    gray, noisy = PICTURE[..., :1], NOISY[..., :1]
    assert measure(gray, noisy) == pytest.approx(measure(np.repeat(gray, 3, axis=2), np.repeat(noisy, 3, axis=2)))


def test_psnr_is_that_of_skimage() -> None:
    assert psnr(PICTURE, NOISY) == pytest.approx(metrics.peak_signal_noise_ratio(PICTURE, NOISY, data_range=1))


@pytest.mark.parametrize("levels", [1, 8, 255])
def test_psnr_of_a_constant_difference(levels: int) -> None:
    a = np.zeros((5, 5, 1))
    assert psnr(a, a + levels / 255) == pytest.approx(20 * math.log10(255 / levels))


def test_ssim_is_the_mean_of_its_channels_in_skimage() -> None:
    options = {"data_range": 1, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    expected = [metrics.structural_similarity(PICTURE[..., c], NOISY[..., c], **options) for c in range(3)]
    assert ssim(PICTURE, NOISY) == pytest.approx(np.mean(expected))


@pytest.mark.parametrize(("a", "b"), [(0.2, 0.2), (0.2, 0.5), (0.0, 1.0)])
def test_ssim_of_flat_pictures(a: float, b: float) -> None:
    """Without structure only luminance counts: (2 a b + c1) / (a^2 + b^2 + c1)."""
    shape = (20, 20, 1)
    assert ssim(np.full(shape, a), np.full(shape, b)) == pytest.approx((2 * a * b + 1e-4) / (a * a + b * b + 1e-4))


@pytest.mark.parametrize("size", [(10, 30), (30, 10)])
def test_ssim_needs_11_pixels(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="win_size"):
        ssim(np.zeros((*size, 1)), np.zeros((*size, 1)))
    assert ssim(np.zeros((11, 11, 1)), np.zeros((11, 11, 1))) == 1


def test_ciede2000_is_the_mean_over_pixels() -> None:
    expected = deltaE_ciede2000(rgb2lab(PICTURE), rgb2lab(NOISY)).mean()
    assert ciede2000(PICTURE, NOISY) == pytest.approx(expected)


def test_ciede2000_of_black_and_white() -> None:
    assert ciede2000(np.zeros((2, 2, 3)), np.ones((2, 2, 3))) == pytest.approx(100, abs=0.01)


@pytest.mark.parametrize("shape", [(176, 176), (180, 201)])
def test_against_torchmetrics(shape: tuple[int, int]) -> None:
    """Their SSIM also averages windows that reach over a mirrored edge; cut off, the map is the same."""
    rng = np.random.default_rng(0)
    a = astronaut()[: shape[0], 100 : 100 + shape[1]] / 255
    b = np.clip(a + rng.normal(scale=0.1, size=a.shape), 0, 1)
    tensors = [torch.from_numpy(p).permute(2, 0, 1)[None] for p in (b, a)]
    assert psnr(a, b) == pytest.approx(float(theirs.peak_signal_noise_ratio(*tensors, data_range=1.0)))

    def similarity(pictures: list[torch.Tensor]) -> float:
        _, full = theirs.structural_similarity_index_measure(*pictures, data_range=1.0, return_full_image=True)
        return float(full[..., 5:-5, 5:-5].mean())

    assert ssim(a, b) == pytest.approx(similarity(tensors))
    whole = theirs.multiscale_structural_similarity_index_measure(*tensors, data_range=1.0, normalize="relu")
    assert ms_ssim(a, b) == pytest.approx(float(whole), abs=0.02)
    product = 1.0
    for weight in (0.0448, 0.2856, 0.3001, 0.2363):
        _, structure = theirs.structural_similarity_index_measure(
            *tensors, data_range=1.0, return_contrast_sensitivity=True
        )
        product *= float(structure) ** weight
        tensors = [torch.nn.functional.avg_pool2d(t, 2) for t in tensors]
    assert ms_ssim(a, b) == pytest.approx(product * similarity(tensors) ** 0.1333)


def test_ms_ssim_says_the_least_size() -> None:
    with pytest.raises(MeasureError, match="176 x 176 px, got 200 x 175"):
        ms_ssim(np.zeros((200, 175, 1)), np.zeros((200, 175, 1)))
    assert ms_ssim(np.zeros((176, 200, 1)), np.zeros((176, 200, 1))) == 1


def test_ms_ssim_of_a_negative() -> None:
    """Contrary structure has a negative mean, which counts as none."""
    picture = np.random.default_rng(0).random((176, 176, 1))
    assert ms_ssim(picture, 1 - picture) == 0


def test_norms() -> None:
    a = np.full((2, 3, 3), 0.5)
    b = a.copy()
    b[0, 0] = [0.2, 0.9, 0.5]
    assert l2(a, b) == pytest.approx(0.5)
    assert linf(a, b) == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.zeros((4, 4, 3)), np.zeros((4, 5, 3)), "one shape"),
        (np.zeros((3, 4, 4)), np.zeros((3, 4, 4)), "1 or 3 channels"),
        (np.zeros((4, 4, 3)), np.full((4, 4, 3), 255), "divide by 255"),
    ],
)
def test_pictures_that_cannot_be_compared(a: np.ndarray, b: np.ndarray, message: str) -> None:
    with pytest.raises(MeasureError, match=message):
        psnr(a, b)


def test_gray_has_no_color() -> None:
    with pytest.raises(MeasureError, match="three channels"):
        ciede2000(np.zeros((4, 4, 1)), np.zeros((4, 4, 1)))
