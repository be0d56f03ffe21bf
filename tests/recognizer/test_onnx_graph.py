"""ONNX graphs in PyTorch against onnxruntime, operator by operator and on real networks."""

import copy
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, numpy_helper
from PIL import Image

from onnx_files import FACE, node, noise, optional, reference, whole, write
from visard.errors import RecognizerError
from visard.recognizer.onnx_graph import load_graph
from visard.recognizer.onnx_layers import prelu
from visard.recognizer.onnx_operators import OPERATORS
from visard.recognizer.onnx_session import load_session

RECOGNIZERS = ["edgeface-xs", "mobileface-v2", "mobilefacenet-casia", "mobilefacenet-ms1m", "reid-retail-0095"]


def slope_agrees(module: torch.nn.Module, x: torch.Tensor) -> None:
    """The gradient along one random direction equals a central difference, in float64."""
    chance = torch.Generator().manual_seed(1)
    exact = copy.deepcopy(module).double()
    x = x.double().requires_grad_()
    output = exact(x)
    weights = torch.randn(output.shape, generator=chance, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((output * weights).sum(), x)
    direction = torch.randn(x.shape, generator=chance, dtype=torch.float64)
    step = 1e-8  # so small that hardly any unit of a real network changes its sign within it
    with torch.no_grad():
        rise = ((exact(x + step * direction) - exact(x - step * direction)) * weights).sum() / (2 * step)
    assert abs(rise - (gradient * direction).sum()) <= 3e-5 * (1 + gradient.norm())


Case = tuple[list[onnx.NodeProto], dict[str, Any]]

CASES: dict[str, Case] = {
    "Abs": ([node("Abs")], {}),
    "Add-two-computed": ([node("Relu", "x", "r"), node("Add", "x r")], {}),
    "Add-channel": ([node("Add", "c x")], {"c": noise(4, 1, 1)}),
    "Add-scalar": ([node("Add", "x c")], {"c": np.array([0.3], np.float32)}),
    "Add-outer": (
        [node("Add", "x c", "z"), node("ReduceSum", "z a", keepdims=0)],
        {"c": noise(2, 1, 1, 1, 1), "a": whole(0)},
    ),
    "AveragePool": ([node("AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])], {}),
    "AveragePool-counting": (
        [node("AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)],
        {},
    ),
    "AveragePool-uneven": (
        [node("AveragePool", kernel_shape=[3, 3], pads=[0, 0, 1, 2], count_include_pad=1)],
        {},
    ),
    "AveragePool-ceil": ([node("AveragePool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)], {"opset": 19}),
    "AveragePool-whole": ([node("AveragePool", kernel_shape=[6, 6])], {}),
    "BatchNormalization": (
        [node("BatchNormalization", "x s b m v", epsilon=1e-3)],
        {"s": noise(4), "b": noise(4, low=0), "m": noise(4), "v": noise(4, low=0.1)},
    ),
    "BatchNormalization-flat": (
        [node("BatchNormalization", "x s b m v", momentum=0.8)],
        {"s": noise(4), "b": noise(4), "m": noise(4), "v": noise(4, low=0.1), "size": (4,)},
    ),
    "Cast": ([node("Cast", to=TensorProto.DOUBLE, outputs="d"), node("Cast", "d", to=TensorProto.FLOAT)], {}),
    "Clip-inputs": ([node("Clip", "x lo hi")], {"lo": np.array(-0.2), "hi": np.array(0.4)}),
    "Clip-relu6": ([node("Clip", min=0.0, max=0.6)], {"opset": 10}),
    "Clip-below": ([optional("Clip", "x", "lo")], {"lo": np.array(0.0)}),
    "Clip-above": ([optional("Clip", "x", "", "hi")], {"hi": np.array(0.5)}),
    "Clip-after-relu": ([node("Relu", outputs="r"), optional("Clip", "r", "", "hi")], {"hi": np.array(0.5)}),
    "Clip-open": ([node("Clip")], {}),
    "Concat": ([node("Neg", outputs="m"), node("Concat", "x m x", axis=-3)], {}),
    "Conv": ([node("Conv", "x w b", kernel_shape=[3, 3])], {"w": noise(5, 4, 3, 3), "b": noise(5)}),
    "Conv-group": (
        [node("Conv", "x w", group=4, pads=[1, 1, 1, 1], strides=[2, 2])],
        {"w": noise(8, 1, 3, 3)},
    ),
    "Conv-dilated": ([node("Conv", "x w", dilations=[2, 2], pads=[2, 1, 2, 1])], {"w": noise(5, 4, 3, 3)}),
    "Conv-uneven": ([node("Conv", "x w", pads=[0, 1, 2, 0])], {"w": noise(5, 4, 3, 3)}),
    "Conv-upper": ([node("Conv", "x w", auto_pad="SAME_UPPER", strides=[2, 2])], {"w": noise(5, 4, 3, 3)}),
    "Conv-lower": ([node("Conv", "x w", auto_pad="SAME_LOWER", strides=[2, 2])], {"w": noise(5, 4, 3, 3)}),
    "Conv-valid": ([node("Conv", "x w", auto_pad="VALID")], {"w": noise(5, 4, 3, 3)}),
    "Conv-1d": ([node("Conv", "x w", pads=[1, 1])], {"w": noise(3, 4, 3), "size": (4, 6)}),
    "Dropout": ([node("Dropout", ratio=0.5)], {"opset": 10}),
    "Dropout-inputs": ([node("Dropout", "x r t")], {"r": np.array(0.5), "t": np.array(False)}),
    "Div": ([node("Div", "x c")], {"c": noise(4, 1, 1, low=1, high=2)}),
    "Div-number": ([node("Div", "x c")], {"c": np.array(3.0)}),
    "Div-under": ([node("Div", "c x")], {"c": noise(4, 1, 1), "low": 0.5}),
    "Elu": ([node("Elu", alpha=0.7)], {}),
    "Erf": ([node("Erf")], {}),
    "Exp": ([node("Exp")], {}),
    "Flatten": ([node("Flatten")], {}),
    "Flatten-2": ([node("Flatten", axis=2, outputs="f"), node("Reshape", "f s")], {"s": whole(-1, 144)}),
    "Flatten-last": ([node("Flatten", axis=4, outputs="f"), node("Reshape", "f s")], {"s": whole(-1, 144)}),
    "Gather-rows": ([node("Gather", "x i", axis=1)], {"i": whole(3, -4, 1)}),
    "Gather-one": ([node("Gather", "x i", axis=2)], {"i": np.array(1)}),
    "Gather-grid": ([node("Gather", "x i", axis=-1)], {"i": np.array([[0, 1], [5, 2]])}),
    "Gelu": ([node("Gelu")], {"opset": 20}),
    "Gelu-tanh": ([node("Gelu", approximate="tanh")], {"opset": 20}),
    "Gemm": (
        [node("Gemm", "x w b", transB=1, alpha=0.5, beta=2.0)],
        {"w": noise(3, 4), "b": noise(3), "size": (4,)},
    ),
    "Gemm-plain": ([node("Gemm", "x w")], {"w": noise(4, 3), "size": (4,)}),
    "Gemm-row": ([node("Gemm", "x w b")], {"w": noise(4, 3), "b": noise(1, 1), "size": (4,)}),
    "GlobalAveragePool": ([node("GlobalAveragePool")], {}),
    "GlobalMaxPool": ([node("GlobalMaxPool")], {}),
    "HardSigmoid": ([node("HardSigmoid", alpha=0.3, beta=0.4)], {}),
    "HardSigmoid-sixth": ([node("HardSigmoid", alpha=1 / 6)], {"high": 5.0, "low": -5.0}),
    "HardSwish": ([node("HardSwish")], {"high": 5.0, "low": -5.0}),
    "Identity": ([node("Identity", outputs="i"), node("Neg", "i")], {}),
    "InstanceNormalization": (
        [node("InstanceNormalization", "x s b", epsilon=1e-3)],
        {"s": noise(4), "b": noise(4)},
    ),
    "LayerNormalization": ([node("LayerNormalization", "x s b")], {"s": noise(6), "b": noise(6)}),
    "LayerNormalization-wide": ([node("LayerNormalization", "x s", axis=2)], {"s": noise(6, 6)}),
    "LeakyRelu": ([node("LeakyRelu", alpha=0.2)], {}),
    "Log": ([node("Log")], {"low": 0.5}),
    "LpNormalization": ([node("LpNormalization", axis=1, p=2)], {}),
    "LpNormalization-1": ([node("LpNormalization", p=1)], {}),
    "MatMul": ([node("MatMul", "x w")], {"w": noise(6, 3)}),
    "MatMul-left": ([node("MatMul", "w x")], {"w": noise(3, 6)}),
    "MatMul-computed": ([node("Transpose", perm=[0, 1, 3, 2], outputs="t"), node("MatMul", "x t")], {}),
    "Max": ([node("Max", "x c d")], {"c": noise(4, 1, 1), "d": np.array(0.0)}),
    "MaxPool": ([node("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])], {}),
    "MaxPool-ceil": ([node("MaxPool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)], {}),
    "MaxPool-uneven": ([node("MaxPool", kernel_shape=[2, 2], pads=[0, 0, 1, 1])], {}),
    "MaxPool-same": ([node("MaxPool", kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER")], {}),
    "Min": ([node("Min", "x c")], {"c": noise(4, 1, 1)}),
    "Mul": ([node("Mul", "x c")], {"c": noise(1, 4, 1, 1)}),
    "Neg": ([node("Neg")], {}),
    "PRelu": ([node("PRelu", "x s")], {"s": noise(4, 1, 1, low=0.1)}),
    "PRelu-one": ([node("PRelu", "x s")], {"s": noise(1)}),
    "PRelu-pixels": ([node("PRelu", "x s")], {"s": noise(4, 6, 6)}),
    "PRelu-flat": ([node("PRelu", "x s")], {"s": noise(4), "size": (4,)}),
    "Pad": ([node("Pad", "x p v")], {"p": whole(0, 0, 1, 0, 0, 1, 0, 2), "v": np.array(0.5)}),
    "Pad-attributes": ([node("Pad", pads=[0, 0, 1, 1, 0, 0, 1, 1], value=0.25)], {"opset": 10}),
    "Pad-reflect": ([node("Pad", "x p", mode="reflect")], {"p": whole(0, 0, 1, 2, 0, 0, 2, 1)}),
    "Pad-edge": ([node("Pad", "x p", mode="edge")], {"p": whole(0, 0, 1, 2, 0, 0, 2, 1)}),
    "Pad-axes": ([optional("Pad", "x", "p", "", "a")], {"p": whole(1, 2), "a": whole(3), "opset": 18}),
    "Pow": ([node("Pow", "x c")], {"c": np.array(2.0)}),
    "Reciprocal": ([node("Reciprocal")], {"low": 0.5}),
    "ReduceL2": ([node("ReduceL2", axes=[1], keepdims=0)], {}),
    "ReduceMax": ([node("ReduceMax", axes=[2, 3])], {}),
    "ReduceMean": ([node("ReduceMean", axes=[-1, -2])], {}),
    "ReduceMean-input": ([node("ReduceMean", "x a", keepdims=0)], {"a": whole(2, 3), "opset": 18}),
    "ReduceSum": ([node("ReduceSum", "x a")], {"a": whole(1)}),
    "ReduceSum-nothing": ([node("ReduceSum", noop_with_empty_axes=1)], {}),
    "Relu": ([node("Relu")], {}),
    "Reshape": ([node("Reshape", "x s")], {"s": whole(0, 2, -1, 6)}),
    "Reshape-rows": ([node("Reshape", "x s")], {"s": whole(-1, 144)}),
    "Resize-nearest": (
        [optional("Resize", "x", "", "s", mode="nearest", coordinate_transformation_mode="asymmetric",
                  nearest_mode="floor")],
        {"s": np.array([1, 1, 2, 2], np.float32)},
    ),
    "Resize-half-pixel": ([optional("Resize", "x", "", "s")], {"s": np.array([1, 1, 2, 3], np.float32)}),
    "Resize-linear": ([optional("Resize", "x", "", "", "n", mode="linear")], {"n": whole(1, 4, 9, 8), "batch": 1}),
    "Resize-corners": (
        [optional("Resize", "x", "", "s", mode="linear", coordinate_transformation_mode="align_corners")],
        {"s": np.array([1, 1, 1.5, 2], np.float32)},
    ),
    "Sigmoid": ([node("Sigmoid")], {}),
    "Slice": (
        [node("Slice", "x s e a t")],
        {"s": whole(1, -1), "e": whole(9, -5), "a": whole(2, 3), "t": whole(2, -2)},
    ),
    "Slice-attributes": ([node("Slice", starts=[1], ends=[2**62], axes=[1])], {"opset": 9}),
    "Slice-reversed": (
        [node("Slice", "x s e a t")],
        {"s": whole(-1), "e": whole(-(2**62)), "a": whole(1), "t": whole(-1)},
    ),
    "Softmax": ([node("Softmax")], {}),
    "Softmax-channels": ([node("Softmax", axis=1)], {}),
    "Softmax-old": ([node("Softmax", axis=2)], {"opset": 11}),
    "Softmax-old-last": ([node("Softmax", axis=3)], {"opset": 11}),
    "Split": ([node("Split", "x s", "a b", axis=1), node("Concat", "b a", axis=1)], {"s": whole(1, 3)}),
    "Split-even": ([node("Split", "x", "a b", axis=2), node("Sub", "b a")], {}),
    "Split-attribute": (
        [node("Split", "x", "a b", axis=1, split=[3, 1]), node("Concat", "b a", axis=1)],
        {"opset": 11},
    ),
    "Split-number": ([node("Split", "x", "a b", axis=3, num_outputs=2), node("Sub", "b a")], {"opset": 18}),
    "Split-single": ([node("Split", "x", "y", axis=1)], {}),
    "Sqrt": ([node("Sqrt")], {"low": 0.5}),
    "Squeeze": ([node("Squeeze", "x a")], {"a": whole(2), "size": (4, 1, 6)}),
    "Squeeze-all": ([node("Squeeze")], {"size": (4, 1, 6), "batches": (2, 3)}),
    "Squeeze-attribute": ([node("Squeeze", axes=[2])], {"size": (4, 1, 6), "opset": 11}),
    "Sub": ([node("Sub", "x c")], {"c": noise(6)}),
    "Sub-from": ([node("Sub", "c x")], {"c": np.array(1.0)}),
    "Sum": ([node("Sum", "x c x")], {"c": np.array(1.0)}),
    "Tanh": ([node("Tanh")], {}),
    "Transpose": ([node("Transpose", perm=[0, 3, 1, 2])], {}),
    "Unsqueeze": ([node("Unsqueeze", "x a")], {"a": whole(1, -1)}),
    "Unsqueeze-attribute": ([node("Unsqueeze", axes=[2])], {"opset": 11}),
    "Where": ([node("Where", "c x z")], {"c": noise(6, 6) > 0, "z": noise(4, 1, 1)}),
    # what the file computes from constants and shapes alone
    "DequantizeLinear": (
        [node("DequantizeLinear", "q s z", "w", axis=0), node("Conv", "x w")],
        {"q": (noise(5, 4, 1, 1) * 99).astype(np.int8), "s": noise(5, low=0.01, high=0.02),
         "z": np.arange(5, dtype=np.int8)},
    ),
    "DequantizeLinear-whole": (
        [node("DequantizeLinear", "q s", "w"), node("Conv", "x w")],
        {"q": (noise(5, 4, 1, 1) * 99).astype(np.int8), "s": np.array(0.02)},
    ),
    "Shape-chain": (
        [
            node("Shape", outputs="s"), node("Gather", "s zero", "n"), node("Unsqueeze", "n first", "n1"),
            node("Concat", "n1 rest", "target", axis=0), node("Reshape", "x target"),
        ],
        {"zero": np.array(0), "first": whole(0), "rest": whole(12, -1)},
    ),
    "Shape-arithmetic": (
        [
            node("Shape", outputs="s", start=0, end=1), node("Mul", "s two", "m"), node("Div", "m two", "n"),
            node("Concat", "m rest", "target", axis=0), node("Reshape", "x target", "wide"),
            node("Concat", "n back", "home", axis=0), node("Reshape", "wide home"),
        ],
        {"two": whole(2), "rest": whole(-1, 6), "back": whole(4, -1)},
    ),
    "Expand": (
        [node("Shape", outputs="s"), node("ReduceMean", axes=[1], outputs="m"), node("Expand", "m s")],
        {},
    ),
    "Expand-ranks": (
        [node("Expand", "x s", "z"), node("ReduceMax", "z", axes=[0], keepdims=0)],
        {"s": whole(2, 1, 1, 1, 6)},
    ),
    "Expand-short": ([node("Expand", "x s")], {"s": whole(1)}),
    "ConstantOfShape": (
        [
            node("Shape", outputs="s"),
            node("ConstantOfShape", "s", "ones", value=numpy_helper.from_array(np.array([1.5], np.float32))),
            node("CumSum", "ones axis", "steps"), node("Sin", "steps", "sin"), node("Cos", "steps", "cos"),
            node("Add", "sin cos", "wave"), node("Mul", "x wave"),
        ],
        {"axis": np.array(3)},
    ),
    "Equal": (
        [
            node("Shape", outputs="s"), node("ConstantOfShape", "four", "ones",
                value=numpy_helper.from_array(np.array([1]))),
            node("Equal", "wanted minus", "same"), node("Not", "same", "other"),
            node("Where", "other wanted ones", "size"), node("Expand", "x size"),
        ],
        {"four": whole(4), "wanted": whole(-1, 4, 6, 6), "minus": whole(-1)},
    ),
    "Constant": (
        [
            node("Constant", "", "a", value_float=0.5), node("Constant", "", "b", value_ints=[0, -1]),
            node("Constant", "", "c", value=numpy_helper.from_array(noise(6))),
            node("Constant", "", "d", value_floats=[0.25]), node("Constant", "", "i", value_int=2),
            node("Gather", "c i", "e"),
            node("Mul", "x a", "m"), node("Add", "m c", "n"), node("Sub", "n d", "o"), node("Sub", "o e", "p"),
            node("Reshape", "p b"),
        ],
        {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_operator_equals_onnxruntime_and_has_its_gradient(name: str, tmp_path: Path) -> None:
    nodes, extra = CASES[name]
    low, high = extra.get("low", -1.0), extra.get("high", 1.0)
    file = write(tmp_path, nodes, **{k: v for k, v in extra.items() if k not in {"low", "high", "batches"}})
    module = load_graph(file)
    size = extra.get("size", FACE)
    for batch in extra.get("batches", (1, 3)):
        x = torch.from_numpy(noise(batch, *size, low=low, high=high))
        expected = torch.cat([reference(file, row[None]) for row in x]) if "batch" in extra else reference(file, x)
        torch.testing.assert_close(module(x), expected, atol=2e-6, rtol=2e-6)
    slope_agrees(module, x)


def test_every_operator_of_the_table_has_a_case() -> None:
    assert {n.op_type for nodes, _ in CASES.values() for n in nodes} == set(OPERATORS)


# What the passes make of a graph


def targets(module: torch.fx.GraphModule) -> list[str]:
    return [str(getattr(n.target, "__name__", n.target)) for n in module.graph.nodes if n.op.startswith("call")]


FOLDED: dict[str, tuple[list[onnx.NodeProto], list[str], dict[str, Any]]] = {
    "batch normalization after a convolution": (
        [node("Conv", "x w", "c"), node("BatchNormalization", "c s b m v")],
        ["conv2d"],
        {"w": noise(5, 4, 3, 3), "s": noise(5), "b": noise(5), "m": noise(5), "v": noise(5, low=0.01)},
    ),
    "scales and shifts after a convolution": (
        [
            node("Conv", "x w b", "c"), node("Mul", "k c", "d"), node("Add", "d k", "e"),
            node("Sub", "e h", "f"), node("Div", "f h"),
        ],
        ["conv2d"],
        {"w": noise(5, 4, 3, 3), "b": noise(5), "k": noise(5, 1, 1), "h": np.array(0.5)},
    ),
    "shift and normalization after a product": (
        [node("MatMul", "x w", "c"), node("Add", "c b", "d"), node("BatchNormalization", "d s b m v")],
        ["linear"],
        {"w": noise(4, 5), "s": noise(5), "b": noise(5), "m": noise(5), "v": noise(5, low=0.1), "size": (4,)},
    ),
    "a shift per pixel stays": (
        [node("Conv", "x w", "c"), node("Add", "c k")],
        ["conv2d", "add"],
        {"w": noise(5, 4, 3, 3), "k": noise(4, 4)},
    ),
    "a result that is used twice stays": (
        [node("Conv", "x w", "c"), node("Mul", "c h", "d"), node("Add", "c d")],
        ["conv2d", "mul", "add"],
        {"w": noise(5, 4, 3, 3), "h": np.array(0.5)},
    ),
    "padding before a convolution": (
        [node("Pad", "x p", "q"), node("Conv", "q w", pads=[1, 0, 1, 0])],
        ["conv2d"],
        {"w": noise(5, 4, 3, 3), "p": whole(0, 0, 1, 2, 0, 0, 1, 2)},
    ),
    "padding with ones stays": (
        [node("Pad", "x p h", "q"), node("Conv", "q w")],
        ["pad", "conv2d"],
        {"w": noise(5, 4, 3, 3), "p": whole(0, 0, 1, 2, 0, 0, 1, 2), "h": np.array(1.0)},
    ),
    "gelu": (
        [
            node("Div", "x r", "a"), node("Erf", "a", "b"), node("Add", "b one", "c"), node("Mul", "x c", "d"),
            node("Mul", "d h"),
        ],
        ["gelu"],
        {"r": np.array(2**0.5), "one": np.array(1.0), "h": np.array(0.5)},
    ),
    "gelu with the half first": (
        [
            node("Mul", "x h", "z"), node("Mul", "x r", "a"), node("Erf", "a", "b"), node("Add", "b one", "c"),
            node("Mul", "z c"),
        ],
        ["gelu"],
        {"r": np.array(0.5**0.5), "one": np.array(1.0), "h": np.array(0.5)},
    ),
    "nearly gelu stays": (
        [
            node("Div", "x r", "a"), node("Erf", "a", "b"), node("Add", "b one", "c"), node("Mul", "x c", "d"),
            node("Mul", "d h"),
        ],
        ["div", "erf", "add", "mul", "mul"],
        {"r": np.array(2**0.5), "one": np.array(1.0), "h": np.array(0.4)},
    ),
    "silu": ([node("Sigmoid", "x", "s"), node("Mul", "s x")], ["silu"], {}),
    "hardswish": ([node("HardSigmoid", "x", "s", alpha=1 / 6), node("Mul", "x s")], ["hardswish"], {}),
    "relu6": ([node("Relu", "x", "r"), optional("Clip", "r", "", "h")], ["hardtanh"], {"h": np.array(0.5)}),
}  # fmt: skip


@pytest.mark.parametrize("name", FOLDED)
def test_folding_keeps_the_values(name: str, tmp_path: Path) -> None:
    nodes, expected, extra = FOLDED[name]
    file = write(tmp_path, nodes, **extra)
    module = load_graph(file)
    assert targets(module) == expected
    x = torch.from_numpy(noise(3, *extra.get("size", FACE)))
    torch.testing.assert_close(module(x), reference(file, x), atol=2e-6, rtol=5e-6)
    slope_agrees(module, x)


def test_the_module_is_an_ordinary_one(tmp_path: Path) -> None:
    nodes, _, weights = FOLDED["batch normalization after a convolution"]
    module = load_graph(write(tmp_path, nodes, **weights))
    assert not module.training
    assert {key: p.requires_grad for key, p in module.named_parameters()} == {
        "conv2d_weight": False,
        "conv2d_bias": False,
    }
    assert "torch.conv2d(face, conv2d_weight" in module.code
    assert module(torch.ones(1, *FACE)).is_contiguous(memory_format=torch.channels_last)
    for parameter in module.parameters():
        parameter.requires_grad_()
    module(torch.ones(1, *FACE)).sum().backward()
    assert all(parameter.grad is not None for parameter in module.parameters())


@given(st.integers(1, 4), st.floats(-0.5, 1.5), st.booleans())
@settings(deadline=None, max_examples=25)
def test_prelu_has_the_gradients_of_torch(rank: int, steepest: float, single: bool) -> None:
    size = (2, 3, 4, 2)[:rank]
    slope = torch.linspace(-0.2, steepest, 1 if single or rank == 1 else size[1], dtype=torch.float64).requires_grad_()
    x = torch.randn(size, dtype=torch.float64).mul(2).round().div(2).requires_grad_()  # with zeros
    weights = torch.randn(size, dtype=torch.float64)
    ours = torch.autograd.grad((prelu(x, slope) * weights).sum(), (x, slope))
    theirs = torch.autograd.grad((F.prelu(x, slope) * weights).sum(), (x, slope))
    torch.testing.assert_close(ours, theirs)


@given(
    st.integers(1, 9), st.integers(1, 3), st.integers(1, 2), st.integers(0, 2), st.integers(0, 2), st.integers(1, 2)
)  # fmt: skip
@settings(deadline=None, max_examples=30)
def test_any_convolution(size: int, kernel: int, stride: int, before: int, after: int, dilation: int) -> None:
    assume(size + before + after >= (kernel - 1) * dilation + 1)
    weight, x = noise(2, 2, kernel, kernel), torch.from_numpy(noise(2, 4, size, size))
    nodes = [
        node("Conv", "x w", group=2, strides=[stride] * 2, dilations=[dilation] * 2,
             pads=[before, after, after, before])
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        file = write(Path(folder), nodes, (4, size, size), w=weight)
        torch.testing.assert_close(load_graph(file)(x), reference(file, x), atol=1e-6, rtol=1e-6)


def test_an_operator_that_the_output_does_not_need_is_left_out(tmp_path: Path) -> None:
    assert targets(load_graph(write(tmp_path, [node("LSTM", "x", "z"), node("Neg")]))) == ["neg"]


# The batch


FIXED: dict[str, Case] = {
    "flattened": ([node("Reshape", "x s")], {"s": whole(1, 144)}),
    "flattened with a blank": ([node("Reshape", "x s")], {"s": whole(1, -1)}),
    "heads led by the batch": (
        [node("Reshape", "x s", "h"), node("ReduceMean", "h", "m", axes=[2]), node("Reshape", "m t")],
        {"s": whole(2, 12, 6), "t": whole(1, 24)},
    ),
    "heads behind the length": (
        [
            node("Transpose", "x", "t", perm=[1, 0, 2, 3]), node("Reshape", "t s", "h"),
            node("Transpose", "h", "b", perm=[1, 0, 2]), node("Reshape", "b e"),
        ],
        {"s": whole(4, 3, 12), "e": whole(1, 144)},
    ),
    "a class token": (
        [node("Reshape", "x s", "t"), node("Concat", "c t", axis=1)],
        {"s": whole(1, 4, 36), "c": noise(1, 1, 36)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FIXED)
def test_a_batch_fixed_at_one_is_freed(name: str, tmp_path: Path) -> None:
    nodes, weights = FIXED[name]
    file = write(tmp_path, nodes, batch=1, **weights)
    x = torch.from_numpy(noise(3, *FACE))
    expected = torch.cat([reference(file, row[None]) for row in x])
    torch.testing.assert_close(load_graph(file)(x), expected)
    torch.testing.assert_close(load_session(file)(x), expected)


def test_a_larger_fixed_batch_is_freed(tmp_path: Path) -> None:
    file = write(tmp_path, [node("Reshape", "x s")], batch=4, s=whole(4, 144))
    x = torch.from_numpy(noise(4, *FACE))
    module = load_graph(file)
    torch.testing.assert_close(module(x), reference(file, x))
    assert module(x[:1]).shape == (1, 144)
    with pytest.raises(RecognizerError, match="takes exactly 4 faces at a time"):
        load_session(file)


def test_an_open_size_is_given(tmp_path: Path) -> None:
    file = write(tmp_path, [node("GlobalAveragePool")], (4, "h", "w"))
    x = torch.from_numpy(noise(2, *FACE))
    torch.testing.assert_close(load_graph(file, size=(6, 6))(x), reference(file, x))
    with pytest.raises(RecognizerError, match="leaves the size of its input open"):
        load_graph(file)


# Real networks


@pytest.fixture(scope="module", params=RECOGNIZERS)
def network(request: pytest.FixtureRequest, assets: Path) -> tuple[torch.fx.GraphModule, Path, dict[str, Any]]:
    card = json.loads((assets / "models/cards.json").read_text())["recognizers"][request.param]
    file = assets / "models" / card["file"]
    return load_graph(file), file, card


def faces(assets: Path, card: dict[str, Any], count: int) -> torch.Tensor:
    """The middle of the first pictures of as many people, as the card wants them, (N, 3, H, W)."""
    left, top, right, bottom = (c + 24 for c in card["crop"])
    height, width = card["input"]
    rows = []
    for folder in sorted((assets / "data/lfw-160").iterdir())[:count]:
        picture = Image.open(min(folder.glob("*.jpg"))).convert("RGB").crop((left, top, right, bottom))
        pixels = np.asarray(picture.resize((width, height)), np.float32)
        rows.append(pixels if card["channels"] == "RGB" else pixels[..., ::-1])
    scaled = (np.stack(rows) - np.float32(card["mean"])) / np.float32(card["std"])
    return torch.from_numpy(np.ascontiguousarray(scaled.transpose(0, 3, 1, 2), np.float32))


def unit(x: torch.Tensor) -> torch.Tensor:
    return F.normalize(x.flatten(1))


@pytest.mark.assets
def test_a_real_network(network: tuple[torch.fx.GraphModule, Path, dict[str, Any]], assets: Path) -> None:
    module, file, card = network
    box = load_session(file)
    random = torch.randn(3, 3, *card["input"], generator=torch.Generator().manual_seed(1)) * 255 / card["std"][0] / 4
    for x in (random, faces(assets, card, 6)):
        found = unit(module(x))
        assert found.shape == (len(x), card["dim"])
        assert (found - unit(box(x))).abs().max() < 1e-5
    rows = torch.cat([module(row[None]) for row in x[:3]])
    torch.testing.assert_close(unit(rows), unit(module(x[:3])), atol=2e-6, rtol=0)


@pytest.mark.assets
def test_the_gradient_of_a_real_network(
    network: tuple[torch.fx.GraphModule, Path, dict[str, Any]], assets: Path
) -> None:
    module, _, card = network
    slope_agrees(module, faces(assets, card, 1))
    x = faces(assets, card, 1).requires_grad_()
    module(x).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in module.parameters())
