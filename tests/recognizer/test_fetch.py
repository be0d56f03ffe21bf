"""Fetching from a server on this machine that breaks off, moves, lies and refuses; no test leaves the machine."""

import http.client
import json
import re
import socket
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tiny import tiny_card, tiny_onnx
from visard.errors import CardError, RecognizerError, UnknownRecognizerError, WeightsError
from visard.recognizer import Card, add, cards, fetch, fetch_new, find, load, ready, remove, verify, weights
from visard.recognizer.card import file_sha256
from visard.recognizer.download import download


class Server:
    """One file at ``/net.onnx``; the fields say how it misbehaves."""

    def __init__(self) -> None:
        self.content = b""
        self.breaks_after: int | None = None
        self.knows_ranges = True
        self.status: int | None = None
        self.leads_to: str | None = None
        self.address = ""
        self.asked: list[str | None] = []

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        asked = request.headers["Range"]
        self.asked.append(asked)
        if self.leads_to and request.path == "/net.onnx":
            request.send_response(302)
            request.send_header("Location", self.leads_to)
            request.end_headers()
            return
        if self.status:
            request.send_error(self.status)
            return
        start = int(re.findall(r"\d+", asked)[0]) if asked and self.knows_ranges else 0
        if start and start >= len(self.content):
            request.send_error(416)
            return
        body = self.content[start:]
        request.send_response(206 if start else 200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[: self.breaks_after])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    made = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.answer(self)

        def log_message(self, *_args: object) -> None:
            pass

    # https without a certificate: what visard opens as https goes to this server as http
    def plain(handler: Any, request: urllib.request.Request) -> Any:
        return handler.do_open(http.client.HTTPConnection, request)

    monkeypatch.setattr(urllib.request.HTTPSHandler, "https_open", plain)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    made.address = f"https://127.0.0.1:{running.server_port}"
    yield made
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VISARD_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("VISARD_MIRROR", raising=False)
    return tmp_path / "home"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tiny_onnx(tmp_path / "elsewhere.onnx")


@pytest.fixture
def sheet(server: Server, file: Path, tmp_path: Path) -> Path:
    """A card that says where its file can be fetched."""
    server.content = file.read_bytes()
    return write(tmp_path, url=f"{server.address}/net.onnx", sha256=file_sha256(file))


def write(folder: Path, **changes: Any) -> Path:
    path = folder / "card.json"
    path.write_text(json.dumps(tiny_card(**{"file": None, "format": None, "sha256": None, **changes})))
    return path


@pytest.fixture
def known(sheet: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Card:
    """A card that comes with visard, without its file."""
    folder = tmp_path / "cards"
    folder.mkdir()
    monkeypatch.setattr("visard.recognizer.store._CARDS", folder)
    (folder / "tiny.json").write_text(
        json.dumps({**json.loads(sheet.read_text()), "format": "onnx", "file": "net.onnx"})
    )
    return find("tiny")


def kept(home: Path) -> list[str]:
    return sorted(path.name for path in home.rglob("*") if path.is_file())


# a recognizer whose card is known


def test_fetch(known: Card, server: Server, home: Path) -> None:
    assert (ready(known), verify(known)) == (False, "not fetched")
    with pytest.raises(WeightsError, match=r"tiny is not fetched yet; run: visard models fetch tiny$"):
        load(known)
    assert server.asked == []
    heard: list[tuple[int, int | None]] = []
    assert fetch("tiny", progress=lambda have, total: heard.append((have, total))) == known
    assert heard[-1] == (len(server.content), len(server.content))
    assert weights(known) == home / "recognizers/tiny/net.onnx"
    assert kept(home) == ["net.onnx"]
    assert load(known).name == "tiny"
    fetch("tiny")  # it is there: nobody is asked
    assert server.asked == [None]


def test_a_fetched_one_is_removed_and_fetched_again(known: Card, home: Path) -> None:
    fetch("tiny")
    remove("tiny")
    assert (kept(home), verify(known)) == ([], "not fetched")
    fetch("tiny")
    assert verify(known) == "intact"


def test_what_is_damaged_is_fetched_again(known: Card) -> None:
    fetch("tiny")
    weights(known).write_bytes(b"damaged")
    with pytest.raises(WeightsError, match=r"fetch it again \(visard models fetch tiny\)"):
        load(known)
    fetch("tiny")
    assert verify(known) == "intact"


def test_a_connection_that_breaks_off(known: Card, server: Server, home: Path) -> None:
    server.breaks_after = 500
    with pytest.raises(RecognizerError, match=r"broke off; 0\.0 MB are kept, the same command goes on from there"):
        fetch("tiny")
    assert kept(home) == ["net.onnx.part"]
    assert (home / "recognizers/tiny/net.onnx.part").read_bytes() == server.content[:500]
    server.breaks_after = None
    fetch("tiny")
    assert server.asked == [None, "bytes=500-"]
    assert (kept(home), verify(known)) == (["net.onnx"], "intact")


def test_a_server_without_ranges(known: Card, server: Server, home: Path) -> None:
    part(home).write_bytes(server.content[:300])
    server.knows_ranges = False
    fetch("tiny")
    assert server.asked == ["bytes=300-"]
    assert verify(known) == "intact"


@pytest.mark.parametrize("ranges", [True, False])
def test_a_part_of_something_longer(known: Card, server: Server, home: Path, ranges: bool) -> None:
    part(home).write_bytes(b"x" * (len(server.content) + 10))
    server.knows_ranges = ranges
    fetch("tiny")
    assert verify(known) == "intact"


def test_a_part_that_is_whole(known: Card, server: Server, home: Path) -> None:
    part(home).write_bytes(server.content)
    fetch("tiny")
    assert (server.asked, verify(known)) == ([], "intact")


def test_a_part_of_something_else(known: Card, server: Server, home: Path) -> None:
    part(home).write_bytes(b"x" * 100)
    with pytest.raises(WeightsError, match="its card says"):
        fetch("tiny")
    fetch("tiny")  # the wrong part is gone
    assert verify(known) == "intact"


def part(home: Path) -> Path:
    folder = home / "recognizers/tiny"
    folder.mkdir(parents=True)
    return folder / "net.onnx.part"


def test_another_file(known: Card, server: Server, home: Path) -> None:
    server.content = b"something else"
    with pytest.raises(WeightsError, match=rf"tiny: {server.address}/net.onnx has the sha256 .* it was not kept"):
        fetch("tiny")
    assert kept(home) == []


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (404, r"/net.onnx does not exist \(404\); get the file elsewhere and give its folder with --from"),
        (410, r"does not exist \(410\)"),
        (503, "127.0.0.1 answered 503 Service Unavailable; try again later"),
    ],
)
def test_a_server_that_refuses(known: Card, server: Server, home: Path, status: int, sentence: str) -> None:
    server.status = status
    with pytest.raises(RecognizerError, match=sentence):
        fetch("tiny")
    assert kept(home) == []


