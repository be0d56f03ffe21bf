"""FaceNet: Inception-ResNet-v1 with 512 outputs.

Schroff, Kalenichenko, Philbin, "FaceNet: a unified embedding for face recognition and clustering", CVPR 2015; the
network of Szegedy et al., "Inception-v4, Inception-ResNet and the impact of residual connections on learning",
AAAI 2017, as D. Sandberg trained it. Published weights: timesler/facenet-pytorch, VGGFace2 and CASIA-WebFace.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visard.recognizer.networks.blocks import ConvBN, relu
from visard.recognizer.networks.layout import renamed
from visard.recognizer.networks.network import MTCNN_CROP, Network, State

EPS = 1e-3  # of batch normalization in TensorFlow, where the weights come from

# an output's convolutions in order: (channels, kernel)
Chain = list[tuple[int, tuple[int, int]]]


def _conv(inputs: int, channels: int, kernel: int | tuple[int, int], stride: int = 1, *, same: bool = False) -> ConvBN:
    height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = (height // 2, width // 2) if same else 0
    return ConvBN(inputs, channels, kernel, stride=stride, padding=padding, eps=EPS, act=relu)


class Residual(nn.Module):
    """Parallel chains of convolutions, joined, brought back to the width by 1x1 filters, scaled and added."""

    def __init__(self, width: int, chains: list[Chain], scale: float, *, activated: bool = True) -> None:
        super().__init__()
        self.chains = len(chains)
        self.scale, self.activated = scale, activated
        for number, chain in enumerate(chains):
            inputs = [width, *(channels for channels, _ in chain[:-1])]
            convs = [_conv(n, channels, k, same=True) for n, (channels, k) in zip(inputs, chain, strict=True)]
            # the published names: a chain of one is the convolution itself
            self.add_module(f"branch{number}", convs[0] if len(convs) == 1 else nn.Sequential(*convs))
        self.conv2d = nn.Conv2d(sum(chain[-1][0] for chain in chains), width, 1)

    def forward(self, x: Tensor) -> Tensor:
        joined = torch.cat([self.get_submodule(f"branch{i}")(x) for i in range(self.chains)], dim=1)
        added: Tensor = x + self.scale * self.conv2d(joined)
        return F.relu(added) if self.activated else added


class Reduction(nn.Module):
    """Parallel branches of half the resolution, joined; the last one is a 3x3 maximum."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        for number, branch in enumerate(branches):
            self.add_module(f"branch{number}", branch)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([*(branch(x) for branch in self.children()), F.max_pool2d(x, 3, 2)], dim=1)


def _block35() -> Residual:
    return Residual(256, [[(32, (1, 1))], [(32, (1, 1)), (32, (3, 3))], [(32, (1, 1)), *[(32, (3, 3))] * 2]], 0.17)


def _block17() -> Residual:
    return Residual(896, [[(128, (1, 1))], [(128, (1, 1)), (128, (1, 7)), (128, (7, 1))]], 0.10)


def _block8(scale: float = 0.20, *, activated: bool = True) -> Residual:
    chains: list[Chain] = [[(192, (1, 1))], [(192, (1, 1)), (192, (1, 3)), (192, (3, 1))]]
    return Residual(1792, chains, scale, activated=activated)


class InceptionResNetV1(nn.Module):
    """(N, 3, 160, 160) -> (N, 512)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv2d_1a = _conv(3, 32, 3, 2)
        self.conv2d_2a = _conv(32, 32, 3)
        self.conv2d_2b = _conv(32, 64, 3, same=True)
        self.conv2d_3b = _conv(64, 80, 1)
        self.conv2d_4a = _conv(80, 192, 3)
        self.conv2d_4b = _conv(192, 256, 3, 2)
        self.repeat_1 = nn.Sequential(*(_block35() for _ in range(5)))
        self.mixed_6a = Reduction(
            _conv(256, 384, 3, 2),
            nn.Sequential(_conv(256, 192, 1), _conv(192, 192, 3, same=True), _conv(192, 256, 3, 2)),
        )
        self.repeat_2 = nn.Sequential(*(_block17() for _ in range(10)))
        self.mixed_7a = Reduction(
            nn.Sequential(_conv(896, 256, 1), _conv(256, 384, 3, 2)),
            nn.Sequential(_conv(896, 256, 1), _conv(256, 256, 3, 2)),
            nn.Sequential(_conv(896, 256, 1), _conv(256, 256, 3, same=True), _conv(256, 256, 3, 2)),
        )
        self.repeat_3 = nn.Sequential(*(_block8() for _ in range(5)))
        self.block8 = _block8(1.0, activated=False)
        self.dropout = nn.Dropout(0.6)
        self.last_linear = nn.Linear(1792, 512, bias=False)
        self.last_bn = nn.BatchNorm1d(512, eps=EPS)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv2d_2b(self.conv2d_2a(self.conv2d_1a(x)))  # (N, 64, 77, 77)
        x = self.conv2d_3b(F.max_pool2d(x, 3, 2))  # (N, 80, 38, 38)
        x = self.repeat_1(self.conv2d_4b(self.conv2d_4a(x)))  # (N, 256, 17, 17)
        x = self.repeat_2(self.mixed_6a(x))  # (N, 896, 8, 8)
        x = self.block8(self.repeat_3(self.mixed_7a(x)))  # (N, 1792, 3, 3)
        embeddings: Tensor = self.last_bn(self.last_linear(self.dropout(x.mean(dim=(2, 3)))))
        return embeddings


def convert(state: State) -> dict[str, Tensor]:
    """facenet-pytorch's layout is the network's own; its classification layer is dropped."""
    return renamed(state, [], drop=r"logits\.")


FACENET = Network(
    "facenet", InceptionResNetV1, convert, (160, 160), MTCNN_CROP, (127.5,) * 3, (128.0,) * 3, 512,
    "Schroff et al., CVPR 2015",
)  # fmt: skip
