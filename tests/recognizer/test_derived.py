"""Recognizers made of others: what is kept is what was made, and only beside what it was made of."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from learners import tiny_recognizer
from tiny import DIM, tiny_onnx, write_card
from visard import recognizer as room
from visard.errors import CardError, RecognizerError, WeightsError
from visard.recognizer import (
    Card,
    Recognizer,
    add,
    cards,
    derived,
    find,
    load,
    owner,
    parse_card,
    ready,
    remove,
    store,
    store_derived,
    verify,
)
from visard.recognizer.card import file_sha256, kin
from visard.recognizer.front import Bits, CloakDetector, Denoiser, Median
from visard.recognizer.networks import find_network


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VISARD_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def base(kind: str, folder: Path) -> Recognizer:
    """A recognizer in the store, of one of the formats."""
    if kind == "dlib":
        return load(find("dlib-resnet"))
    if kind == "onnx":
        return load(add(tiny_onnx(folder / "net.onnx"), write_card(folder / "card.json")))
    network = find_network("model-a")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = network.build().state_dict()
    path = folder / ("net.safetensors" if kind == "safetensors" else "net.pt")
    save_file(state, path) if kind == "safetensors" else torch.save(state, path)
    (folder / "card.json").write_text(json.dumps({"name": "tiny", "network": network.name}))
    return load(add(path, folder / "card.json"))


@pytest.fixture
def tiny(tmp_path: Path) -> Recognizer:
    return base("onnx", tmp_path)


def trained(one: Recognizer, seed: int = 0, **given: Any) -> Recognizer:
    """`one` with other weights everywhere."""
    made = derived(one, **given)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in made.parameters():
            weight.add_(0.01 * torch.randn(weight.shape, generator=generator))
        for buffer in made.network.buffers():
            if buffer.is_floating_point():
                buffer.mul_(1.01)
    return made


def noise(one: Recognizer) -> torch.Tensor:
    return torch.rand(2, 3, *one.template.size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", ["dlib", "onnx", "safetensors", "pytorch"])
def test_what_is_kept_is_what_was_made(kind: str, tmp_path: Path) -> None:
    """Bit for bit, whatever the base comes from; the base is left as it was."""
    one = base(kind, tmp_path)
    faces = noise(one)
    before = one.embed(faces)
    facts = {"loss": "hard", "limits": "none known"}
    made = trained(
        one, name="hard", front=[Bits(depth=6), Denoiser(width=4, depth=3), Median()],
        detector=CloakDetector(threshold=0.1), facts=facts,
    )  # fmt: skip
    card = store_derived(made)
    assert (card.role, card.format, card.base, card.base_sha256) == ("adaptive", "derived", one.name, one.card.sha256)
    assert (card.loss, card.limits, card.thresholds, card.detector) == ("hard", "none known", (), 0.1)
    assert find("hard") == card
    assert (owner(card), verify(card), ready(card)) == ("user", "intact", True)
    again = load(find("hard"))
    assert torch.equal(again.embed(faces), made.embed(faces))
    assert not torch.allclose(again.embed(faces), before, atol=1e-4)
    assert torch.equal(one.embed(faces), before)
    assert again.detector is not None
    assert made.detector is not None
    assert torch.equal(again.detector(faces), made.detector(faces))
    assert not any(weight.requires_grad for weight in again.parameters())
    assert again.differentiable
    remove("hard")
    assert "hard" not in cards()


def test_half_the_size(tmp_path: Path) -> None:
    one = trained(base("safetensors", tmp_path))
    whole = store.weights(store_derived(one)).stat().st_size
    remove(one.name)
    card = store_derived(one, half=True)
    assert store.weights(card).stat().st_size < 0.51 * whole
    torch.testing.assert_close(load(card).embed(noise(one)), one.embed(noise(one)), atol=2e-3, rtol=0)


def test_one_on_top_of_another(tmp_path: Path) -> None:
    """The structure is that of the recognizer at the bottom; what stood before the network stays there."""
    one = base("onnx", tmp_path)
    first = trained(one, front=[Bits(depth=5)], detector=CloakDetector(0.3))
    second = trained(first, name="twice", front=[Median()])
    assert (second.card.base, second.card.origin) == ("tiny", "tiny")
    assert [entry["name"] for entry in second.card.front] == ["bits", "median"]
    assert second.card.detector == 0.3
    faces = noise(one)
    card = store_derived(second)  # the one between is not needed
    assert torch.equal(load(card).embed(faces), second.embed(faces))
    by_hand = Recognizer(one.card, second.network).embed(Median()(Bits(depth=5)(faces)))
    torch.testing.assert_close(second.embed(faces), by_hand)


def test_a_name_of_its_own(tiny: Recognizer) -> None:
    assert derived(tiny).name == "tiny-hardened"
    card = store_derived(derived(tiny))
    with pytest.raises(CardError, match='"tiny-hardened" is there already; give the card another name'):
        store_derived(derived(tiny))
    assert find("tiny-hardened") == card
    with pytest.raises(CardError, match="tiny is no derived recognizer"):
        store_derived(tiny)
    with pytest.raises(CardError, match="should have lower-case letters"):
        derived(tiny, name="Hard")


def test_kinship(tiny: Recognizer) -> None:
    """It is kin of its base and of its base's kin; what is not stored yet has no hash to be known by."""
    ours, others = derived(tiny).card, derived(tiny_recognizer(1)).card
    assert kin(ours, tiny.card)
    assert kin(tiny.card, ours)
    assert not kin(ours, others)
    student = derived(tiny_recognizer(2, origin="tiny")).card
    assert kin(student, ours)


