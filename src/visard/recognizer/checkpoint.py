"""Weights files of the named networks: PyTorch's and safetensors', never unpickled into code."""

import os
import pickle
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save, save_file
from torch import Tensor, nn

from visard.errors import RecognizerError, WeightsError
from visard.recognizer.networks import Network, find_network, network_names, unwrapped

PYTORCH_SUFFIXES = (".pt", ".pth", ".ckpt", ".tar")
_PICKLES = (".pkl", ".pickle")
# where training frameworks keep the network's tensors
_WRAPPING_KEYS = ("state_dict", "model_state_dict", "net_state_dict", "model", "net", "backbone", "weights")
_SHOWN = 3  # names in an error


def read_state_dict(path: Path, wrapping: Sequence[str] = _WRAPPING_KEYS) -> dict[str, Tensor]:
    """The tensors by name in a ``.safetensors``, ``.pt``, ``.pth``, ``.ckpt`` or ``.tar`` file, on the CPU, floating
    ones as float32.

    A dictionary around them ({"state_dict": ...}, or another of the names `wrapping`) is taken off. No code in the
    file runs. Raises ``WeightsError``.
    """
    suffix = path.suffix.lower()
    if suffix in _PICKLES:
        raise _code(path)
    if suffix != ".safetensors" and suffix not in PYTORCH_SUFFIXES:
        raise WeightsError(f"{path.name}: give weights as .safetensors, {', '.join(PYTORCH_SUFFIXES)}.")
    if not path.is_file():
        raise WeightsError(f"The weights file {path} does not exist; check the name.")
    if path.stat().st_size == 0:
        raise WeightsError(f"{path.name} is empty; download it again.")
    state = _tensors(_read_safetensors(path) if suffix == ".safetensors" else _read_pytorch(path), wrapping)
    if not state:
        raise WeightsError(f"{path.name} holds no tensors by name; it should be a network's state dict.")
    return {key: value.float() if value.is_floating_point() else value for key, value in state.items()}


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path.name} is not a whole safetensors file ({error}); download it again.") from error


def _read_pytorch(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, LookupError, TypeError, ValueError) as error:
        # "global": a name from a program that the file wants called
        if "Unsupported global" in str(error) or "TorchScript" in str(error):
            raise _code(path) from error
        raise WeightsError(f"{path.name} is damaged or no PyTorch file; download it again.") from error


def _code(path: Path) -> WeightsError:
    return WeightsError(
        f"{path.name} can hold code beside its tensors, which visard does not run; where you trust it, load it there, "
        "write its tensors by name with safetensors.torch.save_file and give that file."
    )


def _tensors(content: Any, wrapping: Sequence[str]) -> dict[str, Tensor]:
    """The tensors of `content`, or of the dictionary that it wraps; without what is no tensor."""
    while isinstance(content, Mapping):
        inner = next((content[key] for key in wrapping if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            return {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
        content = inner
    return {}


def load_network(name: str, path: Path) -> nn.Module:
    """The network called `name` with the weights of `path`, in its own or a published layout; ready to evaluate.

    Raises ``UnknownRecognizerError``, and ``WeightsError`` where the file does not fit, with the first few names at
    fault and the network that it does fit.
    """
    network = find_network(name)
    published = unwrapped(read_state_dict(path))
    module, fault = _fitted(network, published)
    if not fault:
        return module.eval()
    others = [find_network(other) for other in network_names() if other != name]
    fitting = [f'"{other.name}"' for other in others if not _fitted(other, published)[1]]
    hint = f"it fits {' and '.join(fitting)}" if fitting else "it fits no other network either"
    raise WeightsError(f'{path.name} does not fit the network "{name}": {fault}; {hint}.')


def _fitted(network: Network, published: Mapping[str, Tensor]) -> tuple[nn.Module, str]:
    """The network with its weights, and what is at fault, "" for nothing."""
    with torch.device("meta"):  # no memory, no random numbers
        module = network.build()
    own, state = module.state_dict(), network.convert(published)
    for key in own:
        if key.endswith("num_batches_tracked"):  # older files lack it, and nothing here reads it
            state.setdefault(key, torch.zeros((), dtype=torch.long))
    missing = [key for key in own if key not in state]
    unexpected = [key for key in state if key not in own]
    odd = [
        f"{key} is {tuple(state[key].shape)} where {tuple(own[key].shape)} is needed"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    faults = ((missing, "lacks "), (unexpected, "does not know "), (odd, ""))
    fault = " and ".join(f"{verb}{_few(names)}" for names, verb in faults if names)
    if not fault:
        module.load_state_dict(state, assign=True)
    return module, fault


def _few(names: list[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def save_state_dict(
    path: Path, state: Mapping[str, Tensor], *, half: bool = False, metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors as safetensors, whole or not at all; `half`: floating ones as float16. `metadata`: texts to keep
    in the file. Raises ``RecognizerError`` when it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".weights-")
        os.close(handle)
        try:
            save_file(_plain(state, half), temporary, metadata=dict(metadata or {}))
            Path(temporary).replace(path)
        finally:
            with suppress(FileNotFoundError):
                Path(temporary).unlink()
    except (OSError, SafetensorError) as error:
        raise RecognizerError(f"{path} could not be written: {error}.") from error


def state_bytes(state: Mapping[str, Tensor], *, half: bool = False) -> bytes:
    """Tensors as the bytes of a safetensors file; `half`: floating ones as float16."""
    return save(_plain(state, half))


def _plain(state: Mapping[str, Tensor], half: bool) -> dict[str, Tensor]:
    """Copies, since safetensors refuses tensors that share memory."""
    return {
        key: value.detach()
        .to("cpu", torch.float16 if half and value.is_floating_point() else value.dtype)
        .clone(memory_format=torch.contiguous_format)
        for key, value in state.items()
    }
