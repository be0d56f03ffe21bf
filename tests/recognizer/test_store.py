"""The store of recognizers: what is added is checked, kept whole and found again."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper, save
from safetensors.torch import save_file
from torch import nn

from tiny import DIM, tiny_card, tiny_onnx, write_card
from visard import recognizer as room
from visard.errors import (
    CalibrationError,
    CardError,
    RecognizerError,
    UnknownRecognizerError,
    VisardError,
    WeightsError,
)
from visard.recognizer import (
    Accuracy,
    Card,
    Threshold,
    add,
    cards,
    find,
    load,
    owner,
    parse_card,
    ready,
    remove,
    store_thresholds,
    verify,
    weights,
)
from visard.recognizer.card import file_sha256
from visard.recognizer.networks import find_network


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VISARD_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tiny_onnx(tmp_path / "net.onnx")


@pytest.fixture
def tiny(file: Path, tmp_path: Path) -> Card:
    return add(file, write_card(tmp_path / "card.json"))


def threshold(fmr: float, value: float = 0.5, sha256: str = "0" * 64) -> Threshold:
    return Threshold(fmr, value, pairs=40_000, people=300, dataset="made", sha256=sha256, fnmr=0.25)


EMBEDDED = sorted(path.stem for path in (Path(room.__file__).with_name("cards")).glob("*.json"))


def kept(home: Path) -> list[str]:
    """Everything in the store, hidden files too."""
    return sorted(str(p.relative_to(home)) for p in home.rglob("*") if p.is_file())


def test_the_embedded_recognizer(home: Path) -> None:
    assert list(cards()) == EMBEDDED
    card = find("dlib-resnet")
    assert ready(card)
    assert (owner(card), verify(card)) == ("visard", "intact")
    assert load(card).name == "dlib-resnet"
    assert not home.exists()  # looking changes nothing


def test_add(tiny: Card, file: Path, home: Path) -> None:
    assert list(cards()) == [*EMBEDDED, "tiny"]
    assert find("tiny") == tiny
    assert (tiny.file, tiny.sha256, tiny.format, tiny.role) == ("net.onnx", file_sha256(file), "onnx", "juror")
    assert kept(home) == ["recognizers/tiny/card.json", "recognizers/tiny/net.onnx"]
    assert ready(tiny)
    assert (owner(tiny), verify(tiny)) == ("user", "intact")
    file.unlink()
    assert load(tiny).embed(torch.rand(2, 3, 16, 16)).shape == (2, DIM)


def test_home_of_the_desktop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.delenv("VISARD_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    add(file, write_card(tmp_path / "card.json"))
    assert (tmp_path / "xdg/visard/recognizers/tiny/card.json").is_file()
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.move(tmp_path / "xdg", tmp_path / ".local")
    (tmp_path / ".local/share").mkdir()
    shutil.move(tmp_path / ".local/visard", tmp_path / ".local/share/visard")
    assert "tiny" in cards()


@pytest.mark.parametrize("role", ["surrogate", "juror"])
def test_the_role_asked_for_wins(file: Path, tmp_path: Path, role: Any) -> None:
    assert add(file, write_card(tmp_path / "card.json"), role=role).role == find("tiny").role == role


def test_tampered_weights(tiny: Card, home: Path) -> None:
    path = home / "recognizers/tiny/net.onnx"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=f"{file_sha256(path)[:12]}.*card says {tiny.sha256[:12]}"):
        load(tiny)
    assert verify(tiny) == "damaged"


def test_missing_weights(tiny: Card, home: Path) -> None:
    (home / "recognizers/tiny/net.onnx").unlink()
    assert not ready(tiny)
    assert "tiny" in cards()
    with pytest.raises(
        WeightsError, match=r"net\.onnx is missing; remove it .visard models remove tiny. and add it again"
    ):
        load(tiny)
    assert verify(tiny) == "missing"


@pytest.mark.parametrize(
    ("name", "hint"),
    [("tinny", 'Did you mean "tiny"'), ("dlib-resnt", 'Did you mean "dlib-resnet"'), ("?", "dlib-resnet, .*, tiny")],
)
@pytest.mark.usefixtures("tiny")
def test_unknown_names(name: str, hint: str) -> None:
    with pytest.raises(UnknownRecognizerError, match=hint):
        find(name)


@pytest.mark.parametrize("name", ["tiny", "dlib-resnet"])
@pytest.mark.usefixtures("tiny")
def test_a_name_is_given_once(file: Path, tmp_path: Path, home: Path, name: str) -> None:
    before = kept(home)
    with pytest.raises(CardError, match=f'"{name}" is there already'):
        add(file, write_card(tmp_path / "card.json", name=name))
    assert kept(home) == before


MALFORMED = [
    *(({key: None}, f"the card lacks {key}") for key in ("input", "crop", "mean", "std", "dim")),
    ({"input": None, "dim": None}, "lacks input, dim"),
    ({"input": [16]}, "input needs 2 numbers, got 1"),
    ({"crop": [0, 0, 112]}, "crop needs 4 numbers, got 3"),
    ({"mean": [1, 2, 3, 4]}, "mean needs 3 numbers, got 4"),
    ({"std": []}, "std needs 3 numbers, got 0"),
    ({"std": [1, 0, 1]}, "must be positive"),
    ({"std": [1, float("nan"), 1]}, "must be finite"),
    ({"mean": [1, float("inf"), 1]}, "must be finite"),
    ({"input": [0, 16]}, "must be positive"),
    ({"dim": 0}, "must be positive"),
    ({"dim": "many"}, "malformed"),
    ({"mean": 5}, "mean should be 3 numbers, got 5"),
    ({"chanels": "BGR"}, 'no field "chanels". Did you mean "channels"'),
    ({"mean": ["a", "b", "c"]}, "mean should be 3 numbers"),
    ({"crop": [50, 0, 50, 112]}, "x0 < x1"),
    ({"crop": [0, 112, 112, 0]}, "x0 < x1"),
    ({"role": "judge"}, 'role is "judge"; use one of surrogate, juror'),
    ({"channels": "GRB"}, 'channels is "GRB"; use one of RGB, BGR'),
    *(({"name": name}, "name") for name in ("", "Tiny", "a/b", "..", ".", ".hidden", "-x", "tiny\n", 5)),
    ({"thresholds": [{"fmr": 0.1}]}, "malformed"),
    ({"thresholds": 3}, "malformed"),
    ({"accuracy": 0.99}, "malformed"),
    ({"accuracy": {"balanced": 0.99}}, "malformed"),
    ({"limits": 5}, "limits should be text, got 5"),
    ({"url": "http://models.example/net.onnx"}, "use https:// or file://"),
    ({"url": "ftp://models.example/net.onnx"}, "use https:// or file://"),
    ({"dim": DIM + 1}, rf"output of \(1, {DIM}\), its card says dim {DIM + 1}"),
]


@pytest.mark.parametrize(("changes", "sentence"), MALFORMED)
@pytest.mark.parametrize("black_box", [False, True])
def test_malformed_cards(
    file: Path, tmp_path: Path, home: Path, changes: dict[str, Any], sentence: str, black_box: bool
) -> None:
    with pytest.raises(CardError, match=sentence):
        add(file, write_card(tmp_path / "card.json", **changes), black_box=black_box)
    assert not home.exists()


@pytest.mark.parametrize("key", ["name", "format", "file", "sha256"])
def test_cards_without_what_add_finds_itself(key: str) -> None:
    with pytest.raises(CardError, match=f"lacks {key}"):
        parse_card(tiny_card(**{key: None}))


def test_unknown_format() -> None:
    with pytest.raises(CardError, match='format is "keras"; use one of dlib, onnx, onnx-black-box'):
        parse_card(tiny_card(format="keras"))


@pytest.mark.parametrize("black_box", [False, True])
def test_input_of_another_size(tmp_path: Path, home: Path, black_box: bool) -> None:
    """A network that ends in a dense layer takes one size only."""
    file = fixed_size_onnx(tmp_path / "fixed.onnx")
    with pytest.raises(CardError, match=r"does not take faces of 20 x 16 \(height x width\); give the size"):
        add(file, write_card(tmp_path / "card.json", input=[20, 16]), black_box=black_box)
    assert not home.exists()
    assert add(file, write_card(tmp_path / "card.json"), black_box=black_box).input == (16, 16)


def fixed_size_onnx(path: Path) -> Path:
    weight = numpy_helper.from_array(np.ones((DIM, 3 * 16 * 16), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["x"], ["flat"]), helper.make_node("Gemm", ["flat", "w"], ["y"], transB=1)],
        "fixed",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", DIM])],
        [weight],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), str(path))
    return path


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "does not exist"),
        ("{no", "could not be read as JSON"),
        (b"\xff\xfe", "could not be read as JSON"),
        ("[]", "should hold a JSON object"),
        ('{"recognizers": {"a": 5}}', "should be a JSON object"),
        ('{"recognizers": {}}', "No card .* has the sha256"),
        ('{"recognizers": []}', "lacks"),
    ],
)
def test_unreadable_cards(file: Path, tmp_path: Path, home: Path, content: str | bytes | None, sentence: str) -> None:
    path = tmp_path / "card.json"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(CardError, match=sentence):
        add(file, path)
    assert not home.exists()


@pytest.mark.parametrize(
    ("name", "data", "error"),
    [
        ("none.onnx", None, "is not a file"),
        ("net.h5", b"weights", "give an ONNX file"),
        ("net.onnx", b"", "."),
        ("net.onnx", b"garbage" * 100, "."),
    ],
)
@pytest.mark.parametrize("black_box", [False, True])
def test_damaged_weights(
    tmp_path: Path, home: Path, name: str, data: bytes | None, error: str, black_box: bool
) -> None:
    path = tmp_path / name
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(WeightsError, match=error):
        add(path, write_card(tmp_path / "card.json"), black_box=black_box)
    assert not home.exists()


def test_a_black_box_is_no_surrogate(file: Path, tmp_path: Path, home: Path) -> None:
    card = write_card(tmp_path / "card.json", role="surrogate")
    with pytest.raises(CardError, match="cannot be a surrogate"):
        add(file, card, black_box=True)
    assert not home.exists()
    assert add(file, card, black_box=True, role="juror").format == "onnx-black-box"


def test_a_sheet_of_cards(tmp_path: Path) -> None:
    """The card is the one with the file's sha256, under its name there."""
    files = {f"net-{i}": tiny_onnx(tmp_path / f"{i}.onnx", seed=i) for i in range(3)}
    entries = {
        n: tiny_card(name=None, sha256=file_sha256(f), license=None, licence=f"of {n}") for n, f in files.items()
    }
    sheet = tmp_path / "cards.json"
    sheet.write_text(json.dumps({"_": "three", "recognizers": entries}))
    for name, file in files.items():
        card = add(file, sheet)
        assert (card.name, card.license) == (name, f"of {name}")
    with pytest.raises(CardError, match=r"has the sha256 of other\.onnx"):
        add(tiny_onnx(tmp_path / "other.onnx", seed=9), sheet)


