"""The default method and its budget: structural similarity, checked against what measures it."""

import time
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_open_set import made_faces

from visard.cloak import Faces, Linf, Structure, Task, dodging, find, mirrored_anchors, own_anchors
from visard.errors import SettingError
from visard.measure import ssim
from visard.recognizer import Recognizer, Threshold


def budget(pixels, least=0.97, mask=None):
    """One whose mean is over the windows that ``measure.ssim`` takes."""
    windows = (pixels.shape[-2] - 10) * (pixels.shape[-1] - 10)
    return Structure(pixels, least, torch.full((len(pixels),), float(windows)), mask)


def measured(pixels, delta):
    pairs = zip(pixels, (pixels + delta).clamp(0, 1), strict=True)
    return torch.tensor([ssim(a.permute(1, 2, 0).numpy(), b.permute(1, 2, 0).numpy()) for a, b in pairs])


def noise(pixels, size=0.02, seed=1):
    return size * torch.randn(pixels.shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("channels", [3, 1])
def test_the_budget_is_what_the_measure_says(channels):
    pixels = made_faces(2, channels).pixels
    delta = noise(pixels)
    assert torch.allclose(1 - 0.03 * budget(pixels).used(delta).square(), measured(pixels, delta).float(), atol=2e-4)


def test_what_is_too_much_is_shortened_onto_the_budget_and_what_is_not_stays():
    pixels = made_faces(3).pixels
    within = budget(pixels)
    large = noise(pixels) * torch.tensor([0.05, 2.0, 5.0]).view(3, 1, 1, 1)
    kept = within.project(large)
    assert torch.equal(kept[0], large[0])
    assert torch.allclose(within.used(kept)[1:], torch.ones(2), atol=0.02)
    assert (measured(pixels, kept)[1:] > 0.97 - 1e-3).all()
    for short, long in zip(kept, large, strict=True):  # the direction stays
        assert torch.nn.functional.cosine_similarity(short.flatten(), long.flatten(), dim=0) > 0.9999


def test_only_what_the_mask_lets_through_costs():
    pixels = made_faces(1).pixels
    mask = torch.zeros(1, 1, *pixels.shape[-2:])
    mask[..., :70] = 1
    left = torch.where(mask > 0, noise(pixels), torch.zeros(()))
    both = budget(pixels, mask=mask)
    assert torch.allclose(both.used(noise(pixels)), both.used(left))
    assert both.used(noise(pixels) - left) == pytest.approx(0, abs=1e-2)


def test_a_fine_change_is_made_to_fill_the_budget_and_a_smooth_one_takes_less():
    pixels = made_faces(2, 1).pixels
    within = budget(pixels, 0.999)
    assert torch.allclose(within.used(within.fill(noise(pixels))), torch.ones(2), atol=0.15)
    assert (within.used(within.fill(torch.ones_like(pixels))) < 0.2).all()


def test_a_pixel_bears_what_its_least_varying_channel_bears():
    pixels = torch.full((1, 3, 40, 40), 0.5)
    rough = 0.2 * torch.rand(20, 40, generator=torch.Generator().manual_seed(0))
    pixels[:, :, :20] += rough
    pixels[:, 0, 20:] += rough  # red alone
    bears = budget(pixels).tolerance
    assert bears.shape == (1, 1, 40, 40)
    assert float(bears[..., :12, :].min()) > 1.5 * float(bears[..., 28:, :].max())
    assert torch.allclose(bears[..., 28:, :], torch.tensor(0.03), rtol=1e-3)


@settings(max_examples=10, deadline=None)
@given(least=st.floats(0.9, 0.995), cap=st.floats(2, 40), steps=st.integers(1, 5), seed=st.integers(0, 9))
def test_similarity_cap_and_range_hold_at_every_step(one_surrogate, least, cap, steps, seed):
    faces = made_faces(1, seed=seed, side=120)

    def watch(_step, delta):
        assert float(Linf(cap / 255).used(delta)) <= 1 + 1e-6
        seen = faces.pixels + delta
        assert float(seen.min()) >= 0
        assert float(seen.max()) <= 1
        crop = 160**2 * 1.1**2 + 160**2 * 0.1**2  # pixels of the crop, by the frames of made_faces
        lost = float(1 - measured(faces.pixels, delta)) * 110 * 110
        assert lost <= (1 - least) * crop * 1.03

    objective = dodging(one_surrogate, own_anchors(one_surrogate, faces))
    find("visard").cloak(Task(faces, objective, watch=watch), steps=steps, ssim=least, cap=cap / 255)


@pytest.fixture(scope="module")
def one_surrogate(surrogates):
    return surrogates[:1]


def test_a_small_face_in_a_large_patch_may_lose_no_more(surrogates):
    """The budget follows the face: surroundings do not pay for it."""
    small = made_faces(1)
    large = Faces(torch.nn.functional.pad(small.pixels, (60, 60, 60, 60), value=0.5), small.frames.clone())
    large.frames[:, :, 2] += 60
    lost = []
    for faces in (small, large):
        objective = dodging(surrogates, mirrored_anchors(surrogates, faces))
        delta = find("visard").cloak(Task(faces, objective), steps=8)
        windows = (faces.pixels.shape[-1] - 10) ** 2
        lost.append(float(1 - measured(faces.pixels, delta)) * windows)
    assert lost[1] == pytest.approx(lost[0], rel=0.25)


def test_a_surrogate_with_a_high_threshold_counts_for_more(surrogates):
    """Of two that pull in two directions, the one whose cosines must fall less far wins."""
    faces = made_faces(1)

    def similarity_to_first(thresholds):
        armed = []
        for recognizer, value in zip(surrogates, thresholds, strict=True):
            threshold = Threshold(1e-3, value, 9, 9, "made", recognizer.card.sha256, None)
            armed.append(Recognizer(replace(recognizer.card, thresholds=(threshold,)), recognizer.network))
        objective = dodging(armed, mirrored_anchors(armed, faces))
        delta = find("visard").cloak(Task(faces, objective, surrogates=armed), steps=6)
        first = faces._replace(pixels=faces.pixels + delta)
        return float(dodging(armed[:1], own_anchors(armed[:1], faces))(first))

    assert similarity_to_first([0.95, 0.2]) < similarity_to_first([0.2, 0.95]) - 0.005


@pytest.mark.parametrize("ssim", [0.0, 1.0])
def test_a_similarity_that_allows_all_or_nothing_is_refused(surrogates, ssim):
    faces = made_faces(1)
    with pytest.raises(SettingError, match="ssim lies between 0 and 1"):
        find("visard").cloak(Task(faces, dodging(surrogates, own_anchors(surrogates, faces))), ssim=ssim)


def test_strengths_are_in_the_order_of_their_names():
    method = find("visard")
    low, medium, high = (method.at(name)["ssim"] for name in ("low", "medium", "high"))
    assert 1 > low > medium > high > 0.9
    assert medium == method.settings["ssim"]


@pytest.mark.parametrize("name", ["visard", "bim", "lowkey"])
def test_when_time_is_up_the_change_so_far_is_the_result(name, surrogates):
    faces, heard = made_faces(1), []
    objective = dodging(surrogates, mirrored_anchors(surrogates, faces))
    task = Task(faces, objective, surrogates=surrogates, watch=lambda *seen: heard.append(seen), until=time.monotonic())
    delta = find(name).cloak(task, steps=50)
    ((step, last),) = heard
    assert step == 1
    assert torch.equal(delta, last)
    assert float(delta.abs().max()) > 0
