"""Who plays the networks of a paper."""

from collections.abc import Sequence

from visard.errors import SettingError
from visard.papers.study import Study
from visard.recognizer import Recognizer


def cast(study: Study, parts: Sequence[str], stand_ins: Sequence[str]) -> dict[str, Recognizer]:
    """A recognizer of its own for each part: the chosen one, else the first of `stand_ins` that plays no other.

    Raises ``SettingError`` for one that plays two parts or gives no gradient, ``RecognizerError`` when nobody is left.
    """
    found: dict[str, Recognizer] = {}
    for part in parts:
        taken = {*study.chosen.values(), *(one.name for one in found.values())}
        one = study.recognizer(part, *(name for name in stand_ins if name not in taken))
        if other := next((p for p, played in found.items() if played.card.sha256 == one.card.sha256), None):
            raise SettingError(f"{one.name} plays both {other} and {part}; name two different recognizers.")
        if not one.differentiable:
            raise SettingError(
                f'{one.name} gives no gradient, so it cannot play {part}; name another with --network "{part}=NAME".'
            )
        found[part] = one
    return found


def introduced(study: Study, part: str, one: Recognizer, *facts: str) -> str:
    """The sentence that says who plays `part`."""
    named = " (named with --network)" if part in study.chosen else ""
    return f"{one.name}{named} plays {part}: {'; '.join(facts)}."
