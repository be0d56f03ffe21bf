"""Losses, by hand."""

import math

import pytest
import torch

from visard.cloak import Faces, dodging, mirrored_anchors
from visard.errors import CloakError, SettingError
from visard.generator import make_learner, window
from visard.generator.advfaces import gan_loss, impersonation_loss, obfuscation_loss, perturbation_loss
from visard.generator.apf import gradient_image
from visard.generator.latent_distance import latent_distance
from visard.generator.learner import Seen, frames_in, mean_cosine
from visard.measure import ssim
from visard.recognizer import Recognizer


def test_the_gan_loss() -> None:
    logits = torch.tensor([[0.0, 2.0]])
    as_clean = (math.log(2) + math.log(1 + math.exp(-2))) / 2
    as_cloaked = (math.log(2) + math.log(1 + math.exp(2))) / 2
    assert float(gan_loss(logits, clean=True)) == pytest.approx(as_clean)
    assert float(gan_loss(logits, clean=False)) == pytest.approx(as_cloaked)


def test_the_identity_losses() -> None:
    cosines = torch.tensor([1.0, 0.0, -0.4])
    assert float(obfuscation_loss(cosines)) == pytest.approx(0.2)
    assert float(impersonation_loss(cosines)) == pytest.approx(1 - (0.2 + 1) / 2)


def test_the_hinge_leaves_small_changes_alone() -> None:
    change = torch.zeros(3, 1, 2, 2)
    change[1, 0, 0] = torch.tensor([3.0, 4.0])
    change[2, 0, 0] = torch.tensor([0.3, 0.4])
    change.requires_grad_(True)
    loss = perturbation_loss(change, 3.0)
    assert float(loss.detach()) == pytest.approx((3 + 5 + 3) / 3)
    loss.backward()
    assert change.grad is not None
    assert change.grad[1, 0, 0].tolist() == pytest.approx([0.6 / 3, 0.8 / 3])
    assert float(change.grad[[0, 2]].abs().max()) == 0


def test_latent_distances() -> None:
    found, own = torch.tensor([[1.0, 0.0], [0.6, 0.8]]), torch.tensor([[0.0, 1.0], [0.6, 0.8]])
    assert latent_distance(found, own).tolist() == pytest.approx([math.sqrt(2), 0])


def seen(change: float) -> Seen:
    """Gray faces, two recognizers whose cosines to the clean face are .6 and 0, and to the goal 0 and 1."""
    clean = torch.full((1, 3, 64, 64), 0.5)
    delta = torch.full_like(clean, change)
    e, f = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.6, 0.8]])
    g = torch.tensor([[0.0, 1.0]])
    return Seen(clean, clean + delta, delta, [e, e], [f, g], [torch.tensor([[-0.8, 0.6]]), g])


def test_recognizers_are_averaged() -> None:
    assert mean_cosine(seen(0).found, seen(0).own).tolist() == pytest.approx([0.3])


def test_advfaces_weighs_its_losses() -> None:
    learner = make_learner("advfaces", {"width": 2, "identity": 5.0, "perturbation": 0.5}, 0)
    terms = learner.losses(seen(0.1))
    norm = 0.1 * math.sqrt(3 * 64 * 64)
    assert float(terms["identity"]) == pytest.approx(5 * 0.3)
    assert float(terms["perturbation"]) == pytest.approx(0.5 * norm, rel=1e-4)
    # of 3 at 160 px there is 1.2 at 64 px
    assert float(learner.losses(seen(1e-4))["perturbation"]) == pytest.approx(0.5 * 3 * 64 / 160)
    toward = make_learner("advfaces", {"width": 2, "mode": "impersonation"}, 0)
    terms = toward.losses(seen(1e-4))
    assert float(terms["identity"]) == pytest.approx(10 * (1 - (0.5 + 1) / 2))
    assert float(terms["perturbation"]) == pytest.approx(8 * 64 / 160)
    with_norm = make_learner("advfaces", {"width": 2, "norm": 4.0}, 0)
    assert float(with_norm.losses(seen(0))["perturbation"]) == pytest.approx(1.6)


def test_the_discriminator_is_to_tell_clean_from_cloaked() -> None:
    learner = make_learner("advfaces", {"width": 2}, 0)
    assert learner.discriminator is not None
    learner.discriminator.forward = lambda x: 2 * (x.mean(dim=(1, 2, 3)) - 0.5)  # type: ignore[method-assign]
    logits = 2 * 0.1
    expected = math.log(2) + math.log(1 + math.exp(logits))
    assert float(learner.discriminator_loss(seen(0.1))) == pytest.approx(expected, rel=1e-5)
    assert float(learner.losses(seen(0.1))["gan"]) == pytest.approx(math.log(1 + math.exp(-logits)), rel=1e-5)


