"""visard harden, and what it makes of a recognizer, as a person types them."""

import errno
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from crowd import crowd
from rig import install, save
from visard.cli import harden
from visard.hardening import defence_names, run
from visard.hardening.defences.vos2023 import Course
from visard.recognizer import cards, find, load

Run = Callable[..., tuple[int, str, str]]
QUICK = ("--detector", "aligned", "--fmr", "0.6", "--cloaks", "noise", "--set", "epochs=1", "--set", "rate=0.01")


@pytest.fixture
def eye(tmp_path: Path) -> None:
    install(tmp_path, "eye", 1, None)


@pytest.fixture
def people(tmp_path: Path) -> Path:
    return crowd(tmp_path / "people", people=20, each=3)


def words(people: Path, *more: object, name: str = "hard") -> tuple[object, ...]:
    return ("harden", "--recognizer", "eye", "--data", people, "--name", name, *QUICK, *more)


def test_help_imports_nothing_slow_and_names_all_defences() -> None:
    script = (
        "import sys; from visard.cli import main; sys.argv = ['visard', 'harden', '--help']\n"
        "try: main()\nexcept SystemExit as stop: assert not stop.code, stop.code\n"
        "slow = {'torch', 'numpy', 'PIL', 'dlib'} & set(sys.modules); assert not slow, slow"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    (listed,) = re.findall(r"Defences: ([^.]*)\.", " ".join(done.stdout.split()))
    assert listed.split(", ") == defence_names()


@pytest.mark.usefixtures("eye")
def test_hardened_and_used_like_any_other(visard: Run, people: Path, portrait: Path, home: Path) -> None:
    code, out, err = visard(*words(people, "--unseen", "blur"))
    assert (code, err) == (0, "")
    assert (
        "eye, by vos2023: trained on 36 photos of 12 people, judged on 12 photos of 4 people, thresholds from 12 "
        "photos of 4 people; computed on the CPU." in out
    )
    assert "epoch 1 of 1: loss " in out
    assert "ASR noise" in out
    assert "ASR blur (unseen)" in out
    number = r"[\d.]+ % \[[\d.]+, [\d.]+\] n=\d+"
    assert len(re.findall(rf"^(?:eye|hard) +-?[\d.]+ +{number} +{number} +{number} +{number}", out, re.MULTILINE)) == 2
    assert "visard calibrate --people FOLDER --recognizer hard" in out
    assert not (home / "hardening" / "hard").exists()

    card, base = find("hard"), find("eye")
    assert (card.role, card.base, card.base_sha256) == ("adaptive", "eye", base.sha256)
    faces = torch.rand(2, 3, *card.input)
    assert not torch.allclose(load(card).embed(faces), load(base).embed(faces))
    code, _, err = visard(
        "calibrate", "--people", people, "--recognizer", "hard", "--fmr", "0.6", "--detector", "aligned"
    )
    assert (code, err) == (0, "")
    code, out, _ = visard("protect", portrait, "--method", "noise", "--jury", "hard", "--fmr", "0.6")
    assert "hard" in out


@pytest.mark.usefixtures("eye")
def test_a_person_in_training_and_judging_is_refused(visard: Run, people: Path) -> None:
    code, _, err = visard(*words(people, "--validate", people))
    assert (code, "people are in two of the three groups" in err) == (2, True)


@pytest.mark.usefixtures("eye")
def test_other_folders_and_roles(visard: Run, people: Path, tmp_path: Path) -> None:
    """With --validate all of --data is trained on; without a role for thresholds half of the other people give them."""
    others = crowd(tmp_path / "others", people=12, each=3)
    for folder in sorted(others.iterdir()):
        if folder.is_dir():
            folder.rename(others / f"other-{folder.name}")
    code, out, err = visard(*words(people, "--validate", others))
    assert (code, err) == (0, "")
    assert "trained on 60 photos of 20 people, judged on 18 photos of 6 people, thresholds from 18 photos of 6" in out

    roles = ["path,person,role"]
    for number, path in enumerate(sorted(people.glob("*/*"))):
        role = ("train", "test", "calibration", "train")[number // 15]
        roles.append(f"{path.relative_to(people)},{path.parent.name},{role}")
    (people / "meta.csv").write_text("\n".join(roles))
    given = ("--role", "train", "--validate-role", "test", "--calibrate-role", "calibration")
    code, out, err = visard(*words(people, *given, name="hard2"))
    assert (code, err) == (0, "")
    assert "trained on 30 photos of 10 people, judged on 15 photos of 5 people, thresholds from 15 photos of 5" in out


@pytest.mark.usefixtures("eye")
def test_interrupted_it_goes_on(visard: Run, people: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cloaks that are made are not made again, and the training goes on where it was."""

    def stop(_course: Course, _rows: torch.Tensor) -> float:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Course, "step", stop)
        code, out, err = visard(*words(people))
    assert code == 130
    assert "visard: interrupted; the cloaks and the training of hard are kept" in err
    assert "noise: 36 of 36 faces" in out
    assert "hard" not in cards()
    assert {path.name for path in (home / "hardening" / "hard").iterdir()} == {
        "training-noise.pt",
        "validation-noise.pt",
    }
    code, out, err = visard(*words(people))
    assert (code, err) == (0, "")
    assert "of 36 faces" not in out
    assert "hard" in cards()


@pytest.mark.usefixtures("eye")
def test_a_damaged_checkpoint_is_one_sentence_and_force_begins_anew(
    visard: Run, people: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(harden, "store_derived", broken)
        assert visard(*words(people))[0] == 130
    path = home / "hardening" / "hard" / run.CHECKPOINT
    path.write_bytes(path.read_bytes()[:-100])
    code, _, err = visard(*words(people))
    assert (code, err) == (2, f"visard: The checkpoint {path} is damaged; delete it to begin anew.\n")
    code, _, err = visard(*words(people, "--force"))
    assert (code, err) == (0, "")


def broken(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.usefixtures("eye")
def test_on_a_full_disk_nothing_half_done_is_installed(
    visard: Run, people: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The training is kept, so with room made the same command only stores."""
    replace = Path.rename

    def full(path: Path, target: Path) -> Path:
        if path.parent.name.startswith(".adding-"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", full)
        code, _, err = visard(*words(people))
    assert (code, "hard could not be stored in" in err, "No space left" in err) == (2, True, True)
    assert {path.name for path in (home / "recognizers").iterdir()} == {"eye"}
    code, out, err = visard(*words(people))
    assert (code, err) == (0, "")
    assert "epoch" not in out


@pytest.mark.usefixtures("eye")
@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--defence", "vos2032"), 'No defence is called "vos2032". Did you mean "vos2023"?'),
        (("--set", "epoch=3"), 'vos2023 has no setting "epoch". Did you mean "epochs"?'),
        (("--cloaks", "advfases"), 'No method is called "advfases". Did you mean "advfaces"?'),
        (("--cloaks", ""), "--cloaks is empty; name the methods"),
        (("--cloaks", "noise,noise"), "Two cloaks are called noise"),
        (("--unseen", "noise"), "leave out those that are in both"),
        (("--name", "Hard One"), 'The name "Hard One" should have lower-case letters'),
        (("--name", "eye"), 'A recognizer called "eye" is there already; give another --name.'),
        (("--recognizer", "eyes"), 'No recognizer is called "eyes". Did you mean "eye"?'),
        (("--fmr", "0.001"), "A threshold at FMR 0.001 needs at least 30,000 impostor pairs (rule of 30)"),
        (("--device", "tpu"), '--device is "cpu", "cuda" or "cuda:N", got "tpu".'),
        (("--role", "train"), "A role needs"),
    ],
)
def test_what_cannot_be_is_one_sentence(visard: Run, people: Path, more: tuple[str, ...], sentence: str) -> None:
    code, _, err = visard(*words(people, *more))
    assert (code, sentence in err, err.count("\n")) == (2, True, 1), err
    assert "hard" not in cards()


def test_a_black_box_cannot_be_hardened(visard: Run, people: Path, tmp_path: Path) -> None:
    install(tmp_path, "eye", 1, None, black_box=True)
    code, _, err = visard(*words(people))
    assert (code, "eye is a black box" in err) == (2, True), err


@pytest.mark.usefixtures("eye")
def test_one_identity_is_too_little(visard: Run, tmp_path: Path) -> None:
    code, _, err = visard(*words(crowd(tmp_path / "one", people=1)))
    assert (code, "two at least of each; here are 0, 1, 0: give photos of more people" in err) == (2, True), err


@pytest.mark.usefixtures("eye")
def test_photos_may_have_many_sizes_but_none_below_a_face(visard: Run, people: Path) -> None:
    """Photos too small for aligned crops are left out; where all are of that one size, none is left."""
    for path in sorted(people.glob("*/*"))[::15]:
        save(path, np.full((60, 60, 3), 90, np.uint8))
    code, out, _ = visard(*words(people))
    assert (code, "without a face were left out" in out) == (0, True)
    for path in people.glob("*/*"):
        save(path, np.full((60, 60, 3), 90, np.uint8))
    code, _, err = visard(*words(people, name="hard2"))
    assert (code, "No photo has a face to learn from" in err, err.count("\n")) == (2, True, 1), err


def test_the_page_of_a_defence(visard: Run) -> None:
    code, out, err = visard("methods", "vos2023")
    assert (code, err) == (0, "")
    assert "Algorithm 1" in out
    assert "--set schedule=sequential" in out
    code, out, _ = visard("methods", "vos2023", "--json")
    (row,) = json.loads(out)
    assert (row["name"], row["settings"]["epochs"]) == ("vos2023", 10)
