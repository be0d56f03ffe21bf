"""What happens to photos on their way: WebP and screenshots."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from visard.errors import PhotoError
from visard.photo import purified, read, screenshot, webp_round_trip


def noise(height: int, width: int, channels: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


@pytest.fixture(scope="module")
def portrait() -> NDArray[np.uint8]:
    return np.ascontiguousarray(data.astronaut()[:201, 100:299])


def error(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    return float(np.abs(a.astype(int) - b).mean())


def test_webp_is_what_a_file_would_give(portrait: NDArray[np.uint8], tmp_path: Path) -> None:
    for quality in (1, 80, 100):
        Image.fromarray(portrait).save(tmp_path / "a.webp", quality=quality)
        np.testing.assert_array_equal(webp_round_trip(portrait, quality), read(tmp_path / "a.webp").pixels)


def test_webp_loses_more_at_a_lower_quality(portrait: NDArray[np.uint8]) -> None:
    errors = [error(webp_round_trip(portrait, quality), portrait) for quality in (100, 80, 50, 10)]
    assert errors == sorted(errors)
    assert 0 < errors[0] < 2
    assert errors[-1] < 12


def test_gray_stays_gray(portrait: NDArray[np.uint8]) -> None:
    gray = portrait[..., 1:2]
    for out in (webp_round_trip(gray, 90), screenshot(gray), purified(gray)):
        assert out.shape == gray.shape
        assert error(out, gray) < 5
    same = screenshot(np.repeat(gray, 3, axis=2))
    np.testing.assert_array_equal(same, np.repeat(screenshot(gray), 3, axis=2))


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3]))
def test_every_shape_is_kept(height: int, width: int, channels: int) -> None:
    pixels = noise(height, width, channels)
    before = pixels.copy()
    for out in (webp_round_trip(pixels, 80), screenshot(pixels), purified(pixels)):
        assert out.shape == pixels.shape
        assert out.dtype == np.uint8
    np.testing.assert_array_equal(pixels, before)


@pytest.mark.parametrize("quality", [0, -1, 101])
def test_webp_checks_its_quality(quality: int) -> None:
    with pytest.raises(PhotoError, match=f"between 1 and 100, not {quality}"):
        webp_round_trip(noise(8, 8, 3), quality)


@pytest.mark.parametrize("pixels", [noise(8, 8, 2), noise(8, 8, 4), noise(8, 8, 3).astype(float)])
def test_what_are_no_pixels(pixels: NDArray[np.uint8]) -> None:
    for happen in (screenshot, purified, lambda p: webp_round_trip(p, 80)):
        with pytest.raises(PhotoError, match="Pixels must be uint8"):
            happen(pixels)


def test_a_screenshot_blurs_and_shifts_nothing(portrait: NDArray[np.uint8]) -> None:
    flat = np.full((40, 60, 3), 77, np.uint8)
    np.testing.assert_array_equal(screenshot(flat), flat)
    checkers = np.indices((80, 80)).sum(axis=0)[..., None] % 2 * 255
    inner = screenshot(checkers.astype(np.uint8))[8:-8, 8:-8]
    assert np.ptp(inner.astype(int)) < 140  # what was 0 and 255
    assert abs(float(inner.mean()) - 127.5) < 2
    assert 0.5 < error(screenshot(portrait), portrait) < 10
    mirrored = screenshot(np.ascontiguousarray(portrait[:, ::-1]))[:, ::-1]
    assert np.abs(mirrored.astype(int) - screenshot(portrait)).max() <= 2  # neither side is favored


def test_purifying_takes_noise_away_and_leaves_the_picture(portrait: NDArray[np.uint8]) -> None:
    drawn = np.random.default_rng(0).normal(scale=12, size=portrait.shape)
    noisy = np.clip(portrait + drawn, 0, 255).astype(np.uint8)
    assert error(purified(noisy), portrait) < 0.7 * error(noisy, portrait)
    assert error(purified(portrait), portrait) < 6
