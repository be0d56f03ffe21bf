"""Inception-V3: its layers against what was published, its two variants against a plain pooling, and its files."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Generator, Tensor

from visard.errors import WeightsError
from visard.measure.inception import OUTPUTS, Inception, Variant, inception_features, load_inception

POOLED = {"5b", "5c", "5d", "6b", "6c", "6d", "6e", "7b", "7c"}


def heads(variant: Variant) -> dict[str, Tensor]:
    """What the published files hold beside the layers that are used."""
    if variant == "FID":
        return {"fc.weight": torch.zeros(1008, OUTPUTS), "fc.bias": torch.zeros(1008)}
    return {
        "AuxLogits.conv0.conv.weight": torch.zeros(128, 768, 1, 1),
        "AuxLogits.conv0.bn.num_batches_tracked": torch.tensor(0),
        "AuxLogits.fc.bias": torch.zeros(1000),
        "fc.weight": torch.zeros(1000, OUTPUTS),
        "fc.bias": torch.zeros(1000),
    }


@pytest.fixture(scope="module")
def trunk() -> dict[str, Tensor]:
    """Random weights, by which features are neither 0 nor alike."""
    random, found = Generator().manual_seed(0), {}
    for name, value in Inception().state_dict().items():
        if name.endswith("conv.weight"):
            found[name] = torch.randn(value.shape, generator=random) * (2 / value[0].numel()) ** 0.5
        elif name.endswith("num_batches_tracked"):
            found[name] = value
        else:
            found[name] = 0.5 + torch.rand(value.shape, generator=random)
    return found


@pytest.fixture(scope="module")
def models(trunk: Mapping[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> dict[Variant, Inception]:
    """Of one trunk in both layouts; the file of FID's has no counters of batches, and is in half precision."""
    folder = tmp_path_factory.mktemp("inception")
    torch.save({**trunk, **heads("torchvision")}, folder / "google.pth")
    kept = {name: value.half() for name, value in trunk.items() if not name.endswith("num_batches_tracked")}
    save_file({**kept, **heads("FID")}, folder / "fid.safetensors")
    return {"torchvision": load_inception(folder / "google.pth"), "FID": load_inception(folder / "fid.safetensors")}


@pytest.mark.parametrize("variant", ["torchvision", "FID"])
def test_inception_is_the_published_one(models: Mapping[Variant, Inception], variant: Variant) -> None:
    """Of torchvision's 27,161,264 parameters, less those of its two heads; a few of its names and shapes."""
    network = models[variant]
    assert sum(p.numel() for p in network.parameters()) == 27_161_264 - 3_326_696 - 2_049_000
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    assert shapes["Conv2d_4a_3x3.conv.weight"] == (192, 80, 3, 3)
    assert shapes["Mixed_5c.branch_pool.conv.weight"] == (64, 256, 1, 1)
    assert shapes["Mixed_6c.branch7x7dbl_4.conv.weight"] == (160, 160, 7, 1)
    assert shapes["Mixed_7a.branch7x7x3_4.bn.running_var"] == (192,)
    assert shapes["Mixed_7c.branch3x3dbl_3b.conv.weight"] == (384, 384, 3, 1)
    # table 1 of the paper: 35, 17 and 8 px
    sides: dict[str, tuple[int, ...]] = {}
    for name in ("Mixed_5d", "Mixed_6e", "Mixed_7c"):
        network.get_submodule(name).register_forward_hook(
            lambda _module, _given, out, name=name: sides.update({name: tuple(out.shape[1:])})
        )
    with torch.no_grad():
        assert network(torch.rand(1, 3, 32, 32)).shape == (1, OUTPUTS)
    assert sides == {"Mixed_5d": (288, 35, 35), "Mixed_6e": (768, 17, 17), "Mixed_7c": (2048, 8, 8)}


def test_both_layouts_are_told_and_read(models: Mapping[Variant, Inception], trunk: Mapping[str, Tensor]) -> None:
    for variant, model in models.items():
        assert model.variant == variant
        assert not model.training
        assert not any(p.requires_grad for p in model.parameters())
        for name, value in model.state_dict().items():
            torch.testing.assert_close(value, trunk[name], rtol=1e-3, atol=1e-3)
    pictures = torch.rand(2, 3, 40, 48, generator=Generator().manual_seed(1))
    one, other = (inception_features(model, pictures) for model in models.values())
    assert one.shape == other.shape == (2, OUTPUTS)
    assert (one >= 0).all()
    assert float((one - other).norm() / one.norm()) > 0.05


def test_features_of_many_pictures_come_in_batches() -> None:
    pictures = torch.rand(33, 3, 2, 2, generator=Generator().manual_seed(1), requires_grad=True)
    sizes: list[int] = []
    network = torch.nn.Flatten()
    network.register_forward_hook(lambda _module, given, _out: sizes.append(len(given[0])))
    found = inception_features(network, pictures)
    assert found.equal(pictures.flatten(1))
    assert not found.requires_grad
    assert sizes == [16, 16, 1]


