"""Which photos of which people, where all of them would be too many."""

import numpy as np
import torch

from visard.generator import Crops
from visard.hardening.run import Photos

_EACH = 3  # photos of a person, to be compared with each other


def some(photos: Photos, most: int, seed: int) -> Photos:
    """At most `most` of the photos (person, path), drawn at random, in their order."""
    chosen = np.random.default_rng(seed).permutation(len(photos))[:most]
    return [photos[row] for row in sorted(chosen.tolist())]


def with_mates(crops: Crops, most: int, seed: int) -> Crops:
    """At most `most` faces: the first three of people who have two or more, drawn at random."""
    people, counts = crops.people.unique(return_counts=True)
    several = people[counts > 1].tolist()
    rows: list[int] = []
    for place in np.random.default_rng(seed).permutation(len(several)).tolist():
        own = (crops.people == several[place]).nonzero()[:_EACH, 0].tolist()
        if len(rows) + len(own) > most:
            break
        rows += own
    chosen = torch.tensor(sorted(rows), dtype=torch.long)
    return Crops(crops.pixels[chosen], crops.people[chosen])
