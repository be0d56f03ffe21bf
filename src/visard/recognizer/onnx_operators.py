"""What each ONNX operator is in PyTorch: a table from its name to a small function.

A function takes the operator's inputs in order and its attributes as keywords. It is called with real tensors
(to fold constants), with meta tensors (to learn shapes) and with fx proxies (to write the network), so it uses
nothing but torch calls and asks `shape` for sizes. Inputs listed in PLAIN must be known when the file is read
and arrive as Python numbers or lists. A form that is not covered raises `Unsupported` with a reason that
continues "the operator Conv ...".
"""

import math
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from visard.recognizer.onnx_layers import (
    average_pool,
    batch_normalization,
    conv,
    gemm,
    instance_normalization,
    layer_normalization,
    lp_normalization,
    matmul,
    max_pool,
    need,
    prelu_or_where,
    resize,
    shape,
    widen,
)

__all__ = ["INERT", "OPERATORS", "PLAIN"]

MOST_ELEMENTS = 2**24  # of a constant that a few bytes of a file ask for
FLOATS = (1, 10, 11, 16)  # ONNX element types: float32, float16, float64, bfloat16


# Elementwise


def _plain(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """An operator without attributes that is a torch function as it stands."""

    def apply(*inputs: Tensor) -> Tensor:
        return function(*inputs)

    return apply


def _pair(function: Callable[..., Tensor], commutes: bool) -> Callable[..., Tensor]:
    """A broadcasting operator of two inputs; a constant of one element becomes a Python number."""

    def apply(a: Tensor, b: Tensor) -> Tensor:
        if commutes and isinstance(b, fx.Proxy) and not isinstance(a, fx.Proxy):
            a, b = b, a
        if isinstance(a, fx.Proxy) and not isinstance(b, fx.Proxy) and b.numel() == 1 and b.ndim <= len(shape(a)):
            return function(a, b.item())
        return function(a, b)

    return apply


def _divide(a: Tensor, b: Tensor) -> Tensor:
    whole = isinstance(a, Tensor) and not a.is_floating_point()
    return torch.div(a, b, rounding_mode="trunc") if whole else _pair(torch.div, False)(a, b)


def _several(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """An operator of any number of inputs, taken two at a time; constants stay tensors."""

    def apply(first: Tensor, *others: Tensor) -> Tensor:
        for other in others:
            first = function(first, other)
        return first

    return apply


def _clip(
    x: Tensor,
    low: float | None = None,
    high: float | None = None,
    *,
    min: float | None = None,
    max: float | None = None,
) -> Tensor:
    low, high = (low if min is None else min), (high if max is None else max)
    low = None if low is None or low <= -3.4e38 else low
    high = None if high is None or high >= 3.4e38 else high
    return _clamp(x, low, high)


def _clamp(x: Tensor, low: float | None, high: float | None) -> Tensor:
    if low is None and high is None:
        return x
    if low == 0 and high is None:
        return torch.relu(x)
    if low is not None and high is not None and low <= high:
        return F.hardtanh(x, low, high)  # clamp, but with a backward pass of one kernel
    return torch.clamp(x, low, high)


def _leaky_relu(x: Tensor, *, alpha: float = 0.01) -> Tensor:
    return F.leaky_relu(x, alpha)


def _elu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    return F.elu(x, alpha)


def _gelu(x: Tensor, *, approximate: str = "none") -> Tensor:
    return F.gelu(x, approximate=approximate)


def _hard_sigmoid(x: Tensor, *, alpha: float = 0.2, beta: float = 0.5) -> Tensor:
    if math.isclose(alpha, 1 / 6, rel_tol=1e-6) and beta == 0.5:
        return F.hardsigmoid(x)
    return F.hardtanh(torch.add(torch.mul(x, alpha), beta), 0.0, 1.0)


def _softmax(x: Tensor, *, axis: int | None = None, opset: int) -> Tensor:
    if opset >= 13:
        return torch.softmax(x, -1 if axis is None else axis)
    start = (1 if axis is None else axis) % len(shape(x))
    if start == len(shape(x)) - 1:
        return torch.softmax(x, start)
    need(start > 0, "over the batch")
    rest = torch.softmax(x.flatten(start), -1)  # before opset 13, over all the axes from there on
    return rest.reshape(-1, *shape(x)[1:])


def _cast(x: Tensor, *, to: int) -> Tensor:
    if to in FLOATS:
        if isinstance(x, fx.Proxy) or x.is_floating_point():
            return x
        return x.to(torch.get_default_dtype())
    need(not isinstance(x, fx.Proxy), "of a computed value to a type that is not floating point")
    need(to in (6, 7, 9), f"to the element type {to}")
    return x.to(torch.bool if to == 9 else torch.int64)


def _global(reduce: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def pool(x: Tensor) -> Tensor:
        return reduce(x, tuple(range(2, len(shape(x)))), keepdim=True)

    return pool


# Reductions


def _reduce(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def apply(
        x: Tensor,
        axes_input: Sequence[int] | None = None,
        *,
        axes: Sequence[int] | None = None,
        keepdims: int = 1,
        noop_with_empty_axes: int = 0,
    ) -> Tensor:
        chosen = tuple(axes_input or axes or ())
        if not chosen and noop_with_empty_axes:
            return x
        return function(x, chosen or tuple(range(len(shape(x)))), keepdim=bool(keepdims))

    return apply


def _l2(x: Tensor, axes: Sequence[int], keepdim: bool) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(x, 2, tuple(axes), keepdim)
    return norm


# Shapes


def _reshape(x: Tensor, target: Sequence[int], *, allowzero: int = 0) -> Tensor:
    need(not (allowzero and 0 in target), "with allowzero")
    sizes = [x.size(i) if isinstance(n, int) and n == 0 else n for i, n in enumerate(target)]
    symbols = [i for i, n in enumerate(sizes) if isinstance(n, fx.Proxy)]
    if len(symbols) == 1 and -1 not in [n for n in sizes if isinstance(n, int)]:
        sizes[symbols[0]] = -1
    return x.reshape(sizes)


def _flatten(x: Tensor, *, axis: int = 1) -> Tensor:
    axis %= len(shape(x)) + (axis >= 0)
    need(axis > 0, "over the batch")
    rows = x if axis == 1 else x.flatten(0, axis - 1)
    columns = len(shape(x)) - axis
    return rows.unsqueeze(1) if columns == 0 else rows.flatten(1)


def _squeeze(x: Tensor, axes_input: Sequence[int] | None = None, *, axes: Sequence[int] | None = None) -> Tensor:
    chosen = tuple(axes_input or axes or ())
    return x.squeeze(chosen or tuple(i for i, n in enumerate(shape(x)) if n == 1))


def _unsqueeze(x: Tensor, axes_input: Sequence[int] | None = None, *, axes: Sequence[int] | None = None) -> Tensor:
    chosen = tuple(axes_input or axes or ())
    rank = len(shape(x)) + len(chosen)
    for axis in sorted(a % rank for a in chosen):
        x = x.unsqueeze(axis)
    return x


def _transpose(x: Tensor, *, perm: Sequence[int] | None = None) -> Tensor:
    order = tuple(perm or reversed(range(len(shape(x)))))
    return x if order == tuple(range(len(order))) else x.permute(order)


def _concat(*parts: Tensor, axis: int) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, axis)


def _split(
    x: Tensor,
    sizes_input: Sequence[int] | None = None,
    *,
    axis: int = 0,
    split: Sequence[int] | None = None,
    num_outputs: int | None = None,
    outputs: int,
) -> Sequence[Tensor] | Tensor:
    count = num_outputs or outputs
    length = shape(x)[axis]
    sizes = list(sizes_input or split or ())
    if not sizes:
        each = math.ceil(length / count)
        sizes = [min(each, length - i * each) for i in range(count)]
    parts = torch.split(x, sizes, axis)
    return parts[0] if outputs == 1 else parts


def _slice(
    x: Tensor,
    starts_input: Sequence[int] | None = None,
    ends_input: Sequence[int] | None = None,
    axes_input: Sequence[int] | None = None,
    steps: Sequence[int] | None = None,
    *,
    starts: Sequence[int] | None = None,
    ends: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
) -> Tensor:
    starts, ends = starts_input or starts or (), ends_input or ends or ()
    chosen = axes_input or axes or range(len(starts))
    cuts = [slice(None)] * len(shape(x))
    for start, end, axis, step in zip(starts, ends, chosen, steps or [1] * len(starts), strict=True):
        if step < 0:
            order = range(shape(x)[axis])[start:end:step]
            x = x.index_select(axis, torch.tensor(list(order), dtype=torch.int64, device=_device(x)))
        else:
            cuts[axis] = slice(start, end, step)
    return x if all(cut == slice(None) for cut in cuts) else x[tuple(cuts)]


def _device(x: Tensor) -> torch.device:
    return torch.device("cpu") if isinstance(x, fx.Proxy) else x.device


def _gather(x: Tensor, indices: Any, *, axis: int = 0) -> Tensor:
    length = shape(x)[axis]
    if isinstance(indices, int):
        return x.select(axis, indices)
    where = torch.tensor(indices, dtype=torch.int64, device=_device(x)).remainder(length)
    if where.ndim == 1:
        return x.index_select(axis, where)
    grid: Tensor = x.index_select(axis, where.flatten()).unflatten(axis, tuple(where.shape))
    return grid


def _expand(x: Tensor, target: Sequence[int]) -> Tensor:
    if not isinstance(x, fx.Proxy):
        size = torch.broadcast_shapes(tuple(x.shape), tuple(target))
        need(math.prod(size) <= MOST_ELEMENTS, "to a size beyond reason")
        return x.expand(size)
    have = shape(x)
    lead = len(target) - len(have)
    # a length of 1 keeps what is there, as ONNX broadcasts both ways
    return x.expand([-1 if i >= lead and have[i - lead] != 1 else n for i, n in enumerate(target)]) if lead >= 0 else x


def _pad(
    x: Tensor,
    pads_input: Sequence[int] | None = None,
    value_input: float | None = None,
    axes: Sequence[int] | None = None,
    *,
    mode: str = "constant",
    pads: Sequence[int] | None = None,
    value: float = 0.0,
) -> Tensor:
    need(mode in ("constant", "reflect", "edge"), f"with mode '{mode}'")
    flat = list(pads_input or pads or ())
    rank = len(shape(x))
    sides = [(0, 0)] * rank
    for i, axis in enumerate(axes or range(rank)):
        sides[axis] = (flat[i], flat[len(flat) // 2 + i])
    need(
        mode == "constant" or (rank in (3, 4) and sides[:2] == [(0, 0)] * 2),
        f"with mode '{mode}' over channels",
    )
    if mode != "constant" and any(chain.from_iterable(sides)):
        return F.pad(x, list(chain.from_iterable(reversed(sides[2:]))), {"edge": "replicate"}.get(mode, mode))
    return widen(x, sides, value=value if value_input is None else value_input)


def _shape_of(x: Tensor, *, start: int = 0, end: int | None = None) -> Tensor:
    return torch.tensor(shape(x)[start:end], dtype=torch.int64)


# Constants


def _constant(
    *,
    value: Tensor | None = None,
    value_float: float | None = None,
    value_floats: Sequence[float] | None = None,
    value_int: int | None = None,
    value_ints: Sequence[int] | None = None,
) -> Tensor:
    if value is not None:
        return value
    real = value_floats if value_float is None else value_float
    whole = value_ints if value_int is None else value_int
    return torch.tensor(whole) if real is None else torch.tensor(real, dtype=torch.float32)


def _constant_of_shape(size: Sequence[int], *, value: Tensor | None = None) -> Tensor:
    need(math.prod(size) <= MOST_ELEMENTS, "of a size beyond reason")
    return torch.zeros(tuple(size)) if value is None else value.reshape(-1)[0].expand(tuple(size))


def _cumulative_sum(x: Tensor, axis: Any, *, exclusive: int = 0, reverse: int = 0) -> Tensor:
    need(not exclusive and not reverse, "exclusive or in reverse")
    return torch.cumsum(x, axis if isinstance(axis, int) else axis[0])


def _dequantize_linear(x: Tensor, scale: Tensor, zero: Tensor | None = None, *, axis: int = 1) -> Tensor:
    need(not isinstance(x, fx.Proxy), "of a computed value")
    column = [1] * x.ndim
    if scale.numel() > 1:
        column[axis] = -1
    steps = x if zero is None else x - zero.reshape(column)
    return steps.to(scale.dtype) * scale.reshape(column) if x.ndim else steps.to(scale.dtype) * scale


def _dropout(x: Tensor, ratio: float | None = None, training: bool | None = None) -> Tensor:
    need(not (training and ratio != 0), "in training mode")
    return x


OPERATORS: dict[str, Callable[..., Any]] = {
    "Abs": _plain(torch.abs),
    "Add": _pair(torch.add, True),
    "AveragePool": average_pool,
    "BatchNormalization": batch_normalization,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Conv": conv,
    "Cos": _plain(torch.cos),
    "CumSum": _cumulative_sum,
    "DequantizeLinear": _dequantize_linear,
    "Div": _divide,
    "Dropout": _dropout,
    "Elu": _elu,
    "Equal": _plain(torch.eq),
    "Erf": _plain(torch.erf),
    "Exp": _plain(torch.exp),
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Gelu": _gelu,
    "Gemm": gemm,
    "GlobalAveragePool": _global(torch.mean),
    "GlobalMaxPool": _global(torch.amax),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _plain(F.hardswish),
    "Identity": _plain(lambda x: x),
    "InstanceNormalization": instance_normalization,
    "LayerNormalization": layer_normalization,
    "LeakyRelu": _leaky_relu,
    "Log": _plain(torch.log),
    "LpNormalization": lp_normalization,
    "MatMul": matmul,
    "Max": _several(torch.maximum),
    "MaxPool": max_pool,
    "Min": _several(torch.minimum),
    "Mul": _pair(torch.mul, True),
    "Neg": _plain(torch.neg),
    "Not": _plain(torch.logical_not),
    "PRelu": prelu_or_where,
    "Pad": _pad,
    "Pow": _pair(torch.pow, False),
    "Reciprocal": _plain(torch.reciprocal),
    "ReduceL2": _reduce(_l2),
    "ReduceMax": _reduce(torch.amax),
    "ReduceMean": _reduce(torch.mean),
    "ReduceSum": _reduce(torch.sum),
    "Relu": _plain(torch.relu),
    "Reshape": _reshape,
    "Resize": resize,
    "Shape": _shape_of,
    "Sigmoid": _plain(torch.sigmoid),
    "Sin": _plain(torch.sin),
    "Slice": _slice,
    "Softmax": _softmax,
    "Split": _split,
    "Sqrt": _plain(torch.sqrt),
    "Squeeze": _squeeze,
    "Sub": _pair(torch.sub, False),
    "Sum": _several(torch.add),
    "Tanh": _plain(torch.tanh),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Where": _plain(torch.where),
}

PLAIN: dict[str, frozenset[int]] = {
    "Clip": frozenset({1, 2}),
    "ConstantOfShape": frozenset({0}),
    "CumSum": frozenset({1}),
    "Dropout": frozenset({1, 2}),
    "Expand": frozenset({1}),
    "Gather": frozenset({1}),
    "Pad": frozenset({1, 2, 3}),
    "ReduceL2": frozenset({1}),
    "ReduceMax": frozenset({1}),
    "ReduceMean": frozenset({1}),
    "ReduceSum": frozenset({1}),
    "Reshape": frozenset({1}),
    "Resize": frozenset({2, 3}),
    "Slice": frozenset({1, 2, 3, 4}),
    "Split": frozenset({1}),
    "Squeeze": frozenset({1}),
    "Unsqueeze": frozenset({1}),
}

# attributes that change nothing here: training settings, and the layout of an output that is refused
INERT = frozenset({"is_test", "momentum", "ratio", "seed", "spatial", "stash_type", "storage_order"})
