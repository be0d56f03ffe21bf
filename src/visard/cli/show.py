"""What the command line prints."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from visard.audit import VERDICT_CONDITIONS
from visard.audit.tables import Table as Findings
from visard.cloak import Method
from visard.face import Face
from visard.measure import new_juror_bound
from visard.pipeline import Row
from visard.recognizer import Recognizer, Threshold

_COLORS = {"protected": "green", "not protected": "red", "not judged": "yellow", "no face": "yellow", "failed": "red"}
_PROTECTED = {True: "protected", False: "not protected", None: "not judged"}
_NO_JURY = (
    "Nobody could judge this: no juror is there, and a recognizer that made the cloak never judges it. "
    "Fetch one that visard models list names (visard models fetch NAME), or add one: "
    "visard models add FILE.onnx --card CARD.json"
)
_MORE = (
    "To protect more: let more recognizers make the cloak (visard models add FILE --card CARD.json --role surrogate), "
    "or make it stronger, and more visible (visard protect --strength high)."
)
_HIDE_MORE = (
    "To hide more: another style (visard anonymize --style box), or a stronger setting, such as --set sigma=20 for "
    "blur or --set block=24 for pixelate."
)


def _console(*, stderr: bool = False) -> Console:
    return Console(stderr=stderr, soft_wrap=True, highlight=False)


def outcome(photo: Mapping[str, Any], jury: Sequence[Recognizer], *, replaced: bool = False) -> None:
    """The verdict on one photo: each face, each juror, each condition; `replaced`: its faces were to be hidden."""
    if photo["output"] is None:
        _console(stderr=True).print(f"[red]{photo['status']}[/]: {escape(photo['message'])}")
        return
    console = _console()
    seconds = f" in {photo['seconds']:.1f} s on the CPU" if photo["seconds"] else ""
    console.print(f"{escape(photo['source'])} -> [bold]{escape(photo['output'])}[/]{seconds}")
    for note in photo["notes"]:
        console.print(f"Note: {escape(note)}")
    for face in photo["faces"]:
        x0, y0, x1, y1 = (round(v) for v in face["box"])
        quality = f"SSIM {face['ssim']:.3f}, PSNR {face['psnr'] or float('inf'):.1f} dB on its 160 px crop"
        console.print(f"\nFace {face['number']} at {x0},{y0} - {x1},{y1}: {_colored(_face_status(face))} ({quality})")
        if replaced and face["found"] is not None:
            console.print(f"The detector finds {'a' if face['found'] else 'no'} face there.")
        against = f"{face['references']} other photo(s) of the person" if face["references"] else "the original photo"
        if face["jurors"]:
            console.print(_asked(face["jurors"], "juror", f"Similarity to {against}, before and after:"))
        if face["adaptive"]:
            console.print(_asked(face["adaptive"], "adaptive", "The same for who was hardened against cloaks:"))
            for line in _calls(face["adaptive"]):
                console.print(line)
    console.print()
    _closing(photo["faces"], jury, console, _HIDE_MORE if replaced else _MORE)


def _face_status(face: Mapping[str, Any]) -> str:
    return _PROTECTED[face["protected"]]


def _colored(status: str) -> str:
    text = "NOT protected" if status == "not protected" else status
    return f"[{_COLORS[status]}]{text}[/]"


def _asked(asked: Sequence[Mapping[str, Any]], kind: str, title: str) -> Table:
    """One line for each who was `asked`, a "juror" or "adaptive": similarity before and after, under every
    condition."""
    table = Table(title=title, title_justify="left", title_style="dim", box=None, padding=(0, 1, 0, 0))
    table.add_column(kind, no_wrap=True)
    for column in ("before", *VERDICT_CONDITIONS, "match at"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for name, rows in _by_name(asked).items():
        voices = [row["protected"] for row in rows if row["has_say"]]
        verdict = _colored(_PROTECTED[all(voices)]) if voices else "[yellow]no say[/]"
        table.add_row(
            name,
            f"{rows[0]['before']:.2f}",
            *[_after(row, _digits(rows)) for row in rows],
            f"{rows[0]['threshold']:.{_digits(rows)}f}",
            verdict,
        )
    return table


def _calls(asked: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each who has a detector: whether it calls the face cloaked, and when."""
    lines = []
    for name, rows in _by_name(asked).items():
        if rows[0]["cloaked"] is not None:
            where = [row["condition"] for row in rows if row["cloaked"]]
            calls = f"[red]calls the face cloaked[/] ({', '.join(where)})" if where else "sees no cloak"
            lines.append(f"The detector of {name} {calls}.")
    return lines


