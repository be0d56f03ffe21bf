"""The training of StyleGAN2: the generator's step, the discriminator's, and now and then their penalties.

Karras et al., CVPR 2020 and NeurIPS 2020: non-saturating loss, R1 every 16 steps, path length every 4, style mixing,
adaptive augmentation, and the running average of the generator's weights as the result.
"""

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn
from torch.optim import Adam
from torch.optim.swa_utils import AveragedModel

from visard.errors import SettingError
from visard.generator import parallel
from visard.generator.course import CPU, Course, Row, pictures, take
from visard.generator.crops import Crops
from visard.generator.stylegan.augment import Adaptive, augmented
from visard.generator.stylegan.faces import FaceGenerator, make_network, parse_faces
from visard.generator.stylegan.losses import discriminator_loss, generator_loss, path_length, r1
from visard.generator.stylegan.network import Discriminator, Shape

PENALTY_EVERY = {"r1": 16, "path": 4}
_R1 = 2e-4  # times pixels over batch: what the authors found to fit many sizes
_AVERAGE_PICTURES, _AVERAGE_PART = 10_000, 0.05  # half-life of the average: so many, early that part of those seen
_SHRUNK = 2  # the path length is asked of a part of the batch
_SHEET = (4, 8)
_STEPS, _PROCESSES = 10**8, 10**4  # more than there ever are, to number what is drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class StyleSettings:
    """Of the networks, `base`, `widest`, `latent` and `layers` of a ``Shape``. `batch` pictures a step, `rate` of Adam,
    `r1` and `path`: the weights of the penalties (None: 2e-4 pixels / batch), `mixing`: how often two w make a
    picture, `goal`: of the sign of the discriminator's answers to real pictures, that augmentation aims at."""

    base: int = 16384
    widest: int = 512
    latent: int = 512
    layers: int = 8
    batch: int = 32
    rate: float = 2.5e-3
    r1: float | None = None
    path: float = 2.0
    mixing: float = 0.9
    goal: float = 0.6

    def __post_init__(self) -> None:
        if self.batch < 2:
            raise SettingError(f"stylegan: batch must be 2 or more, got {self.batch}.")


