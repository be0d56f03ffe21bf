"""Recognizers made of others: the network trained on, something put before it, a detector beside it."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from visard.errors import WeightsError
from visard.recognizer.base import Recognizer
from visard.recognizer.card import Card
from visard.recognizer.checkpoint import read_state_dict
from visard.recognizer.front import CloakDetector, Front, make_front


def derived(
    base: Recognizer,
    *,
    name: str = "",
    network: nn.Module | None = None,
    front: Sequence[Front] = (),
    detector: CloakDetector | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Recognizer:
    """A recognizer made of `base`, which stays as it was: not stored yet, of the role "adaptive", without thresholds.

    `name`: the base's with "-hardened" behind it, unless given. `network`: of the base's structure, a copy of the
    base's own unless given. `front`: parts of ``recognizer.front``, before which those of the base stay. `detector`:
    a ``CloakDetector``; the base's own unless given. `facts`: the card's texts that tell what was done, such as
    "architecture", "loss", "training_data" and "limits".
    """
    card = base.card
    kept = [part for part in copy.deepcopy(base.front) if isinstance(part, Front)]
    if detector is None and isinstance(base.detector, CloakDetector):
        detector = copy.deepcopy(base.detector)
    name = name or f"{card.name}-hardened"
    made = replace(
        card,
        name=name,
        format="derived",
        file=f"{name}.safetensors",
        sha256="",
        role="adaptive",
        # the structure is that of the recognizer at the bottom, however much was made of it
        base=card.base or card.name,
        base_sha256=card.base_sha256 or card.sha256,
        origin=card.origin or card.name,
        network="",
        url="",
        accuracy=None,
        thresholds=(),
        front=tuple({"name": part.name, **part.settings} for part in (*kept, *front)),
        detector=None if detector is None else detector.threshold,
        **(facts or {}),
    )
    return Recognizer(made, copy.deepcopy(base.network) if network is None else network, [*kept, *front], detector)


def rebuilt(card: Card, path: Path, base: Recognizer) -> Recognizer:
    """The derived recognizer of `card` with the weights at `path`; `base` gives the structure, and is used up.

    The file holds what ``Recognizer.state_dict`` gives: "network.", "front." and "detector.". Raises ``WeightsError``
    where it does not fit, ``CardError`` for an unknown front.
    """
    detector = None if card.detector is None else CloakDetector(card.detector)
    made = Recognizer(card, base.network, [make_front(entry) for entry in card.front], detector)
    state = read_state_dict(path)
    try:
        made.load_state_dict(state)
    except RuntimeError as error:
        raise WeightsError(
            f"{path.name} does not fit the network of {base.name} with what its card says of front and detector; "
            f"give the file and the card that visard made together."
        ) from error
    return made
