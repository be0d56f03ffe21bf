"""People made of numbers, so that an audit's every figure is known: embeddings by angle, faces by color."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from rig import Eye, save
from visard.audit.collection import QUALITIES, Lens, Look
from visard.audit.findings import Protected
from visard.audit.sight import CONDITIONS
from visard.audit.trials import Gallery, Seen, own_photos, stack
from visard.face import Pixels, aligned_crop
from visard.recognizer import Card, Recognizer, Threshold

FAR = 0.3  # the threshold of `juror` at FMR 1e-2
NEAR = 0.5  # ... and at 1e-3
SIDE = 112


def at(*degrees: float) -> NDArray[np.float32]:
    """Unit vectors (N, 2) at angles: the cosine of two is that of the angle between them."""
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=-1).astype(np.float32)


def juror(
    name: str = "colors", network: nn.Module | None = None, *, sha256: str = "", origin: str = "", near: float = NEAR
) -> Recognizer:
    """A recognizer that sees colors, with thresholds at both false match rates of an audit."""
    own = sha256 or name
    thresholds = tuple(Threshold(f, v, 40_000, 300, "made", own, 0.25) for f, v in ((1e-2, FAR), (1e-3, near)))
    card = Card(
        name=name, format="onnx", file="none", sha256=own, input=(SIDE, SIDE), crop=(0, 0, SIDE, SIDE),
        mean=(0, 0, 0), std=(255, 255, 255), dim=192, origin=origin, thresholds=thresholds,
    )  # fmt: skip
    return Recognizer(card, network or Eye())


def lens(*jury: Recognizer, **changes: object) -> Lens:
    return Lens(**{"jury": jury or (juror(),), "detector": aligned_crop, "detector_name": "aligned", **changes})


def seen(
    people: Sequence[str],
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    names: Sequence[str] = ("colors",),
    *,
    found: Sequence[bool] | None = None,
    psnr: Sequence[float] | None = None,
) -> Seen:
    """What a jury saw of photos that look the same to it under every condition: embeddings (N, D) each."""
    count = len(CONDITIONS)
    quality = {"ssim": 0.9, "psnr": 35.0, "ciede2000": 1.5, "visibility": 0.8}
    assert quality.keys() == QUALITIES.keys()

    def looks(embeddings: NDArray[np.float32], hits: Sequence[bool], values: Sequence[float]) -> list[Look]:
        return [
            Look({n: np.repeat(e[None], count, 0) for n in names}, np.full(count, hit), {**quality, "psnr": value})
            for e, hit, value in zip(embeddings, hits, values, strict=True)
        ]

    total = len(people)
    clean = looks(before, [True] * total, [35.0] * total)
    cloaked = looks(after, found or [True] * total, psnr or [35.0] * total)
    return stack(people, [f"{p}/{i}" for i, p in enumerate(people)], clean, cloaked)


def protected(
    people: Sequence[str],
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    jury: Sequence[Recognizer] = (),
    *,
    name: str = "ours",
    surrogates: tuple[Card, ...] | None = (),
    gallery: Gallery | None = None,
    **changes: Sequence[float],
) -> Protected:
    """A set of protected photos, compared with each other's originals unless there is a `gallery`."""
    jurors = tuple(jury) or (juror(),)
    looked = seen(people, before, after, [j.name for j in jurors], **changes)
    hashes = np.array([str(i) for i in range(len(people))])
    as_saved = {n: e[:, 0] for n, e in looked.before.items()}
    own = own_photos(looked, hashes, hashes, as_saved)
    return Protected(
        name, looked, gallery or Gallery(looked.people, as_saved, own), own, surrogates, jurors, tuple(CONDITIONS)
    )


def crowd(folder: Path, people: int = 3, each: int = 3, first: int = 0) -> Path:
    """Aligned crops PERSON/photo.png of people whose colors tell them apart: cosines of mates about .7, others' 0."""
    for i in range(first, first + people):
        person = np.random.default_rng([1, i]).normal(0, 0.17, (8, 8, 3))
        (folder / f"p{i}").mkdir(parents=True)
        for j in range(each):
            colors = 0.5 + person + np.random.default_rng([2, i, j]).normal(0, 0.1, (8, 8, 3))
            pixels = (255 * np.clip(colors, 0, 1)).astype(np.uint8)
            save(folder / f"p{i}/{j}.png", pixels.repeat(SIDE // 8, axis=0).repeat(SIDE // 8, axis=1))
    return folder


def inverted(pixels: Pixels) -> Pixels:
    """Other colors in every place: the cosine to the photo itself becomes -1."""
    return 255 - pixels


def cloaked(original: Path, folder: Path, change: Callable[[Pixels], Pixels] = inverted, mark: str = "") -> Path:
    """A folder of the changed photos of another, under the same names, with a `mark` before the suffix."""
    from visard import photo

    for path in photo.find(original):
        place = folder / path.relative_to(original).parent
        place.mkdir(parents=True, exist_ok=True)
        save(place / f"{path.stem}{mark}{path.suffix}", change(photo.read(path).pixels))
    return folder
