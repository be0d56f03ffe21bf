"""Faces put in the place of others: where the landmarks lie, blended into the photo at its own resolution."""

import inspect
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from visard.cloak import Method, Task
from visard.cloak.geometry import frames_of
from visard.face import (
    FACE,
    Template,
    after,
    blend,
    face_mask,
    fitting,
    from_template,
    hull_mask,
    membrane,
    to_template,
)
from visard.generator.latent.disentangled import framed
from visard.generator.latent.landmarks import NOSE, shipped_landmarks

PAPER = "Yang et al. 2021"
Source = Callable[[Tensor, Generator], Tensor]
"""Makes faces (N, 3, s, s) in [0, 1] to put in the place of `crops` (N, 3, s, s) in [0, 1]; every random draw comes
from the generator."""

# brows, eyes and mouth moved so many times as far from the nose, so that less is replaced on the side that is turned
# away, and what is around them, px of the canonical frame
_WIDER, _REACH, _FADE = 1.6, 10.0, 14.0
# of a pixel that the crop fills
_INSIDE = 0.99


def replacing(source: Source, template: Template, name: str, paper: str = PAPER) -> Method:
    """The method that puts what `source` makes of a face's crop, cut by `template`, in the place of the face.

    The crop is brought back into the photo at the photo's own resolution, so that its landmarks lie where those of the
    face were, and blended between and around them: hair and outline, which tell the pose, stay. Gray photos stay gray.
    """

    def run(task: Task) -> Tensor:
        pixels, frames = task.faces.pixels.detach(), frames_of(task.faces)
        size = pixels.shape[-2:]
        shown = _shown(pixels)
        whole = torch.where(shown, pixels, membrane(pixels, shown))  # no source takes the photo's edge for a face's
        crops = to_template(whole, frames, template).clamp(0, 1).expand(-1, 3, -1, -1)
        with torch.no_grad():
            made = source(crops, task.generator).clamp(0, 1)
        landmarks = shipped_landmarks()
        points = landmarks.points(task.faces._replace(pixels=whole))
        placed = after(frames, fitting(landmarks.points(framed(made, template)), points))
        if pixels.shape[1] == 1:
            made = made.mean(dim=1, keepdim=True)
        back = from_template(made, placed, template, (size[0], size[1]))
        inside = from_template(torch.ones_like(made[:, :1]), placed, template, (size[0], size[1])) > _INSIDE
        nose = points[:, NOSE].mean(dim=1, keepdim=True)
        hull = hull_mask(frames, size[0], nose + _WIDER * (points - nose), _REACH, _FADE)
        mask = face_mask(frames, size[0], FACE) * hull
        delta = task.in_range(blend(pixels, back, mask, inside & shown) - pixels)
        task.heard(1, delta)
        return delta

    return Method(name, paper, "untargeted", run, about=inspect.getdoc(source) or "", replaces=True)


def _shown(pixels: Tensor) -> Tensor:
    """Where pictures (N, C, H, W) show something, (N, 1, H, W) bool: not beyond a photo's edge, where all is black."""
    lit = pixels.amax(dim=1) > 0
    rows, columns = lit.any(dim=2), lit.any(dim=1)

    def between(found: Tensor) -> Tensor:
        return (found.cummax(dim=1)[0] & found.flip(1).cummax(dim=1)[0].flip(1)).bool()

    return (between(rows)[:, :, None] & between(columns)[:, None])[:, None]
