"""Layers that several networks share."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class ConvBN(nn.Module):
    """Convolution without bias, batch normalization, then `act(channels)` or nothing."""

    def __init__(
        self,
        inputs: int,
        channels: int,
        kernel: int | tuple[int, int],
        *,
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
        groups: int = 1,
        eps: float = 1e-5,
        act: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, channels, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(channels, eps=eps)
        self.act = nn.Identity() if act is None else act(channels)

    def forward(self, x: Tensor) -> Tensor:
        activated: Tensor = self.act(self.bn(self.conv(x)))
        return activated


class SqueezeExcite(nn.Module):
    """Channels weighed by what their means say. Hu, Shen, Sun, "Squeeze-and-excitation networks", CVPR 2018."""

    def __init__(self, channels: int, reduction: int = 16, *, bias: bool) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // reduction, 1, bias=bias)
        self.fc2 = nn.Conv2d(channels // reduction, channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        means = x.mean(dim=(2, 3), keepdim=True)  # (N, C, 1, 1)
        weights: Tensor = torch.sigmoid(self.fc2(torch.relu(self.fc1(means))))
        return x * weights


def relu(_channels: int) -> nn.Module:
    return nn.ReLU()


def relu6(_channels: int) -> nn.Module:
    return nn.ReLU6()


def initialize_deep(network: nn.Module) -> None:
    """He initialization of every convolution and matrix: deep networks without normalization do not start else.

    He, Zhang, Ren, Sun, "Delving deep into rectifiers", ICCV 2015.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, mode="fan_out" if isinstance(module, nn.Conv2d) else "fan_in")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