def test_pictures_are_enlarged_and_their_range_is_1_to_either_side(models: Mapping[Variant, Inception]) -> None:
    seen: list[Tensor] = []
    hook = models["FID"].Conv2d_1a_3x3.register_forward_hook(lambda _module, given, _out: seen.append(given[0]))
    ramp = torch.linspace(0, 1, 299).expand(1, 3, 299, 299)
    inception_features(models["FID"], ramp)
    inception_features(models["FID"], ramp[..., :150, :150])
    hook.remove()
    torch.testing.assert_close(seen[0], 2 * ramp - 1)
    places = (np.arange(299) + 0.5) * 150 / 299 - 0.5
    wanted = torch.from_numpy(np.interp(places, np.arange(150), seen[0][0, 0, 0, :150].numpy())).float()
    torch.testing.assert_close(seen[1], wanted.expand(1, 3, 299, 299))


def padded(x: Tensor, fill: float) -> np.ndarray:
    """The nine shifts of (1, C, h, w), (9, C, h, w), with `fill` beyond the edges."""
    _, _, height, width = x.shape
    wide = np.pad(x[0].numpy(), ((0, 0), (1, 1), (1, 1)), constant_values=fill)
    return np.stack([wide[:, i : i + height, j : j + width] for i in range(3) for j in range(3)])


def test_the_variants_pool_as_published(models: Mapping[Variant, Inception]) -> None:
    """By means that count the zeros beyond the edges, or do not, or by maxima; the branches are the same."""
    random = Generator().manual_seed(2)
    for name in models["FID"].mixed:
        blocks = {variant: model.get_submodule(name) for variant, model in models.items()}
        for block in blocks.values():
            block.load_state_dict(blocks["FID"].state_dict())
        inputs = next(block.branches[0][0] for block in blocks.values())[0]
        x = torch.randn(1, blocks["FID"].get_submodule(inputs).conv.in_channels, 5, 5, generator=random)
        if name.removeprefix("Mixed_") not in POOLED:
            torch.testing.assert_close(blocks["torchvision"](x), blocks["FID"](x))
            continue
        expected = {"torchvision": padded(x, 0).mean(axis=0), "FID": np.nanmean(padded(x, np.nan), axis=0)}
        if name == "Mixed_7c":
            expected["FID"] = padded(x, -np.inf).max(axis=0)
        outs = {variant: block(x) for variant, block in blocks.items()}
        pooled = blocks["FID"].pooled
        torch.testing.assert_close(outs["torchvision"][:, :-pooled], outs["FID"][:, :-pooled])
        for variant, block in blocks.items():
            wanted = block.branch_pool(torch.from_numpy(expected[variant])[None])
            torch.testing.assert_close(outs[variant][:, -pooled:], wanted, msg=f"{name} of {variant}")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fc.weight": None}, r"has no fc\.weight of 1000 or 1008 classes: give .*pytorch-fid"),
        ({"fc.weight": torch.zeros(10, OUTPUTS)}, r"has no fc\.weight of 1000 or 1008 classes"),
        ({"Mixed_5b.branch1x1.conv.weight": None}, r"has no Mixed_5b\.branch1x1\.conv\.weight: give .*torchvision"),
        ({"Mixed_8a.conv.weight": torch.zeros(1)}, r"holds Mixed_8a\.conv\.weight, which Inception-V3 has not: give"),
        ({"Conv2d_1a_3x3.conv.weight": torch.zeros(32, 1, 3, 3)}, r"shape \(32, 1, 3, 3\), not \(32, 3, 3, 3\)"),
        ({"Mixed_7c.branch_pool.bn.bias": torch.full((192,), torch.nan)}, "NaN or infinite"),
    ],
)
def test_files_that_are_not_the_weights(tmp_path: Path, changes: dict[str, Tensor | None], message: str) -> None:
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in Inception().state_dict().items()}
    weights: dict[str, Tensor | None] = {
        # of expanded tensors a file holds one number
        **{name: torch.zeros(()).expand(shape) for name, shape in shapes.items()},
        **heads("torchvision"),
        **changes,
    }
    torch.save({name: value for name, value in weights.items() if value is not None}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=message):
        load_inception(tmp_path / "other.pth")


def test_code_is_never_unpickled(tmp_path: Path) -> None:
    torch.save({"fc.weight": Path}, tmp_path / "code.pth")
    with pytest.raises(WeightsError, match="reads safely"):
        load_inception(tmp_path / "code.pth")
    with pytest.raises(WeightsError, match="There is no file"):
        load_inception(tmp_path / "absent.pth")