class StyleTraining(Course[FaceGenerator]):
    """The training of a generator of such faces as `crops`, whose side is a power of 2, from `seed`."""

    def __init__(
        self, settings: StyleSettings, crops: Crops, seed: int = 0, device: torch.device = CPU, mixed: bool = False
    ) -> None:
        self.settings, self.crops, self.seed, self.device, self.mixed = settings, crops, seed, device, mixed
        parallel.check_batch(settings.batch)
        self.shape = Shape(crops.size, settings.base, settings.widest, settings.latent, settings.layers)
        self.network = make_network(self.shape, seed).to(device)
        with torch.random.fork_rng():
            torch.manual_seed(seed + 1)
            self.discriminator = Discriminator(self.shape).to(device)
        self.r1_weight = _R1 * crops.size**2 / settings.batch if settings.r1 is None else settings.r1
        self.average = AveragedModel(self.network, avg_fn=self._averaged)
        self.optimizers = {
            "generator": _adam(self.network, settings.rate, PENALTY_EVERY["path"]),
            "discriminator": _adam(self.discriminator, settings.rate, PENALTY_EVERY["r1"]),
        }
        self.random, self._own = Generator().manual_seed(seed), Generator()
        self.adaptive = Adaptive(settings.goal)
        self.length = torch.zeros((), device=device)
        self.history: list[Row] = []

    def step(self) -> Row:
        """One more step: of the generator, then of the discriminator."""
        # what each process draws for itself, noise and augmentation, differs between them and hangs on nothing else
        self._own.manual_seed((self.seed * _STEPS + self.steps) * _PROCESSES + parallel.rank())
        terms = {"generator": generator_loss(self._judged(self._made()))}
        take(self.optimizers["generator"], terms["generator"])
        if self.settings.path and self.steps % PENALTY_EVERY["path"] == 0:
            few = self._styles()[::_SHRUNK]
            penalty, length = path_length(lambda ws: self.network.synthesis(ws, self._own), few, self.length, self._own)
            self.length = parallel.mean(length)
            take(self.optimizers["generator"], self.settings.path * PENALTY_EVERY["path"] * penalty)
        self.average.update_parameters(self.network)

        faces, _ = self.crops.draw(self.settings.batch, self.random)
        real = parallel.share(2 * faces - 1).to(self.device)
        with torch.no_grad():
            made = self._made()
        # apart: their spread within the batch tells them apart
        answer = self._judged(real)
        terms["discriminator"] = discriminator_loss(answer, self._judged(made))
        take(self.optimizers["discriminator"], terms["discriminator"])
        if self.r1_weight and self.steps % PENALTY_EVERY["r1"] == 0:
            seen = augmented(real, self.adaptive.probability, self._own)
            take(self.optimizers["discriminator"], self.r1_weight * PENALTY_EVERY["r1"] * r1(self.discriminator, seen))
        answers = parallel.mean(answer.detach().sign().mean()[None])
        self.adaptive.hear(float(answers), self.settings.batch)
        values = parallel.mean(torch.stack([term.detach() for term in terms.values()])).tolist()
        row = dict(zip(terms, values, strict=True))
        row |= {"sign": float(answers), "augmented": self.adaptive.probability, "path": float(self.length)}
        return self.add(row, self.settings.rate)

    def _styles(self) -> Tensor:
        """w for each convolution of this process's pictures, (N, styles, latent); some change theirs on the way."""
        count, styles = self.settings.batch, self.shape.styles
        z = torch.randn(count, 2, self.shape.latent, generator=self.random)
        cut = torch.randint(1, styles, (count,), generator=self.random)
        cut[torch.rand(count, generator=self.random) >= self.settings.mixing] = styles
        z, cut = parallel.share(z).to(self.device), parallel.share(cut).to(self.device)
        w = self.network.mapping(z[:, 0])
        self.network.mapping.follow(parallel.mean(w.detach().mean(dim=0)))
        first = torch.arange(styles, device=self.device) < cut[:, None]
        return torch.where(
            first[:, :, None], self.network.broadcast(w), self.network.broadcast(self.network.mapping(z[:, 1]))
        )

    def _made(self) -> Tensor:
        ws = self._styles()
        return self.computed(lambda: self.network.synthesis(ws, self._own))

    def _judged(self, shown: Tensor) -> Tensor:
        seen = augmented(shown, self.adaptive.probability, self._own)
        return self.computed(lambda: self.discriminator(seen))

    def _averaged(self, average: Tensor, weights: Tensor, _steps: Tensor | int) -> Tensor:
        seen = (self.steps + 1) * self.settings.batch
        half_life = min(_AVERAGE_PICTURES, _AVERAGE_PART * seen)
        return average.lerp(weights, 1 - 0.5 ** (self.settings.batch / half_life))

    def made(self) -> FaceGenerator:
        """The generator as far as it is trained."""
        network = copy.deepcopy(self.network).cpu()
        if self.steps:
            network.load_state_dict(self.average.module.state_dict())
        made = FaceGenerator(network, asdict(self.settings), len(self.crops), self.steps, self.seed)
        return parse_faces(made.to_bytes(), "The generator")

    def sheet(self) -> NDArray[np.uint8]:
        """The same people at every stage, as the average of the weights makes them."""
        rows, columns = _SHEET
        made = self.made()
        w = made.drawn(rows * columns, Generator().manual_seed(0))
        return pictures(list(made.faces(w).split(columns)))

    def record(self) -> dict[str, Any]:
        return {
            "kind": "stylegan",
            "settings": asdict(self.settings),
            "size": self.crops.size,
            "seed": self.seed,
            "faces": self.crops.sha256(),
        }

    def parts(self) -> dict[str, Any]:
        return {
            "generator": self.network.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "random": self.random.get_state(),
            "length": self.length,
            "probability": self.adaptive.probability,
        }

    def restore(self, parts: Mapping[str, Any]) -> None:
        self.network.load_state_dict(parts["generator"])
        self.discriminator.load_state_dict(parts["discriminator"])
        self.average.load_state_dict(parts["average"])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(parts["optimizers"][name])
        self.random.set_state(parts["random"])
        self.length = parts["length"].to(self.device)
        self.adaptive.probability = float(parts["probability"])


def _adam(network: nn.Module, rate: float, penalty_every: int) -> Adam:
    # a penalty that is asked every k-th step makes one step more of k: the other steps are made smaller to match
    part = penalty_every / (penalty_every + 1)
    return Adam(network.parameters(), lr=rate * part, betas=(0.0, 0.99**part), eps=1e-8)
