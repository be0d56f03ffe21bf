"""The layers that StyleGAN2's networks are made of.

Karras et al., Analyzing and Improving the Image Quality of StyleGAN, CVPR 2020. Weights are drawn from a unit normal
and scaled where they are used, so that Adam moves all of them alike ("equalized learning rate").
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_SLOPE = 0.2
_EPSILON = 1e-8


class Linear(nn.Module):
    """Affine map (N, `inputs`) -> (N, `outputs`); `slow`: how much slower than others it learns, `bias`: at first."""

    def __init__(self, inputs: int, outputs: int, *, slow: float = 1.0, bias: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / slow)
        self.bias = nn.Parameter(torch.full((outputs,), bias / slow))
        self.slow = slow

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * (self.slow / math.sqrt(self.weight.shape[1])), self.bias * self.slow)


class Conv(nn.Module):
    """Plain convolution of the discriminator: (N, `inputs`, H, W) -> (N, `outputs`, H, W), or half of it."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, halves: bool = False, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.halves = halves

    def forward(self, x: Tensor) -> Tensor:
        weight, kernel = self.weight / math.sqrt(self.weight[0].numel()), self.weight.shape[-1]
        if not self.halves:
            return F.conv2d(x, weight, self.bias, padding=kernel // 2)
        if kernel == 1:
            return F.conv2d(halved(x), weight, self.bias)
        return F.conv2d(blurred(x, 2), weight, self.bias, stride=2)


class ModulatedConv(nn.Module):
    """Convolution whose input channels a style scales: (N, `inputs`, H, W), w (N, `wide`) -> (N, `outputs`, H, W).

    The published network scales the weights of every sample; to scale its inputs, and its outputs by what brings them
    back to unit variance ("demodulation", equation 3), is the same and one convolution for all samples.
    `doubles`: the output is twice as large.
    """

    def __init__(
        self, inputs: int, outputs: int, wide: int, kernel: int, *, doubles: bool = False, demodulated: bool = True
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.style = Linear(wide, inputs, bias=1.0)
        self.doubles, self.demodulated = doubles, demodulated

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        # only what is not brought back to unit variance needs the scale of the equalized learning rate
        weight = self.weight if self.demodulated else self.weight / math.sqrt(self.weight[0].numel())
        style: Tensor = self.style(w)  # (N, inputs)
        x = x * style[:, :, None, None]
        if self.doubles:
            x = blurred(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), 1, gain=4.0)
        else:
            x = F.conv2d(x, weight, padding=weight.shape[-1] // 2)
        if not self.demodulated:
            return x
        power = style.square() @ weight.square().sum(dim=(2, 3)).T  # (N, outputs)
        return x * (power + _EPSILON).rsqrt()[:, :, None, None]


def activated(x: Tensor) -> Tensor:
    """Leaky ReLU that keeps the variance."""
    return F.leaky_relu(x, _SLOPE) * math.sqrt(2)


def unit_variance(z: Tensor) -> Tensor:
    """Each row of `z` (N, D) scaled to a mean square of 1."""
    return z * (z.square().mean(dim=1, keepdim=True) + _EPSILON).rsqrt()


def blurred(x: Tensor, padding: int, *, stride: int = 1, gain: float = 1.0) -> Tensor:
    """`x` (N, C, H, W) filtered by [1, 3, 3, 1] along both axes, zeros beyond its edges."""
    row = x.new_tensor([1.0, 3.0, 3.0, 1.0]) * (math.sqrt(gain) / 8)
    kernel = torch.outer(row, row).expand(x.shape[1], 1, 4, 4)
    return F.conv2d(x, kernel, stride=stride, padding=padding, groups=x.shape[1])


def halved(x: Tensor) -> Tensor:
    """`x` (N, C, H, W) at half its size."""
    return blurred(x, 1, stride=2)


def doubled(x: Tensor) -> Tensor:
    """`x` (N, C, H, W) at twice its size: zeros in between, and the filter [1, 3, 3, 1], which is bilinear."""
    wide: Tensor = F.interpolate(F.pad(x, (1, 1, 1, 1)), scale_factor=2, mode="bilinear", align_corners=False)
    return wide[..., 2:-2, 2:-2]