def test_without_its_base(tmp_path: Path, tiny: Recognizer) -> None:
    card = store_derived(derived(tiny))
    remove("tiny")
    assert (ready(card), verify(card)) == (False, "base missing")
    with pytest.raises(WeightsError, match="tiny-hardened is derived from tiny, which is not there; add or fetch tiny"):
        load(card)
    add(tiny_onnx(tmp_path / "other.onnx", seed=1), write_card(tmp_path / "card.json"))
    assert (ready(card), verify(card)) == (False, "base missing")
    with pytest.raises(WeightsError, match=r"is derived from another tiny .* than the one that is there"):
        load(card)
    with pytest.raises(WeightsError, match="is derived from another tiny"):
        store_derived(derived(tiny, name="late"))
    assert "late" not in cards()
    remove("tiny")
    add(tmp_path / "net.onnx", write_card(tmp_path / "card.json"))
    assert load(card).embed(noise(tiny)).shape == (2, DIM)


def test_a_damaged_file(tiny: Recognizer, home: Path) -> None:
    card = store_derived(trained(tiny))
    path = home / "recognizers" / card.name / card.file
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert verify(card) == "damaged"
    with pytest.raises(WeightsError, match="its card says"):
        load(card)


def no_tensor(state: dict[str, Any]) -> dict[str, Any]:
    return {"other": torch.zeros(1)}


def one_less(state: dict[str, Any]) -> dict[str, Any]:
    return dict(list(state.items())[1:])


def other_shape(state: dict[str, Any]) -> dict[str, Any]:
    return {key: value[:1] if value.ndim == 4 else value for key, value in state.items()}


@pytest.mark.parametrize("change", [no_tensor, one_less, other_shape])
def test_a_file_that_does_not_fit(
    tiny: Recognizer, home: Path, tmp_path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    card = store_derived(trained(tiny, front=[Denoiser(width=4, depth=2)]))
    folder = tmp_path / "given"
    folder.mkdir()
    path = folder / card.file
    save_file(change(load_file(home / "recognizers" / card.name / card.file)), path)
    sheet = folder / "card.json"
    sheet.write_text(json.dumps({**card.to_json(), "name": "given", "sha256": file_sha256(path)}))
    with pytest.raises(WeightsError, match="does not fit the network of tiny with what its card says"):
        add(path, sheet)
    assert "given" not in cards()


def test_another_persons_file(tiny: Recognizer, home: Path, tmp_path: Path) -> None:
    """A file and its card are all that it takes, where the base is."""
    made = trained(tiny, front=[Denoiser(width=4, depth=2)], detector=CloakDetector(0.5))
    card = store_derived(made)
    folder = shutil.copytree(home / "recognizers" / card.name, tmp_path / "given")
    remove(card.name)
    assert add(folder / card.file, folder / "card.json") == card
    assert torch.equal(load(find(card.name)).embed(noise(tiny)), made.embed(noise(tiny)))


def test_one_that_comes_with_visard(
    tiny: Recognizer, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = trained(tiny)
    card = store_derived(made)
    folder = home / "recognizers" / card.name
    given = tmp_path / "cards"
    given.mkdir()
    shutil.move(folder / "card.json", given / f"{card.name}.json")
    shutil.move(folder / card.file, given / card.file)
    folder.rmdir()
    monkeypatch.setattr(store, "_CARDS", given)
    monkeypatch.setattr(store, "_WEIGHTS", given)
    assert (owner(find(card.name)), verify(find(card.name))) == ("visard", "intact")
    assert torch.equal(load(find(card.name)).embed(noise(tiny)), made.embed(noise(tiny)))


@pytest.mark.parametrize("target", ["pathlib.Path.write_bytes", "visard.recognizer.install.write_json"])
def test_nothing_stays_behind_a_full_disk(
    tiny: Recognizer, home: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    def full(*_args: object, **_named: object) -> None:
        raise OSError(28, "No space left on device")

    before = sorted(home.rglob("*"))
    monkeypatch.setattr(target, full)
    with pytest.raises(RecognizerError, match=r"tiny-hardened could not be stored in .*recognizers: No space left"):
        store_derived(derived(tiny))
    assert sorted(home.rglob("*")) == before


def made_card(**changes: Any) -> Card:
    return parse_card(
        {**derived(tiny_recognizer(1), front=[Bits()], detector=CloakDetector()).card.to_json(), **changes}
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"base": ""}, 'format is "derived" if, and only if, it has a "base"'),
        ({"base_sha256": ""}, 'format is "derived" if, and only if, it has a "base"'),
        ({"format": "onnx"}, 'format is "derived" if, and only if, it has a "base"'),
        ({"format": "onnx", "base": "", "base_sha256": ""}, 'only a "derived" recognizer has a front or a detector'),
        ({"front": ["bits"]}, 'front should be a list of objects with a "name" each'),
        ({"front": [{"depth": 5}]}, 'front should be a list of objects with a "name" each'),
        ({"front": 5}, "the card is malformed"),
        ({"detector": "high"}, "the card is malformed"),
    ],
)
def test_malformed_cards(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CardError, match=sentence):
        made_card(**changes)


def test_cards_survive_json() -> None:
    card = made_card()
    assert parse_card(json.loads(json.dumps(card.to_json()))) == card
    assert len({card, made_card()}) == 1
    assert room.Card is Card
