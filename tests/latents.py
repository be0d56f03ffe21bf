"""A small face generator of random weights, points of a random network, and trainings on them that take seconds."""

from typing import Any

import torch
from torch import Generator, Tensor

from learners import tiny_recognizer
from visard.cloak import embed
from visard.generator import Crops, window
from visard.generator.latent import (
    Disentangled,
    DisentangleSettings,
    DisentangleTraining,
    Landmarker,
    LandmarkNetwork,
    LatentCloakTraining,
    LatentSettings,
)
from visard.generator.latent.disentangled import framed
from visard.generator.stylegan import FaceGenerator, Shape, make_network
from visard.generator.stylegan.faces import parse_faces
from visard.recognizer import Recognizer

SHAPE = Shape(size=32, base=256, widest=16, latent=16, layers=2)
PACE: dict[str, Any] = {"rate": 1e-2, "adversarial_rate": 1e-3, "judge_rate": 4e-3}
WEIGHTS: dict[str, Any] = {"landmarks": 1.0, "reconstruction": 0.3}


def tiny_generator(seed: int = 0, shape: Shape = SHAPE) -> FaceGenerator:
    """Pictures of soft blots, by random weights."""
    network = make_network(shape, seed)
    with torch.no_grad():
        for layer in network.synthesis.to_rgb:
            layer.conv.weight.mul_(0.3)  # most values within the range
    return parse_faces(FaceGenerator(network, {}, 0, 0, seed).to_bytes(), "tiny")


def observer(seed: int, **facts: Any) -> Recognizer:
    """A random recognizer of crops as small as the generator's."""
    return tiny_recognizer(seed, SHAPE.size, **facts)


def tiny_landmarks(seed: int = 0) -> Landmarker:
    """Points that move with the picture, and mean nothing."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = LandmarkNetwork()
    return Landmarker(network.eval().requires_grad_(requires_grad=False), window(64), f"made {seed}")


def start_disentangling(seed: int = 0, crops: Crops | None = None, **settings: Any) -> DisentangleTraining:
    """A training of a second or two, on photos too where there are `crops`; a keyword overrides one of its settings."""
    given = DisentangleSettings(**{"width": 4, "expression": 8, "batch": 4, **PACE, **WEIGHTS, **settings})
    return DisentangleTraining(given, tiny_generator(), observer(1), tiny_landmarks(), seed, crops=crops)


def start_cloaking(
    disentangled: Disentangled, seed: int = 0, crops: Crops | None = None, **settings: Any
) -> LatentCloakTraining:
    """Against two recognizers, neither of which tells who is who."""
    given = LatentSettings(**{"delta": 1.0, "batch": 4, "rate": 1e-2, **settings})
    against = [observer(2), observer(3)]
    return LatentCloakTraining(given, disentangled, against, tiny_landmarks(), seed, crops=crops)


def strangers(count: int = 24, seed: int = 7) -> Tensor:
    """Faces that no training has drawn."""
    generator = tiny_generator()
    return generator.faces(generator.drawn(count, Generator().manual_seed(seed)))


def codes(seed: int, crops: Tensor) -> Tensor:
    with torch.no_grad():
        return embed(observer(seed), framed(crops, tiny_generator().template))
