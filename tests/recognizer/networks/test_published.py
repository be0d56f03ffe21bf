"""Published checkpoint layouts: the loaded network gives what the layout's own names say."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import published_layouts as published
import pytest
import torch
from published_layouts import Checkpoint
from torch import Tensor

from visard.recognizer.checkpoint import load_network
from visard.recognizer.networks import find_network, unwrapped

Reference = Callable[[Checkpoint, Tensor], Tensor]

CASES: list[tuple[str, Reference, bool]] = [
    # name, layout, whether the layout takes the other channel order
    ("iresnet18", partial(published.insightface, layers=18), False),
    ("adaface-ir18", partial(published.sequential_ir, layers=18, adaface=True), False),
    ("ir-se50", partial(published.sequential_ir, layers=50, se=True), False),
    ("ir50", partial(published.sequential_ir, layers=50), False),
    ("resnet50-vggface2", partial(published.resnet50, se=False, oxford=False), False),
    ("resnet50-vggface2-128", partial(published.resnet50, se=False, oxford=True, dim=128), True),
    ("senet50-vggface2", partial(published.resnet50, se=True, oxford=True), True),
    ("senet50-vggface2", partial(published.resnet50, se=True, oxford=False), False),
    ("facenet", published.facenet, False),
    ("sphereface20", partial(published.sphere20, cosface=False), False),
    ("cosface20", partial(published.sphere20, cosface=True), False),
    ("mobilefacenet", published.mobilefacenet, False),
    ("vgg-face", published.vgg, False),
]
VGG_LAYOUTS: list[tuple[Callable[[int, str], str], bool]] = [
    (lambda _place, name: name.replace("conv", "conv_"), True),
    (lambda place, name: f"{place}.1" if name.startswith("fc") else str(place), True),
    (lambda place, name: f"features.{place}" if place < 30 else f"classifier.{place - 32}", False),
]
HEADS = {
    "facenet": "logits.weight",
    "senet50-vggface2": "fc.weight",
    "resnet50-vggface2": "fc.weight",
    "sphereface20": "fc6.weight",
    "vgg-face": "fc8.weight",
}


def check(name: str, reference: Reference, other_order: bool) -> None:
    network = find_network(name)
    checkpoint = Checkpoint()
    faces = torch.randn(1, 3, *network.input, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        expected = reference(checkpoint, faces.flip(1) if other_order else faces)
        if name in HEADS:
            checkpoint[HEADS[name]] = torch.zeros(7, 5)
        with torch.device("meta"):
            module = network.build().eval()
        state = network.convert(checkpoint)
        left = module.load_state_dict(state, strict=False, assign=True)
        assert [key for key in left.missing_keys if not key.endswith("num_batches_tracked")] == []
        assert left.unexpected_keys == []
        scale = expected.abs().max()
        torch.testing.assert_close(module(faces) / scale, expected / scale, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("name", "reference", "other_order"), CASES)
def test_layouts(name: str, reference: Reference, other_order: bool) -> None:
    check(name, reference, other_order)


@pytest.mark.parametrize(("names", "other_order"), VGG_LAYOUTS)
def test_vgg_by_other_names(names: Callable[[int, str], str], other_order: bool) -> None:
    places = published.vgg_places()
    plain = {f"{name}.weight": torch.full((1, 3, 1, 1), float(place)) for name, place in places.items()}
    plain["conv1_1.weight"] = torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1)
    other = {f"{names(place, name)}.weight": plain[f"{name}.weight"] for name, place in places.items()}
    head = {f"{names(places['fc7'] + 3, 'fc8')}.weight": torch.zeros(2622, 4096)}
    state = find_network("vgg-face").convert(other | head)
    assert state.keys() == plain.keys()
    turned = ["conv1_1.weight"] if other_order else []
    assert [key for key in plain if not torch.equal(state[key], plain[key])] == turned
    assert torch.equal(state["conv1_1.weight"].flip(1), plain["conv1_1.weight"]) == other_order


@pytest.mark.parametrize("prefix", ["features.module.", "module.features.module."])
def test_magface_hangs_below_features(prefix: str) -> None:
    checkpoint = Checkpoint()
    published.insightface(checkpoint, torch.zeros(1, 3, 112, 112), layers=18)
    file = {prefix + key: value for key, value in checkpoint.items()} | {"fc.weight": torch.zeros(512, 9)}
    plain = find_network("iresnet18").convert(checkpoint)
    hung = find_network("magface-iresnet18").convert(unwrapped(file))
    assert hung.keys() == plain.keys()
    assert all(hung[key] is plain[key] for key in plain)


def test_edgeface_hangs_below_model(tmp_path: Path) -> None:
    """The published file; the low rank reaches the last matrix too."""
    torch.manual_seed(0)
    module = find_network("edgeface-xs-gamma-06").build().eval()
    file = tmp_path / "edgeface_xs_gamma_06.pt"
    torch.save({f"model.{key}": value for key, value in module.state_dict().items()}, file)
    assert torch.load(file, weights_only=True)["model.head.fc.linear1.weight"].shape == (115, 192)
    faces = torch.randn(1, 3, 112, 112)
    assert torch.equal(load_network("edgeface-xs-gamma-06", file)(faces), module(faces))
