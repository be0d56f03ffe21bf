"""What is decided before any photo is touched."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from rig import install, install_adaptive, threshold
from tiny import tiny_onnx, write_card
from visard.errors import CardError, NoFaceError, RecognizerError, SettingError, UnknownRecognizerError
from visard.face import Face
from visard.pipeline import Plan, Selection, choose_adaptive, choose_jury, choose_recognizers, uncalibrated
from visard.recognizer import add, find, store_thresholds
from visard.recognizer.card import file_sha256


def face(i: int) -> Face:
    points = np.array([(38, 52), (74, 52), (56, 72), (41, 92), (71, 92)], dtype=float) + 100 * i
    return Face((100 * i, 100 * i, 100 * i + 90, 100 * i + 90), points, "arcface")


FACES = [face(i) for i in range(4)]


@pytest.fixture
def empty_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VISARD_HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.mark.parametrize(
    ("only", "but", "numbers"),
    [
        ((), (), [1, 2, 3, 4]),
        ((3, 1), (), [1, 3]),
        ((), (2,), [1, 3, 4]),
        ((1, 2, 4), (2,), [1, 4]),
    ],
)
def test_selections(only: tuple[int, ...], but: tuple[int, ...], numbers: list[int]) -> None:
    chosen = Selection(frozenset(only), frozenset(but)).apply(FACES)
    assert [n for n, _ in chosen] == numbers
    assert all(f is FACES[n - 1] for n, f in chosen)


def test_a_selection_of_faces_that_are_not_there() -> None:
    for selection in (Selection(only=frozenset({2, 5, 9})), Selection(but=frozenset({5, 9}))):
        with pytest.raises(NoFaceError, match="no face 5, 9: the photo has 4; see them with: visard faces"):
            selection.apply(FACES)
    with pytest.raises(NoFaceError, match="No face is left"):
        Selection(but=frozenset({1, 2, 3, 4})).apply(FACES)
    assert Selection().apply([]) == []


def test_the_aim_needs_its_target(plan: Callable[..., Plan], tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="illc steers toward another person; give a photo with --target"):
        plan("illc")
    with pytest.raises(SettingError, match="bim only steers away from the person; leave --target out"):
        plan("bim", targets=(tmp_path / "x.jpg",))
    assert plan("illc", targets=(tmp_path / "x.jpg",)).targets
    assert plan("bim").targets == ()
    with pytest.raises(SettingError, match="illc steers toward one person; give one photo with --target"):
        plan("illc", targets=(tmp_path / "x.jpg", tmp_path / "y.jpg"))


def test_roles_decide_where_no_names_are_given() -> None:
    surrogates, jury = choose_recognizers()
    assert [r.name for r in surrogates] == ["dlib-resnet"]
    assert [r.name for r in jury] == ["blind", "sharp"]
    assert [r.name for r in choose_jury()] == ["blind", "sharp"]
    assert choose_jury(["none"]) == choose_recognizers(jury=["none"])[1] == ()
    surrogates, jury = choose_recognizers(surrogates=["sharp"])
    assert ([r.name for r in surrogates], [r.name for r in jury]) == (["sharp"], ["blind"])
    surrogates, jury = choose_recognizers(["sharp", "sharp"], ["dlib-resnet", "blind", "blind"])
    assert ([r.name for r in surrogates], [r.name for r in jury]) == (["sharp"], ["dlib-resnet", "blind"])


@pytest.mark.usefixtures("empty_store")
def test_no_recognizer_is_on_both_sides() -> None:
    with pytest.raises(
        RecognizerError, match="dlib-resnet cannot judge what dlib-resnet makes: they are one; name others"
    ):
        choose_recognizers(["dlib-resnet"], ["dlib-resnet"])
    with pytest.raises(RecognizerError, match="No surrogate is left"):
        choose_recognizers([], ["dlib-resnet"])
    assert choose_recognizers()[1] == ()
    with pytest.raises(UnknownRecognizerError):
        choose_recognizers(["nobody"])


def test_another_name_does_not_put_a_surrogate_on_the_jury(empty_store: Path) -> None:
    file = tiny_onnx(empty_store / "net.onnx")
    add(file, write_card(empty_store / "a.json", name="maker"), role="surrogate")
    add(file, write_card(empty_store / "b.json", name="judge"), role="juror", black_box=True)
    surrogates, jury = choose_recognizers()
    assert [r.name for r in surrogates] == ["dlib-resnet", "maker"]
    assert jury == ()
    with pytest.raises(RecognizerError, match="judge cannot judge what maker makes: they are one"):
        choose_recognizers(["maker"], ["judge"])
    assert choose_recognizers(["dlib-resnet"])[1] == ()  # it has no threshold yet
    assert uncalibrated(1e-3) == ["judge"]
    assert [r.name for r in choose_recognizers(["dlib-resnet"], ["judge"])[1]] == ["judge"]


def test_a_student_is_no_judge_of_its_teacher(empty_store: Path) -> None:
    """One origin, one side: neither by role nor by name."""
    file = tiny_onnx(empty_store / "net.onnx", 1)
    marked = [asdict(threshold(0.5, sha256=file_sha256(file)))]
    add(file, write_card(empty_store / "a.json", name="teacher", thresholds=marked))
    add(tiny_onnx(empty_store / "s.onnx", 2), write_card(empty_store / "b.json", name="student", origin="teacher"),
        role="surrogate")  # fmt: skip
    surrogates, jury = choose_recognizers()
    assert [r.name for r in surrogates] == ["dlib-resnet", "student"]
    assert jury == ()
    assert [r.name for r in choose_recognizers(["dlib-resnet"])[1]] == ["teacher"]
    with pytest.raises(RecognizerError, match="teacher cannot judge what student makes: they are of one origin"):
        choose_recognizers(["student"], ["teacher"])


def test_thorough_leaves_one_judge() -> None:
    surrogates, jury = choose_recognizers(thorough=True)
    assert [r.name for r in surrogates] == ["dlib-resnet", "sharp"]
    assert [r.name for r in jury] == ["blind"]
    surrogates, jury = choose_recognizers(jury=["sharp"], thorough=True)
    assert ([r.name for r in surrogates], [r.name for r in jury]) == (["dlib-resnet", "blind"], ["sharp"])
    surrogates, jury = choose_recognizers(jury=["none"], thorough=True)
    assert ([r.name for r in surrogates], jury) == (["dlib-resnet", "blind", "sharp"], ())
    with pytest.raises(RecognizerError, match="--thorough chooses the surrogates itself"):
        choose_recognizers(["sharp"], thorough=True)


def test_a_black_box_judges_but_never_makes(empty_store: Path) -> None:
    install(empty_store, "box", 3, 0.5, black_box=True)
    assert [r.name for r in choose_recognizers()[1]] == ["box"]
    with pytest.raises(RecognizerError, match="box is a black box: it can judge a cloak but not make one"):
        choose_recognizers(["box"])
    with pytest.raises(CardError, match="black box has no gradient"):
        add(tiny_onnx(empty_store / "n.onnx", 4), write_card(empty_store / "c.json", name="c", role="surrogate"),
            black_box=True)  # fmt: skip


def test_recognizers_without_their_file_are_left_out(empty_store: Path) -> None:
    install(empty_store, "gone", 3, 0.5)
    (empty_store / "home/recognizers/gone/gone.onnx").unlink()
    assert choose_recognizers()[1] == ()


def test_the_fingerprint_follows_all_that_decides(plan: Callable[..., Plan], tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("a")
    base = plan(jury=("sharp",))
    others = [
        plan(jury=("blind",)),
        plan(),
        plan("fgsm", jury=("sharp",)),
        plan(jury=("sharp",), settings={"steps": 4}),
        plan(jury=("sharp",), faces_from=file),
        plan(jury=("sharp",), targets=(file,)),
        plan(jury=("sharp",), references=(file,)),
        plan(jury=("sharp",), selection=Selection(only=frozenset({1}))),
        plan(jury=("sharp",), selection=Selection(but=frozenset({1}))),
        plan(jury=("sharp",), fmr=1e-2),
        plan(jury=("sharp",), quality=80),
        plan(jury=("sharp",), keep_metadata=True),
        plan(jury=("sharp",), seed=1),
        plan(jury=("sharp",), detector_name="aligned"),
    ]
    prints = [p.fingerprint() for p in (base, *others)]
    file.write_text("b")
    prints += [p.fingerprint() for p in (others[4], others[5], others[6])]
    assert len(set(prints)) == len(prints)
    assert base.fingerprint() == plan(jury=("sharp",), force=True).fingerprint()
    json.dumps(base.record(), allow_nan=False)


def test_a_new_calibration_makes_another_plan(empty_store: Path, plan: Callable[..., Plan]) -> None:
    card = install(empty_store, "box", 3, 0.5)
    before = plan(detector_name="dlib").fingerprint()
    prints = []
    for value in (0.5, 0.4):
        store_thresholds(find("box"), [threshold(value, sha256=card.sha256)])
        surrogates, jury = choose_recognizers()
        prints.append(Plan(plan().method, surrogates, jury, plan().detector).fingerprint())
    assert len({before, *prints}) == 3


def test_hardened_recognizers_are_neither_surrogates_nor_jurors(empty_store: Path, plan: Callable[..., Plan]) -> None:
    maker = install(empty_store, "maker", 3, 0.5)
    card = install_adaptive("hard", "maker", 0.5)
    for thorough in (False, True):
        surrogates, jury = choose_recognizers(jury=["maker"], thorough=thorough)
        assert "hard" not in [r.name for r in (*surrogates, *jury)]
    assert [r.name for r in choose_recognizers(jury=["none"], thorough=True)[0]] == ["dlib-resnet", "maker"]
    assert [r.name for r in choose_jury()] == ["maker"]
    # kin of what made the cloak may be asked, the maker itself is not
    assert [r.name for r in choose_adaptive([maker])] == ["hard"]
    assert choose_adaptive([maker, card]) == choose_adaptive((), ["none"]) == choose_adaptive((), ["hard"]) == ()
    assert choose_adaptive((), fmr=1e-2) == ()  # it has no threshold there
    assert uncalibrated(1e-2) == ["maker", "hard"]
    assert uncalibrated(1e-3) == []
    with pytest.raises(RecognizerError, match="hard cannot judge what maker makes: they are of one origin"):
        choose_recognizers(["maker"], ["hard"])
    assert [r.name for r in choose_recognizers(["dlib-resnet"], ["hard"])[1]] == ["hard"]
    assert [r.name for r in choose_recognizers(["hard"])[0]] == ["hard"]
    prints = {plan().fingerprint()}
    for value in (0.5, 0.4):
        store_thresholds(find("hard"), [threshold(value, sha256=card.sha256)])
        prints.add(plan(adaptive=choose_adaptive(())).fingerprint())
    assert len(prints) == 3


def test_a_hardened_recognizer_without_its_base_is_left_out(empty_store: Path) -> None:
    install(empty_store, "maker", 3, 0.5)
    install_adaptive("hard", "maker", 0.5)
    (empty_store / "home/recognizers/maker/maker.onnx").unlink()
    assert choose_adaptive(()) == ()
    assert uncalibrated(1e-4) == []
