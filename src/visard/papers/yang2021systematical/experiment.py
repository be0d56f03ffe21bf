"""The trainings, what every job makes of the probes, and what the recognizers see in that."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Generator, Tensor

from visard import photo
from visard.audit.sight import CONDITIONS, View, embed_views, quality_crop, region, sights
from visard.cloak import Faces, Method, Task, dodging, find, mirrored_anchors
from visard.errors import AuditError, CloakError, WriteError
from visard.face import cut, paste, to_template
from visard.generator import SUFFIX, steps_of, train
from visard.generator.course import Course
from visard.generator.latent import (
    EYES,
    Disentangled,
    DisentangleSettings,
    DisentangleTraining,
    Landmarker,
    LatentCloakTraining,
    LatentSettings,
    parse_disentangled,
    replacing,
    shipped_disentangled,
    shipped_landmarks,
)
from visard.generator.latent.cloak import LatentCloak, parse_latent_cloak
from visard.generator.latent.losses import ms_ssim_to
from visard.generator.stylegan import FaceGenerator
from visard.measure import kid, ranks, ssim
from visard.measure.inception import Inception, inception_features
from visard.measure.perceptual import LPIPS
from visard.papers.faces import judgeable
from visard.papers.study import Row, Study
from visard.recognizer import Recognizer

IDENTITY = "identity"
JURY = ("juror 1", "juror 2")
"""The first one's embeddings are also the features of KID, where the weights of Inception-V3 are not there."""
PARTS = (IDENTITY, *JURY)
FMR = 1e-3

SMALL_STEP, LARGE_STEP, MAPPER = "FGSM .03", "FGSM .1", "adversarial mapper"
RECONSTRUCTION, SWAP, STRANGER = "reconstruction", "face swap", "another person"
CLOAKS = (SMALL_STEP, LARGE_STEP, MAPPER)
MATES = "mates"
"""Other photos of the same people: how far real photos are from one another."""
JOBS = (*CLOAKS, RECONSTRUCTION, SWAP, STRANGER)
_EPS = {SMALL_STEP: 0.03, LARGE_STEP: 0.1}
_BATCH = 16
_EVERY = 50  # steps between two lines on a training


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is computed: of how many `people` a photo is changed, how many `steps` the disentanglement and the
    adversarial mapper are trained, with which settings beside the defaults."""

    people: int
    steps: tuple[int, int]
    disentangle: Mapping[str, Any]
    mapper: Mapping[str, Any]


@dataclass(frozen=True)
class Scene:
    """What does not change in a study; everything is computed when it is first asked for, and kept. `landmarks`: by
    whose points expressions are compared."""

    study: Study
    effort: Effort
    parts: Mapping[str, Recognizer]
    generator: FaceGenerator
    lpips: LPIPS | None = None
    inception: Inception | None = None
    landmarks: Landmarker = field(default_factory=shipped_landmarks)

    @cached_property
    def people(self) -> list[Row]:
        """A "probe_photo" and a "mate_photo" of each person, both with a face, a row a person."""
        return self.study.cell("people", lambda: chosen_people(self))

    @cached_property
    def _views(self) -> dict[str, View | None]:
        return {}

    def view(self, path: str) -> View | None:
        """The largest face of a photo and its surroundings, None when it has none."""
        if path not in self._views:
            pixels = photo.read(self.study.data / path).pixels
            pixels = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
            found = self.study.detector(pixels)
            self._views[path] = region(pixels, found[0]) if found else None
        return self._views[path]

    def views(self, kind: Literal["probe", "mate"]) -> list[View]:
        """Of all probes, or of all mates."""
        found = [self.view(row[f"{kind}_photo"]) for row in self.people]
        return [one for one in found if one is not None]

    @cached_property
    def disentangled(self) -> Disentangled:
        """What comes with visard, where that was trained with the same identity encoder and is not for a quick run;
        else trained here, on faces that the generator draws."""
        if not self.study.quick and self._shipped_fits():
            return shipped_disentangled()
        path, steps = self._model("disentangled"), self.effort.steps[0]

        def course() -> DisentangleTraining:
            settings = DisentangleSettings(**self.effort.disentangle)
            return DisentangleTraining(
                settings, self.generator, self.parts[IDENTITY], shipped_landmarks(), self.study.seed
            )

        self._trained(path, steps, course)
        return parse_disentangled(path.read_bytes(), str(path), self.parts[IDENTITY])

    def _shipped_fits(self) -> bool:
        try:
            mine = self.parts[IDENTITY].card.sha256, self.generator.sha256
            return (shipped_disentangled().identity.card.sha256, shipped_disentangled().generator.sha256) == mine
        except CloakError:  # its recognizer is not here
            return False

    @cached_property
    def mapper(self) -> LatentCloak:
        """Trained here, against the recognizer that is the identity encoder."""
        path, steps, made = self._model("mapper"), self.effort.steps[1], self.disentangled

        def course() -> LatentCloakTraining:
            settings = LatentSettings(**self.effort.mapper)
            identity = [self.parts[IDENTITY]]
            return LatentCloakTraining(settings, made, identity, shipped_landmarks(), self.study.seed)

        self._trained(path, steps, course)
        return parse_latent_cloak(path.read_bytes(), str(path), self.parts[IDENTITY])

    def _model(self, name: str) -> Path:
        folder = self.study.out / "models"
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise WriteError(f"The folder {folder} could not be made: {error.strerror}; choose another.") from error
        return folder / f"{name}{SUFFIX}"

    def _trained(self, path: Path, steps: int, course: Callable[[], Course[Any]]) -> None:
        if path.is_file() and steps_of(path) >= steps:
            return
        self.study.watch(f"training {path.stem}, {steps} steps")

        def told(step: int, row: Mapping[str, float]) -> None:
            if step % _EVERY == 0:
                terms = ", ".join(f"{name} {value:.3g}" for name, value in row.items())
                self.study.watch(f"{path.stem}, step {step}: {terms}")

        train(course(), path, steps, watch=told)

    @cached_property
    def _changed(self) -> dict[str, list[Any]]:
        return {}

    def changed(self, job: str) -> list[Any]:
        """The surroundings of every probe's face after the job, (H, W, 3), rounded as a lossless file keeps them."""
        if job not in self._changed:
            self._changed[job] = _changed(self, job)
        return self._changed[job]

    @cached_property
    def crops(self) -> Tensor:
        """The probes' faces as the generator cuts them, (N, 3, s, s) in [0, 1]."""
        template = self.generator.template
        cuts = [to_template(*_framed(view), template) for view in self.views("probe")]
        return torch.cat(cuts).clamp(0, 1)

    def method(self, job: str, probes: Sequence[int]) -> tuple[Method, dict[str, Any]]:
        """What does a job for these of the probes, with its settings; a swap puts the person before in their place."""
        if job in _EPS:
            return find("fgsm"), {"eps": _EPS[job]}
        if job == MAPPER:
            return self.mapper.method(), {}
        whole, template = self.disentangled, self.disentangled.template
        sources: dict[str, Callable[[Tensor, Generator], Tensor]] = {
            RECONSTRUCTION: lambda crops, _random: whole.made(crops, crops),
            SWAP: lambda crops, _random: whole.made(self.crops[[i - 1 for i in probes]], crops),
            STRANGER: whole.strangers,
        }
        return replacing(sources[job], template, job), {}


