"""Closed-set classifiers on backbones small enough to train in a test."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from tiny import SIDE, tiny_card, tiny_onnx
from visard.cloak import objective
from visard.errors import CalibrationError, RecognizerError, WeightsError
from visard.recognizer.base import Recognizer
from visard.recognizer.card import parse_card
from visard.recognizer.checkpoint import save_state_dict
from visard.recognizer.classifier import Classifier, embeddings_of, fit, fit_head
from visard.recognizer.losses import HEADS, CosFace, Softmax
from visard.recognizer.networks import Embedder, find_network
from visard.recognizer.onnx_graph import load_graph

PEOPLE = ("anna", "bert", "carl")


class Colors(nn.Module):
    """Mean colors through a layer with batch normalization."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 6), nn.BatchNorm1d(6), nn.ReLU())

    def forward(self, faces: Tensor) -> Tensor:
        embeddings: Tensor = self.layers(faces.mean(dim=(2, 3)))
        return embeddings


@pytest.fixture
def backbone() -> Colors:
    torch.manual_seed(0)
    return Colors()


def made_faces(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Faces (N, 3, SIDE, SIDE) whose color tells the person, and their labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    faces = torch.rand(count, 3, SIDE, SIDE, generator=generator)
    faces[torch.arange(count), labels] = faces[torch.arange(count), labels] * 0.8 + 0.2
    return faces, labels


def recognizer(folder: Path) -> Recognizer:
    return Recognizer(parse_card(tiny_card()), load_graph(tiny_onnx(folder / "tiny.onnx")))


def accuracy(classifier: Classifier) -> float:
    faces, labels = made_faces(60, seed=1)
    right = [person == PEOPLE[int(i)] for person, i in zip(classifier.predict(faces), labels, strict=True)]
    return sum(right) / len(right)


@pytest.mark.parametrize("head", HEADS)
def test_head_on_frozen_embeddings(tmp_path: Path, head: str) -> None:
    """A recognizer's unit vectors are enough to tell the people; the recognizer stays as it is."""
    backbone = recognizer(tmp_path)
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    faces, labels = made_faces(90)
    embeddings = embeddings_of(backbone, faces, batch=32)
    torch.testing.assert_close(embeddings, backbone.embed(faces))
    fitted = fit_head(embeddings, labels, PEOPLE, HEADS[head](8, 3), lr=0.05)
    classifier = Classifier(backbone, PEOPLE, fitted)
    assert accuracy(classifier) > 0.95
    assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items())
    assert classifier.template == backbone.template
    assert not fitted.training


def test_model_b(backbone: Colors) -> None:
    faces, labels = made_faces(90)
    head = fit_head(
        embeddings_of(backbone, faces), labels, PEOPLE, Softmax(6, 3, hidden=16), epochs=300, lr=3e-3, batch=90
    )
    assert accuracy(Classifier(backbone, PEOPLE, head).eval()) > 0.95


def test_fitting_depends_on_the_seed_alone(backbone: Colors) -> None:
    faces, labels = made_faces(33)
    embeddings = embeddings_of(backbone, faces)
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    one, same, other = (fit_head(embeddings, labels, PEOPLE, epochs=3, batch=8, seed=s) for s in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(one(embeddings), same(embeddings))
    assert not torch.equal(one(embeddings), other(embeddings))


def test_training_whole(backbone: Colors) -> None:
    faces, labels = made_faces(91)
    classifier = Classifier(backbone, PEOPLE, CosFace(6, 3))
    before = {key: value.clone() for key, value in classifier.state_dict().items()}
    fit(classifier, faces, labels, epochs=30, lr=0.01, batch=30)  # 91 = 30 + 30 + 31
    assert not classifier.training
    assert accuracy(classifier) > 0.95
    assert not any(torch.equal(value, before[key]) for key, value in classifier.state_dict().items())


def test_a_frozen_backbone_keeps_its_statistics(backbone: Colors) -> None:
    faces, labels = made_faces(30)
    backbone.requires_grad_(False)
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    classifier = Classifier(backbone, PEOPLE, Softmax(6, 3))
    weight = classifier.head.state_dict()["layers.0.weight"].clone()
    fit(classifier, faces, labels, epochs=2)
    assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items())
    assert not torch.equal(classifier.head.state_dict()["layers.0.weight"], weight)


