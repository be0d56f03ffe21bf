"""How long a cloak takes: the loop against a bare gradient, against other libraries, and whole commands.

    python benchmarks/speed.py [embedding step ensemble candidates layout peers portrait megapixels group]

Everything in one process on the same work, interleaved, median CPU seconds of the repetitions: give it one thread,
OMP_NUM_THREADS=1. Whole commands are processes of their own, measured by the clock. With no names, all sections run.
Needs no assets.
"""

import copy
import os
import statistics
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage import data
from torch import Tensor, nn

from common import table
from visard.cloak import Faces, Objective, Task, dodging, find, mirrored_anchors
from visard.cloak.crop import Crop, crop_of
from visard.cloak.methods.bim import kurakin_steps
from visard.cloak.objective import untargeted
from visard.face import FacePatches, cut, dlib_hog
from visard.pipeline import choose_recognizers
from visard.recognizer import Recognizer, cards, load, ready
from visard.recognizer import find as find_recognizer

STEPS, EPS, ALPHA = 20, 8 / 255, 1 / 255
SHORT = 10
FEW, TARGETS = 4, 10
REPETITIONS = 7


class Classifier(nn.Module):
    """The embedded recognizer under a head of 30 classes: the closed-set model that every library can attack."""

    def __init__(self) -> None:
        super().__init__()
        self.recognizer = load(find_recognizer("dlib-resnet"))
        generator = torch.Generator().manual_seed(0)
        self.head = nn.Parameter(torch.randn(128, 30, generator=generator), requires_grad=False)

    def forward(self, faces: Tensor) -> Tensor:
        return 16 * self.recognizer.embed(faces) @ self.head


def chips(count: int) -> Tensor:
    """`count` chips (N, 3, 150, 150) of the astronaut, each a little different."""
    picture = torch.from_numpy(data.astronaut()).permute(2, 0, 1)[None, :, 50:200, 150:300].float() / 255
    generator = torch.Generator().manual_seed(1)
    return (picture + 0.03 * torch.randn(count, 3, 150, 150, generator=generator)).clamp(0, 1)


