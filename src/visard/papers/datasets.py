"""Datasets in the layouts that they are published in: who is on which photo."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from visard import photo
from visard.errors import AuditError

_IDENTITIES = "identity_CelebA.txt"
_VGGFACE2 = re.compile(r"n\d{6}")
_FRGC = re.compile(r"(\d{5})d\d+\.")
_CELEBA_PHOTOS = ("img_align_celeba", "img_align_celeba_png", "img_celeba")


@dataclass(frozen=True, slots=True)
class Dataset:
    """The photos (sorted) of each person of a dataset, called by its `name`."""

    name: str
    photos: Mapping[str, tuple[Path, ...]]

    def most(self, people: int, photos: int | None = None) -> "Dataset":
        """The `people` with the most photos, the first `photos` of each; ties go by name. Raises ``AuditError`` when
        there are fewer people, or fewer photos of one."""
        ranked = sorted(self.photos, key=lambda person: (-len(self.photos[person]), person))[:people]
        if len(ranked) < people or (photos is not None and len(self.photos[ranked[-1]]) < photos):
            wanted = f"{people} people" + (f" with {photos} photos each" if photos else "")
            raise AuditError(f"{self.name} does not have {wanted}; give a larger dataset with --data, or --quick.")
        return Dataset(self.name, {person: self.photos[person][:photos] for person in ranked})

    def path(self, person: str, name: str) -> Path:
        """Where the person's photo of this file name lies."""
        return next(path for path in self.photos[person] if path.name == name)

    def __len__(self) -> int:
        return sum(len(paths) for paths in self.photos.values())


def datasets(root: Path) -> list[Dataset]:
    """The dataset that `root` is, or those in its folders, largest first.

    Known layouts: CelebA (identity_CelebA.txt beside img_align_celeba), LFW (Name/Name_0001.jpg), VGGFace2
    (n000001/0001_01.jpg, below train and test or not), FRGC (02463d546.jpg, the person's number first, in one folder or
    one a person), PUT (folders with numbers), and any folder with a folder of photos per person. Raises
    ``AuditError`` when there is none.
    """
    if not root.is_dir():
        raise AuditError(f"{root} is not a folder; name one that holds a folder of photos per person with --data.")
    own = _dataset(root)
    found = [own] if own else [one for folder in _folders(root) if (one := _dataset(folder))]
    if not found:
        raise AuditError(f"{root} holds no photos of people; give a folder with a folder of photos per person.")
    return sorted(found, key=lambda one: (-len(one), one.name))


def _dataset(root: Path) -> Dataset | None:
    """The dataset that lies in this very folder."""
    if identities := next((root / d / _IDENTITIES for d in (".", "Anno") if (root / d / _IDENTITIES).is_file()), None):
        return Dataset("CelebA", _celeba(root, identities))
    here = [root, *(root / part for part in ("train", "test") if (root / part).is_dir())]
    people = {folder: tuple(_photos(folder)) for base in here for folder in _folders(base)}
    people = {folder: paths for folder, paths in people.items() if paths}
    flat = _by_number(_photos(root))
    if flat:
        return Dataset("FRGC", flat)
    if not people or any(len(_by_number(paths)) > 1 for paths in people.values()):
        return None
    names = [folder.name for folder in people]
    if any(folder.parent != root for folder in people) and not all(_VGGFACE2.fullmatch(name) for name in names):
        return None
    photos = {folder.name: paths for folder, paths in people.items()}
    if all(_VGGFACE2.fullmatch(name) for name in names):
        return Dataset("VGGFace2", photos)
    if all(_by_number(paths) for paths in photos.values()):
        return Dataset("FRGC", photos)
    if all(name.isdigit() for name in names):
        return Dataset("PUT", photos)
    if all(re.fullmatch(re.escape(name) + r"_\d{4}", path.stem) for name, paths in photos.items() for path in paths):
        return Dataset("LFW", photos)
    return Dataset(root.resolve().name, photos)


def _celeba(root: Path, identities: Path) -> dict[str, tuple[Path, ...]]:
    """The photos that are there, by the number of the person."""
    # an archive unpacked into a folder of its own name lies one deeper
    places = [
        base / part / deeper for part in _CELEBA_PHOTOS for base in (root, root / "Img") for deeper in (".", part)
    ]
    there = next((photos for place in places if place.is_dir() and (photos := _photos(place))), [])
    if not there:
        raise AuditError(f"{root} has {_IDENTITIES} without its photos; put img_align_celeba beside it.")
    by_stem = {path.stem: path for path in there}  # the file says .jpg of photos that are published as .png too
    try:
        lines = identities.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise AuditError(f"{identities} is not a text file; give CelebA's own.") from None
    found: dict[str, list[Path]] = defaultdict(list)
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        name, *rest = line.split()
        if len(rest) != 1 or not rest[0].isdigit():
            raise AuditError(f'{identities}, line {number}: not a file name and a number, got "{line}".')
        if (stem := Path(name).stem) in by_stem:
            found[rest[0]].append(by_stem[stem])
    if not found:
        raise AuditError(f"{identities} names none of the photos in {there[0].parent}; it belongs to another copy.")
    return {person: tuple(sorted(paths)) for person, paths in found.items()}


def _by_number(paths: Iterable[Path]) -> dict[str, tuple[Path, ...]]:
    """The photos by the person's number that FRGC's file names begin with; empty when one does not."""
    found: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        named = _FRGC.match(path.name)
        if named is None:
            return {}
        found[named[1]].append(path)
    return {person: tuple(sorted(photos)) for person, photos in found.items()}


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _photos(folder: Path) -> list[Path]:
    """The photos in the folder itself, sorted."""
    there = (path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    return sorted(path for path in there if path.suffix.lower() in photo.SUFFIXES)
