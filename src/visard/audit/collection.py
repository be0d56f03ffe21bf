"""A collection: which protected photo belongs to which original, whose face it shows, and what each juror sees."""

import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import visard
from visard import photo
from visard.audit.sight import CONDITIONS, color_alike, embed_views, quality_crop, sights
from visard.errors import AuditError, FaceError, NoFaceError, PhotoError, WriteError
from visard.face import Detector, Face, Pixels
from visard.measure import ciede2000, psnr, ssim, visibility
from visard.recognizer import Recognizer
from visard.recognizer.card import file_sha256

MARK = ".visard"
SECOND_DETECTOR = "second detector"
QUALITIES: dict[str, Callable[[Any, Any], float]] = {
    "ssim": ssim,
    "psnr": psnr,
    "ciede2000": ciede2000,
    "visibility": visibility,
}
"""Measured on the 160 px crop of the face, between the original and the protected file as saved."""

_PREPROCESSING = ("format", "input", "crop", "mean", "std", "channels")

Array = NDArray[Any]
Skipped = Callable[[Path, str], None]


@dataclass(frozen=True, slots=True)
class Picture:
    """One photo of a collection: `person` (its first folder), `key` (its path without mark and suffix), `path`."""

    person: str
    key: str
    path: Path


@dataclass(frozen=True, slots=True)
class Pair:
    """A photo before and after."""

    original: Picture
    protected: Picture


@dataclass(frozen=True, slots=True)
class Lens:
    """Who looks: the `jury`, the `detector` under its name, a `second` detector if there is one; and which `qualities`
    of the protected photo are measured."""

    jury: tuple[Recognizer, ...]
    detector: Detector
    detector_name: str
    second: Detector | None = None
    second_name: str = ""
    qualities: Mapping[str, Callable[[Any, Any], float]] = field(default_factory=lambda: QUALITIES)

    @property
    def conditions(self) -> list[str]:
        return [*CONDITIONS, *([SECOND_DETECTOR] if self.second else [])]

    def fingerprint(self) -> list[Any]:
        """Everything but the photo that decides what is seen."""
        return [
            visard.__version__,
            sorted([j.name, j.card.sha256, *(getattr(j.card, key) for key in _PREPROCESSING)] for j in self.jury),
            self.detector_name,
            self.second_name,
            self.conditions,
            list(self.qualities),
        ]


class Look(NamedTuple):
    """What the jury sees of one face: unit `embeddings` (C, D) by juror, `found` (C,): whether the detector found the
    face by itself, and, of a protected photo, its `quality` by measure."""

    embeddings: dict[str, Array]
    found: Array
    quality: dict[str, float]


def pictures(folder: Path) -> list[Picture]:
    """The photos of a folder that has one folder per person; raises ``AuditError`` when there are none."""
    found = []
    for path in photo.find(folder):
        below = path.relative_to(folder)
        if len(below.parts) > 1:
            stem = below.stem.removesuffix(MARK)
            found.append(Picture(below.parts[0], (below.parent / stem).as_posix(), path))
    if not found:
        raise AuditError(f"{folder} holds no photos in folders of people; lay it out as PERSON/photo.jpg.")
    return found


def pair_up(original: Path, protected: Path) -> tuple[list[Pair], list[Picture]]:
    """The pairs of two folders, by path up to ``.visard`` and the suffix, and the photos of both without a partner.

    Raises ``AuditError`` when nothing matches, two photos of a folder have one name, or one folder holds the other.
    """
    inside, outside = original.resolve(), protected.resolve()
    if inside in outside.parents or outside in inside.parents:
        raise AuditError(f"{original} and {protected} lie in each other; move one of them out.")
    before, after = (by_key(folder) for folder in (original, protected))
    pairs = [Pair(picture, after[key]) for key, picture in before.items() if key in after]
    if not pairs:
        raise AuditError(
            f"No photo of {protected} has the name of one in {original} (the first are {min(after)} and "
            f"{min(before)}); give folders with the same people and file names."
        )
    alone = [before[key] for key in before if key not in after] + [after[key] for key in after if key not in before]
    return pairs, alone


def by_key(folder: Path) -> dict[str, Picture]:
    """The photos of a folder by their keys; raises ``AuditError`` where two have one."""
    found: dict[str, Picture] = {}
    for picture in pictures(folder):
        if picture.key in found:
            raise AuditError(f"{found[picture.key].path} and {picture.path} have one name; keep one of them.")
        found[picture.key] = picture
    return found


