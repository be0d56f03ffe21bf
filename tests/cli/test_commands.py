"""The command as a person types it: what it prints, what it writes, its exit code."""

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from rig import astronaut, install, install_adaptive, install_jurors, save
from visard import photo
from visard.cli.commands import app
from visard.cloak import find as find_method
from visard.cloak import method_names
from visard.cloak.method import LEARNED
from visard.generator import learned
from visard.recognizer import find
from visard.recognizer.front import CloakDetector

Run = Callable[..., tuple[int, str, str]]
QUICK = ("--set", "steps=2")
MODELS = ("list", "info", "add", "fetch", "verify", "remove")


def strict_json(text: str) -> Any:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)


# help


def test_help_imports_nothing_slow() -> None:
    script = (
        "import sys; from visard.cli import main; sys.argv = ['visard', *{words}]\n"
        "try: main()\nexcept SystemExit as stop: assert not stop.code, stop.code\n"
        "slow = {{'torch', 'numpy', 'PIL', 'dlib', 'skimage', 'scipy'}} & set(sys.modules); assert not slow, slow"
    )
    for words in (["--help"], ["protect", "--help"], ["models", "fetch", "--help"], ["person", "learn", "--help"],
                  ["anonymize", "--help"], ["study", "make", "--help"], ["study", "score", "--help"],
                  ["person", "apply", "--help"], ["--version"]):  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-c", script.format(words=words)], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert "visard" in done.stdout


