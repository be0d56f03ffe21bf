"""JPEG as a function with a gradient."""

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

# the quantization tables of ISO/IEC 10918-1, annex K, row by row; libjpeg's quality 50
_LUMA = (
    16, 11, 10, 16, 24, 40, 51, 61,
    12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77,
    24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
_CHROMA = (
    17, 18, 24, 47, 99, 99, 99, 99,
    18, 21, 26, 66, 99, 99, 99, 99,
    24, 26, 56, 99, 99, 99, 99, 99,
    47, 66, 99, 99, 99, 99, 99, 99,
    *(99,) * 32,
)  # fmt: skip
# JFIF: RGB -> Y, Cb, Cr, all in 0..255, the chroma less 128
_TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))
_MIDDLE = 128


def through(value: Tensor, instead: Tensor) -> Tensor:
    """`value`, with the gradient of `instead`."""
    return instead + (value - instead).detach()


def jpeg(faces: Tensor, quality: int) -> Tensor:
    """`faces` (N, 3, h, w) in [0, 1] after JPEG with 4:2:0 chroma at a `quality` of 1 to 100 on libjpeg's scale.

    As libjpeg does it, but for its whole numbers within the transform: a few values differ by a level or two. Where
    something is rounded, the gradient is that of the identity.
    """
    height, width = faces.shape[-2:]
    wide = F.pad(255 * faces, (0, -width % 16, 0, -height % 16), mode="replicate")
    y, cb, cr = _mixed(_rounded(wide), _TO_YCC).split(1, dim=1)
    luma = _quantized(_rounded(y) - _MIDDLE, _table(_LUMA, quality)) + _MIDDLE
    small = F.avg_pool2d(_rounded(torch.cat([cb, cr], dim=1)), 2)
    chroma = _quantized(_rounded(small), _table(_CHROMA, quality))
    large = F.interpolate(chroma, scale_factor=2.0, mode="bilinear", align_corners=False)
    found = _mixed(torch.cat([_rounded(luma).clamp(0, 255), _rounded(large)], dim=1), _TO_RGB)
    return _rounded(found)[..., :height, :width].clamp(0, 255) / 255


@lru_cache(maxsize=8)
def cosines(size: int) -> Tensor:
    """The orthonormal discrete cosine transform (type II) of `size` values, (size, size); its transpose undoes it."""
    k = torch.arange(size, dtype=torch.float64)
    basis = torch.cos(math.pi / size * (k[None] + 0.5) * k[:, None]) * math.sqrt(2 / size)
    basis[0] /= math.sqrt(2)
    return basis.float()


def _rounded(values: Tensor) -> Tensor:
    return through(values.round(), values)


def _mixed(values: Tensor, matrix: tuple[tuple[float, ...], ...]) -> Tensor:
    """The channels of `values` (N, 3, h, w) mixed by a 3 x 3 matrix."""
    return torch.einsum("dc,nchw->ndhw", values.new_tensor(matrix), values)


def _quantized(values: Tensor, table: Tensor) -> Tensor:
    """`values` (N, C, h, w), h and w multiples of 8, with the cosine components of each block rounded to multiples of
    `table` (8, 8)."""
    basis, steps = cosines(8).to(values), table.to(values)
    blocks = values.unfold(2, 8, 8).unfold(3, 8, 8)  # (N, C, h / 8, w / 8, 8, 8)
    coarse = steps * _rounded(basis @ blocks @ basis.mT / steps)
    return (basis.mT @ coarse @ basis).transpose(3, 4).reshape(values.shape)


def _table(standard: tuple[int, ...], quality: int) -> Tensor:
    """The table (8, 8) at a quality, as libjpeg scales it."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return ((torch.tensor(standard) * scale + 50) // 100).clamp(1, 255).view(8, 8)
