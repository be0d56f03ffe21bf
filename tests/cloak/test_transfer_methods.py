"""Transfer methods: their parts by hand, the linear oracle, restarts."""

import math

import pytest
import scipy.fft
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from visard.cloak import Faces, Linf, Task, dodging, find, mirrored_anchors, step, untargeted
from visard.cloak.geometry import boxes, canonical_grid, landmarks, unit_of
from visard.cloak.look import ahead, worst_nearby
from visard.cloak.loop import best_of, descend, slope
from visard.cloak.methods.apgd import checkpoints
from visard.cloak.transform import block_shuffle, cutout, distorted_blocks, identity, mixed, scaled, spectrum
from visard.errors import SettingError
from visard.face.template import CANONICAL_POINTS
from visard.recognizer.jpeg import cosines


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(seed=0, shape=(2, 3, 9, 9)):
    return torch.randn(shape, generator=generator(seed))


def framed_faces(count=2, channels=3, side=120):
    pixels = torch.rand(count, channels, side, side, generator=generator(3))
    return Faces(pixels, torch.tensor([[[0.7, 0.0, 20.0], [0.0, 0.7, 25.0]]]).repeat(count, 1, 1))


# settings under which random views do not bend the linear model's optimum
ON_LINEAR = {
    "admix": {"share": 0.0},
    "apgd": {},
    "bsr": {"blocks": 1, "degrees": 0.0, "copies": 2},
    "dfanet": {},
    "di-fgsm": {"probability": 0.0},
    "lgc": {"squares": 0},
    "mef": {"neighbors": 2},
    "mi-fgsm": {},
    "ni-fgsm": {},
    "pgd": {"restarts": 2},
    "si-ni-fgsm": {"copies": 2},
    "ssa": {"rho": 0.0, "copies": 2},
    "ti-fgsm": {"kernel": 1},
}


@pytest.mark.parametrize("name", ON_LINEAR)
def test_the_smallest_change_that_fools_a_linear_model_is_found(name, oracle):
    eps = 1.02 * float(oracle.model.smallest_linf(oracle.pixels).max())
    given = {"eps": eps, "alpha": eps / 4, "steps": 20}
    chosen = {key: value for key, value in given.items() if key in find(name).settings}
    task = Task(Faces(oracle.pixels), untargeted(oracle.model, oracle.labels))
    delta = find(name).cloak(task, **chosen, **ON_LINEAR[name])
    assert (oracle.model(oracle.pixels + delta).argmax(dim=1) != oracle.labels).all()
    assert float(delta.abs().max()) <= eps * (1 + 1e-5)


def test_one_step_of_si_ni_is_the_sign_of_the_mean_gradient_of_the_copies():
    """On ``loss = sum w x^2`` the copy x/2 has a quarter of the gradient: the mean is 5/8 of ``2 w x``."""
    pixels, weight = 0.3 + 0.1 * torch.rand(2, 3, 9, 9, generator=generator()), noise(1)
    task = Task(Faces(pixels), lambda faces: (weight * faces.pixels**2).sum(dim=(1, 2, 3)))
    losses, gradient = slope(task, torch.zeros_like(pixels), [scaled(1.0), scaled(0.5)])
    assert torch.allclose(gradient, 5 / 8 * 2 * weight * pixels, atol=1e-6)
    assert torch.allclose(losses, 5 / 8 * task.objective(task.faces), atol=1e-5)


def test_several_views_of_the_same_kind_change_nothing_and_none_are_refused():
    pixels, weight = torch.rand(2, 3, 9, 9, generator=generator()), noise(1)
    task = Task(Faces(pixels), lambda faces: (weight * faces.pixels**2).sum(dim=(1, 2, 3)))
    parts = {"step": step.value(0.01), "budget": Linf(0.1), "steps": 3}
    assert torch.allclose(descend(task, **parts), descend(task, transform=[identity] * 3, **parts), atol=1e-6)
    with pytest.raises(SettingError, match="view"):
        descend(task, transform=[], **parts)


def test_nesterov_looks_where_the_momentum_leads():
    asked = []

    def gradient_at(delta):
        asked.append(delta)
        return noise(len(asked))

    momentum = step.momentum(step.sign(0.1), decay=0.5)
    look, delta = ahead(momentum, 0.1), torch.zeros(2, 3, 9, 9)
    momentum(look(gradient_at, delta))
    momentum(look(gradient_at, delta))
    first = noise(1) / noise(1).abs().mean(dim=(1, 2, 3), keepdim=True)
    assert torch.equal(asked[0], delta)
    assert torch.allclose(asked[1], delta - 0.1 * 0.5 * first)


