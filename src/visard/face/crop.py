"""Pictures of faces as the crops of a template, and crops back where they lie in pictures."""

import torch
from torch import Tensor

from visard.face.template import Template
from visard.face.warp import warp


def to_template(pictures: Tensor, frames: Tensor, template: Template) -> Tensor:
    """`pictures` (N, C, H, W), warped to the crops of `template` (N, C, h, w); `frames` (N, 2, 3) canonical frame ->
    pixel."""
    return warp(pictures, after(frames, frames.new_tensor(template.to_canonical)), template.size)


def after(outer: Tensor, inner: Tensor) -> Tensor:
    """The affine maps (N, 2, 3) that apply `inner` (..., 2, 3) first and `outer` (N, 2, 3) to its result."""
    linear, offset = outer[:, :, :2] @ inner[..., :2], outer[:, :, :2] @ inner[..., 2:] + outer[:, :, 2:]
    return torch.cat([linear, offset], dim=2)


def fitting(points: Tensor, wanted: Tensor) -> Tensor:
    """The affine maps (N, 2, 3) that take `points` (N, P, 2) nearest to `wanted` (N, P, 2), by least squares."""
    whole = torch.cat([points, torch.ones_like(points[:, :, :1])], dim=2).double()
    # by the normal equations, in double precision: the general solvers' last bits differ from run to run
    found: Tensor = torch.linalg.solve(whole.mT @ whole, whole.mT @ wanted.double()).to(points)
    return found.mT


def from_template(crops: Tensor, frames: Tensor, template: Template, size: tuple[int, int]) -> Tensor:
    """`crops` (N, C, h, w) of `template` as they lie in pictures of `size` (H, W), black around them: (N, C, H, W)."""
    to_canonical = torch.linalg.inv(frames[:, :, :2])  # (N, 2, 2), picture -> canonical frame
    (sx, _, x0), (_, sy, y0) = template.to_canonical.tolist()
    scale, origin = frames.new_tensor([1 / sx, 1 / sy]), frames.new_tensor([x0, y0])
    linear = scale[:, None] * to_canonical
    offset = scale[:, None] * (-(to_canonical @ frames[:, :, 2:]) - origin[:, None])
    return warp(crops, torch.cat([linear, offset], dim=2), size)
