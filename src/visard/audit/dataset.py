"""The audit of a whole collection: folders in, what the jury sees of them out."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from visard import photo
from visard.audit.collection import Lens, Look, Looks, Pair, Picture, pair_up, pictures
from visard.audit.doubts import without_gradient
from visard.audit.findings import FMRS, Protected
from visard.audit.sight import region
from visard.audit.trials import Array, Gallery, own_photos, pairs_with, stack
from visard.cloak import Faces
from visard.errors import AuditError, FaceError, PhotoError
from visard.face import FacePatches, cut
from visard.recognizer import Card, load, ready

Watch = Callable[[str, int, int], None]
_SAMPLE = 4  # faces on which a surrogate's gradient is looked at


def collect(
    original: Path,
    protected: Mapping[str, Path],
    lens: Lens,
    cache: Path,
    *,
    people: Path | None = None,
    made_by: Mapping[str, Sequence[Card] | None],
    only: Collection[str] | None = None,
    fmrs: Sequence[float] = FMRS,
    watch: Watch = lambda _name, _done, _total: None,
    skipped: Callable[[Path, str], None] = lambda _path, _reason: None,
) -> list[Protected]:
    """What the jury sees of the folders `protected` (by name) of photos of the folder `original`.

    Probes are compared with the photos below `people`, one folder per person, else with the other originals. `made_by`
    says which surrogates made each set; `only` are the keys of the photos that are probes, None for all. What was seen
    is kept in `cache`. Raises ``AuditError`` when the folders do not fit, ``CalibrationError`` when a juror has no
    threshold at one of `fmrs`.
    """
    if not lens.jury:
        raise AuditError("There is nobody to judge: add a recognizer with visard models add, and calibrate it.")
    for juror in lens.jury:
        for fmr in fmrs:
            juror.threshold(fmr)
    sets = {name: pair_up(original, folder) for name, folder in protected.items()}
    if only is not None:
        sets = {
            name: ([pair for pair in pairs if pair.original.key in only], [one for one in alone if one.key in only])
            for name, (pairs, alone) in sets.items()
        }
    reasons: list[str] = []

    def left_out(path: Path, reason: str) -> None:
        reasons.append(reason)
        skipped(path, reason)

    for name, (_, alone) in sets.items():
        for picture in alone:
            skipped(picture.path, f"it has no partner in the set {name}")
    entries = pictures(people or original)
    looks = Looks(lens, cache, left_out)
    total = len(entries) + 2 * sum(len(pairs) for pairs, _ in sets.values())
    done = 0

    def look(seen: Look | None, name: str) -> Look | None:
        nonlocal done
        done += 1
        watch(name, done, total)
        return seen

    known = [(e, _as_saved(s)) for e in entries if (s := look(looks.clean(e.path), "gallery")) is not None]
    if not known:
        raise AuditError(f"No photo of {people or original} can be judged; the first reason: {reasons[0]}")
    if len({entry.person for entry, _ in known}) < 2:
        raise AuditError(
            f"{people or original} shows faces of one person only; an audit needs at least two people, each in a "
            "folder of their own."
        )
    found = []
    for name, (pairs, _) in sets.items():
        both: list[tuple[Pair, Look, Look]] = []
        for pair in pairs:
            before = look(looks.clean(pair.original.path), name)
            after = look(looks.protected(pair), name) if before is not None else look(None, name)
            if before is not None and after is not None:
                both.append((pair, before, after))
        if not both:
            raise AuditError(f"{name}: no photo can be judged before and after; the first reason: {reasons[0]}")
        found.append(_protected(name, both, known, made_by.get(name), looks))
    return found


def _as_saved(look: Look) -> dict[str, Array]:
    """What the gallery keeps of a look, by juror: one embedding (D,)."""
    return {name: values[0].copy() for name, values in look.embeddings.items()}


def _protected(
    name: str,
    both: Sequence[tuple[Pair, Look, Look]],
    known: Sequence[tuple[Picture, dict[str, Array]]],
    made_by: Sequence[Card] | None,
    looks: Looks,
) -> Protected:
    lens = looks.lens
    originals = [pair.original for pair, _, _ in both]
    seen = stack(
        [p.person for p in originals], [p.key for p in originals], [b for _, b, _ in both], [a for _, _, a in both]
    )
    hashes = np.array([looks.sha256(p.path) for p in originals])
    gallery_hashes = np.array([looks.sha256(p.path) for p, _ in known])
    faces = {j.name: np.stack([embeddings[j.name] for _, embeddings in known]) for j in lens.jury}
    gallery = Gallery(np.array([p.person for p, _ in known]), faces, own_photos(seen, hashes, gallery_hashes, faces))
    among = own_photos(seen, hashes, hashes, {n: before[:, 0] for n, before in seen.before.items()})
    if not pairs_with(seen.people, gallery.people, gallery.own)[0].any():
        raise AuditError(
            f"{name}: no person has another photo to be compared with; give a folder with more photos of the same "
            "people with --people."
        )
    makers = None if made_by is None else tuple(made_by)
    return Protected(name, seen, gallery, among, makers, lens.jury, tuple(lens.conditions))


def blind_surrogates(sets: Sequence[Protected], original: Path, lens: Lens) -> list[str]:
    """Doubts about surrogates whose gradient is zero on photos of the collection."""
    cards = {card.sha256: card for one in sets for card in one.surrogates or () if ready(card)}
    if not cards:
        return []
    patches: list[FacePatches] = []
    for picture in pictures(original)[: 4 * _SAMPLE]:
        if len(patches) == _SAMPLE:
            break
        with suppress(PhotoError, FaceError):  # a photo that was left out
            pixels = photo.read(picture.path).pixels
            if faces := lens.detector(pixels):
                near, face = region(pixels, faces[0])
                patches.append(cut(near, [face]))
    surrogates = [s for s in map(load, cards.values()) if s.differentiable]  # of a black box nothing can be said
    names = {name for patch in patches for name in without_gradient(surrogates, Faces(patch.pixels, patch.frames))}
    return [
        f"{name}: its gradient is zero here, so cloaks made with it are noise and prove nothing."
        for name in sorted(names)
    ]
