"""What trainings see: aligned faces, and the ways in which a picture of a face varies."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Generator, Tensor

from visard import photo
from visard.face import warp

SIZE = 160  # of the aligned crops
MARGIN = 24  # where the canonical 112 px frame begins in them


def load(data: Path, *, validation: bool) -> tuple[Tensor, list[str]]:
    """The aligned faces (K, 3, 160, 160), uint8, and whose they are: role `train` of ``data/lfw-160/meta.csv`` and
    the synthetic faces. Every 20th real person is kept apart: with `validation` those, else all others."""
    paths: list[tuple[str, Path]] = []
    with (data / "lfw-160" / "meta.csv").open(newline="", encoding="utf-8") as file:
        rows = [(r["person"], data / "lfw-160" / r["path"]) for r in csv.DictReader(file) if r["role"] == "train"]
    apart = set(sorted({person for person, _ in rows})[::20])
    paths += [(person, path) for person, path in rows if (person in apart) == validation]
    if not validation:
        synthetic = [p for name in ("sfhq-160", "tpdne-160") for p in sorted((data / name).glob("*.jpg"))]
        paths += [(path.stem, path) for path in synthetic]
    return read([path for _, path in paths]), [person for person, _ in paths]


def read(paths: Sequence[Path]) -> Tensor:
    """Aligned faces from files, (K, 3, 160, 160), uint8."""
    faces = torch.empty(len(paths), 3, SIZE, SIZE, dtype=torch.uint8)
    for i, path in enumerate(paths):
        with Image.open(path) as image:
            faces[i] = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)
    return faces


def frames(count: int) -> Tensor:
    """The canonical frame in an aligned crop, (count, 2, 3)."""
    frame = torch.tensor([[1.0, 0.0, MARGIN], [0.0, 1.0, MARGIN]])
    return frame.expand(count, 2, 3)


def varied(pictures: Tensor, generator: Generator) -> Tensor:
    """`pictures` (N, 3, 160, 160), uint8, each as another photo might show it, (N, 3, 160, 160) in [0, 1].

    Half of them are mixtures of two faces, a blend or two parts along a soft seam: faces that nobody has, about
    which a teacher still has an opinion. Then displaced, flipped, relit, and some blurred, reduced or compressed.
    """
    faces = _mixed(pictures.float() / 255, generator)
    faces = _displaced(faces, generator)
    faces = _relit(faces, generator)
    return torch.stack([_degraded(face, generator) for face in faces])


def _mixed(faces: Tensor, generator: Generator) -> Tensor:
    n = len(faces)
    partners = faces[torch.randperm(n, generator=generator)]
    blend = _uniform((n, 1, 1, 1), 0.3, 0.7, generator)
    angle = _uniform((n, 1, 1, 1), 0, 2 * math.pi, generator)
    line = torch.linspace(-1, 1, SIZE)
    across = line * angle.cos() + line[:, None] * angle.sin()  # (N, 1, H, W)
    seam = torch.sigmoid((across - _uniform((n, 1, 1, 1), -0.3, 0.3, generator)) / 0.06)
    kind = torch.rand((n, 1, 1, 1), generator=generator)
    weight = torch.where(kind < 0.5, torch.ones(()), torch.where(kind < 0.75, blend, seam))
    return weight * faces + (1 - weight) * partners


def _displaced(faces: Tensor, generator: Generator) -> Tensor:
    n = len(faces)
    angle = torch.randn(n, generator=generator) * math.radians(5)
    scale = torch.exp(torch.randn(n, generator=generator) * 0.05)
    mirror = torch.where(torch.rand(n, generator=generator) < 0.5, -1.0, 1.0)
    shift = torch.randn((n, 2, 1), generator=generator) * 2
    cos, sin = angle.cos() * scale, angle.sin() * scale
    linear = torch.stack([torch.stack([cos * mirror, -sin], 1), torch.stack([sin * mirror, cos], 1)], 1)  # (N, 2, 2)
    middle = torch.full((2, 1), (SIZE - 1) / 2)
    return warp(faces, torch.cat([linear, middle - linear @ middle + shift], 2), (SIZE, SIZE))


def _relit(faces: Tensor, generator: Generator) -> Tensor:
    n = len(faces)
    gain = torch.exp(torch.randn((n, 3, 1, 1), generator=generator) * 0.05)
    gain = gain * torch.exp(torch.randn((n, 1, 1, 1), generator=generator) * 0.2)
    gamma = torch.exp(torch.randn((n, 1, 1, 1), generator=generator) * 0.2)
    saturation = _uniform((n, 1, 1, 1), 0.5, 1.3, generator)
    saturation = saturation * (torch.rand((n, 1, 1, 1), generator=generator) > 0.1)
    gray = faces.mean(dim=1, keepdim=True)
    return (((gray + saturation * (faces - gray)) * gain).clamp(1e-4, 1) ** gamma).clamp(0, 1)


def _degraded(face: Tensor, generator: Generator) -> Tensor:
    kind, amount = torch.rand(2, generator=generator).tolist()
    if kind < 0.15:  # reduced and enlarged again
        side = round(SIZE * (0.25 + 0.5 * amount))
        small = F.interpolate(face[None], size=(side, side), mode="area")
        return F.interpolate(small, size=(SIZE, SIZE), mode="bilinear", align_corners=False)[0]
    if kind < 0.25:  # out of focus
        kernel = 2 * round(1 + 2 * amount) + 1
        return F.avg_pool2d(F.avg_pool2d(face[None], kernel, 1, kernel // 2, count_include_pad=False), 3, 1, 1)[0]
    if kind < 0.5:
        pixels = (face.permute(1, 2, 0) * 255).round().byte().numpy()
        pixels = photo.jpeg_round_trip(pixels, 20 + round(75 * amount))
        return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255
    return (face + torch.randn(face.shape, generator=generator) * 0.03 * max(0.0, amount - 0.5)).clamp(0, 1)


def _uniform(shape: tuple[int, ...], low: float, high: float, generator: Generator) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator)
