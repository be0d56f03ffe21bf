"""The training of learned cloaks: one step of Adam for the generator, one for its discriminator if it has one."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn
from torch.optim import Adam
from torch.optim.swa_utils import AveragedModel

from visard.cloak import Faces
from visard.cloak.objective import aligned
from visard.cloak.transform import chain, identity, jitter, resized
from visard.errors import RecognizerError
from visard.face.patch import face_mask
from visard.generator import parallel
from visard.generator.course import CPU, Course, Row, pictures, take
from visard.generator.crops import Crops
from visard.generator.learned import LearnedCloak, make_learner, parse_cloak
from visard.generator.learner import Learner, Seen, frames_in, mean_cosine, settings_with_defaults, window
from visard.recognizer import Recognizer, parse_card

_SHOWN = 6  # faces on the sheet
_LOUDER = 8  # what the sheet multiplies changes by
# of the average of the weights from one step to the next: the last thousand steps count
_KEPT = 0.999
# crops have two thirds of the pixels that the flagship's patches have, so posted photos shrink them less
_SMALLEST = 0.7


@dataclass
class Training(Course[LearnedCloak]):
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
        parallel.check_batch(self.learner.batch)
        self.settings = settings_with_defaults(type(self.learner), self.settings)
        self.random = Generator().manual_seed(self.seed)
        frames = frames_in(window(self.crops.size), 1)
        self.frames, self.mask = frames.to(self.device), face_mask(frames, self.crops.size).to(self.device)
        self._average = AveragedModel(self.learner.generator, avg_fn=_averaged)
        discriminator = self.learner.discriminator
        self._optimizer = _adam(self.learner, self.learner.generator)
        self._judge = None if discriminator is None else _adam(self.learner, discriminator)
        self._view = chain(jitter(self.random), resized(self.random, low=_SMALLEST)) if self.learner.views else identity

    def step(self) -> Row:
        """One more step; its loss terms by name. Raises ``CloakError`` when one is not finite."""
        seen = self.seen(*self._drawn())
        terms = self.learner.losses(seen)
        # the discriminator is asked here, not trained
        take(self._optimizer, torch.stack(list(terms.values())).sum())
        self._average.update_parameters(self.learner.generator)
        if self._judge is not None:
            terms["discriminator"] = self.learner.discriminator_loss(seen)
            take(self._judge, terms["discriminator"])
        terms["cosine"] = mean_cosine(seen.found, seen.goal or seen.own).mean()
        values = parallel.mean(torch.stack([term.detach() for term in terms.values()]))
        row = dict(zip(terms, values.tolist(), strict=True))
        return self.add(row, self.learner.rate)

    def seen(self, faces: Tensor, targets: Tensor | None = None) -> Seen:
        """`faces` (N, 3, s, s) in [0, 1] with what the generator makes of them now, and what the recognizers see."""
        clean = Faces(faces, self.frames.expand(len(faces), 2, 3))
        hint = self.learner.hint(clean, self.recognizers, targets)
        change = self.mask * self.learner.within(self.learner.change(faces, hint), clean, self.mask)
        cloaked = clean._replace(pixels=(faces + change).clamp(0, 1))
        judges = self._judges()
        with torch.no_grad():
            own = self._embedded(judges, clean)
            goal = [] if targets is None else self._embedded(judges, clean._replace(pixels=targets))
        return Seen(faces, cloaked.pixels, change, own, self._embedded(judges, self._view(cloaked)), goal)

    def _judges(self) -> Sequence[Recognizer]:
        """The recognizers that see the faces of a step."""
        count = self.learner.at_once
        if count is None or count >= len(self.recognizers):
            return self.recognizers
        return [self.recognizers[row] for row in torch.randperm(len(self.recognizers), generator=self.random)[:count]]

    def _embedded(self, judges: Sequence[Recognizer], faces: Faces) -> list[Tensor]:
        # only the networks in the precision of the training: a frame in bfloat16 would be off by half a pixel
        return [self.learner.computed(r.embed, aligned(r, faces)) for r in judges]

    def _drawn(self) -> tuple[Tensor, Tensor | None]:
        faces, rows = self.crops.draw(self.learner.batch, self.random)
        targets = self.crops.others(rows, self.random) if self.learner.targeted else None
        return self._own(faces), None if targets is None else self._own(targets)

    def _own(self, faces: Tensor) -> Tensor:
        return parallel.share(faces).to(self.device)

    def made(self) -> LearnedCloak:
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

    def parts(self) -> dict[str, Any]:
        return {
            "networks": self.learner.state_dict(),
            "average": self._average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "judge": None if self._judge is None else self._judge.state_dict(),
            "random": self.random.get_state(),
        }

    def restore(self, parts: Mapping[str, Any]) -> None:
        self.learner.load_state_dict(parts["networks"])
        self._average.load_state_dict(parts["average"])
        self._optimizer.load_state_dict(parts["optimizer"])
        if self._judge is not None:
            self._judge.load_state_dict(parts["judge"])
        self.random.set_state(parts["random"])

    def sheet(self) -> NDArray[np.uint8]:
        """The first faces of different people in three rows: clean, cloaked, and the change eightfold on gray."""
        crops = self.crops
        firsts = {int(person): row for row, person in reversed(list(enumerate(crops.people.tolist())))}
        rows = torch.tensor(sorted(firsts.values())[:_SHOWN])
        faces = (crops.pixels[rows].float() / 255).to(self.device)
        targets = faces.roll(1, dims=0) if self.learner.targeted else None
        state = self.random.get_state()
        with torch.no_grad():
            seen = self.seen(faces, targets)
        self.random.set_state(state)  # the views draw; the sheet is not to change the training
        return pictures([seen.clean, seen.cloaked, 0.5 + _LOUDER * (seen.cloaked - seen.clean)])


def check_recognizers(recognizers: Sequence[Recognizer]) -> None:
    """Raises ``RecognizerError`` unless there are recognizers, and all of them give gradients."""
    if not recognizers:
        raise RecognizerError("A learned cloak is trained against recognizers; name one or more with --recognizer.")
    for recognizer in recognizers:
        if not recognizer.differentiable:
            raise RecognizerError(f"{recognizer.name} is a black box: it gives no gradient to train with.")


def _adam(learner: Learner, network: nn.Module) -> Adam:
    return Adam(network.parameters(), lr=learner.rate, betas=learner.betas)


def _averaged(average: Tensor, weights: Tensor, steps: Tensor | int) -> Tensor:
    """The running average after `steps` steps before this one; at first it forgets faster, for it begins far off."""
    return average.lerp(weights, 1 - min(_KEPT, (1 + int(steps)) / (10 + int(steps))))
