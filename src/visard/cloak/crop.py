"""A change made on the aligned crop: how recognizers see it, and how it comes back to the picture."""

from dataclasses import dataclass

import torch
from torch import Tensor

from visard.cloak.loop import Task
from visard.cloak.objective import aligned
from visard.errors import CloakError
from visard.face import ARCFACE_112, to_template, warp

_SIZE = ARCFACE_112.size


@dataclass(frozen=True, slots=True)
class Crop:
    """A task's faces in the canonical frame, where a change (K N, C, h, w), K changes per face, is sought.

    `clean` (N, C, h, w): the crops; `mask` (N, 1, h, w), or None; `views`: the clean faces aligned for each
    surrogate. A recognizer's view of a change is its view of the clean face plus the change, moved to its template;
    nothing of the picture is resampled at a step. Aligned pictures, without frames, are their own crops.
    """

    task: Task
    clean: Tensor
    mask: Tensor | None
    views: tuple[Tensor, ...]

    def masked(self, change: Tensor) -> Tensor:
        """The part of `change` that reaches the picture."""
        return change if self.mask is None else _repeated(self.mask, change) * change

    def in_range(self, change: Tensor) -> Tensor:
        """`change`, clipped so that the crop stays within [0, 1]."""
        clean = _repeated(self.clean, change)
        return torch.minimum(torch.maximum(change, -clean), 1 - clean)

    def seen_by(self, number: int, change: Tensor) -> Tensor:
        """What surrogate `number`, from 0, takes: (K N, 3, h', w'), aligned to its template."""
        recognizer, change = self.task.surrogates[number], self.masked(change)
        if self.task.faces.frames is not None and recognizer.template != ARCFACE_112:
            change = to_template(change, torch.eye(2, 3).to(change).expand(len(change), -1, -1), recognizer.template)
        return _repeated(self.views[number], change) + change

    def brought_back(self, change: Tensor) -> Tensor:
        """`change` (N, C, h, w) on the picture's own pixels (N, C, H, W): warped, and clipped to the range."""
        return self.task.in_range(self._warped_back(change))

    def pasted(self, change: Tensor, eps: float) -> Tensor:
        """The change that the whole crop makes when it is warped back over the picture, clipped to `eps`.

        The crop was resampled, so this holds the blur of that too.
        """
        pixels = self.task.faces.pixels.detach()
        inside = self._warped_back(torch.ones_like(self.clean)) > 1 - 1e-4
        change = self._warped_back(self.clean + change) - pixels
        return self.task.in_range((change * inside).clamp(-eps, eps))

    def _warped_back(self, crops: Tensor) -> Tensor:
        frames = self.task.faces.frames
        if frames is None:
            return crops
        height, width = self.task.faces.pixels.shape[-2:]
        inverse = torch.linalg.inv(frames[:, :, :2])
        return warp(crops, torch.cat([inverse, -inverse @ frames[:, :, 2:]], dim=2), (height, width))


def crop_of(task: Task) -> Crop:
    """The crops of a task's faces; raises ``CloakError`` when it has no surrogates."""
    if not task.surrogates:
        raise CloakError("This method needs at least one recognizer to work against; give surrogates.")
    faces = task.faces._replace(pixels=task.faces.pixels.detach())
    clean, mask = faces.pixels, task.mask
    if faces.frames is not None:
        clean = warp(clean, faces.frames, _SIZE).clamp(0, 1)
        mask = None if mask is None else warp(mask, faces.frames, _SIZE)
    return Crop(task, clean, mask, tuple(aligned(recognizer, faces) for recognizer in task.surrogates))


def _repeated(values: Tensor, change: Tensor) -> Tensor:
    return values if len(values) == len(change) else values.repeat(len(change) // len(values), 1, 1, 1)
