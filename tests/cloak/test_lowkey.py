"""LowKey: its objective by hand, its smoothing by scipy, its start and its perceptual terms."""

import pytest
import torch
from safetensors.torch import save_file
from scipy.ndimage import gaussian_filter
from test_open_set import made_faces

from visard.cloak import Task, find
from visard.cloak.methods.lowkey import LPIPS_FILE, smoothed
from visard.cloak.naturalness import dssim_to
from visard.errors import CloakError, SettingError
from visard.measure.perceptual import LPIPS


def lowkey(task, **settings):
    return find("lowkey").cloak(task, **settings)


def test_it_smooths_as_scipy_does():
    pictures = torch.rand(2, 1, 20, 23, generator=torch.Generator().manual_seed(0))
    theirs = gaussian_filter(pictures.numpy(), 3, axes=(2, 3), radius=3, mode="mirror")
    assert torch.allclose(smoothed(pictures), torch.from_numpy(theirs), atol=1e-6)


def by_hand(surrogates, faces, pictures, weight):
    """The paper's sum, one recognizer and one view at a time, to minimize."""
    total = 0
    for s in surrogates:
        own, plain, smooth = (
            s.network(s.normalize(s.align(p, faces.frames))) for p in (faces.pixels, pictures, smoothed(pictures))
        )
        total = total - ((own - plain).norm(dim=1) ** 2 + (own - smooth).norm(dim=1) ** 2) / own.norm(dim=1)
    return total / len(surrogates) + weight * dssim_to(faces.pixels)(pictures)


@pytest.mark.parametrize("weight", [0.05, 500.0])
def test_it_takes_signed_steps_on_the_papers_sum_from_its_noise(weight, surrogates):
    faces, seen = made_faces(2), []
    generator = torch.Generator().manual_seed(5)
    task = Task(faces, None, generator=generator, surrogates=surrogates, watch=lambda _, d: seen.append(d))
    lowkey(task, steps=1, weight=weight)
    noise = 0.005 * torch.randn(faces.pixels.shape, generator=torch.Generator().manual_seed(5))
    point = (faces.pixels + noise).requires_grad_(True)
    (slope,) = torch.autograd.grad(by_hand(surrogates, faces, point, weight).sum(), point)
    expected = (noise - 0.0025 * slope.sign()).clamp(-0.05, 0.05)
    assert ((seen[0] - expected).abs() < 1e-5).float().mean() > 0.99


def test_the_objective_rises_within_the_budget(surrogates):
    faces = made_faces(2)
    delta = lowkey(Task(faces, None, surrogates=surrogates), steps=8)
    assert float(delta.abs().max()) <= 0.05
    with torch.no_grad():
        before, after = (by_hand(surrogates, faces, p, 0.05) for p in (faces.pixels, faces.pixels + delta))
    assert (after < before - 0.05).all()


def test_the_perceptual_term_holds_back(surrogates):
    faces = made_faces(1)
    dssim = dssim_to(faces.pixels)

    def unlike(**settings):
        return float(dssim(faces.pixels + lowkey(Task(faces, None, surrogates=surrogates), steps=8, **settings)))

    free = unlike(perceptual="none")
    assert unlike(weight=0.0) == pytest.approx(free, abs=1e-6)
    assert unlike(weight=1e4) < 0.5 * free


def test_lpips_is_used_when_its_weights_are_there(surrogates, tmp_path, monkeypatch):
    monkeypatch.setenv("VISARD_HOME", str(tmp_path))
    faces = made_faces(1, channels=1)
    task = Task(faces, None, surrogates=surrogates)
    with pytest.raises(CloakError, match=f"{LPIPS_FILE}.*perceptual=dssim"):
        lowkey(task, perceptual="lpips")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LPIPS()
    weights = {}
    for layer, place in enumerate((0, 3, 6, 8, 10)):
        weights[f"features.{place}.weight"] = model.convs[layer].weight
        weights[f"features.{place}.bias"] = model.convs[layer].bias
        weights[f"lin{layer}.model.1.weight"] = model.lins[layer].weight.abs()
    save_file({name: value.contiguous() for name, value in weights.items()}, tmp_path / LPIPS_FILE)
    free, held = (
        lowkey(Task(faces, None, surrogates=surrogates), steps=4, perceptual=words, weight=1e4)
        for words in ("none", "lpips")
    )
    assert held.shape == faces.pixels.shape
    assert not torch.allclose(free, held, atol=1e-3)


def test_it_says_what_it_lacks(surrogates):
    with pytest.raises(CloakError, match="surrogate"):
        lowkey(Task(made_faces(1), None))
    with pytest.raises(SettingError, match="perceptual is one of dssim, lpips, none"):
        lowkey(Task(made_faces(1), None, surrogates=surrogates), perceptual="ssim")
