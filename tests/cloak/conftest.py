"""Models whose optimum is known, and every method with settings under which it must reach it."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from visard.recognizer import Card, Recognizer


class LinearClassifier(nn.Module):
    """Two logits of a linear form: the smallest change that flips a picture is known in every norm."""

    def __init__(self, size: int = 12, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = torch.randn(3, size, size, generator=generator)

    def margin(self, pixels: Tensor) -> Tensor:
        """Above zero: class 0."""
        return torch.einsum("nchw,chw->n", pixels - 0.5, self.weight)

    def forward(self, pixels: Tensor) -> Tensor:
        margin = self.margin(pixels)
        return torch.stack([margin, -margin], dim=1) / 2

    def smallest_linf(self, pixels: Tensor) -> Tensor:
        return self.margin(pixels).abs() / self.weight.abs().sum()

    def smallest_l2(self, pixels: Tensor) -> Tensor:
        return self.margin(pixels).abs() / self.weight.norm()


@dataclass
class Oracle:
    """Gray-ish pictures of class `labels`, and the linear model."""

    model: LinearClassifier
    pixels: Tensor
    labels: Tensor


@pytest.fixture
def oracle() -> Oracle:
    model = LinearClassifier()
    generator = torch.Generator().manual_seed(1)
    # away from 0 and 1, so that the picture's range does not bind
    pixels = 0.5 + 0.1 * (torch.rand(16, 3, 12, 12, generator=generator) - 0.5)
    return Oracle(model, pixels, (model.margin(pixels) < 0).long())


class TinyNetwork(nn.Module):
    def __init__(self, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.layers = nn.Sequential(
                nn.Conv2d(3, 8, 5, stride=2), nn.Tanh(), nn.Conv2d(8, 16, 5, stride=2), nn.Tanh(), nn.Flatten(),
                nn.Linear(16 * 25 * 25, 16),
            )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def tiny_recognizer(seed: int) -> Recognizer:
    """A random recognizer for 112 px crops: no face knowledge, but a contract like any other."""
    card = Card(
        name=f"tiny-{seed}", format="onnx", file="none", sha256=str(seed), input=(112, 112), crop=(0, 0, 112, 112),
        mean=(127.5,) * 3, std=(127.5,) * 3, dim=16, role="surrogate",
    )  # fmt: skip
    return Recognizer(card, TinyNetwork(seed))


@pytest.fixture(scope="session")
def surrogates() -> list[Recognizer]:
    return [tiny_recognizer(1), tiny_recognizer(2)]
