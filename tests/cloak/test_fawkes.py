"""Fawkes: its bound, its rules for keeping, weighing and choosing, and its variants' words."""

import pytest
import torch
from test_open_set import made_faces

from visard.cloak import Faces, Task, embed, find, own_anchors
from visard.cloak.crop import crop_of
from visard.cloak.methods.fawkes import _goals, _reweighed, _variable
from visard.cloak.naturalness import dssim_to
from visard.errors import CloakError, SettingError


def fawkes(task, **settings):
    return find("fawkes").cloak(task, **settings)


def crops(count=2, seed=0):
    """Aligned pictures: the crop is the picture, and what is bounded on it can be measured."""
    coarse = torch.rand(count, 3, 14, 14, generator=torch.Generator().manual_seed(seed))
    return Faces(torch.nn.functional.interpolate(coarse, size=(112, 112), mode="bicubic").clamp(0, 1))


def task_of(surrogates, targets=0, watch=None):
    people = own_anchors(surrogates, crops(targets, seed=7)) if targets else []
    return Task(crops(), None, surrogates=surrogates, targets=people, watch=watch)


def length(surrogates, faces, task):
    """The feature distance from the clean faces as v1.0 measures it."""
    total = torch.zeros(len(task.faces.pixels))
    for s in surrogates:
        clean, now = (s.network(s.normalize(f.pixels)) for f in (task.faces, faces))
        total += (now - clean).square().sum(dim=1) / clean.norm(dim=1)
    return total


@pytest.mark.parametrize(("mode", "bound"), [("low", 0.004), ("mid", 0.012), ("high", 0.017)])
def test_v1_stays_within_its_bounds_and_only_ever_goes_farther(mode, bound, surrogates):
    seen = []
    task = task_of(surrogates, watch=lambda _, delta: seen.append(delta))
    delta = fawkes(task, mode=mode, steps=15)
    dssim = dssim_to(task.faces.pixels)
    assert len(seen) == 15
    for change in seen:
        assert (dssim(task.faces.pixels + change) <= 1.1 * bound + 1e-5).all()
        assert float(change.abs().max()) <= 15 / 255 + 1e-6
    lengths = torch.stack([length(surrogates, task.seen(d), task) for d in seen])
    assert (lengths.diff(dim=0) >= -1e-4).all()
    assert (lengths[-1] > 10 * lengths[0].clamp(min=1e-6)).all()
    assert (dssim(task.faces.pixels + delta) > 0.3 * bound).all()


def test_v0_3_reaches_toward_the_one_target_and_keeps_the_nearest(surrogates):
    task, seen = task_of(surrogates, targets=1), []
    heard = Task(task.faces, None, surrogates=surrogates, targets=task.targets, watch=lambda _, d: seen.append(d))
    fawkes(heard, variant="v0.3", mode="high", steps=25)
    goals = [2 * f.norm(dim=1, keepdim=True) * t - f for f, t in zip(_clean(task), task.targets, strict=True)]

    def distance(delta):
        now = [s.network(s.normalize(task.faces.pixels + delta)) for s in surrogates]
        return sum((n - g).norm(dim=1) / g.norm(dim=1) for n, g in zip(now, goals, strict=True))

    distances = torch.stack([distance(d) for d in seen])
    assert (distances.diff(dim=0) <= 1e-5).all()
    assert (distances[-1] < distance(torch.zeros_like(task.faces.pixels))).all()


def _clean(task):
    return [s.network(s.normalize(task.faces.pixels)) for s in task.surrogates]


def test_the_papers_variant_steps_in_gray_levels_within_its_bound(surrogates):
    task = task_of(surrogates, targets=1)
    first = fawkes(task, variant="paper", steps=2)  # the clean picture is judged first, then the first step
    assert 0 < float(first.abs().max()) <= 0.5 / 255 + 1e-6
    delta = fawkes(task, variant="paper", steps=20)
    assert (dssim_to(task.faces.pixels)(task.faces.pixels + delta) <= 1.1 * 0.007 + 1e-5).all()
    before, after = (
        (embed(surrogates[0], faces) @ task.targets[0].mT)[:, 0] for faces in (task.faces, task.seen(delta))
    )
    assert (after > before + 0.01).all()


