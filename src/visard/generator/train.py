"""The training of learned cloaks: one step of Adam for the generator, one for its discriminator if it has one.

It is seeded and resumes bit for bit on one machine, in one process. Beside the cloak ``FILE.safetensors`` lies
``FILE.training``: the checkpoint, the curves of the losses as CSV, and a sheet of faces before and after.
"""

import copy
import csv
import io
import json
import pickle
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor
from torch.optim import Adam
from torch.optim.swa_utils import AveragedModel

from visard import photo
from visard.cloak import Faces
from visard.cloak.objective import aligned
from visard.cloak.transform import chain, identity, jitter, resized
from visard.errors import CloakError, RecognizerError, SettingError, WriteError
from visard.face.patch import face_mask
from visard.generator import parallel
from visard.generator.crops import Crops
from visard.generator.learned import SUFFIX, LearnedCloak, make_learner, parse_cloak
from visard.generator.learner import Learner, Seen, frames_in, mean_cosine, settings_with_defaults, window
from visard.photo.files import write_whole
from visard.recognizer import Recognizer, parse_card

FOLDER = ".training"
CHECKPOINT, CURVES, SAMPLES = "checkpoint.pt", "curves.csv", "samples.png"
SAVE_SECONDS = 60.0
CPU = torch.device("cpu")
_SHOWN = 6  # faces on the sheet
_LOUDER = 8  # what the sheet multiplies changes by
# of the average of the weights from one step to the next: the last thousand steps count
_KEPT = 0.999
# crops have two thirds of the pixels that the flagship's patches have, so posted photos shrink them less
_SMALLEST = 0.7

Row = dict[str, float]
Watch = Callable[[int, Row], None]


