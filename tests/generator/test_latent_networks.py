"""The networks of the latent space against what was published, losses against oracles, landmarks in known frames."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Generator, nn
from torchmetrics.functional.image import structural_similarity_index_measure

from latents import tiny_landmarks
from onnx_files import node, write
from rig import astronaut, astronaut_face
from visard.cloak import Faces
from visard.errors import CloakError, MeasureError, RecognizerError, WeightsError
from visard.face import Template, cut
from visard.generator import window
from visard.generator.latent import LandmarkNetwork, load_landmarks, onnx_landmarks, shipped_landmarks
from visard.generator.latent.cloak import make_adversary
from visard.generator.latent.losses import identity_loss, landmark_loss, ms_ssim_to, reconstruction_loss
from visard.generator.latent.networks import Disentangler, Expression, Judge, Mapper
from visard.generator.learner import frames_in
from visard.measure import ms_ssim, ssim
from visard.measure.inception import OUTPUTS


def widths(network: nn.Module) -> list[int]:
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    return [layers[0].in_features, *(layer.out_features for layer in layers)]


def faces(count: int, side: int, seed: int = 0) -> torch.Tensor:
    small = torch.rand(count, 3, side // 8, side // 8, generator=Generator().manual_seed(seed))
    return nn.functional.interpolate(small, size=(side, side), mode="bilinear")


# networks


def test_the_published_widths() -> None:
    assert widths(Mapper(512 + OUTPUTS, 512, torch.zeros(512))) == [2560, 2048, 1024, 512, 512]
    assert widths(Judge(512)) == [512, 256, 128, 64, 1]
    assert widths(make_adversary(512, 1.0, 0)) == [512] * 5
    for network in (Mapper(8, 8, torch.zeros(8)), Judge(8), make_adversary(8, 1.0, 0)):
        slopes = [layer.negative_slope for layer in network.modules() if isinstance(layer, nn.LeakyReLU)]
        assert slopes == [0.2] * 3


@pytest.mark.parametrize("side", [16, 32, 64, 112])
def test_expressions_of_any_size(side: int) -> None:
    network = Expression(4, 10)
    crops = faces(3, side)
    assert network(crops).shape == (3, 10)
    assert not torch.allclose(network(crops), network(crops.flip(3)), atol=1e-4)


def test_who_weighs_as_much_as_how() -> None:
    """Unit vectors reach the mapper with unit variance, however long they are."""
    start = torch.arange(8.0)
    network = Disentangler(512, nn.Flatten(), 3, start)
    seen: list[torch.Tensor] = []
    network.mapper.register_forward_pre_hook(lambda _module, given: seen.append(given[0]))
    who = nn.functional.normalize(torch.randn(5, 512, generator=Generator().manual_seed(0)))
    w = network(who, torch.zeros(5, 3))
    assert w.shape == (5, 8)
    assert float(seen[0][:, :512].square().mean()) == pytest.approx(1)
    torch.testing.assert_close(seen[0][:, :512], who * math.sqrt(512))
    assert float((w - start).detach().abs().mean()) < 0.3  # begins at the generator's mean


def test_the_adversary_stays_within_delta_whatever_its_weights() -> None:
    w = 3 * torch.randn(50, 16, generator=Generator().manual_seed(0))
    for delta in (0.0, 0.1, 2.0):
        adversary = make_adversary(16, delta, 0)
        near = (adversary(w) - w).detach().abs()
        assert float(near.max()) <= delta * (1 + 1e-5)
        with torch.no_grad():
            for weight in adversary.parameters():
                weight.normal_(generator=Generator().manual_seed(1))
        far = (adversary(w) - w).detach().abs()
        assert float(far.max()) == pytest.approx(delta, abs=1e-5)
        if delta:
            assert float(near.max()) < 0.5 * delta  # begins inside, where there is a gradient
            assert float((far > 0.99 * delta).float().mean()) > 0.5


# losses


def test_multi_scale_similarity_is_that_of_the_measure() -> None:
    clean = faces(3, 176)
    changed = (clean + 0.2 * torch.rand(3, 1, 1, 1) * (faces(3, 176, seed=1) - 0.5)).clamp(0, 1)
    found = ms_ssim_to(clean)(changed)
    for mine, a, b in zip(found, clean, changed, strict=True):
        expected = ms_ssim(*(np.asarray(x.permute(1, 2, 0)) for x in (a, b)))
        assert float(mine) == pytest.approx(expected, abs=1e-4)
    torch.testing.assert_close(ms_ssim_to(clean)(clean), torch.ones(3))


def test_smaller_pictures_have_fewer_scales() -> None:
    """At 64 px three, whose weights are divided by their sum: contrast and structure at two, all at the last."""
    clean, other = faces(2, 64), (0.6 * faces(2, 64) + 0.4 * faces(2, 64, seed=1))
    weights = [weight / (0.0448 + 0.2856 + 0.3001) for weight in (0.0448, 0.2856, 0.3001)]
    expected, a, b = torch.ones(2), clean, other
    for weight in weights[:2]:
        _, structure = structural_similarity_index_measure(
            b, a, sigma=1.5, kernel_size=11, data_range=1.0, reduction="none", return_contrast_sensitivity=True
        )
        expected = expected * structure**weight
        a, b = (nn.functional.avg_pool2d(x, 2) for x in (a, b))
    last = [ssim(*(np.asarray(x.permute(1, 2, 0)) for x in pair)) for pair in zip(a, b, strict=True)]
    torch.testing.assert_close(ms_ssim_to(clean)(other), expected * torch.tensor(last) ** weights[2], atol=1e-4, rtol=0)
    assert float(expected.max()) < 0.9
    with pytest.raises(MeasureError, match="needs at least 11 x 11 px, got 8 x 8"):
        ms_ssim_to(faces(1, 8))


def test_losses_in_closed_form() -> None:
    assert float(identity_loss(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 4.0]]))) == 1.5
    moved = torch.zeros(2, 51, 2)
    moved[0, :, 0] = 3.0  # one of two faces, along one axis of two
    assert float(landmark_loss(moved, torch.zeros(2, 51, 2))) == pytest.approx(9 / 4)
    picture = torch.full((1, 3, 32, 32), 0.5)
    brighter = picture + 0.1
    luminance = (2 * 0.5 * 0.6 + 1e-4) / (0.25 + 0.36 + 1e-4)
    weight = 0.2856 / (0.0448 + 0.2856)  # of the coarser of two scales, which alone sees light
    expected = 0.84 * (1 - luminance**weight) + 0.16 * 0.1
    assert float(reconstruction_loss(brighter, picture)) == pytest.approx(expected, abs=1e-4)
    assert float(reconstruction_loss(picture, picture)) == pytest.approx(0, abs=1e-6)


def test_pictures_unlike_each_other_have_a_gradient_still() -> None:
    made = (1 - faces(1, 32)).requires_grad_()
    reconstruction_loss(made, faces(1, 32)).backward()
    assert made.grad is not None
    assert bool(made.grad.isfinite().all())
    assert float(made.grad.abs().max()) > 0


# landmarks


def test_points_are_told_in_the_canonical_frame() -> None:
    """The same face, wherever it lies in a picture, has the same points; one that is displaced has displaced ones."""
    landmarker = tiny_landmarks()
    big = faces(1, 128)
    one = landmarker.points(Faces(big, frames_in(window(128), 1)))
    other = landmarker.points(Faces(torch.cat([torch.zeros(1, 3, 128, 32), big], dim=3), _shifted(32)))
    assert one.shape == (1, 51, 2)
    torch.testing.assert_close(one, other, atol=1e-2, rtol=0)
    assert float((landmarker.points(Faces(big, _shifted(8))) - one).abs().max()) > 1e-2


def _shifted(pixels: int) -> torch.Tensor:
    frames = frames_in(window(128), 1).clone()
    frames[:, 0, 2] += pixels
    return frames


def _brightest(path: Path, outputs: int) -> Path:
    """A network whose every number is the mean of the picture, times 2."""
    weights = np.full((outputs, 3, 8, 8), 2 / (3 * 64))
    return write(path, [node("Conv", "x w", "maps"), node("Flatten", "maps", "y")], (3, 8, 8), w=weights)


def test_an_onnx_network_of_68_points(tmp_path: Path) -> None:
    template = Template((8, 8), (0.0, 0.0, 56.0, 112.0))
    landmarker = onnx_landmarks(_brightest(tmp_path, 136), template)
    pixels = torch.full((2, 3, 8, 8), 0.25)
    pixels[1] = 0.5
    points = landmarker.points(Faces(pixels, frames_in(template, 2)))
    # a half of the crop from its edge, then the whole: in pixels whose centers have whole numbers
    expected = torch.tensor([[27.5, 55.5], [55.5, 111.5]])[:, None].expand(2, 51, 2)
    torch.testing.assert_close(points, expected, atol=1e-3, rtol=0)
    with pytest.raises(RecognizerError, match=r"made\.onnx gives 10 numbers; give a network of 68 points"):
        onnx_landmarks(_brightest(tmp_path, 10), template)
    with pytest.raises(WeightsError):
        onnx_landmarks(tmp_path / "none.onnx")


def test_gradients_reach_the_picture_through_the_points(tmp_path: Path) -> None:
    pixels = faces(1, 64).requires_grad_()
    for landmarker in (tiny_landmarks(), onnx_landmarks(_brightest(tmp_path, 136), Template((8, 8), (0, 0, 112, 112)))):
        (slope,) = torch.autograd.grad(landmarker.points(Faces(pixels, frames_in(window(64), 1))).sum(), pixels)
        assert float(slope.abs().max()) > 0
        assert not any(p.requires_grad for p in landmarker.network.parameters())


def test_the_file_of_a_landmark_network(tmp_path: Path) -> None:
    file = tmp_path / "points.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = LandmarkNetwork()
    network(faces(4, 64))  # moves the running statistics
    file.write_bytes(network.to_bytes(3, "made"))
    assert file.stat().st_size < 300_000
    crops = faces(2, 64, seed=1)
    back = load_landmarks(file)
    torch.testing.assert_close(back.network(crops), network.eval()(crops), atol=0.1, rtol=0)
    file.write_bytes(b"words")
    with pytest.raises(CloakError, match="is not a landmark network that visard train made"):
        load_landmarks(file)


def test_the_shipped_one_finds_a_face(astronaut_crop: Faces) -> None:
    """Eyes, nose tip and mouth corners where PFLD finds them, px of the canonical frame."""
    (points,) = shipped_landmarks().points(astronaut_crop)
    five = [points[19:25].mean(dim=0), points[25:31].mean(dim=0), points[13], points[31], points[37]]
    expected = torch.tensor([[39.6, 53.3], [74.1, 53.7], [56.8, 74.4], [37.8, 84.2], [75.9, 84.4]])
    assert float((torch.stack(five) - expected).norm(dim=1).max()) < 2.5


@pytest.fixture
def astronaut_crop() -> Faces:
    patches = cut(astronaut(), [astronaut_face()])
    return Faces(patches.pixels, patches.frames)
