"""Where an audit may be lying: what a reader should know before believing its figures."""

from collections.abc import Sequence

import numpy as np
import torch

from visard.audit.findings import FMRS, Protected
from visard.cloak import Faces, dodging, mirrored_anchors
from visard.recognizer import Recognizer

FEW_PEOPLE = 30
_MISSES_TOO_MANY = 0.5


def warnings(sets: Sequence[Protected], fmr: float = FMRS[0]) -> list[str]:
    """One sentence for each doubt, with the names of the sets that it is about; "every set" for all of several. `fmr`:
    at which thresholds jurors are doubted."""
    about: dict[str, list[str]] = {}
    for one in sets:
        for doubt in doubts(one, fmr):
            about.setdefault(doubt, []).append(one.name)
    return [
        f"{'every set' if len(names) == len(sets) > 1 else _names(names)}: {doubt}." for doubt, names in about.items()
    ]


def doubts(one: Protected, fmr: float = FMRS[0]) -> list[str]:
    """What is wrong with a set of protected photos, or with its jury; phrases without a full stop."""
    found = []
    seen, count = one.seen, len(one.seen.people)
    people = len(np.unique(seen.people))
    if one.surrogates is None:
        found.append(
            "it is not known which recognizers made these cloaks, so every juror counts; name them with --surrogates"
        )
    made = [juror.name for juror in one.jury if not one.held_out(juror)]
    if made:
        found.append(f"{_names(made)} made these cloaks, or a recognizer of the same origin did: gray, in no mean")
    if len(made) == len(one.jury):
        found.append("no juror is left that had no part in the cloaks")
    if people < FEW_PEOPLE:
        found.append(f"{people} people are few: the intervals say how little that proves")
    equal = int((~np.isfinite(seen.quality["psnr"])).sum())
    if equal:
        found.append(f"{equal} of {count} protected photos show the same face, pixel by pixel, as their originals")
    alone = int((one.trials[one.jury[0].name, one.conditions[0]].mates == 0).sum())
    if alone:
        found.append(f"{alone} of {count} photos have no other photo of their person to be compared with")
    own = one.gallery.own.sum(axis=1)
    copies = int((own > own.min()).sum() if own.min() < 2 else count)  # where all are in the gallery, once is no copy
    if copies:
        found.append(f"{copies} of {count} photos lie in the gallery too, or a copy; they are not compared with it")
    for juror in one.jury:
        trials = one.trials[juror.name, one.conditions[0]]
        some = trials.mates > 0
        missed = float(np.mean(trials.clean_mate[some] < juror.threshold(fmr).value)) if some.any() else 0.0
        if missed > _MISSES_TOO_MANY:
            found.append(f"{juror.name} misses {missed:.0%} of the clean photos too: it says little")
    lost = float(np.mean(~seen.found_after[:, 0]))
    if lost > 0.05:
        found.append(
            f"the detector misses {lost:.0%} of the protected faces (they are judged at the original's place): a cloak "
            "that hides faces from one detector does not hide them from all"
        )
    return found


def without_gradient(surrogates: Sequence[Recognizer], faces: Faces) -> list[str]:
    """The names of surrogates whose gradient at `faces` is zero: what they made is noise, and proves nothing."""
    names = []
    for surrogate in surrogates:
        pixels = faces.pixels.clone().requires_grad_(True)
        loss = dodging([surrogate], mirrored_anchors([surrogate], faces))(faces._replace(pixels=pixels)).sum()
        gradient = torch.autograd.grad(loss, pixels)[0] if loss.requires_grad else torch.zeros(1)
        if not gradient.abs().max() > 0:
            names.append(surrogate.name)
    return names


def _names(names: Sequence[str]) -> str:
    return " and ".join(names) if len(names) < 3 else f"{', '.join(names[:-1])} and {names[-1]}"
