"""What trainings in a face generator's latent space share: the generator teaches, and itself stays as it is."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Generator, Tensor

from visard.errors import SettingError
from visard.generator import parallel
from visard.generator.course import CPU, Course, Made, Row
from visard.generator.crops import Crops
from visard.generator.latent.disentangled import framed
from visard.generator.latent.landmarks import Landmarker
from visard.generator.stylegan import FaceGenerator
from visard.generator.training import check_recognizers
from visard.recognizer import Recognizer

M = TypeVar("M", bound=Made)


class LatentCourse(Course[M]):
    """A training on faces that `generator` draws, as far from their mean as `truncation` says, `batch` a step, and on
    the photos `crops` too, where there are some, cut as the generator's faces are; by the points of `landmarks` and
    the codes of `recognizers`, none of which learns.

    Raises ``RecognizerError`` without recognizers, or when one is a black box, ``SettingError`` for photos of another
    size.
    """

    def __init__(
        self,
        generator: FaceGenerator,
        recognizers: Sequence[Recognizer],
        landmarks: Landmarker,
        batch: int,
        truncation: float,
        seed: int,
        device: torch.device = CPU,
        mixed: bool = False,
        crops: Crops | None = None,
    ) -> None:
        check_recognizers(recognizers)
        parallel.check_batch(batch)
        if crops is not None and crops.size != generator.size:
            raise SettingError(f"The generator makes faces of {generator.size} px; give --size {generator.size}.")
        self.generator, self.landmarks = frozen(generator, device), frozen(landmarks, device)
        self.recognizers = [recognizer.to(device) for recognizer in recognizers]
        self.batch, self.truncation, self.seed, self.device, self.mixed = batch, truncation, seed, device, mixed
        self.crops, self.random = crops, Generator().manual_seed(seed)
        self.history: list[Row] = []

    def drawn(self) -> Tensor:
        """The w (N, latent) of this process's share of a batch of people."""
        z = torch.randn(self.batch, self.generator.network.shape.latent, generator=self.random)
        with torch.no_grad():
            w = self.generator.network.mapping(parallel.share(z).to(self.device))
        return self.generator.nearer(w, self.truncation)

    def photos(self) -> Tensor:
        """This process's share of a batch of photos, (N, 3, s, s) in [0, 1]."""
        assert self.crops is not None
        faces, _ = self.crops.draw(self.batch, self.random)
        return parallel.share(faces).to(self.device)

    def faces(self, w: Tensor) -> Tensor:
        """The crops (N, 3, s, s) in [0, 1] of `w` (N, latent)."""
        return self.computed(lambda: self.generator.faces(w))

    def codes(self, recognizer: Recognizer, crops: Tensor) -> Tensor:
        """What `recognizer` sees in `crops`: unit vectors (N, D)."""
        seen = framed(crops, self.generator.template)
        # only the network in the precision of the training: a frame in bfloat16 would be off by half a pixel
        aligned = recognizer.align(seen.pixels, seen.frames)  # type: ignore[arg-type]
        return self.computed(lambda: recognizer.embed(aligned))

    def points(self, crops: Tensor) -> Tensor:
        """Where the points of the faces in `crops` are, (N, 51, 2), px of the canonical frame."""
        return self.landmarks.points(framed(crops, self.generator.template))

    def told(self, terms: dict[str, Tensor], rate: float, **more: float) -> Row:
        """A step's `terms`, as means over the processes, and `more`, added to the history."""
        values = parallel.mean(torch.stack([term.detach() for term in terms.values()])).tolist()
        return self.add({**dict(zip(terms, values, strict=True)), **more}, rate)

    def record(self) -> dict[str, Any]:
        """What decides it, as far as all such trainings have it."""
        return {
            "seed": self.seed,
            "generator": self.generator.sha256,
            "landmarks": self.landmarks.sha256,
            "recognizers": {r.name: r.card.sha256 for r in self.recognizers},
            "faces": None if self.crops is None else self.crops.sha256(),
        }


H = TypeVar("H", FaceGenerator, Landmarker)


def frozen(holder: H, device: torch.device) -> H:
    """A copy of what holds a network, on `device`, without gradients for its weights."""
    network = copy.deepcopy(holder.network).eval().requires_grad_(requires_grad=False).to(device)
    return replace(holder, network=network)
