"""The networks are the published ones: shapes, and numbers of weights counted by hand."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from visard.generator.advfaces import Discriminator, Generator
from visard.generator.apf import UNet
from visard.generator.latent_distance import EncoderDecoder


def weights(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def generator_weights(inputs: int, w: int) -> int:
    """Convolutions without bias, two numbers a channel for each norm, one bias at the end."""
    down = 7 * 7 * inputs * w + 4 * 4 * w * 2 * w + 4 * 4 * 2 * w * 4 * w + 2 * (w + 2 * w + 4 * w)
    blocks = 3 * 2 * (3 * 3 * 4 * w * 4 * w + 2 * 4 * w)
    up = 5 * 5 * 4 * w * 2 * w + 5 * 5 * 2 * w * w + 2 * (2 * w + w)
    return down + blocks + up + 7 * 7 * w * 3 + 3


@pytest.mark.parametrize(("inputs", "width"), [(3, 64), (6, 64), (3, 16)])
def test_the_generators_weights(inputs: int, width: int) -> None:
    assert weights(Generator(inputs, width)) == generator_weights(inputs, width)


def test_the_papers_generator_has_five_million_weights() -> None:
    assert weights(Generator()) == 5_241_475


def test_the_discriminators_weights() -> None:
    """All convolutions but the first and the last have a batch norm in place of a bias."""
    widths = (3, 32, 64, 128, 256, 512)
    convolutions = sum(16 * a * b for a, b in pairwise(widths))
    assert weights(Discriminator()) == convolutions + 32 + 2 * (64 + 128 + 256 + 512) + 512 + 1


@pytest.mark.parametrize("make", [Generator, EncoderDecoder, UNet])
@pytest.mark.parametrize("size", [64, 68, 100])
def test_every_size_divisible_by_four(make: type[nn.Module], size: int) -> None:
    with torch.no_grad():
        out = make(width=2)(torch.rand(2, 3, size, size))
    assert out.shape == (2, 3, size, size)
    if make is not UNet:  # its output is clamped by the method
        assert float(out.abs().max()) < 1


@pytest.mark.parametrize(("size", "patches"), [(160, 5), (112, 3), (64, 2)])
def test_the_discriminator_judges_patches(size: int, patches: int) -> None:
    with torch.no_grad():
        assert Discriminator()(torch.rand(2, 3, size, size)).shape == (2, 1, patches, patches)


def test_the_norms_are_the_papers() -> None:
    """Per face and channel in encoder and blocks, per face in the decoder: a face's change is its own."""
    generator = Generator(width=4).train()
    kinds = {part: {type(m) for m in getattr(generator, part).modules()} for part in ("encoder", "blocks", "decoder")}
    assert nn.InstanceNorm2d in kinds["encoder"] & kinds["blocks"]
    assert nn.GroupNorm in kinds["decoder"]
    assert all(m.num_groups == 1 for m in generator.modules() if isinstance(m, nn.GroupNorm))
    faces = torch.rand(3, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(generator(faces)[1:2], generator(faces[1:2]))


def test_the_blocks_mirror_their_edges() -> None:
    """A flat picture stays flat: no border of zeros shows."""
    generator = Generator(width=4)
    flat = torch.rand(1, 16, 1, 1).expand(-1, -1, 8, 8)
    with torch.no_grad():
        out = generator.blocks[0].branch[0](flat)
    assert float((out - out[..., :1, :1]).abs().max()) < 1e-6


def test_the_last_layer_begins_small() -> None:
    with torch.no_grad():
        assert float(Generator()(torch.rand(1, 3, 64, 64)).abs().max()) < 0.3
