"""ResNet-50 and SENet-50 as trained on VGGFace2.

Cao, Shen, Xie, Parkhi, Zisserman, "VGGFace2: a dataset for recognising faces across pose and age", FG 2018; He,
Zhang, Ren, Sun, "Deep residual learning for image recognition", CVPR 2016; Hu, Shen, Sun, "Squeeze-and-excitation
networks", CVPR 2018. Published layouts: cydonia999/VGGFace2-pytorch (from Caffe, BGR) and the authors' own (from
MatConvNet, RGB: the first layer is turned to BGR), the latter also with a last layer of 128 or 256 outputs.
"""

from collections.abc import Callable
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from visard.recognizer.networks.blocks import SqueezeExcite
from visard.recognizer.networks.layout import flat, renamed, swapped_channels
from visard.recognizer.networks.network import VGGFACE2_CROP, Network, State

STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))  # (channels of the 3x3 filters, blocks)


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 filters, perhaps squeeze-and-excitation, and a shortcut; the first filters have the stride."""

    def __init__(self, inputs: int, width: int, stride: int, *, se: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, stride, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.se = SqueezeExcite(4 * width, bias=True) if se else nn.Identity()
        self.downsample: nn.Module = nn.Identity()
        if inputs != 4 * width:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width)
            )

    def forward(self, x: Tensor) -> Tensor:
        branch = F.relu(self.bn1(self.conv1(x)))
        branch = F.relu(self.bn2(self.conv2(branch)))
        branch = self.se(self.bn3(self.conv3(branch)))
        return F.relu(branch + self.downsample(x))


class ResNet50(nn.Module):
    """(N, 3, 224, 224) -> (N, 2048), or (N, `dim`) through one more matrix."""

    def __init__(self, *, se: bool = False, dim: int | None = None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        inputs = 64
        for number, (width, count) in enumerate(STAGES, start=1):
            strides = [1 if number == 1 else 2] + [1] * (count - 1)
            blocks = []
            for stride in strides:
                blocks.append(Bottleneck(inputs, width, stride, se=se))
                inputs = 4 * width
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
        self.embedding = nn.Identity() if dim is None else nn.Linear(inputs, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.max_pool2d(x, 3, 2, ceil_mode=True)  # (N, 64, 56, 56)
        for number in range(1, len(STAGES) + 1):
            x = self.get_submodule(f"layer{number}")(x)
        embeddings: Tensor = self.embedding(x.mean(dim=(2, 3)))  # (N, 2048, 7, 7) -> (N, 2048)
        return embeddings


# MatConvNet counts its groups of layers from the stem on (conv2 is layer1), and their blocks from 1
_OXFORD_PARTS = {
    "1x1_reduce": "conv1",
    "1x1_reduce_bn": "bn1",
    "3x3": "conv2",
    "3x3_bn": "bn2",
    "1x1_increase": "conv3",
    "1x1_increase_bn": "bn3",
    "1x1_down": "se.fc1",
    "1x1_up": "se.fc2",
    "1x1_proj": "downsample.0",
    "1x1_proj_bn": "downsample.1",
}
_OXFORD = [
    (r"conv1_7x7_s2_bn\.", "bn1."),
    (r"conv1_7x7_s2\.", "conv1."),
    (r"feat_extract\.", "embedding."),
    *(
        (rf"conv{group}_{block}_{theirs}\.", f"layer{group - 1}.{block - 1}.{ours}.")
        for group, (_, count) in enumerate(STAGES, start=2)
        for block in range(1, count + 1)
        for theirs, ours in _OXFORD_PARTS.items()
    ),
]
_CAFFE = [(r"(layer\d\.\d+\.)conv4\.", r"\1se.fc1."), (r"(layer\d\.\d+\.)conv5\.", r"\1se.fc2.")]


def convert(state: State) -> dict[str, Tensor]:
    """From either published layout; the classification layer is dropped."""
    ours = renamed(state, [*_OXFORD, *_CAFFE], drop=r"(fc|classifier)\.")
    if "conv1_7x7_s2.weight" in state:
        ours = swapped_channels(ours, "conv1.weight")
    return flat(ours, "embedding.weight")


def _network(name: str, build: Callable[[], nn.Module], dim: int) -> Network:
    return Network(
        name, build, convert, (224, 224), VGGFACE2_CROP, (91.4953, 103.8827, 131.0912), (1.0,) * 3, dim,
        "Cao et al., FG 2018", "BGR",
    )  # fmt: skip


NETWORKS = tuple(
    _network(f"{kind}-vggface2{suffix}", partial(ResNet50, se=kind == "senet50", dim=dim), dim or 2048)
    for kind in ("resnet50", "senet50")
    for suffix, dim in (("", None), ("-256", 256), ("-128", 128))
)
