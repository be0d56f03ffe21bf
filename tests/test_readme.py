"""Every command and every snippet of the README runs."""

import re
import shlex
from pathlib import Path

import pytest
from PIL import Image
from skimage import data
from typer.testing import CliRunner

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
SHELL = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = [line.split("#")[0].strip() for block in SHELL for line in block.splitlines()]
PYTHON = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder with the photos that the README speaks of; no recognizer added."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VISARD_HOME", str(tmp_path / "home"))
    photo = Image.fromarray(data.astronaut())
    group = Image.new("RGB", (1536, 512))
    for i in range(3):
        group.paste(photo, (512 * i, 0))
    for folder in ("photos", "photos-of-me"):
        (tmp_path / folder).mkdir()
        photo.save(tmp_path / folder / "1.jpg")
        photo.save(tmp_path / folder / "2.png")
    for name in ("holiday.jpg", "original.jpg", "protected.jpg", "other.jpg", "party.jpg"):
        photo.save(tmp_path / name)
    photo.save(tmp_path / "portrait.png")
    group.save(tmp_path / "group.jpg")
    return tmp_path


def test_the_readme_has_its_commands():
    assert len(COMMANDS) >= 8
    assert len(PYTHON) == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_command(command, desk):
    from visard.cli.commands import app

    words = shlex.split(command)[1:]
    if "me.mask" in words and words[:2] != ["person", "learn"]:  # the mask is what another command makes
        (learn,) = [c for c in COMMANDS if "person learn" in c]
        CliRunner().invoke(app, shlex.split(learn)[1:])
    result = CliRunner().invoke(app, words)
    # 1: the verdict is "not protected", which no README can promise away
    allowed = (0, 1) if {"protect", "audit", "apply"} & set(words) else (0,)
    assert result.exit_code in allowed, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)


def test_snippet(desk, capsys):
    exec(compile(PYTHON[0], "README.md", "exec"), {})
    assert "protected" in capsys.readouterr().out
    assert (desk / "holiday.safe.jpg").is_file()
