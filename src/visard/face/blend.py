"""A face put in the place of another: light and color of its surroundings carried in, and no visible rim."""

import torch
import torch.nn.functional as F
from torch import Tensor

from visard.face.patch import Shape

FACE = Shape((55.5, 64.0), (50.0, 60.0), 2.5, 0.3)
"""What another face takes the place of: brows to chin, cheek to cheek."""

# what of a difference around a face may be light; more is another background, whose color must not get into the face
_LIGHT = 0.1
_GAIN = 1.5
_ROUNDS, _OVER = 24, 1.8  # of relaxation at each resolution, and how far beyond the mean it goes
_COARSEST, _FINEST = 4, 128  # px: those that are relaxed


def blend(pictures: Tensor, faces: Tensor, mask: Tensor, seen: Tensor) -> Tensor:
    """`pictures` (N, C, H, W) with `faces` (N, C, H, W) where `mask` (N, 1, H, W) in [0, 1] is above 0.

    The face first takes the mean and, within limits, the contrast that the picture has there in each channel, as
    Reinhard et al., "Color transfer between images", 2001, do for whole pictures. What it then still differs by around
    the mask is taken for light if it is little, and carried into the mask. `seen` (N, 1, H, W) bool: where both show
    something. Values may leave [0, 1].
    """
    matched = _matched(faces, pictures, mask * seen)
    around = seen & (mask == 0)
    light = membrane((pictures - matched).clamp(-_LIGHT, _LIGHT), around)
    return pictures + mask * (matched + light - pictures)


def _matched(faces: Tensor, pictures: Tensor, weight: Tensor) -> Tensor:
    """`faces` with the mean and the contrast of `pictures` in each channel, by `weight` (N, 1, H, W)."""
    total = weight.sum(dim=(2, 3), keepdim=True).clamp(min=1e-6)

    def moments(values: Tensor) -> tuple[Tensor, Tensor]:
        mean = (values * weight).sum(dim=(2, 3), keepdim=True) / total
        return mean, (((values - mean).square() * weight).sum(dim=(2, 3), keepdim=True) / total).sqrt()

    (mean, deviation), (own_mean, own_deviation) = moments(pictures), moments(faces)
    gain = (deviation / own_deviation.clamp(min=1e-6)).clamp(1 / _GAIN, _GAIN)
    return mean + gain * (faces - own_mean)


def membrane(values: Tensor, known: Tensor) -> Tensor:
    """The smoothest function (N, C, H, W) that has the `values` (N, C, H, W) where they are `known` (N, 1, H, W), bool:
    elsewhere each pixel is the mean of its neighbors. 0 where nothing is known.

    Laplace's equation, as in Perez, Gangnet and Blake, "Poisson image editing", SIGGRAPH 2003, relaxed from coarse to
    fine (successive over-relaxation on a checkerboard), up to 128 px; what is larger is enlarged from there. At the
    picture's edge nothing flows.
    """
    height, width = values.shape[-2:]
    weight = known.to(values)
    if min(height, width) <= _COARSEST:
        total, share = (values * weight).sum(dim=(2, 3), keepdim=True), weight.sum(dim=(2, 3), keepdim=True)
        start = (total / share.clamp(min=1)).expand_as(values)
    else:
        odd = (0, width % 2, 0, height % 2)
        below = F.avg_pool2d(F.pad(weight, odd), 2)
        mean = F.avg_pool2d(F.pad(values * weight, odd), 2) / below.clamp(min=0.25)
        coarse = membrane(mean, below > 0)
        whole = F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
        start = whole[..., :height, :width]
    found = torch.where(known, values, start)
    if max(height, width) > _FINEST:
        return found
    kernel = (values.new_tensor([[0, 1, 0], [1, 0, 1], [0, 1, 0]]) / 4).expand(values.shape[1], 1, 3, 3)
    rows, columns = torch.arange(height)[:, None], torch.arange(width)
    fields = [~known & ((rows + columns) % 2 == parity).to(known.device) for parity in (0, 1)]
    for _ in range(_ROUNDS):
        for field in fields:
            around = F.conv2d(F.pad(found, (1, 1, 1, 1), mode="replicate"), kernel, groups=values.shape[1])
            found = torch.where(field, found + _OVER * (around - found), found)
    return found
