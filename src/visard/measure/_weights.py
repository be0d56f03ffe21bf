"""Published weights of the networks that measure: tensors from files that the caller has; nothing else is unpickled."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from visard.errors import WeightsError


def read_weights(path: Path) -> Mapping[str, Tensor]:
    """The tensors of a file by their names; raises ``WeightsError``."""
    if not path.is_file():
        raise WeightsError(f"There is no file {path}.")
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except SafetensorError as error:
            raise WeightsError(f"{path} is no safetensors file: {error}.") from error
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsError(f"{path} is no state dict that torch reads safely: get the file anew.") from error
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise WeightsError(f"{path} holds no state dict: save the model's state_dict(), not the model.")
    return found


def taken(weights: Mapping[str, Tensor], name: str, shape: torch.Size, path: Path, wanted: str) -> Tensor:
    """The tensor `name` of a file's weights, as float32; raises ``WeightsError``, which asks for those of `wanted`,
    unless it is there, of `shape` and finite."""
    if name not in weights:
        raise WeightsError(f"{path} has no {name}: give the weights of {wanted}.")
    value = weights[name]
    if value.shape != shape:
        raise WeightsError(
            f"{name} of {path} has the shape {tuple(value.shape)}, not {tuple(shape)}: give the weights of {wanted}."
        )
    if not value.isfinite().all():
        raise WeightsError(f"{name} of {path} holds NaN or infinite values: get the file anew.")
    return value.float()
