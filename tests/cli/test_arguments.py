"""From words to values."""

from pathlib import Path

import pytest

from rig import astronaut
from visard.cli import arguments
from visard.errors import SettingError, VisardError


def test_settings() -> None:
    words = ["eps=8/255", "steps=40", "base=1.5/255", "decay=1e-2", "a=true", "b=False", "c=-3", "d= 7 "]
    expected = {
        "eps": 8 / 255, "steps": 40, "base": 1.5 / 255, "decay": 0.01, "a": True, "b": False, "c": -3, "d": 7,
    }  # fmt: skip
    found = arguments.settings(words)
    assert found == expected
    assert [type(v) for v in found.values()] == [type(v) for v in expected.values()]
    assert arguments.settings([]) == {}
    assert arguments.settings(["mode=v0.3", "gain=log-sum"]) == {"mode": "v0.3", "gain": "log-sum"}


@pytest.mark.parametrize(
    "pair",
    ["eps", "=3", "eps=", "eps=A b", "eps=8/0", "eps=8/", "eps=1/2/3", "eps=[1]", "eps='x'", "eps=None", "eps=nan",
     "eps=inf", "eps=1e999", "eps=__import__('os')", "eps=1,5"],
)  # fmt: skip
def test_settings_that_are_none(pair: str) -> None:
    with pytest.raises(SettingError, match="--set") as caught:
        arguments.settings([pair])
    assert f'"{pair}"' in str(caught.value)


def test_a_setting_is_given_once() -> None:
    with pytest.raises(SettingError, match="gives eps twice"):
        arguments.settings(["eps=1", "eps=2"])


def test_numbers() -> None:
    assert arguments.numbers("1,3, 2", "--only") == {1, 2, 3}
    assert arguments.numbers("", "--only") == frozenset()
    for text in ("0", "-1", "a", "1.5", "1;2", ",", "1-3"):
        with pytest.raises(SettingError, match=f'--only takes face numbers .*, got "{text}"'):
            arguments.numbers(text, "--only")


def test_rates() -> None:
    assert arguments.rates("1e-2, .001") == [0.01, 0.001]
    for text in ("", ",", "0", "1", "-1", "nan", "inf", "often", "1e-2,2"):
        with pytest.raises(SettingError, match="--fmr"):
            arguments.rates(text)


def test_names() -> None:
    assert arguments.names(" a, b,,c") == ["a", "b", "c"]
    assert arguments.names("") == []


def test_roles() -> None:
    assert [arguments.role(word) for word in ("juror", "surrogate", "adaptive", None)] == [
        "juror", "surrogate", "adaptive", None,
    ]  # fmt: skip
    with pytest.raises(SettingError, match='"juror", "surrogate" or "adaptive", got "judge"'):
        arguments.role("judge")


def test_batches() -> None:
    assert (arguments.batch("auto"), arguments.batch("8")) == (None, 8)
    for text in ("0", "-1", "many", "", "1.5"):
        with pytest.raises(SettingError, match=f'--batch is "auto" or a number of faces from 1 on, got "{text}"'):
            arguments.batch(text)


def test_detectors(tmp_path: Path) -> None:
    assert len(arguments.detector("dlib")(astronaut())) == 1
    assert arguments.detector("aligned")(astronaut()[:160, :160])[0].box == (24, 24, 136, 136)
    for text in ("yunet", "haar", "dlib:x", ""):
        with pytest.raises(SettingError, match="--detector is"):
            arguments.detector(text)
    with pytest.raises(VisardError):
        arguments.detector(f"yunet:{tmp_path / 'no.onnx'}")