def test_the_person_is_drawn_from_the_twenty_farthest(surrogates):
    """Of 25 people, five near copies of the face itself are never drawn, and the others are drawn by chance."""
    (own,) = own_anchors(surrogates[:1], crops(1))
    others = torch.nn.functional.normalize(torch.randn(20, 16, generator=torch.Generator().manual_seed(3)) - own)
    near = torch.nn.functional.normalize(own + 0.01 * torch.randn(5, 16, generator=torch.Generator().manual_seed(4)))
    people = torch.cat([near, others])
    drawn = set()
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        task = Task(crops(1), None, surrogates=surrogates[:1], targets=[people], generator=generator)
        (goal,) = _goals(task, [5 * own], beyond=1.0)
        assert float(goal.norm()) == pytest.approx(5, rel=1e-4)
        drawn.add(int((people @ goal[0]).argmax()))
    assert min(drawn) >= 5
    assert len(drawn) > 8


def test_the_goal_lies_twice_the_way_to_the_target(surrogates):
    own = torch.tensor([[3.0, 0.0]])
    task = Task(crops(1), None, surrogates=surrogates[:1], targets=[torch.tensor([[0.0, 1.0]])])
    assert torch.allclose(_goals(task, [own], beyond=2.0)[0], torch.tensor([[-3.0, 6.0]]))


def test_v0_3_goes_beyond_the_target_and_the_paper_to_it(surrogates, monkeypatch):
    ways = []
    monkeypatch.setattr("visard.cloak.methods.fawkes._goals", lambda _, own, beyond: ways.append(beyond) or own)
    for variant in ("v0.3", "paper"):
        fawkes(task_of(surrogates, targets=1), variant=variant, steps=0)
    assert ways == [2.0, 1.0]


def test_the_weight_doubles_below_the_bound_halves_above_and_returns_between():
    weight, turn = torch.ones(3), torch.ones(3)
    seen = []
    for used in ([0.5, 0.5, 1.2], [0.9, 1.1, 1.3], [0.2, 1.5, 1.4], [1.0, 1.5, 0.5]):
        weight, turn = _reweighed(weight, turn, torch.tensor(used))
        seen.append(weight.tolist())
    assert seen == [[2, 2, 1], [4, 1, 0.5], [8, 0.5, 0.25], [1, 0.25, 1]]
    for used, end in ((0.1, 129.0), (9.0, 1 / 129)):
        weight, turn = torch.ones(1), torch.zeros(1)
        for _ in range(20):
            weight, turn = _reweighed(weight, turn, torch.tensor([used]))
        assert float(weight) == pytest.approx(end)


def test_tanh_space_starts_at_the_picture_and_never_leaves_the_range(surrogates):
    faces = Faces(torch.cat([torch.zeros(1, 3, 112, 56), torch.ones(1, 3, 112, 56)], dim=3))
    crop = crop_of(Task(faces, None, surrogates=surrogates))
    for variant in ("v0.3", "v1.0"):
        start, change_of = _variable(crop, variant)
        assert float(change_of(torch.zeros_like(start)).abs().max()) < 1e-6
        for far in (-50.0, 50.0):
            picture = faces.pixels + change_of(torch.full_like(start, far))
            assert 0 <= float(picture.min()) <= float(picture.max()) <= 1


def test_a_faces_cloak_does_not_depend_on_its_batch(surrogates):
    faces = made_faces(2)
    people = own_anchors(surrogates, made_faces(1, seed=7))
    together = fawkes(Task(faces, None, surrogates=surrogates, targets=people), variant="v0.3", steps=4)
    for i in range(2):
        part = Faces(faces.pixels[i : i + 1], faces.frames[i : i + 1])
        alone = fawkes(Task(part, None, surrogates=surrogates, targets=people), variant="v0.3", steps=4)
        assert torch.allclose(together[i], alone[0], atol=1e-3)


def test_it_says_which_words_and_targets_go_together(surrogates):
    bare, steered = task_of(surrogates), task_of(surrogates, targets=1)
    with pytest.raises(SettingError, match=r"fawkes v1.0 has the modes low, mid, high; got ultra"):
        fawkes(bare, mode="ultra")
    with pytest.raises(SettingError, match="paper has no modes"):
        fawkes(steered, variant="paper", mode="low")
    with pytest.raises(SettingError, match=r"variant is one of paper, v0\.3, v1\.0"):
        fawkes(bare, variant="v2")
    with pytest.raises(SettingError, match="mode is one of min, low"):
        fawkes(bare, mode="most")
    for variant in ("v0.3", "paper"):
        with pytest.raises(CloakError, match="give a photo as target"):
            fawkes(bare, variant=variant)
    with pytest.raises(SettingError, match="leave the target out"):
        fawkes(steered)
    with pytest.raises(CloakError, match="surrogates"):
        fawkes(Task(crops(), None))