def test_objectives_reach_the_pixels(tmp_path: Path) -> None:
    """As closed-set attacks use it: the loss of the true person rises along its gradient."""
    classifier = Classifier(recognizer(tmp_path), PEOPLE, Softmax(8, 3))
    faces, labels = made_faces(3)
    faces.requires_grad_(True)
    loss = objective.untargeted(classifier, labels)
    (gradient,) = torch.autograd.grad(loss(objective.Faces(faces)).sum(), faces)
    assert (gradient.abs().amax(dim=(1, 2, 3)) > 0).all()
    assert (loss(objective.Faces(faces - 0.01 * gradient.sign())) < loss(objective.Faces(faces))).all()


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("whole", [False, True])
def test_saving(tmp_path: Path, backbone: Colors, head: str, whole: bool) -> None:
    faces, labels = made_faces(30)
    classifier = Classifier(backbone, PEOPLE, HEADS[head](6, 3))
    fit(classifier, faces, labels, epochs=2)
    file = tmp_path / "people.safetensors"
    classifier.save(file, whole=whole)
    loaded = Classifier.load(file, Colors() if whole else backbone)
    assert loaded.people == PEOPLE
    assert not loaded.training
    assert torch.equal(loaded(faces), classifier(faces))
    with safe_open(file, framework="pt") as opened:
        assert json.loads(opened.metadata()["classifier"])["people"] == list(PEOPLE)
        assert whole == any(key.startswith("backbone.") for key in opened.keys())  # noqa: SIM118 (no mapping)


def test_files_that_are_no_classifier(tmp_path: Path, backbone: Colors) -> None:
    file = tmp_path / "people.safetensors"
    for about in (None, "[]", "{", '{"people": ["a", "b"], "head": "x", "settings": {}}'):
        metadata = {} if about is None else {"classifier": about}
        save_state_dict(file, backbone.state_dict(), metadata=metadata)
        with pytest.raises(WeightsError, match=r"is no classifier; give a file that Classifier\.save wrote"):
            Classifier.load(file, backbone)
    Classifier(backbone, PEOPLE, Softmax(6, 3)).save(file, whole=True)
    with pytest.raises(WeightsError, match="saved with another backbone"):
        Classifier.load(file, nn.Flatten())
    with pytest.raises(RecognizerError, match="could not be written"):
        Classifier(backbone, PEOPLE, Softmax(6, 3)).save(file / "inside.safetensors")


def test_bad_people_and_labels(backbone: Colors) -> None:
    for people in ([], ["anna"], ["anna", "anna", "bert"]):
        with pytest.raises(CalibrationError, match="at least two people, each named once"):
            Classifier(backbone, people, Softmax(6, 3))
    with pytest.raises(CalibrationError, match="has 4 outputs for 3 people"):
        Classifier(backbone, PEOPLE, Softmax(6, 4))
    embeddings = torch.zeros(4, 6)
    for labels in (torch.zeros(3, dtype=torch.long), torch.zeros(4)):
        with pytest.raises(CalibrationError, match="4 whole numbers, one a face"):
            fit_head(embeddings, labels, PEOPLE)
    for label in (-1, 3):
        with pytest.raises(CalibrationError, match="from 0 to 2"):
            fit_head(embeddings, torch.full((4,), label), PEOPLE)


def test_on_a_named_network() -> None:
    """Model A's shape: 30 people, trained from scratch at the size its backbone says."""
    with torch.device("meta"):
        classifier = Classifier(Embedder(find_network("model-a")), [f"person {i}" for i in range(30)], Softmax(512, 30))
        logits = classifier.logits(torch.empty(2, 3, *classifier.template.size))
    assert logits.shape == (2, 30)
