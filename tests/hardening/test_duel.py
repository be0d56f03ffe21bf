"""A duel: who is attacked with what, what is kept, and what the cells say."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from learners import made_crops, tiny_recognizer
from visard.cloak import find
from visard.errors import CloakError, HardeningError, SettingError, WriteError
from visard.generator import Crops
from visard.hardening import Defence, Material, embed_faces, find_defence
from visard.hardening import duel as module
from visard.hardening.adaptive import comparisons
from visard.hardening.duel import TRANSFER, WHITE_BOX, Duel, Fought, Round
from visard.hardening.people import some, with_mates
from visard.measure import asr, fmr_at
from visard.recognizer import Recognizer, derived

ATTACKED = made_crops(4, 2, seed=1)


def a_duel(out: Path, **facts: Any) -> Duel:
    parts: dict[str, Any] = {
        "base": tiny_recognizer(0),
        "defence": find_defence("adversarial"),
        "training": made_crops(4, 1, seed=2),
        "attacked": ATTACKED,
        "tested": ATTACKED,
        "calibration": made_crops(8, 1, seed=3),
        "surrogates": [tiny_recognizer(1)],
        "methods": {"noise": find("noise")},
        "jury": [tiny_recognizer(5)],
        "settings": {"steps": 2, "batch": 4, "attack_steps": 1},
        "steps": 2,
        "restarts": 1,
        "far": 0.05,
        **facts,
    }
    return Duel(out=out, **parts)


def missing_half(recognizer: Recognizer, *_: Any) -> float:
    """A threshold under which half of the clean photos of one person lie."""
    embeddings = embed_faces(recognizer, ATTACKED.pixels).numpy()
    return float(np.median((embeddings @ embeddings.T)[comparisons(ATTACKED)]))


@pytest.fixture(scope="module", autouse=True)
def thresholds() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "threshold", missing_half)
        yield


@pytest.fixture(scope="module")
def fought(thresholds: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Round], list[Fought]]:
    out = tmp_path_factory.mktemp("duel")
    return out, *a_duel(out).fight()


def test_each_round_has_its_own_recognizer_and_its_own_cloaks(fought: Any) -> None:
    _, rounds, _ = fought
    assert [one.recognizer.name for one in rounds] == ["tiny-0", "tiny-0-round-1", "tiny-0-round-2"]
    assert [list(one.cloaks) for one in rounds] == [[WHITE_BOX, TRANSFER, "noise"]] * 3
    for one, other in pairwise(rounds):
        assert any((one.cloaks[name].pixels != other.cloaks[name].pixels).any() for name in one.cloaks)
        first, second = (embed_faces(each.recognizer, ATTACKED.pixels) for each in (one, other))
        assert not torch.equal(first, second)
    for one in rounds:
        assert len(one.checks) == 7
        for cloaks in one.cloaks.values():
            assert cloaks.pixels.shape == ATTACKED.pixels.shape
            assert 0 < cloaks.ssim < 1
            assert cloaks.seconds > 0
    assert [one.seconds > 0 for one in rounds] == [False, True, True]


def test_who_knows_whom(fought: Any) -> None:
    """The white box the recognizer, transfer strangers and the one before it, methods the recognizer and strangers."""
    _, rounds, _ = fought
    known = [{name: [r.name for r in cloaks.attack.known] for name, cloaks in one.cloaks.items()} for one in rounds]
    assert known[0] == {WHITE_BOX: ["tiny-0"], TRANSFER: ["tiny-1"], "noise": ["tiny-0", "tiny-1"]}
    assert known[2] == {
        WHITE_BOX: ["tiny-0-round-2"],
        TRANSFER: ["tiny-1", "tiny-0-round-1"],
        "noise": ["tiny-0-round-2", "tiny-1"],
    }


def test_cloaks_are_frozen_and_meet_their_own_and_all_later_recognizers(fought: Any) -> None:
    _, rounds, cells = fought
    met = {(c.made, c.judged) for c in cells if c.judged is not None and c.attack == WHITE_BOX}
    assert met == {(0, 0), (0, 1), (1, 1), (0, 2), (1, 2), (2, 2)}
    assert [(c.made, c.judge) for c in cells if c.judged is None and c.attack == TRANSFER] == [
        (made, "tiny-5") for made in range(3)
    ]
    for cell in cells:
        judge = tiny_recognizer(5) if cell.judged is None else rounds[cell.judged].recognizer
        clean = embed_faces(judge, ATTACKED.pixels).numpy()
        cloaked = embed_faces(judge, rounds[cell.made].cloaks[cell.attack].pixels).numpy()
        for row, (probe, mate) in enumerate(zip(cell.probe, cell.mate, strict=True)):
            assert probe != mate
            assert ATTACKED.people[probe] == ATTACKED.people[mate]
            assert cell.clean[row] == pytest.approx(clean[probe] @ clean[mate], abs=1e-6)
            assert cell.cloaked[row] == pytest.approx(cloaked[probe] @ clean[mate], abs=1e-6)
        assert len(cell.probe) == 8
        assert cell.asr.value == asr(cell.cloaked, cell.tau)
        assert cell.fnmr.value == asr(cell.clean, cell.tau)
        assert cell.judged is None or cell.fnmr.value == 0.5
        others = ATTACKED.people[:, None] != ATTACKED.people
        assert cell.fmr == fmr_at((cloaked @ clean.T)[others.numpy()], cell.tau)
        counted = cell.clean >= cell.tau
        if cell.escaped is None:
            assert not counted.any()
        else:
            assert cell.escaped.value == np.mean(cell.cloaked[counted] < cell.tau)


def test_a_duel_that_was_interrupted_goes_on(fought: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, rounds, cells = fought
    shutil.copytree(out, tmp_path / "again")
    for name in ("attacked-white-box", "checks", "training", "hardening"):
        (tmp_path / f"again/round-2/{name}.pt").unlink()
    lines: list[str] = []
    again, cells_again = a_duel(tmp_path / "again", watch=lines.append).fight()
    assert sum("adversarial: step" in line for line in lines) == 2  # both, of one hardening
    assert [line for line in lines if "sanity" in line] == ["round 2: sanity checks"]
    for one, other in zip(rounds, again, strict=True):
        assert one.checks == other.checks
        for name in one.cloaks:
            assert torch.equal(one.cloaks[name].pixels, other.cloaks[name].pixels)
    assert [c.asr for c in cells] == [c.asr for c in cells_again]
    monkeypatch.setattr(module, "sanity_checks", None)  # nothing is done twice
    once_more, _ = a_duel(tmp_path / "again").fight()
    assert [one.seconds for one in once_more] == [one.seconds for one in again]


def test_more_rounds_go_on_from_those_that_were_fought(fought: Any, tmp_path: Path) -> None:
    out, rounds, _ = fought
    shutil.copytree(out, tmp_path / "more")
    lines: list[str] = []
    more, _ = a_duel(tmp_path / "more", rounds=3, watch=lines.append).fight()
    assert len(more) == 4
    assert {line.split(":")[0] for line in lines if "adversarial: step" in line} == {"round 3"}
    assert torch.equal(more[2].cloaks[WHITE_BOX].pixels, rounds[2].cloaks[WHITE_BOX].pixels)


def test_another_duel_in_the_same_folder_is_refused(fought: Any, tmp_path: Path) -> None:
    out, _, _ = fought
    shutil.copytree(out, tmp_path / "other")
    with pytest.raises(HardeningError, match=r"attacked-white-box\.pt was begun with other settings; give the same"):
        a_duel(tmp_path / "other", eps=0.1).fight()
    with pytest.raises(HardeningError, match=r"training\.pt was begun with other settings"):
        a_duel(tmp_path / "other", settings={"steps": 3, "batch": 4, "attack_steps": 1}).fight()


def test_a_defence_of_any_kind_can_be_fought_with(tmp_path: Path) -> None:
    """One that puts something before the network, without a checkpoint."""
    seen: list[Material] = []

    def dimmed(base: Recognizer, material: Material) -> Recognizer:
        seen.append(material)
        network = torch.nn.Sequential(torch.nn.Hardtanh(), base.network)
        return derived(base, network=network)

    rounds, _ = a_duel(tmp_path, defence=Defence("dimmed", "", dimmed), settings={}, rounds=1).fight()
    assert list(seen[0].cloaked) == [WHITE_BOX, TRANSFER, "noise"]
    assert all(len(faces) == 4 for faces in seen[0].cloaked.values())
    assert rounds[1].recognizer.name == "tiny-0-round-1"


@pytest.mark.parametrize(
    ("facts", "kind", "sentence"),
    [
        ({"surrogates": []}, HardeningError, "Transfer needs other recognizers to start from"),
        ({"surrogates": [tiny_recognizer(0)]}, HardeningError, "tiny-0 is the recognizer itself, not a stranger"),
        ({"base": tiny_recognizer(0, format="onnx-black-box")}, HardeningError, "tiny-0 is a black box"),
        ({"rounds": 0}, SettingError, "A duel has 1 round or more, got 0."),
        ({"settings": {"speed": 3}}, SettingError, 'adversarial has no setting "speed".'),
        ({"attacked": made_crops(4, 1)}, HardeningError, "A cloaked photo is compared with another one of its person"),
        ({"attacked": made_crops(1, 4)}, HardeningError, "A cloaked photo is compared with another one of its person"),
        (
            {"methods": {"tip-im": replace(find("noise"), aim="targeted")}},
            CloakError,
            "noise steers toward a person, and a duel is about dodging",
        ),
    ],
)
def test_what_cannot_be_fought(tmp_path: Path, facts: dict[str, Any], kind: type[Exception], sentence: str) -> None:
    with pytest.raises(kind) as error:
        a_duel(tmp_path, **facts)
    assert str(error.value).startswith(sentence)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(WriteError, match=r"round-0 could not be made: Not a directory; choose another"):
        a_duel(tmp_path / "out").fight()


def test_some_photos() -> None:
    photos = [(str(i), Path(str(i))) for i in range(20)]
    chosen = some(photos, 5, seed=1)
    assert len(chosen) == 5
    assert chosen == sorted(chosen, key=photos.index)
    assert chosen == some(photos, 5, seed=1) != some(photos, 5, seed=2)
    assert some(photos, 50, seed=1) == photos


def test_faces_with_mates() -> None:
    people = torch.tensor([0, 0, 0, 0, 1, 2, 2, 3, 3])
    crops = Crops(torch.arange(9).view(9, 1, 1, 1).expand(9, 3, 4, 4), people)
    found = with_mates(crops, 20, seed=0)
    assert found.people.tolist() == [0, 0, 0, 2, 2, 3, 3]  # three at most, nobody alone
    assert found.pixels[:, 0, 0, 0].tolist() == [0, 1, 2, 5, 6, 7, 8]
    few = with_mates(crops, 4, seed=0)
    assert len(few) <= 4
    assert int(few.people.unique(return_counts=True)[1].min()) > 1
