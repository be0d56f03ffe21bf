"""visard train stylegan, disentangle and latent-cloak, then protect and swap with what they wrote, as typed."""

import hashlib
import inspect
import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from crowd import crowd
from latents import tiny_landmarks
from rig import astronaut, save
from visard import photo
from visard.cli import commands, train_kinds
from visard.generator import learned, steps_of
from visard.generator.latent import DisentangleSettings, LatentSettings, load_disentangled
from visard.generator.stylegan import StyleSettings
from visard.recognizer import find

Run = Callable[..., tuple[int, str, str]]
SMALL = ("base=64", "widest=8", "latent=8", "layers=2", "batch=2", "rate=0.01")
STYLE = ("--detector", "aligned", "--steps", 2, *(word for pair in SMALL for word in ("--set", pair)))
WHO = ("--recognizer", "blind", "--steps", 2, "--set", "width=4", "--set", "expression=8", "--set", "batch=2")
CLOAK = ("--recognizer", "blind", "--steps", 2, "--set", "batch=2", "--set", "delta=3")


@pytest.fixture
def people(tmp_path: Path) -> Path:
    return crowd(tmp_path / "people", people=2, each=2)


@pytest.fixture(autouse=True)
def landmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_kinds, "shipped_landmarks", tiny_landmarks)


@pytest.fixture
def three(visard: Run, people: Path, jurors: None) -> list[str]:
    """The three trainings, one after another, and what each said."""
    said = []
    for words in (
        ("stylegan", "--data", people, "--out", "faces.safetensors", *STYLE),
        ("disentangle", "--generator", "faces.safetensors", "--out", "who.safetensors", *WHO),
        ("latent-cloak", "--disentangled", "who.safetensors", "--out", "cloak.safetensors", *CLOAK),
    ):
        code, out, err = visard("train", *words)
        assert (code, err) == (0, "")
        said.append(out)
    return said


def test_the_help_names_all_settings() -> None:
    words = " ".join((inspect.getdoc(commands.train) or "").split())
    for before, settings in (
        ("(--data); settings", StyleSettings),
        ("for visard swap too; settings", DisentangleSettings),
        ("and photos with --data); settings", LatentSettings),
    ):
        assert f"{before} {', '.join(field.name for field in fields(settings))}." in words


def test_three_trainings(three: list[str], visard: Run, tmp_path: Path) -> None:
    stylegan, disentangle, cloak = three
    assert "faces.safetensors: a generator of faces of 64 px, 2 steps on 4 photos." in stylegan
    assert "visard train disentangle --generator faces.safetensors --recognizer NAME" in stylegan
    assert "who.safetensors: who and how told apart by blind, 2 steps on faces of 64 px." in disentangle
    assert "visard train latent-cloak --disentangled who.safetensors" in disentangle
    assert "step 2: judge " in disentangle
    assert "cloak.safetensors: latent, 2 steps on faces of 64 px against blind." in cloak
    assert "visard protect --method cloak.safetensors PHOTO..." in cloak
    for name in ("faces", "who", "cloak"):
        files = sorted(p.name for p in (tmp_path / f"{name}.training").iterdir())
        assert files == ["checkpoint.pt", "curves.csv", "samples.png"]
    words = ("train", "disentangle", "--generator", "faces.safetensors", "--out", "who.safetensors", *WHO)
    assert visard(*words)[0] == 2  # done already
    code, out, _ = visard(*words, "--steps", 3)
    assert (code, "step 3: " in out, "step 2: " in out) == (0, True, False)
    assert steps_of(tmp_path / "who.safetensors") == 3


def test_disentangling_on_photos_too(three: list[str], visard: Run, people: Path, tmp_path: Path) -> None:
    words = (
        "train",
        "disentangle",
        "--generator",
        "faces.safetensors",
        "--data",
        people,
        "--detector",
        "aligned",
        *WHO,
    )
    code, out, err = visard(*words, "--out", "photos.safetensors")
    assert (code, err) == (0, "")
    assert "who and how told apart by blind, 2 steps" in out
    assert (tmp_path / "photos.safetensors").read_bytes() != (tmp_path / "who.safetensors").read_bytes()
    code, _, err = visard(*words, "--out", "other.safetensors", "--size", 128)
    assert (code, "The generator makes faces of 64 px; give --size 64." in err) == (2, True)


def test_the_latent_cloak_protects(three: list[str], visard: Run, portrait: Path, tmp_path: Path) -> None:
    code, out, err = visard("protect", portrait, "--method", "cloak.safetensors", "--report", "r.json")
    assert (code, err) == (1, "")
    assert "NOT protected" in out  # sharp matches everything
    run = json.loads(Path("r.json").read_text())["run"]
    assert (run["method"], run["replaces"]) == ("latent", True)
    assert run["learned"] == hashlib.sha256((tmp_path / "cloak.safetensors").read_bytes()).hexdigest()
    assert run["surrogates"] == {"blind": find("blind").sha256}
    assert list(run["jury"]) == ["sharp"]
    before, after = (photo.read(p).pixels.astype(int) for p in (portrait, tmp_path / "me.visard.jpg"))
    assert abs(before - after).max() > 50  # another face, not a small change
    code, out, _ = visard("methods", "cloak.safetensors")
    assert (code, "latent: the face is made anew" in out, "2 steps against blind" in out) == (0, True, True)


