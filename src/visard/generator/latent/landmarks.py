"""Where the inner points of a face lie, differentiably: brows, nose, eyes and mouth, 51 points.

They are iBUG's 68 (Sagonas et al., ICCV workshops 2013) without the 17 of the jaw.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from visard.cloak import Faces
from visard.cloak.geometry import frames_of
from visard.errors import RecognizerError
from visard.face import Template, to_template
from visard.generator.file import foreign, halves, pack, read, unpack, wholes
from visard.generator.learner import window
from visard.recognizer.card import file_sha256
from visard.recognizer.onnx_graph import load_graph

POINTS, ALL_POINTS = 51, 68
EYES = slice(19, 25), slice(25, 31)
"""The points of the eye at the picture's left, and at its right."""
NOSE = slice(10, 19)
SHIPPED = Path(__file__).parents[1] / "weights" / "landmarks.safetensors"
_SIZE = 64
_FORMAT, _WHAT = "visard landmarks 1", "a landmark network"
_MIDDLE, _SPREAD = (56.0, 72.0), 20.0
# of the canonical frame: where PFLD's points move least when its crop is displaced by a few pixels
_PFLD = Template((112, 112), (-0.5, 13.0, 111.5, 125.0))


@dataclass(frozen=True, slots=True)
class Landmarker:
    """A `network` that takes crops of `template`, (N, 3, h, w) in [0, 1], to points (N, 51, 2) of the canonical frame,
    px; `sha256` of its file."""

    network: nn.Module
    template: Template
    sha256: str

    def points(self, faces: Faces) -> Tensor:
        """The points (N, 51, 2), x and y in the canonical frame, px, of `faces`; differentiable."""
        crops = to_template(faces.pixels, frames_of(faces), self.template)
        found: Tensor = self.network(crops.expand(-1, 3, -1, -1))
        return found


class LandmarkNetwork(nn.Module):
    """(N, 3, 64, 64) in [0, 1] -> points (N, 51, 2) of the canonical frame, px."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_conv(3, 16, 2), *_conv(16, 32, 2), *_conv(32, 32, 1), *_conv(32, 64, 2), *_conv(64, 48, 2), nn.Flatten(),
            nn.Linear(48 * (_SIZE // 16) ** 2, 2 * POINTS),
        )  # fmt: skip
        self.register_buffer("middle", torch.tensor(_MIDDLE), persistent=False)

    middle: Tensor

    def forward(self, crops: Tensor) -> Tensor:
        found: Tensor = self.layers(2 * crops - 1).view(-1, POINTS, 2)
        return self.middle + _SPREAD * found

    def to_bytes(self, steps: int, teacher: str) -> bytes:
        """Its file: trained in so many `steps` on the answers of the network whose file has the sha256 `teacher`."""
        return pack(_FORMAT, halves(self.state_dict()), {"steps": steps, "teacher": teacher})


class _Inner(nn.Module):
    """The inner points of a network that gives all 68 in units of its crop, edge to edge."""

    to_canonical: Tensor

    def __init__(self, network: nn.Module, template: Template) -> None:
        super().__init__()
        self.network, self.side = network, template.size[0]
        self.register_buffer("to_canonical", torch.from_numpy(template.to_canonical).float(), persistent=False)

    def forward(self, crops: Tensor) -> Tensor:
        found = self.network(crops).view(-1, ALL_POINTS, 2)[:, ALL_POINTS - POINTS :] * self.side - 0.5
        points: Tensor = found @ self.to_canonical[:, :2].T + self.to_canonical[:, 2]
        return points


@cache
def shipped_landmarks() -> Landmarker:
    """The small one that comes with visard."""
    return load_landmarks(SHIPPED)


def load_landmarks(path: Path) -> Landmarker:
    """The landmark network in a file that visard's training wrote; raises ``CloakError`` when there is none."""
    data = read(path)
    weights, _ = unpack(data, _FORMAT, str(path), _WHAT)
    network = LandmarkNetwork()
    try:
        network.load_state_dict(wholes(weights))
    except RuntimeError as error:
        raise foreign(str(path), _WHAT) from error
    return Landmarker(network.eval().requires_grad_(requires_grad=False), window(_SIZE), file_sha256(path))


def onnx_landmarks(path: Path, template: Template = _PFLD) -> Landmarker:
    """A network of 68 points in an ONNX file, such as PFLD's (Guo et al. 2019), which takes crops of `template` in
    [0, 1], RGB, and gives points in units of the crop; raises ``RecognizerError`` and its kin when it is another."""
    network = load_graph(path, size=template.size)
    with torch.no_grad():
        found = network(torch.zeros(2, 3, *template.size))
    if found.numel() != 2 * 2 * ALL_POINTS:
        raise RecognizerError(f"{path.name} gives {found[0].numel()} numbers; give a network of {ALL_POINTS} points.")
    return Landmarker(_Inner(network, template).eval(), template, file_sha256(path))


def _conv(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.LeakyReLU(0.1),
    ]
