"""Values of pixels: scaled, mixed with others, cut out, disturbed in the spectrum."""

import torch
from torch import Generator

from visard.cloak.geometry import landmarks, unit_of
from visard.cloak.objective import Faces
from visard.cloak.transform.base import Transform
from visard.recognizer.jpeg import cosines


def scaled(factor: float) -> Transform:
    """The picture darkened to `factor` of its values (Lin et al. 2020, section 3.2: 1, 1/2, 1/4, ...)."""
    return lambda faces: faces._replace(pixels=factor * faces.pixels)


def mixed(generator: Generator, share: float = 0.2) -> Transform:
    """Another picture added, `share` of it: here the face itself, mirrored and rolled to a random place.

    Wang et al., "Admix", ICCV 2021, equation 4, takes pictures of other classes; a face photo brings none along, and
    other faces of a batch would make one face's cloak depend on who is beside it.
    """

    def apply(faces: Faces) -> Faces:
        height, width = faces.pixels.shape[-2:]
        draw = torch.rand(len(faces.pixels), 2, generator=generator)
        others = [
            torch.roll(face.flip(2), (int(height * y), int(width * x)), dims=(1, 2))
            for face, (y, x) in zip(faces.pixels.detach(), draw.tolist(), strict=True)
        ]
        return faces._replace(pixels=faces.pixels + share * torch.stack(others))

    return apply


def cutout(generator: Generator, count: int = 4, size: float = 12.0) -> Transform:
    """`count` squares about random landmarks set to the picture's mean; `size` in pixels of the canonical frame.

    A square's center lies up to half its size from its landmark.
    """

    def apply(faces: Faces) -> Faces:
        pixels, points, unit = faces.pixels, landmarks(faces), unit_of(faces)
        height, width = pixels.shape[-2:]
        y, x = torch.arange(height).to(pixels), torch.arange(width).to(pixels)
        half = unit[:, None] * size / 2
        kept = torch.ones_like(pixels[:, :1])
        for _ in range(count):
            which = torch.randint(5, (len(pixels),), generator=generator)
            offset = (torch.rand(len(pixels), 2, generator=generator) * 2 - 1).to(pixels) * half
            center = points[torch.arange(len(pixels)), which] + offset  # (N, 2)
            rows = (y - center[:, 1:]).abs() < half  # (N, H)
            columns = (x - center[:, :1]).abs() < half  # (N, W)
            kept = kept * ~(rows[:, None, :, None] & columns[:, None, None, :])
        mean = pixels.detach().mean(dim=(2, 3), keepdim=True)
        return faces._replace(pixels=mean + kept * (pixels - mean))

    return apply


def spectrum(generator: Generator, sigma: float = 16 / 255, spread: float = 0.5) -> Transform:
    """The picture with Gaussian noise of deviation `sigma`, each of its cosine components times a factor uniform in
    1 +- `spread` (Long et al. 2022, equation 6)."""

    def apply(faces: Faces) -> Faces:
        pixels = faces.pixels
        height, width = pixels.shape[-2:]
        noise = torch.randn(pixels.shape, generator=generator).to(pixels) * sigma
        factor = 1 + spread * (2 * torch.rand(pixels.shape, generator=generator).to(pixels) - 1)
        rows, columns = cosines(height).to(pixels), cosines(width).to(pixels)
        components = rows @ (pixels + noise) @ columns.mT
        return faces._replace(pixels=rows.mT @ (components * factor) @ columns)

    return apply
