"""Margin heads, against closed forms."""

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visard.recognizer.losses import HEADS, AdaFace, ArcFace, CosFace, Head, Softmax, SphereFace

MARGINS: dict[str, Callable[[], Head]] = {
    "adaface": lambda: AdaFace(2, 3),
    "arcface": lambda: ArcFace(2, 3),
    "cosface": lambda: CosFace(2, 3),
    "sphereface": lambda: SphereFace(2, 3),
}


def on_axes(head: Head, *degrees: float) -> Head:
    """The people's weights at these angles, of unequal lengths, which must not matter."""
    assert isinstance(head.weight, nn.Parameter)
    with torch.no_grad():
        head.weight.copy_(at(*degrees) * torch.arange(1, len(degrees) + 1)[:, None])
    return head


def at(*degrees: float, norm: float = 1.0) -> Tensor:
    """Vectors (N, 2) at these angles."""
    return torch.tensor([[norm * math.cos(math.radians(d)), norm * math.sin(math.radians(d))] for d in degrees])


def degrees(x: float) -> float:
    return math.cos(math.radians(x))


@pytest.mark.parametrize("make", [*MARGINS.values(), lambda: Softmax(2, 3), lambda: Softmax(2, 3, hidden=5)])
def test_logits_without_labels_have_no_margin(make: Callable[[], Head]) -> None:
    head = make()
    embeddings = torch.randn(8, 2, generator=torch.Generator().manual_seed(0))
    plain = head.eval()(embeddings)
    assert plain.shape == (8, 3)
    if not isinstance(head, Softmax):
        assert isinstance(head.weight, nn.Parameter)
        norms = embeddings.norm(dim=1, keepdim=True) if isinstance(head, SphereFace) else 1
        cosines = F.cosine_similarity(embeddings[:, None], head.weight[None], dim=2)
        torch.testing.assert_close(plain, head.scale * norms * cosines)
        labels = torch.arange(8) % 3
        margined = head(embeddings, labels)
        others = F.one_hot(labels, 3) == 0
        torch.testing.assert_close(margined[others], plain[others])
        assert (margined[~others] < plain[~others]).all()


@pytest.mark.parametrize(
    "head", [CosFace(5, 4, margin=0), ArcFace(5, 4, margin=0), AdaFace(5, 4, margin=0), SphereFace(5, 4, margin=1)]
)
def test_margin_0_is_the_normalized_softmax(head: Head) -> None:
    embeddings = torch.randn(8, 5, generator=torch.Generator().manual_seed(0)) * 9
    torch.testing.assert_close(head(embeddings, torch.arange(8) % 4), head(embeddings), atol=1e-4, rtol=1e-5)


def test_softmax_is_a_linear_layer() -> None:
    head = Softmax(5, 4)
    embeddings = torch.randn(3, 5)
    (linear,) = head.layers
    assert isinstance(linear, nn.Linear)
    assert torch.equal(head(embeddings, torch.tensor([0, 1, 2])), F.linear(embeddings, linear.weight, linear.bias))


def test_model_b_has_a_hidden_layer() -> None:
    """FC256, BN, ReLU, FC30 behind VGG-Face's 4096."""
    with torch.device("meta"):
        head = Softmax(4096, 30, hidden=256)
    assert [type(layer).__name__ for layer in head.layers] == ["Linear", "BatchNorm1d", "ReLU", "Linear"]
    assert sum(p.numel() for p in head.parameters()) == 4096 * 256 + 256 + 2 * 256 + 256 * 30 + 30


def test_cosface() -> None:
    logits = on_axes(CosFace(2, 3), 0, 90, 180)(at(60, norm=7), torch.tensor([0]))
    expected = 64 * torch.tensor([[degrees(60) - 0.35, degrees(30), degrees(120)]])
    torch.testing.assert_close(logits, expected)


def test_arcface() -> None:
    head = on_axes(ArcFace(2, 3), 0, 90, 180)
    logits = head(at(60, norm=7), torch.tensor([0]))
    expected = 64 * torch.tensor([[math.cos(math.pi / 3 + 0.5), degrees(30), degrees(120)]])
    torch.testing.assert_close(logits, expected)
    # beyond pi - m it falls on, parallel to the cosine
    beyond = head(at(170), torch.tensor([0])).detach()[0, 0]
    assert float(beyond) == pytest.approx(64 * (degrees(170) - 0.5 * math.sin(0.5)), rel=1e-5)


@pytest.mark.parametrize(
    ("theta", "psi"),
    [(20, degrees(80)), (60, -degrees(240) - 2), (100, degrees(400) - 4), (150, -degrees(600) - 6), (180, -7)],
)
def test_sphereface(theta: float, psi: float) -> None:
    """The last step of the annealing is lambda = 5; the embedding's length stays."""
    head = on_axes(SphereFace(2, 3), 0, 90, 180).eval()
    head.get_buffer("step").fill_(10**6)
    logits = head(at(theta, norm=3), torch.tensor([0]))
    expected = 3 * torch.tensor([[(5 * degrees(theta) + psi) / 6, degrees(theta - 90), degrees(180 - theta)]])
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)


