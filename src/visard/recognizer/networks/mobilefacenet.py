"""MobileFaceNet, in its three published variants.

Chen, Liu, Gao, Han, "MobileFaceNets: efficient CNNs for accurate real-time face verification on mobile devices",
CCBR 2018. Published weights: TreB1eN/InsightFace_Pytorch (the attack papers' MobileFace has its layout),
Xiaoccer/MobileFaceNet_Pytorch (112 x 96) and foamliu/MobileFaceNet (ReLU6, one layer more).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from visard.recognizer.networks.blocks import ConvBN, relu, relu6
from visard.recognizer.networks.layout import flat, renamed
from visard.recognizer.networks.network import NARROW_FRAME, WHOLE_FRAME, Network, State

# (hidden channels, channels, stride)
BLOCKS = (
    (128, 64, 2),
    *[(128, 64, 1)] * 4,
    (256, 128, 2),
    *[(256, 128, 1)] * 6,
    (512, 128, 2),
    *[(256, 128, 1)] * 2,
)


@dataclass(frozen=True, slots=True)
class Variant:
    """What differs: the rectifiers, a 1x1 layer in the stem, the last map's size, the output and its bias."""

    act: Callable[[int], nn.Module] = nn.PReLU
    stem_act: Callable[[int], nn.Module] = nn.PReLU
    pointwise: bool = False
    last: tuple[int, int] = (7, 7)
    dim: int = 128
    bias: bool = False