@pytest.mark.parametrize(
    "command", ["protect", "audit", "faces", "methods", "calibrate", *(f"models {word}" for word in MODELS)]
)
def test_every_command_explains_itself(command: str) -> None:
    result = CliRunner().invoke(app, [*command.split(), "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert result.output.count("Usage: ") == 1


# protect


def test_the_adaptive_line(visard: Run, portrait: Path, tmp_path: Path, home: Path) -> None:
    """What a hardened recognizer says is printed and reported apart; the photo counts as protected all the same."""
    (tmp_path / "nets").mkdir()
    install_jurors(tmp_path / "nets")
    hard = install_adaptive("hard", "blind", -1.0, CloakDetector(threshold=-100.0))
    install_adaptive("calm", "blind", 2.0, CloakDetector(threshold=100.0))
    code, out, err = visard("protect", portrait, "--jury", "blind", *QUICK, "--report", tmp_path / "report.json")
    assert (code, err) == (0, "")
    assert "Face 1 at 175,76 - 266,167: protected (SSIM" in out
    assert "The same for who was hardened against cloaks:" in out
    lines = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert lines["hard"].split()[-2:] == ["NOT", "protected"]
    assert lines["calm"].split()[-2:] == ["2.00", "protected"]
    assert "The detector of hard calls the face cloaked (as saved, JPEG 75, half size)." in out
    assert "The detector of calm sees no cloak." in out
    assert "An adaptive recognizer was hardened against cloaks: it counts for nothing above" in out
    assert "One juror proves little" in out
    report = strict_json((tmp_path / "report.json").read_text())
    assert report["run"]["adaptive"] == {"calm": find("calm").sha256, "hard": hard.sha256}
    assert report["run"]["thresholds"] == {"blind": 2.0, "calm": 2.0, "hard": -1.0}
    (face,) = report["photos"][0]["faces"]
    assert face["protected"] is True
    assert {row["juror"] for row in face["jurors"]} == {"blind"}
    told = {(row["juror"], row["protected"], row["cloaked"]) for row in face["adaptive"]}
    assert told == {("hard", False, True), ("calm", True, False)}
    code, out, _ = visard(
        "audit", "--original", portrait, "--protected", tmp_path / "me.visard.jpg", "--jury", "blind", "--report",
        tmp_path / "audit.json",
    )  # fmt: skip
    assert code == 0
    assert "The detector of hard calls the face cloaked" in out
    assert strict_json((tmp_path / "audit.json").read_text())["run"]["adaptive"]["hard"] == hard.sha256
    out = visard("models", "info", "hard")[1]
    assert f"blind, sha256 {find('blind').sha256}" in out
    assert "calls a face cloaked from the logit -100.000 on" in out
    assert "adaptive" in visard("models", "list")[1]
    assert visard("models", "remove", "blind")[0] == 0
    code, out, _ = visard("models", "verify", "hard")
    assert code == 1
    assert "base missing" in out
    assert visard("protect", portrait, "--jury", "sharp", *QUICK, "--force")[0] == 1  # as if nobody were hardened


@pytest.mark.usefixtures("jurors")
def test_all_protected(visard: Run, portrait: Path, tmp_path: Path) -> None:
    code, out, err = visard("protect", portrait, "--jury", "blind", *QUICK, "--report", tmp_path / "new/report.json")
    assert (code, err) == (0, "")
    assert f"{portrait} -> {tmp_path / 'me.visard.jpg'}" in out
    assert "Face 1 at 175,76 - 266,167: protected (SSIM" in out
    assert "Without" not in out
    assert "One juror proves little" in out
    assert photo.read(tmp_path / "me.visard.jpg").pixels.shape == (512, 512, 3)
    report = strict_json((tmp_path / "new/report.json").read_text())
    assert report["run"]["method"] == "visard"
    assert report["run"]["settings"] == {**find_method("visard").settings, "steps": 2}
    assert report["run"]["surrogates"] == {"dlib-resnet": find("dlib-resnet").sha256}
    assert report["run"]["jury"] == {"blind": find("blind").sha256}
    (row,) = report["photos"]
    assert (row["status"], row["source"]) == ("protected", str(portrait))
    assert [(j["juror"], j["condition"], j["threshold"], j["fmr"]) for j in row["faces"][0]["jurors"]] == [
        ("blind", condition, 2.0, 1e-3) for condition in ("as saved", "JPEG 75", "half size")
    ]


@pytest.mark.usefixtures("jurors")
def test_one_juror_that_matches_is_exit_code_1(visard: Run, portrait: Path, tmp_path: Path) -> None:
    code, out, _ = visard("protect", portrait, *QUICK, "--report", tmp_path / "report.json")
    assert code == 1
    assert "NOT protected" in out
    assert "miss every face" not in out
    (row,) = strict_json((tmp_path / "report.json").read_text())["photos"]
    assert {j["juror"]: j["protected"] for j in row["faces"][0]["jurors"]} == {"blind": True, "sharp": False}


def test_nobody_to_judge(visard: Run, portrait: Path, tmp_path: Path) -> None:
    code, out, _ = visard("protect", portrait, *QUICK)
    assert code == 1
    assert "not judged" in out
    assert "no juror is there" in out
    assert "visard models add FILE.onnx --card CARD.json" in out
    assert (tmp_path / "me.visard.jpg").is_file()


@pytest.mark.usefixtures("jurors")
def test_a_photo_without_a_face(visard: Run, wall: Path) -> None:
    code, out, err = visard("protect", wall, *QUICK)
    assert (code, out.strip()) == (2, "")
    assert f"no face: {wall}: no face was found; give boxes with --boxes" in err


@pytest.mark.usefixtures("jurors", "wall")
def test_a_folder(visard: Run, tmp_path: Path, portrait: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(portrait.read_bytes()[:500])
    words = ("protect", tmp_path, "-o", tmp_path / "posted", "--jury", "blind", *QUICK, "--report", "report.json")
    code, out, _ = visard(*words)
    assert code == 2
    assert "3 photos: 1 protected, 1 no face, 1 failed. 1 of 1 faces protected." in out
    assert len([line for line in out.splitlines() if str(tmp_path) in line]) == 3
    statuses = [row["status"] for row in strict_json(Path("report.json").read_text())["photos"]]
    assert statuses == ["failed", "protected", "no face"]
    first = Path("report.json").read_text()
    code, out, _ = visard(*words)
    assert (code, "done before" in out) == (2, True)
    assert strict_json(Path("report.json").read_text())["photos"][1] == strict_json(first)["photos"][1]
    _, out, _ = visard(*words, "--detector", "aligned")  # other faces: not what was done before
    assert "done before" not in out


def test_existing_files_are_named(visard: Run, portrait: Path, tmp_path: Path) -> None:
    (tmp_path / "out.jpg").write_bytes(b"mine")
    code, out, err = visard("protect", portrait, "-o", tmp_path / "out.jpg", *QUICK)
    assert code == 2
    assert "exists already" in out + err
    assert (tmp_path / "out.jpg").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--method", "visrd"], 'No method is called "visrd". Did you mean "visard"?'),
        (["--set", "stepz=3"], 'visard has no setting "stepz". Did you mean "steps"?'),
        (["--set", "steps=many"], "steps takes a whole number, got many"),
        (["--set", "ssim=1"], "ssim lies between 0 and 1, got 1"),
        (["--strength", "huge"], 'visard has no strength "huge": it has low, medium, high'),
        (["--method", "bim", "--strength", "low"], 'bim has no strength "low": use --set'),
        (["--surrogates", "dlib-resnt"], 'No recognizer is called "dlib-resnt". Did you mean "dlib-resnet"?'),
        (["--jury", "nobody"], 'No recognizer is called "nobody".'),
        (["--jury", "dlib-resnet", "--surrogates", "dlib-resnet"], "cannot judge what dlib-resnet makes"),
        (["--detector", "haar"], '--detector is "dlib"'),
        (["--only", "first"], '--only takes face numbers such as 1,3, got "first"'),
        (["--except", "0"], "--except takes face numbers from 1 on"),
        (["--method", "illc"], "give a photo with --target"),
        (["--method", "bim", "--target", "me.jpg"], "leave --target out"),
        (["--jury", "blind", "--fmr", "0.5"], "blind has no threshold at FMR 0.5"),
        (["nothing.jpg"], "nothing.jpg does not exist; check the name."),
    ],
)
@pytest.mark.usefixtures("jurors")
def test_mistakes_are_answered_in_one_sentence(
    visard: Run, portrait: Path, tmp_path: Path, words: list[str], sentence: str
) -> None:
    code, out, err = visard("protect", portrait, *words)
    assert (code, out) == (2, "")
    assert err.startswith("visard: ")
    assert err.count("\n") == 1
    assert sentence in err
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == ["me.jpg"]


def test_a_report_that_cannot_be_written(visard: Run, portrait: Path) -> None:
    code, _, err = visard("protect", portrait, *QUICK, "--report", portrait / "report.json")
    assert code == 2
    assert err.startswith("visard: The report")


# faces


def test_faces(visard: Run, portrait: Path, wall: Path) -> None:
    code, out, _ = visard("faces", portrait)
    assert code == 0
    assert "175,76 - 266,167" in out
    code, out, _ = visard("faces", portrait, "--json")
    (face,) = strict_json(out)
    assert face["box"] == [175, 76, 266, 167]
    assert len(face["landmarks"]) == 5
    code, _, err = visard("faces", wall)
    assert (code, err.count("\n")) == (2, 1)
    assert "no face was found" in err


@pytest.mark.parametrize("gray", [False, True])
def test_faces_drawn(visard: Run, tmp_path: Path, gray: bool) -> None:
    pixels = astronaut()[..., 1:2] if gray else astronaut()
    source = save(tmp_path / "in.png", pixels)
    assert visard("faces", source, "--draw", tmp_path / "drawn.png")[0] == 0
    drawn = photo.read(tmp_path / "drawn.png").pixels
    assert drawn.shape == (512, 512, 3)  # in color, on a gray photo too
    changed = (drawn != pixels).any(axis=2)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    assert (columns[0], columns[-1], rows[-1]) == (175, 266, 167)
    assert 40 < rows[0] < 76  # the number stands above the box
    assert not changed[120:160, 200:250].any()  # the face itself is left to see
    assert "exists already" in visard("faces", source, "--draw", tmp_path / "drawn.png")[2]


@pytest.mark.usefixtures("jurors")
def test_saved_faces_are_taken_back(visard: Run, tmp_path: Path) -> None:
    source = save(tmp_path / "in.png", np.hstack([astronaut(), astronaut()[:, ::-1]]))
    assert visard("faces", source, "--save", "faces.json")[0] == 0
    assert "exists already" in visard("faces", source, "--save", "faces.json")[2]
    faces = strict_json(Path("faces.json").read_text())
    Path("faces.json").write_text(json.dumps(faces[::-1]))
    code, out, _ = visard("protect", source, "--boxes", "faces.json", "--only", "1", "--jury", "blind", *QUICK)
    assert code == 0
    assert "Face 1" in out
    assert "Face 2" not in out
    changed = (photo.read(tmp_path / "in.visard.png").pixels != photo.read(source).pixels).any(axis=(0, 2))
    chosen_is_left = faces[1]["box"][0] < 512
    assert [changed[:512].any(), changed[512:].any()] == [chosen_is_left, not chosen_is_left]
    code, _, err = visard("faces", source, "--save", "no/such/folder.json")
    assert (code, err.count("\n")) == (2, 1)
    assert "could not be written" in err


# audit


@pytest.mark.usefixtures("jurors")
def test_audit(visard: Run, portrait: Path, tmp_path: Path) -> None:
    code, out, _ = visard(
        "audit", "--original", portrait, "--protected", portrait, "--jury", "sharp", "--report", "report.json"
    )
    assert code == 1
    assert "NOT protected" in out
    assert "compared with its own original" in out
    report = strict_json(Path("report.json").read_text())
    assert report["run"] == {"jury": {"sharp": find("sharp").sha256}, "adaptive": {}, "fmr": 1e-3}
    assert report["photos"][0]["faces"][0]["psnr"] is None
    code, out, _ = visard(
        "audit", "--original", portrait, "--protected", portrait, "--jury", "blind", "--reference", portrait
    )
    assert code == 1  # it did not match before, so it has no say
    assert "no say" in out
    assert "1 other photo(s)" in out
    assert "compared with its own original" not in out
    smaller = save(tmp_path / "small.png", astronaut()[:300])
    code, _, err = visard("audit", "--original", portrait, "--protected", smaller)
    assert (code, err.count("\n")) == (2, 1)
    assert "512 x 512 and 512 x 300" in err


@pytest.mark.usefixtures("jurors")
def test_a_reference_that_never_matched_proves_nothing(visard: Run, tmp_path: Path) -> None:
    source = save(tmp_path / "in.png")
    out = visard("audit", "--original", source, "--protected", source, "--reference", source)[1]
    assert "blind did not match the --reference photos even before" in out  # it matches nothing
    assert (
        "even before"
        not in visard("audit", "--original", source, "--protected", source, "--reference", source, "--jury", "sharp")[1]
    )
    assert "even before" not in visard("audit", "--original", source, "--protected", source)[1]


# methods, calibrate


def test_methods(visard: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned, "SHIPPED", tmp_path)  # no trained one is there
    names = sorted([*method_names(), *LEARNED])
    _, out, _ = visard("methods")
    *table, how = [line for line in out.splitlines()[1:] if line[:1].strip()]
    assert [line.split()[0] for line in table] == names
    assert "To be trained first: advfaces, apf, latent, latent-distance." in how
    rows = strict_json(visard("methods", "--json")[1])
    assert [row["name"] for row in rows] == names
    assert [row["name"] for row in rows if row["trained"]] == list(LEARNED)
    found = [row["settings"] for row in rows if not row["trained"]]
    assert found == [find_method(name).settings for name in method_names()]


def test_the_page_of_a_method(visard: Run) -> None:
    code, out, _ = visard("methods", "fawkes")
    assert code == 0
    assert "Shan et al." in out
    assert "--set mode=" in out
    assert "--strength low: ssim=0.985" in visard("methods", "visard")[1]
    assert strict_json(visard("methods", "bim", "--json")[1])[0]["page"].startswith("BIM")
    code, _, err = visard("methods", "fawks")
    assert (code, err.count("\n")) == (2, 1)
    assert 'Did you mean "fawkes"?' in err
    code, out, _ = visard("methods", "apf")
    assert (code, "--set width=32" in out, "visard train apf --data" in out) == (0, True, True)


def people(folder: Path, count: int, each: int = 1) -> Path:
    rng = np.random.default_rng(0)
    for i in range(count):
        (folder / f"p{i:02}").mkdir(parents=True)
        for j in range(each):
            save(folder / f"p{i:02}/{j}.png", rng.integers(0, 256, (112, 112, 3), dtype=np.uint8))
    return folder


@pytest.mark.parametrize("each", [1, 2])
def test_calibrate(visard: Run, tmp_path: Path, each: int) -> None:
    install(tmp_path, "fresh", 5, None)
    folder = people(tmp_path / "people", 26, each)
    words = ("--recognizer", "fresh", "--detector", "aligned")
    code, out, err = visard("calibrate", "--people", folder, *words, "--fmr", "1e-1")
    assert (code, err) == (0, "")
    (threshold,) = find("fresh").thresholds
    pairs = (26 * each) * (26 * each - 1) // 2 - 26 * (each - 1)
    assert (threshold.fmr, threshold.people, threshold.dataset) == (0.1, 26, "people")
    assert (threshold.pairs, threshold.sha256) == (pairs, find("fresh").sha256)
    assert f"{threshold.value:.4f}" in out
    assert f"{pairs:,}" in out
    row = strict_json(visard("models", "info", "fresh", "--json")[1])
    assert row["thresholds"][0]["value"] == threshold.value
    assert (row["thresholds"][0]["fnmr"] is None) == (each == 1)  # no genuine pairs, no rate
    assert "nan" not in out
    code, _, err = visard("calibrate", "--people", folder, *words, "--fmr", "1e-4")
    assert (code, err.count("\n")) == (2, 1)
    assert "FMR 0.0001 needs at least 300,000 impostor pairs (rule of 30)" in err
    assert find("fresh").thresholds == (threshold,)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--people", "no"], "no"),
        (["--people", "few"], "FMR 0.001 needs at least 30,000 impostor pairs (rule of 30); 3 photos give 3 at most"),
        (["--people", "few", "--role", "test"], "columns path, person, role"),
        (["--people", "few", "--fmr", "0"], "between 0 and 1"),
        (["--people", "few", "--fmr", "1e-1", "--recognizer", "dlib-resnet"], "3 photos give 3 at most"),
        (["--people", "few", "--recognizer", "x"], 'No recognizer is called "x"'),
    ],
)
def test_calibrations_that_cannot_be(visard: Run, tmp_path: Path, words: list[str], sentence: str) -> None:
    people(tmp_path / "few", 3)
    code, out, err = visard("calibrate", *words)
    assert (code, out) == (2, "")
    assert err.startswith("visard: ")
    assert err.count("\n") == 1
    assert sentence in err


