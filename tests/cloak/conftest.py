"""Models whose optimum is known, and every method with settings under which it must reach it."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from learners import tiny_recognizer
from visard.recognizer import Recognizer


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


@pytest.fixture(scope="session")
def surrogates() -> list[Recognizer]:
    return [tiny_recognizer(1, size=112), tiny_recognizer(2, size=112)]
