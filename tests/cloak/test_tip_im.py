"""TIP-IM against what its equations say, and the parts that it brought: the crop and the naturalness terms."""

import pytest
import torch
from skimage.metrics import structural_similarity
from test_open_set import made_faces
from torch import nn

from visard.cloak import Faces, Task, embed, find, own_anchors
from visard.cloak.crop import crop_of
from visard.cloak.naturalness import BANDWIDTHS, ConvolutionTap, middle_convolution, mmd, mmd_alone, ssim_to
from visard.cloak.objective import aligned
from visard.errors import CloakError, MeasureError, SettingError
from visard.recognizer import Card, Recognizer

CARD = {"format": "onnx", "file": "none", "sha256": "0", "mean": (0.0,) * 3, "std": (255.0,) * 3, "role": "surrogate"}


class Linear(nn.Module):
    """Embeddings of 12 px crops, linear but for their length."""

    def __init__(self, dim: int = 8) -> None:
        super().__init__()
        self.weight = torch.randn(3 * 12 * 12, dim, generator=torch.Generator().manual_seed(2))

    def forward(self, x):
        return x.flatten(1) @ self.weight


def linear_recognizer(dim=8):
    return Recognizer(Card(name="linear", input=(12, 12), crop=(0, 0, 112, 112), dim=dim, **CARD), Linear(dim))


def linear_task(seed=0, count=2, targets=5, dim=8):
    generator = torch.Generator().manual_seed(seed)
    faces = Faces(0.2 + 0.6 * torch.rand(count, 3, 12, 12, generator=generator))
    recognizer = linear_recognizer(dim)
    people = recognizer.embed(torch.rand(targets, 3, 12, 12, generator=generator))
    return Task(faces, None, surrogates=[recognizer], targets=[people])


def targeted_task(surrogates, count=2, **kwargs):
    faces = made_faces(count, **kwargs)
    return Task(faces, None, surrogates=surrogates, targets=own_anchors(surrogates, made_faces(4, seed=7)))


def tip_im(task, **settings):
    return find("tip-im").cloak(task, **settings)


def by_hand(task, steps, eps, gamma, reduction, gain, direction):
    """The method as its card writes it, one face and one target at a time, with D as differences."""
    (recognizer,), (people,) = task.surrogates, task.targets
    reduce = torch.sum if reduction == "sum" else torch.mean
    found = []
    for x in task.faces.pixels[:, None]:
        own, memory, adversarial = recognizer.embed(x), torch.zeros_like(x), x.clone()
        for _ in range(steps):
            candidates, memories, gains = [], [], []
            for person in people:
                point = adversarial.clone().requires_grad_(True)
                feature = recognizer.embed(point)
                loss = reduce((feature - person) ** 2) - reduce((feature - own) ** 2)
                square = (255 * (point - x)).square().sum()
                loss = loss + gamma * sum(2 - 2 * torch.exp(-square / (2 * s)) for s in BANDWIDTHS)
                (g,) = torch.autograd.grad(loss, point)
                memories.append(memory + g / g.abs().mean())
                length = memories[-1].norm() / x.numel() ** 0.5
                unit = memories[-1] / length if direction == "l2" else memories[-1].sign()
                candidates.append((adversarial - 1.5 * eps / steps * unit).clamp(x - eps, x + eps).clamp(0, 1))
                feature = recognizer.embed(candidates[-1])
                margins = ((feature - own) ** 2).sum() - ((feature - people) ** 2).sum(dim=1)
                gains.append(
                    {"sum": margins.sum(), "min": margins.min(), "max": margins.max(),
                     "logsumexp": torch.log(1 + margins.exp().sum())}[gain]
                )  # fmt: skip
            best = int(torch.stack(gains).argmax())
            memory, adversarial = memories[best], candidates[best]
        found.append(adversarial - x)
    return torch.cat(found)


@pytest.mark.parametrize("gain", ["sum", "min", "max", "logsumexp"])
@pytest.mark.parametrize(("direction", "gamma", "reduction"), [("l2", 0.3, "sum"), ("sign", 0.0, "mean")])
def test_it_takes_the_steps_that_its_card_writes(gain, direction, gamma, reduction):
    task, settings = linear_task(), {"steps": 5, "eps": 0.04, "gamma": gamma, "reduction": reduction}
    delta = tip_im(task, gain=gain, direction=direction, **settings)
    expected = by_hand(task, gain=gain, direction=direction, **settings)
    assert ((delta - expected).abs() < 1e-4).float().mean() > 0.99


