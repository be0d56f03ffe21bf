"""The machine-readable report and the exit code."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from visard.errors import WriteError


def check(path: Path | None) -> None:
    """Raises ``WriteError`` when something else than a report is in the place of the report, before any work."""
    if path is None or not path.exists():
        return
    if path.is_dir():
        raise WriteError(f"{path} is a folder; name a file in it for the report.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict) or not {"run", "photos"} <= content.keys():
        raise WriteError(f"{path} exists already and is no report of visard; choose another name for the report.")


def write(path: Path, content: dict[str, Any]) -> None:
    """Write `content` as JSON to `path`, replacing an earlier report."""
    text = json.dumps(content, indent=1) + "\n"
    partial = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_text(text, encoding="utf-8")
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise WriteError(f"The report {path} could not be written: {error.strerror}.") from error


def exit_code(statuses: Sequence[str]) -> int:
    """0: all protected. 1: some face is not protected, or was not judged. 2: some photo failed or had no face."""
    if {"failed", "no face"} & set(statuses):
        return 2
    return 0 if all(status == "protected" for status in statuses) else 1
