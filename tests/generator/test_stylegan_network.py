"""StyleGAN2's networks against the published sizes, against arithmetic written out, and its checkpoints' layouts."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from visard.errors import SettingError, WeightsError
from visard.generator.stylegan import Discriminator, Shape, StyleGAN, load_faces, make_network
from visard.generator.stylegan.faces import FFHQ
from visard.generator.stylegan.layers import Conv, ModulatedConv, activated, doubled, halved
from visard.generator.stylegan.layouts import read_network
from visard.generator.stylegan.network import with_spread

State = dict[str, Tensor]
SMALL = Shape(size=16, base=128, widest=12, latent=10, layers=3)
FIR = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8


# sizes


@pytest.mark.parametrize(
    ("shape", "generator", "discriminator"),
    [(Shape(1024, 32768), 30_370_060, 29_012_513), (Shape(256, 32768), 30_034_338, 28_864_129)],
)
def test_as_many_parameters_as_published(shape: Shape, generator: int, discriminator: int) -> None:
    with torch.device("meta"):
        networks = StyleGAN(shape), Discriminator(shape)
    assert [sum(p.numel() for p in n.parameters()) for n in networks] == [generator, discriminator]


def test_the_shape_of_every_size() -> None:
    assert Shape(1024).styles == 18
    assert Shape(64).sides == (4, 8, 16, 32, 64)
    assert [Shape(64, 1024, 128).channels(s) for s in (4, 8, 16, 32, 64)] == [128, 128, 64, 32, 16]
    network = make_network(SMALL, seed=0)
    assert network(torch.randn(3, 10)).shape == (3, 3, 16, 16)
    assert Discriminator(SMALL)(torch.randn(5, 3, 16, 16)).shape == (5,)


@pytest.mark.parametrize(
    ("changes", "words"), [({"size": 48}, "8, 16, 32, 64"), ({"size": 4}, "got 4"), ({"base": 8}, "base, at least")]
)
def test_shapes_that_cannot_be(changes: dict[str, int], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        Shape(**{"size": 16, "base": 64, **changes})


# the layers, written out


def zeros_between(x: Tensor) -> Tensor:
    out = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    out[:, :, ::2, ::2] = x
    return out


def filtered(x: Tensor, before: int, after: int) -> Tensor:
    """[1, 3, 3, 1] / 8 along both axes, one after the other, as a sum over shifted pictures."""
    for axis in (2, 3):
        padding = (before, after, 0, 0) if axis == 3 else (0, 0, before, after)
        x = F.pad(x, padding)
        length = x.shape[axis] - 3
        x = sum((float(FIR[k]) * x.narrow(axis, k, length) for k in range(4)), start=torch.zeros(()))
    return x


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 4), st.integers(1, 3), st.sampled_from([2, 4, 6, 10]))
def test_resampling_is_the_filter_with_zeros_beyond_the_edges(count: int, channels: int, side: int) -> None:
    x = torch.randn(count, channels, side, side)
    torch.testing.assert_close(doubled(x), 4 * filtered(zeros_between(x), 2, 1))
    torch.testing.assert_close(halved(x), filtered(x, 1, 1)[:, :, ::2, ::2])


def written_out(conv: ModulatedConv, x: Tensor, w: Tensor) -> Tensor:
    """Equations 1 to 3: weights of its own for every sample, one convolution a sample."""
    found = []
    for sample, style in zip(x, conv.style(w), strict=True):
        weight = conv.weight * style[None, :, None, None]
        if conv.demodulated:
            weight = weight / (weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        else:
            weight = weight / math.sqrt(weight[0].numel())
        if conv.doubles:
            # a true convolution, which turns its kernel around
            full = F.conv2d(zeros_between(sample[None]), weight.flip(2, 3), padding=2)[:, :, :-1, :-1]
            found.append(4 * filtered(full, 1, 1))
        else:
            found.append(F.conv2d(sample[None], weight, padding=weight.shape[-1] // 2))
    return torch.cat(found)


@pytest.mark.parametrize(
    ("kernel", "demodulated", "doubles"), [(3, True, False), (3, True, True), (1, False, False), (3, False, True)]
)
def test_modulation_is_what_the_equations_say(kernel: int, demodulated: bool, doubles: bool) -> None:
    torch.manual_seed(0)
    conv = ModulatedConv(5, 7, 6, kernel, doubles=doubles, demodulated=demodulated)
    x, w = torch.randn(3, 5, 8, 8), torch.randn(3, 6)
    torch.testing.assert_close(conv(x, w), written_out(conv, x, w), atol=1e-5, rtol=1e-4)


def test_demodulated_output_does_not_hang_on_the_scale_of_the_style() -> None:
    torch.manual_seed(0)
    conv = ModulatedConv(5, 7, 6, 3)
    with torch.no_grad():
        conv.style.bias.zero_()
    x, w = torch.randn(2, 5, 8, 8), torch.randn(2, 6)
    torch.testing.assert_close(conv(x, 3 * w), conv(x, w), atol=1e-5, rtol=1e-4)


def test_a_halving_convolution_blurs_first() -> None:
    torch.manual_seed(0)
    conv = Conv(4, 6, 3, halves=True)
    x = torch.randn(2, 4, 8, 8)
    expected = F.conv2d(filtered(x, 2, 2), conv.weight / 6, conv.bias, stride=2)
    torch.testing.assert_close(conv(x), expected)


@pytest.mark.parametrize("count", [1, 3, 4, 8, 10])
def test_spread_is_of_groups_of_four(count: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(count, 3, 4, 4)
    found = with_spread(x)
    assert torch.equal(found[:, :3], x)
    groups = -(-count // 4)
    for k in range(count):
        group = x[k % groups :: groups]
        expected = (((group - group.mean(dim=0)) ** 2).mean(dim=0) + 1e-8).sqrt().mean()
        torch.testing.assert_close(found[k, 3], expected.expand(4, 4))


def test_noise_is_the_same_or_drawn(tmp_path: Path) -> None:
    network = make_network(SMALL, seed=0)
    for conv in network.synthesis.convs:
        conv.strength.data.fill_(0.5)
    z = torch.randn(2, 10)
    assert torch.equal(network(z), network(z))
    drawn = [network(z, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.allclose(drawn[0], drawn[2])


def test_truncation_goes_to_the_mean_face() -> None:
    network = make_network(SMALL, seed=0)
    network.mapping.average.copy_(torch.randn(10))
    mean = network.synthesis(network.broadcast(network.mapping.average[None]))
    found = network(torch.randn(2, 10), truncation=0.0)
    torch.testing.assert_close(found, mean.expand(2, -1, -1, -1))


# checkpoints of others


def nvidia_state(seed: int) -> State:
    """A checkpoint as NVIDIA's PyTorch version names and shapes it, with numbers drawn from `seed`."""
    random = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random)

    state = {"mapping.w_avg": draw(10), "synthesis.b4.const": draw(12, 4, 4)}
    for k in range(3):
        state |= {f"mapping.fc{k}.weight": 100 * draw(10, 10), f"mapping.fc{k}.bias": 10 * draw(10)}
    for side, inputs, outputs in ((4, 12, 12), (8, 12, 12), (16, 12, 8)):
        block = f"synthesis.b{side}"
        state[f"{block}.resample_filter"] = torch.outer(FIR, FIR)
        for conv, before in (("conv0", inputs), ("conv1", outputs)):
            if side == 4 and conv == "conv0":
                continue
            state |= {
                f"{block}.{conv}.affine.weight": draw(before, 10),
                f"{block}.{conv}.affine.bias": 1 + draw(before),
                f"{block}.{conv}.weight": draw(outputs, before, 3, 3),
                f"{block}.{conv}.bias": draw(outputs),
                f"{block}.{conv}.noise_strength": draw(),
                f"{block}.{conv}.noise_const": draw(side, side),
                f"{block}.{conv}.resample_filter": torch.outer(FIR, FIR),
            }
        state |= {
            f"{block}.torgb.affine.weight": draw(outputs, 10),
            f"{block}.torgb.affine.bias": 1 + draw(outputs),
            f"{block}.torgb.weight": draw(3, outputs, 1, 1),
            f"{block}.torgb.bias": draw(3),
        }
    return state


