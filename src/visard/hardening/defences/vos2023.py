"""vos2023: the recognizer is trained on, to name people on clean and on cloaked photos.

Source: Vos 2023, Algorithm 1. A new head with one output per person of the training photos is put on a pretrained
recognizer; in each epoch come all batches of clean photos, then all batches of cloaked ones, each a step of Adam on the
cross-entropy; the head is dropped. Official arguments, which are the defaults: rate 1e-4, batches of 32, 10 epochs.
"Set images' gradients to zero" in the print's listing is read as the parameters'.

What differs: the cloaked photos are made once, before the training, and have been saved as JPEG. Beyond the paper:
other orders of the batches, and heads with a margin. The control arms are settings: without the one that learns from
clean photos alone the effect of cloaked ones cannot be told from that of more photos.

Batch normalization learns its statistics from the batches, as PyTorch does in training, so that they end near those of
the last ones, which are cloaked. Where it is folded into the weights, as in dlib's and most ONNX files, nothing is
normalized by batch, and all weights are learned. Dropout works as in training.
"""

import copy
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from visard.errors import HardeningError, SettingError
from visard.hardening.checkpoint import SAVE_SECONDS, load_state, record_of, save_state
from visard.hardening.defence import Defence
from visard.hardening.material import Material, seen_by
from visard.recognizer import Recognizer, derived
from visard.recognizer.losses import HEADS, Head

Arm = Literal["both", "clean", "none", "obfuscated"]
Schedule = Literal["sequential", "interleaved", "mixed"]


