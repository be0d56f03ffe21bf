"""LPIPS against a straightforward computation by the paper, on made weights and on the published linear ones."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torchmetrics
from safetensors.torch import save_file
from skimage.data import astronaut
from torch import Tensor
from torch.nn import functional

from visard.errors import MeasureError, WeightsError
from visard.measure.perceptual import LEAST, LPIPS, load_lpips

ALEXNET = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}
PUBLISHED = Path(torchmetrics.__file__).parent / "functional/image/lpips_models/alex.pth"


def made_weights() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Random weights under the published names, and one of AlexNet's classifier, which is not used."""
    generator = torch.Generator().manual_seed(0)
    backbone = {"classifier.6.bias": torch.zeros(1000)}
    lin = {}
    for layer, (place, (outputs, inputs, kernel)) in enumerate(ALEXNET.items()):
        scale = (2 / (inputs * kernel**2)) ** 0.5
        backbone[f"features.{place}.weight"] = scale * torch.randn(outputs, inputs, kernel, kernel, generator=generator)
        backbone[f"features.{place}.bias"] = 0.1 * torch.randn(outputs, generator=generator)
        lin[f"lin{layer}.model.1.weight"] = torch.rand(1, outputs, 1, 1, generator=generator)
    return backbone, lin


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("lpips")
    backbone, lin = made_weights()
    torch.save(backbone, folder / "alexnet.pth")
    torch.save(lin, folder / "alex.pth")
    return folder / "alexnet.pth", folder / "alex.pth"


@pytest.fixture(scope="module")
def model(files: tuple[Path, Path]) -> LPIPS:
    return load_lpips(*files)


def pictures(count: int = 2, size: int = 64) -> tuple[Tensor, Tensor]:
    a = torch.from_numpy(astronaut()[60 : 60 + size, 180 : 180 + size]).permute(2, 0, 1)[None].float() / 255
    a = a.repeat(count, 1, 1, 1)
    noise = torch.randn(a.shape, generator=torch.Generator().manual_seed(1))
    return a, (a + 0.05 * noise * torch.arange(1, count + 1)[:, None, None, None]).clamp(0, 1)