def test_the_gains_differ_in_their_choice():
    task = linear_task()
    found = [tip_im(task, steps=5, eps=0.04, gain=g) for g in ("sum", "min", "max")]
    assert not torch.allclose(found[0], found[2], atol=1e-3)
    assert not torch.allclose(found[1], found[2], atol=1e-3)


@pytest.mark.parametrize("naturalness", ["mmd-pixels", "mmd-features"])
@pytest.mark.parametrize("gain", ["sum", "logsumexp"])
def test_both_reductions_take_the_same_way_at_corresponding_gammas(naturalness, gain, surrogates):
    """The mean is the sum over the embedding's dimensions, so gamma / dimensions under it is gamma under the sum."""
    task, dimensions = targeted_task(surrogates), 16
    ways = {}
    for reduction, gamma in (("sum", 1.5), ("mean", 1.5 / dimensions), ("too much", 1.5), ("none", 0.0)):
        way = ways.setdefault(reduction, [])
        seen = Task(task.faces, None, None, watch=lambda _, delta, way=way: way.append(delta),
                    surrogates=task.surrogates, targets=task.targets)  # fmt: skip
        tip_im(seen, steps=4, gamma=gamma, gain=gain, naturalness=naturalness,
               reduction="sum" if reduction in ("sum", "none") else "mean")  # fmt: skip
    assert all(torch.allclose(a, b, atol=2e-4) for a, b in zip(ways["sum"], ways["mean"], strict=True))
    assert not torch.allclose(ways["sum"][-1], ways["too much"][-1], atol=2e-3)
    assert not torch.allclose(ways["sum"][-1], ways["none"][-1], atol=2e-3)


@pytest.mark.parametrize("gamma", [0.0, 0.5])
def test_a_faces_cloak_does_not_depend_on_its_batch(gamma, surrogates):
    task = targeted_task(surrogates, 3)
    together = tip_im(task, steps=3, gamma=gamma)
    for i in range(3):
        faces = Faces(task.faces.pixels[i : i + 1], task.faces.frames[i : i + 1])
        alone = tip_im(Task(faces, None, surrogates=surrogates, targets=task.targets), steps=3, gamma=gamma)
        assert torch.allclose(together[i], alone[0], atol=1e-4)


@pytest.mark.parametrize("merge", ["add", "paste"])
@pytest.mark.parametrize("channels", [1, 3])
def test_it_reaches_a_target_within_the_budget_at_every_step(merge, channels, surrogates):
    task, sizes = targeted_task(surrogates, channels=channels), []

    def watch(step, delta):
        sizes.append(step)
        assert delta.shape == task.faces.pixels.shape
        assert float(delta.abs().max()) <= 12 / 255 + 1e-6
        assert float((task.faces.pixels + delta).min()) >= 0
        assert float((task.faces.pixels + delta).max()) <= 1

    heard = Task(task.faces, None, watch=watch, surrogates=surrogates, targets=task.targets)
    delta = tip_im(heard, steps=6, merge=merge)
    nearest = [
        torch.stack([(embed(s, faces) @ t.mT).amax(dim=1) for s, t in zip(surrogates, task.targets, strict=True)])
        for faces in (task.faces, task.seen(delta))
    ]
    assert sizes == list(range(1, 7))
    assert (nearest[1] > nearest[0] + 0.1).all()


def test_pasting_adds_the_blur_of_resampling_and_adding_does_not(surrogates):
    crop = crop_of(targeted_task(surrogates))
    nothing = torch.zeros_like(crop.clean)
    assert not crop.brought_back(nothing).any()
    pasted = crop.pasted(nothing, 12 / 255)
    assert float(pasted.abs().max()) > 1e-3
    assert not pasted[..., :5, :].any()  # beyond the crop


def test_recognizers_see_the_change_as_it_will_come_back(surrogates):
    """A smooth change, seen on the crop and seen again in the picture that it was brought back to."""
    task = targeted_task(surrogates)
    crop = crop_of(task)
    ramp = 0.04 * torch.sin(torch.linspace(0, 9, 112)).expand(2, 3, 112, 112)
    on_crop = crop.seen_by(0, ramp) - crop.views[0]
    clean, changed = task.faces, task.seen(crop.brought_back(ramp))
    in_picture = aligned(surrogates[0], changed) - aligned(surrogates[0], clean)
    inside = (..., slice(3, -3), slice(3, -3))
    assert torch.allclose(on_crop[inside], in_picture[inside], atol=2e-3)
    assert float(in_picture.abs().max()) > 0.035


