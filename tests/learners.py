"""Small faces, small recognizers, and settings under which learned cloaks are trained on them in a second."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visard.generator import Crops
from visard.recognizer import Card, Recognizer

SIZE = 64
QUICK: dict[str, dict[str, Any]] = {
    "advfaces": {"width": 4, "rate": 1e-2, "perturbation": 0.05},
    "apf": {"width": 4, "rate": 1e-2},
    "latent-distance": {"width": 4, "rate": 1e-2, "weight": 1.0, "bound": 0.2},
}


class TinyNetwork(nn.Module):
    def __init__(self, seed: int, size: int) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.layers = nn.Sequential(
                nn.Conv2d(3, 8, 5, stride=2), nn.Tanh(), nn.Conv2d(8, 16, 5, stride=2), nn.Tanh(), nn.Flatten(),
                nn.Linear(16 * (size // 4 - 3) ** 2, 16),
            )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        embedding: Tensor = self.layers(x)
        return embedding


def tiny_recognizer(seed: int, size: int = SIZE, **facts: Any) -> Recognizer:
    """A random recognizer of crops of `size` px, a multiple of 4: no face knowledge, but a contract like any other."""
    card = Card(
        name=f"tiny-{seed}", file="none", sha256=str(seed), input=(size, size), crop=(0, 0, 112, 112),
        mean=(127.5,) * 3, std=(127.5,) * 3, dim=16, role="surrogate", **{"format": "onnx", **facts},
    )  # fmt: skip
    return Recognizer(card, TinyNetwork(seed, size))


def made_crops(people: int = 6, each: int = 2, seed: int = 0, size: int = SIZE) -> Crops:
    """Soft blots of color, one kind a person."""
    generator = torch.Generator().manual_seed(seed)
    faces = F.interpolate(torch.rand(people, 3, 8, 8, generator=generator), size=(size, size), mode="bicubic")
    light = torch.rand(people * each, 1, 1, 1, generator=generator)
    pixels = (255 * (0.1 + (0.6 + 0.2 * light) * faces.repeat_interleave(each, dim=0))).clamp(0, 255).byte()
    return Crops(pixels, torch.arange(people).repeat_interleave(each))