class Block(nn.Module):
    """Widen by 1x1 filters, filter each channel by 3x3, narrow by 1x1; added to its input where shapes agree."""

    def __init__(self, inputs: int, hidden: int, channels: int, stride: int, act: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.expand = ConvBN(inputs, hidden, 1, act=act)
        self.depthwise = ConvBN(hidden, hidden, 3, stride=stride, padding=1, groups=hidden, act=act)
        self.project = ConvBN(hidden, channels, 1)
        self.residual = stride == 1 and inputs == channels

    def forward(self, x: Tensor) -> Tensor:
        branch: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + branch if self.residual else branch


class MobileFaceNet(nn.Module):
    """(N, 3, 112, 112), or 112 x 96, -> (N, D)."""

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        self.conv = ConvBN(3, 64, 3, stride=2, padding=1, act=variant.act)
        self.depthwise = ConvBN(64, 64, 3, padding=1, groups=64, act=variant.stem_act)
        self.pointwise = ConvBN(64, 64, 1, act=variant.stem_act) if variant.pointwise else nn.Identity()
        inputs = [64, *(channels for _, channels, _ in BLOCKS[:-1])]
        self.blocks = nn.Sequential(*(Block(n, *block, variant.act) for n, block in zip(inputs, BLOCKS, strict=True)))
        self.widen = ConvBN(128, 512, 1, act=variant.act)
        self.pool = ConvBN(512, 512, variant.last, groups=512)  # a weighted mean of each channel's map
        self.fc = nn.Linear(512, variant.dim, bias=variant.bias)
        self.norm = nn.BatchNorm1d(variant.dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.pointwise(self.depthwise(self.conv(x))))  # (N, 128, 7, 7)
        x = self.pool(self.widen(x)).flatten(1)  # (N, 512, 1, 1) -> (N, 512)
        embeddings: Tensor = self.norm(self.fc(x))
        return embeddings


_XIAOCCER = [
    (r"conv1\.prelu\.", "conv.act."),
    (r"conv1\.", "conv."),
    (r"dw_conv1\.prelu\.", "depthwise.act."),
    (r"dw_conv1\.", "depthwise."),
    *(
        (rf"blocks\.(\d+)\.conv\.{i}\.", rf"blocks.\1.{layer}.")
        for i, layer in enumerate(
            f"{part}.{layer}" for part in ("expand", "depthwise", "project") for layer in ("conv", "bn", "act")
        )
    ),
    (r"conv2\.prelu\.", "widen.act."),
    (r"conv2\.", "widen."),
    (r"linear7\.", "pool."),
    (r"linear1\.conv\.", "fc."),
    (r"linear1\.bn\.", "norm."),
]
_FOAMLIU = [
    (r"conv1\.0\.", "conv.conv."),
    (r"conv1\.1\.", "conv.bn."),
    (r"dw_conv\.depthwise\.", "depthwise.conv."),
    (r"dw_conv\.bn1\.", "depthwise.bn."),
    (r"dw_conv\.pointwise\.", "pointwise.conv."),
    (r"dw_conv\.bn2\.", "pointwise.bn."),
    (r"features\.(\d+)\.conv\.0\.0\.", r"blocks.\1.expand.conv."),
    (r"features\.(\d+)\.conv\.0\.1\.", r"blocks.\1.expand.bn."),
    (r"features\.(\d+)\.conv\.1\.0\.", r"blocks.\1.depthwise.conv."),
    (r"features\.(\d+)\.conv\.1\.1\.", r"blocks.\1.depthwise.bn."),
    (r"features\.(\d+)\.conv\.2\.", r"blocks.\1.project.conv."),
    (r"features\.(\d+)\.conv\.3\.", r"blocks.\1.project.bn."),
    (r"conv2\.0\.", "widen.conv."),
    (r"conv2\.1\.", "widen.bn."),
    (r"gdconv\.depthwise\.", "pool.conv."),
    (r"gdconv\.bn\.", "pool.bn."),
    (r"conv3\.", "fc."),
    (r"bn\.", "norm."),
]
# names of the groups of blocks there, with the number of blocks each has
_TREB1EN_GROUPS = {"conv_23": 1, "conv_3": 4, "conv_34": 1, "conv_4": 6, "conv_45": 1, "conv_5": 2}
_TREB1EN_BLOCKS = [
    rf"{group}\." if count == 1 else rf"{group}\.model\.{i}\."
    for group, count in _TREB1EN_GROUPS.items()
    for i in range(count)
]
_TREB1EN = [
    (r"conv1\.prelu\.", "conv.act."),
    (r"conv1\.", "conv."),
    (r"conv2_dw\.prelu\.", "depthwise.act."),
    (r"conv2_dw\.", "depthwise."),
    *(
        (rf"{block}{theirs}\.", f"blocks.{i}.{ours}.")
        for i, block in enumerate(_TREB1EN_BLOCKS)
        for theirs, ours in (
            (r"conv\.prelu", "expand.act"),
            ("conv", "expand"),
            (r"conv_dw\.prelu", "depthwise.act"),
            ("conv_dw", "depthwise"),
            ("project", "project"),
        )
    ),
    (r"conv_6_sep\.prelu\.", "widen.act."),
    (r"conv_6_sep\.", "widen."),
    (r"conv_6_dw\.", "pool."),
    (r"linear\.", "fc."),
    (r"bn\.", "norm."),
]


def convert(state: State) -> dict[str, Tensor]:
    """From any of the three published layouts, told by a name that the other two lack."""
    if "linear7.conv.weight" in state:
        return flat(renamed(state, _XIAOCCER), "fc.weight")
    if "gdconv.depthwise.weight" in state:
        return flat(renamed(state, _FOAMLIU), "fc.weight")
    if "conv_6_dw.conv.weight" in state:
        return renamed(state, _TREB1EN)
    return dict(state)


PAPER = "Chen et al., CCBR 2018"
_RELU6 = Variant(act=relu6, stem_act=relu, pointwise=True, bias=True)

NETWORKS = (
    Network(
        "mobilefacenet", partial(MobileFaceNet, Variant(dim=512)), convert, (112, 112), WHOLE_FRAME,
        (127.5,) * 3, (127.5,) * 3, 512, PAPER,
    ),
    Network(
        "mobilefacenet-112x96", partial(MobileFaceNet, Variant(last=(7, 6))), convert, (112, 96), NARROW_FRAME,
        (127.5,) * 3, (128.0,) * 3, 128, PAPER,
    ),
    Network(
        "mobilefacenet-relu6", partial(MobileFaceNet, _RELU6), convert, (112, 112), WHOLE_FRAME,
        (123.675, 116.28, 103.53), (58.395, 57.12, 57.375), 128, PAPER,
    ),
)  # fmt: skip
