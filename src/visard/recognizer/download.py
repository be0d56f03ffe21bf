"""One file from an https address, in parts if need be. Nothing else in visard opens a connection."""

import http.client
import os
import shutil
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener, url2pathname

from visard.errors import RecognizerError

Progress = Callable[[int, int | None], None]
"""Hears of the bytes that are there, and of all, None if the server does not say."""

_CHUNK = 1 << 18
_PATIENCE = 30  # seconds without a byte
_PARTIAL, _TOO_FAR, _NOT_THERE = 206, 416, (404, 410)


def download(url: str, part: Path, progress: Progress) -> None:
    """The file at `url` (https or file) to `part`; what `part` holds already is not asked for again, where the server
    can do that.

    After a failure `part` keeps what came. Raises ``RecognizerError``.
    """
    if url.startswith("file://"):
        copy(Path(url2pathname(urlsplit(url).path)), part)
        return
    host = urlsplit(url).hostname
    have = part.stat().st_size if part.is_file() else 0
    try:
        with _open(url, have) as answer:
            if answer.status != _PARTIAL:
                have = 0
            length = answer.headers.get("Content-Length")
            total = have + int(length) if length else None
            have = _receive(answer, part, have, total, progress)
    except HTTPError as error:
        error.close()
        if error.code == _TOO_FAR and have:  # `part` is no beginning of this file
            part.unlink()
            download(url, part, progress)
            return
        if error.code in _NOT_THERE:
            raise RecognizerError(
                f"{url} does not exist ({error.code}); get the file elsewhere and give its folder with --from."
            ) from error
        raise RecognizerError(f"{host} answered {error.code} {error.reason}; try again later.") from error
    except (URLError, OSError, http.client.HTTPException, ValueError) as error:
        kept = part.stat().st_size if part.is_file() else 0
        raise RecognizerError(f"{_failure(error, host)}; {_again(kept)}.") from error
    if total is not None and have < total:
        raise RecognizerError(f"The connection to {host} broke off; {_again(have)}.")


def copy(source: Path, part: Path) -> None:
    """The file `source` to `part`; raises ``RecognizerError``."""
    if not source.is_file():
        raise RecognizerError(f"{source} is not a file; check the name.")
    try:
        shutil.copyfile(source, part)
    except OSError as error:
        raise RecognizerError(f"{source} could not be copied to {part.parent}: {error.strerror}.") from error


class _OnlyHttps(HTTPRedirectHandler):
    def redirect_request(self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Request | None:
        if not newurl.startswith("https://"):
            raise RecognizerError(f"{req.full_url} leads on to {newurl}, which is not https; nothing was fetched.")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _open(url: str, have: int) -> Any:
    headers = {"User-Agent": "visard", **({"Range": f"bytes={have}-"} if have else {})}
    return build_opener(_OnlyHttps).open(Request(url, headers=headers), timeout=_PATIENCE)


def _receive(answer: Any, part: Path, have: int, total: int | None, progress: Progress) -> int:
    """Append to the first `have` bytes of `part`; returns the bytes that are there in the end."""
    with _disk(part, "r+b" if have else "wb") as file:
        file.seek(have)
        while chunk := answer.read(_CHUNK):
            try:
                file.write(chunk)
                file.flush()
            except OSError as error:
                raise _full(part, error) from error
            have += len(chunk)
            progress(have, total)
    return have


def _disk(part: Path, mode: str) -> Any:
    try:
        return part.open(mode, buffering=0)
    except OSError as error:
        raise _full(part, error) from error


def _full(part: Path, error: OSError) -> RecognizerError:
    return RecognizerError(
        f"The download could not be written to {part.parent}: {os.strerror(error.errno or 0)}; make room there and run "
        "the same command again, it goes on from where it stopped."
    )


def _failure(error: Exception, host: str | None) -> str:
    reason = error.reason if isinstance(error, URLError) else error
    match reason:
        case socket.gaierror():
            return f"{host} could not be found, perhaps because this machine is offline"
        case ssl.SSLError():
            return f"{host} has no valid certificate ({reason.reason})"
        case TimeoutError():
            return f"{host} did not answer within {_PATIENCE} s"
        case ConnectionRefusedError():
            return f"{host} refused the connection"
        case http.client.HTTPException() | ConnectionError():
            return f"The connection to {host} broke off"
        case _:
            return f"{host} could not be reached ({reason})"


def _again(kept: int) -> str:
    if kept:
        return f"{kept / 1e6:.1f} MB are kept, the same command goes on from there"
    return "try again, or give a folder that has the file with --from"