@pytest.mark.parametrize("scheme", ["http", "ftp", "file"])
def test_only_https_is_followed(known: Card, server: Server, home: Path, scheme: str) -> None:
    server.leads_to = f"{scheme}://127.0.0.1/moved.onnx"
    with pytest.raises(RecognizerError, match=f"{scheme}://127.0.0.1/moved.onnx.*is not (https|allowed)"):
        fetch("tiny")
    assert kept(home) == []
    server.leads_to = f"{server.address}/moved.onnx"
    fetch("tiny")
    assert verify(known) == "intact"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            socket.gaierror(-2, "Name or service not known"),
            "127.0.0.1 could not be found, perhaps .* offline; try again",
        ),
        (ConnectionRefusedError(), "127.0.0.1 refused the connection; try again, or give a folder"),
        (TimeoutError(), "127.0.0.1 did not answer within 30 s"),
        (ConnectionResetError(), "The connection to 127.0.0.1 broke off"),
        (http.client.BadStatusLine("?"), "The connection to 127.0.0.1 broke off"),
        (OSError(101, "Network is unreachable"), r"127.0.0.1 could not be reached \(.*Network is unreachable\)"),
    ],
)
def test_offline(known: Card, monkeypatch: pytest.MonkeyPatch, error: Exception, sentence: str) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise error

    monkeypatch.setattr(http.client.HTTPConnection, "request", fail)
    with pytest.raises(RecognizerError, match=sentence) as caught:
        fetch("tiny")
    assert "\n" not in str(caught.value)


def test_a_full_disk(tmp_path: Path, server: Server) -> None:
    server.content = bytes(1000)
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    (tmp_path / "net.part").symlink_to(full)
    with pytest.raises(RecognizerError, match=r"could not be written to .*: No space left on device; make room"):
        download(f"{server.address}/net.onnx", tmp_path / "net.part", lambda _have, _total: None)


def test_a_store_that_is_a_file(known: Card, home: Path) -> None:
    home.write_text("in the way")
    with pytest.raises(RecognizerError, match="could not be made"):
        fetch("tiny")


def test_what_needs_no_fetching(file: Path, tmp_path: Path) -> None:
    with pytest.raises(RecognizerError, match="dlib-resnet came with its weights"):
        fetch("dlib-resnet")
    card = add(file, write(tmp_path))
    fetch("tiny")
    weights(card).unlink()
    with pytest.raises(RecognizerError, match="The card of tiny gives no url; if you have the file"):
        fetch("tiny")
    assert verify(fetch("tiny", mirror=file.parent)) == "intact"
    with pytest.raises(UnknownRecognizerError, match='Did you mean "tiny"'):
        fetch("tinny")


# from a folder


