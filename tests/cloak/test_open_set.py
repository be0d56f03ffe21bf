"""Open-set: every method on two random recognizers, through frames, masks and gray photos."""

import pytest
import torch

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
)

QUICK = {"visard": {"steps": 8}, "mi-di-fgsm": {"steps": 8}, "i-fgsm": {"steps": 8}, "bim": {"steps": 8},
         "illc": {"steps": 8}, "i-fgvm": {"steps": 8, "alpha": 0.5},
         "p-fgvm": {"steps": 8, "alpha": 0.5},
         **{name: {"steps": 8} for name in ("apgd", "dfanet", "di-fgsm", "face-off", "jsma", "lgc", "mi-fgsm",
                                            "ni-fgsm", "pgd", "ti-fgsm")},
         **{name: {"steps": 5, "copies": 2} for name in ("sia", "si-ni-fgsm", "ssa")},
         "bsr": {"steps": 5, "copies": 2, "blocks": 1, "degrees": 4.0},
         "admix": {"steps": 5, "pictures": 1, "scales": 2}, "mef": {"steps": 5, "neighbors": 2},
         "cw": {"steps": 15, "searches": 1, "fall": 0.05, "constant": 10.0}, "deepfool": {"steps": 8, "fall": 0.2},
         "one-pixel": {"pixels": 1000, "steps": 2, "candidates": 6},
         "fawkes": {"mode": "high", "steps": 20}, "lowkey": {"steps": 10}, "tip-im": {"steps": 5},
         "blur": {"sigma": 30.0}, "noise": {"eps": 1.0}, "pixelate": {"block": 56.0}}  # fmt: skip


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
    faces, method = made_faces(channels=channels), find(name)
    targets = []
    if method.aim == "targeted":
        # of several targets a method may choose; then there is one
        anchors = own_anchors(surrogates, made_faces(1 if method.many else 3, channels=channels, seed=7))
        objective, targets = impersonation(surrogates, anchors), anchors
    else:
        anchors = mirrored_anchors(surrogates, faces)
        objective = dodging(surrogates, anchors)
    task = Task(faces, objective, surrogates=surrogates, targets=targets)
    delta = method.cloak(task, **QUICK.get(name, {}))
    assert delta.shape == faces.pixels.shape  # a gray photo's cloak is gray
    before = similarity(surrogates, faces, anchors)
    after = similarity(surrogates, faces._replace(pixels=faces.pixels + delta), anchors)
    assert ((after > before + 0.01) if method.aim == "targeted" else (after < before - 0.01)).all()


@pytest.mark.parametrize("name", method_names())
def test_the_same_seed_gives_the_same_cloak_and_leaves_torchs_own_generator_alone(name, surrogates):
    faces = made_faces(2)
    objective = dodging(surrogates, mirrored_anchors(surrogates, faces))
    targets = own_anchors(surrogates, made_faces(2, seed=7)) if find(name).aim == "targeted" else []
    state = torch.random.get_rng_state()
    first, second = (
        find(name).cloak(Task(faces, objective, surrogates=surrogates, targets=targets), **QUICK.get(name, {}))
        for _ in range(2)
    )
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
