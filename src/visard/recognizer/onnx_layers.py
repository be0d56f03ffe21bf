"""The ONNX operators with weights or windows, in PyTorch: convolutions, products, pools, normalizations.

See `onnx_operators` for how these functions are called.
"""

import math
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx


class Unsupported(Exception):
    """A form of an operator that has no translation here; the message continues "the operator X"."""


def shape(x: Tensor) -> tuple[int, ...]:
    """The shape of a tensor, or the one that a proxy had at the first trial batch."""
    return tuple(x.node.meta["shape"] if isinstance(x, fx.Proxy) else x.shape)


def need(condition: bool, reason: str) -> None:
    if not condition:
        raise Unsupported(reason)


# Convolution, matrix products, pooling


def _sides(
    auto_pad: str,
    pads: Sequence[int] | None,
    spatial: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> list[tuple[int, int]]:
    """The padding before and after each spatial axis, (n, 2)."""
    n = len(spatial)
    if auto_pad == "VALID":
        return [(0, 0)] * n
    if auto_pad == "NOTSET":
        flat = list(pads or [0] * 2 * n)
        return list(zip(flat[:n], flat[n:], strict=True))
    need(auto_pad in ("SAME_UPPER", "SAME_LOWER"), f"with auto_pad '{auto_pad}'")
    sides = []
    for size, k, s, d in zip(spatial, kernel, strides, dilations, strict=True):
        total = max((math.ceil(size / s) - 1) * s + (k - 1) * d + 1 - size, 0)
        small = total // 2
        sides.append((small, total - small) if auto_pad == "SAME_UPPER" else (total - small, small))
    return sides


def widen(x: Tensor, sides: Sequence[tuple[int, int]], value: float = 0.0) -> Tensor:
    """Pad the last len(sides) axes; axes that stay as they are cost nothing."""
    while sides and sides[0] == (0, 0):
        sides = sides[1:]
    flat = list(chain.from_iterable(reversed(sides)))
    return F.pad(x, flat, value=value) if flat else x


def conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] | None = None,
    group: int = 1,
    kernel_shape: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Tensor:
    kernel = kernel_shape or shape(weight)[2:]
    n = len(kernel)
    need(n in (1, 2), f"over {n} spatial axes")
    strides, dilations = tuple(strides or [1] * n), tuple(dilations or [1] * n)
    sides = _sides(auto_pad, pads, shape(x)[2:], kernel, strides, dilations)
    convolve: Callable[..., Tensor] = (F.conv1d, F.conv2d)[n - 1]
    if all(before == after for before, after in sides):
        return convolve(x, weight, bias, strides, tuple(before for before, _ in sides), dilations, group)
    return convolve(widen(x, sides), weight, bias, strides, (0,) * n, dilations, group)


def matmul(a: Tensor, b: Tensor) -> Tensor:
    if not isinstance(b, fx.Proxy) and isinstance(a, fx.Proxy) and b.ndim == 2:
        return F.linear(a, b.t().contiguous())
    return torch.matmul(a, b)


