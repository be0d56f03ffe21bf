"""OPOM: one mask per person, learned from some photos, added to every other.

Paper: Zhong and Deng, "OPOM: Customized invisible cloak towards face privacy protection", IEEE TPAMI 2022. With f_i
the person's clean unit features and f'_i those of the masked photos, the mask maximizes the mean over photos of ::

    FI-UAP        ||f'_i - f_i||^2                            (loss="fi-uap")
    FI-UAP+       mean_j ||f'_i - f_j||^2                     ("fi-uap+")
    class center  ||f'_i - mean_j f_j||^2                     ("center")
    affine hull   min_w ||f'_i - sum_j w_j f_j||^2, sum_j w_j = 1                      ("affine-hull")
    convex hull   the same with all w_j >= 0; class center for the first rounds        ("convex-hull")

by sign steps from a random start, U(-eps, eps). Norm: Linf. Official arguments: eps 8/255, alpha 1/255, 16 rounds, 10
photos, 5 rounds of class center before the convex hull; for transfer (optimizer="transfer") 100 rounds, momentum and
dropout .1 in the surrogate's blocks. Ours are the same.

What differs: the published mask is one of aligned 112 px crops; ours lies in the canonical face frame, is warped
into each photo's own pixels, fades at the face's rim, and may be learned against several surrogates, whose losses are
averaged. All photos share one random start (there each begins with noise of its own), clean features are
computed once and without dropout, and momentum is the mask's (there each photo's, signs averaged). The hulls are
solved exactly. FI-UAP+ and the class center have one gradient, since the distances are squared and all features of
unit length: the two make the same mask.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Generator, Tensor

import visard
from visard.cloak import hull, init, step
from visard.cloak.budget import Linf
from visard.cloak.dropout import dropped
from visard.cloak.loop import Task, descend
from visard.cloak.method import Learned, Method, check_settings
from visard.cloak.objective import Faces
from visard.errors import CardError, CloakError, MaskError, SettingError
from visard.face import Template, from_template
from visard.face.patch import SUPPORT, face_mask
from visard.photo.files import write_whole
from visard.recognizer import Card, Recognizer
from visard.recognizer.card import parse_card

Loss = Literal["fi-uap", "fi-uap+", "center", "affine-hull", "convex-hull"]
Optimizer = Literal["sign", "transfer"]

DENSITY = 2
"""Pixels of the mask per pixel of the canonical frame. A patch has at most 1.53 (``WORKING_SIZE`` over its support of
146), so the mask is never enlarged, and between two grids of one density a mask of single pixels would blur."""
GRID = Template((round(DENSITY * (SUPPORT[3] - SUPPORT[1])), round(DENSITY * (SUPPORT[2] - SUPPORT[0]))), SUPPORT)
"""The mask's own pixels in the canonical frame."""

_ROUNDS: Mapping[str, int] = {"sign": 16, "transfer": 100}
_LOSSES: Mapping[str, Callable[[Tensor], hull.Distance]] = {
    "fi-uap": hull.to_own,
    "fi-uap+": hull.to_all,
    "center": hull.to_center,
    "affine-hull": hull.to_affine_hull,
    "convex-hull": hull.to_convex_hull,
}
_GRAY = 0.5  # of the picture whose change is the mask
_FORMAT = "visard person mask 1"
_LEVELS = 127  # steps of eps / 127 in the file: 1/16 of a gray level at eps 8/255