def nvidia_pictures(state: State, z: Tensor, truncation: float) -> Tensor:
    """What such a checkpoint makes of z, from its entries by plain arithmetic."""
    w = z / (z.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()
    for k in range(3):
        w = F.linear(w, state[f"mapping.fc{k}.weight"] * 0.01 / math.sqrt(10), 0.01 * state[f"mapping.fc{k}.bias"])
        w = activated(w)
    w = state["mapping.w_avg"] + truncation * (w - state["mapping.w_avg"])

    def convolved(name: str, x: Tensor, *, doubles: bool = False) -> Tensor:
        conv = ModulatedConv(x.shape[1], 1, 10, 3, doubles=doubles, demodulated="torgb" not in name)
        conv.weight = torch.nn.Parameter(state[f"{name}.weight"])
        conv.style.weight = torch.nn.Parameter(state[f"{name}.affine.weight"])
        conv.style.bias = torch.nn.Parameter(state[f"{name}.affine.bias"])
        return written_out(conv, x, w)

    x, picture = state["synthesis.b4.const"].expand(len(z), -1, -1, -1), torch.zeros(())
    for side in (4, 8, 16):
        block = f"synthesis.b{side}"
        for conv in ("conv0", "conv1"):
            if side == 4 and conv == "conv0":
                continue
            name = f"{block}.{conv}"
            x = convolved(name, x, doubles=conv == "conv0")
            x = x + state[f"{name}.noise_strength"] * state[f"{name}.noise_const"]
            x = activated(x + state[f"{name}.bias"][:, None, None])
        if side > 4:
            picture = 4 * filtered(zeros_between(picture), 2, 1)
        picture = picture + convolved(f"{block}.torgb", x) + state[f"{block}.torgb.bias"][:, None, None]
    return picture


def rosinality_state(state: State) -> State:
    """The same numbers as rosinality's port names and shapes them; it keeps the mean of w elsewhere."""
    found = {"input.input": state["synthesis.b4.const"][None]}
    found |= {f"style.{k + 1}.{e}": state[f"mapping.fc{k}.{e}"] for k in range(3) for e in ("weight", "bias")}
    convs = {"b4.conv1": "conv1", "b8.conv0": "convs.0", "b8.conv1": "convs.1", "b16.conv0": "convs.2"}
    convs["b16.conv1"] = "convs.3"
    for number, (theirs, port) in enumerate(convs.items()):
        name = f"synthesis.{theirs}"
        found |= {
            f"{port}.conv.weight": state[f"{name}.weight"][None],
            f"{port}.conv.modulation.weight": state[f"{name}.affine.weight"],
            f"{port}.conv.modulation.bias": state[f"{name}.affine.bias"],
            f"{port}.noise.weight": state[f"{name}.noise_strength"][None],
            f"{port}.activate.bias": state[f"{name}.bias"],
            f"noises.noise_{number}": state[f"{name}.noise_const"][None, None],
        }
        if theirs.endswith("conv0"):
            found[f"{port}.conv.blur.kernel"] = 4 * torch.outer(FIR, FIR)
    for theirs, port in (("b4", "to_rgb1"), ("b8", "to_rgbs.0"), ("b16", "to_rgbs.1")):
        name = f"synthesis.{theirs}.torgb"
        found |= {
            f"{port}.conv.weight": state[f"{name}.weight"][None],
            f"{port}.conv.modulation.weight": state[f"{name}.affine.weight"],
            f"{port}.conv.modulation.bias": state[f"{name}.affine.bias"],
            f"{port}.bias": state[f"{name}.bias"].view(1, 3, 1, 1),
        }
    return found


def saved(state: State, path: Path) -> Path:
    save_file({key: value.contiguous() for key, value in state.items()}, path)
    return path


def test_nvidias_layout_makes_the_same_pictures(tmp_path: Path) -> None:
    state, z = nvidia_state(0), torch.randn(4, 10)
    network = read_network(saved(state, tmp_path / "g.safetensors"))
    assert network.shape == SMALL
    expected = nvidia_pictures(state, z, 0.7)
    torch.testing.assert_close(network(z, truncation=0.7), expected, atol=1e-3, rtol=1e-4)
    assert not any(p.requires_grad for p in network.parameters())


def test_rosinalitys_layout_makes_the_same_pictures(tmp_path: Path) -> None:
    state, z = nvidia_state(1), torch.randn(4, 10)
    path = tmp_path / "g.pt"
    torch.save({"g": {}, "g_ema": rosinality_state(state), "latent_avg": torch.zeros(10)}, path)
    network = read_network(path)
    torch.testing.assert_close(network(z), nvidia_pictures(state, z, 1.0), atol=1e-3, rtol=1e-4)
    # the mean that it does not tell is that of many
    many = network.mapping(torch.randn(20_000, 10)).mean(dim=0)
    spread = float(network.mapping(torch.randn(2_000, 10)).std(dim=0).mean())
    assert float((network.mapping.average - many).abs().max()) < 0.1 * spread


def test_a_checkpoint_of_others_is_a_face_generator(tmp_path: Path) -> None:
    path = saved(nvidia_state(0), tmp_path / "g.safetensors")
    made = load_faces(path)
    assert (made.size, made.square, made.template.size) == (16, FFHQ, (16, 16))
    faces = made.faces(made.drawn(2, torch.Generator().manual_seed(0)))
    assert faces.shape == (2, 3, 16, 16)
    assert 0 <= float(faces.min()) <= float(faces.max()) <= 1


Break = Callable[[State], State]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: {"a": torch.zeros(3)}, "no StyleGAN2 generator of a known layout"),
        (lambda s: {k: v for k, v in s.items() if k != "synthesis.b8.conv0.bias"}, "doubling.0.bias is missing"),
        (lambda s: {**s, "mapping.embed.weight": torch.zeros(10, 4)}, "mapping.embed.weight is more than it has"),
        (lambda s: {**s, "synthesis.b8.conv1.weight": torch.zeros(12, 9, 3, 3)}, "sizes do not fit together"),
        (lambda s: {**s, "synthesis.b8.resample_filter": torch.ones(4, 4)}, r"filter is not \[1, 3, 3, 1\]"),
        (lambda s: {**s, "synthesis.b8.resample_filter": torch.ones(12)}, r"filter is not \[1, 3, 3, 1\]"),
    ],
)
def test_checkpoints_that_are_something_else(change: Break, words: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=words):
        read_network(saved(change(nvidia_state(0)), tmp_path / "g.safetensors"))


def test_pickles_are_not_run(tmp_path: Path) -> None:
    path = tmp_path / "ffhq.pkl"
    path.write_bytes(b"\x80\x04N.")
    with pytest.raises(WeightsError, match="can hold code"):
        load_faces(path)
