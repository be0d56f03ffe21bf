"""The warp against its adjoint, other people's resampling and block means."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates
from skimage.transform import downscale_local_mean

from visard.face import warp, warp_adjoint

SIDES = st.integers(1, 24)


def similarity_map(scale: float, degrees: float, shift: tuple[float, float]) -> torch.Tensor:
    c, s = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
    return torch.tensor([[[c, -s, shift[0]], [s, c, shift[1]]]], dtype=torch.float64)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@st.composite
def warps(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A picture (N, C, H, W), maps and a picture of the output's size; whole numbers of hundredths draw quickly."""
    count, channels = draw(st.integers(1, 2)), draw(st.sampled_from([1, 3]))
    height, width, rows, columns = (draw(SIDES) for _ in range(4))
    maps = [
        similarity_map(
            draw(st.integers(10, 1500)) / 100,
            draw(st.integers(-180, 180)),
            (draw(st.integers(-1000, 2400)) / 100, draw(st.integers(-1000, 2400)) / 100),
        )
        for _ in range(count)
    ]
    return noise(count, channels, height, width), torch.cat(maps), noise(count, channels, rows, columns, seed=1)


@settings(deadline=None, max_examples=80)
@given(warps())
def test_adjoint(case: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    x, maps, y = case
    left = (warp(x, maps, y.shape[2:]) * y).sum()
    right = (x * warp_adjoint(y, maps, x.shape[2:])).sum()
    assert float((left - right).abs()) <= 1e-10 * float(x.norm() * y.norm())


@settings(deadline=None, max_examples=40)
@given(warps())
def test_gradient_is_the_adjoint(case: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    x, maps, y = case
    x.requires_grad_(True)
    (warp(x, maps, y.shape[2:]) * y).sum().backward()
    torch.testing.assert_close(x.grad, warp_adjoint(y, maps, x.shape[2:]), rtol=1e-12, atol=1e-12)


@settings(deadline=None, max_examples=60)
@given(warps())
def test_a_picture_does_not_depend_on_its_batch(case: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    images, maps, aligned = case
    size = (aligned.shape[-2], aligned.shape[-1])
    many, ways = images.repeat(3, 1, 1, 1), torch.cat([maps, 3 * maps, maps / 2])
    together = warp(many, ways, size)
    alone = torch.cat([warp(many[i : i + 1], ways[i : i + 1], size) for i in range(len(many))])
    torch.testing.assert_close(together, alone)


@settings(deadline=None, max_examples=40)
@given(warps())
def test_linear(case: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    x, maps, y = case
    other, size = noise(*x.shape, seed=2), y.shape[2:]
    torch.testing.assert_close(
        warp(2 * x - 3 * other, maps, size), 2 * warp(x, maps, size) - 3 * warp(other, maps, size), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-3)])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (13, 8), (224, 160)])
def test_identity(size: tuple[int, int], dtype: torch.dtype, tolerance: float) -> None:
    x = noise(1, 3, *size).to(dtype)
    torch.testing.assert_close(warp(x, similarity_map(1, 0, (0, 0)).to(dtype), size), x, rtol=0, atol=tolerance)


@pytest.mark.parametrize("shift", [(3, 0), (0, -2), (-4, 5)])
def test_whole_shifts_move_pixels(shift: tuple[int, int]) -> None:
    x = noise(1, 1, 9, 9)
    expected = torch.zeros_like(x)
    for row in range(9):
        for column in range(9):
            if 0 <= row + shift[1] < 9 and 0 <= column + shift[0] < 9:
                expected[0, 0, row, column] = x[0, 0, row + shift[1], column + shift[0]]
    torch.testing.assert_close(warp(x, similarity_map(1, 0, shift), (9, 9)), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("scale", [0.2, 0.7, 0.999])
@pytest.mark.parametrize("degrees", [0, 17, -90, 180])
@pytest.mark.parametrize("shift", [(4.3, 5.7), (-3.2, 12.5), (60, 60)])
def test_agrees_with_scipy_where_nothing_shrinks(scale: float, degrees: float, shift: tuple[float, float]) -> None:
    x, maps = noise(1, 1, 20, 30), similarity_map(scale, degrees, shift)
    rows, columns = np.mgrid[:12, :17].astype(float)
    at = maps[0].numpy() @ np.stack([columns.ravel(), rows.ravel(), np.ones(columns.size)])
    expected = map_coordinates(x[0, 0].numpy(), at[::-1], order=1, mode="grid-constant").reshape(12, 17)
    np.testing.assert_allclose(warp(x, maps, (12, 17))[0, 0].numpy(), expected, atol=1e-10)


@pytest.mark.parametrize("shrink", [2, 3, 4, 8, 12])
def test_whole_shrinks_are_block_means(shrink: int) -> None:
    x = noise(1, 1, 6 * shrink, 5 * shrink)
    maps = similarity_map(shrink, 0, ((shrink - 1) / 2, (shrink - 1) / 2))
    expected = downscale_local_mean(x[0, 0].numpy(), (shrink, shrink))
    np.testing.assert_allclose(warp(x, maps, (6, 5))[0, 0].numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("degrees", [0, 10, 45])
def test_shrunk_checkerboard_is_flat_gray(degrees: float) -> None:
    board = torch.from_numpy(np.indices((160, 160)).sum(axis=0) % 2).double()[None, None]
    out = warp(board, similarity_map(8, degrees, (80.3, 79.6)), (6, 6))[..., :4, :4]
    inside = warp(torch.ones_like(board), similarity_map(8, degrees, (80.3, 79.6)), (6, 6))[..., :4, :4] > 0.999
    assert inside.sum() >= 8
    assert float((out[inside] - 0.5).abs().max()) < 0.01


def test_outside_is_black() -> None:
    assert not warp(torch.ones(1, 1, 8, 8).double(), similarity_map(1, 0, (50, 0)), (8, 8)).any()
