"""Inception-V3 up to its 2048 features, which FID and KID compare. Its weights are published files that the caller has.

Szegedy et al., "Rethinking the Inception architecture for computer vision", CVPR 2016. Two published networks have the
same names and shapes in their state dicts, but for their heads, and differ in how they pool: torchvision's, and the one
of Heusel et al., NeurIPS 2017, by which FID is compared between papers. Not imported by ``visard.measure`` itself,
which needs no torch.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visard.errors import WeightsError
from visard.measure._weights import read_weights, taken

OUTPUTS = 2048
_SIDE = 299
_BATCH = 16

Variant = Literal["torchvision", "FID"]
"""Whose poolings: FID's averages leave the padding out, and its last block takes maxima."""
_VARIANTS: dict[int, Variant] = {1000: "torchvision", 1008: "FID"}
"""By the classes of the head, in which alone the two files are certain to differ."""
_WANTED = "torchvision's Inception-V3 or pytorch-fid's"
_HEADS = ("fc.", "AuxLogits.")

Step = tuple[str, int, int | tuple[int, int], int]
"""A convolution: name, outputs, kernel, stride; those of stride 1 keep the size."""
Branch = Sequence[Step | tuple[Step, Step]]
"""Convolutions one after another; of a pair, the last, both get the same, and their outputs stand side by side."""


