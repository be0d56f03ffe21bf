"""ONNX files as black boxes: onnxruntime runs them, so they can judge but give no gradient."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from visard.errors import MissingExtraError, RecognizerError, WeightsError
from visard.recognizer.onnx_graph import read_model

__all__ = ["OnnxSession", "load_session"]


class OnnxSession(nn.Module):
    """A network that onnxruntime runs on the CPU, (N, C, H, W) float32 to what the file computes, (N, ...).

    A file exported for one row at a time is run row by row. Raises RecognizerError when a gradient is asked for.
    """

    def __init__(self, session: Any, name: str) -> None:
        super().__init__()
        self.session = session
        self.name = name
        entry = session.get_inputs()[0]
        self.entry = entry.name
        self.rows = entry.shape[0] if entry.shape and isinstance(entry.shape[0], int) else None

    def forward(self, x: Tensor) -> Tensor:
        """The network's output for a batch, without gradient."""
        if x.requires_grad and torch.is_grad_enabled():
            raise RecognizerError(f"{self.name} is a black box; it can judge but not make a cloak.")
        array = x.detach().float().cpu().contiguous()
        rows = self.rows or len(array)
        parts = [self._run(part) for part in array.split(rows)] if rows else [self._run(array)]
        return torch.cat(parts).to(x.device)

    def _run(self, rows: Tensor) -> Tensor:
        try:
            return torch.from_numpy(self.session.run(None, {self.entry: rows.numpy()})[0])
        except Exception as error:  # onnxruntime derives its errors from Exception alone
            raise RecognizerError(
                f"{self.name} cannot be run on an input of shape {tuple(rows.shape)}; check the size of its input."
            ) from error


def load_session(path: Path) -> OnnxSession:
    """The network of an ONNX file as a black box.

    Raises MissingExtraError without `onnx` and `onnxruntime`, WeightsError for a damaged file, one with external
    data or one that onnxruntime refuses, RecognizerError for several inputs or outputs or a fixed batch above 1.
    """
    try:
        import onnxruntime as ort
    except ImportError:
        raise MissingExtraError("Running ONNX files", "onnx") from None
    read_model(path)
    name = Path(path).name
    options = ort.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # its waiting threads slow torch's
    options.log_severity_level = 4
    try:  # from bytes, so that nothing but this file can be read
        session = ort.InferenceSession(Path(path).read_bytes(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime derives its errors from Exception alone
        raise WeightsError(f"{name} is damaged or needs a newer onnxruntime; it cannot be run.") from error
    wrapped = OnnxSession(session, name)
    if wrapped.rows is not None and wrapped.rows > 1:
        raise RecognizerError(f"{name} takes exactly {wrapped.rows} faces at a time; export it with an open batch.")
    return wrapped
