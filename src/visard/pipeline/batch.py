"""Many photos: where results go, what is done already, and one row per file whatever happens."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from visard import photo
from visard.errors import NoFaceError, PhotoError, VisardError, WriteError
from visard.face import Pixels, paste
from visard.pipeline.memory import MOST
from visard.pipeline.plan import Plan
from visard.pipeline.protect import Opened, Outcome, changed, cloak, finish, open_photo
from visard.recognizer.card import file_sha256

MARK = ".visard"
LEDGER = ".visard-run.jsonl"
Job = tuple[Path, Path]
Watch = Callable[[Path, float], None]
T = TypeVar("T")
# photos that are open at once, at most, and the values of their pixels
_WAITING = MOST
_PIXELS = 3 * 24_000_000


def jobs(inputs: Sequence[Path], output: Path | None) -> list[Job]:
    """(source, output) for every photo: `inputs` are files and folders.

    Without `output` a result lies beside its photo, as NAME.visard.SUFFIX. With one, `output` is the file when there
    is a single photo and the path has a photo's suffix, else a folder that repeats the inputs' folders. Results of
    earlier runs are no inputs. Raises ``PhotoError`` when an input is missing or a folder holds no photo.
    """
    found: list[tuple[Path, Path]] = []  # photo, its path below the input
    for given in inputs:
        if given.is_dir():
            inside = [p for p in photo.find(given) if not _is_result(p, given, output)]
            if not inside:
                raise PhotoError(
                    f"{given} holds no photos to protect; visard reads {', '.join(sorted(photo.SUFFIXES))}, "
                    "and takes no results of its own."
                )
            found += [(p, p.relative_to(given)) for p in inside]
        elif given.exists():
            found.append((given, Path(given.name)))
        else:
            raise PhotoError(f"{given} does not exist; check the name.")
    found = list(dict.fromkeys(found))
    if output is None:
        return [(p, p.with_name(f"{p.stem}{MARK}{p.suffix}")) for p, _ in found]
    one_photo = len(found) == 1 and inputs[0].is_file()
    if one_photo and output.suffix and output.suffix.lower() not in photo.SUFFIXES and not output.exists():
        raise PhotoError(f"{output} must end in one of {', '.join(sorted(photo.SUFFIXES))}, or be an existing folder.")
    single_file = output.suffix.lower() in photo.SUFFIXES and not output.is_dir()
    if single_file and len(found) > 1:
        raise PhotoError(f"{output} is one file, but there are {len(found)} photos; give a folder with -o.")
    if single_file:
        return [(found[0][0], output)]
    planned = [(p, output / below) for p, below in found]
    outputs = [out for _, out in planned]
    if twice := {out for out in outputs if outputs.count(out) > 1}:
        raise PhotoError(f"Two photos would be written to {min(twice)}; protect them in separate runs.")
    return planned


def _is_result(path: Path, given: Path, output: Path | None) -> bool:
    if path.stem.endswith(MARK):
        return True
    if output is None or given.resolve().is_relative_to(output.resolve()):
        return False  # the photos themselves lie below the output folder
    return path.resolve().is_relative_to(output.resolve())


@dataclass(frozen=True, slots=True)
class Row:
    """One photo's line of a run: its outcome as plain values, and whether an earlier run had made it."""

    outcome: dict[str, Any]
    resumed: bool = False


def protect_all(
    planned: Iterable[Job],
    plan: Plan,
    ledger: Path | None = None,
    watch: Watch = lambda _path, _done: None,
) -> Iterator[Row]:
    """Protect photo after photo, or replace their faces; what fails is a row and never an exception. Faces of several
    photos are cloaked together.

    `ledger` (a file, one JSON line per finished photo) makes a run resumable: a photo whose content, plan and
    result are as recorded there is not done again. `watch` hears of (photo, how many
    photos' worth of those under way is done).
    """
    fingerprint = plan.fingerprint()
    done = _read_ledger(ledger)
    if ledger is not None:
        with suppress(OSError, WriteError):
            _make_folder(ledger.parent)
            _append(ledger, {"run": fingerprint, "record": plan.record()})
    waiting: list[_Begun] = []
    for source, output in planned:
        recorded = done.get(str(output), {})
        if recorded.get("plan") == fingerprint and _unchanged(recorded, source, output):
            yield from _finished(waiting, plan, ledger, watch)
            waiting = []
            yield Row(recorded["outcome"], resumed=True)
            continue
        # a result that an interrupted run had begun is ours, finished or not
        ours = replace(plan, force=True) if "begun" in recorded else plan
        waiting.append(_begin(source, output, ours, ledger, fingerprint))
        if _enough(waiting, plan):
            yield from _finished(waiting, plan, ledger, watch)
            waiting = []
    yield from _finished(waiting, plan, ledger, watch)


@dataclass(frozen=True, slots=True)
class _Begun:
    """A photo that waits for its cloak: what was opened, or why it could not be."""

    source: Path
    output: Path
    plan: Plan
    photo: Opened | Outcome


def _begin(source: Path, output: Path, plan: Plan, ledger: Path | None, fingerprint: str) -> _Begun:
    def start() -> Opened:
        if ledger is not None:
            _make_folder(output.parent)
            if plan.force or not output.exists():
                _append(ledger, {"output": str(output), "begun": fingerprint})
        return open_photo(source, output, plan)

    return _Begun(source, output, plan, _tried(source, start))