class Looks:
    """Looks at photos, each once: what was seen is kept in the folder `cache`, so that a broken run goes on."""

    def __init__(self, lens: Lens, cache: Path, skipped: Skipped = lambda _path, _reason: None) -> None:
        self.lens, self.cache, self.skipped = lens, cache, skipped
        # of originals, which every set of protected photos asks for
        self.faces: dict[Path, Face] = {}
        self.hashes: dict[Path, str] = {}
        try:
            cache.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WriteError(f"The folder {cache} could not be made: {error.strerror}; choose another.") from error

    def clean(self, path: Path) -> Look | None:
        """The largest face of a photo, or None when there is none; `skipped` heard why."""
        return self._kept([self.sha256(path)], path, lambda: self._clean(path))

    def protected(self, pair: Pair) -> Look | None:
        """The same face in the protected photo, sought where it was in the original."""
        hashes = [self.sha256(pair.original.path), self.sha256(pair.protected.path)]
        return self._kept(hashes, pair.protected.path, lambda: self._protected(pair))

    def sha256(self, path: Path) -> str:
        """A photo's hash; each is read for it once."""
        if path not in self.hashes:
            self.hashes[path] = file_sha256(path)
        return self.hashes[path]

    def _clean(self, path: Path) -> Look:
        pixels = photo.read(path).pixels
        return self._see(path, pixels, self._face(pixels, path), {})

    def _protected(self, pair: Pair) -> Look:
        before, after = photo.read(pair.original.path).pixels, photo.read(pair.protected.path).pixels
        face = self._face(before, pair.original.path)
        before, after = color_alike(before, after)
        a, b = quality_crop(before, face), quality_crop(after, face)
        if a.shape[-1] == 1:
            a, b = np.repeat(a, 3, axis=-1), np.repeat(b, 3, axis=-1)
        quality = {name: measure(a, b) for name, measure in self.lens.qualities.items()}
        return self._see(pair.protected.path, after, face, quality)

    def _face(self, pixels: Pixels, path: Path) -> Face:
        if path not in self.faces:
            found = self.lens.detector(pixels)
            if not found:
                raise NoFaceError(f"{path}: no face was found.")
            self.faces[path] = found[0]
        return self.faces[path]

    def _see(self, path: Path, pixels: Pixels, face: Face, quality: dict[str, float]) -> Look:
        seen = sights(pixels, face, self.lens.detector, CONDITIONS)
        if self.lens.second is not None:
            seen += sights(pixels, face, self.lens.second, {SECOND_DETECTOR: CONDITIONS["as saved"]})
        views = [sight.view for sight in seen]
        embeddings = {juror.name: embed_views(juror, views).numpy() for juror in self.lens.jury}
        for name, values in embeddings.items():
            if not np.isfinite(values).all():
                raise AuditError(f"{name} gives no finite embedding of {path}; name a jury without it with --jury.")
        return Look(embeddings, np.array([sight.found for sight in seen]), quality)

    def _kept(self, hashes: Sequence[str], path: Path, look: Callable[[], Look]) -> Look | None:
        name = hashlib.sha256(json.dumps([hashes, self.lens.fingerprint()]).encode()).hexdigest()
        file = self.cache / f"{name}.npz"
        if (kept := _read(file)) is not None:
            return kept
        try:
            seen = look()
        except (PhotoError, FaceError) as error:  # the photo's fault; a recognizer's ends the audit
            self.skipped(path, str(error))
            return None
        _write(file, seen)
        return seen


def _read(file: Path) -> Look | None:
    try:
        with file.open("rb") as stream, np.load(stream) as content:
            arrays = dict(content)
        found = arrays["found"]
    except (OSError, ValueError, EOFError, KeyError, TypeError, zipfile.BadZipFile):
        return None  # not there, or damaged: look again
    return Look(_named(arrays, "embedding/"), found, {k: float(v) for k, v in _named(arrays, "quality/").items()})


def _named(arrays: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    return {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}


def _write(file: Path, look: Look) -> None:
    arrays: dict[str, Any] = {f"embedding/{name}": values for name, values in look.embeddings.items()}
    arrays |= {f"quality/{name}": np.float64(value) for name, value in look.quality.items()}
    try:
        handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=".look-")
        try:
            with os.fdopen(handle, "wb") as stream:
                np.savez(stream, found=look.found, **arrays)
            Path(temporary).replace(file)
        finally:
            Path(temporary).unlink(missing_ok=True)
    except OSError as error:
        raise WriteError(f"{file.parent} may not be written to ({error.strerror}); choose another folder.") from error
