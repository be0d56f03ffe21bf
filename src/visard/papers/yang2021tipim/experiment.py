"""Who is on which photo, the cloaks, and the search for them in a gallery."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from visard import photo
from visard.audit.sight import CONDITIONS, View, embed_views, quality_crop, region, sights
from visard.cloak import Faces, Task, find, impersonation
from visard.errors import AuditError, FaceError, PhotoError
from visard.face import Pixels, cut, paste
from visard.measure import psnr, ranks, ssim
from visard.papers.faces import judgeable
from visard.papers.rows import where
from visard.papers.study import Row, Study
from visard.recognizer import Recognizer

PARTS = ("ArcFace", "CosFace", "SphereFace")
SWEPT = PARTS[0]
"""The surrogate of the sweep over gamma."""

FMR = 1e-3
_TARGET = "a target"


@dataclass(frozen=True, slots=True)
class Size:
    """How much is run; `sums` and `means`: the gammas of the sweep under either reduction."""

    probes: int
    targets: int
    others: int
    steps: int
    batch: int
    sweep_probes: int
    sweep_steps: int
    sums: tuple[float, ...]
    means: tuple[float, ...]


@dataclass(frozen=True)
class Scene:
    """What does not change in a study: who plays the `parts`, and what they make of the clean photos. Everything is
    computed when it is first asked for."""

    study: Study
    size: Size
    parts: Mapping[str, Recognizer]

    @cached_property
    def people(self) -> list[Row]:
        """Whose photo has which role ("probe", "mate", "target", "other"), one row per photo."""
        return self.study.cell("people", lambda: chosen_people(self))

    def paths(self, *roles: str) -> list[str]:
        """The photos of the roles, role by role."""
        return [row["photo"] for role in roles for row in where(self.people, role=role)]

    @cached_property
    def probes(self) -> list[str]:
        return self.paths("probe")

    @cached_property
    def person(self) -> dict[str, str]:
        """By the photo."""
        return {row["photo"]: row["person"] for row in self.people}

    @cached_property
    def _views(self) -> dict[str, View]:
        return {}

    def view(self, path: str) -> View:
        """The face of a photo and its surroundings; raises ``PhotoError`` or ``FaceError`` when it has none."""
        if path not in self._views:
            pixels = photo.read(self.study.data / path).pixels
            found = self.study.detector(pixels)
            if not found:
                raise FaceError(f"{path}: no face was found.")
            self._views[path] = region(pixels, found[0])
        return self._views[path]

    @cached_property
    def searched(self) -> list[str]:
        """The name of each gallery photo's person; the targets share one."""
        mates, others = ([self.person[path] for path in self.paths(role)] for role in ("mate", "other"))
        return [*mates, *[_TARGET] * len(self.paths("target")), *others]

    @cached_property
    def gallery(self) -> dict[str, Tensor]:
        """The gallery's embeddings (G, D) by part."""
        views = [self.view(path) for path in self.paths("mate", "target", "other")]
        return {part: embed_views(one, views) for part, one in self.parts.items()}

    @cached_property
    def clean(self) -> dict[str, dict[str, Row]]:
        """What the search for the clean probes gives, by part and photo."""
        views = [self.view(path) for path in self.probes]
        return {part: dict(zip(self.probes, self.search(part, self.probes, views), strict=True)) for part in self.parts}

    def target_embeddings(self, part: str) -> Tensor:
        """(T, D)"""
        return self.gallery[part][torch.tensor([name == _TARGET for name in self.searched])]

    def search(self, part: str, probes: Sequence[str], views: Sequence[View]) -> list[Row]:
        """The best ranks of a target and of the mate, and the mate's cosine, when `part` looks at `views` of `probes`.

        Ties count against the cloak.
        """
        scores = (embed_views(self.parts[part], views) @ self.gallery[part].T).numpy()  # (P, G)
        people = [self.person[path] for path in probes]
        targets = ranks(scores, [_TARGET] * len(probes), self.searched)
        mates = ranks(scores, people, self.searched, ties="best")
        best = np.where(np.array(people)[:, None] == np.array(self.searched), scores, -np.inf).max(axis=1)
        return [
            {"target_rank": int(t), "mate_rank": int(m), "mate": float(c)}
            for t, m, c in zip(targets, mates, best, strict=True)
        ]


