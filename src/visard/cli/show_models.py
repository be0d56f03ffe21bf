"""What the command line prints of recognizers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from visard.recognizer import Card

_COLORS = {"intact": "green", "not fetched": "yellow", "missing": "red", "damaged": "red", "base missing": "red"}

_AS = {"juror": "a juror", "surrogate": "a surrogate", "adaptive": "an adaptive recognizer"}


def table(found: Sequence[tuple[Card, str]]) -> None:
    """One line a recognizer, with its state."""
    rows = Table(box=None, pad_edge=False)
    rows.add_column("recognizer", no_wrap=True)
    for name in ("role", "ready", "license", "threshold at FMR 0.001"):
        rows.add_column(name)
    for card, state in found:
        threshold = card.valid_thresholds.get(1e-3)
        rows.add_row(
            card.name,
            card.role + (" (black box)" if card.format == "onnx-black-box" else ""),
            "yes" if state == "intact" else f"[{_COLORS[state]}]{state}[/]",
            escape(card.license),
            f"{threshold.value:.3f}" if threshold else "none: visard calibrate",
        )
    console = Console(highlight=False)
    console.print(rows)
    if any(state == "not fetched" for _, state in found):
        console.print("[dim]To fetch one: visard models fetch NAME[/]")


def facts(card: Card, path: Path, state: str) -> None:
    """Everything on a card, where its file lies and how it is."""
    size = f", {path.stat().st_size / 1e6:.1f} MB" if path.is_file() else ""
    crop = ", ".join(f"{v:g}" for v in card.crop)
    rows = {
        "role": card.role,
        "file": f"{path}{size}",
        "state": f"[{_COLORS[state]}]{state}[/]",
        "sha256": card.sha256,
        "url": card.url,
        "source": card.source,
        "license of the weights": card.license,
        "license of the code": card.code_license,
        "format": card.format + (f", network {card.network}" if card.network else ""),
        "derived from": f"{card.base}, sha256 {card.base_sha256}" if card.base else "",
        "front": "; ".join(_part(entry) for entry in card.front),
        "detector": "" if card.detector is None else f"calls a face cloaked from the logit {card.detector:.3f} on",
        "architecture": card.architecture,
        "loss": card.loss,
        "training data": card.training_data,
        "one origin with": card.origin,
        "input": f"{card.input[0]} x {card.input[1]} (height x width), {card.channels}",
        "crop": f"{crop} of the canonical 112 x 112 frame",
        "normalization": f"(v - {_three(card.mean)}) / {_three(card.std)}, v in 0..255",
        "embedding": f"{card.dim} numbers",
        "limits": card.limits,
    }
    if card.accuracy:
        a = card.accuracy
        rows["balanced accuracy"] = f"{a.balanced:.4f} [{a.low:.4f}, {a.high:.4f}] on {a.on}"
    sheet = Table(box=None, pad_edge=False, show_header=False)
    sheet.add_column(no_wrap=True)
    sheet.add_column(overflow="fold")
    for key, value in rows.items():
        if value:
            sheet.add_row(f"[dim]{key}[/]", value if key == "state" else escape(value))
    console = Console(highlight=False)
    console.print(f"[bold]{card.name}[/]")
    console.print(sheet)
    console.print(_thresholds(card))


def _part(entry: Mapping[str, Any]) -> str:
    settings = ", ".join(f"{key}={value:g}" for key, value in entry.items() if key != "name")
    return f"{entry['name']} ({settings})" if settings else str(entry["name"])


def _three(values: tuple[float, float, float]) -> str:
    return f"{values[0]:g}" if len(set(values)) == 1 else f"({', '.join(f'{v:g}' for v in values)})"


def _thresholds(card: Card) -> Table | str:
    if not card.valid_thresholds:
        return f"No threshold yet; run: visard calibrate --people FOLDER --recognizer {card.name}"
    rows = Table(box=None, pad_edge=False)
    for name in ("FMR", "threshold", "FNMR", "impostor pairs", "people"):
        rows.add_column(name, justify="right")
    rows.add_column("calibrated on", overflow="fold")
    for t in card.valid_thresholds.values():
        fnmr = "not known" if t.fnmr is None else f"{t.fnmr:.4f}"
        rows.add_row(f"{t.fmr:g}", f"{t.value:.4f}", fnmr, f"{t.pairs:,}", f"{t.people:,}", escape(t.dataset))
    return rows


def added(card: Card) -> None:
    """A recognizer that is ready now, and what to do next."""
    console = Console(soft_wrap=True, highlight=False)
    console.print(
        f"{card.name} is ready as {_AS[card.role]} ({card.dim}-d, license of the weights: {escape(card.license)}); "
        f"sha256 {card.sha256[:12]}..."
    )
    if card.role != "surrogate" and not card.valid_thresholds:
        console.print(f"Give it thresholds: visard calibrate --people FOLDER --recognizer {card.name}")


def states(rows: Sequence[tuple[str, str, Path]]) -> None:
    """One line a recognizer: whether its file is intact."""
    found = Table(box=None, pad_edge=False)
    for name in ("recognizer", "state", "file"):
        found.add_column(name, overflow="fold")
    for name, state, path in rows:
        found.add_row(name, f"[{_COLORS[state]}]{state}[/]", escape(str(path)))
    Console(highlight=False).print(found)
