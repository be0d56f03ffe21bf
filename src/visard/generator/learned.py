"""A learned cloak: a trained generator, its file, and what it is as a method."""

import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import visard
from visard.cloak import Faces, Method, Task
from visard.cloak.geometry import frames_of
from visard.cloak.method import LEARNED, Learned
from visard.cloak.methods.visard import STRENGTHS
from visard.errors import CardError, CloakError, SettingError, UnknownRecognizerError, WeightsError
from visard.face import from_template, to_template
from visard.generator.advfaces import AdvFaces
from visard.generator.apf import APF
from visard.generator.course import SUFFIX
from visard.generator.file import foreign, pack, read, unpack
from visard.generator.latent_distance import LatentDistance
from visard.generator.learner import Learner, check_learner_settings, frames_in, settings_with_defaults, window
from visard.recognizer import Card, Recognizer
from visard.recognizer import find as find_card
from visard.recognizer import load as load_recognizer
from visard.recognizer.card import parse_card

KINDS: dict[str, type[Learner]] = {kind.name: kind for kind in (AdvFaces, APF, LatentDistance)}
SHIPPED = Path(__file__).with_name("weights")
"""The folder of the cloaks that come with visard, called after their kinds."""
_FORMAT, _WHAT = "visard learned cloak 1", "a cloak"


@dataclass(frozen=True, slots=True)
class LearnedCloak:
    """A trained `learner` of faces of `size` px, and how it came about: with which `settings`, against which
    `surrogates` (their cards, without thresholds), on how many `photos` of how many `people`, in how many `steps` from
    which `seed`, by which `version` of visard. `sha256` of its file."""

    learner: Learner
    settings: Mapping[str, Any]
    size: int
    surrogates: tuple[Card, ...]
    photos: int
    people: int
    steps: int
    seed: int
    sha256: str = ""
    version: str = visard.__version__

    @property
    def name(self) -> str:
        """Of its kind."""
        return self.learner.name

    def to_bytes(self) -> bytes:
        """The cloak as a safetensors file."""
        weights = self.learner.generator.state_dict()
        facts = {
            "visard": self.version,
            "kind": self.name,
            "settings": dict(self.settings),
            "size": self.size,
            "surrogates": [card.to_json() for card in self.surrogates],
            "photos": self.photos,
            "people": self.people,
            "steps": self.steps,
            "seed": self.seed,
        }
        return pack(_FORMAT, weights, facts)

    def method(self) -> Method:
        """The cloak as a method: one forward pass a face, and no surrogates. Where the structural similarity is its
        budget, that is a setting, with the default's strengths; there is no other.

        Raises ``CloakError`` when it works with the gradient of a recognizer that is not here.
        """
        probes = [needed_recognizer(self.name, self.surrogates[0])] if self.learner.probing else []
        learner, template = self.learner.eval(), window(self.size)

        def made(task: Task, ssim: float | None = None) -> Tensor:
            faces = task.faces._replace(pixels=task.faces.pixels.detach())
            frames = frames_of(faces)
            crops = Faces(cropped(faces, frames), frames_in(template, len(frames)))
            hint = learner.hint(crops, probes, target_of(task) if learner.targeted else None)
            with torch.no_grad():
                change = learner.change(crops.pixels, hint)
                if faces.pixels.shape[1] == 1:
                    change = change.mean(dim=1, keepdim=True)
                height, width = faces.pixels.shape[-2:]
                change = from_template(change, frames, template, (height, width))
                delta = task.in_range(learner.within(change, faces, task.mask, ssim))
            task.heard(1, delta)
            return delta

        def target_of(task: Task) -> Tensor:
            if not task.target_faces:
                raise CloakError(f"This {self.name} steers toward another person; give a photo of that person.")
            (target, *_) = task.target_faces
            return cropped(target, frames_of(target)).expand(len(task.faces.pixels), -1, -1, -1)

        def cropped(faces: Faces, frames: Tensor) -> Tensor:
            return to_template(faces.pixels, frames, template).clamp(0, 1).expand(-1, 3, -1, -1)

        def run(task: Task) -> Tensor:
            return made(task)

        def structured(task: Task, *, ssim: float = learner.ssim) -> Tensor:
            return made(task, ssim)

        return Method(
            self.name,
            learner.paper,
            "targeted" if learner.targeted else "untargeted",
            structured if learner.structured else run,
            learned=Learned(self.sha256, self.surrogates, {**self.settings, "size": self.size, "trained": self.steps}),
            strengths=STRENGTHS if learner.structured else {},
            about=f"{inspect.getdoc(inspect.getmodule(type(learner)))}\n\n{self._facts()}",
        )

    def _facts(self) -> str:
        """How it came about, in words."""
        names = ", ".join(card.name for card in self.surrogates)
        settings = ", ".join(f"{key}={value}" for key, value in self.settings.items() if value is not None)
        scaled = (
            "\n\nThe change is scaled to another `ssim` than it was trained for." if self.learner.structured else ""
        )
        return (
            f"This one was trained by visard {self.version} in {self.steps} steps on {self.photos} photos of "
            f"{self.people} people, cut to {self.size} px, against {names}, from seed {self.seed}, with {settings}. "
            f"sha256 {self.sha256}.{scaled}"
        )


