"""Small ONNX files for tests, and what onnxruntime makes of them."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import TensorProto, helper, numpy_helper

FACE = (4, 6, 6)


def noise(*size: int, low: float = -1.0, high: float = 1.0) -> np.ndarray:
    return np.random.default_rng(sum(size)).uniform(low, high, size).astype(np.float32)


def whole(*numbers: int) -> np.ndarray:
    return np.array(numbers, dtype=np.int64)


def node(kind: str, inputs: str = "x", outputs: str = "y", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, inputs.split(), outputs.split(), name=f"the_{kind}_{outputs}", **attributes)


def optional(kind: str, *inputs: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, ["y"], name=f"the_{kind}", **attributes)


def write(
    path: Path,
    nodes: list[onnx.NodeProto],
    size: tuple[int | str, ...] = FACE,
    opset: int = 17,
    batch: int | str = "n",
    **weights: np.ndarray,
) -> Path:
    """A file with the input x (batch, *size) and the output y."""
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, *size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(value.astype(np.float32) if value.dtype == np.float64 else value, key)
            for key, value in weights.items()
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    file = path / "made.onnx"
    file.write_bytes(model.SerializeToString())
    return file


def reference(file: Path, x: torch.Tensor) -> torch.Tensor:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = ort.InferenceSession(file.read_bytes(), options, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {"x": x.numpy()})[0])
