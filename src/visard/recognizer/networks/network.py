"""What a network is to the rest of visard: how it is built, what it takes, which files fit it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from visard.face import Template

State = Mapping[str, Tensor]

WHOLE_FRAME = (0.0, 0.0, 112.0, 112.0)
# the middle 96 columns of the canonical frame: the 112 x 96 crop of SphereFace
NARROW_FRAME = (8.0, 0.0, 104.0, 112.0)
# MTCNN's box, which FaceNet's faces fill: the median over 300 ArcFace-aligned photos of calibration people (10th to
# 90th percentile of its width: 76 to 84)
MTCNN_CROP = (16.3, 12.6, 95.8, 118.8)
# VGGFace2's protocol: that box grown to 1.3 times its size, its shorter side made 256 px, the middle 224 px taken
VGGFACE2_CROP = (10.8, 20.5, 101.4, 111.1)


@dataclass(frozen=True, slots=True)
class Network:
    """A published network without its weights.

    `build` makes it, trainable, with fresh weights: (N, 3, h, w), normalized, to embeddings (N, `dim`), not of unit
    length. `convert` renames the entries of a published state dict, in any layout known for it, to the network's
    own; what it does not know it leaves alone. `input` (height, width), `crop`, `channels`, `mean` and `std` as on a
    ``Card``.
    """

    name: str
    build: Callable[[], nn.Module]
    convert: Callable[[State], dict[str, Tensor]]
    input: tuple[int, int]
    crop: tuple[float, float, float, float]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    dim: int
    paper: str
    channels: Literal["RGB", "BGR"] = "RGB"

    @property
    def template(self) -> Template:
        return Template(self.input, self.crop)


class Embedder(nn.Module):
    """A network behind its own input contract, trainable: faces (N, 3, h, w) in [0, 1], RGB, aligned to its
    `template` -> embeddings (N, D), not of unit length."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: Network, module: nn.Module | None = None) -> None:
        super().__init__()
        self.network = network.build() if module is None else module
        self.template = network.template
        self.dim = network.dim
        self.bgr = network.channels == "BGR"
        self.register_buffer("mean", torch.tensor(network.mean).view(1, 3, 1, 1) / 255, persistent=False)
        self.register_buffer("std", torch.tensor(network.std).view(1, 3, 1, 1) / 255, persistent=False)

    def forward(self, faces: Tensor) -> Tensor:
        faces = faces.flip(1) if self.bgr else faces
        embeddings: Tensor = self.network((faces - self.mean) / self.std)
        return embeddings
