"""The training of the small networks that a defence puts before a recognizer, or beside it."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Generator, Tensor, nn

from visard.errors import HardeningError
from visard.hardening.checkpoint import SAVE_SECONDS, load_state, record_of, save_state
from visard.hardening.material import Material, seen_by
from visard.recognizer import Recognizer

_LINES = 10  # that are heard of a training

Module = TypeVar("Module", bound=nn.Module)


def fresh(make: Callable[[], Module], seed: int) -> Module:
    """What `make` makes, its weights drawn from `seed`; torch's global generator stays as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def descend(
    defence: str,
    base: Recognizer,
    material: Material,
    settings: Mapping[str, Any],
    module: nn.Module,
    loss: Callable[[Generator], Tensor],
) -> None:
    """Train `module` in place on the device of `material`: settings["steps"] steps of Adam on what `loss` gives, at a
    rate that falls from settings["rate"] to zero along a cosine. It comes back on the CPU, ready to evaluate.

    `loss` is given the generator of its step, on the CPU, so the training goes on from the material's checkpoint bit
    for bit. Raises ``HardeningError`` when a loss is not finite, or the checkpoint is damaged or another's.
    """
    steps, rate, path = settings["steps"], settings["rate"], material.checkpoint
    module.to(material.device).requires_grad_(True).train()
    # what an ONNX file keeps as a lone number is a constant of its formulas, not a weight
    weights = [weight for weight in module.parameters() if weight.ndim]
    optimizer = torch.optim.Adam(weights, lr=rate)
    record, done = record_of(defence, base, material, settings), 0
    if path is not None and (state := load_state(path, record)):
        module.load_state_dict(state["module"])
        optimizer.load_state_dict(state["optimizer"])
        done = state["done"]
    begun = saved = time.monotonic()
    while done < steps:
        optimizer.param_groups[0]["lr"] = rate * (1 + math.cos(math.pi * done / steps)) / 2
        value = loss(Generator().manual_seed(material.seed * 1_000_003 + done))
        optimizer.zero_grad()
        value.backward(inputs=weights)
        optimizer.step()
        done += 1
        if not math.isfinite(float(value.detach())):
            raise HardeningError(f"{defence} came apart at step {done}: the loss is not finite; set a lower rate.")
        now = time.monotonic()
        if path is not None and (done == steps or now - saved >= SAVE_SECONDS):
            state = {"module": module.state_dict(), "optimizer": optimizer.state_dict(), "done": done}
            save_state(path, record, state)
            saved = now
        if done * _LINES // steps > (done - 1) * _LINES // steps:
            material.watch(f"{defence}: step {done} of {steps}: loss {float(value.detach()):.4f}, {now - begun:.0f} s")
    module.cpu().requires_grad_(False).eval()


def before(base: Recognizer, faces: Tensor) -> Tensor:
    """What a part put before the network of `base` gets to see of `faces` (N, 3, s, s), uint8: (N, 3, h, w) in [0, 1],
    aligned, and through what the base has there already."""
    with torch.no_grad():
        seen: Tensor = base.front(seen_by(base, faces.float() / 255))
    return seen


def told(base: Recognizer, defence: str, material: Material, settings: Mapping[str, Any]) -> dict[str, str]:
    """The texts of a hardened recognizer's card that tell what was done."""
    words = ", ".join(f"{name}={value:g}" for name, value in settings.items())
    clean = material.clean
    return {
        "training_data": f"{base.card.training_data}; hardened on {len(clean)} photos of {clean.count} people",
        "source": f"visard; defence {defence}: {words}, seed={material.seed}",
    }
