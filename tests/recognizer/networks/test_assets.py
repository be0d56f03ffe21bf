"""Real weights in PyTorch against the same weights in ONNX, run by onnxruntime."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from visard.recognizer.checkpoint import load_network
from visard.recognizer.networks import Network, find_network

pytestmark = pytest.mark.assets

CHECKPOINTS = {
    "mobilefacenet-relu6": ("mobilefacenet-ms1m.pt", "mobilefacenet-ms1m.onnx"),
    "mobilefacenet-112x96": ("mobilefacenet-casia.ckpt", "mobilefacenet-casia.onnx"),
}


def faces_for(network: Network) -> Tensor:
    smooth = torch.rand(3, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    return nn.functional.interpolate(smooth, size=network.input, mode="bicubic") * 2 - 1


def assert_agrees(module: nn.Module, network: Network, onnx: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(onnx), providers=["CPUExecutionProvider"])
    faces = faces_for(network)
    rows = [session.run(None, {session.get_inputs()[0].name: face[None].numpy()})[0].reshape(1, -1) for face in faces]
    expected = nn.functional.normalize(torch.from_numpy(np.concatenate(rows)))
    with torch.no_grad():
        torch.testing.assert_close(nn.functional.normalize(module(faces)), expected, atol=1e-5, rtol=0)
    assert float((expected @ expected.T).min()) < 0.99  # the faces differ


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_checkpoints_agree_with_onnx(assets: Path, name: str) -> None:
    checkpoint, onnx = CHECKPOINTS[name]
    module = load_network(name, assets / "models/checkpoints" / checkpoint)
    assert_agrees(module, find_network(name), assets / "models/recognizers" / onnx)


def test_edgeface_agrees_with_onnx(assets: Path) -> None:
    """The exporter kept the names of all but the matrices, which it transposed and numbered in forward order."""
    onnx = pytest.importorskip("onnx")
    path = assets / "models/recognizers/edgeface-xs.onnx"
    stored = {i.name: torch.tensor(onnx.numpy_helper.to_array(i)) for i in onnx.load(str(path)).graph.initializer}
    network = find_network("edgeface-xs")
    module = network.build().eval()
    matrices = iter([value for name, value in stored.items() if name.startswith("onnx::MatMul_")])
    state = {
        key: stored[f"n.{key}"] if f"n.{key}" in stored else next(matrices).T.contiguous()
        for key in module.state_dict()
    }
    assert next(matrices, None) is None
    module.load_state_dict(state)
    assert_agrees(module, network, path)
