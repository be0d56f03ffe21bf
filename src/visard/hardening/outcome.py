"""What a recognizer makes of clean and of cloaked faces: how often cloaks get away, and what clean photos cost."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from visard.errors import HardeningError
from visard.generator import Crops
from visard.hardening.material import embed_faces
from visard.measure import (
    Rate,
    bootstrap_eer,
    eer,
    eer_vos,
    genuine_and_impostor,
    mean_rate,
    pair_histograms,
    threshold_vos,
)
from visard.recognizer import Recognizer

Array = NDArray[Any]
NORMAL, MIXED, OBFUSCATED = "normal-normal", "normal-obfuscated", "obfuscated-obfuscated"
REGIMES = (NORMAL, MIXED, OBFUSCATED)
FAR = 1e-3
_BINS = 1024  # of an interval's cosines: an end of it lies within a bin's width, .002, of its threshold


class Scores(NamedTuple):
    """Cosines of pairs of photos of one person (G,) and of two people (I,)."""

    genuine: Array
    impostor: Array


class Outcome(NamedTuple):
    """A recognizer before the faces of one method.

    `tau`: the cosine at and above which it says "the same person"; `asr`: the attack success rate, the share of
    genuine comparisons of a cloaked photo with a clean one that it misses; `fnmr`: the same of two clean photos, under
    which the attack success rate of a cloak that does nothing cannot be. `eer`, and `eer_vos` as the paper computes it,
    by the regime of the pairs.
    """

    tau: float
    asr: Rate
    fnmr: Rate
    eer: Mapping[str, Rate]
    eer_vos: Mapping[str, float]


class Pairs(NamedTuple):
    """Cosines (P,) of pairs of photos, and whose photos they are (P,), (P,)."""

    cosines: Array
    first: Array
    second: Array

    @property
    def same(self) -> NDArray[np.bool_]:
        return np.asarray(self.first == self.second)

    @property
    def scores(self) -> Scores:
        return Scores(self.cosines[self.same], self.cosines[~self.same])


def pairs_of(clean: Tensor, cloaked: Tensor, people: Tensor) -> dict[str, Pairs]:
    """Every pair of two photos, by whether they are cloaked: none, one, or both.

    `clean`, `cloaked`: unit embeddings (K, D) of the same photos; `people` (K,). A photo never meets itself, nor its
    own cloaked self. Of two photos either may be the cloaked one: both pairs count.
    """
    faces = {"normal": clean.numpy(), "obfuscated": cloaked.numpy()}
    owners, count = people.numpy(), len(people)
    once = np.triu(np.ones((count, count), dtype=bool), 1)
    found = {}
    for name in REGIMES:
        probe, gallery = name.split("-")
        chosen = once if probe == gallery else once | once.T
        rows, columns = np.nonzero(chosen)
        found[name] = Pairs((faces[probe] @ faces[gallery].T)[chosen], owners[rows], owners[columns])
    return found


def regimes(clean: Tensor, cloaked: Tensor, people: Tensor) -> dict[str, Scores]:
    """The scores of ``pairs_of``."""
    return {name: pairs.scores for name, pairs in pairs_of(clean, cloaked, people).items()}


def threshold(recognizer: Recognizer, calibration: Crops, far: float = FAR) -> float:
    """tau: the lowest cosine that fewer than a share `far` of the pairs of two people of `calibration` reach."""
    _, impostor = genuine_and_impostor(embed_faces(recognizer, calibration.pixels).numpy(), calibration.people.numpy())
    return threshold_vos(impostor, far)


def judged(clean: Tensor, cloaked: Tensor, people: Tensor, tau: float) -> Outcome:
    """What embeddings, as ``regimes`` takes them, come to at the threshold `tau`.

    Raises ``HardeningError`` without two people, or where nobody has two photos.
    """
    pairs = pairs_of(clean, cloaked, people)
    if not len(pairs[NORMAL].scores.genuine) or not len(pairs[NORMAL].scores.impostor):
        raise HardeningError(
            "A recognizer is judged on several photos of several people; give at least two photos of a person, and one "
            "of another."
        )
    scores = {name: found.scores for name, found in pairs.items()}
    return Outcome(
        tau,
        _missed(pairs[MIXED], tau),
        _missed(pairs[NORMAL], tau),
        {name: _equal_error(found) for name, found in pairs.items()},
        {name: eer_vos(*found) for name, found in scores.items()},
    )


def outcomes(
    recognizer: Recognizer, clean: Crops, cloaked: Mapping[str, Tensor], calibration: Crops, far: float = FAR
) -> dict[str, Outcome]:
    """What `recognizer` makes of `clean` faces and of the same faces under each method, `cloaked` (K, 3, s, s), uint8,
    at the threshold that it has on the faces of `calibration`, who are other people; raises as ``judged`` does."""
    tau = threshold(recognizer, calibration, far)
    embeddings = embed_faces(recognizer, clean.pixels)
    return {
        name: judged(embeddings, embed_faces(recognizer, faces), clean.people, tau) for name, faces in cloaked.items()
    }


def _missed(pairs: Pairs, tau: float) -> Rate:
    """The share of genuine `pairs` under `tau`, with its interval."""
    return mean_rate(pairs.cosines[pairs.same] < tau, pairs.first[pairs.same])


def _equal_error(pairs: Pairs) -> Rate:
    scores = pairs.scores
    low, high = bootstrap_eer(pair_histograms(*pairs, bins=_BINS))
    people = np.unique(np.concatenate([pairs.first, pairs.second]))
    return Rate(eer(*scores), low, high, len(scores.genuine), len(people))
