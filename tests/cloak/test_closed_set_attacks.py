"""Attacks that look for the smallest change: against closed forms, foolbox, and open-set levels."""

import pytest
import torch
from torch import nn

from visard.cloak import Faces, Task, dodging, find, mirrored_anchors, untargeted
from visard.cloak.margin import margin
from visard.errors import SettingError


def closed(oracle, **more):
    objective = untargeted(oracle.model, oracle.labels)
    return Task(Faces(oracle.pixels), objective, classifier=oracle.model, labels=oracle.labels, **more)


def fooled(oracle, delta):
    return oracle.model(oracle.pixels + delta).argmax(dim=1) != oracle.labels


def lengths(delta):
    return delta.flatten(1).norm(dim=1)


class LinearClasses(nn.Module):
    """Five linear logits: the nearest boundary is known, ``min_k |f_k| / ||w_k||``."""

    def __init__(self):
        super().__init__()
        self.weight = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(4))

    def forward(self, pixels):
        return torch.einsum("nchw,kchw->nk", pixels - 0.5, self.weight)

    def smallest_l2(self, pixels):
        logits, found = self(pixels), []
        for row, own in zip(logits, logits.argmax(dim=1), strict=True):
            gaps = [(row[own] - row[k]) / (self.weight[own] - self.weight[k]).norm() for k in range(5) if k != int(own)]
            found.append(torch.stack(gaps).min())
        return torch.stack(found)


def near_gray(count=8, size=8):
    return 0.5 + 0.1 * (torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(5)) - 0.5)


CHOSEN = {"deepfool": {}, "cw": {"alpha": 0.0003, "steps": 1200, "searches": 8, "constant": 0.001}}


@pytest.mark.parametrize("name", CHOSEN)
def test_the_smallest_change_of_a_linear_model_is_found_within_a_few_percent(name, oracle):
    delta = find(name).cloak(closed(oracle), **CHOSEN[name])
    assert fooled(oracle, delta).all()
    ratio = lengths(delta) / oracle.model.smallest_l2(oracle.pixels)
    assert float(ratio.min()) >= 1 - 1e-4
    assert float(ratio.max()) < 1.04


@pytest.mark.parametrize("name", CHOSEN)
def test_of_several_classes_the_nearest_is_taken(name):
    model, pixels = LinearClasses(), near_gray()
    own = model(pixels).argmax(dim=1)
    task = Task(Faces(pixels), untargeted(model, own), classifier=model)
    delta = find(name).cloak(task, **CHOSEN[name])
    assert (model(pixels + delta).argmax(dim=1) != own).all()
    ratio = lengths(delta) / model.smallest_l2(pixels)
    assert float(ratio.min()) >= 1 - 1e-4
    assert float(ratio.max()) < 1.04


@pytest.mark.parametrize("name", CHOSEN)
def test_a_mask_is_seen_through(name, oracle):
    """Half of the picture may change: the optimum is that of the half of the weights."""
    mask = torch.ones(len(oracle.pixels), 1, 12, 12)
    mask[..., 6:] = 0
    delta = find(name).cloak(closed(oracle, mask=mask), **CHOSEN[name]) * mask
    assert fooled(oracle, delta).all()
    smallest = oracle.model.margin(oracle.pixels).abs() / oracle.model.weight[..., :6].norm()
    assert float((lengths(delta) / smallest).max()) < 1.04


def test_cw_counts_what_reaches_the_picture(oracle):
    """Behind a mask of a half the change is twice as large, and what is seen of it is the same smallest change."""
    mask = torch.ones(len(oracle.pixels), 1, 12, 12)
    mask[..., 6:] = 0.5
    delta = find("cw").cloak(closed(oracle, mask=mask), **CHOSEN["cw"]) * mask
    assert float((lengths(delta) / oracle.model.smallest_l2(oracle.pixels)).max()) < 1.04


def test_deepfool_takes_foolboxs_steps():
    foolbox = pytest.importorskip("foolbox")
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 36, 5))
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator)
    network.eval().requires_grad_(False)
    pixels = near_gray()
    own = network(pixels).argmax(dim=1)
    task = Task(Faces(pixels), untargeted(network, own), classifier=network)
    ours = find("deepfool").cloak(task, steps=50)
    attack = foolbox.attacks.L2DeepFoolAttack(steps=50, candidates=10, overshoot=0.02)
    theirs, _, success = attack(foolbox.PyTorchModel(network, bounds=(0, 1), device="cpu"), pixels, own, epsilons=None)
    assert success.all()
    assert (network(pixels + ours).argmax(dim=1) != own).all()
    assert torch.allclose(lengths(ours), lengths(theirs - pixels), rtol=0.05)


