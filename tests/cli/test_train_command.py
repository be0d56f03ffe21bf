"""visard train, and visard protect with what it wrote, as a person types them."""

import hashlib
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from crowd import crowd
from rig import astronaut, save
from visard import generator, photo
from visard.cli import commands
from visard.cli.arguments import settings
from visard.generator import Training, check_learner_settings, learned, load_cloak, settings_with_defaults
from visard.recognizer import find

Run = Callable[..., tuple[int, str, str]]
QUICK = ("--detector", "aligned", "--size", "64", "--set", "width=4", "--set", "batch=2", "--set", "rate=0.01")
KINDS = ["advfaces", "apf", "latent-distance"]


@pytest.fixture
def people(tmp_path: Path) -> Path:
    return crowd(tmp_path / "people", people=2, each=2)


def test_help_imports_nothing_slow() -> None:
    script = (
        "import sys; from visard.cli import main; sys.argv = ['visard', 'train', '--help']\n"
        "try: main()\nexcept SystemExit as stop: assert not stop.code, stop.code\n"
        "slow = {'torch', 'numpy', 'PIL', 'dlib'} & set(sys.modules); assert not slow, slow"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "FILE.training" in done.stdout


def test_the_help_names_settings_that_there_are() -> None:
    """Those of the list belong to some kind, and those of the command for a CPU to advfaces."""
    words = inspect.getdoc(commands.train) or ""
    known = {name for kind in KINDS for name in settings_with_defaults(generator.KINDS[kind], {})}
    named = set(re.findall(r"\b([a-z_]+)=[\w./-]+", words.split("As published")[0])) | {"width"}
    assert named == known
    check_learner_settings(generator.KINDS["advfaces"], settings(re.findall(r"--set (\S+)", words)))


@pytest.mark.usefixtures("jurors")
@pytest.mark.parametrize("kind", KINDS)
def test_train_then_protect(kind: str, visard: Run, people: Path, portrait: Path, tmp_path: Path) -> None:
    words = ("train", kind, "--data", people, "--recognizer", "blind", "--out", "my.safetensors", *QUICK)
    code, out, err = visard(*words, "--steps", 2)
    assert (code, err) == (0, "")
    assert "Training on the CPU, float32.\n" in out
    assert "step 1: " in out
    assert "step 2: " in out
    assert f"my.safetensors: {kind}, 2 steps on 4 photos of 2 people against blind." in out
    assert "visard protect --method my.safetensors PHOTO..." in out
    assert sorted(p.name for p in (tmp_path / "my.training").iterdir()) == [
        "checkpoint.pt",
        "curves.csv",
        "samples.png",
    ]
    code, out, err = visard(*words, "--steps", 3)  # goes on
    assert (code, "step 3: " in out, "step 2: " in out) == (0, True, False)

    given = ("protect", portrait, "--method", "my.safetensors", "--report", "r.json")
    code, out, err = visard(*given)
    assert (code, err) == (1, "")
    assert "NOT protected" in out  # sharp matches everything
    report = json.loads(Path("r.json").read_text())
    assert report["run"]["method"] == kind
    assert report["run"]["learned"] == hashlib.sha256((tmp_path / "my.safetensors").read_bytes()).hexdigest()
    assert report["run"]["surrogates"] == {"blind": find("blind").sha256}
    assert report["run"]["settings"]["trained"] == 3
    assert list(report["run"]["jury"]) == ["sharp"]  # blind helped to make it
    before, after = (photo.read(p).pixels.astype(int) for p in (portrait, tmp_path / "me.visard.jpg"))
    assert (before != after).any()
    code, _, err = visard(*given, "--force", "--jury", "blind")
    assert (code, "blind cannot judge what blind makes: they are one" in err) == (2, True)


@pytest.mark.usefixtures("jurors")
def test_impersonation(visard: Run, people: Path, portrait: Path, tmp_path: Path) -> None:
    words = ("--data", people, "--recognizer", "blind", "--out", "to.safetensors", "--steps", 1, *QUICK)
    code, out, _ = visard("train", "advfaces", *words, "--set", "mode=impersonation")
    assert (code, "--method to.safetensors --target PERSON.jpg PHOTO..." in out) == (0, True)
    code, _, err = visard("protect", portrait, "--method", "to.safetensors")
    assert (code, "advfaces steers toward another person; give a photo with --target" in err) == (2, True)
    results = []
    for number, shade in enumerate((1.0, 0.5)):
        target = save(tmp_path / f"t{number}.png", (shade * astronaut()[:, ::-1]).astype(np.uint8))
        place = tmp_path / f"out{number}.png"
        visard("protect", portrait, "--method", "to.safetensors", "--target", target, "-o", place, "--jury", "none")
        results.append(photo.read(place).pixels)
    assert (results[0] != results[1]).any()


@pytest.mark.usefixtures("jurors")
def test_photos_without_a_face_are_left_out(visard: Run, people: Path) -> None:
    save(people / "p0/small.png", np.zeros((50, 50, 3), np.uint8))
    (people / "p1/broken.jpg").write_bytes(b"no photo")
    words = ("--data", people, "--recognizer", "blind", "--out", "a.safetensors", "--steps", 1, *QUICK)
    code, out, _ = visard("train", "apf", *words)
    assert code == 0
    assert "2 photo(s) without a face were left out, the first " in out
    assert "1 steps on 4 photos" in out
    assert load_cloak(Path("a.safetensors")).photos == 4


@pytest.mark.usefixtures("jurors")
def test_a_role(visard: Run, people: Path) -> None:
    rows = [
        "path,person,role",
        *(f"p{i}/{j}.png,p{i},{role}" for i in (0, 1) for j, role in enumerate(("train", "test"))),
    ]
    (people / "meta.csv").write_text("\n".join(rows))
    words = ("--data", people, "--recognizer", "blind", "--out", "a.safetensors", "--steps", 1, *QUICK)
    code, out, _ = visard("train", "apf", *words, "--role", "train")
    assert (code, "on 2 photos of 2 people" in out) == (0, True)


@pytest.mark.usefixtures("jurors")
def test_time_that_is_up(visard: Run, people: Path) -> None:
    words = ("--data", people, "--recognizer", "blind", "--out", "a.safetensors", *QUICK)
    code, out, _ = visard("train", "apf", *words, "--max-minutes", 0)
    assert (code, "19999 steps are left; the same command goes on from here." in out) == (0, True)


@pytest.mark.usefixtures("jurors")
def test_an_interruption_says_what_is_kept(visard: Run, people: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("train", "apf", "--data", people, "--recognizer", "blind", "--out", "a.safetensors", *QUICK)
    real = Training.step

    def stop(training: Training) -> dict[str, float]:
        if training.steps == 3:
            raise KeyboardInterrupt
        return real(training)

    monkeypatch.setattr(Training, "step", stop)
    code, _, err = visard(*words, "--steps", 5)
    assert (code, err) == (130, "visard: interrupted before anything was saved; the same command begins anew.\n")
    assert visard(*words, "--steps", 2)[0] == 0
    code, _, err = visard(*words, "--steps", 5)
    assert (code, err.count("\n")) == (130, 1)
    assert "interrupted; a.safetensors is kept as it was after 2 steps, and the same command goes on from there." in err
    kept = {path: path.read_bytes() for path in (Path("a.safetensors"), Path("a.training/checkpoint.pt"))}
    code, _, err = visard(*words, "--steps", 5, "--force", "--seed", 1)  # before its first save
    assert (code, "after 2 steps, and the same command without --force goes on from there." in err) == (130, True)
    assert all(path.read_bytes() == data for path, data in kept.items())
    monkeypatch.setattr(Training, "step", real)
    code, out, _ = visard(*words, "--steps", 3)
    assert (code, "step 3: " in out, "step 2: " in out) == (0, True, False)


@pytest.mark.usefixtures("jurors")
def test_bfloat16(visard: Run, people: Path) -> None:
    words = ("train", "apf", "--data", people, "--recognizer", "blind", "--steps", 1, *QUICK)
    assert "Training on the CPU, bfloat16." in visard(*words, "--out", "a.safetensors", "--precision", "bfloat16")[1]
    visard(*words, "--out", "b.safetensors")
    one, other = (Path(f"{name}.safetensors").read_bytes() for name in "ab")
    assert one != other


@pytest.mark.usefixtures("jurors")
def test_a_cloak_that_comes_with_visard(
    visard: Run, people: Path, portrait: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learned, "SHIPPED", tmp_path / "weights")
    (tmp_path / "weights").mkdir()
    assert "To be trained first: advfaces, apf, latent, latent-distance." in visard("methods")[1]
    code, out, _ = visard("methods", "advfaces")
    assert (code, "--set norm=None" in out, "visard train advfaces --data" in out) == (0, True, True)
    words = ("--data", people, "--recognizer", "blind", "--out", "weights/advfaces.safetensors", "--steps", 1, *QUICK)
    assert visard("train", "advfaces", *words, "--set", "budget=ssim")[0] == 0

    table = visard("methods")[1]
    assert re.search(r"^advfaces +untargeted +Deb et al\. 2020 +ssim=0\.97 *$", table, re.MULTILINE)
    assert "To be trained first: apf, latent, latent-distance." in table
    code, out, _ = visard("methods", "advfaces")
    assert (code, "1 steps on 4 photos of 2 people, cut to 64 px, against blind, from seed 0" in out) == (0, True)
    assert "--set ssim=0.97\n--strength low: ssim=0.985\n" in out
    seen = {}
    for strength in ("low", "high"):
        given = ("protect", portrait, "--method", "advfaces", "--strength", strength, "-o", f"{strength}.png")
        assert visard(*given, "--batch", 3, "--report", f"{strength}.json")[0] == 1  # sharp matches everything
        report = json.loads(Path(f"{strength}.json").read_text())
        assert report["run"]["learned"] == load_cloak(Path("weights/advfaces.safetensors")).sha256
        assert report["run"]["batch"] == 3
        seen[strength] = report["photos"][0]["faces"][0]["ssim"]
    assert seen["low"] > seen["high"]


@pytest.mark.usefixtures("jurors")
def test_a_bench_of_a_learned_cloak(visard: Run, people: Path) -> None:
    words = ("--data", people, "--recognizer", "blind", "--steps", 1, *QUICK)
    for seed in (0, 1):
        assert visard("train", "apf", *words, "--seed", seed, "--out", f"my{seed}.safetensors")[0] == 0
    given = ("bench", "--people", people, "--out", "out", "--detector", "aligned", "--run", "box")
    runs = ("--run", "my0.safetensors", "--run", "my1.safetensors")  # one kind, two trainings
    code, out, err = visard(*given, *runs)
    assert (code, err) == (0, "")
    assert {line.split()[0] for line in out.splitlines()} >= {"box", "my0.safetensors", "my1.safetensors"}
    text = Path("out/bench.md").read_text()
    assert "blind" not in re.search(r"jurors?: .*", text, re.IGNORECASE)[0]  # type: ignore[index]
    pictures = [photo.read(Path("out/protected", run, "p0/0.png")).pixels for run in ("box", "my0.safetensors")]
    assert (pictures[0] != pictures[1]).any()
    code, _, err = visard(*given, "--run", "my0.safetensors", "--jury", "blind")
    assert (code, "blind cannot judge what blind makes" in err) == (2, True)
    code, _, err = visard(*given, "--run", "my0.safetensors", "--run", "./my0.safetensors")
    assert (code, "is given twice" in err) == (2, True)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"KIND": "opom"}, 'Nothing to train is called "opom". There are: advfaces, apf, latent-distance, stylegan,'),
        ({"--recognizer": "nobody"}, 'No recognizer is called "nobody".'),
        ({"--recognizer": ","}, "visard train advfaces needs --recognizer too."),
        ({"--data": "nowhere"}, "nowhere is not a folder; give one that holds a folder of photos per person."),
        ({"--data": "empty"}, "empty has no photos in folders of people."),
        ({"--data": "one"}, "All 3 photos with a face are of one person; give photos of two people or more"),
        ({"--data": "walls"}, "No photo has a face to learn from; choose other photos or another --detector."),
        ({"--out": "a.pt"}, "a.pt must end in .safetensors."),
        ({"--out": "taken.safetensors"}, "taken.safetensors exists already; choose another name or use --force."),
        ({"--out": "nowhere/a.safetensors"}, "the folder does not exist; create it first."),
        ({"--size": "90"}, "a multiple of 4, 64 or more"),
        ({"--set": "depth=3"}, 'advfaces has no setting "depth".'),
        ({"--set": "mode=low"}, "advfaces: mode is one of obfuscation, impersonation; got low."),
        ({"--detector": "eyes"}, '--detector is "dlib"'),
        ({"--device": "gpu"}, '--device is "cpu", "cuda" or "cuda:N", got "gpu".'),
        ({"--precision": "half"}, '--precision is float32 or bfloat16, got "half".'),
        ({"--out": "begun.safetensors"}, "checkpoint.pt is damaged; begin anew with --force."),
    ],
)
@pytest.mark.usefixtures("jurors")
def test_mistakes_are_answered_in_one_sentence(
    visard: Run, people: Path, tmp_path: Path, changes: dict[str, str], sentence: str
) -> None:
    (tmp_path / "empty").mkdir()
    crowd(tmp_path / "one", people=1)
    (tmp_path / "walls/w").mkdir(parents=True)
    save(tmp_path / "walls/w/wall.png", np.zeros((50, 50, 3), np.uint8))
    (tmp_path / "taken.safetensors").write_bytes(b"mine")
    (tmp_path / "begun.training").mkdir()
    (tmp_path / "begun.training/checkpoint.pt").write_bytes(b"half")
    words = {"KIND": "advfaces", "--data": str(people), "--recognizer": "blind", "--out": "a.safetensors"}
    words |= {"--detector": "aligned", **changes}
    kind = words.pop("KIND")
    code, _, err = visard("train", kind, *(word for pair in words.items() for word in pair), "--steps", 1)
    assert code == 2
    assert err.startswith("visard: ")
    assert err.count("\n") == 1
    assert sentence in err
    assert not (tmp_path / "a.safetensors").exists()
    assert (tmp_path / "taken.safetensors").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["--method", "no.safetensors"],
            "no.safetensors does not exist; check the name, or make it with: visard",
        ),
        (["--method", "bad.safetensors"], "bad.safetensors is not a cloak that visard train made"),
        (
            ["--method", "apf"],
            "apf is learned, and no trained one is here; train it",
        ),
        (["--method", "FILE", "--surrogates", "sharp"], "FILE was trained against blind; leave --surrogates"),
        (["--method", "FILE", "--thorough"], "FILE was trained against blind; leave --surrogates and --thorough out."),
        (["--method", "FILE", "--set", "eps=0.1"], 'apf has no setting "eps". It has: none.'),
        (["--method", "FILE", "--target", "me.jpg"], "apf only steers away from the person; leave --target out."),
    ],
)
@pytest.mark.usefixtures("jurors")
def test_mistakes_in_protecting(
    visard: Run, people: Path, portrait: Path, tmp_path: Path, words: list[str], sentence: str
) -> None:
    (tmp_path / "bad.safetensors").write_bytes(b"words")
    if "FILE" in words:
        more = ("--data", people, "--recognizer", "blind", "--out", "my.safetensors", "--steps", 1, *QUICK)
        assert visard("train", "apf", *more)[0] == 0
    code, out, err = visard("protect", portrait, *(word.replace("FILE", "my.safetensors") for word in words))
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert sentence.replace("FILE was", "my.safetensors was") in err
    assert not (tmp_path / "me.visard.jpg").exists()