@dataclass
class Training:
    """A training under way: of the `kind` with these `settings`, on `crops`, against `recognizers`, from `seed`.

    `history`: the loss terms of every step that is done, and the mean "cosine" of the cloaked faces to their clean
    selves, or to whom they are to impersonate. The cloak is the running average of the generator's weights, which
    swings less than the last step's. `device` is where all of it is computed, the recognizers too, which move there;
    `mixed`: in bfloat16 where that is good enough. Raises ``CloakError`` and ``SettingError`` for an unknown kind or
    setting, and ``RecognizerError`` without recognizers, or when one is a black box.
    """

    kind: str
    settings: dict[str, Any]
    crops: Crops
    recognizers: Sequence[Recognizer]
    seed: int = 0
    device: torch.device = CPU
    mixed: bool = False
    history: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        check_recognizers(self.recognizers)
        for recognizer in self.recognizers:
            recognizer.to(self.device)
        self.learner = make_learner(self.kind, self.settings, self.seed).to(self.device)
        self.learner.mixed = self.mixed
        if self.learner.batch % parallel.count():
            raise SettingError(
                f"{parallel.count()} processes cannot share a batch of {self.learner.batch} evenly; set another batch."
            )
        self.settings = settings_with_defaults(type(self.learner), self.settings)
        self.random = Generator().manual_seed(self.seed)
        frames = frames_in(window(self.crops.size), 1)
        self.frames, self.mask = frames.to(self.device), face_mask(frames, self.crops.size).to(self.device)
        self._weights = list(self.learner.generator.parameters())
        self._average = AveragedModel(self.learner.generator, avg_fn=_averaged)
        discriminator = self.learner.discriminator
        self._judging = [] if discriminator is None else list(discriminator.parameters())
        self._optimizer = _adam(self.learner, self._weights)
        self._judge = _adam(self.learner, self._judging) if self._judging else None
        self._view = chain(jitter(self.random), resized(self.random, low=_SMALLEST)) if self.learner.views else identity

    @property
    def steps(self) -> int:
        """How many are done."""
        return len(self.history)

    def step(self) -> Row:
        """One more step; its loss terms by name. Raises ``CloakError`` when one is not finite."""
        seen = self.seen(*self._drawn())
        terms = self.learner.losses(seen)
        self._optimizer.zero_grad()
        # of the generator's weights alone: the discriminator is asked, not trained
        torch.stack(list(terms.values())).sum().backward(inputs=self._weights)
        parallel.average_gradients(self._weights)
        self._optimizer.step()
        self._average.update_parameters(self.learner.generator)
        if self._judge is not None:
            terms["discriminator"] = self.learner.discriminator_loss(seen)
            self._judge.zero_grad()
            terms["discriminator"].backward(inputs=self._judging)
            parallel.average_gradients(self._judging)
            self._judge.step()
        terms["cosine"] = mean_cosine(seen.found, seen.goal or seen.own).mean()
        values = parallel.mean(torch.stack([term.detach() for term in terms.values()]))
        row = dict(zip(terms, values.tolist(), strict=True))
        if not all(map(_finite, row.values())):
            raise CloakError(
                f"The training came apart at step {self.steps + 1}: a loss is not finite; start again with a lower "
                f"rate, such as --set rate={self.learner.rate / 4:g}."
            )
        self.history.append(row)
        return row

    def seen(self, faces: Tensor, targets: Tensor | None = None) -> Seen:
        """`faces` (N, 3, s, s) in [0, 1] with what the generator makes of them now, and what the recognizers see."""
        clean = Faces(faces, self.frames.expand(len(faces), 2, 3))
        hint = self.learner.hint(clean, self.recognizers, targets)
        change = self.mask * self.learner.within(self.learner.change(faces, hint), clean, self.mask)
        cloaked = clean._replace(pixels=(faces + change).clamp(0, 1))
        with torch.no_grad():
            own = self._embedded(clean)
            goal = [] if targets is None else self._embedded(clean._replace(pixels=targets))
        return Seen(faces, cloaked.pixels, change, own, self._embedded(self._view(cloaked)), goal)

    def _embedded(self, faces: Faces) -> list[Tensor]:
        # only the networks in the precision of the training: a frame in bfloat16 would be off by half a pixel
        return [self.learner.computed(r.embed, aligned(r, faces)) for r in self.recognizers]

    def _drawn(self) -> tuple[Tensor, Tensor | None]:
        faces, rows = self.crops.draw(self.learner.batch, self.random)
        targets = self.crops.others(rows, self.random) if self.learner.targeted else None
        return self._own(faces), None if targets is None else self._own(targets)

    def _own(self, faces: Tensor) -> Tensor:
        return parallel.share(faces).to(self.device)

    def cloak(self) -> LearnedCloak:
        """The cloak as far as it is trained."""
        learner = copy.deepcopy(self.learner).cpu()
        if self.steps:
            learner.generator.load_state_dict(self._average.module.state_dict())
        made = LearnedCloak(
            learner,
            self.settings,
            self.crops.size,
            # as they are read back from a file
            tuple(parse_card(r.card.to_json(), thresholds=(), accuracy=None) for r in self.recognizers),
            len(self.crops),
            self.crops.count,
            self.steps,
            self.seed,
        )
        return parse_cloak(made.to_bytes(), "The cloak")

    def record(self) -> dict[str, Any]:
        """What decides the training, as plain values."""
        return {
            "kind": self.kind,
            "settings": self.settings,
            "size": self.crops.size,
            "seed": self.seed,
            "recognizers": {r.name: r.card.sha256 for r in self.recognizers},
            "faces": self.crops.sha256(),
        }

    def state(self) -> bytes:
        """Everything that another process needs to go on from here."""
        buffer = io.BytesIO()
        names = list(self.history[0]) if self.history else []
        torch.save(
            {
                "record": json.dumps(self.record(), sort_keys=True),
                "networks": self.learner.state_dict(),
                "average": self._average.state_dict(),
                "optimizer": self._optimizer.state_dict(),
                "judge": None if self._judge is None else self._judge.state_dict(),
                "random": self.random.get_state(),
                "names": names,
                "history": torch.tensor([list(row.values()) for row in self.history], dtype=torch.float64),
            },
            buffer,
        )
        return buffer.getvalue()

    def resume(self, path: Path) -> None:
        """Go on from the checkpoint at `path`; raises ``CloakError`` when it is damaged or of another training."""
        try:
            state = torch.load(path, map_location=CPU, weights_only=True)
            begun = json.loads(state["record"])
            if begun == json.loads(json.dumps(self.record())):
                self.learner.load_state_dict(state["networks"])
                self._average.load_state_dict(state["average"])
                self._optimizer.load_state_dict(state["optimizer"])
                if self._judge is not None:
                    self._judge.load_state_dict(state["judge"])
                self.random.set_state(state["random"])
                rows = state["history"].tolist()
                self.history = [dict(zip(state["names"], row, strict=True)) for row in rows]
                return
        except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, LookupError, TypeError, ValueError) as error:
            raise CloakError(f"The checkpoint {path} is damaged; begin anew with --force.") from error
        other = [key for key, value in self.record().items() if begun.get(key) != json.loads(json.dumps(value))]
        raise CloakError(
            f"The training in {path.parent} was begun with other {' and '.join(other)}; give the same, choose another "
            "--out, or begin anew with --force."
        )