# as a process of its own


def test_the_installed_command(installed: Path, portrait: Path, tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("visard")
    env = {"VISARD_HOME": str(installed), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "HOME": str(tmp_path)}

    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([str(command), *words], capture_output=True, text=True, check=False, env=env)

    done = run("protect", str(portrait), "--jury", "blind", *QUICK)
    assert (done.returncode, done.stderr) == (0, "")
    done = run("protect", str(portrait), "--jury", "blind", "--method", "x")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith('visard: No method is called "x".')


def test_an_interruption_is_explained(installed: Path, portrait: Path, tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("visard")
    env = {"VISARD_HOME": str(installed), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "HOME": str(tmp_path)}
    words = [str(command), "protect", str(portrait), "-o", str(tmp_path / "out"), "--set", "steps=100000"]
    # what starts the tests may ignore Ctrl-C and hand that down; a terminal does not
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        process = subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, before)
    with process:
        while not (tmp_path / "out/.visard-run.jsonl").exists() and process.poll() is None:
            time.sleep(0.05)
        time.sleep(0.5)
        err = ""
        for _ in range(6):  # Python drops a signal that falls into a destructor; a person presses the keys again
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                _, err = process.communicate(timeout=20)
                break
        else:
            process.kill()
    assert process.returncode == 130
    assert err.endswith("with -o FOLDER the same command goes on from there.\n")
    assert "Traceback" not in err
    assert [p.name for p in (tmp_path / "out").iterdir()] == [".visard-run.jsonl"]
