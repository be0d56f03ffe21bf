"""Recognizers small enough to make in a test."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

SIDE, DIM = 16, 8


def tiny_onnx(path: Path, seed: int = 0, dim: int = DIM, side: int = SIDE) -> Path:
    """An ONNX file, (N, 3, side, side) -> (N, dim): the mean of a 3x3 convolution."""
    rng = np.random.default_rng(seed)
    weights = {"w": rng.normal(size=(dim, 3, 3, 3)), "b": rng.normal(size=dim)}
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w", "b"], ["maps"], kernel_shape=[3, 3]),
            helper.make_node("GlobalAveragePool", ["maps"], ["means"]),
            helper.make_node("Flatten", ["means"], ["y"]),
        ],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, side, side])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", dim])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), str(path))
    return path


def tiny_card(**changes: Any) -> dict[str, Any]:
    """The JSON form of a card of ``tiny_onnx``; a change to None takes the key away."""
    card = {
        "name": "tiny",
        "format": "onnx",
        "file": "tiny.onnx",
        "sha256": "0" * 64,
        "input": [SIDE, SIDE],
        "crop": [0, 0, 112, 112],
        "mean": [127.5, 120, 110],
        "std": [128, 100, 90],
        "dim": DIM,
        "role": "juror",
    }
    return {key: value for key, value in {**card, **changes}.items() if value is not None}


def write_card(path: Path, **changes: Any) -> Path:
    """``tiny_card`` as a file, without the facts that ``visard.recognizer.add`` finds itself."""
    path.write_text(json.dumps(tiny_card(**{"sha256": None, "file": None, "format": None, **changes})))
    return path
