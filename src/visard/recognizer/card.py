"""The frozen facts about a recognizer."""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_args

from visard.errors import CardError
from visard.face import Template

Format = Literal["dlib", "onnx", "onnx-black-box", "safetensors", "pytorch", "package", "derived"]
Role = Literal["surrogate", "juror", "adaptive"]


@dataclass(frozen=True, slots=True)
class Card:
    """What is known of a recognizer.

    `input` (height, width) in pixels, filled by the rectangle `crop` (x0, y0, x1, y1) of the canonical 112 x 112
    face frame; `channels` in the order the network takes them, each as (v - mean) / std for v in 0..255; `dim` of
    the embedding; `role`: a surrogate makes cloaks, a juror judges them, none does both; an adaptive one was hardened
    against cloaks and is asked beside the jury; `origin`: the recognizer that it was trained to imitate, or whose
    weights it has in another form, if any.

    `network`: the architecture that weights in "safetensors" or "pytorch" files are for; a recognizer of the format
    "package" has its network's code in the package that registers it. One of the format "derived" has the structure
    of the recognizer `base`, whose file has `base_sha256`; `front`: what faces go through first, in order, as names
    with settings (``recognizer.front``); `detector`: the logit from which its detector calls a face cloaked, None where
    it has no detector. `url` (https or file): where exactly this file can be fetched. `license` is the weights',
    `code_license` the code's; `limits`: what it is bad at, in a sentence.
    """

    name: str
    format: Format
    file: str
    sha256: str
    input: tuple[int, int]
    crop: tuple[float, float, float, float]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    dim: int
    channels: Literal["RGB", "BGR"] = "RGB"
    role: Role = "juror"
    architecture: str = "not stated"
    loss: str = "not stated"
    training_data: str = "not stated"
    license: str = "not stated"
    code_license: str = "not stated"
    source: str = "not stated"
    url: str = ""
    network: str = ""
    base: str = ""
    base_sha256: str = ""
    front: tuple[Mapping[str, Any], ...] = field(default=(), hash=False)
    detector: float | None = None
    limits: str = "not stated"
    accuracy: "Accuracy | None" = None
    origin: str = ""
    thresholds: tuple["Threshold", ...] = field(default=())

    def __post_init__(self) -> None:
        if not (isinstance(self.name, str) and re.fullmatch(r"[a-z0-9][a-z0-9._-]*", self.name)):
            raise CardError(
                f'The name "{self.name}" should have lower-case letters and digits, and - . _ behind the first.'
            )
        for key, allowed in (
            ("format", get_args(Format)),
            ("channels", ("RGB", "BGR")),
            ("role", get_args(Role)),
        ):
            if getattr(self, key) not in allowed:
                raise CardError(f'{self.name}: {key} is "{getattr(self, key)}"; use one of {", ".join(allowed)}.')
        if self.file in (".", "..", "card.json", "thresholds.json") or {"/", "\\"} & set(self.file):
            raise CardError(f'{self.name}: file is "{self.file}"; give the bare name of the weights file.')
        if self.url and not self.url.startswith(("https://", "file://")):
            raise CardError(f'{self.name}: url is "{self.url}"; use https:// or file://.')
        if self.format in ("safetensors", "pytorch") and not self.network:
            raise CardError(f'{self.name}: a {self.format} file holds weights alone; name their "network" in the card.')
        if (self.format == "derived") != bool(self.base and self.base_sha256):
            raise CardError(f'{self.name}: its format is "derived" if, and only if, it has a "base" and "base_sha256".')
        if self.format != "derived" and (self.front or self.detector is not None):
            raise CardError(f'{self.name}: only a "derived" recognizer has a front or a detector.')
        if not all(math.isfinite(v) for v in (*self.crop, *self.mean, *self.std)):
            raise CardError(f"{self.name}: crop, mean and std must be finite.")
        if min(self.input) < 1 or self.dim < 1 or min(self.std) <= 0:
            raise CardError(f"{self.name}: input, dim and std must be positive.")
        if not (self.crop[0] < self.crop[2] and self.crop[1] < self.crop[3]):
            raise CardError(f"{self.name}: crop is x0, y0, x1, y1 with x0 < x1 and y0 < y1.")

    @property
    def differentiable(self) -> bool:
        """Whether it can make a cloak; a black box can only judge."""
        return self.format != "onnx-black-box"

    @property
    def template(self) -> Template:
        return Template(self.input, self.crop)

    @property
    def valid_thresholds(self) -> dict[float, "Threshold"]:
        """The thresholds by false match rate; one of other weights under the same name is none."""
        return {t.fmr: t for t in self.thresholds if t.sha256 == self.sha256}

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Accuracy:
    """The balanced accuracy in [0, 1] of same-or-other-person decisions, its 95 % interval `low`..`high`, and where
    it was measured, `on`: the people and how many pairs."""

    balanced: float
    low: float
    high: float
    on: str


