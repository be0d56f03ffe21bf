"""How many faces a step takes at once: as many as half of the free memory holds."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from visard.face.patch import WORKING_SIZE
from visard.recognizer import Recognizer

MOST = 32
"""Faces at once, at most: more are no faster."""
# of a machine that does not say what is free
_FREE = 2 << 30
# a step takes up to two times what the surrogates keep for their gradient, and the method, at most (lowkey), that many
# pictures of a face of its own
_TIMES, _PICTURES = 2, 80


def batch_for(surrogates: Sequence[Recognizer], targets: int = 0, free: int | None = None) -> int:
    """How many faces a gradient step on all `surrogates` may take at once, from 1 to 32, to stay within half of `free`
    bytes, None for what the machine has; toward several `targets`, of whom a method may try each."""
    picture = 3 * 4 * WORKING_SIZE**2
    face = (_TIMES * sum(map(kept, surrogates)) + _PICTURES * picture) * max(1, targets)
    return max(1, min(MOST, (free_memory() if free is None else free) // 2 // face))


def kept(recognizer: Recognizer) -> int:
    """The bytes that a recognizer keeps of one face for its gradient."""
    own = {weight.untyped_storage().data_ptr() for weight in (*recognizer.parameters(), *recognizer.buffers())}
    found: dict[int, tuple[int, Tensor]] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            # with the tensor, so that its place is not given to another
            found[storage.data_ptr()] = storage.nbytes(), tensor
        return tensor

    face = torch.zeros(1, 3, *recognizer.template.size, requires_grad=True)
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        recognizer.embed(face)
    return sum(size for size, _ in found.values())


def free_memory(about: Path = Path("/proc/meminfo")) -> int:
    """Bytes of memory that programs can still have, as Linux says in the file `about`; elsewhere 2 GiB."""
    try:
        lines = about.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return _FREE
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:") and line.endswith("kB")]
    return int(found[0]) << 10 if found else _FREE
