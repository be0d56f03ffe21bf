"""visard anonymize as a person types it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rig import astronaut, camera_exif, save, thumbnail
from visard import photo

Run = Callable[..., tuple[int, str, str]]
pytestmark = pytest.mark.usefixtures("jurors")


def test_a_blurred_face_and_its_verdict(visard: Run, tmp_path: Path) -> None:
    me = save(tmp_path / "me.jpg", exif=camera_exif(thumbnail()))
    code, out, err = visard("anonymize", me, "--style", "blur", "--jury", "blind", "--report", tmp_path / "r.json")
    assert (code, err) == (0, "")
    assert f"{me} -> {tmp_path / 'me.visard.jpg'}" in out
    assert "Face 1 at 175,76 - 266,167: protected (SSIM" in out
    assert "The detector finds no face there." in out
    assert b"Secret Camera" not in (tmp_path / "me.visard.jpg").read_bytes()
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["run"]["method"] == "blur"
    assert report["run"]["settings"] == {"sigma": 14.0}
    assert report["run"]["replaces"] is True
    assert report["run"]["surrogates"] == {}
    assert report["photos"][0]["faces"][0]["found"] is False


def test_what_does_not_hide_is_said(visard: Run, portrait: Path, tmp_path: Path) -> None:
    code, out, _ = visard("anonymize", portrait, "--style", "eye-bar", "--set", "height=1", "--jury", "sharp")
    assert code == 1
    assert "NOT protected" in out
    assert "The detector finds a face there." in out
    assert "To hide more: another style" in out
    assert "more recognizers make the cloak" not in out


def test_refusals(visard: Run, portrait: Path) -> None:
    for words, what in (
        (["--style", "blur", "--disentangled", "who.safetensors"], "--disentangled is for --style person"),
        (["--style", "haze"], 'No style is called "haze". There are: person, blur'),
        (["--style", "visard"], 'No style is called "visard"'),
        (["--style", "blur", "--set", "block=3"], 'blur has no setting "block"'),
        (["--style", "blur", "--only", "7"], "There is no face 7"),
    ):
        code, out, err = visard("anonymize", portrait, *words, "--jury", "blind")
        assert code == 2
        assert what in out + err


def test_a_folder_goes_on_with_its_seed(visard: Run, tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    save(folder / "me.png")
    save(folder / "wall.png", np.full((100, 100, 3), 90, np.uint8))
    words = ("anonymize", folder, "-o", out, "--style", "noise", "--jury", "blind")
    code, said, _ = visard(*words)
    assert code == 2  # the wall has no face
    assert "2 photos: 1 protected, 1 no face. 1 of 1 faces protected." in said
    assert "The detector finds a face in 0 of 1 places." in said
    first = photo.read(out / "me.png").pixels
    code, said, _ = visard(*words)
    assert "done before" in said
    visard(*words, "--seed", 5, "--force")
    other = photo.read(out / "me.png").pixels
    assert (first != other).any()
    assert (first != astronaut()).any()
    assert "done before" in visard(*words)[1]  # with the seed of the run before


def test_a_new_seed_each_time(visard: Run, portrait: Path, tmp_path: Path) -> None:
    words = ("anonymize", portrait, "--style", "noise", "--jury", "none")
    for name in ("a.png", "b.png"):
        assert visard(*words, "-o", tmp_path / name)[0] == 1  # nobody judged
    assert (photo.read(tmp_path / "a.png").pixels != photo.read(tmp_path / "b.png").pixels).any()
    for name in ("c.png", "d.png"):
        visard(*words, "-o", tmp_path / name, "--seed", 1)
    assert (tmp_path / "c.png").read_bytes() == (tmp_path / "d.png").read_bytes()
