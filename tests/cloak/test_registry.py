"""Methods by name, settings, and a method from another package."""

import importlib.metadata
from typing import Literal

import pytest
import torch

from visard.cloak import Faces, Method, Task, find, method_names
from visard.errors import CloakError, SettingError, UnknownMethodError


def test_every_name_leads_to_a_method_with_a_card():
    for name in method_names():
        method = find(name)
        assert method.name == name
        assert method.paper
        assert "Norm:" in __import__(method.run.__module__, fromlist=["x"]).__doc__


def test_unknown_names_and_settings_say_what_there_is():
    with pytest.raises(UnknownMethodError, match='Did you mean "bim"'):
        find("bimm")
    with pytest.raises(SettingError, match='Did you mean "steps"'):
        find("bim").check({"step": 3})
    with pytest.raises(SettingError, match="eps"):
        find("fgsm").check({"unheard-of": 1})


@pytest.mark.parametrize(
    ("method", "setting"),
    [
        ("bim", {"steps": 1.5}),
        ("bim", {"steps": True}),
        ("visard", {"base": -1}),
        ("visard", {"base": float("nan")}),
        ("p-fgvm", {"from_noise": 1}),
        ("fgsm", {"eps": "8"}),
    ],
)
def test_values_that_a_setting_cannot_take_are_refused(method, setting):
    with pytest.raises(SettingError, match=next(iter(setting))):
        find(method).check(setting)


def test_values_that_a_setting_can_take_are_not():
    find("bim").check({"steps": 3, "eps": 0, "alpha": 0.5})
    find("p-fgvm").check({"from_noise": True})


def test_words_are_taken_where_they_mean_something():
    def run(task: Task, *, mode: Literal["low", "high"] = "low", count: int | None = None) -> torch.Tensor:
        raise NotImplementedError

    method = Method("worded", "nobody", "either", run)
    method.check({"mode": "high", "count": 3})
    with pytest.raises(SettingError, match="worded: mode is one of low, high; got mid"):
        method.check({"mode": "mid"})
    with pytest.raises(SettingError, match="count takes a whole number, got many"):
        method.check({"count": "many"})


def outsiders_run(task: Task, *, shade: float = 0.1) -> torch.Tensor:
    return torch.full_like(task.faces.pixels, shade)


OUTSIDER = Method("darken", "somebody 2030", "untargeted", outsiders_run)


def test_an_outsider_adds_a_method(monkeypatch):
    installed = [
        importlib.metadata.EntryPoint("darken", f"{__name__}:OUTSIDER", "visard.cloaks"),
        importlib.metadata.EntryPoint("wrong", f"{__name__}:outsiders_run", "visard.cloaks"),
    ]
    monkeypatch.setattr("visard.cloak.method.entry_points", lambda group: [e for e in installed if e.group == group])
    assert "darken" in method_names()
    task = Task(Faces(torch.zeros(1, 3, 4, 4)), lambda faces: faces.pixels.sum())
    assert float(find("darken").cloak(task, shade=0.2).mean()) == pytest.approx(0.2)
    with pytest.raises(CloakError, match="not a visard"):
        find("wrong")