def chosen_people(scene: Scene) -> list[Row]:
    """Every k-th person by name with two photos that show a face is a probe; of the others every k-th is in the
    gallery, and among those every k-th a target. A person without a face gives way to the next."""
    size, dataset, data = scene.size, judgeable(scene.study), scene.study.data
    photos = {person: [path.relative_to(data).as_posix() for path in all_] for person, all_ in dataset.photos.items()}

    def shows_faces(person: str, count: int) -> bool:
        with suppress(PhotoError, FaceError):
            return all(scene.view(path) for path in photos[person][:count])
        return False

    several = [person for person in sorted(photos) if len(photos[person]) > 1]
    probes = _apart(several, size.probes, lambda person: shows_faces(person, 2))
    rest = sorted(set(photos) - set(probes))
    if len(probes) < size.probes or len(rest) < size.targets:
        raise AuditError(
            f"{dataset.name} has {len(several)} people with two photos and {len(photos)} in all; the study needs "
            f"{size.probes} and {size.targets} others, with faces that are found: give a larger dataset with --data."
        )
    searched = _apart(rest, min(len(rest), size.targets + size.others), lambda person: shows_faces(person, 1))
    targets = _apart(searched, size.targets, lambda _: True)
    others = [person for person in searched if person not in targets]
    return [
        {"role": role, "person": person, "photo": photos[person][which]}
        for role, people, which in (
            ("probe", probes, 0), ("mate", probes, 1), ("target", targets, 0), ("other", others, 0),
        )
        for person in people
    ]  # fmt: skip


def _apart(names: Sequence[str], count: int, usable: Callable[[str], bool]) -> list[str]:
    """`count` of `names`, every k-th or the next that is `usable` before the one after; fewer where there is none."""
    apart = len(names) // max(1, count)
    firsts = range(0, apart * count, apart) if apart else ()
    found = [next((name for name in names[first : first + apart] if usable(name)), None) for first in firsts]
    return [name for name in found if name is not None]


def matrix_rows(scene: Scene) -> list[Row]:
    """The trials of every surrogate against every recognizer, at gamma 0."""
    size, found = scene.size, []
    for part in scene.parts:
        for first in range(0, len(scene.probes), size.batch):
            probes = scene.probes[first : first + size.batch]
            compute = partial(trials, scene, part, probes, size.steps)
            found += scene.study.cell(f"matrix {part} {first + 1}-{first + len(probes)}", compute)
    return found


def sweep_rows(scene: Scene) -> list[Row]:
    """The trials of the sweep over gamma, on fewer probes and steps."""
    size, found = scene.size, []
    apart = max(1, len(scene.probes) // size.sweep_probes)
    probes = scene.probes[::apart][: size.sweep_probes]
    for reduction, gammas in (("sum", size.sums), ("mean", size.means)):
        for gamma in gammas:
            compute = partial(trials, scene, SWEPT, probes, size.sweep_steps, gamma=gamma, reduction=reduction)
            found += scene.study.cell(f"gamma {gamma:g} {reduction}", compute)
    return found


def trials(
    scene: Scene, part: str, probes: Sequence[str], steps: int, *, gamma: float = 0.0, reduction: str = "sum"
) -> list[Row]:
    """`probes` cloaked on the recognizer of `part` and searched for by all: a row per probe and recognizer."""
    views, surrogate = [scene.view(path) for path in probes], scene.parts[part]
    targets = scene.target_embeddings(part)
    cloaks = cloaked(views, surrogate, targets, steps=steps, gamma=gamma, reduction=reduction)
    as_saved = {"as saved": CONDITIONS["as saved"]}
    looks: list[Row] = []
    seen = []
    for path, (clean, face), cloak in zip(probes, views, cloaks, strict=True):
        (sight,) = sights(cloak, face, scene.study.detector, as_saved)
        crops = quality_crop(clean, face), quality_crop(cloak, face)
        seen.append(sight.view)
        looks.append(
            {
                "person": scene.person[path],
                "photo": path,
                "surrogate": part,
                "gamma": float(gamma),
                "reduction": reduction,
                "as_sum": float(gamma * (surrogate.card.dim if reduction == "mean" else 1)),
                "found": sight.found,
                "psnr": psnr(*crops),
                "ssim": ssim(*crops),
            }
        )
    found = []
    for judge, recognizer in scene.parts.items():
        threshold = recognizer.card.valid_thresholds.get(FMR)
        for look, hit in zip(looks, scene.search(judge, probes, seen), strict=True):
            clean_hit = {f"clean_{name}": value for name, value in scene.clean[judge][look["photo"]].items()}
            found.append({**look, "judge": judge, "threshold": threshold and threshold.value, **clean_hit, **hit})
    return found


def cloaked(views: Sequence[View], surrogate: Recognizer, targets: Tensor, **settings: Any) -> list[Pixels]:
    """The pictures of `views` after TIP-IM toward `targets` (T, D), rounded to 8 bits as a lossless file keeps them."""
    patches = [cut(pixels, [face]) for pixels, face in views]
    results: dict[int, Pixels] = {}
    for shape in dict.fromkeys(patch.pixels.shape for patch in patches):
        alike = [i for i, patch in enumerate(patches) if patch.pixels.shape == shape]
        pixels, frames, mask = (
            torch.cat([getattr(patches[i], name) for i in alike]) for name in ("pixels", "frames", "mask")
        )
        objective = impersonation([surrogate], [targets])
        task = Task(Faces(pixels, frames), objective, mask, surrogates=[surrogate], targets=[targets])
        for i, change in zip(alike, find("tip-im").cloak(task, **settings), strict=True):
            results[i] = paste(views[i][0], patches[i], change[None])
    return [results[i] for i in range(len(views))]
