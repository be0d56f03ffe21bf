"""The training of StyleGAN2: each loss in closed form, who learns from which, that it works and goes on bit for bit."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Generator, Tensor, nn

from learners import made_crops
from visard.errors import CloakError, SettingError
from visard.generator import Crops, train
from visard.generator.course import take
from visard.generator.stylegan import FaceGenerator, Shape, StyleSettings, StyleTraining, load_faces, make_network
from visard.generator.stylegan.augment import Adaptive, augmented
from visard.generator.stylegan.faces import parse_faces
from visard.generator.stylegan.losses import discriminator_loss, generator_loss, path_length, r1

TINY = StyleSettings(base=64, widest=8, latent=8, layers=2, batch=8, rate=1e-2, r1=0.1)


def start(seed: int = 0, settings: StyleSettings = TINY) -> StyleTraining:
    return StyleTraining(settings, made_crops(size=16), seed)


def numbers(network: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten().clone() for p in network.parameters()])


# the losses


def test_logistic_losses() -> None:
    real, made = torch.tensor([0.0, 2.0]), torch.tensor([-1.0, 3.0])
    expected = [sum(math.log1p(math.exp(-v)) for v in (-1.0, 3.0)) / 2]
    expected.append(
        sum(math.log1p(math.exp(-v)) for v in (0.0, 2.0)) / 2 + sum(math.log1p(math.exp(v)) for v in (-1.0, 3.0)) / 2
    )
    assert [float(generator_loss(made)), float(discriminator_loss(real, made))] == pytest.approx(expected)


def test_r1_of_a_linear_discriminator_is_half_its_squared_weights() -> None:
    weight = torch.randn(3, 4, 4, requires_grad=True)
    found = r1(lambda x: (x * weight).sum(dim=(1, 2, 3)), torch.randn(5, 3, 4, 4))
    torch.testing.assert_close(found, weight.square().sum() / 2)
    (slope,) = torch.autograd.grad(found, weight)
    torch.testing.assert_close(slope, weight.detach())  # it is trained: the penalty itself has a gradient


def test_path_length_of_a_linear_synthesis() -> None:
    random = Generator().manual_seed(0)
    linear = torch.randn(6, 3 * 4 * 4, generator=random)
    ws = torch.randn(5, 2, 6, generator=random)
    noise = torch.randn((5, 3, 4, 4), generator=Generator().manual_seed(1)) / 4
    each = noise.flatten(1) @ linear.T  # (5, 6), the same for both w
    lengths = each.square().sum(dim=1).sqrt()
    penalty, mean = path_length(
        lambda ws: (ws.sum(dim=1) @ linear).view(-1, 3, 4, 4), ws, torch.tensor(2.0), Generator().manual_seed(1)
    )
    expected = 2 + 0.01 * (lengths.mean() - 2)
    torch.testing.assert_close(mean, expected)
    torch.testing.assert_close(penalty, (lengths - expected).square().mean())


# augmentation


def test_augmentation_changes_as_many_as_it_should() -> None:
    pictures = made_crops(20, 10, size=16).pixels.float() / 127.5 - 1
    assert augmented(pictures, 0.0, Generator()) is pictures
    some, every = (augmented(pictures, p, Generator().manual_seed(0)) for p in (0.05, 1.0))
    again = augmented(pictures, 0.05, Generator().manual_seed(0))
    assert torch.equal(some, again)

    def changed(found: Tensor) -> float:
        return float(((found - pictures).abs().amax(dim=(1, 2, 3)) > 1e-3).float().mean())

    # twelve changes of a twentieth each, of which some change nothing: a half turn of zero, a scale of 1
    assert 0.25 < changed(some) < 0.6
    assert changed(every) > 0.98
    assert torch.isfinite(every).all()


def test_augmentation_lets_gradients_through() -> None:
    pictures = torch.zeros(4, 3, 16, 16, requires_grad=True)
    augmented(pictures, 1.0, Generator().manual_seed(0)).sum().backward()
    assert pictures.grad is not None
    assert float(pictures.grad.abs().sum()) > 0


def test_the_probability_follows_the_discriminator() -> None:
    adaptive = Adaptive(goal=0.6, pictures=100)
    for sign, expected in ((1.0, 0.1), (0.7, 0.2), (0.5, 0.1), (0.0, 0.0), (-1.0, 0.0)):
        adaptive.hear(sign, 10)
        assert adaptive.probability == pytest.approx(expected)


# who learns


def test_each_network_learns_in_its_own_step() -> None:
    training = start()
    training.step()  # the first step asks for both penalties
    generator, judge = numbers(training.network), numbers(training.discriminator)
    take(training.optimizers["generator"], generator_loss(training._judged(training._made())))
    assert torch.equal(numbers(training.discriminator), judge)
    assert not torch.equal(numbers(training.network), generator)
    generator = numbers(training.network)
    take(training.optimizers["discriminator"], generator_loss(training._judged(training._made())))
    assert torch.equal(numbers(training.network), generator)
    assert not torch.equal(numbers(training.discriminator), judge)


def test_all_weights_learn() -> None:
    training = start()
    before = {name: p.detach().clone() for name, p in training.network.named_parameters()}
    for _ in range(3):
        training.step()
    assert [n for n, p in training.network.named_parameters() if torch.equal(p, before[n])] == []


def test_some_pictures_mix_two_styles() -> None:
    def distinct(mixing: float) -> float:
        training = start(settings=StyleSettings(base=64, widest=8, latent=8, layers=2, batch=200, mixing=mixing))
        ws = training._styles()
        return float((ws[:, 0] != ws[:, -1]).any(dim=1).float().mean())

    assert distinct(0.0) == 0
    assert distinct(1.0) == 1
    assert 0.8 < distinct(0.9) < 0.97


# that it works


def test_made_pictures_come_to_look_like_the_real_ones() -> None:
    """They start gray and come to be as dark as the real ones."""
    crops = made_crops(size=16)
    dark = Crops(crops.pixels // 8, crops.people)
    training = StyleTraining(StyleSettings(base=64, widest=8, latent=8, layers=2, batch=8, rate=1e-2, r1=0.1), dark)
    real = training.crops.pixels.float().mean(dim=(0, 2, 3)) / 255

    def distance() -> float:
        made = training.made()
        faces = made.faces(made.drawn(64, Generator().manual_seed(0)))
        return float((faces.mean(dim=(0, 2, 3)) - real).norm())

    before = distance()
    for _ in range(60):
        training.step()
    assert distance() < 0.5 * before


def test_the_result_is_the_average_of_the_weights() -> None:
    training = start()
    first = numbers(training.network)
    for _ in range(4):
        training.step()
    average = numbers(training.made().network)
    assert not torch.allclose(average, numbers(training.network), atol=1e-3)
    assert float((average - first).norm()) > 0
    sheet = training.sheet()
    assert sheet.shape == (4 * 16, 8 * 16, 3)


# files


def test_it_goes_on_bit_for_bit(tmp_path: Path) -> None:
    whole, parts = start(), start()
    train(whole, tmp_path / "whole.safetensors", 6)
    train(parts, tmp_path / "parts.safetensors", 3)
    train(start(), tmp_path / "parts.safetensors", 6)
    assert (tmp_path / "whole.safetensors").read_bytes() == (tmp_path / "parts.safetensors").read_bytes()
    assert (tmp_path / "whole.training" / "curves.csv").read_text() == (
        tmp_path / "parts.training" / "curves.csv"
    ).read_text()
    with pytest.raises(CloakError, match="begun with other seed"):
        train(start(1), tmp_path / "parts.safetensors", 8)


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    training = start()
    training.step()
    path = tmp_path / "faces.safetensors"
    path.write_bytes(training.made().to_bytes())
    found = load_faces(path)
    assert (found.size, found.photos, found.steps, found.seed) == (16, 12, 1, 0)
    assert found.settings["batch"] == 8
    w = found.drawn(3, Generator().manual_seed(1))
    assert torch.equal(found.faces(w), training.made().faces(w))
    torch.testing.assert_close(found.nearer(w, 0.0), found.network.mapping.average.expand(3, -1))
    assert found.to_bytes() == path.read_bytes()


def test_files_that_are_no_generator(tmp_path: Path) -> None:
    data = FaceGenerator(make_network(Shape(16, 64, 8, 8, 2), 0), {}, 1, 1, 0).to_bytes()
    with pytest.raises(CloakError, match="does not exist; check the name, or make it with: visard train stylegan"):
        load_faces(tmp_path / "a.safetensors")
    with pytest.raises(CloakError, match="could not be read"):
        load_faces(tmp_path)
    with pytest.raises(CloakError, match="not a face generator that visard train made, or it is damaged"):
        parse_faces(data[:-4] + b"\0\0\1\1", "a")
    other = data.replace(b"face generator 1", b"face generator 9")
    with pytest.raises(CloakError, match="writes face generators in another form"):
        parse_faces(other, "a")


def test_batches_of_one_are_refused() -> None:
    with pytest.raises(SettingError, match="batch must be 2 or more"):
        StyleSettings(batch=1)


SCRIPT = """
import sys
import torch
from learners import made_crops
from visard.generator import parallel
from visard.generator.stylegan import StyleSettings, StyleTraining
with parallel.started("cpu") as device:
    settings = StyleSettings(base=64, widest=8, latent=8, layers=2, batch=8)
    training = StyleTraining(settings, made_crops(size=16), 0, device)
    rows = [training.step() for _ in range(2)]
    weights = torch.cat([p.detach().flatten() for p in training.network.parameters()])
    mine = training._styles()
    torch.save((rows, weights, mine), f"{sys.argv[1]}/{parallel.rank()}.pt")
"""


def test_two_processes_share_a_batch_and_keep_the_same_weights(tmp_path: Path) -> None:
    script = tmp_path / "training.py"
    script.write_text(SCRIPT)
    folders = [str(Path(__file__).parents[1]), *sys.path]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(folders)}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*torchrun, str(script), str(tmp_path)], env=env, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr
    (rows, weights, ws), (others, again, more) = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert rows == others
    assert torch.equal(weights, again)
    assert len(ws) == len(more) == 4
    assert not torch.allclose(ws, more)
