"""How many faces at once: what a gradient keeps, what is free, and what follows."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from learners import tiny_recognizer
from visard.pipeline import Plan, batch_for, memory
from visard.pipeline.memory import MOST, free_memory, kept
from visard.recognizer import find, load

GIB = 1 << 30


def test_what_a_gradient_keeps() -> None:
    """Two maps of known size, and at most the face itself twice; no weights."""
    maps = 4 * (8 * 30 * 30 + 16 * 13 * 13)
    assert maps <= kept(tiny_recognizer(1)) <= maps + 2 * 4 * 3 * 64 * 64 + 1024


def test_more_memory_takes_more_faces() -> None:
    surrogates = [load(find("dlib-resnet"))]
    found = [batch_for(surrogates, free=free) for free in (0, GIB // 2, GIB, 2 * GIB, 64 * GIB)]
    assert found[0] == 1
    assert found[-1] == MOST == 32
    assert found == sorted(found)
    assert 1 < found[1] < found[2] < found[3]
    need = 2 * kept(surrogates[0]) + 80 * 12 * 224**2
    assert found[2] == GIB // 2 // need
    assert batch_for(surrogates * 5, free=GIB) < found[2]
    assert batch_for(surrogates, 4, GIB) == max(1, GIB // 2 // (4 * need))
    assert batch_for([], free=GIB) >= batch_for(surrogates, free=GIB)


def test_free_memory(tmp_path: Path) -> None:
    about = tmp_path / "meminfo"
    assert free_memory(about) == 2 * GIB
    about.write_text("MemTotal:       24684000 kB\nMemFree:        1000 kB\nMemAvailable:    5000 kB\n")
    assert free_memory(about) == 5000 * 1024
    about.write_text("MemTotal: 24684000 kB\n")
    assert free_memory(about) == 2 * GIB
    about.write_bytes(b"\xff\xfe")
    assert free_memory(about) == 2 * GIB


def test_the_machine_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: 0)
    assert batch_for([]) == 1


def test_the_batch_is_recorded_and_decides_nothing(plan: Callable[..., Plan]) -> None:
    base = plan()
    other = replace(base, batch=3)
    assert json.loads(json.dumps(other.record()))["batch"] == 3
    assert other.fingerprint() == base.fingerprint()