def _enough(waiting: Sequence[_Begun], plan: Plan) -> bool:
    """Whether the photos' faces fill a batch, or their pixels the memory. A time for each photo wants one at a time,
    and faces are replaced one by one."""
    photos = _opened(waiting)
    faces, pixels = sum(len(p.faces) for p in photos), sum(p.original.pixels.size for p in photos)
    alone = plan.replaces or plan.max_seconds is not None
    return alone or faces >= plan.batch or pixels >= _PIXELS or len(waiting) >= _WAITING


def _opened(waiting: Sequence[_Begun]) -> list[Opened]:
    return [begun.photo for begun in waiting if isinstance(begun.photo, Opened)]


def _finished(waiting: Sequence[_Begun], plan: Plan, ledger: Path | None, watch: Watch) -> Iterator[Row]:
    """A row per photo that waited, once it is cloaked, written, judged and in the ledger."""
    made, fingerprint = _together(_opened(waiting), plan, watch), plan.fingerprint()
    for begun in waiting:
        outcome = begun.photo if isinstance(begun.photo, Outcome) else _written(begun.photo, begun.plan, made, watch)
        entry = outcome.to_json()
        if ledger is not None:
            with suppress(OSError, WriteError):  # without its entry the photo is protected all the same
                if outcome.output is not None:
                    hashes = _hashes(begun.source, begun.output)
                    _append(ledger, {"plan": fingerprint, **hashes, "outcome": entry})
                elif not begun.output.exists():  # what is put there from now on is not ours
                    _append(ledger, {"output": str(begun.output), "outcome": entry})
        yield Row(entry)


def _together(photos: Sequence[Opened], plan: Plan, watch: Watch) -> dict[Path, tuple[Pixels, float]]:
    """The new pixels of several photos by their outputs, each with its seconds; nothing when the method failed on them
    together: then each is to be tried on its own."""
    if len(photos) < 2:
        return {}

    def heard(share: float) -> None:
        done = share * len(photos)
        watch(photos[min(int(done), len(photos) - 1)].source, done)

    started = time.perf_counter()
    try:
        changes = cloak([one.patches for one in photos], plan, heard)
    except Exception:  # noqa: BLE001 - whatever it is, it is told of the photo that it is due to
        return {}
    seconds = (time.perf_counter() - started) / sum(len(one.faces) for one in photos)
    return {
        one.output: (paste(one.original.pixels, one.patches, delta), seconds * len(delta))
        for one, delta in zip(photos, changes, strict=True)
    }


def _written(one: Opened, plan: Plan, made: Mapping[Path, tuple[Pixels, float]], watch: Watch) -> Outcome:
    """The photo with its new pixels, made now if it has none yet, written and judged."""

    def write() -> Outcome:
        return finish(one, *(made.get(one.output) or changed(one, plan, partial(watch, one.source))), plan)

    return _tried(one.source, write)


def _tried(source: Path, work: Callable[[], T]) -> T | Outcome:
    """What `work` gives, or why the photo at `source` could not be protected."""
    try:
        return work()
    except NoFaceError as error:
        return Outcome(source, "no face", message=str(error))
    except (VisardError, OSError) as error:
        return Outcome(source, "failed", message=str(error))
    except Exception as error:  # noqa: BLE001 - a method may raise anything, and the next photo is none the worse
        return Outcome(source, "failed", message=f"{source} could not be protected ({type(error).__name__}: {error}).")


def records(folder: Path) -> list[dict[str, Any]]:
    """What the runs of visard that protected the photos of a folder wrote down of their plans, oldest first."""
    ledger = folder / LEDGER
    found: list[dict[str, Any]] = []
    if ledger.is_file():
        for line in ledger.read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError, KeyError, TypeError):
                found.append(json.loads(line)["record"])
    return found


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise WriteError(f"The folder {folder} could not be made: a file is in its place; choose another.") from error
    except OSError as error:
        raise WriteError(f"The folder {folder} could not be made: {error.strerror}; choose another.") from error


def _hashes(source: Path, output: Path) -> dict[str, str]:
    return {"output": str(output), "source_sha256": file_sha256(source), "output_sha256": file_sha256(output)}


def _unchanged(recorded: dict[str, Any], source: Path, output: Path) -> bool:
    return output.is_file() and all(recorded[key] == value for key, value in _hashes(source, output).items())


def _read_ledger(ledger: Path | None) -> dict[str, dict[str, Any]]:
    """The latest entry per output; a half-written last line of an interrupted run is skipped."""
    entries: dict[str, dict[str, Any]] = {}
    if ledger is None or not ledger.is_file():
        return entries
    for line in ledger.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
            entries[entry["output"]] = entry
        except (ValueError, KeyError, TypeError):
            continue
    return entries


def _append(ledger: Path, entry: dict[str, Any]) -> None:
    # a newline first: the last line may be half of one
    try:
        with ledger.open("a", encoding="utf-8") as file:
            file.write("\n" + json.dumps(entry))
    except OSError as error:
        raise WriteError(f"{ledger.parent} may not be written to ({error.strerror}); choose another folder.") from error