def test_a_name_from_the_file(file: Path, tmp_path: Path) -> None:
    assert add(file, write_card(tmp_path / "card.json", name=None)).name == "net"


@pytest.mark.parametrize("operation", ["copyfile", "rename"])
def test_nothing_stays_behind_a_full_disk(
    file: Path, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    def fail(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil if operation == "copyfile" else Path, operation, fail)
    with pytest.raises(RecognizerError, match="No space left"):
        add(file, write_card(tmp_path / "card.json"))
    assert list((home / "recognizers").iterdir()) == []


def test_a_store_that_is_a_file(file: Path, tmp_path: Path, home: Path) -> None:
    home.write_text("in the way")
    with pytest.raises(RecognizerError, match="could not be stored"):
        add(file, write_card(tmp_path / "card.json"))


@pytest.mark.parametrize("name", ["card.json", "thresholds.json"])
@pytest.mark.parametrize("content", ["{half", "[5]", '{"name": "tiny"}'])
@pytest.mark.usefixtures("tiny")
def test_damaged_store(home: Path, name: str, content: str) -> None:
    (home / "recognizers/tiny" / name).write_text(content)
    with pytest.raises(VisardError):
        cards()


def test_card_survives_json() -> None:
    card = replace(parse_card(tiny_card()), thresholds=(threshold(1e-2), threshold(1e-3)))
    assert parse_card(json.loads(json.dumps(card.to_json()))) == card


def test_cards_may_say_more() -> None:
    assert parse_card(tiny_card(measured={"accuracy": 1})) == parse_card(tiny_card())


def test_thresholds_are_merged(tiny: Card, home: Path) -> None:
    store_thresholds(tiny, [threshold(1e-2, 0.1), threshold(1e-3, 0.2)])
    store_thresholds(tiny, [threshold(1e-4, 0.4), threshold(1e-3, 0.3)])
    assert {t.fmr: t.value for t in find("tiny").thresholds} == {1e-2: 0.1, 1e-3: 0.3, 1e-4: 0.4}
    assert find("tiny").thresholds[0] == threshold(1e-2, 0.1)
    assert kept(home / "recognizers/tiny") == ["card.json", "net.onnx", "thresholds.json"]


def test_thresholds_of_an_embedded_recognizer() -> None:
    before = {t.fmr: t for t in find("dlib-resnet").thresholds}
    store_thresholds(find("dlib-resnet"), [threshold(1e-3)])
    assert {t.fmr: t for t in find("dlib-resnet").thresholds} == {**before, 1e-3: threshold(1e-3)}
    assert list(cards()) == EMBEDDED


def test_thresholds_without_genuine_pairs(tiny: Card) -> None:
    store_thresholds(tiny, [replace(threshold(1e-3), fnmr=None)])
    (found,) = find("tiny").thresholds
    assert found.fnmr is None


def test_the_threshold_asked_for(tiny: Card) -> None:
    store_thresholds(tiny, [threshold(1e-2, 0.1, tiny.sha256), threshold(1e-3, 0.2)])
    recognizer = load(find("tiny"))
    assert recognizer.threshold(1e-2).value == 0.1
    for fmr in (1e-3, 1e-4):  # of another file, absent
        with pytest.raises(
            CalibrationError, match=rf"tiny has no threshold at FMR {fmr:g} \(it has 0.01\); run: visard calibrate"
        ):
            recognizer.threshold(fmr)


@pytest.mark.parametrize("file", ["../net.onnx", "a/b", "a\\b", "..", "card.json", "thresholds.json"])
def test_a_card_names_a_bare_file(file: str) -> None:
    with pytest.raises(CardError, match="bare name"):
        parse_card(tiny_card(file=file))


def test_facts_survive_json() -> None:
    given = {"balanced": 0.99, "low": 0.98, "high": 1.0, "on": "LFW, 600 pairs"}
    card = parse_card(tiny_card(accuracy=given, url="https://a.example/b", code_license="MIT", limits="Profiles."))
    assert card.accuracy == Accuracy(0.99, 0.98, 1.0, "LFW, 600 pairs")
    assert parse_card(json.loads(json.dumps(card.to_json()))) == card


# weights of networks that visard knows


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return find_network("mobilefacenet-relu6").build().eval()


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth", ".ckpt", ".PT"])
def test_weights_alone(network: nn.Module, tmp_path: Path, suffix: str) -> None:
    """The card says which network they are for; what it does not say of the input, the network does."""
    path = tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        save_file(network.state_dict(), path)
    else:
        torch.save({"state_dict": network.state_dict()}, path)
    entry = {"name": "mine", "network": "mobilefacenet-relu6", "mean": [1, 2, 3]}
    (tmp_path / "card.json").write_text(json.dumps(entry))
    card = add(path, tmp_path / "card.json", role="surrogate")
    assert card.format == ("safetensors" if suffix == ".safetensors" else "pytorch")
    assert (card.input, card.dim, card.mean) == ((112, 112), 128, (1, 2, 3))
    faces = torch.rand(2, 3, 112, 112)
    expected = network((faces * 255 - torch.tensor(card.mean).view(3, 1, 1)) / torch.tensor(card.std).view(3, 1, 1))
    recognizer = load(find("mine"))
    assert recognizer.differentiable
    torch.testing.assert_close(recognizer.embed(faces), F.normalize(expected), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("entry", "error", "sentence"),
    [
        ({}, CardError, 'lacks input|name their "network"'),
        ({"network": "mobilefacenet-relu7"}, UnknownRecognizerError, 'Did you mean "mobilefacenet-relu6"'),
        ({"network": "facenet"}, WeightsError, 'does not fit the network "facenet"'),
        ({"network": "mobilefacenet-relu6", "dim": 64}, CardError, "its card says dim 64"),
        ({"network": 6}, CardError, "lacks input|network should be text"),
    ],
)
def test_weights_that_do_not_fit(
    network: nn.Module, tmp_path: Path, home: Path, entry: dict[str, Any], error: type[VisardError], sentence: str
) -> None:
    torch.save(network.state_dict(), tmp_path / "w.pt")
    (tmp_path / "card.json").write_text(json.dumps({"name": "mine", **entry}))
    with pytest.raises(error, match=sentence):
        add(tmp_path / "w.pt", tmp_path / "card.json")
    assert not home.exists()


def test_weights_alone_name_their_network(network: nn.Module, tmp_path: Path) -> None:
    torch.save(network.state_dict(), tmp_path / "w.pt")
    with pytest.raises(CardError, match='a pytorch file holds weights alone; name their "network"'):
        add(tmp_path / "w.pt", write_card(tmp_path / "card.json"))
    with pytest.raises(CardError, match=r"w\.pt: only an ONNX file can be run as a black box"):
        add(tmp_path / "w.pt", write_card(tmp_path / "card.json"), black_box=True)


def test_weights_that_come_with_visard(network: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A card in visard's own folder of cards, its file in visard's own folder of weights."""
    for folder in ("cards", "weights"):
        (tmp_path / folder).mkdir()
        monkeypatch.setattr(f"visard.recognizer.store._{folder.upper()}", tmp_path / folder)
    file = tmp_path / "weights/student.safetensors"
    save_file(network.state_dict(), file)
    facts = tiny_card(
        name="student", format="safetensors", network="mobilefacenet-relu6", file=file.name, sha256=file_sha256(file),
        input=[112, 112], dim=128,
    )  # fmt: skip
    (tmp_path / "cards/student.json").write_text(json.dumps(facts))
    card = find("student")
    assert (weights(card), verify(card), owner(card)) == (file, "intact", "visard")
    assert load(card).embed(torch.rand(1, 3, 112, 112)).shape == (1, 128)
    with pytest.raises(RecognizerError, match="student came with a package and cannot be removed"):
        remove("student")
    file.write_bytes(b"damaged")
    with pytest.raises(WeightsError, match="install the package that brought it again"):
        load(card)


# removing


def test_remove(tiny: Card, home: Path, file: Path, tmp_path: Path) -> None:
    store_thresholds(tiny, [threshold(1e-3)])
    remove("tiny")
    assert list(cards()) == EMBEDDED
    assert list((home / "recognizers").iterdir()) == []
    assert add(file, write_card(tmp_path / "card.json")).thresholds == ()


def test_what_cannot_be_removed(tiny: Card, home: Path, tmp_path: Path) -> None:
    store_thresholds(find("dlib-resnet"), [threshold(1e-3)])
    before = kept(home)
    (tmp_path / "mine").write_text("kept")
    for name, sentence in {
        "dlib-resnet": "came with a package and cannot be removed; to leave it out",
        "mobilefacenet-foamliu": "is not fetched, so there is nothing to remove",
        "tinny": 'Did you mean "tiny"',
        "../../mine": "No recognizer is called",
        "..": "No recognizer is called",
        "": "No recognizer is called",
    }.items():
        with pytest.raises(RecognizerError, match=sentence):
            remove(name)
    assert kept(home) == before
    assert (tmp_path / "mine").exists()


def test_what_is_damaged_can_be_removed(tiny: Card, home: Path) -> None:
    (home / "recognizers/tiny/card.json").write_text("{half")
    with pytest.raises(CardError, match=r"visard models remove tiny\) and add it again"):
        cards()
    remove("tiny")
    assert list(cards()) == EMBEDDED


def test_nothing_is_lost_when_removing_fails(tiny: Card, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object) -> None:
        raise OSError(13, "Permission denied")

    before = kept(home)
    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(RecognizerError, match=r"tiny could not be removed from .*: Permission denied"):
        remove("tiny")
    assert kept(home) == before


def test_two_adds_at_once(file: Path, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that comes second finds the name taken when it already believed it free."""
    card = write_card(tmp_path / "card.json")
    first = add(file, card)
    before = kept(home)
    monkeypatch.setattr("visard.recognizer.install.cards", dict)
    with pytest.raises(CardError, match="tiny is there already; remove it with: visard models remove tiny"):
        add(file, card)
    assert (kept(home), find("tiny")) == (before, first)
