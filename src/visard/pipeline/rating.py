"""The artefact rate: how often people see that a picture was tampered with. A blind page to rate on, and its score."""

import base64
import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from visard import photo
from visard.audit.difference import Difference
from visard.errors import AuditError, WriteError
from visard.measure import Rate, clopper_pearson, crossed_bootstrap
from visard.photo.encode import encode
from visard.photo.files import write_whole
from visard.pipeline.batch import MARK

Side = Literal["original", "result"]
COLUMNS = ["study", "rater", "picture", "artefacts"]
KEY_SUFFIX = ".key.json"
_FORM = "visard study 1"
_ID = 12  # hexadecimal digits
_NO_WIDTH = 1e-9


class Picture(NamedTuple):
    """What a study's key knows of a picture: its `name` among the originals, whom it shows, and which `side` it is."""

    name: str
    person: str
    side: Side


@dataclass(frozen=True, slots=True)
class Score:
    """What people answered: `rates` of pictures with visible artefacts by side, None where nobody rated that side;
    `difference`, results minus originals, over the originals and results that one rater rated both; `intervals`, by
    side and "difference": how theirs was made, in words; how many pictures each of the `raters` answered, how many
    there are (`pictures`) and how many had an answer (`rated`)."""

    rates: Mapping[Side, Rate | None]
    difference: Difference | None
    intervals: Mapping[str, str]
    raters: Mapping[str, int]
    pictures: int
    rated: int

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        found: list[tuple[str, Rate | Difference | None]] = [*self.rates.items(), ("difference", self.difference)]
        return {
            **{
                name: None if one is None else {**one._asdict(), "interval": self.intervals[name]}
                for name, one in found
            },
            "raters": dict(self.raters),
            "pictures": self.pictures,
            "rated": self.rated,
        }


def make_page(
    originals: Path, results: Path, page: Path, *, seed: int = 0, most: int | None = None, force: bool = False
) -> int:
    """Write the page on which people rate the photos of two folders, in one file at `page`, and its key beside it; the
    number of its pictures.

    A result belongs to the original of its name, whatever its suffix and without ".visard". A picture shows the person
    whose folder it is in, or one of its own. All are written alike, as PNG without metadata, in an order drawn by
    `seed`, and so are the pairs if at most `most` are taken. Raises ``AuditError`` when the folders do not fit,
    ``WriteError`` when a file is there already and `force` is not given.
    """
    key = key_of(page)
    for path in (page, key):
        if path.exists() and not force:
            raise WriteError(f"{path} exists already; choose another name or use --force.")
    before, after = _photos(originals), _photos(results)
    if strangers := sorted(set(after) - set(before)):
        raise AuditError(f"{after[strangers[0]]} has no original in {originals}; its name must be that of one there.")
    draw = np.random.default_rng(seed)
    names = sorted(after)
    names = [names[i] for i in sorted(draw.permutation(len(names))[:most])]
    sides: tuple[tuple[Side, Mapping[str, Path]], ...] = (("original", before), ("result", after))
    files = [(Picture(name, _person(name), side), paths[name]) for name in names for side, paths in sides]
    # who knows the names cannot tell the sides by the ids
    salt = draw.bytes(16)
    content, pictures = list[dict[str, str]](), dict[str, dict[str, str]]()
    for number in draw.permutation(len(files)):
        picture, path = files[number]
        data = encode(photo.read(path), "PNG", None, keep_metadata=False)
        name = hashlib.sha256(salt + f"{picture.side} {picture.name}".encode()).hexdigest()[:_ID]
        content.append({"id": name, "uri": "data:image/png;base64," + base64.b64encode(data).decode()})
        pictures[name] = picture._asdict()
    study = hashlib.sha256("".join(one["id"] + one["uri"] for one in content).encode()).hexdigest()[:_ID]
    form = (resources.files("visard.pipeline") / "rating.html").read_text(encoding="utf-8")
    page_text = form.replace("STUDY", json.dumps({"id": study, "pictures": content}), 1)
    facts = {"form": _FORM, "study": study, "seed": seed, "originals": str(originals), "results": str(results)}
    write_whole(key, (json.dumps({**facts, "pictures": pictures}, indent=1, sort_keys=True) + "\n").encode())
    write_whole(page, page_text.encode())
    return len(content)


def key_of(page: Path) -> Path:
    """Where the key of a page lies."""
    return page.with_name(page.stem + KEY_SUFFIX)


def score(key: Path, answers: Sequence[Path]) -> Score:
    """The artefact rates that the `answers`, files that raters saved, give by the `key` of their page.

    Their 95 % intervals draw people again, and raters too where there are several. They are exact binomial ones where
    one rater saw a picture of each person, and where a bootstrap has no width, since all answers agree: that many
    people, or with several raters as many answers as there are of which no two are by one rater or about one person.
    Raises ``AuditError`` for answers that are not to this page, that contradict each other, and when there are none.
    """
    study, pictures = _read_key(key)
    given: dict[tuple[str, str], tuple[bool, Path]] = {}
    for path in answers:
        for rater, picture, word in _read_answers(path, study, pictures):
            known = given.setdefault((rater, picture), (word, path))
            if known != (word, path):
                raise AuditError(
                    f"{path} and {known[1]} both hold answers of {rater}; leave one of them out, or where these are "
                    "two people give one of them another name in the file."
                )
    if not given:
        raise AuditError("Nobody has answered yet, so the artefact rate is not known: have people fill in the page.")
    rows = [(rater, pictures[name], word) for (rater, name), (word, _) in given.items()]
    sides: tuple[Side, ...] = ("original", "result")
    rates, intervals = dict[Side, Rate | None](), dict[str, str]()
    for side in sides:
        hits = [row for row in rows if row[1].side == side]
        rates[side] = None
        if hits:
            values, people, raters = _columns(hits)
            low, high, intervals[side] = _interval(values, people, raters, 0)
            rates[side] = Rate(float(values.mean()), low, high, len(values), len(set(people)))
    difference, both = None, _differences(rows)
    if both:
        values, people, raters = _columns(both)
        low, high, intervals["difference"] = _interval(values, people, raters, -1)
        difference = Difference(float(values.mean()), low, high)
    counts = Counter(sorted(rater for rater, _, _ in rows))
    return Score(rates, difference, intervals, counts, len(pictures), len({picture for _, picture in given}))


