"""Who and how, told apart: faces that a generator makes of one person with the expression and the pose of another."""

import hashlib
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import torch
from torch import Generator, Tensor

import visard
from visard.cloak import Faces, embed
from visard.errors import CardError, CloakError, SettingError
from visard.face import Template
from visard.generator.file import disclosed, enclosed, foreign, halves, pack, read, unpack, wholes
from visard.generator.latent.networks import Disentangler, Expression
from visard.generator.learned import needed_recognizer
from visard.generator.learner import frames_in
from visard.generator.stylegan import FaceGenerator
from visard.generator.stylegan.faces import parse_faces
from visard.measure.inception import OUTPUTS, Inception
from visard.recognizer import Card, Recognizer, parse_card

SHIPPED = Path(__file__).parents[1] / "weights" / "disentangled.safetensors"
_FORMAT, _WHAT = "visard disentanglement 1", "a disentanglement"
_GENERATOR = "generator"
_DRAWN = 8  # people, of whom one becomes the stranger


@dataclass(frozen=True, slots=True, kw_only=True)
class DisentangleSettings:
    """`encoder` of expression and pose: "small" is ours, of `width` channels in its first layer and `expression`
    numbers; "inception" the paper's, which has neither setting. `batch` faces a step. Rates of Adam: `rate` for the
    losses that are not adversarial, `adversarial_rate` and `judge_rate` for the others. Weights of the losses:
    `identity`, `landmarks`, `reconstruction`; `r1` of the judge's penalty. `truncation`: how far from the mean the
    faces are that it is taught with, 1 being all the way."""

    encoder: Literal["small", "inception"] = "small"
    width: int = 32
    expression: int = 256
    batch: int = 16
    rate: float = 5e-5
    adversarial_rate: float = 5e-6
    judge_rate: float = 2e-5
    identity: float = 1.0
    landmarks: float = 0.001
    reconstruction: float = 0.02
    r1: float = 10.0
    truncation: float = 1.0

    def __post_init__(self) -> None:
        if min(self.width, self.expression, self.batch) < 1:
            raise SettingError("disentangle: width, expression and batch must be 1 or more.")
        if self.truncation > 1:
            raise SettingError(f"disentangle: truncation is at most 1, got {self.truncation:g}.")


@dataclass(frozen=True, slots=True)
class Disentangled:
    """Trained `networks` that find a w of `generator` for a person, whom the recognizer `identity` tells, and an
    expression, and how they came about: with which `settings`, by the landmark network whose file has the sha256
    `landmarks`, in how many `steps` from which `seed`, by which `version` of visard. `sha256` of its file, which holds
    the generator too."""

    generator: FaceGenerator
    identity: Recognizer
    networks: Disentangler
    settings: DisentangleSettings
    landmarks: str
    steps: int
    seed: int
    sha256: str = ""
    version: str = visard.__version__

    @property
    def template(self) -> Template:
        """Of the crops."""
        return self.generator.template

    def latent(self, people: Tensor, expressions: Tensor) -> Tensor:
        """The w (N, latent) of the people in crops `people` (N, 3, s, s) in [0, 1], cut by ``template``, looking as in
        `expressions` (N, 3, s, s)."""
        w: Tensor = self.networks(embed(self.identity, framed(people, self.template)), expressions)
        return w

    def made(self, people: Tensor, expressions: Tensor) -> Tensor:
        """The crops (N, 3, s, s) in [0, 1] that ``latent`` stands for."""
        return self.generator.faces(self.latent(people, expressions))

    def strangers(self, crops: Tensor, random: Generator) -> Tensor:
        """Other people, drawn from `random`, who look as in `crops` (N, 3, s, s) in [0, 1]: crops of the same shape.

        They are drawn as near to the mean as those that it was taught with, and of several for each crop it is the one
        that ``identity`` finds least like the person.
        """
        own = embed(self.identity, framed(crops, self.template))
        least, found = crops.new_full((len(crops),), torch.inf), crops
        for _ in range(_DRAWN):
            w = self.generator.nearer(self.generator.drawn(len(crops), random), self.settings.truncation)
            made = self.made(self.generator.faces(w), crops)
            likeness = (embed(self.identity, framed(made, self.template)) * own).sum(dim=1)
            found = torch.where((likeness < least)[:, None, None, None], made, found)
            least = least.minimum(likeness)
        return found

    def to_bytes(self) -> bytes:
        """Its safetensors file, in half precision."""
        weights = halves(self.networks.state_dict())
        facts = {
            "visard": self.version,
            "identity": self.identity.card.to_json(),
            "generator": self.generator.sha256,
            "settings": asdict(self.settings),
            "landmarks": self.landmarks,
            "steps": self.steps,
            "seed": self.seed,
        }
        return pack(_FORMAT, {**weights, _GENERATOR: enclosed(self.generator.to_bytes())}, facts)


def make_disentangler(settings: DisentangleSettings, dim: int, start: Tensor, seed: int) -> Disentangler:
    """Networks with fresh weights, drawn from `seed`, for identity codes of `dim` numbers, that give the w `start`
    (latent,) at first, about."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if settings.encoder == "inception":
            return Disentangler(dim, Inception(), OUTPUTS, start)
        return Disentangler(dim, Expression(settings.width, settings.expression), settings.expression, start)


@cache
def shipped_disentangled() -> Disentangled:
    """The small one that comes with visard."""
    return load_disentangled(SHIPPED)


def load_disentangled(path: Path) -> Disentangled:
    """The disentanglement in the file at `path`; raises ``CloakError`` when there is none, or its recognizer is not
    here."""
    return parse_disentangled(read(path, "visard train disentangle"), str(path))


def parse_disentangled(data: bytes, name: str, identity: Recognizer | None = None) -> Disentangled:
    """The disentanglement in a file's bytes, the inverse of ``to_bytes``, with its recognizer `identity`, which is
    looked for where none is given; raises ``CloakError``, which calls the file `name`."""
    weights, facts = unpack(data, _FORMAT, name, _WHAT)
    try:
        generator = parse_faces(disclosed(weights.pop(_GENERATOR)), name)
        card = parse_card(facts["identity"])
        settings = DisentangleSettings(**facts["settings"])
        networks = make_disentangler(settings, card.dim, generator.network.mapping.average, seed=0)
        networks.load_state_dict(wholes(weights))
        return Disentangled(
            generator, _recognizer(card, name, identity), networks.eval().requires_grad_(requires_grad=False),
            settings, str(facts["landmarks"]), int(facts["steps"]), int(facts["seed"]),
            hashlib.sha256(data).hexdigest(), str(facts["visard"]),
        )  # fmt: skip
    except (CardError, SettingError, ValueError, TypeError, LookupError, AttributeError, RuntimeError) as error:
        raise foreign(name, _WHAT) from error


def framed(crops: Tensor, template: Template) -> Faces:
    """`crops` (N, 3, s, s) of `template`, and where the faces lie in them."""
    return Faces(crops, frames_in(template, len(crops)).to(crops))


def _recognizer(card: Card, name: str, given: Recognizer | None) -> Recognizer:
    if given is None:
        return needed_recognizer(name, card)
    if given.card.sha256 != card.sha256:
        raise CloakError(f"{name} needs the recognizer {card.name}, sha256 {card.sha256[:12]}..., not {given.name}.")
    return given