def test_open_set_success_is_a_fall_below_the_clean_objective():
    """On a linear objective the way to a fall of 0.3 is ``0.3 / ||w||`` long."""
    pixels = near_gray()
    weight = torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(6))

    def objective(faces):
        return (faces.pixels * weight).sum(dim=(1, 2, 3))

    task = Task(Faces(pixels), objective)
    assert torch.allclose(margin(task, 0.3)(Faces(pixels)), torch.tensor(0.3), atol=1e-5)
    for name in CHOSEN:
        delta = find(name).cloak(task, fall=0.3, **CHOSEN[name])
        assert torch.allclose(lengths(delta), 0.3 / weight.norm(), rtol=0.04)
        assert (objective(Faces(pixels + delta)) <= objective(Faces(pixels)) - 0.3 + 1e-4).all()


def test_confidence_asks_cw_for_more(oracle):
    more = find("cw").cloak(closed(oracle), confidence=0.2, **CHOSEN["cw"])
    own = oracle.model.margin(oracle.pixels + more) * oracle.model.margin(oracle.pixels).sign()
    assert (own <= -0.2 + 1e-4).all()
    assert (own > -0.3).all()


def test_cw_gives_the_nearest_miss_when_nothing_succeeds(oracle):
    delta = find("cw").cloak(closed(oracle), confidence=1e3, steps=10, searches=1, alpha=0.001)
    before, after = (oracle.model.margin(oracle.pixels + d).abs() for d in (0.0, delta))
    assert (after != before).all()
    with pytest.raises(SettingError, match="searches"):
        find("cw").cloak(closed(oracle), searches=0)


def test_jsma_takes_the_pixels_that_a_linear_model_weighs_most(oracle):
    """All three channels of a pixel go the way of their weights: the greedy order is that of ``sum_c |w|``."""
    delta = find("jsma").cloak(closed(oracle), theta=0.2, gamma=0.2, steps=29)  # one pixel a step
    assert fooled(oracle, delta).all()
    order = oracle.model.weight.abs().sum(dim=0).flatten().argsort(descending=True)
    margins = oracle.model.margin(oracle.pixels).abs()
    gains = 0.2 * oracle.model.weight.abs().sum(dim=0).flatten()[order].cumsum(dim=0)
    for change, needed in zip(delta, margins, strict=True):
        count = int((gains < needed).sum()) + 1
        changed = (change != 0).any(dim=0).flatten().nonzero().flatten()
        assert set(changed.tolist()) == set(order[:count].tolist())
    assert torch.allclose(delta.abs().amax(dim=(1, 2, 3)), torch.tensor(0.2))


def test_jsma_stops_at_its_share_of_the_pixels(oracle):
    delta = find("jsma").cloak(closed(oracle), theta=1e-4, gamma=0.1, steps=5)
    assert ((delta != 0).any(dim=1).flatten(1).sum(dim=1) == 15).all()


def test_one_pixel_changes_no_more_than_its_pixels_and_improves_without_gradients(surrogates):
    pixels = torch.rand(2, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    faces = Faces(pixels, torch.eye(2, 3).repeat(2, 1, 1))
    objective = dodging(surrogates, mirrored_anchors(surrogates, faces))
    heard = []
    task = Task(faces, objective, watch=lambda _, delta: heard.append(objective(faces._replace(pixels=pixels + delta))))
    delta = find("one-pixel").cloak(task, pixels=30, candidates=6, steps=4)
    assert ((delta != 0).any(dim=1).flatten(1).sum(dim=1) <= 30).all()
    losses = torch.stack(heard)
    assert (losses[1:] <= losses[:-1]).all()
    assert (losses[-1] < losses[0]).any()
    assert torch.equal(losses[-1], objective(faces._replace(pixels=pixels + delta)))
    with pytest.raises(SettingError, match="candidates"):
        find("one-pixel").cloak(task, candidates=3)


def test_one_pixel_finds_the_pixel_that_matters():
    """Only one of 25 pixels counts, the darker the better."""
    faces = Faces(torch.full((3, 1, 5, 5), 0.5))
    task = Task(faces, lambda seen: seen.pixels[:, 0, 2, 3])
    delta = find("one-pixel").cloak(task, pixels=1, candidates=60, steps=25)
    assert (faces.pixels + delta)[:, 0, 2, 3].max() < 0.1
    assert ((delta != 0).flatten(1).sum(dim=1) == 1).all()
