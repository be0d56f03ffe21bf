"""visard person learn and visard person apply, as a person types them."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from rig import astronaut, install, save, write_boxes
from rig import astronaut_face as face_of_the_astronaut
from visard import photo
from visard.cli.commands import app
from visard.cloak import load_mask, save_mask
from visard.recognizer import find

Run = Callable[..., tuple[int, str, str]]
QUICK = ("--set", "rounds=1")


@pytest.fixture(scope="module")
def learned(installed: Path, dlib_card: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mask of the astronaut, against dlib's network."""
    from visard.cli import person_learn
    from visard.recognizer import store

    folder = tmp_path_factory.mktemp("learned")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "_CARDS", dlib_card)
        patch.setenv("VISARD_HOME", str(installed))
        person_learn.run([save(folder / "me.png")], folder / "me.mask", None, None, {"rounds": 2}, [], "dlib", 0, False)
    return folder / "me.mask"


@pytest.mark.parametrize("command", ["learn", "apply"])
def test_every_command_explains_itself(command: str) -> None:
    result = CliRunner().invoke(app, ["person", command, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert result.output.count("Usage: ") == 1


def test_learn_then_apply(visard: Run, jurors: None, portrait: Path, wall: Path, tmp_path: Path) -> None:
    other = save(tmp_path / "other.png", astronaut()[:, ::-1])
    code, out, err = visard("person", "learn", portrait, other, wall, "-o", "me.mask", *QUICK)
    assert (code, err) == (0, "")
    assert f"Skipped: {wall}: no face was found." in out
    assert "me.mask: a mask learned from 2 photos against dlib-resnet." in out
    assert "From one photo" not in out
    mask = load_mask(tmp_path / "me.mask")
    assert (mask.photos, mask.settings["rounds"], mask.settings["loss"]) == (2, 1, "convex-hull")
    new = save(tmp_path / "new.png", (astronaut() * 0.9).astype(np.uint8))
    code, out, err = visard("person", "apply", "me.mask", new, "--jury", "blind", "--report", "r.json")
    assert (code, err) == (0, "")
    assert f"{new} -> {tmp_path / 'new.visard.png'}" in out
    assert "protected (SSIM" in out
    report = json.loads(Path("r.json").read_text())
    assert report["run"]["method"] == "opom"
    assert report["run"]["learned"] == hashlib.sha256((tmp_path / "me.mask").read_bytes()).hexdigest()
    assert report["run"]["surrogates"] == {"dlib-resnet": find("dlib-resnet").sha256}
    assert report["run"]["settings"]["rounds"] == 1
    before, after = photo.read(new).pixels.astype(int), photo.read(tmp_path / "new.visard.png").pixels.astype(int)
    assert 0 < np.abs(after - before).max() <= 8
    assert (after != before).any(axis=2).mean() < 0.2  # the face alone


def test_one_photo_is_enough_but_said_to_be_little(visard: Run, portrait: Path, tmp_path: Path) -> None:
    code, out, _ = visard("person", "learn", portrait, "-o", "me.mask", *QUICK)
    assert code == 0
    assert "learned from 1 photo against" in out
    assert "From one photo alone it will hold less on others" in out


def test_a_folder_and_at_most_so_many(visard: Run, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for i in range(3):
        save(tmp_path / f"photos/{i}.png")
    code, out, _ = visard("person", "learn", "photos", "-o", "me.mask", "--photos", 2, *QUICK)
    assert code == 0
    assert "learned from 2 photos" in out
    assert "1 more were not needed" in out


def test_a_group_photo_asks_for_the_face(visard: Run, tmp_path: Path) -> None:
    save(tmp_path / "both.png", np.hstack([astronaut(), astronaut()[:, ::-1]]))
    code, out, err = visard("person", "learn", "both.png", "-o", "me.mask", *QUICK)
    assert (code, out) == (2, "")
    assert "both.png has 2 faces; say which is the person's with --only" in err
    code, out, _ = visard("person", "learn", "both.png", "-o", "me.mask", "--only", 2, *QUICK)
    assert code == 0
    assert "both.png: face 2 of 2" in out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nothing.jpg", "-o", "new.mask"], "nothing.jpg does not exist; check the name."),
        (["wall.png", "-o", "new.mask"], "wall.png: no face was found."),
        (["empty", "-o", "new.mask"], "empty holds no photos to learn from."),
        (["me.jpg", "-o", "old.mask"], "old.mask exists already; choose another name or use --force."),
        (["me.jpg", "-o", "me.jpg", "--force"], "me.jpg must end in .mask."),
        (["me.jpg", "-o", "nowhere/me.mask"], "the folder does not exist; create it first"),
        (["me.jpg", "-o", "folder.mask", "--force"], "folder.mask is a folder; name a file in it."),
        (["me.jpg", "-o", "new.mask", "--set", "loss=hull"], "opom: loss is one of fi-uap"),
        (["me.jpg", "-o", "new.mask", "--set", "eps=8"], "did you mean 8/255?"),
        (["me.jpg", "-o", "new.mask", "--surrogates", "dlib"], 'No recognizer is called "dlib".'),
        (["me.jpg", "-o", "new.mask", "--detector", "haar"], '--detector is "dlib"'),
    ],
)
def test_mistakes_in_learning_are_answered_in_one_sentence(
    visard: Run, portrait: Path, wall: Path, tmp_path: Path, words: list[str], sentence: str
) -> None:
    (tmp_path / "old.mask").write_bytes(b"mine")
    (tmp_path / "empty").mkdir()
    (tmp_path / "folder.mask").mkdir()
    code, out, err = visard("person", "learn", *words)
    assert (code, out) == (2, "")
    assert err.startswith("visard: ")
    assert err.count("\n") == 1
    assert sentence in err
    assert not (tmp_path / "new.mask").exists()
    assert (tmp_path / "old.mask").read_bytes() == b"mine"


def test_force_replaces_a_mask(visard: Run, portrait: Path, tmp_path: Path) -> None:
    (tmp_path / "old.mask").write_bytes(b"mine")
    assert visard("person", "learn", portrait, "-o", "old.mask", "--force", *QUICK)[0] == 0
    assert load_mask(tmp_path / "old.mask").photos == 1


# apply


@pytest.mark.usefixtures("jurors")
def test_apply_has_the_verdicts_and_exit_codes_of_protect(
    visard: Run, portrait: Path, wall: Path, learned: Path, tmp_path: Path
) -> None:
    code, out, _ = visard("person", "apply", learned, portrait)
    assert (code, "NOT protected" in out) == (1, True)
    assert (tmp_path / "me.visard.jpg").is_file()
    code, _, err = visard("person", "apply", learned, portrait)
    assert (code, "exists already" in err) == (2, True)
    code, _, err = visard("person", "apply", learned, wall)
    assert (code, "no face was found" in err) == (2, True)
    code, out, _ = visard("person", "apply", learned, portrait, "--force", "--jury", "none")
    assert (code, "not judged" in out) == (1, True)


@pytest.mark.usefixtures("jurors")
def test_a_folder_is_resumed_until_the_mask_changes(visard: Run, portrait: Path, learned: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for name in ("a", "b"):
        save(tmp_path / f"photos/{name}.jpg", quality=90)
    words = ("person", "apply", "mine.mask", "photos", "-o", "posted", "--jury", "blind")
    mask = load_mask(learned)
    save_mask(mask, tmp_path / "mine.mask")
    code, out, _ = visard(*words)
    assert (code, "2 photos: 2 protected" in out, "done before" in out) == (0, True, False)
    assert out.count("photos/") == 2
    _, out, _ = visard(*words)
    assert out.count("done before") == 2
    save_mask(replace(mask, values=-mask.values), tmp_path / "mine.mask")
    _, out, _ = visard(*words, "--force")
    assert "done before" not in out


@pytest.mark.usefixtures("jurors")
def test_only_the_chosen_face_wears_the_mask(visard: Run, learned: Path, tmp_path: Path) -> None:
    both = save(tmp_path / "both.png", np.hstack([astronaut(), astronaut()[:, ::-1]]))
    face = face_of_the_astronaut()
    boxes = write_boxes(tmp_path / "boxes.json", face, face.moved(shift=(512, 0)))
    visard("person", "apply", learned, both, "--boxes", boxes, "--except", 2, "--jury", "blind")
    changed = (photo.read(both).pixels != photo.read(tmp_path / "both.visard.png").pixels).any(axis=2)
    assert changed[:, :512].any()
    assert not changed[:, 512:].any()


@pytest.mark.usefixtures("jurors")
def test_who_the_mask_was_learned_against_does_not_judge_it(
    visard: Run, portrait: Path, learned: Path, tmp_path: Path
) -> None:
    code, _, err = visard("person", "apply", learned, portrait, "--jury", "dlib-resnet")
    assert code == 2
    assert "dlib-resnet cannot judge what dlib-resnet makes: they are one" in err
    # one of its origin, though the surrogate itself is here no more
    mask = load_mask(learned)
    gone = replace(mask.surrogates[0], name="gone", sha256="0" * 64, origin="blind")
    save_mask(replace(mask, surrogates=(gone,)), tmp_path / "gone.mask")
    code, _, err = visard("person", "apply", tmp_path / "gone.mask", portrait, "--jury", "blind")
    assert code == 2
    assert "blind cannot judge what gone makes: they are of one origin" in err
    code, out, _ = visard("person", "apply", tmp_path / "gone.mask", portrait)
    assert (code, "blind" in out, "sharp" in out) == (1, False, True)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["no.mask", "me.jpg"], "no.mask does not exist; check the name"),
        (["me.jpg", "me.jpg"], "me.jpg is not a mask that visard person learn made"),
        (["MASK", "nothing.jpg"], "nothing.jpg does not exist; check the name."),
        (["MASK", "me.jpg", "--only", "first"], "--only takes face numbers"),
        (["MASK", "me.jpg", "--jury", "nobody"], 'No recognizer is called "nobody".'),
        (["MASK", "me.jpg", "--jury", "blind", "--fmr", "0.5"], "blind has no threshold at FMR 0.5"),
    ],
)
@pytest.mark.usefixtures("jurors")
def test_mistakes_in_applying_are_answered_in_one_sentence(
    visard: Run, portrait: Path, learned: Path, tmp_path: Path, words: list[str], sentence: str
) -> None:
    code, out, err = visard("person", "apply", *(learned if word == "MASK" else word for word in words))
    assert (code, out) == (2, "")
    assert err.startswith("visard: ")
    assert err.count("\n") == 1
    assert sentence in err
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == ["me.jpg"]


def test_jurors_without_a_threshold_are_named(visard: Run, portrait: Path, learned: Path, tmp_path: Path) -> None:
    install(tmp_path, "fresh", 3, None)
    _, _, err = visard("person", "apply", learned, portrait)
    assert "Without a say: fresh" in err