def make_learner(kind: str, settings: Mapping[str, Any], seed: int) -> Learner:
    """A learner of that kind with fresh weights, drawn from `seed`; raises ``CloakError`` for an unknown kind and
    ``SettingError`` for settings that it cannot take."""
    if kind not in KINDS:
        raise CloakError(f'No learned cloak is called "{kind}". There are: {", ".join(KINDS)}.')
    check_learner_settings(KINDS[kind], dict(settings))
    make: Callable[..., Learner] = KINDS[kind]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make(**settings)


def shipped() -> list[str]:
    """The names of the learned cloaks that come with visard."""
    return [kind for kind in LEARNED if (SHIPPED / f"{kind}{SUFFIX}").is_file()]


def load_cloak(path: Path) -> LearnedCloak:
    """The learned cloak in the file at `path`; raises ``CloakError`` when there is none."""
    return parse_cloak(read(path), str(path))


def parse_cloak(data: bytes, name: str) -> LearnedCloak:
    """The learned cloak in a file's bytes, the inverse of ``to_bytes``; raises ``CloakError``, which calls the file
    `name`."""
    weights, facts = unpack(data, _FORMAT, name, _WHAT)
    try:
        size, settings = int(facts["size"]), dict(facts["settings"])
        window(size)
        given = {key: value for key, value in settings.items() if value is not None}
        # the numbers drawn for its first weights do not matter
        learner = make_learner(str(KINDS[facts["kind"]].name), given, seed=0)
        learner.generator.load_state_dict(weights)
        surrogates = tuple(parse_card(card) for card in facts["surrogates"])
        if not surrogates:
            raise foreign(name, _WHAT)
        return LearnedCloak(
            learner, settings_with_defaults(type(learner), settings), size, surrogates, int(facts["photos"]),
            int(facts["people"]), int(facts["steps"]), int(facts["seed"]), hashlib.sha256(data).hexdigest(),
            str(facts["visard"]),
        )  # fmt: skip
    except (CardError, SettingError, ValueError, TypeError, LookupError, AttributeError, RuntimeError) as error:
        raise foreign(name, _WHAT) from error


def needed_recognizer(name: str, card: Card) -> Recognizer:
    """The recognizer that what is called `name` works with; raises ``CloakError`` unless exactly that one is here."""
    missing = CloakError(f"{name} needs the recognizer {card.name}, sha256 {card.sha256[:12]}..., which is not here.")
    try:
        here = find_card(card.name)
        if here.sha256 != card.sha256:
            raise missing
        return load_recognizer(here)
    except (UnknownRecognizerError, WeightsError) as error:
        raise missing from error
