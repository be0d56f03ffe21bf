"""What changes the user's own folder of recognizers: each change is made whole or not at all."""

import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from visard.errors import CardError, RecognizerError, UnsupportedOperatorError, WeightsError
from visard.recognizer.base import Recognizer
from visard.recognizer.card import Card, Role, Threshold, file_sha256, find_card_entry, parse_card
from visard.recognizer.checkpoint import PYTORCH_SUFFIXES, state_bytes
from visard.recognizer.networks import find_network
from visard.recognizer.store import assembled, base_of, cards, find, recognizer_folder

FORMATS = {".onnx": "onnx", ".safetensors": "safetensors", **dict.fromkeys(PYTORCH_SUFFIXES, "pytorch")}
_CONTRACT = ("input", "crop", "mean", "std", "dim", "channels")


def add(file: Path, card_file: Path, *, role: Role | None = None, black_box: bool = False) -> Card:
    """Install a copy of the weights `file` (.onnx, .safetensors, .pt, .pth, .ckpt) with the card in `card_file`; the
    card is returned.

    The file is loaded once, never unpickled, and its output checked against the card before anything is kept.
    `black_box`: run an ONNX file by onnxruntime, to judge only. Raises ``CardError``, ``WeightsError``,
    ``UnknownRecognizerError``, ``UnsupportedOperatorError``.
    """
    if not file.is_file():
        raise WeightsError(f"{file} is not a file.")
    sha256 = file_sha256(file)
    entry = find_card_entry(card_file, sha256, file.name)
    card = new_card({**entry, "file": file.name, "sha256": sha256}, role=role, black_box=black_box)
    check(card, file)

    def copied(path: Path) -> Card:
        shutil.copyfile(file, path)
        return card

    return _kept(card, copied)


def store_derived(hardened: Recognizer, *, half: bool = False) -> Card:
    """Install a recognizer that ``derived`` made; its card is returned, with the sha256. `half`: as float16, half the
    size and not quite the same.

    Raises ``CardError`` when the name is taken, ``WeightsError`` when the recognizer that it is derived from is not in
    the store, ``RecognizerError`` when it cannot be written.
    """
    card = hardened.card
    if card.format != "derived":
        raise CardError(f"{card.name} is no derived recognizer; add its file with: visard models add.")
    _refuse_taken(card)
    base_of(card)

    def written(path: Path) -> Card:
        path.write_bytes(state_bytes(hardened.state_dict(), half=half))
        return replace(card, sha256=file_sha256(path))

    return _kept(card, written)


def _kept(card: Card, put: Callable[[Path], Card]) -> Card:
    """The card that `put` gives once it has written the weights to a path, kept with them, whole or not at all."""
    folder = recognizer_folder(card.name)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".adding-", dir=folder.parent) as temporary:
            staged = Path(temporary) / card.name
            staged.mkdir()
            card = put(staged / card.file)
            write_json(staged / "card.json", card.to_json())
            staged.rename(folder)
    except OSError as error:
        if folder.exists():  # another visard was faster, or a download was begun
            raise CardError(
                f"{folder} is there already; remove it with: visard models remove {card.name}, or give the card "
                "another name."
            ) from error
        raise RecognizerError(f"{card.name} could not be stored in {folder.parent}: {error.strerror}.") from error
    return card


def new_card(entry: dict[str, Any], *, role: Role | None = None, black_box: bool = False) -> Card:
    """The card of a recognizer to come: its format from the name of its file; what it does not say of its input,
    from its network. Raises ``CardError``, ``WeightsError``, ``UnknownRecognizerError``."""
    suffix = Path(entry["file"]).suffix.lower()
    if suffix not in FORMATS:
        raise WeightsError(
            f"{entry['file']}: give an ONNX file (torch.onnx.export makes one), or weights of a network that visard "
            f"knows, as {', '.join(list(FORMATS)[1:])}."
        )
    if black_box and suffix != ".onnx":
        raise CardError(f"{entry['file']}: only an ONNX file can be run as a black box.")
    entry["format"] = "onnx-black-box" if black_box else "derived" if entry.get("base") else FORMATS[suffix]
    if role is not None:
        entry["role"] = role
    if entry["format"] in ("pytorch", "safetensors") and isinstance(name := entry.get("network"), str):
        network = find_network(name)
        entry = {**{key: getattr(network, key) for key in _CONTRACT}, **entry}
    card = parse_card(entry)
    _refuse_taken(card)
    if black_box and card.role == "surrogate":
        raise CardError(f"{card.name}: a black box has no gradient, so it cannot be a surrogate.")
    return card


def _refuse_taken(card: Card) -> None:
    if card.name in cards():
        raise CardError(f'A recognizer called "{card.name}" is there already; give the card another name.')


def check(card: Card, file: Path) -> None:
    """Load the network in `file` and compare its output with the card.

    Raises ``CardError``, ``WeightsError``, ``UnsupportedOperatorError``.
    """
    recognizer = assembled(card, file)
    faces = torch.zeros(1, 3, *card.input)
    try:
        # a traced network prints its own lines where it fails
        with torch.no_grad(), redirect_stderr(io.StringIO()):
            shape = tuple(recognizer.embed(faces).shape)
    except UnsupportedOperatorError:
        raise
    except (RuntimeError, ValueError, RecognizerError) as error:
        raise CardError(
            f"{card.name}: {card.file} does not take faces of {card.input[0]} x {card.input[1]} (height x width); give "
            'the size that the network was made for as "input".'
        ) from error
    if shape != (1, card.dim):
        raise CardError(f"{card.name}: {card.file} gives an output of {shape}, its card says dim {card.dim}.")


def remove(name: str) -> None:
    """Delete a recognizer that was added or fetched, with its thresholds.

    One that was fetched can be fetched again; a begun download goes too. Raises ``UnknownRecognizerError``, and
    ``RecognizerError`` for one that came with a package.
    """
    folder = recognizer_folder(name)
    there = name in {path.name for path in folder.parent.glob("[!.]*")}
    if not there or {path.name for path in folder.glob("[!.]*")} <= {"thresholds.json"}:
        card = find(name)
        if card.url:
            raise RecognizerError(f"{name} is not fetched, so there is nothing to remove.")
        raise RecognizerError(
            f"{name} came with a package and cannot be removed; to leave it out, name others with --surrogates or "
            "--jury."
        )
    try:
        with tempfile.TemporaryDirectory(
            prefix=".removing-", dir=folder.parent, ignore_cleanup_errors=True
        ) as temporary:
            folder.rename(Path(temporary) / name)
    except OSError as error:
        raise RecognizerError(f"{name} could not be removed from {folder.parent}: {error.strerror}.") from error


def store_thresholds(card: Card, thresholds: Sequence[Threshold]) -> None:
    """Keep thresholds for a recognizer, in place of those at the same false match rates."""
    folder = recognizer_folder(card.name)
    kept = {t.fmr: t for t in (*find(card.name).thresholds, *thresholds)}
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "thresholds.json", [asdict(kept[fmr]) for fmr in sorted(kept, reverse=True)])


def write_json(path: Path, content: Any) -> None:
    """Write `content` to `path` as JSON, whole or not at all; raises ``OSError``."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(json.dumps(content, indent=1) + "\n")
        Path(temporary).replace(path)
    finally:
        with suppress(FileNotFoundError):
            Path(temporary).unlink()
