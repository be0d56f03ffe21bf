"""Published StyleGAN2 checkpoints: the entries of NVIDIA's PyTorch version, and of the widely used port by rosinality,
under the names of ``network``.

NVIDIA's own files are pickles, which run code when they are read: where they are trusted, ``G_ema.state_dict()`` is
saved there as safetensors.
"""

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Generator, Tensor

from visard.errors import SettingError, WeightsError
from visard.generator.stylegan.network import Shape, StyleGAN
from visard.recognizer.checkpoint import read_state_dict

_WRAPPING = ("g_ema", "G_ema", "generator", "params_ema")
_FILTER = torch.tensor([1.0, 3.0, 3.0, 1.0])
_MEAN_OF = 10_000  # w, where a file does not tell their mean


def read_network(path: Path) -> StyleGAN:
    """The generator in a checkpoint of either layout, as safetensors or PyTorch's files; raises ``WeightsError``."""
    state = read_state_dict(path, _WRAPPING)
    layout = next((convert for sign, convert in _LAYOUTS.items() if sign in state), None)
    if layout is None:
        raise WeightsError(
            f"{path.name} is no StyleGAN2 generator of a known layout: it has neither {' nor '.join(_LAYOUTS)}."
        )
    ours = layout(state)
    try:
        network = StyleGAN(_shape(ours))
        missing, unknown = network.load_state_dict(ours, strict=False)
    except (RuntimeError, SettingError, LookupError, ValueError) as error:
        raise WeightsError(f"{path.name} is no plain StyleGAN2 generator: its sizes do not fit together.") from error
    missing = [key for key in missing if key != "mapping.average" and not key.endswith(".noise")]
    if missing or unknown:
        first = (missing or unknown)[0]
        raise WeightsError(
            f"{path.name} is no plain StyleGAN2 generator: {first} is {'missing' if missing else 'more than it has'}."
        )
    if "mapping.average" not in ours:
        z = torch.randn(_MEAN_OF, network.shape.latent, generator=Generator().manual_seed(0))
        with torch.no_grad():
            network.mapping.average.copy_(network.mapping(z).mean(dim=0))
    return network.eval().requires_grad_(requires_grad=False)


def _nvidia(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    parts = {"conv0": "doubling", "conv1": "convs", "torgb": "to_rgb"}
    entries = {
        "affine.weight": "conv.style.weight", "affine.bias": "conv.style.bias", "weight": "conv.weight",
        "noise_strength": "strength", "noise_const": "noise",
    }  # fmt: skip
    for key, value in state.items():
        if key.endswith("resample_filter"):
            _check_filter(value)
        elif at := re.fullmatch(r"mapping\.fc(\d+)\.(weight|bias)", key):
            found[f"mapping.layers.{at[1]}.{at[2]}"] = value
        elif at := re.fullmatch(r"synthesis\.b(\d+)\.(conv0|conv1|torgb)\.(.+)", key):
            block = int(math.log2(int(at[1]))) - (3 if at[2] == "conv0" else 2)
            found[f"synthesis.{parts[at[2]]}.{block}.{entries.get(at[3], at[3])}"] = value
        else:
            renamed = {"mapping.w_avg": "mapping.average", "synthesis.b4.const": "synthesis.constant"}
            found[renamed.get(key, key)] = value
    return found


def _rosinality(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    entries = {
        "conv.weight": "conv.weight", "conv.modulation.weight": "conv.style.weight",
        "conv.modulation.bias": "conv.style.bias", "noise.weight": "strength", "activate.bias": "bias",
    }  # fmt: skip

    def convolution(number: int) -> str:
        """Of those that follow the first."""
        return f"synthesis.doubling.{number // 2}" if number % 2 == 0 else f"synthesis.convs.{number // 2 + 1}"

    for key, value in state.items():
        if key.endswith((".blur.kernel", ".upsample.kernel")):
            _check_filter(value)
        elif at := re.fullmatch(r"style\.(\d+)\.(weight|bias)", key):
            found[f"mapping.layers.{int(at[1]) - 1}.{at[2]}"] = value
        elif at := re.fullmatch(r"noises\.noise_(\d+)", key):
            place = convolution(int(at[1]) - 1) if int(at[1]) else "synthesis.convs.0"
            found[f"{place}.noise"] = value[0, 0]
        elif at := re.fullmatch(r"(?:conv1|convs\.(\d+)|to_rgb1|to_rgbs\.(\d+))\.(.+)", key):
            if key.startswith("to_rgb"):
                place = f"synthesis.to_rgb.{0 if at[2] is None else int(at[2]) + 1}"
            else:
                place = "synthesis.convs.0" if at[1] is None else convolution(int(at[1]))
            entry = entries.get(at[3], at[3])
            whole = {"conv.weight": lambda v: v[0], "strength": lambda v: v.reshape(()), "bias": lambda v: v.flatten()}
            found[f"{place}.{entry}"] = whole.get(entry, lambda v: v)(value)
        else:
            found["synthesis.constant" if key == "input.input" else key] = value[0] if key == "input.input" else value
    return found


_LAYOUTS: dict[str, Callable[[Mapping[str, Tensor]], dict[str, Tensor]]] = {
    "synthesis.b4.const": _nvidia,
    "input.input": _rosinality,
}


def _check_filter(value: Tensor) -> None:
    """Raises ``WeightsError`` unless the resampling filter (4, 4) is that of the published network."""
    # stored with or without the gain of what doubles the size
    if value.shape != (4, 4) or not torch.allclose(value / value.sum(), torch.outer(_FILTER, _FILTER) / 64):
        raise WeightsError("The checkpoint's resampling filter is not [1, 3, 3, 1]; visard knows no other.")


def _shape(state: Mapping[str, Tensor]) -> Shape:
    sides = [2 ** (2 + k) for k in range(sum(key.endswith("conv.weight") and ".to_rgb." in key for key in state))]
    channels = [state[f"synthesis.convs.{k}.conv.weight"].shape[0] for k in range(len(sides))]
    layers = sum(bool(re.fullmatch(r"mapping\.layers\.\d+\.weight", key)) for key in state)
    latent = state["mapping.layers.0.weight"].shape[0]
    return Shape(sides[-1], channels[-1] * sides[-1], max(channels), latent, layers)
