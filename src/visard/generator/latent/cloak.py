"""latent: the face is made anew in a generator's latent space, as a person whom recognizers take for another.

Paper: Yang, Wang, Cheng, Dong, A Systematical Solution for Face De-identification, CCBR 2021. The face is put in the
place of the original, so it is not the picture that was taken: nothing bounds the change of a pixel, SSIM is low, and
what the generator cannot make, such as glasses or hands, is lost. Norm: none; no number of w moves by more than the
`delta` that it was trained with. Ours: the new face lies where the landmarks are and is blended between and around
them, several recognizers may be misled at once, and the mapper's output is added to w before it is clipped.
"""

import hashlib
import inspect
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor

import visard
from visard.cloak import Method
from visard.cloak.method import Learned
from visard.errors import CardError, SettingError
from visard.generator.file import disclosed, enclosed, foreign, halves, pack, unpack, wholes
from visard.generator.latent.disentangled import Disentangled, parse_disentangled
from visard.generator.latent.networks import Adversary
from visard.generator.latent.replacing import replacing
from visard.recognizer import Card, Recognizer, parse_card

NAME = "latent"
FORMAT, _WHAT = "visard latent cloak 1", "a latent cloak"
_DISENTANGLED = "disentangled"


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentSettings:
    """`delta`: how far each number of w may move. Weights of the losses: `identity` of the cosine, `landmarks` of the
    points' displacement. `batch` faces a step, `rate` of Adam; `truncation` as in ``DisentangleSettings``."""

    delta: float = 0.5
    identity: float = 1.0
    landmarks: float = 0.01
    batch: int = 16
    rate: float = 1e-4
    truncation: float = 1.0

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise SettingError(f"latent-cloak: batch must be 1 or more, got {self.batch}.")
        if self.truncation > 1:
            raise SettingError(f"latent-cloak: truncation is at most 1, got {self.truncation:g}.")


@dataclass(frozen=True, slots=True)
class LatentCloak:
    """A trained `adversary` of the w that `disentangled` finds, and how it came about: with which `settings`, against
    which `surrogates` (their cards, without thresholds), in how many `steps` from which `seed`, by which `version` of
    visard. `sha256` of its file, which holds all but the recognizer that tells who is who."""

    disentangled: Disentangled
    adversary: Adversary
    settings: LatentSettings
    surrogates: tuple[Card, ...]
    steps: int
    seed: int
    sha256: str = ""
    version: str = visard.__version__

    @property
    def name(self) -> str:
        """As a method."""
        return NAME

    def made(self, crops: Tensor) -> Tensor:
        """The faces (N, 3, s, s) in [0, 1] that take the place of `crops` (N, 3, s, s) in [0, 1]."""
        w = self.adversary(self.disentangled.latent(crops, crops))
        return self.disentangled.generator.faces(w)

    def to_bytes(self) -> bytes:
        """Its safetensors file, in half precision."""
        weights = halves(self.adversary.state_dict())
        facts = {
            "visard": self.version,
            "settings": asdict(self.settings),
            "surrogates": [card.to_json() for card in self.surrogates],
            "steps": self.steps,
            "seed": self.seed,
        }
        return pack(FORMAT, {**weights, _DISENTANGLED: enclosed(self.disentangled.to_bytes())}, facts)

    def method(self) -> Method:
        """The cloak as a method, without settings: one forward pass a face, and no surrogates."""
        # whoever tells it who is who had a hand in it, and its kin cannot judge it either
        makers = {card.sha256: card for card in (self.disentangled.identity.card, *self.surrogates)}
        settings = {**asdict(self.settings), "size": self.disentangled.generator.size, "trained": self.steps}
        learned = Learned(self.sha256, tuple(makers.values()), settings)
        about = f"{inspect.getdoc(inspect.getmodule(type(self)))}\n\n{self._facts()}"
        method = replacing(lambda crops, _generator: self.made(crops), self.disentangled.template, self.name)
        return replace(method, learned=learned, about=about)

    def _facts(self) -> str:
        """How it came about, in words."""
        names = ", ".join(card.name for card in self.surrogates)
        settings = ", ".join(f"{key}={value}" for key, value in asdict(self.settings).items())
        return (
            f"This one was trained by visard {self.version} in {self.steps} steps against {names}, from seed "
            f"{self.seed}, with {settings}, on faces of {self.disentangled.generator.size} px that its generator drew; "
            f"who is who was told by {self.disentangled.identity.name}, in {self.disentangled.steps} steps. sha256 "
            f"{self.sha256}."
        )


def make_adversary(latent: int, delta: float, seed: int) -> Adversary:
    """One with fresh weights, drawn from `seed`, for w of so many numbers."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Adversary(latent, delta)


def parse_latent_cloak(data: bytes, name: str, identity: Recognizer | None = None) -> LatentCloak:
    """The latent cloak in a file's bytes, the inverse of ``to_bytes``, with the recognizer `identity` of its
    disentanglement, which is looked for where none is given; raises ``CloakError``, which calls the file `name`."""
    weights, facts = unpack(data, FORMAT, name, _WHAT)
    try:
        disentangled = parse_disentangled(disclosed(weights.pop(_DISENTANGLED)), name, identity)
        settings = LatentSettings(**facts["settings"])
        adversary = make_adversary(disentangled.generator.network.shape.latent, settings.delta, seed=0)
        adversary.load_state_dict(wholes(weights))
        surrogates = tuple(parse_card(card) for card in facts["surrogates"])
        return LatentCloak(
            disentangled, adversary.eval().requires_grad_(requires_grad=False), settings, surrogates,
            int(facts["steps"]), int(facts["seed"]), hashlib.sha256(data).hexdigest(), str(facts["visard"]),
        )  # fmt: skip
    except (CardError, SettingError, ValueError, TypeError, LookupError, AttributeError, RuntimeError) as error:
        raise foreign(name, _WHAT) from error