def _by_name(asked: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in asked:
        found.setdefault(row["juror"], []).append(row)
    return found


def _digits(rows: Sequence[Mapping[str, Any]]) -> int:
    """Two, or four where a similarity would read like the threshold."""
    return 4 if any(f"{row['after']:.2f}" == f"{row['threshold']:.2f}" for row in rows) else 2


def _after(row: Mapping[str, Any], digits: int) -> str:
    lost = "" if row["found"] else "*"
    return f"[{_COLORS[_PROTECTED[row['protected']]]}]{row['after']:.{digits}f}{lost}[/]"


def _closing(faces: Sequence[Mapping[str, Any]], jury: Sequence[Recognizer], console: Console, more: str) -> None:
    rows = [row for face in faces for row in (*face["jurors"], *face["adaptive"])]
    if not jury:
        console.print(f"[yellow]{_NO_JURY}[/]")
    if not rows:
        return
    console.print(
        f"[dim]A juror matches two photos at or above a similarity whose false match rate is {rows[0]['fmr']:g}.[/]"
    )
    if not all(row["found"] for row in rows):
        console.print("[dim]* The detector did not find this face again; its place in the original was judged.[/]")
    if not all(face["references"] for face in faces):
        console.print(
            "[dim]A face without --reference photos is compared with its own original, the hardest case for a cloak; "
            "a search would hold other photos of the person.[/]"
        )
    missed = {row["juror"] for row in rows if not row["has_say"]}
    if missed:
        console.print(
            f"[yellow]{', '.join(sorted(missed))} did not match the --reference photos even before: that it misses "
            "them now proves nothing; give other photos of the person.[/]"
        )
    if any(face["adaptive"] for face in faces):
        console.print(
            "[dim]An adaptive recognizer was hardened against cloaks: it counts for nothing above, and shows what is "
            "left once others expect a cloak.[/]"
        )
    if any(face["protected"] is False for face in faces):
        console.print(more)
    if not missed & {juror.name for juror in jury} and all(face["protected"] for face in faces):
        known = (
            "One juror proves little: another recognizer may still find the person"
            if len(jury) == 1
            else f"All {len(jury)} jurors miss every face: with 95 % confidence one more recognizer of their kind "
            f"would be fooled with a chance of {new_juror_bound(len(jury)):.0%} or more, no more is known"
        )
        console.print(f"{known}; and recognizers get better, a posted photo does not.")


def left_out(names: Sequence[str], fmr: float) -> None:
    """Jurors that cannot judge yet."""
    if names:
        _console(stderr=True).print(
            f"[yellow]Without a say: {', '.join(names)}, which {'has' if len(names) == 1 else 'have'} no threshold at "
            f"FMR {fmr:g} yet; run: visard calibrate --people FOLDER --fmr {fmr:g}[/]"
        )


def nothing_more() -> None:
    """--thorough has nothing to add."""
    _console(stderr=True).print(
        "[yellow]--thorough changes nothing here: all recognizers but the juror make the cloak already; add more with "
        "visard models add.[/]"
    )


def summary_row(row: Row, console: Console) -> None:
    """One line per file of a batch."""
    photo = row.outcome
    count = len(photo["faces"])
    protected = sum(face["protected"] is True for face in photo["faces"])
    detail = f"{protected} of {count} faces" if count else escape(photo["message"])
    time = "done before" if row.resumed else f"{photo['seconds']:.1f} s"
    console.print(f"{_colored(photo['status'])}  {escape(photo['source'])}  {detail}  [dim]{time}[/]", soft_wrap=True)


def totals(photos: Sequence[Mapping[str, Any]], jury: Sequence[Recognizer], *, replaced: bool = False) -> None:
    """The end of a batch; `replaced`: its faces were to be hidden."""
    console = _console()
    faces = [face for photo in photos for face in photo["faces"]]
    counts = ", ".join(
        f"{n} {status}" for status in _COLORS if (n := sum(photo["status"] == status for photo in photos))
    )
    protected = sum(face["protected"] is True for face in faces)
    console.print(f"\n{len(photos)} photos: {counts}. {protected} of {len(faces)} faces protected.")
    looked = [face["found"] for face in faces if face["found"] is not None] if replaced else []
    if looked:
        console.print(f"The detector finds a face in {sum(looked)} of {len(looked)} places.")
    if not jury and faces:
        console.print(f"[yellow]{_NO_JURY}[/]")
    elif protected < len(faces):
        console.print(_HIDE_MORE if replaced else _MORE)


def headline(found: Findings, warnings: Sequence[str], report: Path) -> None:
    """The end of an audit of folders."""
    table = Table(box=None, pad_edge=False)
    for name in found.header:
        table.add_column(name)
    for row in found.rows:
        table.add_row(*(escape(cell if isinstance(cell, str) else cell.text) for cell in row))
    console = _console()
    console.print(found.note)
    console.print(table)
    for sentence in warnings:
        console.print(f"[yellow]{escape(sentence)}[/]", soft_wrap=True)
    console.print(f"The report: {escape(str(report))}", soft_wrap=True)


def faces(found: Sequence[Face]) -> None:
    """The numbered faces of a photo."""
    table = Table(box=None, pad_edge=False)
    for name in ("face", "box x0,y0 - x1,y1", "size (px)", "score"):
        table.add_column(name, justify="left" if name.startswith("box") else "right")
    for number, face in enumerate(found, start=1):
        x0, y0, x1, y1 = (round(v) for v in face.box)
        table.add_row(str(number), f"{x0},{y0} - {x1},{y1}", f"{face.size:.0f}", f"{face.score:.2f}")
    _console().print(table)


def methods(found: Sequence[Method]) -> None:
    """The methods and their settings."""
    table = Table(box=None, pad_edge=False)
    for name in ("method", "aim", "paper", "settings"):
        table.add_column(name)
    for method in found:
        settings = ", ".join(f"{name}={_setting(value)}" for name, value in method.settings.items())
        table.add_row(method.name, method.aim, method.paper, settings)
    _console().print(table)


def method(found: Method) -> None:
    """A method's page, and its settings with their defaults."""
    console = _console()
    console.print(escape(found.page), soft_wrap=True, highlight=False)
    console.print()
    for name, value in found.settings.items():
        console.print(f"--set {name}={_setting(value)}", soft_wrap=True, highlight=False)
    for name, settings in found.strengths.items():
        words = " ".join(f"{key}={_setting(value)}" for key, value in settings.items())
        console.print(f"--strength {name}: {words}", soft_wrap=True, highlight=False)


def _setting(value: object) -> str:
    """As --set takes it: gray levels as such."""
    if not isinstance(value, float):
        return str(value)
    text, levels = f"{value:g}", 255 * value
    return f"{levels:g}/255" if float(text) != value and abs(levels - round(levels, 1)) < 1e-9 else text


def thresholds(found: Mapping[str, Sequence[Threshold]], skipped: Sequence[tuple[Path, str]]) -> None:
    """What a calibration found."""
    table = Table(box=None, pad_edge=False)
    for name in ("recognizer", "FMR", "threshold", "FNMR", "impostor pairs", "people"):
        table.add_column(name, justify="left" if name == "recognizer" else "right")
    for name, values in found.items():
        for t in values:
            fnmr = "no genuine pair" if t.fnmr is None else f"{t.fnmr:.4f}"
            table.add_row(name, f"{t.fmr:g}", f"{t.value:.4f}", fnmr, f"{t.pairs:,}", f"{t.people:,}")
    console = _console()
    console.print(table)
    if skipped:
        path, reason = skipped[0]
        console.print(f"{len(skipped)} photo(s) were left out, the first {escape(str(path))}: {escape(reason)}")
