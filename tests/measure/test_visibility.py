"""Visibility: what the eye is known to do, one fact a test."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.data import astronaut

from visard.errors import MeasureError
from visard.measure import visibility, visibility_map

SKIN = np.broadcast_to(np.array([0.78, 0.60, 0.52]), (96, 96, 3)) + np.linspace(0, 0.05, 96)[:, None, None]
TEXTURE = np.clip(SKIN + 0.15 * np.random.default_rng(9).normal(size=(96, 96, 1)), 0.1, 0.9)
PORTRAIT = astronaut()[:160, 140:300] / 255
CHANGE = np.random.default_rng(1).normal(size=(96, 96, 1)).clip(-2, 2)


def grating(cycles: float, degrees: float, size: int = 160) -> np.ndarray:
    """A horizontal sinusoid (H, W, 1) of so many cycles per degree, mirrored smoothly at the edges."""
    return np.cos(2 * np.pi * cycles * degrees * (np.arange(size) + 0.5) / size)[None, :, None] * np.ones((size, 1, 1))


def moved(picture: np.ndarray, change: np.ndarray) -> np.ndarray:
    return np.clip(picture + change, 0, 1)


def test_equal_pictures() -> None:
    assert visibility(PORTRAIT, PORTRAIT.copy()) == 0


@settings(deadline=None, max_examples=20)
@given(st.floats(0.002, 0.04), st.floats(1.1, 3), st.integers(0, 1000))
def test_a_larger_change_is_more_visible(amplitude: float, factor: float, seed: int) -> None:
    noise = np.random.default_rng(seed).uniform(-1, 1, size=(40, 40, 3))
    picture = PORTRAIT[60:100, 60:100] * 0.6 + 0.2
    small, large = (visibility(picture, picture + a * noise) for a in (amplitude, factor * amplitude))
    assert 0 < small < large


@settings(deadline=None, max_examples=5)
@given(st.integers(0, 1000))
def test_symmetric_and_the_same_mirrored_or_turned(seed: int) -> None:
    changed = moved(PORTRAIT, 0.05 * np.random.default_rng(seed).normal(size=PORTRAIT.shape))
    value = visibility(PORTRAIT, changed)
    assert visibility(changed, PORTRAIT) == pytest.approx(value)
    for turned in (lambda p: p[:, ::-1], lambda p: p[::-1], lambda p: p.transpose(1, 0, 2)):
        assert visibility(turned(PORTRAIT), turned(changed)) == pytest.approx(value)


def test_gray_is_as_three_equal_channels() -> None:
    gray = PORTRAIT[..., :1]
    changed = moved(gray, 0.05)
    expected = visibility(np.repeat(gray, 3, axis=2), np.repeat(changed, 3, axis=2))
    assert visibility(gray, changed) == pytest.approx(expected)


def test_texture_hides() -> None:
    smooth, textured = (visibility(p, moved(p, 0.02 * CHANGE)) for p in (SKIN, TEXTURE))
    assert smooth > 2 * textured


def test_noise_does_not_hide_itself() -> None:
    """Ten times the noise on smooth skin is nearly ten times as visible."""
    small, large = (visibility(SKIN, moved(SKIN, a * CHANGE)) for a in (0.005, 0.05))
    assert large > 7 * small


def test_fine_detail_of_color_is_seen_less_than_of_lightness() -> None:
    fine = 0.04 * grating(10, 4)
    flat = np.full((160, 160, 3), 0.5)
    luma = fine * np.array([1, 1, 1])
    chroma = fine * np.array([1, -0.5, 1])  # about equal luminance
    assert visibility(flat, flat + luma) > 4 * visibility(flat, flat + chroma)


def test_the_eye_is_most_sensitive_at_middle_frequencies() -> None:
    flat = np.full((160, 160, 3), 0.5)
    seen = {cycles: visibility(flat, flat + 0.02 * grating(cycles, 4)) for cycles in (0.5, 7, 19)}
    assert seen[7] > 2 * seen[0.5]
    assert seen[7] > 1.5 * seen[19]


def test_half_a_percent_of_contrast_is_one_jnd() -> None:
    """A grating of .5 % luminance contrast on mid-gray (L* = 50) at 8 cycles per degree peaks at 1 JND."""
    luminance = 0.1842 * (1 + 0.005 * grating(8, 4))
    a, b = (1.055 * np.broadcast_to(y, (160, 160, 3)) ** (1 / 2.4) - 0.055 for y in (0.1842, luminance))
    assert visibility_map(a, b).max() == pytest.approx(1, abs=0.05)


def test_a_uniform_step_of_color_is_one_jnd_at_2_3_units() -> None:
    from skimage.color import lab2rgb

    a, b = (lab2rgb(np.broadcast_to([60.0, green, 10.0], (32, 32, 3))) for green in (0, 2.3))
    assert visibility(a, b) == pytest.approx(1, abs=0.02)


def test_detail_vanishes_from_afar() -> None:
    changed = moved(SKIN, 0.02 * CHANGE)
    near, far = (visibility(SKIN, changed, pixels_per_degree=p) for p in (40, 120))
    assert far < 0.5 * near


def test_a_scar_counts() -> None:
    """1 % of the pixels, ten times the change: the mean change is a tenth, yet it is more visible."""
    spread, scar = np.full(SKIN.shape, 0.01), np.zeros(SKIN.shape)
    spread *= np.where(CHANGE > 0, 1, -1)
    scar[40:50, 40:50] = 10 * spread[40:50, 40:50]
    assert visibility(SKIN, moved(SKIN, scar)) > 2 * visibility(SKIN, moved(SKIN, spread))
    seen = visibility_map(SKIN, moved(SKIN, scar))
    assert seen.shape == (96, 96)
    assert 38 <= np.unravel_index(seen.argmax(), seen.shape)[0] <= 51


def test_rounding_to_8_bits_is_hardly_visible_and_a_cloak_is() -> None:
    rounded = np.round(PORTRAIT * 255 + np.random.default_rng(0).uniform(-0.5, 0.5, PORTRAIT.shape)) / 255
    signs = np.random.default_rng(0).choice([-1, 1], PORTRAIT.shape)
    assert visibility(PORTRAIT, np.clip(rounded, 0, 1)) < 0.5
    assert visibility(PORTRAIT, moved(PORTRAIT, signs * 8 / 255)) > 2


@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_a_distance_that_cannot_be(value: float) -> None:
    with pytest.raises(MeasureError, match="positive"):
        visibility(SKIN, SKIN, pixels_per_degree=value)