class Convolution(nn.Module):
    """Convolution, batch norm, rectifier."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int | tuple[int, int], stride: int, padding: str | int
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class Mixed(nn.Module):
    """Branches side by side, and a pooled one: with `pooled` channels by `pooling`, which keeps the size, else the
    maxima over 3 x 3, of stride 2."""

    def __init__(self, inputs: int, branches: Sequence[Branch], pooled: int, pooling: Callable[..., Tensor]) -> None:
        super().__init__()
        self.branches, self.pooled, self.pooling = branches, pooled, pooling
        for branch in branches:
            width = inputs
            for step in branch:
                for name, outputs, kernel, stride in _both(step):
                    self.add_module(name, Convolution(width, outputs, kernel, stride, "same" if stride == 1 else 0))
                width = outputs
        if pooled:
            self.branch_pool = Convolution(inputs, pooled, 1, 1, 0)

    def forward(self, x: Tensor) -> Tensor:
        found: list[Tensor] = []
        for branch in self.branches:
            parts = [x]
            for step in branch:
                parts = [self.get_submodule(name)(parts[0]) for name, *_ in _both(step)]
            found += parts
        if self.pooled:
            return torch.cat([*found, self.branch_pool(self.pooling(x))], dim=1)
        return torch.cat([*found, F.max_pool2d(x, 3, 2)], dim=1)


class Inception(nn.Module):
    """Pictures (N, 3, h, w) in [0, 1], brought to 299 px, -> features (N, 2048), of one `variant`. Random until weights
    are loaded: ``load_inception``."""

    def __init__(self, variant: Variant = "torchvision") -> None:
        super().__init__()
        self.variant = variant
        self.Conv2d_1a_3x3 = Convolution(3, 32, 3, 2, 0)
        self.Conv2d_2a_3x3 = Convolution(32, 32, 3, 1, 0)
        self.Conv2d_2b_3x3 = Convolution(32, 64, 3, 1, 1)
        self.Conv2d_3b_1x1 = Convolution(64, 80, 1, 1, 0)
        self.Conv2d_4a_3x3 = Convolution(80, 192, 3, 1, 0)
        self.mixed = [name for name, *_ in _MIXED]
        for name, inputs, branches, pooled in _MIXED:
            self.add_module(name, Mixed(inputs, branches, pooled, _pooling(variant, name)))

    def forward(self, pictures: Tensor) -> Tensor:
        x = F.interpolate(2 * pictures - 1, size=(_SIDE, _SIDE), mode="bilinear", align_corners=False)
        x = F.max_pool2d(self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x))), 3, 2)
        x = F.max_pool2d(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)), 3, 2)
        for name in self.mixed:
            x = self.get_submodule(name)(x)
        return x.mean(dim=(2, 3))


def load_inception(path: Path) -> Inception:
    """Inception-V3 with published weights, frozen: a state dict of torchvision's ``inception_v3_google`` or of
    pytorch-fid's ``pt_inception-2015-12-05``, by whose head the variant is told. The heads are not used.

    Nothing is unpickled but tensors. Raises ``WeightsError`` for missing and for other names, and for other shapes.
    """
    weights = read_weights(path)
    head = weights.get("fc.weight")
    variant = None if head is None or head.shape[1:] != (OUTPUTS,) else _VARIANTS.get(len(head))
    if variant is None:
        raise WeightsError(f"{path} has no fc.weight of 1000 or 1008 classes: give the weights of {_WANTED}.")
    with torch.device("meta"):  # nothing is drawn at random
        model = Inception(variant)
    state = model.state_dict()
    for name in weights:
        if name not in state and not name.startswith(_HEADS):
            raise WeightsError(f"{path} holds {name}, which Inception-V3 has not: give the weights of {_WANTED}.")
    for name, value in state.items():
        counter = name.endswith(".num_batches_tracked")  # nothing depends on it, and older files have none
        state[name] = torch.tensor(0) if counter else taken(weights, name, value.shape, path, _WANTED)
    model.load_state_dict(state, assign=True)
    return model.eval().requires_grad_(requires_grad=False)


def inception_features(network: nn.Module, pictures: Tensor) -> Tensor:
    """The features (N, D) of pictures (N, 3, h, w) in [0, 1], in small batches and without a gradient."""
    with torch.no_grad():
        return torch.cat([network(part) for part in pictures.split(_BATCH)])


def _pooling(variant: Variant, block: str) -> Callable[..., Tensor]:
    """Over 3 x 3, of stride 1."""
    if variant == "torchvision":
        return partial(F.avg_pool2d, kernel_size=3, stride=1, padding=1)
    if block == _MIXED[-1][0]:
        return partial(F.max_pool2d, kernel_size=3, stride=1, padding=1)
    return partial(F.avg_pool2d, kernel_size=3, stride=1, padding=1, count_include_pad=False)


def _both(step: Step | tuple[Step, Step]) -> tuple[Step, ...]:
    return step if isinstance(step[0], tuple) else (step,)


def _small() -> list[Branch]:
    return [
        [("branch1x1", 64, 1, 1)],
        [("branch5x5_1", 48, 1, 1), ("branch5x5_2", 64, 5, 1)],
        [("branch3x3dbl_1", 64, 1, 1), ("branch3x3dbl_2", 96, 3, 1), ("branch3x3dbl_3", 96, 3, 1)],
    ]


def _long(width: int) -> list[Branch]:
    return [
        [("branch1x1", 192, 1, 1)],
        [("branch7x7_1", width, 1, 1), ("branch7x7_2", width, (1, 7), 1), ("branch7x7_3", 192, (7, 1), 1)],
        [
            ("branch7x7dbl_1", width, 1, 1), ("branch7x7dbl_2", width, (7, 1), 1), ("branch7x7dbl_3", width, (1, 7), 1),
            ("branch7x7dbl_4", width, (7, 1), 1), ("branch7x7dbl_5", 192, (1, 7), 1),
        ],
    ]  # fmt: skip


def _wide() -> list[Branch]:
    return [
        [("branch1x1", 320, 1, 1)],
        [("branch3x3_1", 384, 1, 1), (("branch3x3_2a", 384, (1, 3), 1), ("branch3x3_2b", 384, (3, 1), 1))],
        [
            ("branch3x3dbl_1", 448, 1, 1), ("branch3x3dbl_2", 384, 3, 1),
            (("branch3x3dbl_3a", 384, (1, 3), 1), ("branch3x3dbl_3b", 384, (3, 1), 1)),
        ],
    ]  # fmt: skip


# name, inputs, branches, channels of the pooled branch
_MIXED: list[tuple[str, int, list[Branch], int]] = [
    ("Mixed_5b", 192, _small(), 32),
    ("Mixed_5c", 256, _small(), 64),
    ("Mixed_5d", 288, _small(), 64),
    ("Mixed_6a", 288, [
        [("branch3x3", 384, 3, 2)],
        [("branch3x3dbl_1", 64, 1, 1), ("branch3x3dbl_2", 96, 3, 1), ("branch3x3dbl_3", 96, 3, 2)],
    ], 0),
    ("Mixed_6b", 768, _long(128), 192),
    ("Mixed_6c", 768, _long(160), 192),
    ("Mixed_6d", 768, _long(160), 192),
    ("Mixed_6e", 768, _long(192), 192),
    ("Mixed_7a", 768, [
        [("branch3x3_1", 192, 1, 1), ("branch3x3_2", 320, 3, 2)],
        [
            ("branch7x7x3_1", 192, 1, 1), ("branch7x7x3_2", 192, (1, 7), 1), ("branch7x7x3_3", 192, (7, 1), 1),
            ("branch7x7x3_4", 192, 3, 2),
        ],
    ], 0),
    ("Mixed_7b", 1280, _wide(), 192),
    ("Mixed_7c", 2048, _wide(), 192),
]  # fmt: skip
