"""Several processes learn what one learns, and bfloat16 learns too."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from learners import QUICK, made_crops
from visard.errors import SettingError
from visard.generator import Training, parallel, train
from visard.generator.learner import mean_cosine

Start = Callable[..., Training]
# trainings of tiny networks, as each process of torchrun runs them
SCRIPT = """
import sys
from pathlib import Path
import torch
from learners import QUICK, made_crops, tiny_recognizer
from visard.generator import Training, parallel, train
with parallel.started("cpu") as device:
    for mode in ("obfuscation", "impersonation"):
        settings = {**QUICK["advfaces"], "rate": 1e-3, "batch": 4, "mode": mode, "views": True}
        training = Training("advfaces", settings, made_crops(), [tiny_recognizer(1)], 0, device)
        out = Path(sys.argv[1], f"{mode}.safetensors")
        train(training, out, 1)
        slopes = [p.grad for network in (training.learner.generator, training.learner.discriminator)
                  for p in network.parameters()]
        train(training, out, 3, max_minutes=5, force=True)
        if parallel.first():
            torch.save((slopes, training.history), out.with_suffix(".pt"))
"""


def test_two_processes_learn_what_one_learns(tmp_path: Path) -> None:
    script = tmp_path / "training.py"
    script.write_text(SCRIPT)
    folders = [str(Path(__file__).parents[1]), *sys.path]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(folders)}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for name, words in (("one", [sys.executable]), ("two", torchrun)):
        (tmp_path / name).mkdir()
        given = [*words, str(script), str(tmp_path / name)]
        done = subprocess.run(given, env=env, capture_output=True, text=True, check=False, timeout=240)
        assert done.returncode == 0, done.stderr
    for mode in ("obfuscation", "impersonation"):
        (slopes, history), (others, again) = (torch.load(tmp_path / name / f"{mode}.pt") for name in ("one", "two"))
        one, two = (torch.cat([slope.flatten() for slope in all_of]) for all_of in (slopes, others))
        # rounding may put a unit of the discriminator on the other side of its kink
        assert float((two - one).norm()) < 0.03 * float(one.norm())
        assert [row.keys() for row in history] == [row.keys() for row in again]
        assert all(history[0][key] != history[2][key] for key in history[0])
        assert again[0] == pytest.approx(history[0], rel=1e-5, abs=1e-6)
        # a step of Adam turns on the sign of gradients that are next to nothing
        assert again[2] == pytest.approx(history[2], rel=1e-2, abs=1e-3)


def test_batch_norm_is_torchs_own_in_one_process() -> None:
    x = torch.rand(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(parallel.BatchNorm(3)(x), nn.BatchNorm2d(3)(x), rtol=0, atol=0)


def test_a_batch_that_cannot_be_shared(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "count", lambda: 3)
    with pytest.raises(SettingError, match="3 processes cannot share a batch of 4 evenly; set another batch"):
        start("apf")


@pytest.mark.parametrize(
    ("device", "several", "sentence"),
    [
        ("gpu", False, '--device is "cpu", "cuda" or "cuda:N", got "gpu"'),
        ("meta", False, '--device is "cpu", "cuda" or "cuda:N", got "meta"'),
        ("cuda", False, "--device cuda cannot be had: no GPU is here; give another"),
        ("cuda", True, "--device cuda cannot be had: no GPU is here; give another"),
        ("cuda:0", True, "Each process takes a GPU of its own; give --device cuda."),
    ],
)
def test_devices_that_are_not_there(device: str, several: bool, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    if several:
        monkeypatch.setenv("WORLD_SIZE", "2")
        monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(SettingError, match=sentence), parallel.started(device):
        pass


def test_a_gpu_for_each_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with parallel.started("cuda") as one, parallel.started("cuda:1") as other:
        assert (one, other) == (torch.device("cuda", 0), torch.device("cuda", 1))
    with (
        pytest.raises(SettingError, match="--device cuda:2 cannot be had: there are 2 GPUs"),
        parallel.started("cuda:2"),
    ):
        pass


@pytest.mark.parametrize("kind", ["advfaces", "apf", "latent-distance"])
def test_bfloat16_learns_too(kind: str, start: Start, tmp_path: Path) -> None:
    exact = start(kind)
    training = Training(kind, {**QUICK[kind], "batch": 4}, exact.crops, exact.recognizers, mixed=True)
    strangers = made_crops(seed=9).pixels.float() / 255

    def cosine() -> float:
        with torch.no_grad():
            seen = training.seen(strangers)
        assert all(value.dtype == torch.float32 for value in (*seen.own, *seen.found, seen.change))
        return float(mean_cosine(seen.found, seen.own).mean())

    before = cosine()
    made = train(training, tmp_path / "a.safetensors", 6)
    assert cosine() < before - 0.1
    exact.step()
    first = training.history[0]
    assert first != exact.history[0]  # another arithmetic
    assert first == pytest.approx(exact.history[0], rel=0.05, abs=0.02)
    assert all(weight.dtype == torch.float32 for weight in made.learner.generator.parameters())
