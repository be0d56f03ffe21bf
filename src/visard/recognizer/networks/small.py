"""The small networks that come with visard: under a million parameters each, and unlike each other on purpose,
because cloaks that fool unlike networks fool strangers more often.

Input (N, 3, 112, 112), (v - 127.5) / 127.5 for v in 0..255; output (N, D), not of unit length. Dense convolutions
throughout: on CPUs they are several times faster, forward and backward, than depthwise ones of the same accuracy.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from visard.recognizer.networks.network import NARROW_FRAME, WHOLE_FRAME, Network


class SmallNetwork(nn.Module):
    """A stem to 56 px, stages that end at 28, 14 and 7 px, and a head.

    The head is ArcFace's: each channel is weighted over the 7 x 7 places (a global depthwise convolution), then a
    linear layer. Chen et al., "MobileFaceNets", CCBR 2018, section 3.1.
    """

    def __init__(self, stem: nn.Module, stages: Sequence[nn.Module], channels: int, dim: int) -> None:
        super().__init__()
        self.stem = stem
        self.stages = nn.ModuleList(stages)
        self.pool = nn.Sequential(
            nn.Conv2d(channels, channels, 7, groups=channels, bias=False), nn.BatchNorm2d(channels), nn.Flatten()
        )
        self.output = nn.Linear(channels, dim)

    def features(self, x: Tensor) -> list[Tensor]:
        """The last feature map of each stage: (N, C, 28, 28), (N, C, 14, 14), (N, C, 7, 7)."""
        x = self.stem(x)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps

    def embed(self, last: Tensor) -> Tensor:
        """The embedding (N, D) from the last of the `features`."""
        embedding: Tensor = self.output(self.pool(last))
        return embedding

    def forward(self, x: Tensor) -> Tensor:
        return self.embed(self.features(x)[-1])


def small_resnet(dim: int) -> SmallNetwork:
    """Residual blocks with PReLU, as in the networks of the ArcFace family. He et al., CVPR 2016."""
    stages = [
        nn.Sequential(Residual(32, 48, halve=True)),
        nn.Sequential(Residual(48, 96, halve=True), Residual(96, 96)),
        nn.Sequential(Residual(96, 128, halve=True), Residual(128, 128)),
    ]
    return SmallNetwork(_conv(3, 32, stride=2, act=nn.PReLU(32)), stages, 128, dim)


def small_vgg(dim: int) -> SmallNetwork:
    """A plain chain of convolutions with SiLU, no shortcuts. Simonyan and Zisserman, ICLR 2015."""
    stages = [
        nn.Sequential(_conv(32, 64, stride=2), _conv(64, 64)),
        nn.Sequential(_conv(64, 96, stride=2), _conv(96, 96), _conv(96, 96)),
        nn.Sequential(_conv(96, 128, stride=2), _conv(128, 128), _conv(128, 128)),
    ]
    return SmallNetwork(_conv(3, 32, stride=2), stages, 128, dim)


def small_densenet(dim: int) -> SmallNetwork:
    """Every layer reads all layers of its stage before it; ReLU, mean pooling between stages. Huang et al., CVPR
    2017."""
    stages = [
        nn.Sequential(nn.AvgPool2d(2), Dense(32, growth=24, layers=3), _conv(104, 64, kernel=1, act=nn.ReLU())),
        nn.Sequential(nn.AvgPool2d(2), Dense(64, growth=32, layers=5), _conv(224, 96, kernel=1, act=nn.ReLU())),
        nn.Sequential(nn.AvgPool2d(2), Dense(96, growth=48, layers=5), _conv(336, 128, kernel=1, act=nn.ReLU())),
    ]
    return SmallNetwork(_conv(3, 32, kernel=5, stride=2, act=nn.ReLU()), stages, 128, dim)


class Residual(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut, which is a mean and a 1 x 1 convolution where the size changes."""

    def __init__(self, inputs: int, channels: int, halve: bool = False) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            _conv(inputs, channels, stride=2 if halve else 1, act=nn.PReLU(channels)),
            _conv(channels, channels, act=nn.Identity()),
        )
        self.shortcut = (
            nn.Sequential(nn.AvgPool2d(2), _conv(inputs, channels, kernel=1, act=nn.Identity()))
            if halve
            else nn.Identity()
        )
        self.act = nn.PReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = self.act(self.shortcut(x) + self.branch(x))
        return total


class Dense(nn.Module):
    """`layers` convolutions of `growth` channels, each on the input and all outputs before it: (N, C, H, W) ->
    (N, C + layers * growth, H, W)."""

    def __init__(self, inputs: int, growth: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_conv(inputs + i * growth, growth, act=nn.ReLU()) for i in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.cat([x, layer(x)], dim=1)
        return x


SMALL: dict[str, Callable[[int], SmallNetwork]] = {
    "small-resnet": small_resnet,
    "small-vgg": small_vgg,
    "small-densenet": small_densenet,
}


def _conv(
    inputs: int, channels: int, *, kernel: int = 3, stride: int = 1, act: nn.Module | None = None
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, channels, kernel, stride=stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(channels),
        act or nn.SiLU(),
    )


def _network(name: str, dim: int, crop: tuple[float, float, float, float]) -> Network:
    gray = (127.5, 127.5, 127.5)
    return Network(name, partial(SMALL[name], dim), dict, (112, 112), crop, gray, gray, dim, "visard")


# as visard's own were trained: each with its teacher's crop and dimension
NETWORKS = (
    _network("small-resnet", 128, WHOLE_FRAME),
    _network("small-vgg", 256, NARROW_FRAME),
    _network("small-densenet", 256, WHOLE_FRAME),
)