def test_mef_samples_within_its_radius_and_climbs_along_each_neighbors_own_gradient():
    asked = []

    def gradient_at(delta):
        asked.append(delta)
        return 2.0 + noise(len(asked))

    look, delta = worst_nearby(generator(), 2, 0.1, 0.5, decay=0.9), torch.zeros(2, 3, 9, 9)
    mean = look(gradient_at, delta)
    assert torch.allclose(mean, 2 + (noise(1) + noise(2)) / 2)
    assert all(float(point.abs().max()) <= 0.1 for point in asked)
    assert not torch.equal(asked[0], asked[1])
    look(gradient_at, delta)
    for i in (0, 1):
        gradient = 2 + noise(i + 1)
        uphill = gradient / gradient.abs().mean(dim=(1, 2, 3), keepdim=True)
        assert float((asked[2 + i] - 0.5 * uphill).abs().max()) <= 0.1 + 1e-6


def test_mef_prefers_a_flat_valley_to_a_narrow_one():
    """A one-pixel picture between a narrow pit and a wide one: the mean over neighbors leads to the wide one."""

    def objective(faces):
        x = faces.pixels.flatten(1).mean(dim=1)
        narrow = -1.0 * torch.exp(-(((x - 0.44) / 0.01) ** 2))
        return narrow - 1.0 * torch.exp(-(((x - 0.62) / 0.10) ** 2))

    task = Task(Faces(torch.full((1, 1, 1, 1), 0.46)), objective)
    plain = find("mi-fgsm").cloak(task, eps=0.2, alpha=0.01, steps=30, decay=0.0)
    flat = find("mef").cloak(task, eps=0.2, alpha=0.01, steps=60, decay=0.9, neighbors=20, radius=0.4, climb=0.05)
    assert float(plain) < 0
    assert float(flat) > 0.1


def test_smoothing_the_gradient_is_the_mean_of_shifted_gradients():
    g = noise(1, (2, 3, 15, 15))
    moved = step.smoothed(step.value(1.0), 5, sigma=1.0)(g)
    x = torch.arange(-2.0, 3.0)
    weights = torch.outer(torch.exp(-(x**2) / 2), torch.exp(-(x**2) / 2))
    weights /= weights.sum()
    expected = sum(weights[i, j] * F.pad(g, (4 - j, j, 4 - i, i))[..., 2:-2, 2:-2] for i in range(5) for j in range(5))
    assert torch.allclose(moved, expected, atol=1e-6)
    assert torch.equal(step.smoothed(step.value(1.0), 1)(g), g)


@pytest.mark.parametrize("size", [1, 7, 64])
def test_cosines_are_scipys_orthonormal_transform(size):
    values = noise(2, (size, 3))
    expected = torch.from_numpy(scipy.fft.dct(values.numpy(), axis=0, norm="ortho"))
    assert torch.allclose(cosines(size) @ values, expected, atol=1e-5)
    assert torch.allclose(cosines(size).mT @ cosines(size), torch.eye(size), atol=1e-5)


def test_spectrum_without_noise_or_spread_is_the_picture_and_with_them_differs_per_face():
    faces = Faces(torch.rand(1, 3, 20, 31, generator=generator()).repeat(2, 1, 1, 1))
    same = spectrum(generator(), 0.0, 0.0)(faces)
    assert torch.allclose(same.pixels, faces.pixels, atol=1e-5)
    drawn = spectrum(generator(), 0.0, 0.5)(faces).pixels
    assert not torch.allclose(drawn[0], drawn[1], atol=1e-2)
    factors = cosines(20) @ drawn @ cosines(31).mT / (cosines(20) @ faces.pixels @ cosines(31).mT)
    assert 0.49 < float(factors.min()) < 0.55
    assert 1.45 < float(factors.max()) < 1.51


def test_mixing_adds_a_share_of_the_rolled_mirrored_face():
    faces = framed_faces()
    added = (mixed(generator(), 0.2)(faces).pixels - faces.pixels) / 0.2
    assert torch.allclose(added.flatten(1).sort().values, faces.pixels.flatten(1).sort().values, atol=1e-5)
    assert not torch.allclose(added, faces.pixels, atol=0.1)


