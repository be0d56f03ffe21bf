"""The training that tells who from how: every third step of two faces, the others of one, as Yang et al. 2021 have it.

Each step judges w, learns to pass for real, and then, with another Adam, to keep the identity, the landmarks and, where
both faces are one, the picture. The generator draws its faces; ours may also see photos, every other time that both
faces are one: what a generator draws differs from photos the more, the smaller it is.
"""

import copy
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch.optim import Adam

from visard.errors import SettingError
from visard.generator import parallel
from visard.generator.course import CPU, Row, pictures, take
from visard.generator.crops import Crops
from visard.generator.latent.course import LatentCourse
from visard.generator.latent.disentangled import (
    Disentangled,
    DisentangleSettings,
    make_disentangler,
    parse_disentangled,
)
from visard.generator.latent.landmarks import Landmarker
from visard.generator.latent.losses import identity_loss, landmark_loss, reconstruction_loss
from visard.generator.latent.networks import Judge
from visard.generator.stylegan import FaceGenerator
from visard.generator.stylegan.losses import discriminator_loss, generator_loss, r1
from visard.recognizer import Recognizer

CROSS_EVERY = 3
_SHOWN = 6  # faces on the sheet


class DisentangleTraining(LatentCourse[Disentangled]):
    """The training of networks that make faces of `generator` by whom the recognizer `identity` sees, and how another
    face looks; on the photos `crops` too, where there are some, cut as the generator's faces are.

    `history`: the loss terms of each step, unweighed; where there are two faces, "cross", "reconstruction" is 0.
    """

    def __init__(
        self,
        settings: DisentangleSettings,
        generator: FaceGenerator,
        identity: Recognizer,
        landmarks: Landmarker,
        seed: int = 0,
        device: torch.device = CPU,
        mixed: bool = False,
        crops: Crops | None = None,
    ) -> None:
        super().__init__(
            generator, [identity], landmarks, settings.batch, settings.truncation, seed, device, mixed, crops
        )
        if settings.encoder == "inception" and parallel.count() > 1:
            raise SettingError(
                "disentangle: encoder=inception learns in one process, by the statistics of its batches."
            )
        self.settings, self.identity, self._given = settings, identity, generator
        average = generator.network.mapping.average
        self.networks = make_disentangler(settings, identity.card.dim, average, seed).to(device)
        with torch.random.fork_rng():
            torch.manual_seed(seed + 1)
            self.judge = Judge(len(average)).to(device)
        self.optimizers = {
            "adversarial": Adam(self.networks.parameters(), lr=settings.adversarial_rate),
            "kept": Adam(self.networks.parameters(), lr=settings.rate),
            "judge": Adam(self.judge.parameters(), lr=settings.judge_rate),
        }

    def step(self) -> Row:
        """One more step: of the judge, of the networks against it, and of the networks toward what they are to keep."""
        cross = (self.steps + 1) % CROSS_EVERY == 0
        real, other = self.drawn(), self.drawn() if cross else None
        with torch.no_grad():
            people = self.photos() if self.crops and self.steps % CROSS_EVERY == 1 else self.faces(real)
            expressions = people if other is None else self.faces(other)
            codes, points = self.codes(self.identity, people), self.points(expressions)

        w = self.networks(codes, expressions)
        terms = {"judge": discriminator_loss(self.judge(real), self.judge(w.detach()))}
        take(self.optimizers["judge"], terms["judge"] + self.settings.r1 * r1(self.judge, real))
        terms["adversarial"] = generator_loss(self.judge(w))
        take(self.optimizers["adversarial"], terms["adversarial"])

        kept = self.kept(self.faces(self.networks(codes, expressions)), codes, points, None if cross else people)
        weights = {name: getattr(self.settings, name) for name in kept}
        take(self.optimizers["kept"], torch.stack([weights[name] * term for name, term in kept.items()]).sum())
        kept.setdefault("reconstruction", torch.zeros((), device=self.device))
        return self.told({**terms, **kept}, self.settings.rate, cross=float(cross))

    def kept(self, made: Tensor, codes: Tensor, points: Tensor, whole: Tensor | None) -> dict[str, Tensor]:
        """How far crops `made` (N, 3, s, s) are from the identity `codes` (N, D), from the landmarks `points`
        (N, 51, 2), and from the crops `whole`, where there are such."""
        terms = {
            "identity": identity_loss(self.codes(self.identity, made), codes),
            "landmarks": landmark_loss(self.points(made), points),
        }
        return terms if whole is None else {**terms, "reconstruction": reconstruction_loss(made, whole)}

    def made(self) -> Disentangled:
        """The networks as far as they are trained."""
        networks, identity = copy.deepcopy(self.networks).cpu(), copy.deepcopy(self.identity).cpu()
        made = Disentangled(
            self._given, identity, networks, self.settings, self.landmarks.sha256, self.steps, self.seed
        )
        return parse_disentangled(made.to_bytes(), "The disentanglement", identity)

    def sheet(self) -> NDArray[np.uint8]:
        """Three rows: faces, the same faces made again, and each with the identity of the one before."""
        z = torch.randn(_SHOWN, self.generator.network.shape.latent, generator=Generator().manual_seed(0))
        self.networks.eval()  # the sheet is not to change the training
        with torch.no_grad():
            w = self.generator.nearer(self.generator.network.mapping(z.to(self.device)), self.truncation)
            faces = self.faces(w)
            codes = self.codes(self.identity, faces)
            rows = [self.faces(self.networks(who, faces)) for who in (codes, codes.roll(1, dims=0))]
        self.networks.train()
        return pictures([faces, *rows])

    def record(self) -> dict[str, Any]:
        return {"kind": "disentangle", "settings": asdict(self.settings), **super().record()}

    def parts(self) -> dict[str, Any]:
        return {
            "networks": self.networks.state_dict(),
            "judge": self.judge.state_dict(),
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "random": self.random.get_state(),
        }

    def restore(self, parts: Mapping[str, Any]) -> None:
        self.networks.load_state_dict(parts["networks"])
        self.judge.load_state_dict(parts["judge"])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(parts["optimizers"][name])
        self.random.set_state(parts["random"])
