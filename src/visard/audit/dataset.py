"""The audit of a whole collection: folders in, what the jury sees of them out."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from visard import photo
from visard.audit.collection import Lens, Look, Looks, Pair, Picture, pair_up, pictures
from visard.audit.doubts import without_gradient
from visard.audit.findings import FMRS, Protected
from visard.audit.sight import region
from visard.audit.trials import Gallery, own_photos, stack
from visard.cloak import Faces
from visard.errors import AuditError
from visard.face import FacePatches, cut
from visard.recognizer import Card, load, ready
from visard.recognizer.card import file_sha256

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
    watch: Watch = lambda _name, _done, _total: None,
    skipped: Callable[[Path, str], None] = lambda _path, _reason: None,
) -> list[Protected]:
    """What the jury sees of the folders `protected` (by name) of photos of the folder `original`.

    Probes are compared with the photos below `people`, one folder per person, else with the other originals. `made_by`
    says which surrogates made each set. What was seen is kept in `cache`. Raises ``AuditError`` when the folders do
    not fit, ``CalibrationError`` when a juror has no threshold.
    """
    if not lens.jury:
        raise AuditError("There is nobody to judge: add a recognizer with visard models add, and calibrate it.")
    for juror in lens.jury:
        for fmr in FMRS:
            juror.threshold(fmr)
    sets = {name: pair_up(original, folder) for name, folder in protected.items()}
    for name, (_, missing) in sets.items():
        for key in missing:
            skipped(original / key, f"{name} has no protected version of it")
    looks = Looks(lens, cache, skipped)
    entries = pictures(people or original)
    total = len(entries) + 2 * sum(len(pairs) for pairs, _ in sets.values())
    done = 0

    def look(seen: Look | None, name: str) -> Look | None:
        nonlocal done
        done += 1
        watch(name, done, total)
        return seen

    known = [(e, s) for e in entries if (s := look(looks.clean(e.path), "gallery")) is not None]
    if len({entry.person for entry, _ in known}) < 2:
        raise AuditError(f"{people or original} shows faces of one person only; an audit needs at least two people.")
    found = []
    for name, (pairs, _) in sets.items():
        both: list[tuple[Pair, Look, Look]] = []
        for pair in pairs:
            before = look(looks.clean(pair.original.path), name)
            after = look(looks.protected(pair), name) if before is not None else look(None, name)
            if before is not None and after is not None:
                both.append((pair, before, after))
        if not both:
            raise AuditError(f"{name}: no photo shows a face before and after; there is nothing to judge.")
        found.append(_protected(name, both, known, made_by.get(name), lens))
    return found


def _protected(
    name: str,
    both: Sequence[tuple[Pair, Look, Look]],
    known: Sequence[tuple[Picture, Look]],
    made_by: Sequence[Card] | None,
    lens: Lens,
) -> Protected:
    originals = [pair.original for pair, _, _ in both]
    seen = stack(
        [p.person for p in originals], [p.key for p in originals], [b for _, b, _ in both], [a for _, _, a in both]
    )
    hashes = np.array([file_sha256(p.path) for p in originals])
    gallery_hashes = np.array([file_sha256(p.path) for p, _ in known])
    faces = {j.name: np.stack([look.embeddings[j.name][0] for _, look in known]) for j in lens.jury}
    gallery = Gallery(np.array([p.person for p, _ in known]), faces, own_photos(seen, hashes, gallery_hashes, faces))
    among = own_photos(seen, hashes, hashes, {n: looks[:, 0] for n, looks in seen.before.items()})
    if not ((seen.people[:, None] == gallery.people[None]) & ~gallery.own).any():
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
        pixels = photo.read(picture.path).pixels
        if len(patches) < _SAMPLE and (faces := lens.detector(pixels)):
            near, face = region(pixels, faces[0])
            patches.append(cut(near, [face]))
    names = set()
    for patch in patches:
        names |= set(without_gradient([load(card) for card in cards.values()], Faces(patch.pixels, patch.frames)))
    return [
        f"{name}: its gradient is zero here, so cloaks made with it are noise and prove nothing."
        for name in sorted(names)
    ]