@pytest.mark.parametrize("make", [block_shuffle, distorted_blocks])
@pytest.mark.parametrize("channels", [1, 3])
def test_blocks_change_the_face_of_each_on_its_own_and_nothing_around_it(make, channels):
    faces = framed_faces(channels=channels)
    faces = Faces(faces.pixels[:1].repeat(2, 1, 1, 1), faces.frames)
    drawn = make(generator())(faces).pixels
    assert drawn.shape == faces.pixels.shape
    (top, left, bottom, right), _ = boxes(faces)
    around = torch.ones(120, 120, dtype=torch.bool)
    around[top:bottom, left:right] = False
    assert torch.allclose(drawn[..., around], faces.pixels[..., around], atol=1e-3)
    inside = (drawn - faces.pixels)[..., ~around].abs()
    assert float(inside.mean()) > 0.02
    assert not torch.allclose(drawn[0], drawn[1], atol=0.1)


def test_shuffled_blocks_that_are_not_turned_hold_the_same_pixels():
    faces = framed_faces()
    drawn = block_shuffle(generator(), 3, degrees=0.0)(faces).pixels
    assert torch.allclose(drawn.flatten(1).sort().values, faces.pixels.flatten(1).sort().values, atol=1e-3)
    assert not torch.allclose(drawn, faces.pixels, atol=0.1)


def test_blocks_change_their_rows_and_their_columns():
    ramp = torch.arange(40.0).expand(40, 40) / 40
    for pixels in (ramp, ramp.mT):
        drawn = block_shuffle(generator(), 3, degrees=0.0)(Faces(pixels[None, None])).pixels[0, 0]
        assert float((drawn - pixels).abs().mean()) > 0.05
        assert torch.allclose(drawn.flatten().sort().values, pixels.flatten().sort().values, atol=1e-4)


def test_a_turned_block_is_the_rotated_picture():
    """One block of a square picture: what lay at an angle of 20 degrees less is seen, about the middle."""
    rows = torch.arange(41.0) - 20
    y, x = torch.meshgrid(rows, rows, indexing="ij")
    faces = Faces((0.5 + 0.01 * x + 0.003 * y)[None, None])
    draws = generator(5)
    drawn = block_shuffle(draws, 1, degrees=20.0)(faces).pixels[0, 0]
    twin = generator(5)
    torch.rand(1, generator=twin), torch.randperm(1, generator=twin)
    torch.rand(1, generator=twin), torch.randperm(1, generator=twin)
    angle = math.radians(20) * (2 * float(torch.rand((), generator=twin)) - 1)
    u, v = math.cos(angle) * x - math.sin(angle) * y, math.sin(angle) * x + math.cos(angle) * y
    expected = 0.5 + 0.01 * u + 0.003 * v
    middle = slice(12, 29)
    assert torch.allclose(drawn[middle, middle], expected[middle, middle], atol=1e-4)


def test_cut_out_squares_lie_about_landmarks_and_let_no_gradient_through():
    faces = framed_faces()
    pixels = faces.pixels.clone().requires_grad_(True)
    drawn = cutout(generator(), count=3, size=10.0)(faces._replace(pixels=pixels)).pixels
    mean = faces.pixels.mean(dim=(2, 3), keepdim=True)
    hidden = (drawn - mean).abs().amax(dim=1) < 1e-7  # (N, H, W)
    assert (hidden.flatten(1).sum(dim=1) <= 3 * 8**2).all()
    assert (hidden.flatten(1).sum(dim=1) >= 36).all()
    for face, points in zip(hidden, landmarks(faces), strict=True):
        places = face.nonzero().flip(1).float()
        nearest = (places[:, None] - points).abs().amax(dim=2).amin(dim=1)
        assert float(nearest.max()) <= 0.7 * 10  # half for the square, half for its offset
    (gradient,) = torch.autograd.grad(drawn.sum(), pixels)
    assert torch.equal(gradient[:, 0] == 0, hidden)


def test_landmarks_units_and_grids_agree_with_the_frame():
    faces = framed_faces()
    assert torch.allclose(unit_of(faces), torch.tensor(0.7))
    points = torch.from_numpy(CANONICAL_POINTS["arcface"]).float()
    assert torch.allclose(landmarks(faces)[0], 0.7 * points + torch.tensor([20.0, 25.0]))
    turned = Faces(faces.pixels, torch.tensor([[[0.6, 0.2, 20.0], [-0.2, 0.6, 40.0]]]).repeat(2, 1, 1))
    u, v = canonical_grid(turned)
    back = turned.frames[0, :, :2] @ torch.stack([u[0, 7, 30], v[0, 7, 30]]) + turned.frames[0, :, 2]
    assert torch.allclose(back, torch.tensor([30.0, 7.0]), atol=1e-4)
    assert boxes(Faces(torch.rand(1, 3, 112, 112))) == [(0, 0, 112, 112)]
    assert boxes(Faces(torch.rand(1, 3, 224, 160))) == [(0, 0, 224, 160)]


