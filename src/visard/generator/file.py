"""Files of what trainings make: safetensors, with the facts about it as JSON in the header."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from visard.cloak.person import header_words
from visard.errors import CloakError


def pack(form: str, weights: Mapping[str, Tensor], facts: Mapping[str, Any]) -> bytes:
    """A file of the form called `form`, which ends in its number: `weights`, and `facts` as plain values."""
    whole = {"format": form, **facts, "sha256": hash_of(weights)}
    return save({key: value.contiguous() for key, value in weights.items()}, {"visard": json.dumps(whole)})


def enclosed(data: bytes) -> Tensor:
    """A whole file as weights of another."""
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)


def disclosed(weights: Tensor) -> bytes:
    """The inverse of ``enclosed``."""
    return weights.numpy().tobytes()


def halves(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`weights` in half precision, but for whole numbers."""
    return {key: value.half() if value.is_floating_point() else value for key, value in weights.items()}


def wholes(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`weights` in the precision in which they work, after ``halves``."""
    return {key: value.float() if value.is_floating_point() else value for key, value in weights.items()}


def is_ours(data: bytes) -> bool:
    """Whether a file says that visard wrote it."""
    try:
        return "visard" in header_words(data)
    except (ValueError, LookupError, TypeError, AttributeError):
        return False


def unpack(data: bytes, form: str, name: str, what: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights and facts of a file of that form, the inverse of ``pack``.

    Raises ``CloakError``, which calls the file `name` and what it should be `what`, when it is damaged or another.
    """
    try:
        weights, facts = load(data), _facts(data)
        found = str(facts["format"])
        if found != form and found.startswith(form.rstrip("0123456789")):
            words = f"which writes {what.removeprefix('a ')}s in another form"
            raise CloakError(f"{name} was made by visard {facts['visard']}, {words}.")
        if found != form or facts["sha256"] != hash_of(weights):
            raise foreign(name, what)
    except (SafetensorError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise foreign(name, what) from error
    return weights, facts


def read(path: Path, command: str = "visard train") -> bytes:
    """The bytes of the file at `path`, which `command` makes; raises ``CloakError`` when there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise CloakError(f"{path} does not exist; check the name, or make it with: {command}.") from error
    except OSError as error:
        raise CloakError(f"{path} could not be read: {error.strerror}.") from error


def has_form(data: bytes, form: str) -> bool:
    """Whether a file says that it is of that form, as ``pack`` was given it, whatever its number."""
    try:
        return str(_facts(data)["format"]).rstrip("0123456789") == form.rstrip("0123456789")
    except (ValueError, TypeError, LookupError, AttributeError):
        return False


def steps_of(path: Path) -> int:
    """How many steps the training is old that wrote the file at `path`."""
    return int(_facts(path.read_bytes())["steps"])


def foreign(name: str, what: str) -> CloakError:
    """What to say of a file called `name` that is not `what`."""
    return CloakError(f"{name} is not {what} that visard train made, or it is damaged; give one that is.")


def hash_of(weights: Mapping[str, Tensor]) -> str:
    """Of names, shapes and values, in the order of the names."""
    found = hashlib.sha256()
    for key in sorted(weights):
        value = weights[key].detach().contiguous()
        found.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
        found.update(value.numpy().tobytes())
    return found.hexdigest()


def _facts(data: bytes) -> dict[str, Any]:
    return dict(json.loads(header_words(data)["visard"]))