def train(
    training: Training,
    out: Path,
    steps: int,
    *,
    max_minutes: float | None = None,
    force: bool = False,
    save_seconds: float = SAVE_SECONDS,
    watch: Watch = lambda _step, _row: None,
) -> LearnedCloak:
    """Train until `steps` are done, from the checkpoint beside `out` if there is one, or until `max_minutes` are over.

    The cloak, the checkpoint, the curves and the sheet are written every `save_seconds` and at the end, each whole or
    not at all. `force`: begin anew; what lies there is kept until it is written over. `watch` hears of (step, its loss
    terms). Of several processes only the first one writes. Raises ``WriteError`` when something cannot be written; what
    was written before is then still whole.
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
    return training.cloak()


def save(training: Training, out: Path) -> None:
    """Write the checkpoint, then the cloak to `out`, the curves and the sheet; raises ``WriteError``."""
    folder = out.with_suffix(FOLDER)
    write_whole(folder / CHECKPOINT, training.state())
    write_whole(out, training.cloak().to_bytes())
    write_whole(folder / CURVES, curves(training.history).encode())
    photo.write(photo.Photo(sheet(training), None, photo.Facts("PNG")), folder / SAMPLES, force=True)


def curves(history: Sequence[Row]) -> str:
    """The loss terms as CSV, a line per step."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["step", *(history[0] if history else ())])
    table.writerows([step, *(f"{value:.6g}" for value in row.values())] for step, row in enumerate(history, start=1))
    return text.getvalue()


def sheet(training: Training) -> Any:
    """The first faces of different people in three rows, (3 s, n s, 3) uint8: clean, cloaked, and the change eightfold
    on gray."""
    crops = training.crops
    firsts = {int(person): row for row, person in reversed(list(enumerate(crops.people.tolist())))}
    rows = torch.tensor(sorted(firsts.values())[:_SHOWN])
    faces = (crops.pixels[rows].float() / 255).to(training.device)
    targets = faces.roll(1, dims=0) if training.learner.targeted else None
    state = training.random.get_state()
    with torch.no_grad():
        seen = training.seen(faces, targets)
    training.random.set_state(state)  # the views draw; the sheet is not to change the training
    panels = [seen.clean, seen.cloaked, 0.5 + _LOUDER * (seen.cloaked - seen.clean)]
    lines = [torch.cat(list(panel.clamp(0, 1)), dim=2) for panel in panels]
    return (255 * torch.cat(lines, dim=1)).round().byte().permute(1, 2, 0).contiguous().cpu().numpy()


def check_out(out: Path, *, force: bool = False) -> None:
    """Raises ``WriteError`` when the cloak could not be written to `out`, unless it is a training to go on with."""
    if out.suffix != SUFFIX:
        raise WriteError(f"{out} must end in {SUFFIX}.")
    if out.is_dir():
        raise WriteError(f"{out} is a folder; name a file in it.")
    if out.exists() and not force and not (out.with_suffix(FOLDER) / CHECKPOINT).is_file():
        raise WriteError(f"{out} exists already; choose another name or use --force.")
    if not out.parent.is_dir():
        raise WriteError(f"{out} could not be written: the folder does not exist; create it first.")


def check_recognizers(recognizers: Sequence[Recognizer]) -> None:
    """Raises ``RecognizerError`` unless there are recognizers, and all of them give gradients."""
    if not recognizers:
        raise RecognizerError("A learned cloak is trained against recognizers; name one or more with --recognizer.")
    for recognizer in recognizers:
        if not recognizer.differentiable:
            raise RecognizerError(f"{recognizer.name} is a black box: it gives no gradient to train with.")


def _adam(learner: Learner, weights: list[torch.nn.Parameter]) -> Adam:
    return Adam(weights, lr=learner.rate, betas=learner.betas)


def _averaged(average: Tensor, weights: Tensor, steps: Tensor | int) -> Tensor:
    """The running average after `steps` steps before this one; at first it forgets faster, for it begins far off."""
    return average.lerp(weights, 1 - min(_KEPT, (1 + int(steps)) / (10 + int(steps))))


def _finite(value: float) -> bool:
    return abs(value) < float("inf")
