"""dlib's face recognition ResNet, parsed from its ``.dat`` file into a differentiable network.

29 convolutions: 7x7/2 stem, then residual blocks of 32, 64, 128, 256 and 256 channels; every affine layer (a folded
batch normalization) is folded further into its convolution. King, "High quality face recognition with deep metric
learning", dlib.net, 2017. The weights are in the public domain (CC0).
"""

import struct
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visard.errors import WeightsError

# (channels, whether the block halves the picture), in forward order
BLOCKS = (
    *[(32, False)] * 3,
    (64, True),
    *[(64, False)] * 3,
    (128, True),
    *[(128, False)] * 2,
    (256, True),
    *[(256, False)] * 2,
    (256, True),
)
# integers between a layer's name and its tensor: a dense layer states its outputs and inputs first
_LEADING_INTEGERS = {b"con_4": 0, b"affine_": 0, b"fc_2": 2}


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut. A halving block's shortcut is a 2x2 mean, and the sum takes the larger
    of every dimension, absent entries being 0."""

    def __init__(self, inputs: int, channels: int, halves: bool) -> None:
        super().__init__()
        self.halves = halves
        self.first = (
            nn.Conv2d(inputs, channels, 3, stride=2, padding=0) if halves else nn.Conv2d(inputs, channels, 3, padding=1)
        )
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        branch = self.second(F.relu(self.first(x)))
        if not self.halves:
            return F.relu(branch + x)
        shortcut = F.avg_pool2d(x, 2)
        height = max(branch.shape[2], shortcut.shape[2])
        width = max(branch.shape[3], shortcut.shape[3])
        channels = max(branch.shape[1], shortcut.shape[1])
        return F.relu(_grow(branch, channels, height, width) + _grow(shortcut, channels, height, width))


def _grow(x: Tensor, channels: int, height: int, width: int) -> Tensor:
    missing = (0, width - x.shape[3], 0, height - x.shape[2], 0, channels - x.shape[1])
    return F.pad(x, missing) if any(missing) else x


class DlibResNet(nn.Module):
    """(N, 3, 150, 150) RGB, (v - mean) / 256 for v in 0..255 -> (N, 128), not of unit length."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 7, stride=2)
        inputs = [32, *(channels for channels, _ in BLOCKS[:-1])]
        self.blocks = nn.Sequential(
            *(Block(n, channels, halves) for n, (channels, halves) in zip(inputs, BLOCKS, strict=True))
        )
        self.output = nn.Linear(256, 128, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.stem(x)), 3, stride=2)  # (N, 32, 35, 35)
        pooled: Tensor = self.output(self.blocks(x).mean(dim=(2, 3)))
        return pooled


def load_dlib_resnet(path: Path) -> DlibResNet:
    """The network in dlib's ``dlib_face_recognition_resnet_model_v1.dat``; raises ``WeightsError``."""
    data = path.read_bytes()
    network = DlibResNet()
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    try:
        filters, affines = list(_tensors(data, b"con_4")), list(_tensors(data, b"affine_"))
        (output,) = _tensors(data, b"fc_2")
        with torch.no_grad():
            for conv, packed, affine in zip(convolutions, filters, affines, strict=True):
                _fill(conv, packed, affine)
            network.output.weight.copy_(output.view(256, 128).T)
    except (ValueError, RuntimeError, struct.error, IndexError) as error:
        raise WeightsError(f"{path} is not dlib's face recognition ResNet, or is damaged ({error}).") from error
    return network.eval().requires_grad_(False)


def _fill(conv: nn.Conv2d, packed: Tensor, affine: Tensor) -> None:
    """Filters, then biases, are packed in one tensor; the affine layer behind is gamma, then beta."""
    weight, bias = packed.split([conv.weight.numel(), conv.out_channels])
    gamma, beta = affine.view(2, conv.out_channels)
    conv.weight.copy_(weight.view_as(conv.weight) * gamma[:, None, None, None])
    conv.load_state_dict({"weight": conv.weight, "bias": bias * gamma + beta})


def _tensors(data: bytes, layer: bytes) -> Iterator[Tensor]:
    """The parameters of every layer of a kind, in forward order, flat. They follow the layer's name directly:
    version 2, four dimensions, raw little-endian float32."""
    marker, leading = bytes([1, len(layer)]) + layer, _LEADING_INTEGERS[layer]
    position = data.find(marker)
    while position >= 0:
        position += len(marker)
        header = []
        for _ in range(leading + 5):
            value, position = _packed_integer(data, position)
            header.append(value)
        version, *dimensions = header[leading:]
        if version != 2:
            raise ValueError(f"tensor version {version}")
        count = dimensions[0] * dimensions[1] * dimensions[2] * dimensions[3]
        raw = data[position : position + 4 * count]
        yield torch.frombuffer(bytearray(raw), dtype=torch.float32, count=count)
        position = data.find(marker, position + 4 * count)


def _packed_integer(data: bytes, position: int) -> tuple[int, int]:
    """dlib's packed integer: low nibble of the first byte = length, 0x80 = sign, then little-endian bytes."""
    head = data[position]
    end = position + 1 + (head & 0x0F)
    value = int.from_bytes(data[position + 1 : end], "little")
    return -value if head & 0x80 else value, end
