"""Views: the face displaced, resized, as other pipelines would align and post it."""

import math

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from visard.cloak.objective import Faces
from visard.cloak.transform.base import Transform


def jitter(generator: Generator, shift: float = 2.0, scale: float = 0.05, degrees: float = 4.0) -> Transform:
    """Another detector's alignment: faces turned by up to +-`degrees`, scaled by up to +-`scale`, shifted by up to
    +-`shift` pixels of the canonical frame, all uniform.

    All faces of a batch alike, so that a face sees the same whatever it is with. Only the frames change; the
    recognizers' own warp does the rest. Needs frames.
    """

    def apply(faces: Faces) -> Faces:
        frames = _frames(faces)
        turned, sized, *moved = (torch.rand(4, generator=generator) * 2 - 1).tolist()
        angle, size = math.radians(degrees) * turned, 1 + scale * sized
        cos, sin = size * math.cos(angle), size * math.sin(angle)
        turn = frames.new_tensor([[cos, -sin], [sin, cos]])
        center = frames.new_tensor([[55.5], [55.5]])
        offset = center - turn @ center + shift * frames.new_tensor(moved)[:, None]
        linear = frames[:, :, :2]
        return faces._replace(frames=torch.cat([linear @ turn, linear @ offset + frames[:, :, 2:]], dim=2))

    return apply


def resized(generator: Generator, low: float = 0.45, high: float = 1.0) -> Transform:
    """The photo is posted smaller: reduced by one factor of [`low`, `high`], uniform, with anti-aliasing.

    It is not enlarged again: the recognizers' own warp resamples it once anyway. Needs frames.
    """

    def apply(faces: Faces) -> Faces:
        frames = _frames(faces)
        height, width = faces.pixels.shape[-2:]
        factor = low + (high - low) * float(torch.rand((), generator=generator))
        size = (max(1, round(height * factor)), max(1, round(width * factor)))
        small = F.interpolate(faces.pixels, size=size, mode="bilinear", antialias=True, align_corners=False)
        ratio = frames.new_tensor([size[1] / width, size[0] / height])
        linear = frames[:, :, :2] * ratio[:, None]
        offset = (frames[:, :, 2] + 0.5) * ratio - 0.5
        return Faces(small, torch.cat([linear, offset[:, :, None]], dim=2))

    return apply


def input_diversity(generator: Generator, low: float = 0.9, probability: float = 0.5) -> Transform:
    """With `probability`, the picture is reduced by a factor of [`low`, 1] and padded with black at random.

    Xie et al., "Improving transferability of adversarial examples with input diversity", CVPR 2019, section 3.3
    (there enlarged from 299 to at most 330 px; networks of fixed input size need it the other way round).
    """

    def apply(faces: Faces) -> Faces:
        if float(torch.rand((), generator=generator)) >= probability:
            return faces
        height, width = faces.pixels.shape[-2:]
        factor = low + (1 - low) * float(torch.rand((), generator=generator))
        size = (max(1, round(height * factor)), max(1, round(width * factor)))
        small = F.interpolate(faces.pixels, size=size, mode="bilinear", antialias=True, align_corners=False)
        top = int(torch.randint(height - size[0] + 1, (), generator=generator))
        left = int(torch.randint(width - size[1] + 1, (), generator=generator))
        # the frames stay: the recognizer is to see the face displaced
        padded = F.pad(small, (left, width - size[1] - left, top, height - size[0] - top))
        return faces._replace(pixels=padded)

    return apply


def _frames(faces: Faces) -> Tensor:
    if faces.frames is None:
        raise ValueError("this transform moves the face frame; give frames")
    return faces.frames
