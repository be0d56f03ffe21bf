"""The faces and their parts, the two classifiers, and what the attacks on them give."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from visard.cloak import Faces, Task, find
from visard.errors import AuditError
from visard.face import ARCFACE_112, warp
from visard.measure import ssim
from visard.papers.chatzikyriakidis2019.attack import METHODS, OURS, FirstSuccess, attack, chosen, settings_of
from visard.papers.datasets import Dataset
from visard.papers.faces import largest_face, rgb
from visard.papers.rows import mean, where
from visard.papers.study import Row, Study
from visard.recognizer import Recognizer
from visard.recognizer.classifier import Classifier, embeddings_of, fit, fit_head
from visard.recognizer.losses import Softmax
from visard.recognizer.networks import Embedder, find_network

MODELS = ("Model A", "Model B")
AMPLIFIED = 20
EVOLUTION_PULL = 0.05
_BATCH = 32  # pictures whose activations are in memory at once
_HIDDEN = 256


@dataclass(frozen=True, slots=True)
class Size:
    """How large a run is.

    `people` with at most `photos` each, of which `test` and `search` are not trained on; `epochs` of each model's
    training, `batch` of Model A's; at most `steps` an attack. The search: the first step's `lengths` (L2), `bounds` of
    eps in /255, `pulls` (alpha times lambda). `evolution`: the steps that its figure shows.
    """

    people: int
    photos: int
    test: int
    search: int
    epochs: tuple[int, int]
    lengths: tuple[float, ...]
    bounds: tuple[float, ...]
    pulls: tuple[float, ...]
    steps: int
    batch: int
    evolution: tuple[int, ...]


class Descriptor(nn.Module):
    """A recognizer that embeds pictures (N, 3, 112, 112) of the canonical frame, through its own template."""

    def __init__(self, recognizer: Recognizer) -> None:
        super().__init__()
        self.recognizer = recognizer
        self.template = ARCFACE_112

    def forward(self, pictures: Tensor) -> Tensor:
        here = torch.eye(2, 3).expand(len(pictures), -1, -1)
        return self.recognizer.embed(self.recognizer.align(pictures, here))


@dataclass
class Experiment:
    """The run of one study; everything is computed when it is first asked for. Photos go by their number."""

    study: Study
    size: Size
    dataset: Dataset
    recognizer: Recognizer
    _classifiers: dict[str, Classifier] = field(default_factory=dict)

    @cached_property
    def people(self) -> list[str]:
        return list(self.dataset.photos)

    @cached_property
    def _sought(self) -> list[Row]:
        return self.study.cell("photos", lambda: list(self._find_faces()))

    @cached_property
    def photos(self) -> list[Row]:
        """Every photo with a face: whose, its part, and where the face is."""
        found = [row for row in self._sought if row["frame"]]
        if not found:
            raise AuditError(f"No face was found on any photo of {self.dataset.name}; choose another --detector.")
        return found

    @property
    def missed(self) -> int:
        """On how many photos no face was found."""
        return len(self._sought) - len(self.photos)

    def _find_faces(self) -> Iterator[Row]:
        for person, paths in self.dataset.photos.items():
            order = torch.randperm(len(paths), generator=self.study.generator(f"split {person}")).tolist()
            parts = dict.fromkeys(order[: self.size.test], "test")
            parts |= dict.fromkeys(order[self.size.test :][: self.size.search], "search")
            for number, path in enumerate(paths):
                face = largest_face(self.study, path)
                frame = json.dumps(face.frame.tolist()) if face else ""
                yield {"person": person, "photo": path.name, "part": parts.get(number, "train"), "frame": frame}

    @cached_property
    def pictures(self) -> Tensor:
        """The faces of `photos` as 8-bit pictures in [0, 1], (N, 3, 112, 112)."""
        found = []
        for row in self.photos:
            pixels = torch.from_numpy(rgb(self.dataset.path(row["person"], row["photo"])))
            frame = torch.tensor(json.loads(row["frame"]))[None]
            found.append(warp(pixels.permute(2, 0, 1)[None].float(), frame, ARCFACE_112.size))
        return torch.cat(found).round() / 255

    @cached_property
    def labels(self) -> Tensor:
        """Whose face it is, (N,)."""
        return torch.tensor([self.people.index(row["person"]) for row in self.photos])

    @cached_property
    def targets(self) -> Tensor:
        """Whom each photo is to be taken for, (N,): somebody else at random, the same for every method."""
        count = len(self.people)
        shift = torch.randint(1, count, self.labels.shape, generator=self.study.generator("targets"))
        return (self.labels + shift) % count

    def part(self, name: str) -> Tensor:
        """The photos (K,) of a part."""
        return torch.tensor([i for i, row in enumerate(self.photos) if row["part"] == name], dtype=torch.long)

    def _about(self, photo: int, model: str) -> Row:
        row = self.photos[photo]
        return {"person": row["person"], "photo": row["photo"], "model": model}

    def classifier(self, model: str) -> Classifier:
        """Model A or B, trained once and kept."""
        if model not in self._classifiers:
            path = self.study.out / "models" / f"{model.replace(' ', '-')}.safetensors"
            fresh = self._backbone(model)
            if not path.is_file():
                self._train(model, fresh).save(path, whole=model == "Model A")
            self._classifiers[model] = Classifier.load(path, fresh).requires_grad_(False)
        return self._classifiers[model]

    def _backbone(self, model: str) -> nn.Module:
        if model == "Model B":
            return Descriptor(self.recognizer)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed(model))
            return Embedder(find_network("model-a"))

    def _seed(self, name: str) -> int:
        return self.study.generator(name).initial_seed()

    def _train(self, model: str, backbone: nn.Module) -> Classifier:
        rows, size = self.part("train"), self.size
        faces, labels, seed = self.pictures[rows], self.labels[rows], self._seed(f"{model} training")
        people, epochs = len(self.people), size.epochs[MODELS.index(model)]
        width, hidden = (512, None) if model == "Model A" else (self.recognizer.card.dim, _HIDDEN)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            head = Softmax(width, people, hidden=hidden)
        classifier = Classifier(backbone, self.people, head)
        if model == "Model A":
            fit(classifier, faces, labels, epochs=epochs, lr=1e-3, weight_decay=1e-3, batch=size.batch, seed=seed)
        else:
            fit_head(embeddings_of(backbone, faces), labels, self.people, head, epochs=epochs, lr=1e-3, seed=seed)
        return classifier

    def clean(self, model: str) -> list[Row]:
        """Whom the model names on each photo that it was not trained on."""
        numbers = torch.cat([self.part("search"), self.part("test")])

        def compute() -> list[Row]:
            named = predicted(self.classifier(model), self.pictures[numbers])
            return [
                {**self._about(i, model), "part": self.photos[i]["part"], "named": self.people[n], "number": i}
                for i, n in zip(numbers.tolist(), named.tolist(), strict=True)
            ]

        return self.study.cell(f"{model}, trained", compute)

    def right(self, model: str, part: str) -> Tensor:
        """The photos (K,) of a part that the model names right: those that are attacked."""
        rows = [row for row in where(self.clean(model), part=part) if row["named"] == row["person"]]
        if not rows:
            raise AuditError(
                f"{model} names nobody right on the {part} photos, so there is nothing to attack; give more photos."
            )
        return torch.tensor([row["number"] for row in rows])

    def slope(self, model: str) -> float:
        """The mean length (L2) of the gradient at the search's photos."""

        def compute() -> list[Row]:
            rows: list[Row] = []
            for some in self.right(model, "search").split(_BATCH):
                pixels = self.pictures[some].requires_grad_(True)
                loss = F.cross_entropy(self.classifier(model)(pixels), self.targets[some], reduction="sum")
                lengths = torch.autograd.grad(loss, pixels)[0].flatten(1).norm(dim=1)
                rows += [
                    {**self._about(i, model), "slope": length}
                    for i, length in zip(some.tolist(), lengths.tolist(), strict=True)
                ]
            return rows

        return mean(self.study.cell(f"{model}, gradients", compute), "slope")

    def search(self, model: str, method: str) -> list[Row]:
        """The declared search: each setting on each photo of the search's part."""
        rows = []
        for length in self.size.lengths:
            compute = partial(self._tried, model, method, length)
            rows += self.study.cell(f"{model}, search, {method}, first step {length:g}", compute)
        return rows

    def _tried(self, model: str, method: str, length: float) -> list[Row]:
        rows = []
        for bound in self.size.pulls if method == OURS else self.size.bounds:
            settings = settings_of(method, length, bound, self.slope(model))
            given = {name: settings.get(name) for name in ("alpha", "eps", "realism")}
            for some, result in self._attacked(model, method, self.right(model, "search"), settings):
                rows += [
                    {**self._about(number, model), "method": method, "length": length, "bound": bound}
                    | {**given, **result.row(i)}
                    for i, number in enumerate(some.tolist())
                ]
        return rows

    def _attacked(
        self, model: str, method: str, photos: Tensor, settings: dict[str, float]
    ) -> Iterator[tuple[Tensor, FirstSuccess]]:
        """Photos, as many as go at once, and what became of them."""
        classifier, steps = self.classifier(model), self.size.steps
        for some in photos.split(_BATCH):
            pictures, labels, targets = self.pictures[some], self.labels[some], self.targets[some]
            yield some, attack(classifier, method, pictures, labels, targets, steps, **settings)

    def settings(self, model: str, method: str) -> dict[str, float]:
        """What the search speaks for."""
        return settings_of(method, *chosen(self.search(model, method)), self.slope(model))

    def test(self, model: str, method: str) -> list[Row]:
        """Each photo of the test's part that the model names right, attacked; judged as it is, as an 8-bit picture,
        and by the other model where that names the clean photo right."""
        return self.study.cell(f"{model}, test, {method}", lambda: list(self._tested(model, method)))

    def _tested(self, model: str, method: str) -> Iterator[Row]:
        (other,) = set(MODELS) - {model}
        known = set(self.right(other, "test").tolist())
        for some, result in self._attacked(model, method, self.right(model, "test"), self.settings(model, method)):
            clean = self.pictures[some]
            changed = clean + result.change
            saved = predicted(self.classifier(model), (changed * 255).round() / 255)
            judged = predicted(self.classifier(other), changed)
            for i, number in enumerate(some.tolist()):
                before, after = (pictures[i].permute(1, 2, 0).numpy() for pictures in (clean, changed))
                yield {
                    **self._about(number, model),
                    "method": method,
                    "target": self.people[self.targets[number]],
                    "named": self.people[result.named[i]],
                    **result.row(i),
                    "mssim": ssim(before, after),
                    "saved": bool(saved[i] != self.labels[number]),
                    "other": bool(judged[i] != self.labels[number]) if number in known else None,
                }

    def examples(self, model: str) -> list[Row]:
        """One photo that every method changed enough, as pictures; else the first."""
        return self.study.cell(f"{model}, example", lambda: list(self._pictured(model)))

    def _pictured(self, model: str) -> Iterator[Row]:
        photos = self.right(model, "test")
        fooled = [where(self.test(model, method), fooled=True) for method in METHODS]
        by_all = set.intersection(*({(row["person"], row["photo"]) for row in rows} for rows in fooled))
        keys = [(self.photos[i]["person"], self.photos[i]["photo"]) for i in photos.tolist()]
        which = next((i for i, key in enumerate(keys) if key in by_all), 0)
        number = photos[which : which + 1]
        for method in METHODS:
            ((_, result),) = self._attacked(model, method, number, self.settings(model, method))
            clean, change = self.pictures[number][0], result.change[0]
            stem = f"{model}-{method}".replace(" ", "-").lower()
            self._save(clean, f"{stem}-clean.png")
            self._save(clean + change, f"{stem}-changed.png")
            self._save((0.5 + AMPLIFIED * change).clamp(0, 1), f"{stem}-change.png")
            found = {"named": self.people[result.named[0]], "l2": float(change.norm()), "stem": stem}
            yield {**self._about(int(number), model), "method": method, **found}

    def evolution(self, model: str) -> list[Row]:
        """P-FGVM from Gaussian noise in place of the picture, the realism term pulling to it."""
        return self.study.cell(f"{model}, from noise", lambda: list(self._evolved(model)))

    def _evolved(self, model: str) -> Iterator[Row]:
        number = self.right(model, "test")[:1]
        classifier, clean, target = self.classifier(model), self.pictures[number], self.targets[number]
        seen: list[Tensor] = []

        def objective(faces: Faces) -> Tensor:
            seen.append(faces.pixels.detach())
            return F.cross_entropy(classifier(faces.pixels), target, reduction="none")

        alpha, steps = self.settings(model, OURS)["alpha"], self.size.evolution[-1] + 1
        task = Task(Faces(clean), objective, generator=self.study.generator("noise"))
        find("p-fgvm").cloak(task, alpha=alpha, realism=EVOLUTION_PULL / alpha, steps=steps, from_noise=True)
        for step in self.size.evolution:
            picture = f"{model}-step-{step}.png".replace(" ", "-").lower()
            self._save(seen[step][0], picture)
            yield {
                **self._about(int(number), model),
                "step": step,
                "target": self.people[int(target)],
                "named": self.people[int(predicted(classifier, seen[step]))],
                "l2": float((seen[step] - clean).norm()),
                "picture": picture,
            }

    def _save(self, picture: Tensor, name: str) -> None:
        """Write a picture (3, H, W) in [0, 1] as PNG among the study's pictures."""
        folder = self.study.out / "pictures"
        folder.mkdir(exist_ok=True)
        values = (255 * picture).round().byte().permute(1, 2, 0).numpy()
        Image.fromarray(values).save(folder / name)


def predicted(classifier: nn.Module, pictures: Tensor) -> Tensor:
    """The likeliest class of each picture, (N,)."""
    with torch.no_grad():
        return torch.cat([classifier(some).argmax(dim=1) for some in pictures.split(_BATCH)])


def people_of(there: Sequence[Dataset], size: Size) -> Dataset:
    """CelebA where it is among the datasets, else the first, cut down to the people with the most photos.

    Raises ``AuditError`` when there are too few people, or too few photos of one.
    """
    dataset = next((one for one in there if one.name == "CelebA"), there[0])
    dataset.most(size.people, size.test + size.search + 2)  # a person is trained on two photos at least
    most = dataset.most(size.people).photos
    return Dataset(dataset.name, {person: paths[: size.photos] for person, paths in most.items()})
