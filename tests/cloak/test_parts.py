"""Budgets, steps and transforms on their own."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from visard.cloak import L2, Faces, Linf, Unbounded, step
from visard.cloak.init import gaussian, uniform
from visard.cloak.loop import Task, descend
from visard.cloak.transform import chain, identity, input_diversity, jitter, resized
from visard.errors import SettingError
from visard.face.warp import warp


def noise(seed=0, shape=(2, 3, 9, 9), scale=1.0):
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@given(st.sampled_from([Linf(0.03), L2(0.5), Linf(torch.full((2, 1, 9, 9), 0.02))]), st.integers(0, 50))
def test_projection_is_idempotent_within_budget_and_leaves_small_changes(budget, seed):
    big, small = noise(seed), noise(seed, scale=1e-5)
    once = budget.project(big)
    assert float(budget.used(once).max()) <= 1 + 1e-5
    assert torch.allclose(budget.project(once), once, atol=1e-7)
    assert torch.equal(budget.project(small), small)
    assert float(budget.used(big).min()) > 1


def test_l2_projection_is_the_nearest_point():
    delta = noise(3)
    projected = L2(1.0).project(delta)
    cosine = torch.nn.functional.cosine_similarity(projected.flatten(1), delta.flatten(1))
    assert torch.allclose(cosine, torch.ones(2), atol=1e-6)
    assert torch.allclose(projected.flatten(1).norm(dim=1), torch.ones(2), atol=1e-6)


def test_unbounded_changes_nothing():
    assert torch.equal(Unbounded().project(noise()), noise())
    assert torch.equal(Unbounded().used(noise()), torch.zeros(2))


def test_steps_do_what_their_formulas_say():
    g = noise(1)
    assert torch.equal(step.sign(0.1)(g), 0.1 * g.sign())
    assert torch.equal(step.value(0.1)(g), 0.1 * g)
    length = step.l2(0.1)(g).flatten(1).norm(dim=1)
    assert torch.allclose(length, torch.full((2,), 0.1 * (3 * 9 * 9) ** 0.5))


def test_momentum_accumulates_scaled_gradients():
    a, b = noise(1), noise(2)
    moved = step.momentum(step.value(1.0), decay=0.5)
    scaled_a = a / a.abs().mean(dim=(1, 2, 3), keepdim=True)
    scaled_b = b / b.abs().mean(dim=(1, 2, 3), keepdim=True)
    assert torch.allclose(moved(a), scaled_a)
    assert torch.allclose(moved(b), 0.5 * scaled_a + scaled_b)


def test_inits():
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(2, 3, 30, 30, generator=generator)
    assert float(uniform(0.05, generator)(pixels).abs().max()) <= 0.05
    started = pixels + gaussian(generator)(pixels)
    assert abs(float(started.mean()) - 0.5) < 0.02


def test_the_loop_refuses_negative_steps_and_takes_none():
    task = Task(Faces(torch.rand(1, 3, 4, 4)), lambda faces: faces.pixels.sum(dim=(1, 2, 3)))
    with pytest.raises(SettingError, match="0 or more"):
        descend(task, step=step.sign(0.1), budget=Linf(0.1), steps=-1)
    assert not descend(task, step=step.sign(0.1), budget=Linf(0.1), steps=0).any()


def content(faces):
    """The picture as seen in the canonical frame."""
    return warp(faces.pixels, faces.frames, (112, 112))


def smooth_faces():
    coarse = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(4))
    pixels = torch.nn.functional.interpolate(coarse, size=(160, 160), mode="bicubic").clamp(0, 1)
    frames = torch.tensor([[[1.0, 0.0, 24.0], [0.0, 1.0, 24.0]]]).repeat(2, 1, 1)
    return Faces(pixels, frames)


def test_resizing_keeps_the_face_where_its_frame_says():
    faces = smooth_faces()
    shrunk = resized(torch.Generator().manual_seed(0), 0.5, 0.5)(faces)
    assert shrunk.pixels.shape[-2:] == (80, 80)
    assert float((content(shrunk) - content(faces)).abs().mean()) < 0.01


def test_jitter_moves_the_view_within_its_limits_and_never_the_pixels():
    faces = smooth_faces()
    moved = jitter(torch.Generator().manual_seed(0), shift=2, scale=0.05, degrees=4)(faces)
    assert moved.pixels is faces.pixels
    corners = torch.tensor([[0.0, 0.0, 1], [111, 0, 1], [0, 111, 1], [111, 111, 1]]).T
    travelled = ((moved.frames - faces.frames) @ corners).norm(dim=1)
    assert 0 < float(travelled.max()) < 2 * 2**0.5 + 78.5 * (0.05 + 0.07)


def test_input_diversity_keeps_the_size_and_sometimes_the_picture():
    faces = smooth_faces()
    generator = torch.Generator().manual_seed(0)
    drawn = [input_diversity(generator)(faces).pixels for _ in range(20)]
    assert all(d.shape == faces.pixels.shape for d in drawn)
    same = sum(torch.equal(d, faces.pixels) for d in drawn)
    assert 0 < same < 20


def test_transforms_chain_and_need_frames():
    faces = smooth_faces()
    generator = torch.Generator().manual_seed(0)
    both = chain(identity, resized(generator, 0.5, 0.5), resized(generator, 0.5, 0.5))(faces)
    assert both.pixels.shape[-1] == 40
    with pytest.raises(ValueError, match="frames"):
        jitter(generator)(Faces(faces.pixels))