@pytest.mark.parametrize("by", ["name", "sha256"])
@pytest.mark.parametrize("named", ["by option", "by the environment"])
def test_a_mirror(
    known: Card, server: Server, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str, named: str
) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    file.rename(mirror / (known.file if by == "name" else known.sha256))
    if named == "by option":
        fetch("tiny", mirror=mirror)
    else:
        monkeypatch.setenv("VISARD_MIRROR", str(mirror))
        fetch("tiny")
    assert (verify(known), server.asked, len(list(mirror.iterdir()))) == ("intact", [], 1)


def test_a_mirror_that_is_of_no_use(known: Card, server: Server, home: Path, tmp_path: Path) -> None:
    with pytest.raises(RecognizerError, match=f"holds neither net.onnx nor a file called {known.sha256}"):
        fetch("tiny", mirror=tmp_path)
    (tmp_path / "net.onnx").write_text("something else")
    with pytest.raises(WeightsError, match=f"tiny: {tmp_path / 'net.onnx'} has the sha256"):
        fetch("tiny", mirror=tmp_path)
    assert (kept(home), server.asked, (tmp_path / "net.onnx").exists()) == ([], [], True)


# a recognizer whose card is given


def test_fetch_new(sheet: Path, home: Path) -> None:
    card = fetch_new(sheet, role="surrogate")
    assert (card.name, card.file, card.format, card.role) == ("tiny", "net.onnx", "onnx", "surrogate")
    assert find("tiny") == card
    assert kept(home) == ["card.json", "net.onnx"]
    assert load(card).name == "tiny"
    with pytest.raises(CardError, match='"tiny" is there already'):
        fetch_new(sheet)


def test_from_a_file_url(file: Path, tmp_path: Path) -> None:
    card = fetch_new(write(tmp_path, url=file.as_uri(), sha256=file_sha256(file)))
    assert (card.file, verify(card)) == ("elsewhere.onnx", "intact")
    remove("tiny")
    with pytest.raises(RecognizerError, match=r"nothing\.onnx is not a file"):
        fetch_new(write(tmp_path, url=(tmp_path / "nothing.onnx").as_uri(), sha256=file_sha256(file)))


def test_a_sheet_of_cards(file: Path, tmp_path: Path) -> None:
    entry = tiny_card(name=None, file=None, format=None, url=file.as_uri(), sha256=file_sha256(file))
    sheet = tmp_path / "cards.json"
    sheet.write_text(json.dumps({"recognizers": {"one": entry, "two": entry}}))
    with pytest.raises(CardError, match="holds 2 cards; name the one to fetch: one, two"):
        fetch_new(sheet)
    with pytest.raises(UnknownRecognizerError, match=r'has no card of "twoo"\. Did you mean "two"'):
        fetch_new(sheet, "twoo")
    assert fetch_new(sheet, "two").name == "two"


@pytest.mark.parametrize(
    ("changes", "error", "sentence"),
    [
        ({"url": None}, CardError, "tiny: to be fetched, the card needs its url"),
        ({"url": None, "sha256": None}, CardError, "needs its url and sha256"),
        ({"url": "http://127.0.0.1/net.onnx"}, CardError, "use https:// or file://"),
        ({"url": "https://127.0.0.1/net.zip"}, WeightsError, "net.zip: give an ONNX file"),
        ({"url": "https://127.0.0.1/"}, WeightsError, "give an ONNX file"),
        ({"url": "https://127.0.0.1/..%2F..%2Fx.onnx", "input": None}, CardError, "lacks input"),
        ({"name": "../up"}, CardError, "lower-case letters"),
        ({"format": "onnx-black-box", "role": "surrogate"}, CardError, "cannot be a surrogate"),
    ],
)
def test_cards_that_cannot_be_fetched(
    sheet: Path, server: Server, tmp_path: Path, home: Path, changes: Any, error: type[Exception], sentence: str
) -> None:
    entry = {**json.loads(sheet.read_text()), **changes}
    sheet.write_text(json.dumps({key: value for key, value in entry.items() if value is not None}))
    with pytest.raises(error, match=sentence):
        fetch_new(sheet)
    assert (server.asked, home.exists()) == ([], False)


def test_a_card_that_contradicts_its_file(sheet: Path, server: Server, home: Path) -> None:
    wrong = json.loads(sheet.read_text())
    sheet.write_text(json.dumps({**wrong, "dim": 9}))
    with pytest.raises(CardError, match="its card says dim 9"):
        fetch_new(sheet)
    assert "tiny" not in cards()
    sheet.write_text(json.dumps(wrong))
    fetch_new(sheet)
    assert len(server.asked) == 1  # what came is not asked for again


# nothing else opens a connection


def test_only_fetch_uses_the_network(known: Card, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    added = add(file, write(tmp_path, name="mine", url=known.url))
    assert [verify(card) for card in cards().values()] == ["not fetched", "intact"]
    load(added)
    remove("mine")
    with pytest.raises(WeightsError):
        load(known)
    with pytest.raises(AssertionError, match="a connection was opened"):
        fetch("tiny")
