"""The training of the latent cloak: the adversary alone learns, on faces that the generator draws, each with itself."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch.optim import Adam

from visard.generator.course import CPU, Row, pictures, take
from visard.generator.crops import Crops
from visard.generator.latent.cloak import LatentCloak, LatentSettings, make_adversary, parse_latent_cloak
from visard.generator.latent.course import LatentCourse
from visard.generator.latent.disentangled import Disentangled
from visard.generator.latent.landmarks import Landmarker
from visard.generator.latent.losses import landmark_loss
from visard.generator.learner import mean_cosine
from visard.recognizer import Recognizer, parse_card

_SHOWN = 6  # faces on the sheet


class LatentCloakTraining(LatentCourse[LatentCloak]):
    """The training of a cloak of the faces that `disentangled` makes, against `recognizers`; where there are photos,
    `crops`, every other step is on them.

    `history`: of each step the mean "cosine" of the cloaked faces to the clean ones, and the "landmarks" term, both
    unweighed.
    """

    def __init__(
        self,
        settings: LatentSettings,
        disentangled: Disentangled,
        recognizers: Sequence[Recognizer],
        landmarks: Landmarker,
        seed: int = 0,
        device: torch.device = CPU,
        mixed: bool = False,
        crops: Crops | None = None,
    ) -> None:
        super().__init__(
            disentangled.generator, recognizers, landmarks, settings.batch, settings.truncation, seed, device, mixed,
            crops,
        )  # fmt: skip
        self.settings, self._given = settings, disentangled
        self.identity = disentangled.identity.to(device)
        self.networks = copy.deepcopy(disentangled.networks).to(device)
        latent = self.generator.network.shape.latent
        self.adversary = make_adversary(latent, settings.delta, seed).to(device)
        self.optimizer = Adam(self.adversary.parameters(), lr=settings.rate)

    def step(self) -> Row:
        """One more step of the adversary."""
        with torch.no_grad():
            faces = self.photos() if self.crops and self.steps % 2 else self.faces(self.drawn())
        made = self.faces(self.adversary(self.found(faces)))
        with torch.no_grad():
            own, points = [self.codes(r, faces) for r in self.recognizers], self.points(faces)
        terms = {
            "cosine": mean_cosine([self.codes(r, made) for r in self.recognizers], own).mean(),
            "landmarks": landmark_loss(self.points(made), points),
        }
        take(self.optimizer, self.settings.identity * terms["cosine"] + self.settings.landmarks * terms["landmarks"])
        return self.told(terms, self.settings.rate)

    def found(self, faces: Tensor) -> Tensor:
        """The w (N, latent) that is found for `faces` (N, 3, s, s)."""
        with torch.no_grad():
            w: Tensor = self.networks(self.codes(self.identity, faces), faces)
        return w

    def made(self) -> LatentCloak:
        """The cloak as far as it is trained."""
        identity = copy.deepcopy(self.identity).cpu()
        made = LatentCloak(
            self._given,
            copy.deepcopy(self.adversary).cpu(),
            self.settings,
            # as they are read back from a file
            tuple(parse_card(r.card.to_json(), thresholds=(), accuracy=None) for r in self.recognizers),
            self.steps,
            self.seed,
        )
        return parse_latent_cloak(made.to_bytes(), "The cloak", identity)

    def sheet(self) -> NDArray[np.uint8]:
        """Three rows: faces, the same faces made again, and cloaked."""
        z = torch.randn(_SHOWN, self.generator.network.shape.latent, generator=Generator().manual_seed(0))
        with torch.no_grad():
            drawn = self.generator.nearer(self.generator.network.mapping(z.to(self.device)), self.truncation)
            faces = self.faces(drawn)
            w = self.found(faces)
            return pictures([faces, self.faces(w), self.faces(self.adversary(w))])

    def record(self) -> dict[str, Any]:
        kept = {"kind": "latent-cloak", "settings": asdict(self.settings), "disentangled": self._given.sha256}
        return {**kept, **super().record()}

    def parts(self) -> dict[str, Any]:
        return {
            "adversary": self.adversary.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random": self.random.get_state(),
        }

    def restore(self, parts: Mapping[str, Any]) -> None:
        self.adversary.load_state_dict(parts["adversary"])
        self.optimizer.load_state_dict(parts["optimizer"])
        self.random.set_state(parts["random"])
