"""visard audit"""

from collections.abc import Sequence
from pathlib import Path

import typer

from visard import photo
from visard.audit import judge
from visard.cli import arguments, report, show
from visard.errors import NoFaceError
from visard.face import read_faces
from visard.pipeline import Outcome, choose_jury, read_reference, status_of, uncalibrated


def run(
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
    jurors = choose_jury(jury, fmr)
    show.left_out(uncalibrated(fmr) if not jury else [], fmr)
    detect = arguments.detector(detector)
    before, after = photo.read(original).pixels, photo.read(protected).pixels
    faces = detect(before) if boxes is None else read_faces(boxes, before, original.name)
    if not faces:
        raise NoFaceError(f"{original}: no face was found; give boxes with --boxes, or another detector.")
    others = [read_reference(path, detect) for path in references]
    verdicts = judge(before, after, faces, jurors, detect, fmr=fmr, references=others)
    outcome = Outcome(original, status_of(verdicts), protected, faces=tuple(verdicts)).to_json()
    show.outcome(outcome, jurors)
    if report_file is not None:
        jury_hashes = {juror.name: juror.card.sha256 for juror in jurors}
        report.write(report_file, {"run": {"jury": jury_hashes, "fmr": fmr}, "photos": [outcome]})
    raise typer.Exit(report.exit_code([outcome["status"]]))