def gemm(
    a: Tensor,
    b: Tensor,
    c: Tensor | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Tensor:
    need(not transA, "with transA")
    need(not isinstance(b, fx.Proxy), "with computed weights")
    weight = ((b if transB else b.t()) * alpha).contiguous()
    if c is None:
        return F.linear(a, weight)
    bias = torch.mul(c, beta)
    if shape(c) == (len(weight),):
        return F.linear(a, weight, bias)
    return torch.add(F.linear(a, weight), bias)


def batch_normalization(
    x: Tensor,
    scale: Tensor,
    bias: Tensor,
    mean: Tensor,
    var: Tensor,
    *,
    epsilon: float = 1e-5,
    training_mode: int = 0,
) -> Tensor:
    need(not training_mode, "in training mode")
    need(not any(isinstance(t, fx.Proxy) for t in (scale, bias, mean, var)), "with statistics of its own input")
    # one multiplication and one addition, in float64 until the last rounding
    factor = scale.double() / torch.sqrt(var.double() + epsilon)
    offset = bias.double() - mean.double() * factor
    column = (-1, *[1] * (len(shape(x)) - 2))
    return torch.addcmul(offset.to(bias.dtype).reshape(column), x, factor.to(scale.dtype).reshape(column))


def _pooled(
    x: Tensor,
    kernel_shape: Sequence[int],
    auto_pad: str,
    pads: Sequence[int] | None,
    strides: Sequence[int] | None,
    dilations: Sequence[int] | None,
) -> tuple[tuple[int, ...], tuple[int, ...], list[tuple[int, int]]]:
    need(len(kernel_shape) == 2, f"over {len(kernel_shape)} spatial axes")
    strides, dilations = tuple(strides or (1, 1)), tuple(dilations or (1, 1))
    return strides, dilations, _sides(auto_pad, pads, shape(x)[2:], kernel_shape, strides, dilations)


def max_pool(
    x: Tensor,
    *,
    kernel_shape: Sequence[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Tensor:
    strides, dilations, sides = _pooled(x, kernel_shape, auto_pad, pads, strides, dilations)
    padding = tuple(before for before, _ in sides)
    even = all(b == a and 2 * b <= k for (b, a), k in zip(sides, kernel_shape, strict=True))
    if not even:
        need(not ceil_mode, "with ceil_mode and uneven pads")
        x, padding = widen(x, sides, value=-math.inf), (0, 0)
    return F.max_pool2d(x, tuple(kernel_shape), strides, padding, dilations, bool(ceil_mode))


def average_pool(
    x: Tensor,
    *,
    kernel_shape: Sequence[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    count_include_pad: int = 0,
    dilations: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Tensor:
    strides, dilations, sides = _pooled(x, kernel_shape, auto_pad, pads, strides, dilations)
    need(set(dilations) == {1}, "with dilations")
    if not any(chain.from_iterable(sides)) and tuple(kernel_shape) == shape(x)[2:]:
        return torch.mean(x, (2, 3), keepdim=True)
    padding = tuple(before for before, _ in sides)
    if not all(b == a and 2 * b <= k for (b, a), k in zip(sides, kernel_shape, strict=True)):
        need(bool(count_include_pad) and not ceil_mode, "with uneven pads that do not count")
        x, padding = widen(x, sides), (0, 0)
    return F.avg_pool2d(x, tuple(kernel_shape), strides, padding, bool(ceil_mode), bool(count_include_pad))


class _Prelu(torch.autograd.Function):
    """F.prelu with a backward pass that is several times faster on a CPU: torch's own computes both gradients."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, slope: Tensor) -> Tensor:
        return F.prelu(x, slope)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:  # noqa: ARG004
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None]:
        x, slope = ctx.saved_tensors
        column = slope.reshape(-1, *[1] * (x.ndim - 2)) if x.ndim > 1 else slope
        positive = torch.ops.aten.threshold_backward(grad, x, 0)
        to_slope = None
        if ctx.needs_input_grad[1]:
            to_slope = ((grad - positive) * x).sum_to_size(column.shape).reshape(slope.shape)
        return torch.lerp(positive, grad, column), to_slope


def prelu(x: Tensor, slope: Tensor) -> Tensor:
    """max(x, 0) + slope * min(x, 0), with one slope or one per channel, (N, C, ...)."""
    if isinstance(x, fx.Proxy):  # by hand, as an autograd.Function takes no proxies
        traced: Any = x.tracer.create_proxy("call_function", prelu, (x, slope), {})
        return traced
    result: Tensor = _Prelu.apply(x, slope)  # type: ignore[no-untyped-call]
    return result


def prelu_or_where(x: Tensor, slope: Tensor) -> Tensor:
    size = shape(slope)
    channels = shape(x)[1] if len(shape(x)) > 1 else 1
    count = math.prod(size)
    along = len(size) == len(shape(x)) - 1 and size[0] == count
    along = along or (len(size) == len(shape(x)) and size[1] == count)
    before_opset_7 = size == (channels,) and size[0] != shape(x)[-1]
    if count == 1 or (count == channels and (along or before_opset_7)):
        return prelu(x, slope.reshape(-1))
    return torch.where(x > 0, x, torch.mul(x, slope))


def layer_normalization(
    x: Tensor, scale: Tensor, bias: Tensor | None = None, *, axis: int = -1, epsilon: float = 1e-5
) -> Tensor:
    size = shape(x)[axis:]
    need(axis % len(shape(x)) > 0, "over the batch")
    return F.layer_norm(x, size, scale, bias, epsilon)


def instance_normalization(x: Tensor, scale: Tensor, bias: Tensor, *, epsilon: float = 1e-5) -> Tensor:
    return F.group_norm(x, shape(x)[1], scale, bias, epsilon)


def lp_normalization(x: Tensor, *, axis: int = -1, p: int = 2) -> Tensor:
    return F.normalize(x, float(p), axis)


def resize(
    x: Tensor,
    roi: Tensor | None = None,
    scales: Sequence[float] | None = None,
    sizes: Sequence[int] | None = None,
    *,
    coordinate_transformation_mode: str = "half_pixel",
    mode: str = "nearest",
    nearest_mode: str = "round_prefer_floor",
    antialias: int = 0,
) -> Tensor:
    need(roi is None or 0 in shape(roi), "with a region of interest")
    need(not antialias and len(shape(x)) == 4, "with antialias or over axes that are not height and width")
    have = shape(x)[2:]
    if scales:
        need(list(scales[:2]) == [1, 1], "over channels")
        wanted = [n * s for n, s in zip(have, scales[2:], strict=True)]
        need(all(n == int(n) for n in wanted), "to a fractional size")
        size = tuple(int(n) for n in wanted)
    else:
        size = tuple(sizes or ())[2:]
    how = coordinate_transformation_mode
    if mode == "nearest":
        whole = all(new % old == 0 for new, old in zip(size, have, strict=True))
        if how == "asymmetric" and nearest_mode == "floor":
            return F.interpolate(x, size, mode="nearest")
        need(
            how == "half_pixel" and nearest_mode.startswith("round") and whole,
            "to nearest pixels of this form",
        )
        return F.interpolate(x, size, mode="nearest-exact")
    forms = ("half_pixel", "pytorch_half_pixel", "align_corners")
    need(mode == "linear" and how in forms, f"with mode '{mode}' and '{how}' coordinates")
    return F.interpolate(x, size, mode="bilinear", align_corners=how == "align_corners")
