"""Open-set: every method on two random recognizers, through frames, masks and gray photos."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from visard.cloak import (
    Faces,
    Task,
    dodging,
    embed,
    find,
    impersonation,
    method_names,
    mirrored_anchors,
    own_anchors,
    texture_eps,
)

QUICK = {"visard": {"steps": 8}, "mi-di-fgsm": {"steps": 8}, "i-fgsm": {"steps": 8}, "bim": {"steps": 8},
         "illc": {"steps": 8}, "i-fgvm": {"steps": 8, "alpha": 0.5},
         "p-fgvm": {"steps": 8, "alpha": 0.5}}  # fmt: skip


def made_faces(count=3, channels=3, seed=0, side=150):
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, channels, 12, 12, generator=generator)
    pixels = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic").clamp(0.05, 0.95)
    frames = torch.tensor([[[1.1, 0.1, 12.0], [-0.1, 1.1, 16.0]]]).repeat(count, 1, 1)
    return Faces(pixels, frames)


def similarity(surrogates, faces, anchors):
    return -torch.stack([-(embed(s, faces) * a).sum(1) for s, a in zip(surrogates, anchors, strict=True)]).mean(0)


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("name", method_names())
def test_every_method_moves_the_embedding_the_way_it_aims(name, channels, surrogates):
    faces, other = made_faces(channels=channels), made_faces(channels=channels, seed=7)
    method = find(name)
    if method.aim == "targeted":
        anchors = own_anchors(surrogates, other)
        objective = impersonation(surrogates, anchors)
    else:
        anchors = mirrored_anchors(surrogates, faces)
        objective = dodging(surrogates, anchors)
    delta = method.cloak(Task(faces, objective), **QUICK.get(name, {}))
    assert delta.shape == faces.pixels.shape  # a gray photo's cloak is gray
    before = similarity(surrogates, faces, anchors)
    after = similarity(surrogates, faces._replace(pixels=faces.pixels + delta), anchors)
    assert ((after > before + 0.01) if method.aim == "targeted" else (after < before - 0.01)).all()


@pytest.mark.parametrize("name", method_names())
def test_the_same_seed_gives_the_same_cloak_and_leaves_torchs_own_generator_alone(name, surrogates):
    faces = made_faces(2)
    objective = dodging(surrogates, mirrored_anchors(surrogates, faces))
    state = torch.random.get_rng_state()
    first, second = (find(name).cloak(Task(faces, objective), **QUICK.get(name, {})) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("name", ["bim", "i-fgvm", "p-fgvm"])
def test_a_faces_cloak_does_not_depend_on_its_batch(name, surrogates):
    """Per-face losses are summed, not averaged. Sign steps may flip where a gradient is zero to rounding."""
    faces = made_faces(3)

    def cloak(part):
        objective = dodging(surrogates, mirrored_anchors(surrogates, part))
        return find(name).cloak(Task(part, objective), **{**QUICK[name], "steps": 2})

    together = cloak(faces)
    alone = torch.cat([cloak(Faces(faces.pixels[i : i + 1], faces.frames[i : i + 1])) for i in range(3)])
    assert ((together - alone).abs() < 1e-5).float().mean() > 0.995


@settings(max_examples=12, deadline=None)
@given(
    level=st.floats(0, 30), floor=st.floats(0, 9), cap=st.floats(1, 30), steps=st.integers(1, 4), seed=st.integers(0, 9)
)
def test_the_default_method_keeps_its_budget_per_pixel_at_every_step(surrogates_module, level, floor, cap, steps, seed):
    faces = made_faces(1, seed=seed, side=120)
    settings = {"level": level / 255, "floor": floor / 255, "cap": cap / 255}
    eps = texture_eps(faces.pixels, **settings)
    assert float(eps.max()) <= cap / 255 + 1e-7

    def watch(_step, delta):
        assert ((delta.abs() - eps).amax() <= 1e-6).all()
        assert float((faces.pixels + delta).min()) >= 0
        assert float((faces.pixels + delta).max()) <= 1

    objective = dodging(surrogates_module, own_anchors(surrogates_module, faces))
    find("visard").cloak(Task(faces, objective, watch=watch), steps=steps, **settings)


@pytest.fixture(scope="module")
def surrogates_module(surrogates):
    return surrogates[:1]


def test_texture_budget_is_its_level_on_average_and_smallest_on_flat_skin():
    pixels = torch.full((2, 3, 40, 40), 0.6)
    noise = 0.1 * torch.randn(2, 1, 40, 20, generator=torch.Generator().manual_seed(0))
    pixels[..., 20:] += noise * torch.tensor([1.0, 0.3]).view(2, 1, 1, 1)
    eps = texture_eps(pixels, 0.02, 0.01, 1.0)
    assert torch.allclose(eps.mean(dim=(1, 2, 3)), torch.full((2,), 0.02))
    assert (eps[..., 30].mean(dim=2) > 3 * eps[..., 8].mean(dim=2)).all()
    mask = torch.zeros(2, 1, 40, 40)
    mask[..., 2:14] = 1  # only flat skin counts: there the budget is its level
    assert torch.allclose(texture_eps(pixels, 0.02, 0.01, 1.0, mask)[..., 2:14], torch.tensor(0.02), atol=1e-3)


def test_a_smooth_picture_with_one_edge_has_no_texture_beside_the_edge():
    pixels = torch.full((1, 3, 40, 40), 0.3)
    pixels[..., 20:] = 0.7
    eps = texture_eps(pixels, 0.02, 0.01, 1.0)
    assert float(eps[..., 12].max()) == pytest.approx(float(eps[..., 5].max()), rel=1e-3)


def test_only_the_masked_part_counts(surrogates):
    """Where the mask is 0 the objective has no gradient, so a value step leaves the picture as it is."""
    faces = made_faces(1)
    mask = torch.zeros(1, 1, 150, 150)
    mask[..., 40:110, 40:110] = 1
    objective = dodging(surrogates, mirrored_anchors(surrogates, faces))
    delta = find("i-fgvm").cloak(Task(faces, objective, mask), alpha=0.5, steps=3)
    assert float((delta * (1 - mask)).abs().max()) == 0
    assert float(delta.abs().max()) > 0


def test_mirrored_anchors_have_a_gradient_at_the_clean_picture_and_own_anchors_have_none(surrogates):
    faces = made_faces(1)
    sizes = {}
    for make in (own_anchors, mirrored_anchors):
        pixels = faces.pixels.clone().requires_grad_(True)
        loss = dodging(surrogates, make(surrogates, faces))(faces._replace(pixels=pixels)).sum()
        (gradient,) = torch.autograd.grad(loss, pixels)
        sizes[make] = float(gradient.norm())
    assert sizes[own_anchors] < 1e-3 * sizes[mirrored_anchors]
