"""What a learned cloak is while it is made: its networks, and what they are asked for."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from visard.cloak import Faces, Structure
from visard.cloak.geometry import unit_of
from visard.cloak.method import Aim, check_settings, settings_of
from visard.errors import SettingError
from visard.face import Template
from visard.recognizer import Recognizer

LEAST_SIZE = 64
SQUARE = (-8.0, -2.5, 120.0, 125.5)
"""Of the canonical frame, x0, y0, x1, y1: all that may change of a face, and what the recognizers see of it."""
# side of the crop on which the verdict measures similarity, pixels of the canonical frame
_STRUCTURE_SIDE = 160
# as in the flagship: structure alone would let smooth, colored stains pass
CAP, _COLOR = 24 / 255, 0.1
_ROUNDS = 8


class Seen(NamedTuple):
    """A batch at one step of the training.

    `clean` and `cloaked` faces (N, 3, s, s) in [0, 1], the `change` between them as far as the mask lets it through,
    and their unit embeddings (N, D), one tensor per recognizer: `own` of the clean faces, `found` of the cloaked ones,
    `goal` of the people to impersonate, empty when there are none.
    """

    clean: Tensor
    cloaked: Tensor
    change: Tensor
    own: Sequence[Tensor]
    found: Sequence[Tensor]
    goal: Sequence[Tensor] = ()


class Learner(nn.Module, ABC):
    """A kind of learned cloak: `generator` makes the change, `discriminator`, if there is one, judges the result.

    The keyword-only arguments are the settings. `budget`: "ssim" keeps the structural similarity at `ssim` or above,
    the change mostly gray and within the flagship's cap; whatever else it may be called is the paper's own way.
    `views`: whether faces are displaced and resized before the recognizers see them. `batch` faces a step; `rate` and
    `betas` of Adam. `mixed`: whether networks compute in bfloat16 where that is good enough (``torch.autocast``).
    """

    name: ClassVar[str]
    paper: ClassVar[str]
    aim: ClassVar[Aim] = "untargeted"
    betas: ClassVar[tuple[float, float]]
    probing: ClassVar[bool] = False
    """Whether the first recognizer is asked for its gradient, in the training as afterwards."""

    generator: nn.Module
    discriminator: nn.Module | None
    targeted: bool = False
    cap: float = CAP
    """What no pixel changes more than, with budget=ssim."""
    at_once: int | None = None
    """How many recognizers see the faces of a step, drawn anew each time; None for all."""

    def __init__(self, *, budget: str, ssim: float, views: bool | None, batch: int, rate: float) -> None:
        super().__init__()
        self.discriminator = None
        self.structured, self.ssim, self.batch, self.rate = budget == "ssim", ssim, batch, rate
        self.views = self.structured if views is None else views
        self.mixed = False

    @abstractmethod
    def change(self, faces: Tensor, hint: Tensor | None) -> Tensor:
        """The change (N, 3, s, s) to `faces` (N, 3, s, s), before mask and budget; `hint` as ``hint`` gives it."""

    @abstractmethod
    def losses(self, seen: Seen) -> dict[str, Tensor]:
        """What the generator is trained to make small, by the names of its terms, weighed."""

    def hint(self, faces: Faces, recognizers: Sequence[Recognizer], targets: Tensor | None) -> Tensor | None:  # noqa: ARG002
        """What the generator is told beside the faces, (N, 3, s, s), if anything; `targets`: whom to impersonate."""
        return targets

    def computed(self, network: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
        """What `network` makes of `inputs`, float32 in whatever precision it is computed."""
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=self.mixed):
            return network(inputs).float()

    def discriminator_loss(self, seen: Seen) -> Tensor:
        """What the discriminator is trained to make small."""
        raise NotImplementedError(f"{self.name} has no discriminator")

    def within(self, change: Tensor, faces: Faces, mask: Tensor | None, ssim: float | None = None) -> Tensor:
        """`change` (N, C, H, W) of `faces`, shortened to the budget that is to hold whatever the generator does.

        `ssim`: another similarity than the generator was trained for, to which `change` is scaled first.
        """
        if not self.structured:
            return change
        ssim = self.ssim if ssim is None else ssim
        # the loss of structure grows with the square of a small change
        change = change * math.sqrt((1 - ssim) / (1 - self.ssim))
        gray = change.mean(dim=1, keepdim=True)
        change = self.cap * ((gray + _COLOR * (change - gray)) / self.cap).tanh()
        area = (_STRUCTURE_SIDE * unit_of(faces)).square()
        structure = Structure(faces.pixels, ssim, area, mask)
        # a generator may begin with changes far beyond the budget
        return structure.project(change, rounds=_ROUNDS)


def check_learner_settings(kind: type[Learner], settings: dict[str, Any]) -> None:
    """Raises ``SettingError`` for a setting that the kind does not have, or a value that it cannot take."""
    check_settings(kind.name, kind.__init__, settings)
    for name in ("batch", "width", "reduced", "at_once"):
        if (value := settings.get(name)) is not None and value < 1:
            raise SettingError(f"{kind.name}: {name} must be 1 or more, got {settings[name]}.")


def settings_with_defaults(kind: type[Learner], settings: dict[str, Any]) -> dict[str, Any]:
    """All settings of the kind, with the values of `settings` where it has them."""
    return {**settings_of(kind.__init__), **settings}


def window(size: int) -> Template:
    """The crop that generators take, `size` px: a square of the canonical frame that holds all that may change of a
    face, and what the recognizers see of it. Raises ``SettingError`` unless `size` is a multiple of 4, 64 or more."""
    if size < LEAST_SIZE or size % 4:
        raise SettingError(f"The size of the faces is a multiple of 4, {LEAST_SIZE} or more, such as 112; got {size}.")
    return Template((size, size), SQUARE)


def frames_in(template: Template, count: int) -> Tensor:
    """The map canonical frame -> pixel of crops of `template`, (count, 2, 3)."""
    (sx, _, x0), (_, sy, y0) = template.to_canonical.tolist()
    return torch.tensor([[1 / sx, 0.0, -x0 / sx], [0.0, 1 / sy, -y0 / sy]]).expand(count, 2, 3)


def mean_cosine(found: Sequence[Tensor], anchors: Sequence[Tensor]) -> Tensor:
    """The cosines of unit embeddings (N, D), a pair per recognizer, averaged over recognizers: (N,)."""
    return torch.stack([(f * a).sum(dim=1) for f, a in zip(found, anchors, strict=True)]).mean(dim=0)
