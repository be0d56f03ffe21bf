"""Crops of a template and back; affine maps one after another, and those that fit points to points."""

import torch
from torch import Generator, Tensor

from visard.face import ARCFACE_112, after, fitting, from_template, to_template

MAPS = torch.tensor([[[1.1, 0.2, 12.0], [-0.1, 0.9, 20.0]], [[0.8, -0.3, 40.0], [0.3, 0.7, 5.0]]])


def points(count: int = 51, seed: int = 0) -> Tensor:
    return 112 * torch.rand(2, count, 2, generator=Generator().manual_seed(seed))


def applied(maps: Tensor, to: Tensor) -> Tensor:
    return to @ maps[..., :2].mT + maps[..., None, :, 2]


def test_one_map_after_another() -> None:
    inner = torch.tensor([[2.0, 0.5, -3.0], [0.0, 1.5, 4.0]])
    torch.testing.assert_close(applied(after(MAPS, inner), points()), applied(MAPS, applied(inner, points())))
    torch.testing.assert_close(after(MAPS, inner.expand(2, 2, 3)), after(MAPS, inner))


def test_the_map_that_fits_is_found_again() -> None:
    wanted = applied(MAPS, points())
    torch.testing.assert_close(fitting(points(), wanted), MAPS, atol=1e-3, rtol=1e-4)
    noise = torch.randn(2, 51, 2, generator=Generator().manual_seed(1))
    found = fitting(points(), wanted + noise)
    best = (applied(found, points()) - wanted - noise).square().sum()
    for step in (1e-2, -1e-2):  # least squares: any other map is worse
        for entry in range(6):
            other = found.clone()
            other.view(2, 6)[:, entry] += step
            assert (applied(other, points()) - wanted - noise).square().sum() > best


def test_a_crop_goes_back_where_it_was() -> None:
    y, x = torch.meshgrid(torch.arange(160.0), torch.arange(160.0), indexing="ij")
    picture = torch.stack([0.5 + 0.3 * torch.sin(x / 25), 0.5 + 0.3 * torch.cos(y / 30), (x + y) / 320])[None]
    frame = torch.tensor([[[1.05, 0.1, 18.0], [-0.1, 1.05, 25.0]]])
    back = from_template(to_template(picture, frame, ARCFACE_112), frame, ARCFACE_112, (160, 160))
    inside = from_template(torch.ones(1, 1, 112, 112), frame, ARCFACE_112, (160, 160)) > 0.99
    assert 10_000 < int(inside.sum()) < 16_000
    assert float((back - picture).abs()[inside.expand_as(back)].max()) < 0.01
