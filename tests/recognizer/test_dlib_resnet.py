"""dlib's network in PyTorch against dlib itself."""

from functools import cache
from pathlib import Path

import dlib
import numpy as np
import pytest
import torch
from skimage.data import astronaut
from torch import Tensor, nn

from visard import photo
from visard.errors import WeightsError
from visard.face import DLIB_150, Pixels, dlib_hog, warp
from visard.face.detect.hog import face_recognition_model
from visard.face.template import compose
from visard.recognizer.dlib_resnet import DlibResNet, load_dlib_resnet

WEIGHTS = face_recognition_model("dlib_face_recognition_resnet_model_v1.dat")
MEAN = torch.tensor([122.782, 117.001, 104.298]).view(1, 3, 1, 1)


@cache
def network() -> DlibResNet:
    return load_dlib_resnet(WEIGHTS)


@cache
def theirs() -> dlib.face_recognition_model_v1:
    return dlib.face_recognition_model_v1(str(WEIGHTS))


def chips(pixels: Pixels) -> Pixels:
    """The faces of a photo as dlib's chips, (N, 150, 150, 3)."""
    maps = [compose(face.frame, DLIB_150.to_canonical) for face in dlib_hog()(pixels)]
    image = torch.from_numpy(np.repeat(pixels, 3 // pixels.shape[2], axis=2)).permute(2, 0, 1)[None].float()
    cut = [warp(image, torch.from_numpy(m)[None].float(), (150, 150)) for m in maps]
    return torch.cat(cut).round().byte().permute(0, 2, 3, 1).contiguous().numpy()


def normalized(faces: Pixels) -> Tensor:
    return (torch.from_numpy(faces).permute(0, 3, 1, 2).float() - MEAN) / 256


def assert_agrees(faces: Pixels) -> None:
    ours = network()(normalized(faces)).numpy()
    for face, descriptor in zip(faces, ours, strict=True):
        expected = np.array(theirs().compute_face_descriptor(face))
        assert np.linalg.norm(descriptor - expected) <= 1e-5 * np.linalg.norm(expected)


def test_agrees_with_dlib() -> None:
    (chip,) = chips(astronaut())
    bright = np.clip(chip * 1.6, 0, 255).astype(np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, chip.shape, dtype=np.uint8)
    assert_agrees(np.stack([chip, chip[:, ::-1], chip[::-1], bright, noise, np.zeros_like(chip), chip[..., ::-1]]))


@pytest.mark.assets
@pytest.mark.parametrize("name", ["dlib_bald_guys.jpg", "facenet_multiface.jpg", "dlib_2007_007763.jpg"])
def test_agrees_with_dlib_on_photos(assets: Path, name: str) -> None:
    faces = chips(photo.read(assets / "data/photos" / name).pixels)
    assert len(faces) >= 3
    assert_agrees(faces)


def test_gradient_is_that_of_finite_differences() -> None:
    double = load_dlib_resnet(WEIGHTS).double()
    generator = torch.Generator().manual_seed(0)
    x = normalized(chips(astronaut()))[..., 20:130, 20:130].double()  # the network takes any size
    x += 1e-3 * torch.randn(x.shape, generator=generator, dtype=torch.float64)  # equal pixels tie in the pooling
    x.requires_grad_(True)
    weights = torch.randn(128, generator=generator, dtype=torch.float64)
    (gradient,) = torch.autograd.grad(double(x)[0] @ weights, x)
    with torch.no_grad():
        for _ in range(2):
            direction = torch.randn(x.shape, generator=generator, dtype=torch.float64)
            step = 1e-9 * direction
            slope = float((double(x + step) - double(x - step))[0] @ weights) / 2e-9
            assert slope == pytest.approx(float((gradient * direction).sum()), rel=1e-4)


def test_shape_of_the_network() -> None:
    convolutions = [m for m in network().modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 29
    assert network()(torch.zeros(2, 3, 150, 150)).shape == (2, 128)
    assert not network().training
    assert not any(p.requires_grad for p in network().parameters())


DATA = WEIGHTS.read_bytes()


@pytest.mark.parametrize(
    "data",
    [b"", b"garbage" * 1000, DATA[:-100_000], DATA[: len(DATA) // 2], DATA[1_000_000:], DATA + DATA],
    ids=["empty", "garbage", "end cut off", "half", "beginning cut off", "twice"],
)
def test_damaged_files(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "damaged.dat"
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=r"damaged\.dat is not dlib's face recognition ResNet"):
        load_dlib_resnet(path)


@pytest.mark.parametrize("name", ["shape_predictor_5_face_landmarks.dat", "mmod_human_face_detector.dat"])
def test_other_models_of_dlib(name: str) -> None:
    with pytest.raises(WeightsError, match="is not dlib's face recognition ResNet"):
        load_dlib_resnet(face_recognition_model(name))
