"""What every recognizer keeps, whatever it comes from."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage.data import astronaut
from torch import Tensor

from tiny import DIM, SIDE, tiny_card, tiny_onnx, write_card
from visard import recognizer as room
from visard.errors import RecognizerError
from visard.face import Face, dlib_hog
from visard.recognizer import Recognizer, parse_card
from visard.recognizer.front import Bits, CloakDetector, Median, TotalVariation
from visard.recognizer.onnx_graph import load_graph

ASSETS = ["edgeface-xs", "mobileface-v2", "mobilefacenet-casia", "mobilefacenet-ms1m", "reid-retail-0095"]
ASTRONAUT = torch.from_numpy(astronaut()).permute(2, 0, 1)[None] / 255


@pytest.fixture(scope="module")
def face() -> Face:
    return dlib_hog()(astronaut())[0]


@pytest.fixture(
    scope="module",
    params=["dlib-resnet", "tiny", "derived", *(pytest.param(n, marks=pytest.mark.assets) for n in ASSETS)],
)
def recognizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recognizer]:
    name = request.param
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VISARD_HOME", str(tmp_path_factory.mktemp("home")))
        if name in ASSETS:
            models = request.getfixturevalue("assets") / "models"
            room.add(models / f"recognizers/{name}.onnx", models / "cards.json", role="surrogate")
        if name == "tiny":
            yield Recognizer(
                parse_card(tiny_card(role="surrogate")),
                load_graph(tiny_onnx(tmp_path_factory.mktemp("tiny") / "t.onnx")),
            )
        elif name == "derived":
            front = [TotalVariation(), Median(), Bits(depth=7)]
            made = room.derived(room.load(room.find("dlib-resnet")), front=front, detector=CloakDetector())
            yield room.load(room.store_derived(made))
        else:
            yield room.load(room.find(name))


@pytest.fixture(scope="module")
def aligned(recognizer: Recognizer, face: Face) -> Tensor:
    return recognizer.align(ASTRONAUT, torch.from_numpy(face.frame)[None].float())


@pytest.fixture(scope="module")
def embedded(recognizer: Recognizer, aligned: Tensor) -> Tensor:
    return recognizer.embed(aligned)


def noise(recognizer: Recognizer, count: int) -> Tensor:
    return torch.rand(count, 3, *recognizer.template.size, generator=torch.Generator().manual_seed(0))


def test_embeddings(recognizer: Recognizer, aligned: Tensor, embedded: Tensor) -> None:
    """Unit vectors; a batch is its rows, and what came before leaves no trace."""
    faces = torch.cat([aligned, noise(recognizer, 2)])
    batch = recognizer(faces)
    assert batch.shape == (3, recognizer.card.dim)
    assert batch.dtype == torch.float32
    torch.testing.assert_close(batch.norm(dim=1), torch.ones(3))
    alone = torch.cat([embedded, *(recognizer.embed(one[None]) for one in faces[1:])])
    torch.testing.assert_close(batch, alone, atol=1e-5, rtol=0)
    assert torch.equal(recognizer.embed(aligned), embedded)


def test_gradient_reaches_the_faces_only(recognizer: Recognizer, aligned: Tensor) -> None:
    assert recognizer.differentiable
    assert not any(p.requires_grad for p in recognizer.parameters())
    faces = aligned.clone().requires_grad_(True)
    target = F.normalize(torch.randn(1, recognizer.card.dim, generator=torch.Generator().manual_seed(0)))
    (recognizer.embed(faces) * target).sum().backward()
    assert faces.grad is not None
    assert faces.grad.isfinite().all()
    assert (faces.grad.abs().amax(dim=(2, 3)) > 0).all()  # every channel


def test_mirrored_faces_are_nearer_than_noise(recognizer: Recognizer, aligned: Tensor, embedded: Tensor) -> None:
    if recognizer.name == "tiny":
        pytest.skip("it was never trained")
    mirrored, other = recognizer.embed(torch.cat([aligned.flip(3), noise(recognizer, 1)])) @ embedded[0]
    assert float(mirrored) > float(other) + 0.05


def test_align(recognizer: Recognizer, face: Face, aligned: Tensor) -> None:
    frames = torch.from_numpy(face.frame)[None].float()
    assert aligned.shape == (1, 3, *recognizer.template.size)
    gray = ASTRONAUT.mean(dim=1, keepdim=True)
    from_gray = recognizer.align(gray.expand(2, -1, -1, -1), frames.expand(2, -1, -1))
    assert from_gray.shape == (2, 3, *recognizer.template.size)
    torch.testing.assert_close(from_gray, aligned.mean(dim=1, keepdim=True).expand(2, 3, -1, -1), atol=1e-5, rtol=0)


def test_channel_order(recognizer: Recognizer, aligned: Tensor, embedded: Tensor) -> None:
    """The same network on a card of the other order sees swapped channels, each still with its own mean."""
    other = "RGB" if recognizer.card.channels == "BGR" else "BGR"
    swapped = Recognizer(replace(recognizer.card, channels=other), recognizer.network, recognizer.front)
    torch.testing.assert_close(swapped.embed(aligned.flip(1)), embedded, atol=1e-5, rtol=0)
    assert not torch.allclose(swapped.embed(aligned), embedded, atol=1e-4)


@pytest.mark.assets
@pytest.mark.parametrize("name", ASSETS)
def test_preprocessing_as_a_stranger_would(assets: Path, face: Face, name: str) -> None:
    """8-bit pixels, the card's facts applied by hand, and onnxruntime: the same embedding."""
    onnxruntime = pytest.importorskip("onnxruntime")
    path = assets / f"models/recognizers/{name}.onnx"
    card = json.loads((assets / "models/cards.json").read_text())["recognizers"][name]
    recognizer = Recognizer(parse_card({**card, "name": name, "format": "onnx", "file": path.name}), load_graph(path))
    faces = (recognizer.align(ASTRONAUT, torch.from_numpy(face.frame)[None].float()) * 255).round()
    pixels = faces[0].permute(1, 2, 0).numpy()
    pixels = pixels[..., ::-1] if card["channels"] == "BGR" else pixels
    values = ((pixels - np.array(card["mean"])) / np.array(card["std"])).astype(np.float32)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    expected = session.run(None, {session.get_inputs()[0].name: values.transpose(2, 0, 1)[None]})[0].reshape(-1)
    cosine = float(recognizer.embed(faces / 255)[0] @ torch.from_numpy(expected / np.linalg.norm(expected)))
    assert cosine == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("channels", ["RGB", "BGR"])