@dataclass(frozen=True, slots=True)
class Threshold:
    """The similarity from which two photos count as the same person, and how it was found.

    `value`: cosine in [-1, 1]; a pair matches at or above it. `fmr`: the false match rate aimed at, over `pairs`
    impostor pairs of `people` people of `dataset`; `sha256` of the recognizer that was calibrated; `fnmr`: the
    false non-match rate there, over the same people's genuine pairs, None if there were none.
    """

    fmr: float
    value: float
    pairs: int
    people: int
    dataset: str
    sha256: str
    fnmr: float | None


def kin(a: Card, b: Card) -> bool:
    """Whether two recognizers cannot judge each other's cloaks: the same weights, or one origin (a teacher and its
    students, a recognizer and what was made of it). One that was not stored yet has no sha256."""
    return a.sha256 == b.sha256 != "" or (a.origin or a.name) == (b.origin or b.name)


_TEXTS = [fact.name for fact in fields(Card) if fact.type is str]


def parse_card(entry: Mapping[str, Any], **overrides: Any) -> Card:
    """A card from its JSON form, with `overrides`; raises ``CardError`` naming what is missing or wrong."""
    if not isinstance(entry, Mapping):
        raise CardError(f"A card should be a JSON object, got {type(entry).__name__}.")
    values = {**entry, **overrides}
    known = Card.__dataclass_fields__
    name = values.get("name", "this card")
    required = ("name", "format", "file", "sha256", "input", "crop", "mean", "std", "dim")
    if missing := [key for key in required if key not in values]:
        raise CardError(f"{name}: the card lacks {', '.join(missing)}.")
    for key in set(values) - set(known) - {"licence"}:  # others may say more (notes), but not by a slip
        if near := get_close_matches(key, known, n=1, cutoff=0.8):
            raise CardError(f'{name}: the card has no field "{key}". Did you mean "{near[0]}"?')
    for key in _TEXTS:
        if not isinstance(values.get(key, ""), str):
            raise CardError(f"{name}: {key} should be text, got {values[key]}.")
    try:
        for key, length in (("input", 2), ("crop", 4), ("mean", 3), ("std", 3)):
            kind = int if key == "input" else float
            given = values[key]
            if not isinstance(given, list | tuple) or not all(isinstance(v, int | float) for v in given):
                raise CardError(f"{name}: {key} should be {length} numbers, got {given}.")
            values[key] = tuple(kind(v) for v in given)
            if len(given) != length:
                raise CardError(f"{name}: {key} needs {length} numbers, got {len(given)}.")
        values["dim"] = int(values["dim"])
        values["front"] = tuple(values.get("front", ()))
        if not all(isinstance(part, Mapping) and isinstance(part.get("name"), str) for part in values["front"]):
            raise CardError(f'{name}: front should be a list of objects with a "name" each, got {values["front"]}.')
        if values.get("detector") is not None:
            values["detector"] = float(values["detector"])
        if values.get("accuracy") is not None:
            values["accuracy"] = Accuracy(**values["accuracy"])
        values["thresholds"] = tuple(Threshold(**entry) for entry in values.get("thresholds", ()))
    except (TypeError, ValueError) as error:
        raise CardError(f"{name}: the card is malformed ({error}).") from error
    # cards from elsewhere may say more (measured accuracy, notes); what visard does not use, it does not keep
    return Card(**{key: value for key, value in values.items() if key in known})


def card_entries(path: Path, default_name: str) -> dict[str, dict[str, Any]]:
    """The JSON entries in a file by name: one card (`default_name` if it has none), or several under "recognizers".

    Raises ``CardError``.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CardError(f"The card {path} does not exist; check the name.") from error
    except (OSError, ValueError) as error:
        raise CardError(f"The card {path} could not be read as JSON: {error}.") from error
    if not isinstance(content, dict):
        raise CardError(f"The card {path} should hold a JSON object.")
    entries = content.get("recognizers")
    if not isinstance(entries, dict):
        entries = {content.get("name", default_name): content}
    found = {}
    for name, entry in entries.items():
        if not isinstance(entry, dict):
            raise CardError(f"The card of {name} in {path} should be a JSON object.")
        # "licence" is the older spelling
        found[name] = {"name": name, "license": entry.get("licence", "not stated"), **entry}
    return found


def find_card_entry(path: Path, sha256: str, file: str) -> dict[str, Any]:
    """The JSON entry for a weights file: of the cards in `path` the one with this `sha256`, or with none. Raises
    ``CardError``."""
    for entry in card_entries(path, Path(file).stem).values():
        if entry.get("sha256", sha256) == sha256:
            return entry
    raise CardError(f"No card in {path} has the sha256 of {file} ({sha256[:12]}...); check that the file is intact.")


def file_sha256(path: Path) -> str:
    """The sha256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
