"""Checkpoints of trainings that take a while: written whole or not at all, and gone on from by the same training."""

import hashlib
import io
import json
import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from visard.errors import HardeningError
from visard.hardening.material import Material
from visard.photo.files import write_whole
from visard.recognizer import Recognizer

SAVE_SECONDS = 60.0
"""Between two checkpoints."""
_DIGEST = hashlib.sha256().digest_size


def record_of(defence: str, base: Recognizer, material: Material, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the training of a defence, as plain values: another record, another training."""
    return {
        "defence": defence,
        "settings": dict(settings),
        "recognizer": sha256_of(base.state_dict().values()),
        "faces": material.clean.sha256(),
        "cloaks": {name: sha256_of([faces]) for name, faces in material.cloaked.items()},
        "seed": material.seed,
    }


def save_state(path: Path, record: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Write `state`, tensors and plain values, to `path`, as that of the training with this `record`.

    Raises ``WriteError``; what lay at `path` before is then still whole.
    """
    buffer = io.BytesIO()
    torch.save({"record": _words(record), "state": dict(state)}, buffer)
    data = buffer.getvalue()
    # a flipped bit would otherwise pass for weights
    write_whole(path, hashlib.sha256(data).digest() + data)


def load_state(path: Path, record: Mapping[str, Any]) -> dict[str, Any] | None:
    """The state that ``save_state`` wrote to `path`, None when nothing is there.

    Raises ``HardeningError`` when it is damaged, or of a training with another `record`.
    """
    try:
        found = path.read_bytes()
        digest, data = found[:_DIGEST], found[_DIGEST:]
        if hashlib.sha256(data).digest() != digest:
            raise ValueError("another digest")
        saved = torch.load(io.BytesIO(data), weights_only=True)
        begun, state = json.loads(saved["record"]), dict(saved["state"])
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HardeningError(f"The checkpoint {path} could not be read: {error.strerror}.") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, TypeError, ValueError) as error:
        raise HardeningError(f"The checkpoint {path} is damaged; delete it to begin anew.") from error
    now = json.loads(_words(record))
    if other := [key for key in record if begun.get(key) != now[key]]:
        raise HardeningError(
            f"{path} was begun with other {' and '.join(other)}; give the same, choose another folder, or delete it to "
            "begin anew."
        )
    return state


def _words(record: Mapping[str, Any]) -> str:
    return json.dumps(dict(record), sort_keys=True)


def sha256_of(tensors: Iterable[Tensor]) -> str:
    """Of the values of tensors, in order."""
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(tensor.detach().contiguous().numpy().tobytes())
    return found.hexdigest()
