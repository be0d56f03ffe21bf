"""The 20 layers of SphereFace, in the two published variants: SphereFace's and CosFace's.

Liu, Wen, Yu, Li, Raj, Song, "SphereFace: deep hypersphere embedding for face recognition", CVPR 2017; Wang et al.,
"CosFace: large margin cosine loss for deep face recognition", CVPR 2018. Published weights:
clcarwin/sphereface_pytorch (sphere20a) and MuggleWang/CosFace_pytorch (no biases inside the units).
"""

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn

from visard.recognizer.networks.blocks import initialize_deep
from visard.recognizer.networks.layout import renamed
from visard.recognizer.networks.network import NARROW_FRAME, Network, State

STAGES = ((64, 1), (128, 2), (256, 4), (512, 1))  # (channels, units)


class Unit(nn.Module):
    """Two rectified 3x3 filters, added to their input."""

    def __init__(self, channels: int, *, bias: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=bias)
        self.prelu1 = nn.PReLU(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=bias)
        self.prelu2 = nn.PReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        branch: Tensor = self.prelu2(self.conv2(self.prelu1(self.conv1(x))))
        return x + branch


class Sphere20(nn.Module):
    """(N, 3, 112, 96) -> (N, 512)."""

    def __init__(self, *, unit_bias: bool) -> None:
        super().__init__()
        inputs = 3
        for number, (channels, count) in enumerate(STAGES, start=1):
            stem = [nn.Conv2d(inputs, channels, 3, 2, 1), nn.PReLU(channels)]
            stage = nn.Sequential(*stem, *(Unit(channels, bias=unit_bias) for _ in range(count)))
            self.add_module(f"layer{number}", stage)
            inputs = channels
        self.fc = nn.Linear(512 * 7 * 6, 512)
        initialize_deep(self)

    def forward(self, x: Tensor) -> Tensor:
        for number in range(1, len(STAGES) + 1):
            x = self.get_submodule(f"layer{number}")(x)
        embeddings: Tensor = self.fc(x.flatten(1))  # (N, 512, 7, 6) -> (N, 512)
        return embeddings


def _sphereface_rules() -> Sequence[tuple[str, str]]:
    """There the convolutions of a stage are counted through: the stem's is 1, a unit's are 2 and 3, 4 and 5, ..."""
    rules = [(r"fc5\.", "fc.")]
    for number, (_, count) in enumerate(STAGES, start=1):
        rules += [(rf"conv{number}_1\.", f"layer{number}.0."), (rf"relu{number}_1\.", f"layer{number}.1.")]
        for unit in range(count):
            for half in (1, 2):
                theirs = f"{number}_{1 + 2 * unit + half}"
                rules.append((rf"conv{theirs}\.", f"layer{number}.{2 + unit}.conv{half}."))
                rules.append((rf"relu{theirs}\.", f"layer{number}.{2 + unit}.prelu{half}."))
    return rules


def convert(state: State) -> dict[str, Tensor]:
    """CosFace_pytorch's layout is the network's own; SphereFace's classification layer (fc6) is dropped."""
    return renamed(state, _sphereface_rules(), drop=r"fc6\.")


NETWORKS = (
    Network(
        "sphereface20", partial(Sphere20, unit_bias=True), convert, (112, 96), NARROW_FRAME,
        (127.5,) * 3, (128.0,) * 3, 512, "Liu et al., CVPR 2017", "BGR",
    ),
    Network(
        "cosface20", partial(Sphere20, unit_bias=False), convert, (112, 96), NARROW_FRAME,
        (127.5,) * 3, (127.5,) * 3, 512, "Wang et al., CVPR 2018",
    ),
)  # fmt: skip
