"""Every network: its size, its shapes, its contract, and that it can be trained."""

from functools import cache

import pytest
import torch
from torch import Tensor, nn

from visard.errors import UnknownRecognizerError
from visard.recognizer.networks import Embedder, Network, find_network, network_names

# Parameters of the published networks, heads left out. From the files (F), from the authors' networks built from
# their code (C), or from a printed number: EdgeFace's README (in millions, two digits), torchvision's tables for
# ResNet-50 (25,557,032) and VGG-16 (138,357,544) and Cadene's for SE-ResNet-50 (28,088,024), each less its last layer.
PARAMETERS = {
    "adaface-ir101": 65_150_912,  # C
    "adaface-ir18": 24_020_352,  # C
    "adaface-ir50": 43_585_600,  # C
    "cosface20": 22_666_944,  # C
    "edgeface-base": 18_225_812,  # 18.23 million
    "edgeface-s-gamma-05": 3_652_520,  # 3.65 million
    "edgeface-xs": 2_242_620,  # F
    "edgeface-xs-gamma-06": 1_770_492,  # 1.77 million
    "edgeface-xxs": 1_244_744,  # 1.24 million
    "facenet": 27_910_327 - (512 * 8631 + 8631),  # C, with its 8631 classes
    "ir-se50": 43_797_696,  # C
    "ir100": 65_129_792,  # C
    "ir152": 70_737_600,  # C
    "ir50": 43_574_976,  # C
    "iresnet100": 65_156_160,  # C
    "iresnet18": 24_025_600,  # C
    "iresnet34": 34_139_328,  # C
    "iresnet50": 43_590_848,  # C
    "magface-iresnet100": 65_156_160,  # C
    "magface-iresnet18": 24_025_600,  # C
    "magface-iresnet50": 43_590_848,  # C
    "mobilefacenet": 1_200_512,  # C
    "mobilefacenet-112x96": 999_552,  # F
    "mobilefacenet-relu6": 999_936,  # F
    "model-a": 25_745_536,  # the paper's layers at 112 px
    "resnet50-vggface2": 25_557_032 - (2048 * 1000 + 1000),
    "resnet50-vggface2-128": 25_557_032 - (2048 * 1000 + 1000) + 2048 * 128,
    "resnet50-vggface2-256": 25_557_032 - (2048 * 1000 + 1000) + 2048 * 256,
    "senet50-vggface2": 28_088_024 - (2048 * 1000 + 1000),
    "senet50-vggface2-128": 28_088_024 - (2048 * 1000 + 1000) + 2048 * 128,
    "senet50-vggface2-256": 28_088_024 - (2048 * 1000 + 1000) + 2048 * 256,
    "small-densenet": 750_032,  # ours, under a million
    "small-resnet": 923_776,  # ours, under a million
    "small-vgg": 724_064,  # ours, under a million
    "sphereface20": 22_670_656,  # C
    "vgg-face": 138_357_544 - (4096 * 1000 + 1000),
}
SMALL = (
    "edgeface-xxs",
    "edgeface-xs-gamma-06",
    "mobilefacenet",
    "mobilefacenet-112x96",
    "mobilefacenet-relu6",
    "small-densenet",
    "small-resnet",
    "small-vgg",
)


@pytest.fixture(params=network_names())
def network(request: pytest.FixtureRequest) -> Network:
    return find_network(request.param)


@cache
def weightless(network: Network) -> nn.Module:
    with torch.device("meta"):
        return network.build()


def test_every_network_is_pinned() -> None:
    assert network_names() == tuple(sorted(PARAMETERS))


def test_parameters(network: Network) -> None:
    assert sum(p.numel() for p in weightless(network).parameters()) == PARAMETERS[network.name]


def test_shapes(network: Network) -> None:
    faces = torch.empty(2, 3, *network.input, device="meta")
    assert weightless(network).eval()(faces).shape == (2, network.dim)
    assert network.template.size == network.input
    assert network.paper


def test_own_layout_is_left_alone(network: Network) -> None:
    """What visard saved, visard loads."""
    own = weightless(network).state_dict()
    assert {key: value.shape for key, value in network.convert(own).items()} == {k: v.shape for k, v in own.items()}


@pytest.mark.parametrize("name", SMALL)
def test_training_from_scratch(name: str) -> None:
    """Every parameter gets a gradient, and batch normalization follows the batch."""
    torch.manual_seed(0)
    network = find_network(name)
    module = network.build().train()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    faces = torch.randn(4, 3, *network.input, generator=torch.Generator().manual_seed(1))
    nn.functional.cross_entropy(module(faces), torch.arange(4)).backward()
    assert [key for key, p in module.named_parameters() if p.grad is None or not p.grad.any()] == []
    assert [key for key, value in module.named_buffers() if torch.equal(value, before[key])] == []


def test_margins_scale_stays_fixed() -> None:
    """ArcFace's networks hold the last normalization's weights at 1."""
    frozen = [n for n, p in weightless(find_network("iresnet18")).named_parameters() if not p.requires_grad]
    assert frozen == ["output.norm.weight"]


def test_names_are_found() -> None:
    assert find_network("facenet").dim == 512
    with pytest.raises(UnknownRecognizerError, match=r'No network is called "facenets"\. Did you mean "facenet"\?'):
        find_network("facenets")
    with pytest.raises(UnknownRecognizerError, match=r"There are: adaface-ir101, .*, vgg-face\."):
        find_network("?")


class Means(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3))


@pytest.mark.parametrize(("name", "bgr"), [("facenet", False), ("resnet50-vggface2", True)])
def test_embedder_normalizes_as_the_network_was_trained(name: str, bgr: bool) -> None:
    network = find_network(name)
    color = torch.tensor([200.0, 100.0, 50.0])
    faces = (color / 255).view(1, 3, 1, 1).expand(1, 3, *network.input)
    expected = ((color.flip(0) if bgr else color) - torch.tensor(network.mean)) / torch.tensor(network.std)
    embedder = Embedder(network, Means())
    torch.testing.assert_close(embedder(faces)[0], expected, atol=1e-4, rtol=0)
    assert embedder.template == network.template
