"""ONNX files that are refused, and networks that run as black boxes."""

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from onnx_files import FACE, node, noise, optional, whole, write
from visard.errors import MissingExtraError, RecognizerError, UnsupportedOperatorError, WeightsError
from visard.recognizer.onnx_graph import load_graph
from visard.recognizer.onnx_session import load_session

RECOGNIZERS = ["edgeface-xs", "mobileface-v2", "mobilefacenet-casia", "mobilefacenet-ms1m", "reid-retail-0095"]


UNSUPPORTED: dict[str, tuple[list[onnx.NodeProto], str, dict[str, Any]]] = {
    "operator": ([node("LSTM", "x w r")], "operator LSTM (node 'the_LSTM_y'), which", {"w": noise(1), "r": noise(1)}),
    "domain": (
        [helper.make_node("FusedConv", ["x"], ["y"], name="f", domain="com.microsoft")],
        "com.microsoft.FusedConv (node 'f'), which",
        {},
    ),
    "attribute": ([node("Neg", speed=3)], "with the attribute 'speed', which", {}),
    "reserved attribute": ([node("Softmax", opset=3)], "with the attribute 'opset', which", {}),
    "outputs": ([node("MaxPool", "x", "y i", kernel_shape=[2, 2])], "with 2 outputs, which", {}),
    "computed shape": ([node("Pad", "x x")], "with a computed input 2, which", {}),
    "mode": ([node("Pad", "x p", mode="wrap")], "with mode 'wrap', which", {"p": whole(0, 0, 1, 1, 0, 0, 1, 1)}),
    "channels": (
        [node("Pad", "x p", mode="edge")], "with mode 'edge' over channels", {"p": whole(0, 1, 0, 0, 0, 0, 0, 0)}
    ),
    "training": ([node("BatchNormalization", "x s s s s", training_mode=1)], "in training mode", {"s": noise(4)}),
    "own statistics": (
        [node("ReduceMax", "x", "m", axes=[0, 2, 3], keepdims=0), node("BatchNormalization", "x s s m s")],
        "with statistics of its own input",
        {"s": noise(4)},
    ),
    "dropout": ([node("Dropout", "x r t")], "in training mode", {"r": np.array(0.5), "t": np.array(True)}),
    "computed weights": ([node("Gemm", "w x", transB=1)], "with computed weights", {"w": noise(3, 4), "size": (4,)}),
    "transposed rows": ([node("Gemm", "x w", transA=1)], "with transA", {"w": noise(1, 4), "size": (4,)}),
    "three dimensions": (
        [node("Conv", "x w")], "over 3 spatial axes",
        {"w": noise(1, 4, 1, 1, 1), "size": (4, 2, 2, 2)},
    ),
    "pool": ([node("AveragePool", kernel_shape=[2])], "over 1 spatial axes", {"size": (4, 8)}),
    "uneven": ([node("AveragePool", kernel_shape=[2, 2], pads=[0, 0, 1, 1])], "with uneven pads", {}),
    "uneven ceiling": ([node("MaxPool", kernel_shape=[2, 2], pads=[0, 0, 1, 1], ceil_mode=1)], "ceil_mode", {}),
    "dilated average": ([node("AveragePool", kernel_shape=[2, 2], dilations=[2, 2])], "dilations", {"opset": 19}),
    "auto_pad": ([node("Conv", "x w", auto_pad="SOMEHOW")], "with auto_pad 'SOMEHOW'", {"w": noise(1, 4, 1, 1)}),
    "cast to integer": ([node("Cast", to=TensorProto.INT32)], "of a computed value to a type", {}),
    "cast to text": (
        [node("Cast", "s", "t", to=TensorProto.STRING), node("Add", "x t")], "element type 8",
        {"s": noise(6)},
    ),
    "cubic": ([optional("Resize", "x", "", "s", mode="cubic")], "with mode 'cubic'", {"s": np.array([1, 1, 2.0, 2])}),
    "cropped": ([node("Resize", "x r s")], "region of interest", {"r": noise(8), "s": np.array([1, 1, 2.0, 2])}),
    "fraction": ([optional("Resize", "x", "", "s")], "to a fractional size", {"s": np.array([1, 1, 1.25, 2])}),
    "channel resize": ([optional("Resize", "x", "", "s")], "over channels", {"s": np.array([1, 2.0, 1, 2])}),
    "nearest": ([optional("Resize", "x", "", "s")], "nearest pixels of this form", {"s": np.array([1, 1, 0.5, 0.5])}),
    "antialias": (
        [optional("Resize", "x", "", "s", mode="linear", antialias=1)], "with antialias",
        {"s": np.array([1, 1, 0.5, 0.5]), "opset": 18},
    ),
    "flattened batch": ([node("Flatten", axis=0)], "over the batch", {}),
    "normalized batch": ([node("LayerNormalization", "x s", axis=0)], "over the batch", {"s": noise(6)}),
    "softmax over the batch": ([node("Softmax", axis=0)], "over the batch", {"opset": 11}),
    "allowzero": ([node("Reshape", "x s", allowzero=1)], "with allowzero", {"s": whole(0, -1)}),
    "cumulative": (
        [node("CumSum", "w a", "c", reverse=1), node("Add", "x c")], "in reverse",
        {"w": noise(6), "a": np.array(0)},
    ),
    "dequantized input": ([node("DequantizeLinear", "x s")], "of a computed value", {"s": np.array(1.0)}),
    "fixed batch": (
        [node("Transpose", "x", "t", perm=[1, 2, 3, 0]), node("Reshape", "t s")], "with the batch fixed at 1",
        {"s": whole(144), "batch": 1},
    ),
    "follows the batch": (
        [node("Shape", "x", "s", end=1), node("Cast", "s", "f", to=1), node("Mul", "x f")],
        "with an input that follows the batch",
        {},
    ),
    "huge": (
        [node("ConstantOfShape", "s", "z"), node("ReduceSum", "z", "r", keepdims=0), node("Add", "x r")],
        "of a size beyond reason",
        {"s": whole(10**6, 10**6)},
    ),
    "huge expansion": (
        [node("Expand", "c s", "e"), node("ReduceMax", "e", "r", keepdims=0), node("Add", "x r")],
        "to a size beyond reason",
        {"s": whole(10**6, 10**6), "c": noise(1)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_an_unsupported_form_is_named(name: str, tmp_path: Path) -> None:
    nodes, reason, extra = UNSUPPORTED[name]
    file = write(tmp_path, nodes, **extra)
    with pytest.raises(UnsupportedOperatorError) as caught:
        load_graph(file)
    message = str(caught.value)
    assert reason in message
    assert message.startswith("made.onnx uses the operator ")
    assert message.endswith("which visard cannot import; add it as a black box instead.")


def test_an_old_operator_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedOperatorError, match="operator set 6, older than 7"):
        load_graph(write(tmp_path, [node("Neg")], opset=6))


@pytest.mark.parametrize("load", [load_graph, load_session])
@pytest.mark.parametrize("content", [b"", b"not a network", b"\x80\x04\x95pickle", b"\x08\x08" * 50])
def test_a_file_that_is_not_onnx(content: bytes, load: Any, tmp_path: Path) -> None:
    file = tmp_path / "odd.onnx"
    file.write_bytes(content)
    with pytest.raises(WeightsError, match=r"^odd.onnx is damaged or is not an ONNX file; fetch it again\.$"):
        load(file)


@pytest.mark.parametrize("load", [load_graph, load_session])
def test_a_missing_file(load: Any, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"none\.onnx cannot be read: No such file"):
        load(tmp_path / "none.onnx")


DAMAGED: dict[str, tuple[list[onnx.NodeProto], str, dict[str, Any]]] = {
    "shapes": ([node("Conv", "x w")], "node 'the_Conv_y' (Conv) does not fit its inputs", {"w": noise(2, 3, 1, 1)}),
    "missing value": ([node("Add", "x gone")], "reads 'gone' before it exists", {}),
    "missing attribute": ([node("MaxPool")], "(MaxPool) does not fit", {}),
    "missing input": ([node("Conv", "x")], "(Conv) does not fit", {}),
    "constant output": ([node("Neg", "c")], "its output does not depend on its input", {"c": noise(2)}),
    "text": ([node("Add", "x c")], "holds the tensor 'c' of type object", {"c": np.array(["a"], object)}),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_graph(name: str, tmp_path: Path) -> None:
    nodes, reason, extra = DAMAGED[name]
    with pytest.raises(WeightsError, match=r"^made\.onnx .*\.$") as caught:
        load_graph(write(tmp_path, nodes, **extra))
    assert reason in str(caught.value)


@given(st.data())
@settings(deadline=None, max_examples=150)
def test_any_damage_is_a_visard_error_or_still_a_network(data: st.DataObject) -> None:
    nodes = [node("Conv", "x w", "c"), node("PRelu", "c s", "p"), node("Flatten", "p")]
    with tempfile.TemporaryDirectory() as folder:
        damaged = bytearray(write(Path(folder), nodes, w=noise(2, 4, 1, 1), s=noise(2, 1, 1)).read_bytes())
        for _ in range(data.draw(st.integers(1, 3))):
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
        file = Path(folder) / "damaged.onnx"
        file.write_bytes(damaged[: data.draw(st.integers(len(damaged) // 2, len(damaged)))])
        try:
            assert isinstance(load_graph(file), torch.fx.GraphModule)
        except RecognizerError as error:
            assert str(error).endswith(".")  # noqa: PT017  (either is right)


@pytest.mark.parametrize("load", [load_graph, load_session])
def test_external_data_is_refused(load: Any, tmp_path: Path) -> None:
    model = onnx.load(write(tmp_path, [node("Mul", "x c")], c=noise(4, 6, 6)))
    onnx.save(model, tmp_path / "split.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    with pytest.raises(WeightsError, match=r"split\.onnx keeps its weights in other files; save it as a single file"):
        load(tmp_path / "split.onnx")


@pytest.mark.parametrize("load", [load_graph, load_session])
def test_several_outputs_are_refused(load: Any, tmp_path: Path) -> None:
    file = write(tmp_path, [node("Split", "x", "y z", axis=1)])
    model = onnx.load(file)
    model.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, None))
    onnx.save(model, file)
    with pytest.raises(RecognizerError, match=r"made\.onnx has 2 outputs; visard imports networks with exactly one"):
        load(file)


def test_a_network_that_mixes_faces_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecognizerError, match="mixes the rows of a batch"):
        load_graph(write(tmp_path, [node("ReduceMean", "x", axes=[0])]))


def test_an_input_of_integers_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path, [node("Identity")])
    model = onnx.load(file)
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    onnx.save(model, file)
    with pytest.raises(UnsupportedOperatorError, match="takes an input that is not float32"):
        load_graph(file)


@pytest.mark.parametrize(("load", "module"), [(load_graph, "onnx"), (load_session, "onnxruntime")])
def test_the_extra_is_asked_for(load: Any, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'visard\[onnx\]'"):
        load(tmp_path / "any.onnx")


# Black boxes


def test_a_black_box_judges_and_gives_no_gradient(tmp_path: Path) -> None:
    box = load_session(write(tmp_path, [node("Flatten")]))
    x = torch.from_numpy(noise(3, *FACE))
    torch.testing.assert_close(box(x), x.flatten(1))
    assert box(x[:0]).shape == (0, 144)
    assert not box(x).requires_grad
    with pytest.raises(RecognizerError, match=r"made\.onnx is a black box; it can judge but not make a cloak"):
        box(x.requires_grad_())
    with torch.no_grad():
        assert box(x).shape == (3, 144)
    with pytest.raises(RecognizerError, match="cannot be run on an input of shape"):
        box(torch.zeros(1, 2, 3))


def test_a_black_box_that_onnxruntime_refuses(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"made.onnx is damaged or needs a newer onnxruntime"):
        load_session(write(tmp_path, [node("Unheard")]))
