"""Filters and small networks before a recognizer: what they make of a face, against other people's code, and their
gradients."""

import io
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from skimage.data import astronaut
from skimage.restoration import denoise_tv_chambolle
from torch import Tensor, nn
from torch.autograd import gradcheck

from visard.errors import CardError, SettingError
from visard.photo import jpeg_round_trip
from visard.recognizer.front import (
    FRONTS,
    JPEG,
    Bits,
    CloakDetector,
    Denoiser,
    Front,
    Median,
    Projection,
    TotalVariation,
    make_front,
)
from visard.recognizer.jpeg import _CHROMA, _LUMA, _table

# no side is a multiple of 16, or of 8
FACE: NDArray[np.uint8] = astronaut()[60:173, 170:277].copy()


def tensor(pixels: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255


def levels(faces: Tensor) -> NDArray[np.float32]:
    return (255 * faces[0]).permute(1, 2, 0).numpy()


def drawn(make: Any, **settings: Any) -> Any:
    """A part with random weights, the last ones too."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        part = make(**settings)
        for weight in part.parameters():
            nn.init.normal_(weight, std=0.2)
    return part


@pytest.mark.parametrize("quality", [10, 50, 75, 95])
def test_jpeg_as_libjpeg_does_it(quality: int) -> None:
    given = tensor(FACE)
    off = np.abs(levels(JPEG(quality=quality)(given)) - jpeg_round_trip(FACE, quality))
    assert off.mean() < 0.8
    # the file is much nearer to this than to the photo
    assert off.mean() < 0.5 * np.abs(levels(given) - jpeg_round_trip(FACE, quality)).mean()


@pytest.mark.parametrize("quality", [1, 30, 50, 51, 90, 100])
def test_quantization_tables_are_those_in_a_file(quality: int) -> None:
    buffer = io.BytesIO()
    Image.fromarray(FACE).save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as image:
        tables = image.quantization  # type: ignore[attr-defined]
    for standard, written in zip((_LUMA, _CHROMA), tables.values(), strict=True):
        assert _table(standard, quality).flatten().tolist() == list(written)


def test_the_gradient_of_jpeg_is_that_of_its_linear_parts() -> None:
    """A gray change has no chroma, and the transform of the luma is orthonormal: it comes out as it was."""
    faces = 0.3 + 0.4 * torch.rand(1, 3, 30, 35, generator=torch.Generator().manual_seed(0))
    gray = torch.randn(1, 1, 30, 35, generator=torch.Generator().manual_seed(1)).expand(1, 3, -1, -1)
    made, change = torch.autograd.functional.jvp(JPEG(quality=90), faces, gray)
    assert 0 < float(made.min()) < float(made.max()) < 1
    torch.testing.assert_close(change[..., :16, :32], gray[..., :16, :32], atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", [3, 5])
def test_the_median_as_pillow_takes_it(size: int) -> None:
    expected = np.array(Image.fromarray(FACE).filter(ImageFilter.MedianFilter(size)))
    np.testing.assert_allclose(levels(Median(size=size)(tensor(FACE))), expected, atol=1e-3)


@pytest.mark.parametrize(("weight", "steps"), [(0.05, 10), (0.3, 1), (0.1, 40)])
def test_total_variation_as_skimage_has_it(weight: float, steps: int) -> None:
    expected = denoise_tv_chambolle(
        FACE.astype(np.float32) / 255, weight=weight, max_num_iter=steps, eps=0, channel_axis=-1
    )
    ours = TotalVariation(weight=weight, steps=steps)(tensor(FACE))
    np.testing.assert_allclose(ours[0].permute(1, 2, 0), expected, atol=2e-6)


def test_bits() -> None:
    made = Bits(depth=2)(tensor(FACE))
    assert {round(3 * v, 4) for v in made.unique().tolist()} == {0, 1, 2, 3}
    assert float((made - tensor(FACE)).abs().max()) <= 1 / 6 + 1e-6
    torch.testing.assert_close(Bits(depth=8)(tensor(FACE)), tensor(FACE))


def test_a_new_denoiser_changes_nothing() -> None:
    assert torch.equal(Denoiser()(tensor(FACE)).detach(), tensor(FACE))
    assert sum(weight.numel() for weight in Denoiser().parameters()) < 100_000
    assert sum(weight.numel() for weight in Projection().parameters()) < 100_000


PARTS: list[Any] = [
    JPEG(quality=60), Median(), TotalVariation(), Bits(depth=4), drawn(Denoiser, width=8, depth=3),
    drawn(Projection, width=8, code=4, steps=3),
]  # fmt: skip


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_every_front(part: Front) -> None:
    """Faces of any size, in [0, 1]; a batch is its rows; every channel has a gradient; weights have none."""
    part.requires_grad_(False)
    other = torch.rand(1, 3, *FACE.shape[:2], generator=torch.Generator().manual_seed(0))
    faces = torch.cat([tensor(FACE), other]).requires_grad_(True)
    made = part(faces)
    assert made.shape == faces.shape
    assert 0 <= float(made.detach().min()) < float(made.detach().max()) <= 1
    for one, alone in zip(faces, made, strict=True):
        torch.testing.assert_close(part(one[None])[0], alone, atol=1e-4, rtol=0)
    made.square().sum().backward()
    assert faces.grad is not None
    assert faces.grad.isfinite().all()
    assert (faces.grad.abs().amax(dim=(2, 3)) > 0).all()
    with torch.no_grad():  # as whoever judges does it
        torch.testing.assert_close(part(faces), made, atol=1e-5, rtol=0)
    assert type(part)(**part.settings).settings == part.settings


@pytest.mark.parametrize(
    "part",
    [
        TotalVariation(weight=0.1, steps=5), Median(), drawn(Denoiser, width=4, depth=3),
        drawn(Projection, width=4, code=2, steps=0), drawn(CloakDetector, width=4),
    ],
    ids=lambda part: type(part).__name__,
)  # fmt: skip
def test_gradients_against_finite_differences(part: nn.Module) -> None:
    generator = torch.Generator().manual_seed(3)
    faces = 0.3 + 0.4 * torch.rand(1, 3, 9, 8, generator=generator, dtype=torch.float64)
    assert gradcheck(part.double().requires_grad_(False), faces.requires_grad_(True), eps=1e-6, atol=1e-5)


def test_the_search_comes_nearer_to_the_face() -> None:
    faces = tensor(FACE)
    distances = []
    for steps in (0, 3, 30):
        part = drawn(Projection, width=8, code=8, steps=steps)
        distances.append(float((part(faces) - faces).detach().square().mean()))
    assert distances[0] > 1.02 * distances[1] > 1.02**2 * distances[2]


def test_the_gradient_of_the_search_counts_it_as_an_addition() -> None:
    part = drawn(Projection, width=4, code=2, steps=3)
    faces = tensor(FACE)[..., :16, :16].clone().requires_grad_(True)
    direction = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad((part(faces) * direction).sum(), faces)
    code = part.encoder(faces - 0.5)
    added = part._searched(code.detach(), faces.detach()) - code.detach()
    (expected,) = torch.autograd.grad(((part.generator(code + added) + 0.5).clamp(0, 1) * direction).sum(), faces)
    torch.testing.assert_close(gradient, expected)
    assert float(added.abs().max()) > 0


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: JPEG(quality=0), "jpeg: quality must lie in 1 to 100, got 0"),
        (lambda: Median(size=2), "median: size must be odd, got 2"),
        (lambda: TotalVariation(weight=0.0), "total-variation: weight must lie in 1e-06 to 10"),
        (lambda: Bits(depth=9), "bits: depth must lie in 1 to 8, got 9"),
        (lambda: Denoiser(depth=1), "denoiser: depth must lie in 2 to 64, got 1"),
        (lambda: Projection(steps=-1), "projection: steps must lie in 0 to 1000, got -1"),
    ],
)
def test_settings_out_of_range(make: Any, sentence: str) -> None:
    with pytest.raises(SettingError, match=sentence):
        make()


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"name": "blur"}, 'No front is called "blur". There are: bits, denoiser, jpeg'),
        ({"name": "jpeg", "qualty": 5}, r'"jpeg" cannot be made with {.qualty.: 5}'),
        ({"name": "jpeg", "quality": 500}, "quality must lie in 1 to 100, got 500"),
    ],
)
def test_cards_that_name_no_front(entry: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CardError, match=sentence):
        make_front(entry)


def test_every_front_is_made_again_from_its_name() -> None:
    assert {part.name for part in PARTS} == set(FRONTS)
    for part in PARTS:
        made = make_front({"name": part.name, **part.settings})
        assert (type(made), made.settings) == (type(part), part.settings)