def interleaved(works: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Median CPU seconds of each work, in which what else the machine does hardly counts; every repetition runs all of
    them, once before is not counted."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for repetition in range(REPETITIONS + 1):
        for name, work in works.items():
            begun = time.process_time()
            work()
            if repetition:
                times[name].append(time.process_time() - begun)
    return {name: statistics.median(values) for name, values in times.items()}


def embedding() -> None:
    """Embedding through the contract against the bare network on the same normalized faces (goal: at most 1.1)."""
    rows = []
    for name in (card.name for card in cards().values() if ready(card) and card.differentiable):
        recognizer = load(find_recognizer(name))
        for batch in (1, 32):
            faces = torch.rand(batch, 3, *recognizer.template.size, generator=torch.Generator().manual_seed(0))

            def bare(faces: Tensor = faces, network: nn.Module = recognizer.network) -> None:
                with torch.no_grad():
                    network(faces)

            def contract(faces: Tensor = faces, recognizer: Recognizer = recognizer) -> None:
                with torch.no_grad():
                    recognizer.embed(faces)

            seconds = interleaved({"bare": bare, "contract": contract})
            cells = [f"{1000 * seconds[kind] / batch:.2f}" for kind in ("bare", "contract")]
            rows.append([name, str(batch), *cells, f"{seconds['contract'] / seconds['bare']:.3f}"])
    table(["recognizer", "batch", "bare ms/face", "embed ms/face", "ratio"], rows)


def step() -> None:
    """One attack step against a bare forward pass and input gradient of the same network (goal: at most 1.05)."""
    model = Classifier()
    rows = []
    for batch in (1, 8):
        pixels = chips(batch)
        labels = model(pixels).argmax(dim=1)
        objective = untargeted(model, labels)

        def bare(pixels: Tensor = pixels, labels: Tensor = labels) -> None:
            for _ in range(STEPS):
                x = pixels.detach().requires_grad_(True)
                torch.autograd.grad(nn.functional.cross_entropy(model(x), labels, reduction="sum"), x)

        def cloak(pixels: Tensor = pixels, objective: Objective = objective) -> None:
            find("bim").cloak(Task(Faces(pixels), objective), eps=EPS, alpha=ALPHA, steps=STEPS)

        seconds = interleaved({"bare": bare, "cloak": cloak})
        cells = [f"{1000 * seconds[name] / STEPS / batch:.2f}" for name in ("bare", "cloak")]
        rows.append([str(batch), *cells, f"{seconds['cloak'] / seconds['bare']:.3f}"])
    table(["batch", "bare ms/step/face", "visard bim ms/step/face", "ratio"], rows)


def ensemble() -> None:
    """The embedded surrogates, batches of 1 and 8: a method with its own number of steps, clean embeddings included,
    against bare warps, passes and input gradients (goal: at most 1.05 a step), and a face from start to end (goal of
    visard: 4 s)."""
    surrogates, patch = portrait_patch()
    rows = []
    for batch in (1, 8):
        faces = Faces(patch.pixels.repeat(batch, 1, 1, 1), patch.frames.repeat(batch, 1, 1))
        mask, anchors = patch.mask.repeat(batch, 1, 1, 1), mirrored_anchors(surrogates, faces)
        objective = dodging(surrogates, anchors)

        def bare(faces: Faces = faces, objective: Objective = objective) -> None:
            for _ in range(SHORT):
                x = faces.pixels.detach().requires_grad_(True)
                torch.autograd.grad(objective(faces._replace(pixels=x)).sum(), x)

        works: dict[str, Callable[[], object]] = {"bare": bare}
        steps = {"bare": SHORT}
        for name in ("bim", "mi-di-fgsm", "visard"):
            method = find(name)
            steps[name] = method.settings["steps"] or kurakin_steps(EPS)
            works[name] = partial(method.cloak, Task(faces, objective, mask, surrogates=surrogates))
        seconds = {name: spent / steps[name] / batch for name, spent in interleaved(works).items()}
        for name in list(works)[1:]:
            cells = [f"{1000 * seconds['bare']:.1f}", f"{1000 * seconds[name]:.1f}"]
            ratio, whole = seconds[name] / seconds["bare"], seconds[name] * steps[name]
            rows.append([name, str(steps[name]), str(batch), *cells, f"{ratio:.3f}", f"{whole:.2f}"])
    table(["method", "steps", "batch", "bare ms/step/face", "ms/step/face", "ratio", "s/face"], rows)


def candidates() -> None:
    """A step of tip-im toward ten people on the embedded surrogates: bare are one pass, a gradient for each target and
    a pass for each candidate, with their warps (goal: at most 1.15)."""
    surrogates, patch = portrait_patch()
    generator = torch.Generator().manual_seed(0)
    rows = []
    for batch in (1, 4):
        faces = Faces(patch.pixels.repeat(batch, 1, 1, 1), patch.frames.repeat(batch, 1, 1))
        mask, anchors = patch.mask.repeat(batch, 1, 1, 1), mirrored_anchors(surrogates, faces)
        people = [nn.functional.normalize(torch.randn(TARGETS, a.shape[1], generator=generator)) for a in anchors]
        task = Task(faces, dodging(surrogates, anchors), mask, surrogates=surrogates, targets=people)
        crop = crop_of(task)

        def bare(crop: Crop = crop, people: list[Tensor] = people) -> None:
            for _ in range(FEW):
                change = torch.zeros_like(crop.clean).requires_grad_(True)
                for i, surrogate in enumerate(surrogates):
                    embedding = surrogate.embed(crop.seen_by(i, change))
                    for person in people[i]:
                        torch.autograd.grad(embedding, change, person.expand_as(embedding), retain_graph=True)
                with torch.no_grad():
                    for part in change.repeat(TARGETS, 1, 1, 1).split(8):
                        for i, surrogate in enumerate(surrogates):
                            surrogate.embed(crop.seen_by(i, part))

        seconds = interleaved({"bare": bare, "tip-im": partial(find("tip-im").cloak, task, steps=FEW)})
        cells = [f"{1000 * spent / FEW / batch:.0f}" for spent in seconds.values()]
        rows.append([str(batch), *cells, f"{seconds['tip-im'] / seconds['bare']:.3f}"])
    table(["batch", "bare ms/step/face", "tip-im ms/step/face", "ratio"], rows)


def portrait_patch() -> tuple[tuple[Recognizer, ...], FacePatches]:
    """The surrogates of a fresh installation, and the astronaut's face."""
    surrogates, _ = choose_recognizers()
    picture = np.ascontiguousarray(data.astronaut())
    return surrogates, cut(picture, dlib_hog()(picture))


def layout() -> None:
    """A gradient of the embedded networks with channels last, as visard has them, and compiled, against plain ones."""
    rows = []
    for card in cards().values():
        if card.format in ("onnx", "onnx-black-box") or not ready(card):
            continue
        kept = load(card)
        plain, compiled = copy.deepcopy(kept.network).to(memory_format=torch.contiguous_format), copy.deepcopy(kept)
        quick = torch.compile(compiled.network)
        for batch in (1, 8):
            faces = torch.rand(batch, 3, *card.input)
            inputs = kept.normalize(faces)

            def gradient(network: Callable[[Tensor], Tensor], x: Tensor) -> None:
                x = x.detach().requires_grad_(True)
                torch.autograd.grad(network(x).sum(), x)

            start = time.perf_counter()
            gradient(quick, inputs)
            compiling = time.perf_counter() - start
            seconds = interleaved(
                {
                    "plain": partial(gradient, plain, inputs.contiguous()),
                    "channels last": partial(gradient, kept.network, inputs),
                    "compiled": partial(gradient, quick, inputs),
                }
            )
            cells = [f"{1000 * s / batch:.1f}" for s in seconds.values()]
            ratios = [f"{seconds[name] / seconds['plain']:.2f}" for name in list(seconds)[1:]]
            rows.append([card.name, str(batch), *cells, *ratios, f"{compiling:.0f}"])
    header = ["recognizer", "batch", "plain ms/face", "channels last", "compiled", "ratio", "ratio", "s to compile"]
    table(header, rows)


def peers() -> None:
    """The same network, pictures, steps and budget through other libraries (goal: none faster)."""
    # adversarial-library imports these for its LPIPS and its plots, which this attack does not use
    for absent in ("torchvision", "visdom"):
        sys.modules.setdefault(absent, types.SimpleNamespace(models=None))  # type: ignore[arg-type]
    import foolbox
    import torchattacks
    from adv_lib.attacks.projected_gradient_descent import pgd_linf

    model = Classifier().eval()
    pixels = chips(8)
    labels = model(pixels).argmax(dim=1)
    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    foolbox_attack = foolbox.attacks.LinfBasicIterativeAttack(abs_stepsize=ALPHA, steps=STEPS, random_start=False)
    torchattack = torchattacks.BIM(model, eps=EPS, alpha=ALPHA, steps=STEPS)
    results: dict[str, Tensor] = {}

    def keep(name: str, adversarial: Tensor) -> None:
        results[name] = adversarial

    objective = untargeted(model, labels)
    works: dict[str, Callable[[], object]] = {
        "visard bim": lambda: keep(
            "visard bim",
            pixels + find("bim").cloak(Task(Faces(pixels), objective), eps=EPS, alpha=ALPHA, steps=STEPS),
        ),
        "foolbox": lambda: keep("foolbox", foolbox_attack(wrapped, pixels, labels, epsilons=EPS)[1]),
        "torchattacks": lambda: keep("torchattacks", torchattack(pixels, labels)),
        "adversarial-library": lambda: keep(
            "adversarial-library",
            pgd_linf(model, pixels, labels, EPS, steps=STEPS, random_init=False, absolute_step_size=ALPHA),
        ),
    }
    seconds = interleaved(works)
    rows = []
    for name, adversarial in results.items():
        with torch.no_grad():
            loss = nn.functional.cross_entropy(model(adversarial), labels)
        size = float((adversarial - pixels).abs().max()) * 255
        rows.append([name, f"{seconds[name]:.3f}", f"{loss:.2f}", f"{size:.2f}"])
    table(["library", f"s for {len(pixels)} faces, {STEPS} steps", "loss reached", "largest change /255"], rows)


def command(photo: Path, *options: str) -> tuple[float, float]:
    """Wall seconds and peak memory (MB) of one whole `visard protect`, start included."""
    script = (
        "import resource, subprocess, sys, time; t = time.perf_counter(); "
        "done = subprocess.run([sys.executable, '-m', 'visard', *sys.argv[1:]], capture_output=True, text=True); "
        "print(time.perf_counter() - t, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, "
        "done.returncode);"
        "print(done.stdout, done.stderr, file=sys.stderr)"
    )
    words = [sys.executable, "-c", script, "protect", str(photo), "--force", *options]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    seconds, memory, code = done.stdout.split()
    if int(code) > 1:
        raise SystemExit(done.stderr)
    return float(seconds), float(memory)


def measured(photo: Path, repetitions: int = 3) -> tuple[float, float]:
    runs = [command(photo) for _ in range(repetitions)]
    return statistics.median(r[0] for r in runs), max(r[1] for r in runs)


def astronaut(path: Path, size: tuple[int, int], face: float = 1.0) -> Path:
    """The astronaut on a canvas of `size` (width, height), enlarged by `face`."""
    picture = Image.fromarray(data.astronaut())
    side = round(512 * face)
    canvas = Image.new("RGB", size, (90, 100, 110))
    place = ((size[0] - side) // 2, (size[1] - side) // 2)
    canvas.paste(picture.resize((side, side), Image.Resampling.BICUBIC), place)
    canvas.save(path, quality=92)
    return path


def portrait() -> None:
    """One portrait, the whole command (goal: at most 6 s and 1.5 GB on 2 cores)."""
    with tempfile.TemporaryDirectory() as folder:
        seconds, memory = measured(astronaut(Path(folder) / "portrait.jpg", (1000, 1000), 1.9))
    table(["photo", "wall s", "peak MB"], [["1 MP portrait", f"{seconds:.2f}", f"{memory:.0f}"]])


def megapixels() -> None:
    """1 MP against 12 MP with the same face (goal: at most 1.3 times the time)."""
    with tempfile.TemporaryDirectory() as folder:
        small = measured(astronaut(Path(folder) / "1mp.jpg", (1155, 866), 1.5))
        large = measured(astronaut(Path(folder) / "12mp.jpg", (4000, 3000), 1.5))
        scaled = measured(astronaut(Path(folder) / "12mp-scaled.jpg", (4000, 3000), 1.5 * 3000 / 866))
    rows = [["1 MP", f"{small[0]:.2f}", f"{small[1]:.0f}", "1"]]
    for name, (seconds, memory) in (("12 MP, face as large in pixels", large), ("12 MP, all enlarged", scaled)):
        rows.append([name, f"{seconds:.2f}", f"{memory:.0f}", f"{seconds / small[0]:.2f}"])
    table(["photo", "wall s", "peak MB", "ratio"], rows)


def group() -> None:
    """60 faces in one photo."""
    face = Image.fromarray(data.astronaut()).crop((130, 0, 330, 240))
    canvas = Image.new("RGB", (10 * 200, 6 * 240))
    for i in range(60):
        shade = 0.7 + 0.3 * (i % 7) / 6
        tile = Image.fromarray(np.uint8(np.asarray(face) * shade))
        canvas.paste(tile.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if i % 2 else tile, (i % 10 * 200, i // 10 * 240))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "group.jpg"
        canvas.save(path, quality=92)
        seconds, memory = measured(path, 1)
    table(
        ["photo", "wall s", "s/face", "peak MB"],
        [["60 faces", f"{seconds:.1f}", f"{seconds / 60:.2f}", f"{memory:.0f}"]],
    )


SECTIONS = {f.__name__: f for f in (embedding, step, ensemble, candidates, layout, peers, portrait, megapixels, group)}

if __name__ == "__main__":
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {os.cpu_count()} cores, CPU")
    for section in sys.argv[1:] or SECTIONS:
        print(f"\n## {section}: {SECTIONS[section].__doc__}\n", flush=True)
        SECTIONS[section]()
