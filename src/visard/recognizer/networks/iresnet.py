"""The improved residual networks of ArcFace and its successors, IR-18 to IR-152, and IR-SE-50.

Deng, Guo, Xue, Zafeiriou, "ArcFace: additive angular margin loss for deep face recognition", CVPR 2019. Three
families differ in their units: InsightFace (MagFace uses the same), AdaFace, and the older one of TreB1eN's
InsightFace_Pytorch, which face.evoLVe and the attack papers' IR152 and IRSE50 share.
"""

import re
from collections.abc import Callable
from functools import partial
from typing import Literal

from torch import Tensor, nn

from visard.recognizer.networks.blocks import ConvBN, SqueezeExcite
from visard.recognizer.networks.layout import renamed, unwrapped
from visard.recognizer.networks.network import WHOLE_FRAME, Network, State

Family = Literal["insightface", "adaface", "evolve"]

WIDTHS = (64, 128, 256, 512)
DEPTHS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 14, 3),
    100: (3, 13, 30, 3),
    152: (3, 8, 36, 3),
}
"""Units per width, by the number of layers; AdaFace calls the 100 layers 101."""


class Unit(nn.Module):
    """Normalize, 3x3 filters, rectify, 3x3 filters with the stride, normalize; plus a shortcut."""

    def __init__(self, inputs: int, width: int, stride: int, family: Family, *, se: bool, eps: float) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs, eps)
        self.conv1 = nn.Conv2d(inputs, width, 3, padding=1, bias=False)
        self.bn2 = nn.Identity() if family == "evolve" else nn.BatchNorm2d(width, eps)
        self.act = nn.PReLU(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width, eps)
        self.se = SqueezeExcite(width, bias=False) if se else nn.Identity()
        self.shortcut: nn.Module = nn.Identity()
        if inputs != width or (stride != 1 and family == "insightface"):
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width, eps))
        elif stride != 1:
            self.shortcut = nn.MaxPool2d(1, stride)  # every second pixel

    def forward(self, x: Tensor) -> Tensor:
        branch = self.act(self.bn2(self.conv1(self.bn1(x))))
        summed: Tensor = self.se(self.bn3(self.conv2(branch))) + self.shortcut(x)
        return summed


class Output(nn.Module):
    """(N, 512, 7, 7) -> (N, 512): normalize, drop, one matrix, normalize."""

    def __init__(self, family: Family, eps: float) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(512, eps)
        self.dropout = nn.Dropout(0.4)
        self.fc = nn.Linear(512 * 7 * 7, 512)
        self.norm = nn.BatchNorm1d(512, eps, affine=family != "adaface")
        if family == "insightface":
            self.norm.weight.requires_grad_(False)  # fixed at 1 there

    def forward(self, x: Tensor) -> Tensor:
        embeddings: Tensor = self.norm(self.fc(self.dropout(self.bn(x)).flatten(1)))
        return embeddings


class IResNet(nn.Module):
    """(N, 3, 112, 112) -> (N, 512). `eps`: of batch normalization, 2e-5 in MagFace's networks."""

    def __init__(self, layers: int, family: Family, *, se: bool = False, eps: float = 1e-5) -> None:
        super().__init__()
        self.stem = ConvBN(3, 64, 3, padding=1, eps=eps, act=nn.PReLU)
        units, inputs = [], 64
        for width, count in zip(WIDTHS, DEPTHS[layers], strict=True):
            for i in range(count):
                units.append(Unit(inputs, width, 1 if i else 2, family, se=se, eps=eps))
                inputs = width
        self.units = nn.Sequential(*units)
        self.output = Output(family, eps)

    def forward(self, x: Tensor) -> Tensor:
        embeddings: Tensor = self.output(self.units(self.stem(x)))
        return embeddings


_INSIGHTFACE = [
    (r"conv1\.", "stem.conv."),
    (r"bn1\.", "stem.bn."),
    (r"prelu\.", "stem.act."),
    (r"bn2\.", "output.bn."),
    (r"fc\.", "output.fc."),
    (r"features\.", "output.norm."),
    (r"(units\.\d+\.)prelu\.", r"\1act."),
    (r"(units\.\d+\.)downsample\.", r"\1shortcut."),
]
_SEQUENTIAL = [
    (r"input_layer\.0\.", "stem.conv."),
    (r"input_layer\.1\.", "stem.bn."),
    (r"input_layer\.2\.", "stem.act."),
    (r"output_layer\.0\.", "output.bn."),
    (r"output_layer\.3\.", "output.fc."),
    (r"output_layer\.4\.", "output.norm."),
    (r"body\.(\d+)\.shortcut_layer\.", r"units.\1.shortcut."),
]


def _unit_rules(*layers: str) -> list[tuple[str, str]]:
    return [(rf"body\.(\d+)\.res_layer\.{i}\.", rf"units.\1.{layer}.") for i, layer in enumerate(layers)]


_ADAFACE = [*_SEQUENTIAL, *_unit_rules("bn1", "conv1", "bn2", "act", "conv2", "bn3")]
_EVOLVE = [*_SEQUENTIAL, *_unit_rules("bn1", "conv1", "act", "conv2", "bn3", "se")]


def _convert_insightface(state: State) -> dict[str, Tensor]:
    """InsightFace's layout and MagFace's: there the network hangs below "features", beside its head."""
    if not any(key.startswith("features.weight") for key in state):
        state = unwrapped(state, ("features.", "module."))
    found = (re.match(r"layer(\d)\.(\d+)\.", key) for key in state)
    blocks = sorted({(int(m[1]), int(m[2])) for m in found if m})
    numbered = [(rf"layer{layer}\.{i}\.", f"units.{unit}.") for unit, (layer, i) in enumerate(blocks)]
    return renamed(renamed(state, numbered), _INSIGHTFACE)


_CONVERT: dict[Family, Callable[[State], dict[str, Tensor]]] = {
    "insightface": _convert_insightface,
    "adaface": lambda state: renamed(state, _ADAFACE),
    "evolve": lambda state: renamed(state, _EVOLVE),
}


def _network(
    name: str,
    layers: int,
    family: Family,
    paper: str,
    *,
    se: bool = False,
    eps: float = 1e-5,
    channels: Literal["RGB", "BGR"] = "RGB",
    mean: float = 127.5,
    std: float = 127.5,
) -> Network:
    build = partial(IResNet, layers, family, se=se, eps=eps)
    return Network(
        name, build, _CONVERT[family], (112, 112), WHOLE_FRAME, (mean,) * 3, (std,) * 3, 512, paper, channels
    )


_ADAFACE_PAPER = "Kim, Jain, Liu, CVPR 2022"
_ARCFACE_PAPER = "Deng et al., CVPR 2019"
_MAGFACE_PAPER = "Meng, Zhao, Huang, Zhou, CVPR 2021"

NETWORKS = (
    *(_network(f"iresnet{n}", n, "insightface", _ARCFACE_PAPER) for n in (18, 34, 50, 100)),
    *(
        _network(f"magface-iresnet{n}", n, "insightface", _MAGFACE_PAPER, channels="BGR", mean=0, std=255, eps=2e-5)
        for n in (18, 50, 100)
    ),
    *(
        _network(f"adaface-ir{n}", layers, "adaface", _ADAFACE_PAPER, channels="BGR")
        for n, layers in ((18, 18), (50, 50), (101, 100))
    ),
    *(_network(f"ir{n}", n, "evolve", _ARCFACE_PAPER) for n in (50, 100, 152)),
    _network("ir-se50", 50, "evolve", _ARCFACE_PAPER, se=True),
)