def test_latent_distance_weighs_its_losses() -> None:
    terms = make_learner("latent-distance", {"width": 2, "weight": 2.0}, 0).losses(seen(0.1))
    assert float(terms["distance"]) == pytest.approx(-(math.sqrt(0.8) + math.sqrt(2)) / 2)
    assert float(terms["l1"]) == pytest.approx(0.2)
    gray = seen(0.1)
    similarity = float(ssim(gray.clean[0].permute(1, 2, 0), gray.cloaked[0].permute(1, 2, 0)))
    assert float(terms["dssim"]) == pytest.approx(2 * (1 - similarity) / 2, rel=1e-3)


def test_apf_has_one_loss() -> None:
    terms = make_learner("apf", {"width": 2}, 0).losses(seen(0.1))
    assert {name: float(term) for name, term in terms.items()} == pytest.approx({"identity": 0.3})


def test_the_bounds_of_the_changes() -> None:
    faces = torch.rand(2, 3, 64, 64)
    latent = make_learner("latent-distance", {"width": 4, "bound": 0.03}, 0)
    with torch.no_grad():
        assert 0 < float(latent.change(faces, None).abs().max()) < 0.03
        filtered = make_learner("apf", {"width": 4, "eps": 0.02}, 0)
        assert float(filtered.change(faces, 100 * torch.randn_like(faces)).abs().max()) == pytest.approx(0.02)


def test_the_gradient_image_is_that_of_the_cosine(surrogates: list[Recognizer]) -> None:
    """By differences, along one direction; its mean magnitude is 1."""
    probe = surrogates[0]
    faces = Faces(torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)), frames_in(window(64), 1))
    image = gradient_image(probe, faces)
    assert float(image.abs().mean()) == pytest.approx(1, rel=1e-4)
    objective = dodging([probe], mirrored_anchors([probe], faces))
    direction = image / image.norm()

    def at(step: float) -> float:
        with torch.no_grad():
            return float(objective(faces._replace(pixels=faces.pixels + step * direction)))

    slope = (at(0.02) - at(-0.02)) / 0.04
    sideways = torch.randn(image.shape, generator=torch.Generator().manual_seed(1))
    sideways -= (sideways * direction).sum() * direction
    direction = sideways / sideways.norm()
    assert slope > 0
    assert abs((at(0.02) - at(-0.02)) / 0.04) < 0.05 * slope


def test_lpips_needs_its_weights(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISARD_HOME", str(tmp_path))
    learner = make_learner("latent-distance", {"width": 2, "perceptual": "lpips"}, 0)
    with pytest.raises(CloakError, match=r"LPIPS needs its published weights in .* or set perceptual=dssim"):
        learner.losses(seen(0.1))


@pytest.mark.parametrize(
    ("kind", "given", "sentence"),
    [
        ("advfaces", {"mode": "dodging"}, "mode is one of obfuscation, impersonation; got dodging"),
        ("advfaces", {"budget": "clamp"}, "budget is one of hinge, ssim"),
        ("advfaces", {"ssim": 2}, "ssim lies between 0 and 1"),
        ("advfaces", {"batch": 0}, "batch must be 1 or more, got 0"),
        ("advfaces", {"width": 0}, "width must be 1 or more, got 0"),
        ("advfaces", {"at_once": 0}, "at_once must be 1 or more, got 0"),
        ("advfaces", {"widht": 8}, 'no setting "widht". Did you mean "width"'),
        ("latent-distance", {"bound": 8}, "bound is a share of a pixel's full range"),
        ("apf", {"eps": 16}, "did you mean 16/255"),
        ("apf", {"rate": -1.0}, "rate cannot be negative"),
    ],
)
def test_settings_out_of_range(kind: str, given: dict[str, object], sentence: str) -> None:
    with pytest.raises(SettingError, match=sentence):
        make_learner(kind, given, 0)


def test_unknown_kinds_and_sizes() -> None:
    with pytest.raises(CloakError, match="There are: advfaces, apf, latent-distance"):
        make_learner("opom", {}, 0)
    for size in (60, 66, 0):
        with pytest.raises(SettingError, match="a multiple of 4, 64 or more"):
            window(size)
