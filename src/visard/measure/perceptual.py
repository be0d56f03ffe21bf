"""LPIPS: how far two pictures are to a trained network. Its weights are published files that the caller has.

Not imported by ``visard.measure`` itself, which needs no torch.
"""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from visard.errors import MeasureError
from visard.measure._weights import read_weights, taken

LEAST = 35  # px: a smaller picture does not reach the last layer


class _Conv(NamedTuple):
    place: int  # in torchvision's AlexNet().features
    inputs: int
    outputs: int
    kernel: int
    stride: int
    padding: int
    pooled: bool  # max pooling comes before it


_CONVS = (
    _Conv(0, 3, 64, 11, 4, 2, False),
    _Conv(3, 64, 192, 5, 1, 2, True),
    _Conv(6, 192, 384, 3, 1, 1, True),
    _Conv(8, 384, 256, 3, 1, 1, False),
    _Conv(10, 256, 256, 3, 1, 1, False),
)
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)


class LPIPS(nn.Module):
    """Learned perceptual distance (N,), from 0, of pictures (N, 3, H, W) in [0, 1]; lower is better.

    AlexNet, version 0.1: unit features of the five ReLUs, squared differences weighted per channel, spatial means
    summed over layers. Zhang et al., CVPR 2018. Differentiable in both pictures; the weights are frozen. Random until
    weights are loaded: make it with ``load_lpips``.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(c.inputs, c.outputs, c.kernel, c.stride, c.padding) for c in _CONVS)
        self.lins = nn.ModuleList(nn.Conv2d(c.outputs, 1, 1, bias=False) for c in _CONVS)
        self.register_buffer("shift", torch.tensor(_SHIFT)[None, :, None, None], persistent=False)
        self.register_buffer("scale", torch.tensor(_SCALE)[None, :, None, None], persistent=False)
        self.requires_grad_(False)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """The distances (N,). Raises ``MeasureError`` unless both are (N, 3, H, W) of one shape, at least 35 px."""
        if a.shape != b.shape or a.ndim != 4 or a.shape[1] != 3:
            raise MeasureError(f"LPIPS needs two (N, 3, H, W) of one shape, got {tuple(a.shape)} and {tuple(b.shape)}.")
        if min(a.shape[2:]) < LEAST:
            raise MeasureError(f"LPIPS needs at least {LEAST} x {LEAST} px, got {a.shape[2]} x {a.shape[3]}.")
        total = a.new_zeros(len(a))
        for lin, x, y in zip(self.lins, self._features(a), self._features(b), strict=True):
            total = total + lin((_unit(x) - _unit(y)) ** 2).mean(dim=(1, 2, 3))
        return total

    def _features(self, pictures: Tensor) -> list[Tensor]:
        x = (2 * pictures - 1 - self.shift) / self.scale
        features = []
        for conv, kind in zip(self.convs, _CONVS, strict=True):
            if kind.pooled:
                x = nn.functional.max_pool2d(x, 3, 2)
            x = conv(x).relu()
            features.append(x)
        return features


def load_lpips(backbone: Path, lin: Path | None = None) -> LPIPS:
    """LPIPS with published weights.

    Two files as published: `backbone` is torchvision's state dict of AlexNet (``features.0.weight``...; its classifier
    is not used), `lin` the linear weights of LPIPS v0.1 (``lin0.model.1.weight``...). Or `backbone` alone, one
    safetensors file that holds both sets of names. Nothing is unpickled but tensors. Raises ``WeightsError`` for
    missing names and other shapes.
    """
    weights = read_weights(backbone) if lin is None else {**read_weights(backbone), **read_weights(lin)}
    alexnet, linear = (backbone, "torchvision's AlexNet"), (lin or backbone, "LPIPS v0.1 for AlexNet")
    model = LPIPS()
    state = {}
    for layer, conv in enumerate(_CONVS):
        for ours, theirs, source in (
            (f"convs.{layer}.weight", f"features.{conv.place}.weight", alexnet),
            (f"convs.{layer}.bias", f"features.{conv.place}.bias", alexnet),
            (f"lins.{layer}.weight", f"lin{layer}.model.1.weight", linear),
        ):
            state[ours] = taken(weights, theirs, model.get_parameter(ours).shape, *source)
    model.load_state_dict(state)
    return model.eval()


def _unit(features: Tensor) -> Tensor:
    """`features` (N, C, H, W) with unit length over channels; where all are 0 they stay so, with gradient 0."""
    return features / (features.square().sum(dim=1, keepdim=True) + 1e-16).sqrt()