def by_the_paper(a: Tensor, b: Tensor, lin: dict[str, Tensor]) -> np.ndarray:
    """Zhang et al. 2018, eq. 1, layer by layer, in double precision and numpy."""
    weights = {name: value.double() for name, value in made_weights()[0].items()}
    mean, deviation = (torch.tensor(v).double()[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    features: list[list[np.ndarray]] = []
    for picture in (a.double(), b.double()):
        x, found = (picture - mean) / deviation, []
        for place, (stride, padding) in zip(ALEXNET, ((4, 2), (1, 2), (1, 1), (1, 1), (1, 1)), strict=True):
            if place in (3, 6):
                x = functional.max_pool2d(x, kernel_size=3, stride=2)
            x = functional.conv2d(
                x, weights[f"features.{place}.weight"], weights[f"features.{place}.bias"], stride, padding
            )
            x = x.clamp(min=0)
            found.append(x.numpy())
        features.append(found)
    total = np.zeros(len(a))
    for layer, (x, y) in enumerate(zip(*features, strict=True)):
        x, y = (f / (np.linalg.norm(f, axis=1, keepdims=True) + 1e-10) for f in (x, y))
        weight = lin[f"lin{layer}.model.1.weight"].numpy().reshape(1, -1, 1, 1)
        total += (weight * (x - y) ** 2).sum(axis=1).mean(axis=(1, 2))
    return total


@pytest.mark.parametrize("size", [LEAST, 64, 101])
def test_distances_are_those_of_the_paper(model: LPIPS, size: int) -> None:
    a, b = pictures(size=size)
    np.testing.assert_allclose(model(a, b), by_the_paper(a, b, made_weights()[1]), rtol=1e-4)


def test_the_published_linear_weights(files: tuple[Path, Path]) -> None:
    a, b = pictures()
    lin = torch.load(PUBLISHED, map_location="cpu", weights_only=True)
    np.testing.assert_allclose(load_lpips(files[0], PUBLISHED)(a, b), by_the_paper(a, b, lin), rtol=1e-4)


def test_one_merged_file(model: LPIPS, tmp_path: Path) -> None:
    backbone, lin = made_weights()
    save_file({**backbone, **lin}, tmp_path / "lpips.safetensors")
    torch.testing.assert_close(load_lpips(tmp_path / "lpips.safetensors")(*pictures()), model(*pictures()))


def test_a_distance(model: LPIPS) -> None:
    a, b = pictures(3)
    assert model(a, a).tolist() == [0, 0, 0]
    torch.testing.assert_close(model(a, b), model(b, a))
    assert model(a, b).tolist() == sorted(model(a, b).tolist())  # more noise is farther
    torch.testing.assert_close(model(a, b)[1:], model(a[1:], b[1:]))


def test_differentiable_and_frozen(model: LPIPS) -> None:
    a, b = pictures(1)
    b.requires_grad_()
    (gradient,) = torch.autograd.grad(model(a, b).sum(), b)
    assert gradient.abs().sum() > 0
    assert not any(p.requires_grad for p in model.parameters())
    moved = (b - 1e-3 * gradient.sign()).detach()
    assert model(a, moved) < model(a, b)


def test_gradients_are_finite_where_features_are_0(files: tuple[Path, Path]) -> None:
    model = load_lpips(*files)
    for conv in model.convs:
        conv.bias.fill_(-100)
    a, b = pictures(1)
    b.requires_grad_()
    assert torch.autograd.grad(model(a, b).sum(), b)[0].isfinite().all()


def test_double_precision_gradient(model: LPIPS) -> None:
    double = LPIPS().double()
    double.load_state_dict(model.state_dict())
    double.shift, double.scale = double.shift.double(), double.scale.double()
    a, b = (p.double() for p in pictures(1, LEAST))
    direction = torch.randn(a.shape, generator=torch.Generator().manual_seed(2)).double()
    b.requires_grad_()
    (gradient,) = torch.autograd.grad(double(a, b).sum(), b)
    with torch.no_grad():
        slope = (double(a, b + 1e-6 * direction) - double(a, b - 1e-6 * direction)) / 2e-6
    assert float((gradient * direction).sum()) == pytest.approx(float(slope), rel=1e-4)


def test_pictures_that_cannot_be_compared(model: LPIPS) -> None:
    with pytest.raises(MeasureError, match="35 x 35 px, got 34 x 64"):
        model(torch.zeros(1, 3, 34, 64), torch.zeros(1, 3, 34, 64))
    for a, b in (((1, 3, 64, 64), (2, 3, 64, 64)), ((1, 1, 64, 64), (1, 1, 64, 64)), ((3, 64, 64), (3, 64, 64))):
        with pytest.raises(MeasureError, match="of one shape"):
            model(torch.zeros(a), torch.zeros(b))


def test_files_that_are_not_the_weights(files: tuple[Path, Path], tmp_path: Path) -> None:
    backbone, lin = files
    with pytest.raises(WeightsError, match=r"alexnet\.pth has no lin0\.model\.1\.weight: give .*LPIPS v0\.1"):
        load_lpips(backbone, backbone)
    with pytest.raises(WeightsError, match=r"alex\.pth has no features\.0\.weight: give .*torchvision"):
        load_lpips(lin, lin)
    with pytest.raises(WeightsError, match="There is no file"):
        load_lpips(tmp_path / "absent.pth", lin)
    for name, content in (("damaged.pth", b"PK"), ("damaged.safetensors", b"12345678{")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WeightsError, match=r"get the file anew|no safetensors file"):
            load_lpips(tmp_path / name, lin)
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(WeightsError, match="no state dict"):
        load_lpips(tmp_path / "list.pth", lin)


@pytest.mark.parametrize(
    ("value", "message"),
    [(torch.zeros(64, 3, 7, 7), r"shape \(64, 3, 7, 7\)"), (torch.full((64, 3, 11, 11), torch.nan), "NaN")],
)
def test_tensors_that_are_not_alexnets(files: tuple[Path, Path], tmp_path: Path, value: Tensor, message: str) -> None:
    torch.save({**made_weights()[0], "features.0.weight": value}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=message):
        load_lpips(tmp_path / "other.pth", files[1])


def test_code_is_never_unpickled(files: tuple[Path, Path], tmp_path: Path) -> None:
    torch.save({"features.0.weight": Path}, tmp_path / "code.pth")
    with pytest.raises(WeightsError, match="reads safely"):
        load_lpips(tmp_path / "code.pth", files[1])
