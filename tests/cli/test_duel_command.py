"""visard duel, as a person types it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from crowd import crowd
from visard.recognizer import find

Run = Callable[..., tuple[int, str, str]]
QUICK = (
    "--detector", "aligned", "--rounds", 1, "--methods", "noise", "--surrogates", "blind", "--jury", "none",
    "--steps", 1, "--restarts", 1, "--photos", 4, "--training", 4,
    "--set", "steps=1", "--set", "batch=2", "--set", "attack_steps=1",
)  # fmt: skip


@pytest.fixture
def people(tmp_path: Path) -> Path:
    return crowd(tmp_path / "people", people=12, each=2)


def test_help_imports_nothing_slow() -> None:
    script = (
        "import sys; from visard.cli import main; sys.argv = ['visard', 'duel', '--help']\n"
        "try: main()\nexcept SystemExit as stop: assert not stop.code, stop.code\n"
        "slow = {'torch', 'numpy', 'PIL', 'dlib'} & set(sys.modules); assert not slow, slow"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "NAME-1" in done.stdout


@pytest.mark.usefixtures("jurors")
def test_a_duel_then_its_recognizer_is_kept(visard: Run, people: Path, tmp_path: Path) -> None:
    words = ("duel", "--recognizer", "sharp", "--data", people, "--out", "d", *QUICK)
    code, out, err = visard(*words, "--keep", "tough")
    assert (code, err) == (0, "")
    assert "round 1: hardening sharp by adversarial" in out
    assert "Thresholds rest on " in out
    assert "The report: d/duel.md" in out
    assert "Kept: tough-1; they judge once they have thresholds: visard calibrate." in out
    assert find("tough-1").role == "adaptive"
    for name in ("duel.md", "duel.html", "ledger.parquet", "trials.parquet", "figures/what-survives.svg"):
        assert (tmp_path / "d" / name).is_file()
    text = (tmp_path / "d/duel.md").read_text()
    assert "- attacked: 4 faces of 2 other people" in text
    assert "- hardened on: 4 faces of " in text
    assert "from blind and the recognizer of the round before" in text

    code, out, err = visard(*words)  # all is there already
    assert (code, err, "sanity checks" in out, "adversarial: step" in out) == (0, "", False, False)
    code, _, err = visard(*words, "--keep", "tough")
    assert (code, 'A recognizer called "tough-1" is there already; give another name with --keep.' in err) == (2, True)


@pytest.mark.usefixtures("jurors")
def test_roles(visard: Run, people: Path, tmp_path: Path) -> None:
    roles = ["train"] * 6 + ["test"] * 3 + ["calibration"] * 3
    rows = [f"p{i}/{j}.png,p{i},{role}" for i, role in enumerate(roles) for j in (0, 1)]
    (people / "meta.csv").write_text("\n".join(["path,person,role", *rows]))
    words = ("duel", "--recognizer", "sharp", "--data", people, "--out", "d", *QUICK, "--role", "train")
    code, _, err = visard(*words, "--validate-role", "test", "--calibrate-role", "calibration")
    assert (code, err) == (0, "")
    text = (tmp_path / "d/duel.md").read_text()
    assert "- attacked: 4 faces of 2 other people" in text
    assert "from 6 faces of 3 others" in text


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"--recognizer": "nobody"}, 'No recognizer is called "nobody".'),
        ({"--data": "nowhere"}, "nowhere is not a folder"),
        ({"--out": "a.txt"}, "a.txt is a file; name a folder for the duel."),
        ({"--out": "people/d"}, "people/d lies among the photos; choose another folder for the duel."),
        ({"--defence": "walls"}, 'No defence is called "walls".'),
        ({"--methods": "tip-im"}, "tip-im steers toward a person, and a duel is about dodging; leave it out."),
        ({"--methods": "nothing"}, 'No method is called "nothing".'),
        ({"--surrogates": "sharp"}, "sharp is the recognizer itself, not a stranger; name others with --surrogates."),
        ({"--jury": "blind"}, "blind cannot judge what blind makes: they are one"),
        ({"--set": "speed=3"}, 'adversarial has no setting "speed".'),
        ({"--eps": "12"}, "apgd: eps is a share of a pixel's full range, at most 1, got 12; did you mean 12/255?"),
        ({"--keep": "Not A Name"}, 'The name "Not A Name-1" should have lower-case letters and digits'),
    ],
)
@pytest.mark.usefixtures("jurors")
def test_mistakes_are_answered_in_one_sentence(
    visard: Run, people: Path, tmp_path: Path, changes: dict[str, str], sentence: str
) -> None:
    (tmp_path / "a.txt").write_text("mine")
    words = {"--recognizer": "sharp", "--data": "people", "--out": "d", "--detector": "aligned"}
    words |= {"--surrogates": "blind", "--methods": "noise", "--steps": "1", "--training": "4", "--photos": "4"}
    words |= changes
    code, _, err = visard("duel", *(word for pair in words.items() for word in pair))
    assert code == 2
    assert err.startswith("visard: ")
    assert err.count("\n") == 1
    assert sentence in err
    assert not (tmp_path / "d").exists()


@pytest.mark.usefixtures("jurors")
def test_one_person(visard: Run, tmp_path: Path) -> None:
    crowd(tmp_path / "one", people=1)
    code, _, err = visard("duel", "--recognizer", "sharp", "--data", "one", "--out", "d", *QUICK)
    assert (code, err.count("\n")) == (2, 1)
