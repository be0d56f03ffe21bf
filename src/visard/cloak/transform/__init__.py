"""Transforms: what happens to a picture before a recognizer sees it, differentiably, drawn anew at each step.

`view`: displaced and resized faces; `pixel`: values scaled, mixed, cut out, disturbed in the spectrum; `block`: parts
shuffled, turned and distorted. All draw for each face on its own, `resized` and `input_diversity` for a batch.
"""

from visard.cloak.transform.base import Transform, chain, identity
from visard.cloak.transform.block import block_shuffle, distorted_blocks
from visard.cloak.transform.pixel import cutout, mixed, scaled, spectrum
from visard.cloak.transform.view import input_diversity, jitter, resized

__all__ = [
    "Transform",
    "block_shuffle",
    "chain",
    "cutout",
    "distorted_blocks",
    "identity",
    "input_diversity",
    "jitter",
    "mixed",
    "resized",
    "scaled",
    "spectrum",
]
