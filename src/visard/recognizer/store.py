"""Which recognizers there are: those that come with visard, and those that the user added."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from difflib import get_close_matches
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from visard.errors import CardError, RecognizerError, UnknownRecognizerError, UnsupportedOperatorError, WeightsError
from visard.face.detect.hog import face_recognition_model
from visard.recognizer.base import Recognizer
from visard.recognizer.card import Card, Role, Threshold, file_sha256, find_card_entry, parse_card
from visard.recognizer.dlib_resnet import load_dlib_resnet
from visard.recognizer.onnx_graph import load_graph
from visard.recognizer.onnx_session import load_session

LOADERS: dict[str, Callable[[Path, Card], nn.Module]] = {
    "dlib": lambda path, _card: load_dlib_resnet(path),
    "onnx": lambda path, card: load_graph(path, size=card.input),
    "onnx-black-box": lambda path, _card: load_session(path),
}
"""From a weights file and its card to a network that takes (N, 3, h, w), normalized; by the card's format."""


def home() -> Path:
    """The folder of added recognizers: ``$VISARD_HOME``, else ``$XDG_DATA_HOME/visard``, else below the home."""
    if explicit := os.environ.get("VISARD_HOME"):
        return Path(explicit)
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "visard"


def cards() -> dict[str, Card]:
    """All recognizers' cards by name, the embedded ones first."""
    found = {}
    embedded = resources.files("visard.recognizer") / "cards"
    folder = home() / "recognizers"
    entries = sorted((e for e in embedded.iterdir() if e.name.endswith(".json")), key=lambda e: e.name)
    for entry in [*entries, *sorted(folder.glob("*/card.json"))]:
        card = parse_card(_stored(entry, "add the recognizer again"))
        local = folder / card.name / "thresholds.json"
        if local.is_file():
            stored = _stored(local, "delete it and calibrate again")
            card = parse_card(card.to_json(), thresholds=stored)
        found[card.name] = card
    return found


def _stored(path: Traversable, remedy: str) -> Any:
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


def weights(card: Card) -> Path:
    """The path of a recognizer's weights file; it need not exist."""
    if card.format == "dlib":
        return face_recognition_model(card.file)
    return home() / "recognizers" / card.name / card.file


def ready(card: Card) -> bool:
    """Whether the weights file is there."""
    return weights(card).is_file()


def load(card: Card) -> Recognizer:
    """The recognizer of a card, its weights checked against their sha256; raises ``WeightsError``."""
    path = weights(card)
    if not path.is_file():
        raise WeightsError(f"{card.name}: its weights file {path} is missing; add it again with: visard models add.")
    if (actual := file_sha256(path)) != card.sha256:
        raise WeightsError(
            f"{card.name}: {path} has the sha256 {actual[:12]}..., its card says {card.sha256[:12]}...; add it again."
        )
    return Recognizer(card, LOADERS[card.format](path, card))


def add(file: Path, card_file: Path, *, role: Role | None = None, black_box: bool = False) -> Card:
    """Install a copy of the ONNX `file` with the card in `card_file`; the card is returned.

    The file is loaded once and its output checked against the card before anything is kept. `black_box`: run it
    by onnxruntime, to judge only. Raises ``CardError``, ``WeightsError``, ``UnsupportedOperatorError``.
    """
    if not file.is_file():
        raise WeightsError(f"{file} is not a file.")
    if file.suffix.lower() != ".onnx":
        raise WeightsError(f"{file.name}: only ONNX files can be added; export the network with torch.onnx.export.")
    sha256 = file_sha256(file)
    entry = find_card_entry(card_file, sha256, file.name)
    overrides = {"file": file.name, "sha256": sha256, "format": "onnx-black-box" if black_box else "onnx"}
    if role is not None:
        overrides["role"] = role
    card = parse_card(entry, **overrides)
    if card.name in cards():
        raise CardError(f'A recognizer called "{card.name}" is there already; give the card another name.')
    if black_box and card.role == "surrogate":
        raise CardError(f"{card.name}: a black box has no gradient, so it cannot be a surrogate.")
    _check(card, LOADERS[card.format](file, card))

    folder = home() / "recognizers"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".adding-", dir=folder) as temporary:
            staged = Path(temporary) / card.name
            staged.mkdir()
            shutil.copyfile(file, staged / card.file)
            (staged / "card.json").write_text(json.dumps(card.to_json(), indent=1) + "\n", encoding="utf-8")
            staged.rename(folder / card.name)
    except OSError as error:
        raise RecognizerError(f"{card.name} could not be stored in {folder}: {error.strerror}.") from error
    return card


def _check(card: Card, network: nn.Module) -> None:
    faces = torch.zeros(1, 3, *card.input)
    try:
        with torch.no_grad():
            shape = tuple(Recognizer(card, network).embed(faces).shape)
    except UnsupportedOperatorError:
        raise
    except (RuntimeError, ValueError, RecognizerError) as error:
        raise CardError(
            f"{card.name}: {card.file} does not take input of {card.input}: {str(error).splitlines()[0]}"
        ) from error
    if shape != (1, card.dim):
        raise CardError(f"{card.name}: {card.file} gives an output of {shape}, its card says dim {card.dim}.")


def store_thresholds(card: Card, thresholds: Sequence[Threshold]) -> None:
    """Keep thresholds for a recognizer, in place of those at the same false match rates."""
    folder = home() / "recognizers" / card.name
    kept = {t.fmr: t for t in (*find(card.name).thresholds, *thresholds)}
    content = json.dumps([asdict(kept[fmr]) for fmr in sorted(kept, reverse=True)], indent=1) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".thresholds-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(content)
        Path(temporary).replace(folder / "thresholds.json")
    finally:
        with suppress(FileNotFoundError):
            Path(temporary).unlink()
