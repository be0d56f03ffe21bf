"""Which recognizers there are: those that come with visard, those that the user added, those of other packages."""

import json
import os
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from torch import nn

from visard.errors import CardError, RecognizerError, UnknownRecognizerError, WeightsError
from visard.face.detect.hog import face_recognition_model
from visard.recognizer.base import Recognizer
from visard.recognizer.card import Card, file_sha256, parse_card
from visard.recognizer.checkpoint import load_network
from visard.recognizer.derived import rebuilt
from visard.recognizer.dlib_resnet import load_dlib_resnet
from visard.recognizer.onnx_graph import load_graph
from visard.recognizer.onnx_session import load_session
from visard.recognizer.outsiders import registrations

State = Literal["intact", "damaged", "missing", "not fetched", "base missing"]

LOADERS: dict[str, Callable[[Path, Card], nn.Module]] = {
    "dlib": lambda path, _card: load_dlib_resnet(path),
    "onnx": lambda path, card: load_graph(path, size=card.input),
    "onnx-black-box": lambda path, _card: load_session(path),
    "package": lambda path, card: _packages_network(card)(path),
    "pytorch": lambda path, card: load_network(card.network, path),
    "safetensors": lambda path, card: load_network(card.network, path),
}
"""From a weights file and its card to a network that takes (N, 3, h, w), normalized; by the card's format."""

_CARDS = Path(__file__).with_name("cards")
_WEIGHTS = Path(__file__).with_name("weights")


def home() -> Path:
    """The folder of added recognizers: ``$VISARD_HOME``, else ``$XDG_DATA_HOME/visard``, else below the home."""
    if explicit := os.environ.get("VISARD_HOME"):
        return Path(explicit)
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "visard"


def recognizer_folder(name: str) -> Path:
    """Where a recognizer's card, weights and thresholds lie, as far as the user's own folder holds them."""
    return home() / "recognizers" / name


def cards() -> dict[str, Card]:
    """All recognizers' cards by name: those of visard, those added, those of other packages."""
    found: dict[str, Card] = {}
    for path in sorted(_CARDS.glob("*.json")):
        card = parse_card(_stored(path, "install visard again"))
        found[card.name] = card
    for path in sorted((home() / "recognizers").glob("*/card.json")):
        remedy = f"remove the recognizer (visard models remove {path.parent.name}) and add it again"
        card = parse_card(_stored(path, remedy))
        found.setdefault(card.name, card)
    found |= {name: registration.card for name, registration in registrations(taken=set(found)).items()}
    return {name: _calibrated(card) for name, card in found.items()}


def _calibrated(card: Card) -> Card:
    local = recognizer_folder(card.name) / "thresholds.json"
    if not local.is_file():
        return card
    return parse_card(card.to_json(), thresholds=_stored(local, "delete it and calibrate again"))


def _stored(path: Path, remedy: str) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CardError(f"{path} is damaged ({error}); {remedy}.") from error


def find(name: str) -> Card:
    """The card of a recognizer; raises ``UnknownRecognizerError``, with a near name if there is one."""
    known = cards()
    if name in known:
        return known[name]
    near = get_close_matches(name, known, n=1)
    hint = f' Did you mean "{near[0]}"?' if near else f" There are: {', '.join(known)}."
    raise UnknownRecognizerError(f'No recognizer is called "{name}".{hint}')


def owner(card: Card) -> Literal["visard", "user", "package"]:
    """Who brought a recognizer's card: visard itself, its user, or another installed package."""
    if (_CARDS / f"{card.name}.json").is_file():
        return "visard"
    return "user" if (recognizer_folder(card.name) / "card.json").is_file() else "package"


def embedded_weights(card: Card) -> Path | None:
    """The path of weights that came with a package, visard or another; None for those in the user's own folder."""
    match owner(card):
        case "visard" if card.format == "dlib":
            return face_recognition_model(card.file)
        case "visard" if (path := _WEIGHTS / card.file).is_file():
            return path
        case "package" if registration := registrations().get(card.name):
            return registration.weights
        case _:
            return None


def weights(card: Card) -> Path:
    """The path of a recognizer's weights file; it need not exist."""
    return embedded_weights(card) or recognizer_folder(card.name) / card.file


def ready(card: Card) -> bool:
    """Whether the weights file is there, and that of the recognizer that it is derived from."""
    return weights(card).is_file() and (not card.base or _base_ready(card))


def verify(card: Card) -> State:
    """Whether the weights file is there and has the card's sha256; "base missing" where the recognizer that it is
    derived from is not there, or has other weights than it had."""
    path = weights(card)
    if not path.is_file():
        return "not fetched" if card.url else "missing"
    if file_sha256(path) != card.sha256:
        return "damaged"
    return "base missing" if card.base and not _base_ready(card) else "intact"


def load(card: Card) -> Recognizer:
    """The recognizer of a card, its weights checked against their sha256; raises ``WeightsError``."""
    path = weights(card)
    if not path.is_file():
        if card.url:
            raise WeightsError(f"{card.name} is not fetched yet; run: visard models fetch {card.name}")
        raise WeightsError(f"{card.name}: its weights file {path} is missing; {_remedy(card)}.")
    if (actual := file_sha256(path)) != card.sha256:
        raise WeightsError(
            f"{card.name}: {path} has the sha256 {actual[:12]}..., its card says {card.sha256[:12]}...; "
            f"{_remedy(card)}."
        )
    return assembled(card, path)


def assembled(card: Card, path: Path) -> Recognizer:
    """The recognizer of a card with the weights at `path`, whatever their sha256. Raises what its format's loader
    raises, and ``WeightsError`` where it is derived from a recognizer that is not here."""
    if card.format != "derived":
        return Recognizer(card, LOADERS[card.format](path, card))
    return rebuilt(card, path, load(base_of(card)))


def base_of(card: Card) -> Card:
    """The card of the recognizer that a derived one has its structure from; raises ``WeightsError`` unless exactly
    that one is known."""
    base = cards().get(card.base)
    if base is None:
        raise WeightsError(f"{card.name} is derived from {card.base}, which is not there; add or fetch {card.base}.")
    if base.sha256 != card.base_sha256:
        raise WeightsError(
            f"{card.name} is derived from another {card.base} (sha256 {card.base_sha256[:12]}...) than the one that is "
            f"there ({base.sha256[:12]}...); harden that one anew, or add the former again."
        )
    return base


def _base_ready(card: Card) -> bool:
    try:
        return ready(base_of(card))
    except WeightsError:
        return False


def _remedy(card: Card) -> str:
    if embedded_weights(card):
        return "install the package that brought it again"
    if card.url:
        return f"fetch it again (visard models fetch {card.name})"
    return f"remove it (visard models remove {card.name}) and add it again"


def _packages_network(card: Card) -> Callable[[Path], nn.Module]:
    registration = registrations().get(card.name)
    if registration is None or registration.network is None:
        raise RecognizerError(f"{card.name}: the package that registers it is not installed any more.")
    return registration.network
