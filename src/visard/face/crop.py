"""Pictures of faces as the crops of a template, and crops back where they lie in pictures."""

import torch
from torch import Tensor

from visard.face.template import Template
from visard.face.warp import warp


def to_template(pictures: Tensor, frames: Tensor, template: Template) -> Tensor:
    """`pictures` (N, C, H, W), warped to the crops of `template` (N, C, h, w); `frames` (N, 2, 3) canonical frame ->
    pixel."""
    to_canonical = frames.new_tensor(template.to_canonical)
    linear = frames[:, :, :2] @ to_canonical[:, :2]
    offset = frames[:, :, :2] @ to_canonical[:, 2:] + frames[:, :, 2:]
    return warp(pictures, torch.cat([linear, offset], dim=2), template.size)


def from_template(crops: Tensor, frames: Tensor, template: Template, size: tuple[int, int]) -> Tensor:
    """`crops` (N, C, h, w) of `template` as they lie in pictures of `size` (H, W), black around them: (N, C, H, W)."""
    to_canonical = torch.linalg.inv(frames[:, :, :2])  # (N, 2, 2), picture -> canonical frame
    (sx, _, x0), (_, sy, y0) = template.to_canonical.tolist()
    scale, origin = frames.new_tensor([1 / sx, 1 / sy]), frames.new_tensor([x0, y0])
    linear = scale[:, None] * to_canonical
    offset = scale[:, None] * (-(to_canonical @ frames[:, :, 2:]) - origin[:, None])
    return warp(crops, torch.cat([linear, offset], dim=2), size)
