"""Recognizers from other packages, by the entry point group ``visard.recognizers``."""

import warnings
from collections.abc import Callable, Collection
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from torch import nn

from visard.errors import CardError
from visard.recognizer.card import Card

ENTRY_POINTS = "visard.recognizers"


class RecognizerWarning(UserWarning):
    """An installed package registers a recognizer that cannot be used; all others can."""


@dataclass(frozen=True, slots=True)
class Registration:
    """What an entry point leads to: a recognizer of another package, under the card's name.

    `weights`: the path of its weights file, None where it lies in visard's own folder once fetched from the card's
    url. `network`: from that path to a network that takes (N, 3, h, w), normalized; None for a file format that
    visard reads itself. The card's format is "package" where `network` is given. Raises ``CardError``.
    """

    card: Card
    network: Callable[[Path], nn.Module] | None = None
    weights: Path | None = None

    def __post_init__(self) -> None:
        if (self.network is None) == (self.card.format == "package"):
            raise CardError(f'{self.card.name}: its format is "package" if, and only if, the package gives a network.')
        if self.weights is None and not self.card.url:
            raise CardError(f"{self.card.name}: give the path of its weights, or the card a url to fetch them from.")


def registrations(taken: Collection[str] = ()) -> dict[str, Registration]:
    """The recognizers of installed packages by name, but for the names that are `taken`; a ``RecognizerWarning``
    tells of each that cannot be used."""
    found: dict[str, Registration] = {}
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            registration = _load(entry)
            name = registration.card.name
            if name in taken or name in found:
                raise CardError(f'a recognizer called "{name}" is there already')
        except Exception as error:  # noqa: BLE001  a stranger's package may raise anything
            package = entry.dist.name if entry.dist else entry.module
            warnings.warn(
                f'The recognizer "{entry.name}" of the package {package} is left out: '
                f"{str(error).rstrip('.') or type(error).__name__}; update or uninstall the package.",
                RecognizerWarning,
                stacklevel=1,  # one place, so that Python prints it once
            )
        else:
            found[name] = registration
    return found


def _load(entry: EntryPoint) -> Registration:
    registration = entry.load()
    if not isinstance(registration, Registration):
        raise CardError(f"{entry.value} is not a visard.recognizer.Registration")
    return registration
