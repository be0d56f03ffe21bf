"""The verdict on a photo: each face, each juror, the file as saved and as others will re-post it."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from visard.errors import PhotoError
from visard.face import Detector, Face, Pixels, Template, find_again, warp
from visard.face.template import compose
from visard.measure import psnr, ssim
from visard.photo import jpeg_round_trip, resize
from visard.recognizer import Recognizer

CONDITIONS: dict[str, Callable[[Pixels], Pixels]] = {
    "as saved": lambda pixels: pixels,
    "JPEG 75": lambda pixels: jpeg_round_trip(pixels, 75),
    "half size": lambda pixels: resize(pixels, 0.5),
}
"""What happens to a posted photo before a juror sees it."""

# the face with its surroundings, 160 px: the crop on which visibility is measured
QUALITY_CROP = Template((160, 160), (-24, -24, 136, 136))
_SURROUNDINGS = 2.0  # sides of the face on each side of it: what a detector gets to see
_JPEG_GRID = 16
_BATCH = 32


@dataclass(frozen=True, slots=True)
class JurorVerdict:
    """What one juror makes of one face under one condition.

    `before` and `after`: the largest cosine in [-1, 1] of the original's and of the published face to the
    references, both under the condition; `threshold` with its `fmr`; `found`: whether the detector found the
    published face again (if not, the original's landmarks align it).
    """

    juror: str
    condition: str
    before: float
    after: float
    threshold: float
    fmr: float
    found: bool

    @property
    def protected(self) -> bool:
        """Whether the juror no longer matches the face: `after` is below the threshold."""
        return self.after < self.threshold

    def to_json(self) -> dict[str, Any]:
        values = {key: round(v, 4) if isinstance(v, float) else v for key, v in asdict(self).items()}
        return {**values, "fmr": self.fmr, "protected": self.protected}


@dataclass(frozen=True, slots=True)
class FaceVerdict:
    """The verdict on one face: `number` from 1, `box` in the original, all jurors' verdicts, how many `references`
    of the person it was compared with (0: the original itself), SSIM and PSNR (dB) of its 160 px crop."""

    number: int
    box: tuple[float, float, float, float]
    jurors: tuple[JurorVerdict, ...]
    references: int
    ssim: float
    psnr: float

    @property
    def protected(self) -> bool | None:
        """Whether every juror misses the face under every condition; None when none has a say."""
        voices = [verdict for verdict in self.jurors if self.has_say(verdict)]
        return all(verdict.protected for verdict in voices) if voices else None

    def has_say(self, verdict: JurorVerdict) -> bool:
        """Whether a juror's verdict proves anything: one that missed the person before the cloak does not."""
        return not self.references or verdict.before >= verdict.threshold

    def to_json(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "box": [round(v, 1) for v in self.box],
            "protected": self.protected,
            "references": self.references,
            "ssim": round(self.ssim, 4),
            "psnr": round(self.psnr, 2) if np.isfinite(self.psnr) else None,
            "jurors": [{**verdict.to_json(), "has_say": self.has_say(verdict)} for verdict in self.jurors],
        }


def judge(
    original: Pixels,
    published: Pixels,
    faces: Sequence[Face],
    jury: Sequence[Recognizer],
    detector: Detector,
    *,
    fmr: float = 1e-3,
    references: Sequence[Pixels] = (),
    numbers: Sequence[int] | None = None,
) -> list[FaceVerdict]:
    """The verdict on `faces` of an `original` photo after it was `published`; pixels (H, W, C) uint8, same size.

    Each reference is another photo, whose largest face counts for the face of the original that it resembles most;
    faces without a reference are compared with the original itself. Raises ``PhotoError`` when the sizes differ,
    ``CalibrationError`` when a juror has no threshold at `fmr`.
    """
    if original.shape[:2] != published.shape[:2]:
        (h, w), (h2, w2) = original.shape[:2], published.shape[:2]
        raise PhotoError(f"The photos differ in size, {w} x {h} and {w2} x {h2}: give the same photo before and after.")
    if original.shape != published.shape:  # a gray photo that became a color file, or the other way round
        original, published = (np.repeat(p, 3 // p.shape[2], axis=2) for p in (original, published))
    thresholds = {juror.name: juror.threshold(fmr).value for juror in jury}
    sights = [_sights(original, published, face, detector) for face in faces] if jury else []
    views = [view for face_sights in sights for sight in face_sights for view in (sight.before, sight.after)]
    shape = (len(faces), len(CONDITIONS), 2, -1)
    embedded = {juror.name: _embed(juror, views).view(shape) for juror in jury if faces}
    clean = {name: embeddings[:, 0, 0] for name, embeddings in embedded.items()}
    known = _assign(references, clean, len(faces), jury, detector)

    verdicts = []
    for i, face in enumerate(faces):
        rows = []
        for name, embeddings in embedded.items():
            anchors = torch.stack(known[i][name] or [embeddings[i, 0, 0]])  # (K, D)
            similarities = (embeddings[i] @ anchors.T).amax(dim=-1)  # (conditions, 2)
            for condition, sight, (before, after) in zip(CONDITIONS, sights[i], similarities.tolist(), strict=True):
                rows.append(JurorVerdict(name, condition, before, after, thresholds[name], fmr, sight.found))
        a, b = quality_crop(original, face), quality_crop(published, face)
        count = len(next(iter(known[i].values()), []))
        number = numbers[i] if numbers is not None else i + 1
        verdicts.append(FaceVerdict(number, face.box, tuple(rows), count, ssim(a, b), psnr(a, b)))
    return verdicts


def quality_crop(pixels: Pixels, face: Face) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The face with its surroundings, (160, 160, C) in [0, 1], on which visibility is measured."""
    region, moved = _region(pixels, face)
    mapping = torch.from_numpy(compose(moved.frame, QUALITY_CROP.to_canonical)).float()[None]
    return warp(_tensor(region), mapping, QUALITY_CROP.size)[0].permute(1, 2, 0).numpy()


View = tuple[Pixels, Face]


class _Sight(NamedTuple):
    """A face's surroundings before and after, and whether the detector found the face again after."""

    before: View
    after: View
    found: bool


def _sights(original: Pixels, published: Pixels, face: Face, detector: Detector) -> list[_Sight]:
    """What there is to see of a face under each of the conditions."""
    clean, known = _region(original, face)
    cloaked, _ = _region(published, face)
    sights = []
    for happen in CONDITIONS.values():
        before, after = happen(clean), happen(cloaked)
        place = known.moved(before.shape[1] / clean.shape[1])
        again = find_again(after, place, detector)
        sights.append(
            _Sight((before, find_again(before, place, detector) or place), (after, again or place), again is not None)
        )
    return sights


def _region(pixels: Pixels, face: Face) -> View:
    """The face's surroundings, cut on JPEG's grid so that re-compressing or halving them is doing so to the photo."""
    height, width = pixels.shape[:2]
    x0, y0, x1, y1 = face.box
    reach = max(face.size, x1 - x0, y1 - y0) * (0.5 + _SURROUNDINGS)
    cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
    left, top = (max(0, int((c - reach) // _JPEG_GRID) * _JPEG_GRID) for c in (cx, cy))
    right, bottom = (
        min(end, int(-(-(c + reach) // _JPEG_GRID)) * _JPEG_GRID) for c, end in ((cx, width), (cy, height))
    )
    return pixels[top:bottom, left:right], face.moved(shift=(-float(left), -float(top)))


def _assign(
    references: Sequence[Pixels], clean: dict[str, Tensor], count: int, jury: Sequence[Recognizer], detector: Detector
) -> list[dict[str, list[Tensor]]]:
    """Per face and juror, the embeddings (D,) of the references that show this person; `clean` (N, D) per juror."""
    known: list[dict[str, list[Tensor]]] = [{name: [] for name in clean} for _ in range(count)]
    for pixels in references:
        found = detector(pixels)
        if not found or not clean:
            continue
        embedded = {juror.name: _embed(juror, [_region(pixels, found[0])])[0] for juror in jury}
        votes = torch.stack([clean[name] @ embedding for name, embedding in embedded.items()]).mean(dim=0)  # (N,)
        for name, embedding in embedded.items():
            known[int(votes.argmax())][name].append(embedding)
    return known


def _embed(recognizer: Recognizer, views: Sequence[View]) -> Tensor:
    """The embeddings (M, D) of faces in their surroundings, in bounded batches."""
    batches = []
    with torch.no_grad():
        for start in range(0, len(views), _BATCH):
            aligned = [
                recognizer.align(_tensor(pixels), torch.from_numpy(face.frame).float()[None])
                for pixels, face in views[start : start + _BATCH]
            ]
            batches.append(recognizer.embed(torch.cat(aligned)))
    return torch.cat(batches)


def _tensor(pixels: Pixels) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float() / 255
