"""A trained generator of faces, and its file."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor

import visard
from visard.errors import CloakError, SettingError
from visard.face import Template
from visard.generator.file import foreign, is_ours, pack, unpack
from visard.generator.learner import SQUARE
from visard.generator.stylegan.layouts import read_network
from visard.generator.stylegan.network import Shape, StyleGAN

FFHQ = (-15.2, -15.6, 126.9, 126.5)
"""What a picture of the FFHQ dataset shows of the canonical frame, by its mean eyes."""
SHIPPED = Path(__file__).parents[1] / "weights" / "stylegan.safetensors"
_FORMAT, _WHAT = "visard face generator 1", "a face generator"


@dataclass(frozen=True, slots=True)
class FaceGenerator:
    """A `network` that makes faces, and how it came about: with which `settings`, on how many `photos`, in how many
    `steps` from which `seed`, by which `version` of visard; of one that others trained, nothing of that is known.

    `square`: what of the canonical frame its pictures show, x0, y0, x1, y1. `sha256` of its file.
    """

    network: StyleGAN
    settings: Mapping[str, Any]
    photos: int
    steps: int
    seed: int
    square: tuple[float, float, float, float] = SQUARE
    sha256: str = ""
    version: str = visard.__version__

    @property
    def size(self) -> int:
        """Side of the faces, px."""
        return self.network.shape.size

    @property
    def template(self) -> Template:
        """How a face lies in its pictures."""
        return Template((self.size, self.size), self.square)

    def drawn(self, count: int, random: Generator) -> Tensor:
        """The w of `count` people drawn from `random`, (count, latent)."""
        with torch.no_grad():
            w: Tensor = self.network.mapping(torch.randn(count, self.network.shape.latent, generator=random))
        return w

    def nearer(self, w: Tensor, truncation: float) -> Tensor:
        """`w` (N, latent) as far from the mean of all as `truncation` in [0, 1] says: nearer is plainer and cleaner."""
        return self.network.mapping.average.lerp(w, truncation)

    def faces(self, w: Tensor) -> Tensor:
        """The faces (N, 3, size, size) in [0, 1] of `w` (N, latent), or of one for each convolution (N, styles,
        latent); differentiable, and always with the same noise."""
        ws = self.network.broadcast(w) if w.ndim == 2 else w
        pictures: Tensor = self.network.synthesis(ws)
        return (0.5 + pictures / 2).clamp(0, 1)

    def to_bytes(self) -> bytes:
        """The generator as a safetensors file, in half precision."""
        facts = {
            "visard": self.version,
            "shape": asdict(self.network.shape),
            "settings": dict(self.settings),
            "photos": self.photos,
            "steps": self.steps,
            "seed": self.seed,
            "square": self.square,
        }
        return pack(_FORMAT, {key: value.half() for key, value in self.network.state_dict().items()}, facts)


def make_network(shape: Shape, seed: int) -> StyleGAN:
    """A network with fresh weights, drawn from `seed`."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return StyleGAN(shape)


@cache
def shipped_faces() -> FaceGenerator:
    """The small one that comes with visard."""
    return load_faces(SHIPPED)


def load_faces(path: Path) -> FaceGenerator:
    """The face generator in the file at `path`: visard's own, or a published checkpoint in one of the ``layouts``,
    whose faces are then taken to lie as in FFHQ. Raises ``CloakError`` or ``WeightsError`` when there is none."""
    try:
        data = path.read_bytes()
        if is_ours(data):
            return parse_faces(data, str(path))
    except FileNotFoundError as error:
        raise CloakError(f"{path} does not exist; check the name, or make it with: visard train stylegan.") from error
    except OSError as error:
        raise CloakError(f"{path} could not be read: {error.strerror}.") from error
    return FaceGenerator(read_network(path), {}, 0, 0, 0, FFHQ, hashlib.sha256(data).hexdigest(), "")


def parse_faces(data: bytes, name: str) -> FaceGenerator:
    """The face generator in a file's bytes, the inverse of ``to_bytes``; raises ``CloakError``, which calls the file
    `name`."""
    weights, facts = unpack(data, _FORMAT, name, _WHAT)
    try:
        network = make_network(Shape(**{key: int(value) for key, value in dict(facts["shape"]).items()}), seed=0)
        network.load_state_dict({key: value.float() for key, value in weights.items()})
        x0, y0, x1, y1 = map(float, facts["square"])
        return FaceGenerator(
            network.eval().requires_grad_(requires_grad=False), dict(facts["settings"]), int(facts["photos"]),
            int(facts["steps"]), int(facts["seed"]), (x0, y0, x1, y1),
            hashlib.sha256(data).hexdigest(), str(facts["visard"]),
        )  # fmt: skip
    except (SettingError, ValueError, TypeError, LookupError, AttributeError, RuntimeError) as error:
        raise foreign(name, _WHAT) from error
