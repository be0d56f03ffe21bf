"""Blending: the membrane against closed forms and a direct solver, and what a new face leaves alone."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import lil_matrix
from scipy.sparse.linalg import spsolve
from torch import Tensor

from visard.face import FACE, blend, face_mask, membrane

SIDE = 96


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ring(side: int = SIDE) -> Tensor:
    """Everything but a disk."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    return ((x - side / 2) ** 2 + (y - side / 2) ** 2 > (0.35 * side) ** 2)[None, None]


def solved(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Laplace's equation by a direct solver."""
    number = {place: i for i, place in enumerate(zip(*np.nonzero(~known), strict=True))}
    matrix, right = lil_matrix((len(number), len(number))), np.zeros(len(number))
    for (y, x), i in number.items():
        matrix[i, i] = 4
        for place in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if place in number:
                matrix[i, number[place]] = -1
            else:
                right[i] += values[place]
    out = values.copy()
    out[~known] = spsolve(matrix.tocsr(), right)
    return out


@pytest.mark.parametrize("side", [SIDE, 97, 63])
def test_constants_and_planes_are_continued(side: int) -> None:
    y, x = torch.meshgrid(torch.arange(side) / side, torch.arange(side) / side, indexing="ij")
    planes = torch.stack([torch.full_like(x, 0.3), 0.2 + 0.5 * x - 0.3 * y, y])[None]
    known = ring(side)
    found = membrane(torch.where(known, planes, 5.0), known)
    assert float((found - planes).abs().max()) < 2e-3
    assert float((found - planes)[:, 0].abs().max()) < 1e-5


def test_as_a_direct_solver_finds_it() -> None:
    smooth = torch.nn.functional.interpolate(
        torch.rand(1, 2, 5, 5, generator=generator()), size=(64, 64), mode="bicubic"
    )
    known = ring(64)
    found = membrane(smooth, known)
    for channel in range(2):
        exact = solved(smooth[0, channel].double().numpy(), known[0, 0].numpy())
        assert np.abs(found[0, channel].numpy() - exact).max() < 0.005  # of values in [0, 1]


def test_known_values_stay_and_nothing_known_is_zero() -> None:
    values, known = (
        torch.rand(2, 3, 40, 50, generator=generator()),
        torch.rand(2, 1, 40, 50, generator=generator(1)) < 0.1,
    )
    found = membrane(values, known)
    assert torch.equal(found[known.expand_as(found)], values[known.expand_as(values)])
    assert float(found.amin()) > float(values.amin()) - 0.01  # the maximum principle
    assert float(found.amax()) < float(values.amax()) + 0.01
    assert not membrane(values, torch.zeros_like(known)).any()


def placed(side: int = SIDE) -> Tensor:
    """The soft mask of a face in the middle."""
    scale = side / 140
    return face_mask(torch.tensor([[[scale, 0.0, 14 * scale], [0.0, scale, 12 * scale]]]), side, FACE)


def everywhere(side: int = SIDE) -> Tensor:
    return torch.ones(1, 1, side, side, dtype=torch.bool)


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**31), channels=st.sampled_from([1, 3]))
def test_outside_the_mask_nothing_changes(seed: int, channels: int) -> None:
    picture, face = (torch.rand(1, channels, SIDE, SIDE, generator=generator(seed + i)) for i in (0, 1))
    mask = placed()
    out = blend(picture, face, mask, everywhere())
    outside = (mask == 0).expand_as(out)
    assert torch.equal(out[outside], picture[outside])
    assert float((out - picture)[~outside].abs().max()) > 0.1


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**31))
def test_the_same_face_in_other_light_is_the_same_face(seed: int) -> None:
    """Another gain and offset in each channel is taken off entirely."""
    picture = torch.rand(1, 3, SIDE, SIDE, generator=generator(seed))
    gain, offset = (torch.rand(1, 3, 1, 1, generator=generator(seed + i)) for i in (1, 2))
    out = blend(picture, (0.8 + 0.5 * gain) * picture + offset - 0.5, placed(), everywhere())
    torch.testing.assert_close(out, picture, atol=1e-4, rtol=0)
    torch.testing.assert_close(blend(picture, picture, placed(), everywhere()), picture, atol=1e-5, rtol=0)


def test_a_slope_of_light_is_carried_in() -> None:
    """The picture is lit from the right, the face is not: without the membrane its left would be too bright."""
    x = torch.linspace(-0.06, 0.06, SIDE).expand(1, 1, SIDE, SIDE)
    picture = 0.5 + x
    out = blend(picture, torch.full_like(picture, 0.5), placed(), everywhere())
    assert float((out - picture).abs().max()) < 0.012
    blind = blend(picture, torch.full_like(picture, 0.5), placed(), ~everywhere())
    assert float((blind - picture).abs().max()) > 0.03


def test_another_background_does_not_color_the_face() -> None:
    """White around the picture's face and black around the new one, faces alike: the face keeps its color."""
    inside = placed() > 0
    picture, face = torch.where(inside, 0.5, 1.0), torch.where(inside, 0.5, 0.0)
    out = blend(picture, face, placed(), everywhere())
    assert float((out - picture)[inside].abs().max()) < 0.11