def test_another_person(three: list[str], visard: Run, portrait: Path, tmp_path: Path) -> None:
    made = []
    for seed in ("1", "1", "2"):
        out = tmp_path / f"{len(made)}.png"
        words = ("--disentangled", "who.safetensors", "--seed", seed, "--jury", "sharp")
        code, said, _ = visard("anonymize", portrait, "-o", out, *words)
        assert code in (0, 1)
        assert f"{portrait} -> {out}" in said
        made.append(photo.read(out).pixels.astype(int))
    before = photo.read(portrait).pixels.astype(int)
    changed = np.abs(made[0] - before).max(axis=2) > 0
    assert 0.02 < changed.mean() < 0.5  # the face alone
    assert np.array_equal(made[0], made[1])
    assert not np.array_equal(made[0], made[2])


def test_a_swap(three: list[str], visard: Run, portrait: Path, tmp_path: Path) -> None:
    other = save(tmp_path / "other.png", astronaut()[:, ::-1])
    words = ("swap", "--disentangled", "who.safetensors", "--identity", other, "--expression", portrait)
    code, out, err = visard(*words, "-o", "swapped.png", "--report", "s.json")
    assert (code, err) == (0, "")
    assert "Similarity to " in out
    assert "taken for that person" in out
    report = json.loads(Path("s.json").read_text())
    assert report["run"]["learned"] == load_disentangled(Path("who.safetensors")).sha256
    assert [row["juror"] for row in report["likeness"]["jurors"]] == ["sharp"] * 3
    before, after = (photo.read(p).pixels.astype(int) for p in (portrait, tmp_path / "swapped.png"))
    assert before.shape == after.shape
    assert (before != after).any()
    assert (before[-40:] == after[-40:]).all()  # far from the face nothing changes
    code, _, err = visard(*words, "-o", "swapped.png", "--jury", "blind", "--force")
    assert (code, "blind cannot judge what blind makes" in err) == (2, True)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ("nothing", "--data", "people"),
            'Nothing to train is called "nothing". There are: advfaces, apf, latent-dist',
        ),
        (("stylegan",), "visard train stylegan needs --data too."),
        (
            ("stylegan", "--data", "people", "--recognizer", "blind"),
            "visard train stylegan has no use for --recognizer; leave that out.",
        ),
        (("stylegan", "--data", "people", "--set", "wide=3"), 'stylegan has no setting "wide".'),
        (("stylegan", "--data", "people", "--size", "100"), "StyleGAN2 makes pictures of 8, 16, 32, 64, ... px a side"),
        (("stylegan", "--data", "people", "--size", "32"), "The size of the faces is a multiple of 4, 64 or more"),
        (("disentangle", "--size", "128", "--recognizer", "blind"), "--size goes with --data; give that too"),
        (("disentangle", "--generator", "x.safetensors"), "visard train disentangle needs --recognizer too."),
        (
            ("latent-cloak", "--generator", "x.safetensors", "--recognizer", "blind"),
            "visard train latent-cloak has no use for --generator; leave that out.",
        ),
        (
            ("disentangle", "--generator", "x.safetensors", "--recognizer", "blind,sharp"),
            "Who is who is told by one recognizer; name one with --recognizer.",
        ),
        (("disentangle", "--generator", "x.safetensors", "--recognizer", "blind"), "x.safetensors does not exist"),
        (
            ("disentangle", "--generator", "x.safetensors", "--recognizer", "blind", "--set", "encoder=large"),
            "disentangle: encoder is one of small, inception; got large.",
        ),
        (
            ("latent-cloak", "--disentangled", "x.safetensors", "--recognizer", "blind", "--set", "delta=-1"),
            "latent-cloak: delta cannot be negative",
        ),
        (
            ("latent-cloak", "--disentangled", "x.safetensors", "--recognizer", "blind", "--detector", "dlib"),
            "--detector goes with --data; give that too",
        ),
        (("latent-cloak", "--disentangled", "x.safetensors"), "visard train latent-cloak needs --recognizer too."),
        (
            ("latent-cloak", "--disentangled", "x.safetensors", "--recognizer", "blind"),
            "x.safetensors does not exist; check the name, or make it with: visard train disentangle.",
        ),
        (("apf", "--recognizer", "blind"), "visard train apf needs --data too."),
    ],
)
@pytest.mark.usefixtures("jurors")
def test_mistakes(visard: Run, people: Path, tmp_path: Path, words: tuple[str, ...], sentence: str) -> None:
    code, out, err = visard("train", *words, "--out", "a.safetensors")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert sentence in err
    assert not list(tmp_path.glob("a.*"))


@pytest.mark.usefixtures("jurors")
def test_methods_tell_how_to_make_it(visard: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned, "SHIPPED", tmp_path)
    code, out, _ = visard("methods", "latent")
    assert code == 0
    assert "SSIM is low" in out
    assert "--set delta=0.5" in out
    assert "visard train latent-cloak --disentangled FILE --recognizer A,B --out FILE.safetensors" in out
    code, _, err = visard("protect", "me.jpg", "--method", "latent")
    assert (code, "latent is learned, and no trained one is here" in err) == (2, True)
