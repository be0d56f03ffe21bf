"""VGG-16, and with it VGG-Face: the descriptor is the output of fc7, rectified.

Parkhi, Vedaldi, Zisserman, "Deep face recognition", BMVC 2015; the network of Simonyan, Zisserman, "Very deep
convolutional networks for large-scale image recognition", ICLR 2015. Published layouts: MatConvNet's names (RGB),
torchvision's (RGB), and the two conversions of the authors' Torch file (BGR: the first layer is turned to RGB).
"""

import torch.nn.functional as F
from torch import Tensor, nn

from visard.recognizer.networks.blocks import initialize_deep
from visard.recognizer.networks.layout import renamed, swapped_channels
from visard.recognizer.networks.network import VGGFACE2_CROP, Network, State

GROUPS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # (channels, convolutions); a maximum after each
_NAMES = [f"conv{group}_{i}" for group, (_, count) in enumerate(GROUPS, start=1) for i in range(1, count + 1)]
# where these convolutions stand when rectifiers and maxima are counted too
_POSITIONS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)


class VGG16(nn.Module):
    """(N, 3, 224, 224) -> (N, 4096), not negative."""

    def __init__(self) -> None:
        super().__init__()
        widths = [width for width, count in GROUPS for _ in range(count)]
        for name, inputs, width in zip(_NAMES, [3, *widths], widths, strict=False):
            self.add_module(name, nn.Conv2d(inputs, width, 3, padding=1))
        self.fc6 = nn.Linear(512 * 7 * 7, 4096)
        self.fc7 = nn.Linear(4096, 4096)
        self.dropout = nn.Dropout(0.5)
        initialize_deep(self)

    def forward(self, x: Tensor) -> Tensor:
        for group, (_, count) in enumerate(GROUPS, start=1):
            for i in range(1, count + 1):
                x = F.relu(self.get_submodule(f"conv{group}_{i}")(x))
            x = F.max_pool2d(x, 2)
        x = x.flatten(1)  # (N, 512, 7, 7) -> (N, 25088)
        x = self.dropout(F.relu(self.fc6(x)))
        descriptor: Tensor = self.dropout(F.relu(self.fc7(x)))
        return descriptor


_TORCH = [
    *((rf"{position}\.", f"{name}.") for position, name in zip(_POSITIONS, _NAMES, strict=True)),
    (r"32\.1\.", "fc6."),
    (r"35\.1\.", "fc7."),
    (r"conv_(\d_\d)\.", r"conv\1."),
]
_TORCHVISION = [
    *((rf"features\.{position}\.", f"{name}.") for position, name in zip(_POSITIONS, _NAMES, strict=True)),
    (r"classifier\.0\.", "fc6."),
    (r"classifier\.3\.", "fc7."),
]


def convert(state: State) -> dict[str, Tensor]:
    """From any published layout; the classification layer is dropped."""
    ours = renamed(state, [*_TORCH, *_TORCHVISION], drop=r"(fc8|38\.1|classifier\.6)\.")
    if "0.weight" in state or "conv_1_1.weight" in state:
        ours = swapped_channels(ours, "conv1_1.weight")
    return ours


VGG_FACE = Network(
    "vgg-face", VGG16, convert, (224, 224), VGGFACE2_CROP, (129.1863, 104.7624, 93.5940), (1.0,) * 3, 4096,
    "Parkhi et al., BMVC 2015",
)  # fmt: skip
