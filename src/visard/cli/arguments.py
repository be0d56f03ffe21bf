"""From words on the command line to values; each raises ``SettingError`` with what to write instead."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visard.errors import SettingError

if TYPE_CHECKING:
    from visard.face import Detector
    from visard.recognizer.card import Role


def names(text: str) -> list[str]:
    """ "a,b" -> ["a", "b"]; the empty text is no name."""
    return [name.strip() for name in text.split(",") if name.strip()]


def numbers(text: str, option: str) -> frozenset[int]:
    """ "1,3" -> {1, 3}."""
    try:
        found = frozenset(int(word) for word in names(text))
    except ValueError as error:
        raise SettingError(f'{option} takes face numbers such as 1,3, got "{text}".') from error
    if text and (not found or min(found) < 1):
        raise SettingError(f'{option} takes face numbers from 1 on, got "{text}".')
    return found


def rates(text: str) -> list[float]:
    """ "1e-2,1e-3" -> [0.01, 0.001]."""
    try:
        found = [float(word) for word in names(text)]
    except ValueError as error:
        raise SettingError(f'--fmr takes rates such as 1e-2,1e-3, got "{text}".') from error
    if not found or not all(0 < rate < 1 for rate in found):
        raise SettingError(f'--fmr takes rates between 0 and 1, such as 1e-3, got "{text}".')
    return found


def settings(pairs: Sequence[str], option: str = "--set") -> dict[str, Any]:
    """["eps=8/255", "steps=40", "mode=low"] -> {"eps": 0.0313..., "steps": 40, "mode": "low"}."""
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise SettingError(f'{option} takes NAME=VALUE, got "{pair}".')
        if name in found:
            raise SettingError(f"{option} gives {name} twice; give it once.")
        found[name] = _value(text, pair, option)
    return found


def _value(text: str, pair: str, option: str) -> float | bool | str:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        if "/" in text:
            above, _, below = text.partition("/")
            value: float = float(above) / float(below)
        else:
            value = int(text) if text.strip().lstrip("+-").isdecimal() else float(text)
    except (ValueError, ZeroDivisionError) as error:
        if re.fullmatch(r"[a-z][a-z0-9.+-]*", text):
            return text  # the method knows which words it takes
        raise SettingError(
            f'{option}: "{pair}" needs a number such as 40 or 8/255, true or false, or a word.'
        ) from error
    if not math.isfinite(value):
        raise SettingError(f'{option}: "{pair}" needs a finite number.')
    return value


def role(text: str | None) -> "Role | None":
    """ "surrogate", "juror" or "adaptive"."""
    match text:
        case None | "surrogate" | "juror" | "adaptive":
            return text
        case _:
            raise SettingError(f'--role is "juror", "surrogate" or "adaptive", got "{text}".')


def batch(text: str) -> int | None:
    """ "auto" -> None, "8" -> 8."""
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise SettingError(f'--batch is "auto" or a number of faces from 1 on, got "{text}".')
    return int(text)


def detector(text: str, option: str = "--detector") -> "Detector":
    """ "dlib", "yunet:FILE" or "aligned"."""
    from visard.face import aligned_crop, dlib_hog, yunet

    kind, colon, path = text.partition(":")
    if text == "dlib":
        return dlib_hog()
    if text == "aligned":
        return aligned_crop
    if kind == "yunet" and colon:
        return yunet(Path(path).expanduser())
    raise SettingError(f'{option} is "dlib", "yunet:FILE.onnx" or "aligned", got "{text}".')


def folders(original: Path, protected: Sequence[Path], out: Path | None, given: Mapping[str, object]) -> Path:
    """Where the report on folders goes; raises ``SettingError`` unless the options are those of folders."""
    _leave_out(given, "folders")
    if missing := [path for path in protected if not path.exists()]:
        raise SettingError(f"{missing[0]} does not exist; check the name.")
    if files := [path for path in protected if not path.is_dir()]:
        raise SettingError(f"{original} is a folder and {files[0]} is none; give two folders or two photos.")
    if out is None:
        raise SettingError("--out is missing; name a folder for the report.")
    if out.exists() and not out.is_dir():
        raise SettingError(f"{out} is a file; name a folder for the report.")
    if any(out.resolve().is_relative_to(path.resolve()) for path in (original, *protected)):
        raise SettingError(f"{out} lies among the photos; choose another folder for the report.")
    return out


def single(original: Path, protected: Sequence[Path], given: Mapping[str, object]) -> Path:
    """The one protected photo; raises ``SettingError`` unless the options are those of a photo."""
    if not original.exists():
        raise SettingError(f"{original} does not exist; check the name.")
    _leave_out(given, "single photos")
    if len(protected) > 1:
        raise SettingError("--protected takes one photo; to compare several sets give folders.")
    if protected[0].is_dir():
        raise SettingError(f"{protected[0]} is a folder and {original} is none; give two folders or two photos.")
    return protected[0]


def _leave_out(given: Mapping[str, object], what: str) -> None:
    if unused := [option for option, value in given.items() if value]:
        raise SettingError(f"{unused[0]} has no use with {what}; leave it out.")


def plain_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,  # noqa: ARG001  as ``warnings.formatwarning`` has it
) -> str:
    """A warning of visard's own as one sentence, another as Python prints it."""
    if category.__module__.startswith("visard."):
        return f"visard: {message}\n"
    return f"{filename}:{lineno}: {category.__name__}: {message}\n"
