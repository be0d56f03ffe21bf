"""Trials: each protected photo against the other photos of its person, and against everybody else's."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visard.audit.collection import Look
from visard.measure import Rate, mean_rate, ranks

Array = NDArray[Any]
NOT_A_SCORE = -2.0  # below every cosine: a photo is never compared with itself
SAME_PHOTO = 0.999  # cosine, to every juror: a copy of the photo, whatever its file is called
_ROWS = 1024  # of a score matrix at a time


@dataclass(frozen=True, slots=True)
class Seen:
    """What the jury saw of a collection's pairs, N of them, under C conditions: `people` (N,), `keys` (N,), by juror
    `before` and `after` (N, C, D), `found_before` and `found_after` (N, C), `quality` (N,) by measure."""

    people: Array
    keys: Array
    before: dict[str, Array]
    after: dict[str, Array]
    found_before: Array
    found_after: Array
    quality: dict[str, Array]


@dataclass(frozen=True, slots=True)
class Gallery:
    """The photos that probes are compared with, M of them, clean: `people` (M,), by juror `embeddings` (M, D);
    `own` (N, M): whether a gallery photo is the probe's own original."""

    people: Array
    embeddings: dict[str, Array]
    own: Array


@dataclass(frozen=True, slots=True)
class Trials:
    """One juror's trials under one condition, one per probe (N,): the best cosine to a mate and to another person,
    and the best mate's rank, for the clean and for the protected photo; `mates`: how many photos of the person."""

    mates: Array
    clean_mate: Array
    protected_mate: Array
    clean_other: Array
    protected_other: Array
    clean_rank: Array
    protected_rank: Array

    def columns(self) -> dict[str, Array]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def stack(people: Sequence[str], keys: Sequence[str], before: Sequence[Look], after: Sequence[Look]) -> Seen:
    """The looks at N pairs, one array per kind."""
    return Seen(
        np.array(people),
        np.array(keys),
        {name: np.stack([look.embeddings[name] for look in before]) for name in before[0].embeddings},
        {name: np.stack([look.embeddings[name] for look in after]) for name in after[0].embeddings},
        np.stack([look.found for look in before]),
        np.stack([look.found for look in after]),
        {name: np.array([look.quality[name] for look in after]) for name in after[0].quality},
    )


def own_photos(seen: Seen, hashes: Array, gallery_hashes: Array, gallery: dict[str, Array]) -> Array:
    """Which gallery photos (M,) show the very photo of a probe (N,): the same file, or a copy: (N, M)."""
    copy = np.ones((len(hashes), len(gallery_hashes)), dtype=bool)
    for name, before in seen.before.items():
        copy &= before[:, 0] @ gallery[name].T > SAME_PHOTO
    return np.asarray(_equal(hashes, gallery_hashes) | copy)


def pairs_with(people: Array, gallery_people: Array, own: Array) -> tuple[Array, Array]:
    """Which gallery photos (M,) are a probe's (N,) mates and which another person's, its own photo neither: (N, M)."""
    same = _equal(people, gallery_people)
    return same & ~own, ~same & ~own


def compare(probes: Array, gallery: Array, own: Array) -> Array:
    """Cosines (N, M) of unit `probes` (N, D) and `gallery` (M, D), ``NOT_A_SCORE`` where a probe meets itself."""
    scores = np.asarray(probes @ gallery.T)
    scores[own] = NOT_A_SCORE
    return scores


def run(seen: Seen, gallery: Gallery, juror: str, condition: int) -> Trials:
    """One juror's trials under one condition (its number)."""
    parts = []
    for first in range(0, len(seen.people), _ROWS):
        rows = slice(first, first + _ROWS)
        people, own = seen.people[rows], gallery.own[rows]
        mate, other = pairs_with(people, gallery.people, own)
        clean, protected = (
            compare(looks[juror][rows, condition], gallery.embeddings[juror], own)
            for looks in (seen.before, seen.after)
        )
        parts.append(
            (
                mate.sum(axis=1),
                _best(clean, mate),
                _best(protected, mate),
                _best(clean, other),
                _best(protected, other),
                _ranks(clean, people, gallery.people, mate),
                _ranks(protected, people, gallery.people, mate),
            )
        )
    return Trials(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def quadrants(seen: Seen, own: Array, juror: str) -> dict[tuple[str, str], Array]:
    """The best cosine (N,) of each probe to the person's other photos as saved, by ({clean, protected} probe,
    {clean, protected} gallery); the gallery is the collection itself, `own` (N, N)."""
    kinds = {"clean": seen.before[juror][:, 0], "protected": seen.after[juror][:, 0]}
    mate, _ = pairs_with(seen.people, seen.people, own)
    return {(p, g): _best(compare(kinds[p], kinds[g], own), mate) for p in kinds for g in kinds}


def rate(hits: Array, people: Array) -> Rate | None:
    """``mean_rate`` of `hits` (K,) of `people` (K,); None without trials."""
    return mean_rate(hits, people) if len(hits) else None


def protection(trials: Trials, people: Array, threshold: float, *, conditional: bool = True) -> Rate | None:
    """Dodging: the share of probes that match none of their mates once protected; `conditional` on the clean probe,
    under the same condition, matching one."""
    counted = trials.mates > 0
    if conditional:
        counted &= trials.clean_mate >= threshold
    return rate(trials.protected_mate[counted] < threshold, people[counted])


def _equal(names: Array, others: Array) -> Array:
    """Which names (N,) are which others (M,): (N, M). Numbers are compared, which names would make slow."""
    codes = np.unique(np.concatenate([names, others]), return_inverse=True)[1]
    return np.asarray(codes[: len(names), None] == codes[None, len(names) :])


def _best(scores: Array, where: Array) -> Array:
    return np.asarray(np.max(scores, axis=1, where=where, initial=NOT_A_SCORE))


def _ranks(scores: Array, people: Array, gallery_people: Array, mate: Array) -> Array:
    """The best mate's rank, 0 for probes without a mate: (N,)."""
    found = np.zeros(len(scores), dtype=np.intp)
    some = mate.any(axis=1)
    if some.any():
        found[some] = ranks(scores[some], people[some].tolist(), gallery_people.tolist())
    return found
