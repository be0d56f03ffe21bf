"""Published state dicts: entries renamed, wrappers taken off, heads dropped."""

import re
from collections.abc import Sequence

from torch import Tensor

from visard.recognizer.networks.network import State

# what data parallelism and training frameworks put before every name
WRAPPERS = ("module.", "model.", "backbone.", "network.")


def unwrapped(state: State, prefixes: Sequence[str] = WRAPPERS) -> dict[str, Tensor]:
    """`state` without the prefixes that most of its entries share; entries outside such a prefix are dropped, since
    they belong to what wraps the network: the head it was trained with."""
    current = dict(state)
    while wrapper := next((p for p in prefixes if 2 * sum(key.startswith(p) for key in current) > len(current)), None):
        current = {key.removeprefix(wrapper): value for key, value in current.items() if key.startswith(wrapper)}
    return current


def renamed(state: State, rules: Sequence[tuple[str, str]], drop: str = r"(?!)") -> dict[str, Tensor]:
    """`state` with each name rewritten by the first of `rules` (pattern, replacement) that matches its beginning;
    names that match `drop` at the beginning are left out."""
    compiled = [(re.compile(pattern), replacement) for pattern, replacement in rules]
    result = {}
    for key, value in state.items():
        if re.match(drop, key):
            continue
        for pattern, replacement in compiled:
            if pattern.match(key):
                key = pattern.sub(replacement, key, count=1)
                break
        result[key] = value
    return result


def swapped_channels(state: dict[str, Tensor], key: str) -> dict[str, Tensor]:
    """`state` with the first layer's filters `key` (K, 3, h, w) turned from RGB to BGR, or back."""
    return {**state, key: state[key].flip(1)} if key in state and state[key].ndim == 4 else state


def flat(state: dict[str, Tensor], key: str) -> dict[str, Tensor]:
    """`state` with the filters `key` of a convolution that covers its whole input as a matrix (K, C h w)."""
    return {**state, key: state[key].flatten(1)} if key in state and state[key].ndim == 4 else state
