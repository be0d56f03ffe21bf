"""Chromium without a window, driven by its DevTools protocol over two pipes: real keys, mouse and downloads."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import Any, BinaryIO

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_KEYS = {"Tab": (9, ""), "Enter": (13, "\r")}


class Browser:
    """One tab of a running Chromium; `errors`: what its pages complained of."""

    def __init__(self, to: BinaryIO, answers: BinaryIO) -> None:
        self.errors: list[Any] = []
        self._to, self._from, self._left = to, answers, b""
        self._number, self._loads, self._session = 0, 0, None
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The answer to a command of the protocol."""
        number = self._tell(method, **parameters)
        while (told := self._next()).get("id") != number:
            self._note(told)
        assert "error" not in told, (method, told["error"])
        return told["result"]

    def js(self, expression: str) -> Any:
        """Its value in the page; a promise is waited for."""
        told = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def open(self, page: Path) -> None:
        self._load("Page.navigate", url=page.as_uri())

    def reload(self) -> None:
        self._load("Page.reload")

    def resize(self, width: int, height: int) -> None:
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=True)

    def press(self, key: str) -> None:
        code, text = _KEYS[key] if key in _KEYS else (ord(key.upper()), key)
        what = {"key": key, "windowsVirtualKeyCode": code}
        self.ask("Input.dispatchKeyEvent", type="keyDown", **what, **({"text": text} if text else {}))
        self.ask("Input.dispatchKeyEvent", type="keyUp", **what)

    def type(self, text: str) -> None:
        """Into what has the focus, in place of what is there."""
        self.js("document.activeElement.select()")
        self.ask("Input.insertText", text=text)

    def click(self, name: str) -> None:
        """With the mouse, in the middle of an element."""
        x, y = self.js(
            f"(at => [at.x + at.width / 2, at.y + at.height / 2])"
            f"(document.getElementById({json.dumps(name)}).getBoundingClientRect())"
        )
        for act in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=act, x=x, y=y, button="left", clickCount=1)

    def download(self, name: str, folder: Path) -> Path:
        """The file that a click on an element saves."""
        self.ask("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
        before = set(folder.iterdir())
        self.click(name)
        end = time.monotonic() + 10
        while time.monotonic() < end:
            found = {path for path in folder.iterdir() if path.suffix == ".csv" and path.stat().st_size} - before
            if found:
                return found.pop()
            time.sleep(0.02)
        raise AssertionError(f"{name} saved nothing.")

    def _load(self, method: str, **parameters: Any) -> None:
        loads = self._loads
        self.ask(method, **parameters)
        while self._loads == loads:
            self._note(self._next())

    def _tell(self, method: str, **parameters: Any) -> int:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        self._to.write(json.dumps(message).encode() + b"\0")
        return self._number

    def _note(self, told: dict[str, Any]) -> None:
        event = told.get("method")
        self._loads += event == "Page.loadEventFired"
        if event == "Page.javascriptDialogOpening":
            self._tell("Page.handleJavaScriptDialog", accept=True)
        if event in ("Runtime.exceptionThrown", "Log.entryAdded"):
            self.errors.append(told["params"])

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._left:
            more = self._from.read(1 << 16)
            assert more, "Chromium closed, or took too long."
            self._left += more
        one, self._left = self._left.split(b"\0", 1)
        return json.loads(one)


@contextmanager
def chromium(home: Path, seconds: float = 60) -> Iterator[Browser]:
    """A Chromium with a profile of its own in `home`, ended after so many seconds at most."""
    assert CHROMIUM is not None
    (reads, to), (answers, writes) = os.pipe(), os.pipe()
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={home}"]
    # Chromium listens on descriptor 3 and answers on 4
    shell = ["bash", "-c", f'exec "$@" 3<&{reads} 4>&{writes}', "bash"]
    with (
        os.fdopen(to, "wb", buffering=0) as to_it,
        os.fdopen(answers, "rb", buffering=0) as from_it,
        subprocess.Popen(
            [*shell, CHROMIUM, *options, "--remote-debugging-pipe"], pass_fds=(reads, writes), stderr=subprocess.DEVNULL
        ) as process,
    ):
        os.close(reads)
        os.close(writes)
        late = Timer(seconds, process.kill)
        late.start()
        try:
            yield Browser(to_it, from_it)
        finally:
            late.cancel()
            process.terminate()
