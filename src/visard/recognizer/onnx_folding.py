"""Passes over an imported graph that make it smaller and faster and leave what it computes.

Scales and shifts go into the convolution or matrix product before them, explicit padding into the convolution
after it, and chains of operators that PyTorch has as one function become that function.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from visard.recognizer.onnx_layers import prelu

__all__ = ["fold"]

Constants = dict[str, Tensor]
PRODUCTS = (F.conv1d, F.conv2d, F.linear)
ROLES: dict[Any, tuple[str, ...]] = {
    F.conv1d: ("x", "weight", "bias"),
    F.conv2d: ("x", "weight", "bias"),
    F.linear: ("x", "weight", "bias"),
    prelu: ("x", "slope"),
    torch.addcmul: ("shift", "x", "scale"),
}


def fold(graph: fx.Graph, constants: Constants) -> fx.GraphModule:
    """The graph as a module in evaluation mode, its float constants as parameters without gradient."""
    for node in list(graph.nodes):
        _merge_pad(node)
    for node in list(graph.nodes):
        _merge_affine(graph, constants, node)
    for node in list(graph.nodes):
        _merge_gelu(graph, node)
        _merge_gated(graph, node)
        _merge_clip(graph, node)
    graph.eliminate_dead_code()
    graph.lint()
    root: dict[str, Any] = {key: _parameter(tensor) for key, tensor in _named(graph, constants).items()}
    module = fx.GraphModule(root, graph, class_name="OnnxNetwork")
    return module.eval()


def _parameter(tensor: Tensor) -> Tensor:
    if not tensor.is_floating_point():
        return tensor
    # channels-last weights make the whole network channels-last, which a CPU runs 15 to 40 % faster
    layout = torch.channels_last if tensor.ndim == 4 else torch.contiguous_format
    return nn.Parameter(tensor.contiguous(memory_format=layout), requires_grad=False)


def _arguments(node: Any) -> list[Any]:
    return list(node.args)


def _others(node: fx.Node) -> tuple[fx.Node, Any] | None:
    """The computed argument of a two-sided operation and the other one, or None if there is no such thing."""
    if len(node.args) != 2 or not isinstance(node.args[0], fx.Node):
        return None
    return node.args[0], node.args[1]


def _alone(node: Any, *targets: Any) -> bool:
    """Whether this is one of these calls and its result is used once."""
    return isinstance(node, fx.Node) and node.target in targets and len(node.users) == 1


def _put(graph: fx.Graph, before: fx.Node, function: Callable[..., Any], *args: Any) -> None:
    """Compute `before` with this call instead."""
    with graph.inserting_before(before):
        node = graph.call_function(function, args)
    node.meta.update(before.meta)
    before.replace_all_uses_with(node)


def _merge_pad(node: fx.Node) -> None:
    """Zero padding that is the same on both sides belongs to the convolution."""
    if node.target not in (F.conv1d, F.conv2d) or not _alone(node.args[0], F.pad):
        return
    x, weight, bias, strides, padding, *others = _arguments(node)
    inner, flat = _arguments(x)
    sides, after = flat[-2::-2], flat[::-2]
    zeros = x.kwargs == {"mode": "constant", "value": 0.0}
    if zeros and sides == after and min(sides) >= 0 and len(sides) <= len(padding):
        sides = [0] * (len(padding) - len(sides)) + sides
        total = tuple(a + b for a, b in zip(padding, sides, strict=True))
        node.args = (inner, weight, bias, strides, total, *others)


def _merge_affine(graph: fx.Graph, constants: Constants, node: fx.Node) -> None:
    """A scale or shift per channel goes into the convolution or matrix product before it, in float64."""
    for product, scale, shift in _affine(node):
        if not _alone(product, *PRODUCTS) or "shape" not in product.meta:
            continue
        arguments = list(product.args) + [None] * (3 - len(product.args))
        weight, bias = arguments[1:3]
        if not (_stored(weight) and (bias is None or _stored(bias))):
            continue
        old = constants[weight.target]
        axis = len(product.meta["shape"]) - 1 if product.target is F.linear else 1
        rank = len(product.meta["shape"])
        factor = _per_channel(constants, scale, len(old), axis, rank)
        offset = _per_channel(constants, shift, len(old), axis, rank)
        if factor is None or offset is None:
            continue
        if isinstance(scale, float | int) and scale == 1:
            new = old
        else:
            new = (old.double() * factor.reshape(-1, *[1] * (old.ndim - 1))).to(old.dtype)
        start = constants[bias.target].double() if bias is not None else torch.zeros(len(old), dtype=torch.float64)
        with graph.inserting_before(product):
            arguments[1] = _store(graph, constants, new)
            arguments[2] = _store(graph, constants, (start * factor + offset).to(old.dtype))
        product.args = tuple(arguments)
        node.replace_all_uses_with(product)
        graph.erase_node(node)
        return


def _affine(node: fx.Node) -> Iterator[tuple[Any, Any, Any]]:
    """The ways to read a node as x * scale + shift: x, scale, shift (constants or numbers)."""
    if node.target is torch.addcmul:
        yield node.args[1], node.args[2], node.args[0]
    pair = _others(node)
    if pair is not None and node.target is torch.mul:
        yield *pair, 0.0
    if pair is not None and node.target is torch.add:
        yield pair[0], 1.0, pair[1]
    if pair is not None and node.target is torch.sub and isinstance(pair[1], float | int):
        yield pair[0], 1.0, -pair[1]
    if pair is not None and node.target is torch.div and isinstance(pair[1], float | int) and pair[1] != 0:
        yield pair[0], 1.0 / pair[1], 0.0


def _per_channel(constants: Constants, value: Any, channels: int, axis: int, rank: int) -> Tensor | None:
    """A constant as one float64 number per channel, or None if it varies in another way."""
    if isinstance(value, float | int):
        return torch.full((channels,), float(value), dtype=torch.float64)
    if not _stored(value) or constants[value.target].ndim > rank:
        return None
    tensor = constants[value.target]
    size = [1] * (rank - tensor.ndim) + list(tensor.shape)
    if size[axis] not in (1, channels) or math.prod(size) != size[axis]:
        return None
    return tensor.double().reshape(-1).expand(channels)


def _stored(node: Any) -> bool:
    return isinstance(node, fx.Node) and node.op == "get_attr"


def _store(graph: fx.Graph, constants: Constants, tensor: Tensor) -> fx.Node:
    name = f"folded_{len(constants)}"
    constants[name] = tensor
    node = graph.create_node("get_attr", name)
    node.meta["shape"] = tuple(tensor.shape)
    return node


def _merge_gelu(graph: fx.Graph, node: fx.Node) -> None:
    """x * (1 + erf(x / sqrt 2)) / 2, its factors in any order, is F.gelu."""
    inner = node.args[0] if node.target is torch.erf else None
    if not isinstance(inner, fx.Node) or inner.target not in (torch.mul, torch.div):
        return
    x, root = inner.args
    wanted = math.sqrt(2) if inner.target is torch.div else math.sqrt(0.5)
    if not (isinstance(root, float) and math.isclose(root, wanted, rel_tol=1e-4)):
        return
    top = next(iter(node.users))
    if not (_alone(node, torch.erf) and top.target is torch.add and top.args == (node, 1.0)):
        return
    factor, met = 1.0, False
    while len(top.users) == 1 and not (met and factor == 0.5):
        user = next(iter(top.users))
        if user.target is not torch.mul:
            break
        other: Any = user.args[1] if user.args[0] is top else user.args[0]
        if isinstance(other, fx.Node) and other.target is torch.mul and isinstance(other.args[1], float):
            other, factor = other.args[0], factor * other.args[1]
        if isinstance(other, float):
            factor *= other
        elif other is x and not met:
            met = True
        else:
            return
        top = user
    if met and factor == 0.5:
        _put(graph, top, F.gelu, x)


def _merge_gated(graph: fx.Graph, node: fx.Node) -> None:
    """x * sigmoid(x) is F.silu and x * hardsigmoid(x) is F.hardswish."""
    fused: dict[Any, Callable[..., Any]] = {torch.sigmoid: F.silu, F.hardsigmoid: F.hardswish}
    pair = _others(node)
    if node.target is not torch.mul or pair is None:
        return
    for x, gate in (pair, pair[::-1]):
        if isinstance(gate, fx.Node) and gate.target in fused and gate.args[0] is x:
            _put(graph, node, fused[gate.target], x)
            return


def _merge_clip(graph: fx.Graph, node: fx.Node) -> None:
    """An upper limit after a ReLU is one clipping, as in ReLU6."""
    if node.target is torch.clamp and node.args[1] is None and _alone(node.args[0], torch.relu):
        _put(graph, node, F.hardtanh, _arguments(node.args[0])[0], 0.0, node.args[2])


def _named(graph: fx.Graph, constants: Constants) -> Constants:
    """Name the constants after the call that uses them and the part they play in it, as conv2d_3_weight."""
    names: dict[str, str] = {}
    for node in list(graph.nodes):
        if node.op != "get_attr":
            continue
        old = str(node.target)
        if old not in names:
            user = next(iter(node.users))
            parts = dict(zip(ROLES.get(user.target, ()), user.args, strict=False)) | user.kwargs
            part = next((key for key, a in parts.items() if a is node), "constant")
            names[old] = f"{user.name}_{part}"
            if list(names.values()).count(names[old]) > 1:
                names[old] += f"_{len(names)}"
        with graph.inserting_before(node):
            node.replace_all_uses_with(graph.get_attr(names[old]))
        graph.erase_node(node)
    return {new: constants[old] for old, new in names.items()}