def test_restarts_keep_each_faces_best_and_count_their_steps():
    results = iter([torch.tensor([3.0, 1.0]), torch.tensor([1.0, 2.0]), torch.tensor([2.0, 0.5])])
    heard = []

    def attempt(task):
        delta = next(results).view(2, 1, 1, 1)
        task.heard(1, delta)
        return delta

    faces = Faces(torch.zeros(2, 1, 1, 1))
    task = Task(faces, lambda seen: seen.pixels.flatten(1).sum(dim=1), watch=lambda count, _: heard.append(count))
    assert best_of(task, 3, attempt).flatten().tolist() == [1.0, 0.5]
    assert heard == [1, 2, 3]
    with pytest.raises(SettingError, match="restarts"):
        best_of(task, 0, attempt)


@pytest.mark.parametrize("name", ["pgd", "apgd"])
def test_more_restarts_are_never_worse(name, surrogates):
    faces = Faces(torch.rand(2, 3, 112, 112, generator=generator(2)), torch.eye(2, 3).repeat(2, 1, 1))
    objective = dodging(surrogates[:1], mirrored_anchors(surrogates[:1], faces))
    one, three = (find(name).cloak(Task(faces, objective), steps=3, restarts=n) for n in (1, 3))
    reached = [objective(faces._replace(pixels=faces.pixels + delta)) for delta in (one, three)]
    assert (reached[1] <= reached[0]).all()
    assert not torch.equal(one, three)


def test_auto_pgd_has_the_papers_checkpoints():
    assert checkpoints(100) == [0, 22, 41, 57, 70, 80, 87, 93, 99]


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 99))
def test_auto_pgd_halves_its_steps_where_a_fixed_one_swings(seed):
    """On a bowl, whose bottom lies within the budget, a fixed step of 2 eps can only swing about it."""
    pixels = 0.5 + 0.2 * (torch.rand(2, 1, 4, 4, generator=generator(seed)) - 0.5)
    bottom = pixels + 0.02 * noise(seed, (2, 1, 4, 4)).clamp(-1.5, 1.5)
    task = Task(Faces(pixels), lambda faces: ((faces.pixels - bottom) ** 2).sum(dim=(1, 2, 3)))
    reached = {
        name: task.objective(task.seen(find(name).cloak(task, eps=0.04, steps=40, **extra)))
        for name, extra in {"apgd": {}, "pgd": {"alpha": 0.08}}.items()
    }
    assert (reached["apgd"] < 0.05 * reached["pgd"]).all()


@pytest.mark.parametrize("best", [0, 51, 97, 98])
def test_auto_pgd_returns_the_best_point_that_it_saw(best):
    """The losses fall until point number `best`, whatever the gradient says, and rise from there."""
    pixels, weight, seen = torch.full((2, 1, 4, 4), 0.5), noise(1, (2, 1, 4, 4)), []

    def objective(faces):
        seen.append(faces.pixels.detach())
        slant = (-1) ** len(seen) * (weight * faces.pixels).sum(dim=(1, 2, 3))  # back and forth
        return slant - slant.detach() + abs(len(seen) - 1 - best)

    delta = find("apgd").cloak(Task(Faces(pixels), objective), eps=0.04, steps=100)
    assert torch.allclose(pixels + delta, seen[best], atol=1e-7)


def test_feature_map_dropout_thins_convolutions_only_while_the_cloak_is_made(surrogates):
    faces = Faces(torch.rand(1, 3, 112, 112, generator=generator(2)), torch.eye(2, 3)[None])
    objective = dodging(surrogates, mirrored_anchors(surrogates, faces))
    before = objective(faces)
    cloaks = [find("dfanet").cloak(Task(faces, objective), steps=2, rate=rate) for rate in (0.0, 0.0, 0.3)]
    assert torch.equal(cloaks[0], find("mi-fgsm").cloak(Task(faces, objective), steps=2))
    assert not torch.equal(cloaks[0], cloaks[2])
    assert torch.equal(objective(faces), before)


def test_face_off_amplifies_what_an_l2_ball_holds(oracle):
    task = Task(Faces(oracle.pixels), untargeted(oracle.model, oracle.labels))
    once, thrice = (find("face-off").cloak(task, eps=0.01, alpha=0.005, steps=10, amplification=a) for a in (1.0, 3.0))
    assert torch.allclose(once.square().mean(dim=(1, 2, 3)).sqrt(), torch.tensor(0.01), atol=1e-6)
    assert torch.allclose(thrice, 3 * once, atol=1e-6)
