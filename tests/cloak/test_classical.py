"""Classical baselines: what they do to pixels, by hand and against scipy; the same for small and large faces."""

import pytest
import scipy.ndimage
import torch

from visard.cloak import Faces, Task, find
from visard.face.template import CANONICAL_POINTS


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def faces(scale=1.0, side=80, count=2, channels=3):
    pixels = torch.rand(count, channels, side, side, generator=generator(1))
    frame = torch.tensor([[[scale, 0.0, 3.0], [0.0, scale, 2.0]]])
    return Faces(pixels, frame.repeat(count, 1, 1))


def redacted(name, given, **settings):
    """The picture that the baseline shows; classical methods ask no objective."""

    def never(_):
        raise AssertionError("the objective was asked")

    return given.pixels + find(name).cloak(Task(given, never, generator=generator()), **settings)


def test_blur_is_scipys_gaussian_away_from_the_edge():
    given = faces(scale=0.5)
    shown = redacted("blur", given, sigma=4.0)  # 2 pixels
    expected = scipy.ndimage.gaussian_filter(given.pixels.double().numpy(), 2.0, axes=(2, 3), truncate=8)
    middle = (..., slice(20, 60), slice(20, 60))
    assert torch.allclose(shown[middle].double(), torch.from_numpy(expected)[middle], atol=1e-5)


def test_blur_keeps_a_flat_picture_to_its_edge():
    flat = Faces(torch.full((1, 1, 30, 30), 0.3))
    assert torch.allclose(redacted("blur", flat, sigma=20.0), flat.pixels, atol=1e-5)


def test_pixelating_gives_squares_of_the_mean_color_from_the_faces_center():
    given = faces(scale=0.5)
    shown = redacted("pixelate", given, block=20.0)  # 10 pixels
    center = (0.5 * 55.5 + 3, 0.5 * 55.5 + 2)
    left, top = int(center[0]) + 1, int(center[1]) + 1  # the first pixels after it
    square = shown[:, :, top : top + 10, left : left + 10]
    mean = given.pixels[:, :, top : top + 10, left : left + 10].mean(dim=(2, 3), keepdim=True)
    assert torch.allclose(square, mean.expand_as(square), atol=1e-5)
    assert not torch.allclose(shown[..., top, left], shown[..., top - 1, left], atol=1e-3)
    assert not torch.allclose(shown[..., top, left + 9], shown[..., top, left + 10], atol=1e-3)


@pytest.mark.parametrize(("name", "settings"), [("blur", {"sigma": 8.0}), ("pixelate", {"block": 16.0})])
def test_small_and_large_faces_lose_the_same(name, settings):
    """The same face at twice the size, redacted, is twice the redacted face."""
    coarse = torch.rand(1, 1, 14, 14, generator=generator(2))
    small = torch.nn.functional.interpolate(coarse, size=(112, 112), mode="bicubic").clamp(0, 1)
    large = torch.nn.functional.interpolate(small, size=(224, 224), mode="bilinear", align_corners=False)
    shown_small, shown_large = redacted(name, Faces(small), **settings), redacted(name, Faces(large), **settings)
    again = torch.nn.functional.avg_pool2d(shown_large, 2)
    assert float((again - shown_small).abs().mean()) < 0.01


def test_a_box_hides_everything_at_its_shade():
    assert torch.allclose(redacted("box", faces(), shade=0.25), torch.tensor(0.25))


def test_an_eye_bar_covers_the_eyes_of_a_turned_face_and_not_its_mouth():
    frame = torch.tensor([[[0.6, 0.25, 5.0], [-0.25, 0.6, 40.0]]])
    given = Faces(0.5 + 0.4 * torch.rand(1, 3, 120, 120, generator=generator()), frame)
    hidden = (redacted("eye-bar", given)[0] == 0).all(dim=0)
    points = torch.from_numpy(CANONICAL_POINTS["arcface"]).float() @ frame[0, :, :2].T + frame[0, :, 2]
    columns, rows = points.round().long().unbind(1)
    assert hidden[rows, columns].tolist() == [True, True, False, False, False]
    # a bar of 22 by 35.2 + 2 * 16 canonical pixels
    area = 22 * (35.24 + 32) * float(torch.linalg.det(frame[0, :, :2]))
    assert float(hidden.sum()) == pytest.approx(area, rel=0.05)


@pytest.mark.parametrize("channels", [1, 3])
def test_noise_has_its_size_and_its_own_draw_for_each_face(channels):
    given = Faces(torch.full((2, channels, 60, 60), 0.5))
    uniform = redacted("noise", given, eps=0.1) - 0.5
    gaussian = redacted("noise", given, eps=0.1, kind="gaussian") - 0.5
    assert 0.095 < float(uniform.abs().max()) <= 0.1 + 1e-6
    assert float(uniform.std()) == pytest.approx(0.1 / 3**0.5, rel=0.05)
    assert float(gaussian.std()) == pytest.approx(0.1, rel=0.05)
    assert float(gaussian.abs().max()) > 0.2
    assert not torch.equal(uniform[0], uniform[1])


@pytest.mark.parametrize("name", ["blur", "box", "eye-bar", "noise", "pixelate"])
def test_a_redacted_face_does_not_depend_on_its_batch_and_stays_a_picture(name):
    given = faces(count=3, side=50, scale=0.4)
    shown = redacted(name, given)
    assert float(shown.min()) >= 0
    assert float(shown.max()) <= 1
    if name != "noise":  # its draws follow one another
        alone = redacted(name, Faces(given.pixels[2:], given.frames[2:]))
        assert torch.allclose(shown[2:], alone, atol=1e-6)