def test_preprocessing_of_a_mean_color(channels: str) -> None:
    """A network that gives each channel's mean shows what it was fed: (v - mean) / std, in the card's order."""
    network = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    card = parse_card(tiny_card(channels=channels, dim=3, mean=[10, 20, 30], std=[2, 4, 8]))
    color = np.array([210.0, 120.0, 40.0])
    faces = torch.from_numpy(color / 255).float().view(1, 3, 1, 1).expand(1, 3, SIDE, SIDE)
    fed = (color[::-1] if channels == "BGR" else color) - (10, 20, 30)
    expected = fed / (2, 4, 8) / np.linalg.norm(fed / (2, 4, 8))
    np.testing.assert_allclose(Recognizer(card, network).embed(faces)[0].numpy(), expected, atol=1e-6)


def test_black_boxes_give_the_same_embeddings_without_gradient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISARD_HOME", str(tmp_path / "home"))
    file = tiny_onnx(tmp_path / "tiny.onnx")
    white = room.load(room.add(file, write_card(tmp_path / "white.json", name="white")))
    black = room.load(room.add(file, write_card(tmp_path / "black.json", name="black"), black_box=True))
    assert white.differentiable
    assert not black.differentiable
    faces = noise(white, 3)
    torch.testing.assert_close(white.embed(faces), black.embed(faces), atol=1e-5, rtol=0)
    assert black.embed(faces).shape == (3, DIM)
    with pytest.raises(RecognizerError, match="black box"):
        black.embed(faces.requires_grad_(True))