def test_spherefaces_lambda_falls_in_training_only() -> None:
    head = on_axes(SphereFace(2, 3), 0, 90, 180)
    labels = torch.tensor([0])

    def blend() -> float:
        """lambda, from the logit at 45 degrees, where psi is -1."""
        psi, cosine = -1.0, degrees(45)
        value = float(head(at(45).double(), labels).detach()[0, 0])
        return (psi - value) / (value - cosine)

    head.double()
    assert [blend() for _ in range(3)] == pytest.approx([1500 / (1 + 0.1 * t) for t in (1, 2, 3)], rel=1e-4)
    head.eval()
    head(at(45).double())
    assert blend() == pytest.approx(1500 / 1.3, rel=1e-4)
    assert int(head.state_dict()["step"]) == 3


@pytest.mark.parametrize("norm", [5.0, 20.0, 35.0, 60.0])
def test_adaface_adapts_to_the_norm(norm: float) -> None:
    """Equations 13 to 15, at a mean of 20 and a deviation of 10: the quality is .333 (norm - 20) / 10, clipped."""
    head = on_axes(AdaFace(2, 3), 0, 90, 180).eval()
    assert isinstance(head, AdaFace)
    head.mean.fill_(20)
    head.deviation.fill_(10)
    quality = min(1, max(-1, 0.333 * (norm - 20) / (10 + 1e-3)))
    assert float(head.quality(at(60, norm=norm))) == pytest.approx(quality, rel=1e-5, abs=1e-6)
    logits = head(at(60, norm=norm), torch.tensor([0]))
    expected = math.cos(math.pi / 3 - 0.4 * quality) - (0.4 * quality + 0.4)
    torch.testing.assert_close(logits, 64 * torch.tensor([[expected, degrees(30), degrees(120)]]), atol=1e-4, rtol=0)


def test_adafaces_special_cases() -> None:
    """Quality 0 is CosFace; -1 is ArcFace with no added margin (the paper's section 3.3)."""
    head = on_axes(AdaFace(2, 3), 0, 90, 180).eval()
    assert isinstance(head, AdaFace)
    head.deviation.fill_(1)
    labels = torch.tensor([0])
    cosface = on_axes(CosFace(2, 3, margin=0.4), 0, 90, 180)(at(60), labels)
    torch.testing.assert_close(head(at(60, norm=20), labels), cosface, atol=1e-4, rtol=0)
    arcface = on_axes(ArcFace(2, 3, margin=0.4), 0, 90, 180)(at(60), labels)
    torch.testing.assert_close(head(at(60, norm=1), labels), arcface, atol=1e-4, rtol=0)


def test_adafaces_statistics_move_in_training_only() -> None:
    head = AdaFace(2, 3, momentum=0.25)
    embeddings, labels = torch.cat([at(10, norm=10), at(20, norm=14)]), torch.tensor([0, 1])
    head(embeddings, labels)
    assert float(head.mean) == pytest.approx(20 + 0.25 * (12 - 20))
    assert float(head.deviation) == pytest.approx(100 + 0.25 * (math.sqrt(8) - 100))
    kept = {key: value.clone() for key, value in head.named_buffers()}
    head(embeddings)
    head(embeddings[:1], labels[:1])  # one embedding has no deviation
    head.eval()(embeddings, labels)
    assert all(torch.equal(kept[key], value) for key, value in head.named_buffers())


@pytest.mark.parametrize("name", MARGINS)
@pytest.mark.parametrize("norm", [0.01, 1.0, 200.0])
def test_logits_fall_with_the_angle_and_gradients_stay_finite(name: str, norm: float) -> None:
    """Also at cosines of exactly 1 and -1."""
    head = on_axes(MARGINS[name](), 0, 90, 180).eval()
    embeddings = at(*range(0, 181, 4), norm=norm).requires_grad_(True)
    with torch.no_grad():
        embeddings[0] = torch.tensor([norm, 0])
        embeddings[-1] = torch.tensor([-norm, 0])
    labels = torch.zeros(len(embeddings), dtype=torch.long)
    logits = head(embeddings, labels)
    if name != "adaface":  # its angle stops at 0 and pi
        assert (logits[:-1, 0] > logits[1:, 0]).all()
    F.cross_entropy(logits, labels).backward()
    assert embeddings.grad is not None
    assert embeddings.grad.isfinite().all()
    assert isinstance(head.weight, nn.Parameter)
    assert head.weight.grad is not None
    assert head.weight.grad.isfinite().all()


@pytest.mark.parametrize("name", HEADS)
def test_settings_make_the_same_head(name: str) -> None:
    head = HEADS[name](4, 3)
    again = HEADS[name](**head.settings)
    again.load_state_dict(head.state_dict())
    embeddings, labels = torch.randn(5, 4), torch.tensor([0, 1, 2, 0, 1])
    assert torch.equal(head.eval()(embeddings, labels), again.eval()(embeddings, labels))
