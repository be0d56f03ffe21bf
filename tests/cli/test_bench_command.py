"""visard bench, as a person types it."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from crowd import crowd
from rig import install
from visard.audit.sight import CONDITIONS
from visard.cli.commands import app
from visard.pipeline import batch

Run = Callable[..., tuple[int, str, str]]
RUNS = ("--run", "box", "--run", "noise eps=2/255", "--run", "noise  eps=0.3")


def words(*more: object) -> tuple[object, ...]:
    return ("bench", "--people", "photos", "--out", "out", "--detector", "aligned", *more)


@pytest.mark.usefixtures("jurors")
def test_bench(visard: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crowd(tmp_path / "photos", 3, 2)
    code, out, err = visard(*words(*RUNS, "--photos", 1, "--jury", "sharp,blind"))
    assert (code, err) == (0, "")
    lines = [re.sub(r"\s+", " ", line).strip() for line in out.splitlines()]
    # sharp matches everybody and blind nobody, who so has no say
    assert (
        sum(bool(re.match(r"(box|noise eps=2/255|noise eps=0.3) .* 0 % \[0, 71\] n=3 ", line)) for line in lines) == 3
    )
    assert "every set: blind misses 100% of the clean photos too: it says little." in lines
    assert "The report: out/bench.md" in lines
    assert re.fullmatch(r"no run of box is as little seen as noise eps=2/255, SSIM \.\d{3}", lines[-2])
    assert sorted(p.name for p in Path("out").iterdir()) == ["bench.md", "bench.parquet", "figures", "protected"]
    assert sorted(p.name for p in Path("out/protected").iterdir()) == ["box", "noise eps=0.3", "noise eps=2-255"]
    assert pq.read_table("out/bench.parquet").num_rows == 3 * 3 * 2 * len(CONDITIONS)
    assert "surrogates: dlib-resnet" in Path("out/bench.md").read_text()

    # the same command once more protects nothing again
    def never(*_args: object) -> None:
        raise AssertionError("protected twice")

    text = Path("out/bench.md").read_text()
    monkeypatch.setattr(batch, "cloak", never)
    assert visard(*words(*RUNS, "--photos", 1, "--jury", "sharp,blind", "--keep-embeddings")) == (0, out, "")
    assert Path("out/bench.md").read_text() == text
    assert list(Path("out/.looks").iterdir())


MISTAKES = {
    "no run": ((), 'There is nothing to compare; name a run with --run, such as --run "visard ssim=0.96".'),
    "empty run": (("--run", " "), "--run takes a method and its settings"),
    "method": (("--run", "fgms"), 'No method is called "fgms". Did you mean "fgsm"?'),
    "setting": (("--run", "bim epz=1/255"), 'bim has no setting "epz". Did you mean "eps"?'),
    "value": (("--run", "bim eps=-"), '--run: "eps=-" needs a number such as'),
    "no pair": (("--run", "bim eps"), '--run takes NAME=VALUE, got "eps".'),
    "range": (("--run", "bim eps=8"), "did you mean 8/255?"),
    "twice": (("--run", "box", "--run", "bim", "--run", "box shade=0.0"), 'The run "box shade=0.0" is given twice (as'),
    "targeted": (("--run", "tip-im"), "tip-im steers toward another person"),
    "nobody judges": (("--run", "box", "--jury", "none"), "No juror is left that had no part in the cloaks"),
    "both": (("--run", "box", "--surrogates", "dlib-resnet", "--jury", "dlib-resnet"), "dlib-resnet cannot judge what"),
    "juror": (("--run", "box", "--jury", "shrap"), 'No recognizer is called "shrap". Did you mean "sharp"?'),
    "rate": (("--run", "box", "--jury", "sharp", "--fmr", "0.01"), "sharp has no threshold at FMR 0.01"),
    "detector": (("--run", "box", "--detector", "haar"), '--detector is "dlib"'),
    "place": (("--run", "box", "--out", "photos/out"), "photos/out lies among the photos; choose another folder"),
    "people": (("--run", "box", "--people", "photos/p0"), "photos/p0 holds no photos in folders of people"),
    "one person": (("--run", "box", "--people", "single"), "single holds photos of one person only; a bench needs at"),
    "missing": (("--run", "box", "--people", "no"), "The folder no could not be read"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.usefixtures("jurors")
def test_mistakes_are_answered_in_one_sentence(visard: Run, tmp_path: Path, mistake: str) -> None:
    crowd(tmp_path / "photos", 2, 2)
    crowd(tmp_path / "single", 1, 2)
    more, sentence = MISTAKES[mistake]
    before = sorted(Path().rglob("*"))
    code, out, err = visard(*words(*more))
    assert (code, out) == (2, "")
    assert err.startswith("visard: ")
    assert err.count("\n") == 1
    assert sentence in err
    assert sorted(Path().rglob("*")) == before


def test_a_jury_by_role_leaves_out_who_has_no_threshold(visard: Run, tmp_path: Path) -> None:
    install(tmp_path, "sharp", 2, -1.0)
    install(tmp_path, "new", 3, None)
    crowd(tmp_path / "photos", 2, 2)
    code, out, err = visard(*words("--run", "box"))
    assert code == 0
    assert "new" in out + err
    assert {row["juror"] for row in pq.read_table("out/bench.parquet").to_pylist()} == {"sharp"}


@pytest.mark.usefixtures("jurors")
def test_without_the_extra(visard: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from visard.audit import document

    crowd(tmp_path / "photos", 2, 2)
    monkeypatch.setattr(document, "find_spec", lambda _name: None)
    code, out, err = visard(*words("--run", "box"))
    assert (code, out, err) == (2, "", "visard: A bench needs an optional part: pip install 'visard[report]'.\n")
    assert not Path("out").exists()


def test_help() -> None:
    result = CliRunner().invoke(app, ["bench", "--help"], env={"COLUMNS": "200"})
    assert (result.exit_code, result.output.count("Usage: ")) == (0, 1)
    script = (
        "import sys; from visard.cli import main; sys.argv = ['visard', 'bench', '--help']\n"
        "try: main()\nexcept SystemExit as stop: assert not stop.code\n"
        "assert not {'torch', 'numpy', 'PIL', 'dlib', 'matplotlib', 'pyarrow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