def _differences(rows: Sequence[tuple[str, Picture, bool]]) -> list[tuple[str, Picture, float]]:
    """Of the answers of one rater to both sides of a picture, result minus original."""
    said = {(rater, picture.name, picture.side): word for rater, picture, word in rows}
    return [
        (rater, picture, float(said[rater, picture.name, "result"]) - float(word))
        for rater, picture, word in rows
        if picture.side == "original" and (rater, picture.name, "result") in said
    ]


def _interval(
    values: NDArray[Any], people: NDArray[Any], raters: NDArray[Any], lowest: int
) -> tuple[float, float, str]:
    """The 95 % interval (low, high) of the mean of `values` (K,), in [lowest, 1], and what it is, in words."""
    shown, by = len(set(people)), len(set(raters))
    over = f"{shown} {'person' if shown == 1 else 'people'}"
    if by == 1 and shown == len(values) and values.dtype == bool:
        return *clopper_pearson(int(values.sum()), shown), f"exact binomial over {over}"
    low, high = crossed_bootstrap(values, people, raters)
    if high - low > _NO_WIDTH:
        return low, high, f"bootstrap over {over}" + (f" and {by} raters" if by > 1 else "")
    # a bootstrap cannot draw what nobody said: the share of units that may be unlike these, at worst, is added
    units = shown if by == 1 else _independent(people, raters)
    value, unseen = float(values.mean()), clopper_pearson(0, units)[1]
    if by > 1:
        over = f"{units} independent answer{'' if units == 1 else 's'}"
    return value - unseen * (value - lowest), value + unseen * (1 - value), f"exact binomial over {over}"


def _independent(people: NDArray[Any], raters: NDArray[Any]) -> int:
    """The most answers (K,) of which no two are by one rater or about one person."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_bipartite_matching

    rows, columns = (np.unique(names, return_inverse=True)[1] for names in (raters, people))
    answered = csr_array((np.ones(len(rows)), (rows, columns)))
    return int((maximum_bipartite_matching(answered) >= 0).sum())


def _columns(rows: Sequence[tuple[str, Picture, Any]]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """The answers, whom the pictures show, and who gave them, each (K,)."""
    return (
        np.array([value for _, _, value in rows]),
        np.array([picture.person for _, picture, _ in rows]),
        np.array([rater for rater, _, _ in rows]),
    )


def _photos(folder: Path) -> dict[str, Path]:
    """The photos of a folder by their paths in it, without suffix and mark."""
    if not folder.is_dir():
        raise AuditError(f"{folder} is no folder; give the folder of the originals and that of the results.")
    found: dict[str, Path] = {}
    for path in photo.find(folder):
        name = path.relative_to(folder).with_suffix("").as_posix().removesuffix(MARK)
        if name in found:
            raise AuditError(f"{found[name]} and {path} would be one picture of a study; move one of them.")
        found[name] = path
    if not found:
        raise AuditError(f"{folder} holds no photos to rate.")
    return found


def _person(name: str) -> str:
    return name.split("/")[0]


def _read_key(path: Path) -> tuple[str, dict[str, Picture]]:
    foreign = AuditError(f"{path} is not the key of a study; it is what visard study make wrote beside the page.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["form"] != _FORM:
            raise foreign
        return str(content["study"]), {name: Picture(**one) for name, one in content["pictures"].items()}
    except OSError as error:
        raise AuditError(f"{path} could not be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise foreign from error


def _read_answers(path: Path, study: str, pictures: Mapping[str, Picture]) -> list[tuple[str, str, bool]]:
    """(rater, picture, whether it shows artefacts) of a file of answers."""
    try:
        reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig")))
        rows = list(reader)
    except OSError as error:
        raise AuditError(f"{path} could not be read: {error.strerror}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise AuditError(f"{path} is no file of answers; give what the page saved.") from error
    if reader.fieldnames != COLUMNS:
        line = ",".join(COLUMNS)
        raise AuditError(f"{path} is no file of answers: its first line must be {line}. Give what the page saved.")
    found = []
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise AuditError(f"{path}, line {number}: an answer has {len(COLUMNS)} fields; give what the page saved.")
        if row["study"] != study or row["picture"] not in pictures:
            raise AuditError(f"{path}, line {number}: this is an answer to another page; give the key of that one.")
        if row["artefacts"] not in ("yes", "no") or not row["rater"]:
            raise AuditError(f"{path}, line {number}: an answer names its rater and is yes or no.")
        found.append((row["rater"], row["picture"], row["artefacts"] == "yes"))
    if len({(rater, picture) for rater, picture, _ in found}) < len(found):
        raise AuditError(f"{path} answers a picture twice; leave one of the answers out.")
    return found
