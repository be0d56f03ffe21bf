"""The verdict on a photo: each face, each juror, the file as saved and as others will re-post it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from visard.audit.sight import CONDITIONS, called_cloaked, color_alike, embed_views, quality_crop, region, sights
from visard.face import Detector, Face, Pixels
from visard.measure import psnr, ssim
from visard.recognizer import Recognizer

VERDICT_CONDITIONS = {name: CONDITIONS[name] for name in ("as saved", "JPEG 75", "half size")}
"""What a verdict looks at: the posted file, and the two things that most sites do to it."""


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
class AdaptiveVerdict(JurorVerdict):
    """What a recognizer that was hardened against cloaks makes of one face under one condition, beside the jury;
    `cloaked`: whether it calls the published face cloaked, None where it has no detector."""

    cloaked: bool | None = None


@dataclass(frozen=True, slots=True)
class FaceVerdict:
    """The verdict on one face: `number` from 1, `box` in the original, all jurors' verdicts, how many `references`
    of the person it was compared with (0: the original itself), SSIM and PSNR (dB) of its 160 px crop; `adaptive`: the
    verdicts of hardened recognizers, which count for nothing here."""

    number: int
    box: tuple[float, float, float, float]
    jurors: tuple[JurorVerdict, ...]
    references: int
    ssim: float
    psnr: float
    adaptive: tuple[AdaptiveVerdict, ...] = ()

    @property
    def protected(self) -> bool | None:
        """Whether every juror misses the face under every condition; None when none has a say."""
        voices = [verdict for verdict in self.jurors if self.has_say(verdict)]
        return all(verdict.protected for verdict in voices) if voices else None

    @property
    def found(self) -> bool | None:
        """Whether the detector found the published face again, as saved; None when nobody was asked."""
        return next((one.found for one in (*self.jurors, *self.adaptive)), None)

    def has_say(self, verdict: JurorVerdict) -> bool:
        """Whether a juror's verdict proves anything: one that missed the person before the cloak does not."""
        return not self.references or verdict.before >= verdict.threshold

    def to_json(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "box": [round(v, 1) for v in self.box],
            "protected": self.protected,
            "found": self.found,
            "references": self.references,
            "ssim": round(self.ssim, 4),
            "psnr": round(self.psnr, 2) if np.isfinite(self.psnr) else None,
            "jurors": [{**verdict.to_json(), "has_say": self.has_say(verdict)} for verdict in self.jurors],
            "adaptive": [{**verdict.to_json(), "has_say": self.has_say(verdict)} for verdict in self.adaptive],
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
    adaptive: Sequence[Recognizer] = (),
) -> list[FaceVerdict]:
    """The verdict on `faces` of an `original` photo after it was `published`; pixels (H, W, C) uint8, same size.

    Each reference is another photo, whose largest face counts for the face of the original that it resembles most;
    faces without a reference are compared with the original itself. `adaptive`: recognizers that were hardened against
    cloaks, asked beside the jury. Raises ``PhotoError`` when the sizes differ, ``CalibrationError`` when a recognizer
    has no threshold at `fmr`.
    """
    original, published = color_alike(original, published)
    asked = [*jury, *adaptive]
    thresholds = {one.name: one.threshold(fmr).value for one in asked}
    looks = faces if asked else []
    befores = [sights(original, face, detector, VERDICT_CONDITIONS) for face in looks]
    afters = [sights(published, face, detector, VERDICT_CONDITIONS) for face in looks]
    views = [
        sight.view for pair in zip(befores, afters, strict=True) for both in zip(*pair, strict=True) for sight in both
    ]
    shape = (len(faces), len(VERDICT_CONDITIONS), 2, -1)
    embedded = {one.name: embed_views(one, views).view(shape) for one in asked if faces}
    called = {one.name: called_cloaked(one, [sight.view for row in afters for sight in row]) for one in adaptive}
    clean = {name: embeddings[:, 0, 0] for name, embeddings in embedded.items()}
    known = _assign(references, clean, len(faces), asked, detector)

    verdicts = []
    for i, face in enumerate(faces):
        rows, beside = [], []
        for name, embeddings in embedded.items():
            anchors = torch.stack(known[i][name] or [embeddings[i, 0, 0]])  # (K, D)
            similarities = (embeddings[i] @ anchors.T).amax(dim=-1)  # (conditions, 2)
            for k, (condition, sight, (before, after)) in enumerate(
                zip(VERDICT_CONDITIONS, afters[i], similarities.tolist(), strict=True)
            ):
                facts = name, condition, before, after, thresholds[name], fmr, sight.found
                if name in called:
                    beside.append(AdaptiveVerdict(*facts, called[name][i * len(VERDICT_CONDITIONS) + k]))
                else:
                    rows.append(JurorVerdict(*facts))
        a, b = quality_crop(original, face), quality_crop(published, face)
        count = len(next(iter(known[i].values()), []))
        number = numbers[i] if numbers is not None else i + 1
        verdicts.append(FaceVerdict(number, face.box, tuple(rows), count, ssim(a, b), psnr(a, b), tuple(beside)))
    return verdicts


def _assign(
    references: Sequence[Pixels], clean: dict[str, Tensor], count: int, asked: Sequence[Recognizer], detector: Detector
) -> list[dict[str, list[Tensor]]]:
    """Per face and recognizer, the embeddings (D,) of the references that show this person; `clean` (N, D) per
    recognizer."""
    known: list[dict[str, list[Tensor]]] = [{name: [] for name in clean} for _ in range(count)]
    for pixels in references:
        found = detector(pixels)
        if not found or not clean:
            continue
        embedded = {one.name: embed_views(one, [region(pixels, found[0])])[0] for one in asked}
        votes = torch.stack([clean[name] @ embedding for name, embedding in embedded.items()]).mean(dim=0)  # (N,)
        for name, embedding in embedded.items():
            known[int(votes.argmax())][name].append(embedding)
    return known