def chosen_people(scene: Scene) -> list[Row]:
    """The first people by name with two photos that show a face, every k-th so that the alphabet is spanned."""
    dataset, data, wanted = judgeable(scene.study), scene.study.data, scene.effort.people
    several = [person for person in sorted(dataset.photos) if len(dataset.photos[person]) > 1]
    apart = max(1, len(several) // wanted)
    found: list[Row] = []
    for first in range(0, len(several), apart):
        for person in several[first : first + apart]:
            probe, mate = (path.relative_to(data).as_posix() for path in dataset.photos[person][:2])
            if scene.view(probe) and scene.view(mate):
                found.append({"person": person, "probe_photo": probe, "mate_photo": mate})
                break
        if len(found) == wanted:
            return found
    raise AuditError(
        f"{dataset.name} has {len(several)} people with two photos, of whom {len(found)} show their faces; the study "
        f"needs {wanted}: give a larger dataset with --data."
    )


def job_rows(scene: Scene, job: str) -> list[Row]:
    """What a job makes of every probe: a row per probe and recognizer."""
    name = job if scene.landmarks is shipped_landmarks() else f"{job}, landmarks by {scene.landmarks.sha256[:8]}"
    return scene.study.cell(name, partial(_computed, scene, job))


def distance_rows(scene: Scene) -> list[Row]:
    """The kernel distance of each job's pictures to the probes, and of the mates, in rows by job."""
    inception = scene.inception
    by = f"embeddings of {JURY[0]}" if inception is None else f"Inception-V3 ({inception.variant})"
    return scene.study.cell(f"distances by {by}", partial(_distances, scene))


def _changed(scene: Scene, job: str) -> list[Any]:
    identity = scene.parts[IDENTITY]
    views = scene.views("probe")
    patches = [cut(pixels, [face]) for pixels, face in views]
    results: dict[int, Any] = {}
    random = scene.study.generator(job)
    for shape in dict.fromkeys(patch.pixels.shape for patch in patches):
        alike = [i for i, patch in enumerate(patches) if patch.pixels.shape == shape]
        for start in range(0, len(alike), _BATCH):
            some = alike[start : start + _BATCH]
            pixels, frames, mask = (
                torch.cat([getattr(patches[i], name) for i in some]) for name in ("pixels", "frames", "mask")
            )
            faces = Faces(pixels, frames)
            objective = dodging([identity], mirrored_anchors([identity], faces))
            method, settings = scene.method(job, some)
            task = Task(faces, objective, mask, random, surrogates=[identity])
            for i, change in zip(some, method.cloak(task, **settings), strict=True):
                results[i] = paste(views[i][0], patches[i], change[None])
    return [results[i] for i in range(len(views))]


def _computed(scene: Scene, job: str) -> list[Row]:
    clean, mates = scene.views("probe"), scene.views("mate")
    names = [row["person"] for row in scene.people]
    changed = scene.changed(job)
    seen = [
        sights(pixels, face, scene.study.detector, {"as saved": CONDITIONS["as saved"]})[0]
        for pixels, (_, face) in zip(changed, clean, strict=True)
    ]
    views = [one.view for one in seen]
    looks = [_look(scene, before, after) for before, after in zip(clean, changed, strict=True)]
    # where the eyes and the mouth are in the photo, whatever the detector makes of it
    after = [(pixels, face) for pixels, (_, face) in zip(changed, clean, strict=True)]
    moved = displacement(scene.landmarks, after, clean)
    rows: list[Row] = []
    for part, recognizer in scene.parts.items():
        threshold = recognizer.card.valid_thresholds.get(FMR)
        result, own, gallery = (embed_views(recognizer, some) for some in (views, clean, mates))
        scores, before = (result @ gallery.T).numpy(), (own @ gallery.T).numpy()
        placed, placed_before = (ranks(s, names, names) for s in (scores, before))
        wanted = own.roll(1, dims=0) if job == SWAP else own
        rows.extend(
            {
                "job": job,
                "person": name,
                "part": part,
                "found": seen[i].found,
                **looks[i],
                "moved": float(moved[i]),
                "own": float(result[i] @ own[i]),
                "wanted": float(result[i] @ wanted[i]),
                "mate": float(scores[i, i]),
                "clean_mate": float(before[i, i]),
                "rank": int(placed[i]),
                "clean_rank": int(placed_before[i]),
                "threshold": threshold and threshold.value,
            }
            for i, name in enumerate(names)
        )
    return rows


def _look(scene: Scene, before: View, after: Any) -> Row:
    """How far a picture is from what it was, on the 160 px crop."""
    pair = quality_crop(*before), quality_crop(after, before[1])
    clean, changed = (torch.from_numpy(one).permute(2, 0, 1)[None].float() for one in pair)
    with torch.no_grad():
        lpips = None if scene.lpips is None else float(scene.lpips(clean, changed))
        return {"ssim": ssim(*pair), "ms_ssim": float(ms_ssim_to(clean)(changed)), "lpips": lpips}


def displacement(landmarks: Landmarker, views: Sequence[View], others: Sequence[View]) -> np.ndarray[Any, Any]:
    """How far the landmarks of faces are from those of others, means over the points, as shares of the distance of
    the eyes, (N,)."""
    found, wanted = (torch.cat([landmarks.points(Faces(*_framed(view))) for view in some]) for some in (views, others))
    left, right = (wanted[:, eye].mean(dim=1) for eye in EYES)
    between = (left - right).norm(dim=1)
    distances: np.ndarray[Any, Any] = ((found - wanted).norm(dim=2).mean(dim=1) / between).detach().numpy()
    return distances


def _framed(view: View) -> tuple[Tensor, Tensor]:
    pixels, face = view
    image = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float() / 255
    return image, torch.from_numpy(face.frame)[None].float()


def _distances(scene: Scene) -> list[Row]:
    clean = _features(scene, scene.views("probe"))
    faces = [face for _, face in scene.views("probe")]
    sets = {job: list(zip(scene.changed(job), faces, strict=True)) for job in JOBS} | {MATES: scene.views("mate")}
    rows = []
    for name, views in sets.items():
        # of halves: subsets of all would always be the same
        found = kid(_features(scene, views), clean, subset_size=max(2, len(clean) // 2))
        rows.append({"job": name, "kid": found.value, "error": found.standard_error, "n": len(views)})
    return rows


def _features(scene: Scene, views: Sequence[View]) -> Any:
    """Inception's of the 160 px crops (N, D), or the juror's embeddings, each number of unit variance, as the kernel
    expects of features."""
    if scene.inception is not None:
        crops = np.stack([quality_crop(*view) for view in views])
        return inception_features(scene.inception, torch.from_numpy(crops).permute(0, 3, 1, 2)).numpy()
    found = embed_views(scene.parts[JURY[0]], views)
    return (found * found.shape[1] ** 0.5).numpy()