def test_other_templates_see_the_change_too():
    """A template of the frame's middle, enlarged: the change is warped to it."""
    card = Card(name="middle", input=(96, 96), crop=(32, 32, 80, 80), dim=8, **CARD)
    middle = Recognizer(card, nn.Flatten())
    faces = made_faces(1)
    crop = crop_of(Task(faces, None, surrogates=[middle]))
    mark = torch.zeros(1, 3, 112, 112)
    mark[..., 40:48, 40:48] = 0.1
    seen = crop.seen_by(0, mark) - crop.views[0]
    assert seen.shape == (1, 3, 96, 96)
    assert float(seen[..., 18:30, 18:30].min()) == pytest.approx(0.1, abs=1e-5)
    assert float(seen[..., 40:, 40:].abs().max()) == 0


def test_where_the_mask_is_zero_nothing_is_seen(surrogates):
    task = targeted_task(surrogates)
    task = Task(task.faces, None, torch.zeros(2, 1, 150, 150), surrogates=surrogates)
    crop = crop_of(task)
    assert torch.equal(crop.seen_by(0, torch.ones_like(crop.clean)), crop.views[0])


def test_it_says_what_it_lacks(surrogates):
    task = targeted_task(surrogates)
    with pytest.raises(CloakError, match="targets"):
        tip_im(Task(task.faces, None, surrogates=surrogates))
    with pytest.raises(CloakError, match="surrogates"):
        tip_im(Task(task.faces, None, targets=task.targets))
    with pytest.raises(SettingError, match="gain is one of sum, min"):
        tip_im(task, gain="mean")
    with pytest.raises(CloakError, match="no convolution"):
        tip_im(linear_task(), gamma=1.0, naturalness="mmd-features")


def test_ssim_is_scikit_images_and_has_the_slope_of_finite_differences():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.rand(2, 3, 24, 31, generator=generator), torch.rand(2, 3, 24, 31, generator=generator)
    b = 0.7 * a + 0.3 * b
    theirs = [
        structural_similarity(x.numpy(), y.numpy(), data_range=1.0, channel_axis=0, gaussian_weights=True, sigma=1.5,
                              use_sample_covariance=False)
        for x, y in zip(a, b, strict=True)
    ]  # fmt: skip
    assert ssim_to(a)(b).tolist() == pytest.approx(theirs, abs=1e-5)
    assert ssim_to(a)(a).tolist() == pytest.approx([1.0, 1.0])
    similarity = ssim_to(a[:1, :1, :12, :12].double())
    assert torch.autograd.gradcheck(similarity, b[:1, :1, :12, :12].double().requires_grad_(True))
    with pytest.raises(MeasureError, match="11"):
        ssim_to(a[..., :10])


def test_mmd_is_zero_between_equal_sets_and_the_pair_of_ones_is_its_special_case():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(4, 6, generator=generator), torch.randn(3, 6, generator=generator)
    assert float(mmd(a, a)) == pytest.approx(0, abs=1e-5)
    assert float(mmd(a, a.flip(0))) == pytest.approx(0, abs=1e-5)
    assert float(mmd(a, b)) > 0.1
    assert float(mmd(a[:1], b[:1])) == pytest.approx(float(mmd_alone((a[:1] - b[:1]).square().sum(dim=1))), rel=1e-4)
    by_hand = sum(
        sum(torch.exp(-(x - y).square().sum() / (2 * s)) / (len(p) * len(q)) * sign for x in p for y in q)
        for s in BANDWIDTHS
        for p, q, sign in ((a, a, 1), (b, b, 1), (a, b, -2))
    )
    assert float(mmd(a, b)) == pytest.approx(float(by_hand), rel=1e-4)


def test_the_middle_convolution_is_found_and_left_as_it_was(surrogates):
    faces = torch.rand(2, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    place, features = middle_convolution(surrogates[0], faces)
    assert place == 1  # of two
    assert features.shape == (2, 8 * 54 * 54)
    assert torch.allclose(features.norm(dim=1), torch.ones(2))
    with ConvolutionTap(2) as tap:
        surrogates[0].embed(faces)
    assert tap.features.shape == (2, 16 * 25 * 25)
    surrogates[0].embed(faces)
    assert tap.count == 2
