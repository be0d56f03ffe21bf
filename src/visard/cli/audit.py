"""visard audit"""

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from visard import photo
from visard.audit import judge
from visard.audit.collection import Lens
from visard.audit.dataset import blind_surrogates, collect
from visard.audit.document import check_extras
from visard.audit.doubts import warnings
from visard.audit.findings import headline
from visard.audit.report import write
from visard.cli import arguments, report, show
from visard.errors import NoFaceError, SettingError
from visard.face import read_faces
from visard.pipeline import Outcome, choose_adaptive, choose_jury, read_reference, records, status_of, uncalibrated
from visard.recognizer import Card, cards, find

LOOKS = ".looks"
"""Where an audit keeps what it saw, to go on after an interruption: templates of faces, so not for long."""


def run_photo(
    original: Path,
    protected: Path,
    references: Sequence[Path],
    report_file: Path | None,
    boxes: Path | None,
    detector: str,
    jury: Sequence[str],
    fmr: float,
) -> None:
    """Judge the protected photo, print the verdict, exit with its code."""
    report.check(report_file)
    jurors, adaptive = choose_jury(jury, fmr), choose_adaptive((), jury, fmr)
    show.left_out(uncalibrated(fmr) if not jury else [], fmr)
    detect = arguments.detector(detector)
    before, after = photo.read(original).pixels, photo.read(protected).pixels
    faces = detect(before) if boxes is None else read_faces(boxes, before, original.name)
    if not faces:
        raise NoFaceError(f"{original}: no face was found; give boxes with --boxes, or another detector.")
    others = [read_reference(path, detect) for path in references]
    verdicts = judge(before, after, faces, jurors, detect, fmr=fmr, references=others, adaptive=adaptive)
    outcome = Outcome(original, status_of(verdicts), protected, faces=tuple(verdicts)).to_json()
    show.outcome(outcome, jurors)
    if report_file is not None:
        hashes = {
            part: {one.name: one.card.sha256 for one in asked}
            for part, asked in (("jury", jurors), ("adaptive", adaptive))
        }
        report.write(report_file, {"run": {**hashes, "fmr": fmr}, "photos": [outcome]})
    raise typer.Exit(report.exit_code([outcome["status"]]))


def run_collection(
    original: Path,
    protected: Sequence[Path],
    people: Path | None,
    out: Path,
    surrogates: Sequence[str],
    jury: Sequence[str],
    detector: str,
    second: str | None,
    keep_embeddings: bool,
) -> None:
    """Judge folders of protected photos, write the report, print its headline."""
    begun = time.perf_counter()
    check_extras()
    named = _names(protected)
    jurors = choose_jury(jury)
    show.left_out(uncalibrated(1e-3) if not jury else [], 1e-3)
    lens = Lens(
        jurors,
        arguments.detector(detector),
        detector,
        None if second is None else arguments.detector(second, "--second-detector"),
        second or "",
    )
    makers = {name: _makers(folder, surrogates) for name, folder in named.items()}
    warned = [
        f"{name}: {', '.join(gone)} made these cloaks and is not installed any more, so a juror of its origin counts."
        for name, (_, gone) in makers.items()
        if gone
    ]
    skipped: dict[Path, str] = {}
    columns = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
    with Progress(*columns, transient=True, disable=not Console().is_terminal) as bar:
        task = bar.add_task("photos")
        sets = collect(
            original,
            named,
            lens,
            out / LOOKS,
            people=people,
            made_by={name: found for name, (found, _) in makers.items()},
            watch=lambda name, done, total: bar.update(task, description=name, completed=done, total=total),
            skipped=lambda path, reason: skipped.update({path: reason}),
        )
    warned += [*warnings(sets), *blind_surrogates(sets, original, lens)]
    if skipped:
        path, reason = next(iter(skipped.items()))
        warned.append(f"{len(skipped)} photos were left out, the first: {_below(original, reason, path)}")
    facts = {
        "photos": ", ".join(f"{len(one.seen.people)} in {one.name}" for one in sets),
        "gallery": f"{len(sets[0].gallery.people)} photos of {len(set(sets[0].gallery.people.tolist()))} people",
        "jury": ", ".join(juror.name for juror in jurors),
        "detector": detector + (f", second {second}" if second else ""),
        **{f"set {name}": _recipe(folder, *makers[name]) for name, folder in named.items()},
    }
    write(out, sets, warned, facts, time.perf_counter() - begun)
    if not keep_embeddings:
        shutil.rmtree(out / LOOKS, ignore_errors=True)
    show.headline(headline(sets), warned, out / "report.html")


def _below(folder: Path, reason: str, path: Path) -> str:
    """The reason with its photo named as it lies below `folder`: a report is read elsewhere."""
    below = path.relative_to(folder) if path.is_relative_to(folder) else path
    return f"{below}: {reason.removeprefix(f'{path}: ').replace(str(path), str(below))}"


def _names(folders: Sequence[Path]) -> dict[str, Path]:
    """The folders by their own name, or by their path where two have one name."""
    short = [folder.resolve().name for folder in folders]
    named = {
        name if short.count(name) == 1 else str(folder): folder for name, folder in zip(short, folders, strict=True)
    }
    if len(named) < len(folders):
        raise SettingError("A folder is given twice with --protected; give it once.")
    return named


def _recipe(folder: Path, found: Sequence[Card] | None, gone: Sequence[str]) -> str:
    """ "bim (steps=5), made with dlib-resnet"; what is not known is left out."""
    names = ", ".join([*(card.name for card in found or ()), *gone]) or "recognizers that are not known"
    if not (recorded := records(folder)):
        return f"made with {names}"
    settings = ", ".join(
        f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in recorded[-1]["settings"].items()
    )
    return f"{recorded[-1]['method']} ({settings}), made with {names}"


def _makers(folder: Path, surrogates: Sequence[str]) -> tuple[tuple[Card, ...] | None, list[str]]:
    """The surrogates of a set, as named, else as the run that protected it wrote down; and the names of those of them
    that are here no more."""
    if surrogates:
        return tuple(find(name) for name in surrogates), []
    recorded = {name: sha256 for record in records(folder) for name, sha256 in record["surrogates"].items()}
    if not recorded:
        return None, []
    here = {card.sha256: card for card in cards().values()}
    found = tuple(here[sha256] for sha256 in recorded.values() if sha256 in here)
    return found, [name for name, sha256 in recorded.items() if sha256 not in here]
