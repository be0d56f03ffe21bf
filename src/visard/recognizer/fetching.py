"""Weights from where their card says that they are, when the user asks for them."""

import os
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from visard.errors import CardError, RecognizerError, UnknownRecognizerError, WeightsError
from visard.recognizer.card import Card, Role, card_entries, file_sha256
from visard.recognizer.download import Progress, copy, download
from visard.recognizer.install import check, new_card, write_json
from visard.recognizer.store import embedded_weights, find, recognizer_folder


def fetch(name: str, *, mirror: Path | None = None, progress: Progress = lambda _have, _total: None) -> Card:
    """Get the weights of a known recognizer, unless they are there and intact; its card is returned.

    From the folder `mirror` (else ``$VISARD_MIRROR``), which holds files by name or by sha256; without one from the
    card's url. Raises ``UnknownRecognizerError``, ``WeightsError`` for a file with another sha256, and
    ``RecognizerError`` when it cannot be had; a download that broke off goes on where it stopped.
    """
    card = find(name)
    if embedded_weights(card):
        raise RecognizerError(f"{name} came with its weights, so there is nothing to fetch.")
    _place(card, mirror, progress)
    return card


def fetch_new(
    card_file: Path,
    name: str = "",
    *,
    role: Role | None = None,
    mirror: Path | None = None,
    progress: Progress = lambda _have, _total: None,
) -> Card:
    """Add a recognizer by its card alone, whose `url` and `sha256` say what to fetch; `name` chooses among several
    cards in the file.

    Raises what ``fetch`` and ``add`` raise.
    """
    entries = card_entries(card_file, card_file.stem)
    if not name and len(entries) != 1:
        raise CardError(f"{card_file} holds {len(entries)} cards; name the one to fetch: {', '.join(entries)}.")
    name = name or next(iter(entries))
    if name not in entries:
        near = get_close_matches(name, entries, n=1)
        hint = f'Did you mean "{near[0]}"?' if near else f"There are: {', '.join(entries)}."
        raise UnknownRecognizerError(f'{card_file} has no card of "{name}". {hint}')
    entry = entries[name]
    if missing := [key for key in ("url", "sha256") if not isinstance(entry.get(key), str)]:
        raise CardError(f"{name}: to be fetched, the card needs its {' and '.join(missing)}.")
    file = PurePosixPath(str(entry.get("file") or unquote(urlsplit(entry["url"]).path))).name
    card = new_card({**entry, "file": file}, role=role, black_box=entry.get("format") == "onnx-black-box")
    path = _place(card, mirror, progress)
    check(card, path)
    if path.with_name("card.json").exists():  # another visard was faster
        raise CardError(f'A recognizer called "{card.name}" is there already; give the card another name.')
    try:
        write_json(path.with_name("card.json"), card.to_json())
    except OSError as error:
        raise RecognizerError(f"{name} could not be stored in {path.parent}: {error.strerror}.") from error
    return card


def _place(card: Card, mirror: Path | None, progress: Progress) -> Path:
    """The path of the card's weights in the user's own folder, fetched unless they are there and intact."""
    path = recognizer_folder(card.name) / card.file
    if path.is_file() and file_sha256(path) == card.sha256:
        return path
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecognizerError(f"{path.parent} could not be made: {error.strerror}.") from error
    if mirror is None and (folder := os.environ.get("VISARD_MIRROR")):
        mirror = Path(folder)
    source = card.url
    if mirror is not None:
        source = str(_in_mirror(card, mirror))
        copy(Path(source), part)
    elif not card.url:
        raise RecognizerError(
            f"The card of {card.name} gives no url; if you have the file, give its folder with --from."
        )
    elif not (part.is_file() and file_sha256(part) == card.sha256):
        download(card.url, part, progress)
    if (actual := file_sha256(part)) != card.sha256:
        part.unlink()
        raise WeightsError(
            f"{card.name}: {source} has the sha256 {actual[:12]}..., its card says {card.sha256[:12]}...; it was not "
            "kept: get the file from where the card's source says, and give its folder with --from."
        )
    part.replace(path)
    return path


def _in_mirror(card: Card, mirror: Path) -> Path:
    if not mirror.is_dir():
        raise RecognizerError(f"{mirror} is not a folder; give the one that holds {card.file}.")
    for name in (card.sha256, card.file):
        if name and (mirror / name).is_file():
            return mirror / name
    raise RecognizerError(f"{mirror} holds neither {card.file} nor a file called {card.sha256}; put one there.")
