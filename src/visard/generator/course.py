"""A training under way, whatever is trained: it is seeded, resumes bit for bit on one machine, in one process, and
leaves beside ``FILE.safetensors`` a folder ``FILE.training``: the checkpoint, the curves of the losses as CSV, and a
sheet of pictures.
"""

import csv
import io
import json
import pickle
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

from visard import photo
from visard.errors import CloakError, WriteError
from visard.generator import parallel
from visard.photo.files import write_whole

SUFFIX = ".safetensors"
FOLDER = ".training"
CHECKPOINT, CURVES, SAMPLES = "checkpoint.pt", "curves.csv", "samples.png"
SAVE_SECONDS = 60.0
CPU = torch.device("cpu")

Row = dict[str, float]
Watch = Callable[[int, Row], None]


class Made(Protocol):
    """What a training makes."""

    def to_bytes(self) -> bytes:
        """Its file."""
        ...


M = TypeVar("M", bound=Made)


class Course(ABC, Generic[M]):
    """A training: `history` holds the loss terms of every step that is done, `device` is where it is computed, and
    `mixed` says whether in bfloat16 where that is good enough."""

    history: list[Row]
    device: torch.device
    mixed: bool

    @abstractmethod
    def step(self) -> Row:
        """One more step, added to the history; its loss terms by name. Raises ``CloakError`` when one is not finite."""

    @abstractmethod
    def made(self) -> M:
        """What is made, as far as it is trained."""

    @abstractmethod
    def sheet(self) -> NDArray[np.uint8]:
        """Pictures (H, W, 3) that show how far it is."""

    @abstractmethod
    def record(self) -> dict[str, Any]:
        """What decides the training, as plain values."""

    @abstractmethod
    def parts(self) -> dict[str, Any]:
        """Everything that another process needs to go on from here, tensors and plain values."""

    @abstractmethod
    def restore(self, parts: Mapping[str, Any]) -> None:
        """Go on from what ``parts`` gave."""

    @property
    def steps(self) -> int:
        """How many are done."""
        return len(self.history)

    def add(self, row: Row, rate: float) -> Row:
        """`row` as one more of the history; raises ``CloakError`` when a term is not finite, `rate` being Adam's."""
        if not all(map(_finite, row.values())):
            raise CloakError(
                f"The training came apart at step {self.steps + 1}: a loss is not finite; start again with a lower "
                f"rate, such as --set rate={rate / 4:g}."
            )
        self.history.append(row)
        return row

    def computed(self, run: Callable[[], Tensor]) -> Tensor:
        """What `run` gives, float32 in whatever precision it is computed."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed):
            return run().float()

    def state(self) -> bytes:
        """The checkpoint."""
        buffer = io.BytesIO()
        names = list(self.history[0]) if self.history else []
        torch.save(
            {
                "record": json.dumps(self.record(), sort_keys=True),
                "parts": self.parts(),
                "names": names,
                "history": torch.tensor([list(row.values()) for row in self.history], dtype=torch.float64),
            },
            buffer,
        )
        return buffer.getvalue()

    def resume(self, path: Path) -> None:
        """Go on from the checkpoint at `path`; raises ``CloakError`` when it is damaged or of another training."""
        mine = json.loads(json.dumps(self.record()))
        try:
            state = torch.load(path, map_location=CPU, weights_only=True)
            begun = json.loads(state["record"])
            if begun == mine:
                self.restore(state["parts"])
                rows = state["history"].tolist()
                self.history = [dict(zip(state["names"], row, strict=True)) for row in rows]
                return
        except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, LookupError, TypeError, ValueError) as error:
            raise CloakError(f"The checkpoint {path} is damaged; begin anew with --force.") from error
        other = [key for key, value in mine.items() if begun.get(key) != value]
        raise CloakError(
            f"The training in {path.parent} was begun with other {' and '.join(other)}; give the same, choose another "
            "--out, or begin anew with --force."
        )


def train(
    training: Course[M],
    out: Path,
    steps: int,
    *,
    max_minutes: float | None = None,
    force: bool = False,
    save_seconds: float = SAVE_SECONDS,
    watch: Watch = lambda _step, _row: None,
) -> M:
    """Train until `steps` are done, from the checkpoint beside `out` if there is one, or until `max_minutes` are over.

    What is made, the checkpoint, the curves and the sheet are written every `save_seconds` and at the end, each whole
    or not at all. `force`: begin anew; what lies there is kept until it is written over. `watch` hears of (step, its
    loss terms). Of several processes only the first one writes. Raises ``WriteError`` when something cannot be
    written; what was written before is then still whole.
    """
    folder = out.with_suffix(FOLDER)
    check_out(out, force=force)
    checkpoint = folder / CHECKPOINT
    if checkpoint.is_file() and not force:
        training.resume(checkpoint)
    if training.steps >= steps:
        raise CloakError(f"{out} is trained for {training.steps} steps already; ask for more with --steps.")
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise WriteError(f"The folder {folder} could not be made: {error.strerror}; choose another --out.") from error
    saved = begun = time.monotonic()
    while training.steps < steps:
        row = training.step()
        watch(training.steps, row)
        now = time.monotonic()
        over = max_minutes is not None and parallel.agreed(now - begun > 60 * max_minutes, training.device)
        if parallel.first() and (over or training.steps == steps or now - saved >= save_seconds):
            save(training, out)
            saved = time.monotonic()
        if over:
            break
    return training.made()


def take(optimizer: Optimizer, loss: Tensor) -> None:
    """One step of `optimizer` down `loss`; gradients reach the weights that it has, and no others."""
    weights: list[nn.Parameter] = [weight for group in optimizer.param_groups for weight in group["params"]]
    optimizer.zero_grad()
    loss.backward(inputs=weights)
    parallel.average_gradients(weights)
    optimizer.step()


def save(training: Course[Any], out: Path) -> None:
    """Write the checkpoint, then what is made to `out`, the curves and the sheet; raises ``WriteError``."""
    folder = out.with_suffix(FOLDER)
    write_whole(folder / CHECKPOINT, training.state())
    write_whole(out, training.made().to_bytes())
    write_whole(folder / CURVES, curves(training.history).encode())
    photo.write(photo.Photo(training.sheet(), None, photo.Facts("PNG")), folder / SAMPLES, force=True)


def curves(history: Sequence[Row]) -> str:
    """The loss terms as CSV, a line per step."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["step", *(history[0] if history else ())])
    table.writerows([step, *(f"{value:.6g}" for value in row.values())] for step, row in enumerate(history, start=1))
    return text.getvalue()


def check_out(out: Path, *, force: bool = False) -> None:
    """Raises ``WriteError`` when nothing could be written to `out`, unless it is a training to go on with."""
    if out.suffix != SUFFIX:
        raise WriteError(f"{out} must end in {SUFFIX}.")
    if out.is_dir():
        raise WriteError(f"{out} is a folder; name a file in it.")
    if out.exists() and not force and not (out.with_suffix(FOLDER) / CHECKPOINT).is_file():
        raise WriteError(f"{out} exists already; choose another name or use --force.")
    if not out.parent.is_dir():
        raise WriteError(f"{out} could not be written: the folder does not exist; create it first.")


def pictures(rows: Sequence[Tensor]) -> NDArray[np.uint8]:
    """Rows of pictures (n, 3, s, s) in [0, 1] side by side, as one (len(rows) s, n s, 3)."""
    lines = [torch.cat(list(row.clamp(0, 1)), dim=2) for row in rows]
    found: NDArray[np.uint8] = (
        (255 * torch.cat(lines, dim=1)).round().byte().permute(1, 2, 0).contiguous().cpu().numpy()
    )
    return found


def _finite(value: float) -> bool:
    return abs(value) < float("inf")
