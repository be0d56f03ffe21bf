"""Closed-set: every method against the linear model, whose optimum is known."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from visard.cloak import Faces, Task, find, least_likely, method_names, targeted, untargeted
from visard.cloak.methods.bim import kurakin_steps

# For each method, settings under which the smallest change that flips every picture is within its reach, and how
# the size of its change is measured. Sign methods get the optimum as their budget, times 1.25.
SIGN = ("fgsm", "bim", "illc", "i-fgsm", "mi-di-fgsm")
VALUE = ("i-fgvm", "p-fgvm")
# methods whose budget is not one eps for every channel of a pixel, or that need recognizers
OTHER_BUDGETS = ("p-fgvm", "visard", "blur", "box", "cw", "deepfool", "eye-bar", "face-off", "fawkes", "jsma",
                 "lowkey", "one-pixel", "pixelate", "tip-im")  # fmt: skip


def goal(name, oracle):
    """The objective that the method's aim asks for; with two classes the target is the other one."""
    faces = Faces(oracle.pixels)
    if name == "illc":
        return least_likely(oracle.model, faces)
    if find(name).aim == "targeted" or name in ("i-fgsm", "i-fgvm", "p-fgvm"):
        return targeted(oracle.model, 1 - oracle.labels)
    return untargeted(oracle.model, oracle.labels)


def fooled(oracle, delta):
    return oracle.model(oracle.pixels + delta).argmax(dim=1) != oracle.labels


@pytest.mark.parametrize("name", SIGN)
def test_sign_methods_need_at_most_a_quarter_more_than_the_optimum(name, oracle):
    eps = 1.25 * float(oracle.model.smallest_linf(oracle.pixels).max())
    chosen = {
        "fgsm": {"eps": eps},
        "mi-di-fgsm": {"eps": eps, "alpha": eps / 4, "steps": 20, "probability": 0.0},
    }.get(name, {"eps": eps, "alpha": eps / 4, "steps": 20})
    delta = find(name).cloak(Task(Faces(oracle.pixels), goal(name, oracle)), **chosen)
    assert fooled(oracle, delta).all()
    assert float(delta.abs().max()) <= eps * (1 + 1e-5)


@pytest.mark.parametrize("name", VALUE)
def test_value_methods_stay_near_the_optimum_in_the_euclidean_norm(name, oracle):
    """On a linear model the gradient points along the weights: at first success the norm is the optimum's."""
    alpha = float(oracle.model.smallest_l2(oracle.pixels).max() / oracle.model.weight.norm() / 8)
    first: dict[int, torch.Tensor] = {}

    def watch(_step, delta):
        for i in fooled(oracle, delta).nonzero().flatten().tolist():
            first.setdefault(i, delta[i].norm())

    extra = {"realism": 1e-3} if name == "p-fgvm" else {"eps": 1.0}
    find(name).cloak(Task(Faces(oracle.pixels), goal(name, oracle), watch=watch), alpha=alpha, steps=80, **extra)
    assert len(first) == len(oracle.pixels)
    found = torch.stack([first[i] for i in range(len(first))])
    # one step further than the optimum at most
    slack = alpha * oracle.model.weight.norm()
    assert (found <= 1.25 * oracle.model.smallest_l2(oracle.pixels) + slack).all()


def test_realism_pulls_back_by_exactly_lambda_times_the_change(oracle):
    """P-FGVM on a constant objective: x_{t+1} = x_t - alpha * lambda * (x_t - x)."""
    start = torch.full_like(oracle.pixels, 0.04)
    seen = []
    from visard.cloak.budget import Unbounded
    from visard.cloak.loop import descend
    from visard.cloak.step import value

    clean = oracle.pixels

    def realism(faces):
        return 0.5 / 2 * (faces.pixels - clean).square().sum(dim=(1, 2, 3))

    task = Task(Faces(clean), realism, watch=lambda _, delta: seen.append(delta.mean().item()))
    descend(task, step=value(0.2), budget=Unbounded(), steps=3, init=lambda _: start)
    assert seen == pytest.approx([0.04 * 0.9**t for t in (1, 2, 3)], rel=1e-4)


def test_p_fgvm_from_noise_ends_near_the_picture(oracle):
    """The paper's evolution figure: from Gaussian noise the realism term pulls the picture back."""
    sizes = []
    task = Task(
        Faces(oracle.pixels),
        targeted(oracle.model, 1 - oracle.labels),
        watch=lambda _, delta: sizes.append(float(delta.norm())),
    )
    find("p-fgvm").cloak(task, from_noise=True, alpha=0.5, realism=0.5, steps=30)
    assert sizes[-1] < 0.1 * sizes[0]


@pytest.mark.parametrize(("levels", "steps"), [(4, 5), (8, 10), (16, 20), (32, 36), (64, 68), (128, 132)])
def test_bim_takes_the_papers_number_of_steps(levels, steps):
    assert kurakin_steps(levels / 255) == steps


def test_illc_keeps_the_class_of_the_original(oracle):
    """The least likely class is fixed by the clean picture, not by the one under way."""
    objective = least_likely(oracle.model, Faces(oracle.pixels))
    flipped = Faces(1 - oracle.pixels)
    worst = oracle.model(oracle.pixels).argmin(dim=1)
    expected = torch.nn.functional.cross_entropy(oracle.model(flipped.pixels), worst, reduction="none")
    assert torch.allclose(objective(flipped), expected)


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from([n for n in method_names() if n not in OTHER_BUDGETS]),
    levels=st.floats(0.5, 40),
    alpha=st.floats(0.1, 30),
    seed=st.integers(0, 99),
)
def test_the_budget_and_the_range_hold_at_every_step(name, levels, alpha, seed):
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.rand(2, 3, 8, 8, generator=generator)
    weight = torch.randn(3, 8, 8, generator=generator)
    eps, steps_seen = levels / 255, []

    def watch(step, delta):
        steps_seen.append(step)
        assert float(delta.abs().max()) <= eps + 1e-6
        assert float((pixels + delta).min()) >= 0
        assert float((pixels + delta).max()) <= 1

    given = {"eps": eps, "alpha": alpha / 255, "steps": 4}
    chosen = {key: value for key, value in given.items() if key in find(name).settings}
    task = Task(Faces(pixels), lambda faces: (faces.pixels * weight).sum(dim=(1, 2, 3)), watch=watch)
    find(name).cloak(task, **chosen)
    assert steps_seen == list(range(1, len(steps_seen) + 1))
    assert len(steps_seen) == chosen.get("steps", 1)