class Course:
    """The training of a recognizer on a material: its network, its head and Adam, and the `losses` of all steps done.
    `spread`: the share of the labels that all people have in common, none in the paper.

    Everything random depends on the material's seed and the number of the step alone, so a course goes on from its
    state bit for bit on one machine. Raises ``HardeningError`` for a material that nothing can be learned from.
    """

    def __init__(
        self,
        base: Recognizer,
        material: Material,
        arm: Arm,
        schedule: Schedule,
        head: str,
        rate: float,
        batch: int,
        spread: float = 0.0,
    ) -> None:
        _check(material, arm)
        self.base, self.material, self.schedule, self.batch = base, material, schedule, batch
        self.spread = spread
        self.device = torch.device(material.device)
        people, self.labels = material.clean.people.unique(return_inverse=True)
        used = {"both": (True, True), "clean": (True, False), "obfuscated": (False, True), "none": (False, False)}[arm]
        cloaked = list(material.cloaked.values()) if used[1] else []
        self.faces = [material.clean.pixels, *cloaked]
        # a face is numbered by its place among all of them
        self.clean = torch.arange(len(self.labels) if used[0] else 0)
        self.cloaked = torch.arange(len(self.labels), len(self.labels) * len(self.faces))
        self.network = copy.deepcopy(base.network).train()
        # what an ONNX file keeps as a lone number is a constant of its formulas, not a weight
        weights = [weight.requires_grad_(True) for weight in self.network.parameters() if weight.ndim]
        with _drawing(material.seed):
            self.head: Head = HEADS[head](base.card.dim, len(people))
        self.network.to(self.device)
        self.head.to(self.device).train()
        self.optimizer = torch.optim.Adam([*weights, *self.head.parameters()], lr=rate)
        self.losses: list[float] = []

    def batches(self, epoch: int) -> list[Tensor]:
        """The numbers of the faces of each batch of an epoch, from 0."""
        generator = Generator().manual_seed(self.material.seed * 100_003 + epoch)
        if self.schedule == "mixed":
            return _split(torch.cat([self.clean, self.cloaked]), self.batch, generator)
        clean, cloaked = (_split(rows, self.batch, generator) for rows in (self.clean, self.cloaked))
        if self.schedule == "sequential":
            return clean + cloaked
        # evenly, however many of either kind there are
        places = [((i + 0.5) / len(kind), rows) for kind in (clean, cloaked) for i, rows in enumerate(kind)]
        return [rows for _, rows in sorted(places, key=lambda place: place[0])]

    def step(self, rows: Tensor) -> float:
        """One step on the faces numbered `rows`; its loss. Raises ``HardeningError`` when it is not finite."""
        count = len(self.labels)
        faces = torch.stack([self.faces[row // count][row % count] for row in rows.tolist()])
        with torch.no_grad():
            seen = self.base.normalize(seen_by(self.base, faces.float() / 255)).to(self.device)
        labels = self.labels[rows % count].to(self.device)
        loss = F.cross_entropy(self.head(self.network(seen), labels), labels, label_smoothing=self.spread)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        value = float(loss.detach())
        if not abs(value) < float("inf"):
            raise HardeningError(
                f"The training came apart at step {len(self.losses) + 1}: the loss is not finite; set a lower rate."
            )
        self.losses.append(value)
        return value

    def run(self, epochs: int, record: Mapping[str, Any]) -> None:
        """All steps that are left of `epochs`, from the material's checkpoint if there is one; `record` says what
        decides the training."""
        path, watch = self.material.checkpoint, self.material.watch
        if path is not None and (state := load_state(path, record)):
            self._load(state)
        batches = [rows for epoch in range(epochs) for rows in self.batches(epoch)]
        saved = begun = time.monotonic()
        with _drawing(self.material.seed, self.device):
            for step in range(len(self.losses), len(batches)):
                torch.manual_seed(self.material.seed * 1_000_003 + step)  # of dropout
                self.step(batches[step])
                now, last = time.monotonic(), step + 1 == len(batches)
                if path is not None and (last or now - saved >= SAVE_SECONDS):
                    save_state(path, record, self._state())
                    saved = now
                epoch, into = divmod(step + 1, len(batches) // epochs)
                if not into:
                    of_epoch = self.losses[-(len(batches) // epochs) :]
                    mean = sum(of_epoch) / len(of_epoch)
                    watch(f"epoch {epoch} of {epochs}: loss {mean:.3f}, {now - begun:.0f} s")

    def _state(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "head": self.head.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "losses": torch.tensor(self.losses, dtype=torch.float64),
        }

    def _load(self, state: Mapping[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.head.load_state_dict(state["head"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.losses = state["losses"].tolist()


def harden(
    base: Recognizer,
    material: Material,
    *,
    arm: Arm = "both",
    schedule: Schedule = "sequential",
    head: Literal["softmax", "cosface", "arcface", "adaface"] = "softmax",
    epochs: int = 10,
    rate: float = 1e-4,
    batch: int = 32,
) -> Recognizer:
    """`arm`: which photos are learned from: clean and cloaked ones (both), one kind alone, or none. `schedule`: all
    clean batches, then all cloaked ones (sequential), in turns (interleaved), or both kinds in a batch (mixed).
    `head`: softmax is the paper's, the others have a margin.
    """
    if batch < 2:
        raise SettingError(f"vos2023: batch must be 2 or more, got {batch}; batch normalization needs two faces.")
    settings = {"arm": arm, "schedule": schedule, "head": head, "epochs": epochs, "rate": rate, "batch": batch}
    course = Course(base, material, arm, schedule, head, rate, batch)
    if arm != "none":
        course.run(epochs, record_of("vos2023", base, material, settings))
    cloaked, words = " and ".join(material.cloaked), ", ".join(f"{name}={value}" for name, value in settings.items())
    learned = {"both": f"clean and cloaked by {cloaked}", "clean": "clean", "obfuscated": f"cloaked by {cloaked}"}
    clean = material.clean
    photos = f"; hardened on {len(clean)} photos of {clean.count} people, {learned[arm]}" if arm in learned else ""
    facts = {
        "loss": f"{base.card.loss}; then {head} of the people it was hardened on, {len(course.losses)} steps",
        "training_data": base.card.training_data + photos,
        "source": f"visard; defence vos2023, {words}, seed {material.seed}",
        "limits": "knows the cloaks that it saw; others, and those made against it, may get away",
    }
    return derived(base, network=course.network.cpu(), facts=facts)


def _check(material: Material, arm: Arm) -> None:
    count = material.clean.count
    if count < 2:
        raise HardeningError(f"vos2023 learns to tell people apart: give photos of two people or more, not of {count}.")
    if arm in ("both", "obfuscated") and not material.cloaked:
        raise HardeningError(f"vos2023 with arm={arm} learns from cloaked photos; name methods that make them.")
    for name, faces in material.cloaked.items():
        if faces.shape != material.clean.pixels.shape:
            raise HardeningError(
                f"{name} has {len(faces)} faces of {faces.shape[-1]} px, the clean ones are {len(material.clean)} of "
                f"{material.clean.size} px; give the same faces, cloaked."
            )


def _split(rows: Tensor, batch: int, generator: Generator) -> list[Tensor]:
    """`rows` in random order, in batches; a last one of a single row joins its neighbor, since batch normalization
    needs two."""
    batches = list(rows[torch.randperm(len(rows), generator=generator)].split(batch)) if len(rows) else []
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


@contextmanager
def _drawing(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """torch's global random numbers, begun at `seed` and put back afterwards."""
    used = [device.index or 0] if device is not None and device.type == "cuda" else []
    with torch.random.fork_rng(devices=used):
        torch.manual_seed(seed)
        yield


VOS2023 = Defence("vos2023", "Vos 2023", harden, on_device=True)
