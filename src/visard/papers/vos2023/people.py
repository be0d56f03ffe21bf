"""Who is trained on, who is judged on, and who gives thresholds: groups of people. None of them is in two, but for
those who are trained on, who are among everyone who may be."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from visard.errors import AuditError, CalibrationError
from visard.papers.datasets import Dataset
from visard.papers.study import Study
from visard.recognizer import people_photos

Photos = Sequence[tuple[str, Path]]
TRAINING, FIRST, SECOND, CALIBRATION = "training", "FRGC", "PUT", "calibration"
"""FIRST: other people of the dataset that is trained on; SECOND: people of another dataset. Named as in the paper."""
EVERYONE = "everyone"
"""Those who are trained on, and others, for a defence that needs no names."""


@dataclass(frozen=True, slots=True)
class Size:
    """How many people are trained on, with how many photos each at most; `others` at most beside them, where no names
    are needed; `judged` of each dataset, with two photos; `calibrated` with one."""

    people: int
    photos: int
    others: int
    judged: int
    calibrated: int


@dataclass(frozen=True, slots=True)
class Groups:
    """The photos (person, path) of each group, and the names of what plays the two datasets; `apart`: whether the
    second is one of its own."""

    photos: Mapping[str, Photos]
    first: str
    second: str
    apart: bool


def groups(study: Study, size: Size) -> Groups:
    """The people of the study, every k-th by name, those with several photos where they are judged.

    Of a dataset whose folder has a meta.csv with roles, people of role "train" alone are trained on, and the others
    alone are judged on. Where there is no second dataset of people with two photos, its part is played by further
    people of the first. Raises ``AuditError`` where there are too few people.
    """
    first, *others = study.datasets()
    second = next((one for one in others if len(_several(one.photos)) >= size.judged), None)
    taken = set() if second is None else set(second.photos)
    free = {person: paths for person, paths in first.photos.items() if person not in taken}
    learned = _of_role(first, "train")
    ranked = sorted(free)
    able = [p for p in ranked if p in learned] if learned else ranked[::2]
    training = _apart([p for p in able if len(free[p]) >= min(size.photos, 2)], size.people)
    further = [p for p in able if p not in set(training)]
    held = [p for p in ranked if p not in set(able)]
    validation = _apart([p for p in held if len(free[p]) > 1], size.judged * (1 if second else 2))
    rest = [p for p in held if p not in set(validation)]
    calibration = _apart(rest, min(size.calibrated, len(rest)))
    shown = validation if second else validation[::2]
    photos = second.photos if second else free
    elsewhere = _apart(_several(photos), size.judged) if second else validation[1::2]
    if min(len(training) - size.people, len(shown) - size.judged, len(elsewhere) - size.judged) < 0 or not calibration:
        raise AuditError(
            f"{first.name} has too few people for {size.people} to train on, {size.judged} and {size.judged} others "
            "with two photos to judge on, and more for thresholds; give a larger dataset with --data, or --quick."
        )
    return Groups(
        {
            TRAINING: (known := _photos(free, training, size.photos)),
            EVERYONE: [*known, *_photos(free, _apart(further, size.others), size.photos)],
            FIRST: _photos(free, shown, 2),
            SECOND: _photos(photos, elsewhere, 2),
            CALIBRATION: _photos(free, calibration, 1),
        },
        _called(first, second),
        _called(second, first) if second else f"further people of {first.name}",
        second is not None,
    )


def _of_role(dataset: Dataset, role: str) -> set[str]:
    """The people of that role, where the dataset's folder says so."""
    folder = next(iter(dataset.photos.values()))[0].parent.parent
    if (folder / "meta.csv").is_file():
        with suppress(CalibrationError):  # a file of another kind
            return {person for person, _ in people_photos(folder, role)} & set(dataset.photos)
    return set()


def _called(dataset: Dataset, other: Dataset | None) -> str:
    """Its name, with its folder's where the other has the same."""
    if other is None or other.name != dataset.name:
        return dataset.name
    return f"{dataset.name} in {next(iter(dataset.photos.values()))[0].parent.parent.name}"


def _several(photos: Mapping[str, Sequence[Path]]) -> list[str]:
    return sorted(person for person, paths in photos.items() if len(paths) > 1)


def _apart(names: Sequence[str], count: int) -> list[str]:
    """`count` of `names`, evenly apart; all where there are fewer."""
    return [names[place * len(names) // count] for place in range(count)] if len(names) > count else list(names)


def _photos(photos: Mapping[str, Sequence[Path]], people: Sequence[str], most: int) -> Photos:
    return [(person, path) for person in people for path in photos[person][:most]]
