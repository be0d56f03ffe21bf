"""The adaptive attack: a hardened recognizer against who knows its weights, and checks that the attack is one.

A defence that only hides its gradients looks strong until somebody looks through it, so an attack that fails proves
nothing by itself. The checks are those of Carlini et al., "On evaluating adversarial robustness", 2019, section 3 and
of Athalye, Carlini and Wagner, "Obfuscated gradients give a false sense of security", ICML 2018, section 3.1: a
defence that fails one of them has not been attacked yet. The attack is APGD (Croce and Hein, ICML 2020) from several
random starts, on the recognizer's own embeddings, whatever it has in front of its network included.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor

from visard.cloak import Faces, Task, dodging, embed, find, mirrored_anchors
from visard.cloak.init import uniform
from visard.cloak.loop import slope
from visard.face.patch import face_mask
from visard.generator import Crops, window
from visard.generator.learner import frames_in
from visard.hardening.material import cloaked_faces, embed_faces
from visard.hardening.outcome import Array
from visard.measure import Rate, mean_rate
from visard.recognizer import Recognizer

EPS, STEPS, RESTARTS = 8 / 255, 20, 2
"""Of the attack: how far a pixel may change, in [0, 1]; its steps, from each of its random starts."""
BUDGETS = (2 / 255, 4 / 255, 8 / 255, 16 / 255)
_ROUNDING = 1e-4  # of cosines, between two orders of the same sums
# of mean cosines: steps of different sizes end in different places, by that much if they are equally good
_TOLERANCE = 0.01


class Check(NamedTuple):
    """A property that every real attack has, by `name`; whether it `holds`, and the `figures` that say so."""

    name: str
    holds: bool
    figures: str


def white_box(
    recognizer: Recognizer,
    faces: Tensor,
    *,
    eps: float = EPS,
    steps: int = STEPS,
    restarts: int = RESTARTS,
    seed: int = 0,
) -> Tensor:
    """`faces` (K, 3, s, s), uint8, cloaked by who has the recognizer's weights, and saved: (K, 3, s, s), uint8."""
    settings = {"eps": eps, "steps": steps, "restarts": restarts}
    return cloaked_faces(faces, find("apgd"), [recognizer], settings, seed=seed)


def over_budgets(
    recognizer: Recognizer, clean: Crops, tau: float, budgets: Sequence[float] = BUDGETS, **attack: Any
) -> dict[float, Rate]:
    """The share of comparisons that the recognizer misses at its threshold `tau` when `clean` faces are under
    ``white_box``, by the budget eps; `attack`: its other settings."""
    own, people = embed_faces(recognizer, clean.pixels).numpy(), clean.people.numpy()
    probe, mate = comparisons(clean)
    found = {}
    for eps in budgets:
        cloaked = embed_faces(recognizer, white_box(recognizer, clean.pixels, eps=eps, **attack)).numpy()
        found[eps] = mean_rate((cloaked @ own.T)[probe, mate] < tau, people[probe])
    return found


def comparisons(faces: Crops) -> tuple[Array, Array]:
    """The numbers of all pairs of a cloaked photo (P,) and another, clean one of the same person (P,)."""
    people = faces.people.numpy()
    probe, mate = np.nonzero((people[:, None] == people) & ~np.eye(len(people), dtype=bool))
    return probe, mate


def sanity_checks(
    recognizer: Recognizer,
    faces: Tensor,
    tau: float,
    strangers: Sequence[Recognizer],
    *,
    eps: float = EPS,
    steps: int = STEPS,
    restarts: int = RESTARTS,
    seed: int = 0,
) -> list[Check]:
    """Whether the attack on `recognizer` is one, on some `faces` (K, 3, s, s), uint8, at its threshold `tau`.

    `strangers`: recognizers that a black box attack is made with. Similarities are cosines to the face's own clean
    embedding (mean of picture and mirror image): nearer than any other photo, so that "fooled" is the harder thing.
    """
    frames = frames_in(window(faces.shape[-1]), len(faces))
    seen = Faces(faces.float() / 255, frames)
    mask = face_mask(frames, faces.shape[-1])
    with torch.no_grad():
        anchors = mirrored_anchors([recognizer], seen)

    def task(targets: Sequence[Recognizer]) -> Task:
        with torch.no_grad():
            own = anchors if targets == [recognizer] else mirrored_anchors(targets, seen)
        return Task(seen, dodging(targets, own), mask, Generator().manual_seed(seed), surrogates=targets)

    def after(targets: Sequence[Recognizer], settings: Mapping[str, Any]) -> Tensor:
        """The cosines (K,) that the attack on `targets` leaves."""
        asked = task(targets)
        return cosines(asked, find("apgd").cloak(asked, **settings))

    def cosines(asked: Task, delta: Tensor) -> Tensor:
        with torch.no_grad():
            return (embed(recognizer, asked.seen(delta)) * anchors[0]).sum(dim=1)

    own = [recognizer]
    once = {"eps": eps, "steps": steps}
    white = after(own, once)
    weaker, fewer = {"eps": eps / 2, "steps": steps}, {"eps": eps, "steps": max(1, steps // 4)}
    noise = uniform(eps, Generator().manual_seed(seed))(seen.pixels)
    names = ", ".join(one.name for one in strangers)
    return [
        _gradients(task(own), noise),
        _falls("the gradient beats noise", ("noise", cosines(task(own), noise)), ("white box", white)),
        _unbounded(after(own, {"eps": 1.0, "steps": steps}), tau),
        _falls(
            "a larger budget never hurts",
            (f"eps {255 * eps / 2:g}/255", after(own, weaker)),
            (f"eps {255 * eps:g}/255", white),
        ),
        _falls("more steps never hurt", (f"{fewer['steps']} steps", after(own, fewer)), (f"{steps} steps", white)),
        _restarts(white, after(own, {**once, "restarts": restarts}), restarts),
        _falls("a black box never beats the white box", (names, after(strangers, once)), ("white box", white)),
    ]


def _falls(name: str, weaker: tuple[str, Tensor], stronger: tuple[str, Tensor]) -> Check:
    """Whether the stronger attack leaves no higher cosines (K,) than the weaker one, on average."""
    above, below = float(weaker[1].mean()), float(stronger[1].mean())
    return Check(name, below <= above + _TOLERANCE, f"cosine {above:.3f} ({weaker[0]}), {below:.3f} ({stronger[0]})")


def _gradients(task: Task, start: Tensor) -> Check:
    norms = torch.linalg.vector_norm(slope(task, start)[1].flatten(1), dim=1)
    some = int(((norms > 0) & norms.isfinite()).sum())
    return Check(
        "gradients are not zero",
        some == len(norms),
        f"{some} of {len(norms)} faces, the least {float(norms.min()):.2g}",
    )


def _unbounded(cosines: Tensor, tau: float) -> Check:
    fooled = int((cosines < tau).sum())
    return Check("an unbounded budget reaches 100 %", fooled == len(cosines), f"{fooled} of {len(cosines)} faces")


def _restarts(once: Tensor, often: Tensor, restarts: int) -> Check:
    worse = int((often > once + _ROUNDING).sum())
    figures = f"cosine {float(once.mean()):.3f} (1 start), {float(often.mean()):.3f} ({restarts} starts)"
    return Check("restarts never hurt", worse == 0, figures)
