"""Closed-set classifiers: which of these people is it?"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from visard.errors import CalibrationError, WeightsError
from visard.face import Template
from visard.recognizer.checkpoint import read_state_dict, save_state_dict
from visard.recognizer.losses import HEADS, Head, Softmax

_BATCH = 64


class Classifier(nn.Module):
    """An embedding network with a head: faces (N, 3, h, w) in [0, 1], RGB, aligned to its template -> logits (N, C)
    of the `people`, differentiable down to the pixels.

    `backbone`: a ``Recognizer`` or an ``Embedder``, or any module from such faces to embeddings (N, D). `head`: from
    embeddings to one logit per person, a linear layer unless given. Raises ``CalibrationError`` for fewer than two
    people or a name given twice.
    """

    def __init__(self, backbone: nn.Module, people: Sequence[str], head: Head) -> None:
        super().__init__()
        if len(people) < 2 or len(set(people)) < len(people):
            raise CalibrationError(f"A classifier needs at least two people, each named once; got {len(people)}.")
        if head.settings["classes"] != len(people):
            raise CalibrationError(
                f"The head has {head.settings['classes']} outputs for {len(people)} people; give one output a person."
            )
        self.people = tuple(people)
        self.backbone = backbone
        self.head = head

    @property
    def template(self) -> Template:
        """Where the faces lie; raises ``AttributeError`` when the backbone says nothing of it."""
        template: Template = self.backbone.template  # type: ignore[assignment]
        return template

    def logits(self, faces: Tensor) -> Tensor:
        """(N, C), without any margin."""
        logits: Tensor = self.head(self.backbone(faces))
        return logits

    def forward(self, faces: Tensor) -> Tensor:
        return self.logits(faces)

    @torch.no_grad()
    def predict(self, faces: Tensor) -> list[str]:
        """The likeliest person per face."""
        return [self.people[i] for i in self.logits(faces).argmax(dim=1).tolist()]

    def save(self, path: Path, *, whole: bool = False) -> None:
        """Write the head and the people's names, and with `whole` the backbone's weights too, as one safetensors file.

        Raises ``RecognizerError`` when it cannot be written.
        """
        kind = next(name for name, head in HEADS.items() if type(self.head) is head)
        about = {"people": self.people, "head": kind, "settings": self.head.settings}
        part = self if whole else nn.ModuleDict({"head": self.head})
        save_state_dict(path, part.state_dict(), metadata={"classifier": json.dumps(about)})

    @classmethod
    def load(cls, path: Path, backbone: nn.Module) -> Self:
        """The classifier in a file that ``save`` wrote, on its `backbone`, ready to evaluate. If the file has weights
        for it, `backbone` takes them. Raises ``WeightsError``."""
        state = read_state_dict(path)
        try:
            with safe_open(path, framework="pt") as file:
                about = json.loads((file.metadata() or {})["classifier"])
            classifier = cls(backbone, about["people"], HEADS[about["head"]](**about["settings"]))
        except (KeyError, TypeError, ValueError, SafetensorError) as error:
            raise WeightsError(f"{path.name} is no classifier; give a file that Classifier.save wrote.") from error
        whole = any(not key.startswith("head.") for key in state)
        part = classifier if whole else nn.ModuleDict({"head": classifier.head})
        try:
            part.load_state_dict(state)
        except RuntimeError as error:
            raise WeightsError(f"{path.name} was saved with another backbone; give the one it was made on.") from error
        return classifier.eval()


def embeddings_of(backbone: nn.Module, faces: Tensor, *, batch: int = _BATCH) -> Tensor:
    """What `backbone` makes of `faces` (N, 3, h, w), without gradient: (N, D). It is left in evaluation mode."""
    backbone.eval()
    with torch.no_grad():
        return torch.cat([backbone(part) for part in faces.split(batch)])


def fit_head(
    embeddings: Tensor,
    labels: Tensor,
    people: Sequence[str],
    head: Head | None = None,
    *,
    epochs: int = 100,
    lr: float = 0.01,
    weight_decay: float = 0.0,
    batch: int = _BATCH,
    seed: int = 0,
) -> Head:
    """A head for `embeddings` (N, D) of faces of `people`, by cross-entropy with Adam; `labels` (N,) count `people`.

    The backbone is not touched, so its embeddings are computed once. `head`: trained further where given, else a
    linear layer. The result depends on `seed` alone. Raises ``CalibrationError`` for bad labels.
    """
    _check_labels(labels, len(embeddings), len(people))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if head is None:
            head = Softmax(embeddings.shape[1], len(people))
        _descend(head, head, embeddings, labels, epochs=epochs, lr=lr, weight_decay=weight_decay, batch=batch)
    return head.eval()


def fit(
    classifier: Classifier,
    faces: Tensor,
    labels: Tensor,
    *,
    epochs: int = 10,
    lr: float = 1e-4,
    weight_decay: float = 0.0,
    batch: int = 32,
    seed: int = 0,
) -> None:
    """Train a classifier whole, backbone and head, on `faces` (N, 3, h, w), in place, by cross-entropy with Adam.

    Parameters that ask for no gradient stay as they are: a ``Recognizer`` is frozen until it is told otherwise. The
    classifier is left in evaluation mode. Raises ``CalibrationError`` for bad labels.
    """
    _check_labels(labels, len(faces), len(classifier.people))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = classifier.head
        _descend(classifier, head, faces, labels, epochs=epochs, lr=lr, weight_decay=weight_decay, batch=batch)
    classifier.eval()


def _descend(
    model: nn.Module,
    head: Head,
    inputs: Tensor,
    labels: Tensor,
    *,
    epochs: int,
    lr: float,
    weight_decay: float,
    batch: int,
) -> None:
    """Adam on cross-entropy; `model` is the head itself or the classifier that has it."""
    model.train()
    if isinstance(model, Classifier):  # a frozen backbone keeps its statistics too
        model.backbone.train(any(p.requires_grad for p in model.backbone.parameters()))
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=lr, weight_decay=weight_decay)
    for _ in range(epochs):
        for rows in _batches(len(inputs), batch):
            embeddings = inputs[rows] if not isinstance(model, Classifier) else model.backbone(inputs[rows])
            loss = F.cross_entropy(head(embeddings, labels[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def _batches(count: int, batch: int) -> list[Tensor]:
    """Row numbers in random order, in batches; a last batch of one joins its neighbor, since batch normalization
    needs two."""
    batches = list(torch.randperm(count).split(batch))
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


def _check_labels(labels: Tensor, rows: int, people: int) -> None:
    if labels.shape != (rows,) or labels.dtype != torch.long:
        raise CalibrationError(f"Labels should be {rows} whole numbers, one a face; got {tuple(labels.shape)}.")
    if rows == 0 or int(labels.min()) < 0 or int(labels.max()) >= people:
        raise CalibrationError(f"Labels should count the people from 0 to {people - 1}.")