@dataclass(frozen=True, slots=True)
class PersonMask:
    """A person's mask: `values` (3, H, W) on ``GRID``, within [-eps, eps] for eps of the `settings`.

    How it was learned: against which `surrogates` (their cards, without thresholds), with which `settings`, from how
    many `photos`, from which `seed`, by which `version` of visard.
    """

    values: Tensor
    surrogates: tuple[Card, ...]
    settings: Mapping[str, Any]
    photos: int
    seed: int
    version: str = visard.__version__

    @property
    def eps(self) -> float:
        """The largest change of a channel, in [0, 1]."""
        return float(self.settings["eps"])

    def on(self, faces: Faces) -> Tensor:
        """The mask as it lies on each of `faces`, (N, C, H, W); gray photos get the mean of its channels.

        Raises ``CloakError`` for faces without frames.
        """
        return _worn(self.values[None], faces)

    def to_bytes(self) -> bytes:
        """The mask as a safetensors file: 8 bits a value, equal bytes for equal masks."""
        levels = (self.values * (_LEVELS / self.eps)).round() if self.eps else torch.zeros_like(self.values)
        facts = {
            "format": _FORMAT,
            "visard": self.version,
            "surrogates": [card.to_json() for card in self.surrogates],
            "settings": dict(self.settings),
            "photos": self.photos,
            "seed": self.seed,
        }
        # one entry: safetensors writes several in any order
        return save({"mask": levels.to(torch.int8)}, {"visard": json.dumps(facts, sort_keys=True)})

    def sha256(self) -> str:
        """Of the file that it makes."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def method(self) -> Method:
        """The mask as a method: no steps, no surrogates, one warp and one addition a face."""

        def run(task: Task) -> Tensor:
            delta = task.in_range(self.on(task.faces))
            task.heard(1, delta)
            return delta

        return Method(
            "opom",
            "Zhong and Deng 2022",
            "untargeted",
            run,
            learned=Learned(self.sha256(), self.surrogates, self.settings),
        )


def learn_mask(
    photos: Sequence[Faces],
    surrogates: Sequence[Recognizer],
    seed: int = 0,
    watch: Callable[[int, int], None] | None = None,
    *,
    loss: Loss = "convex-hull",
    optimizer: Optimizer = "sign",
    eps: float = 8 / 255,
    alpha: float = 1 / 255,
    rounds: int | None = None,
    center_rounds: int = 5,
    dropout: float = 0.1,
    decay: float = 1.0,
) -> PersonMask:
    """The mask of the person on `photos`, each with one or more pictures of the same face and their frames.

    `rounds` sign steps of `alpha` within `eps`, both in [0, 1]; None: 16, for "transfer" 100. Only "convex-hull" takes
    `center_rounds`; only "transfer" takes `dropout`, a share of the feature maps' values, and the momentum's `decay`.
    `watch` hears (round, rounds) after each. Raises ``SettingError`` for settings out of range and ``CloakError``
    without photos, frames or surrogates.
    """
    total = _ROUNDS.get(optimizer, 0) if rounds is None else rounds
    settings = {
        "loss": loss,
        "optimizer": optimizer,
        "eps": eps,
        "alpha": alpha,
        "rounds": total,
        "center_rounds": center_rounds,
        "dropout": dropout,
        "decay": decay,
    }
    check_mask_settings(settings)
    if not photos or not surrogates:
        what = "photo of the person" if surrogates else "surrogate"
        raise CloakError(f"A person's mask is learned from photos against surrogates; give at least one {what}.")
    generator = Generator().manual_seed(seed)
    keep = dropout if optimizer == "transfer" else 0.0
    masks = [face_mask(_frames(faces), faces.pixels.shape[-1]) for faces in photos]
    with torch.no_grad():
        clean = [_features(surrogate, photos) for surrogate in surrogates]
    at_center = [hull.to_center(anchors) for anchors in clean]
    wanted = [_LOSSES[loss](anchors) for anchors in clean]
    now = 1

    def objective(canvas: Faces) -> Tensor:
        mask = canvas.pixels - _GRAY
        seen = [
            faces._replace(pixels=(faces.pixels + fade * _worn(mask, faces)).clamp(0, 1))
            for faces, fade in zip(photos, masks, strict=True)
        ]
        distances = at_center if loss == "convex-hull" and now <= center_rounds else wanted
        with dropped(keep, generator):
            features = [_features(surrogate, seen) for surrogate in surrogates]
        return -torch.stack([d(f).mean() for d, f in zip(distances, features, strict=True)]).mean(dim=0, keepdim=True)

    def heard(done: int, _delta: Tensor) -> None:
        nonlocal now
        now = done + 1
        if watch is not None:
            watch(done, total)

    signs = step.sign(alpha)
    delta = descend(
        # the loop changes pictures: the mask is the change of a gray one, whose range never binds
        Task(Faces(torch.full((1, 3, *GRID.size), _GRAY)), objective, watch=heard),
        step=step.momentum(signs, decay) if optimizer == "transfer" else signs,
        budget=Linf(eps),
        steps=total,
        init=init.uniform(eps, generator),
    )
    made = PersonMask(
        delta[0],
        tuple(replace(s.card, thresholds=(), accuracy=None) for s in surrogates),
        settings,
        sum(len(faces.pixels) for faces in photos),
        seed,
    )
    # rounded as in the file, so that a mask just learned and one read back are the same
    return parse_mask(made.to_bytes(), "The mask")


def check_mask_settings(settings: Mapping[str, Any]) -> None:
    """Raises ``SettingError`` for a setting that ``learn_mask`` does not have, or a value that it cannot take."""
    check_settings("opom", learn_mask, settings)
    if settings.get("eps", 0) > _GRAY:
        raise SettingError(f"opom: eps is at most 0.5, half of a pixel's range, got {settings['eps']}.")
    if settings.get("dropout", 0) >= 1:
        raise SettingError(f"opom: dropout must leave something, less than 1, got {settings['dropout']}.")


def save_mask(mask: PersonMask, path: Path) -> None:
    """Write `mask` to `path`, whole or not at all; raises ``WriteError`` when that cannot be."""
    write_whole(path, mask.to_bytes())


def load_mask(path: Path) -> PersonMask:
    """The mask that ``save_mask`` wrote to `path`; raises ``MaskError`` when there is none."""
    try:
        return parse_mask(path.read_bytes(), str(path))
    except FileNotFoundError as error:
        raise MaskError(f"{path} does not exist; check the name, or make it with: visard person learn.") from error
    except OSError as error:
        raise MaskError(f"{path} could not be read: {error.strerror}.") from error


def parse_mask(data: bytes, name: str) -> PersonMask:
    """The mask in a file's bytes, the inverse of ``to_bytes``; raises ``MaskError``, which calls the file `name`."""
    foreign = MaskError(f"{name} is not a mask that visard person learn made; give one that is, such as me.mask.")
    try:
        levels = load(data)["mask"]
        facts = json.loads(header_words(data)["visard"])
        kind, version = str(facts["format"]), str(facts["visard"])
        if kind != _FORMAT:
            if kind.startswith(_FORMAT.rstrip("0123456789")):
                raise MaskError(f"{name} was made by visard {version}, which writes masks in another form.")
            raise foreign
        settings = dict(facts["settings"])
        check_mask_settings(settings)
        surrogates = tuple(parse_card(card) for card in facts["surrogates"])
        if levels.dtype != torch.int8 or levels.shape != (3, *GRID.size) or not surrogates:
            raise foreign
        values = levels.float().clamp(-_LEVELS, _LEVELS) * (settings["eps"] / _LEVELS)
        return PersonMask(values, surrogates, settings, int(facts["photos"]), int(facts["seed"]), version)
    except (SafetensorError, CardError, SettingError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise foreign from error


def header_words(data: bytes) -> dict[str, str]:
    """The words in a safetensors file's header, which begins with its length in 8 bytes."""
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    found: dict[str, str] = header["__metadata__"]
    return found


def _features(recognizer: Recognizer, photos: Sequence[Faces]) -> Tensor:
    """Unit embeddings (M, D) of all pictures of `photos`, of whatever sizes, in one pass."""
    aligned = [recognizer.align(faces.pixels, _frames(faces)) for faces in photos]
    return recognizer.embed(torch.cat(aligned))


def _worn(mask: Tensor, faces: Faces) -> Tensor:
    """`mask` (1, 3, H, W) on ``GRID`` as it lies on each of `faces`, (N, C, S, S); differentiable."""
    frames = _frames(faces)
    if faces.pixels.shape[1] == 1:
        mask = mask.mean(dim=1, keepdim=True)
    height, width = faces.pixels.shape[-2:]
    return from_template(mask.expand(len(frames), -1, -1, -1), frames, GRID, (height, width))


def _frames(faces: Faces) -> Tensor:
    if faces.frames is None:
        raise CloakError("A person's mask lies in the face's frame; give the faces with their frames.")
    return faces.frames
