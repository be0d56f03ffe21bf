"""Cloaks that take long to make, kept in a file as they are made."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from visard.cloak import Method
from visard.hardening.checkpoint import load_state, save_state, sha256_of
from visard.hardening.material import Watch, cloaked_faces
from visard.recognizer import Recognizer

_TOGETHER = 64  # faces between two writings


def kept_cloaks(
    path: Path,
    clean: Tensor,
    method: Method,
    surrogates: Sequence[Recognizer],
    settings: Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
    watch: Watch = lambda _line: None,
) -> Tensor:
    """``cloaked_faces``, as far as the file at `path` holds them already; what is made is written there.

    Raises as ``cloaked_faces`` does, ``HardeningError`` when the file is damaged or holds other cloaks, and
    ``WriteError``.
    """
    return timed_cloaks(path, clean, method, surrogates, settings, seed=seed, watch=watch)[0]


def timed_cloaks(
    path: Path,
    clean: Tensor,
    method: Method,
    surrogates: Sequence[Recognizer],
    settings: Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
    watch: Watch = lambda _line: None,
) -> tuple[Tensor, float]:
    """``kept_cloaks``, and the seconds that making them took."""
    record = {
        "method": method.name,
        "learned": method.learned and method.learned.sha256,
        "settings": dict(settings or {}),
        "surrogates": [sha256_of(one.state_dict().values()) for one in surrogates],
        "faces": sha256_of([clean]),
        "seed": seed,
    }
    state = load_state(path, record)
    done: Tensor = clean[:0] if state is None else state["cloaked"]
    spent = 0.0 if state is None else float(state["seconds"])
    for first in range(len(done), len(clean), _TOGETHER):
        part = clean[first : first + _TOGETHER]
        begun = time.monotonic()
        made = cloaked_faces(part, method, surrogates, settings, seed=seed * 100_003 + first)
        done = torch.cat([done, made])
        spent += time.monotonic() - begun
        save_state(path, record, {"cloaked": done, "seconds": spent})
        watch(f"{method.name}: {len(done):,} of {len(clean):,} faces")
    return done, spent
