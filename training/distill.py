"""Train a small recognizer to embed faces as a larger one does.

The student sees what the teacher sees, and is asked for the teacher's embedding (cosine), for its similarities
between faces (Park et al., "Relational knowledge distillation", CVPR 2019, with cosines in place of distances), and
for its feature maps at 28, 14 and 7 px, through a 1 x 1 convolution that is dropped afterwards (Romero et al.,
"FitNets", ICLR 2015). No identity label is used. From `--cloaked-from` on, a share of the faces carries a cloak made
against the student as it is then: the teacher mostly is not fooled by it, so the student learns to be fooled only
where the teacher is (Goldblum et al., "Adversarially robust distillation", AAAI 2020), which is what makes a good
surrogate.

The learning rate is constant, then falls to zero over the last fifth of the rounds, so that a run can be continued
with more `--rounds` from a checkpoint before the fall. Runs are seeded and resume bit for bit on one device.

    python training/distill.py --teacher mobilefacenet-ms1m --network small-resnet --data ROOT/data --out student.pt

The teacher is a recognizer in visard's store (`visard models list`).
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, fx, nn

import pictures
from visard.cloak import Faces, Task, dodging, find, mirrored_anchors
from visard.measure import genuine_and_impostor
from visard.recognizer import Card, Recognizer, load
from visard.recognizer import find as find_card
from visard.recognizer.networks.small import SMALL

MAP_SIZES = (28, 14, 7)
ROUND = 4096  # fresh faces in a round
REUSE = 3  # times that a round's faces are gone over: the teacher and the variations cost as much as the student
BATCH = 64


def teacher_with_maps(teacher: Recognizer) -> fx.GraphModule:
    """The teacher's network with the output (embedding, maps): its last residual sum at about 28, 14 and 7 px."""
    network = teacher.network
    if not isinstance(network, fx.GraphModule):
        raise SystemExit(f"{teacher.name} is not an ONNX recognizer; its feature maps are not known.")
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    embedding = graph.graph_copy(network.graph, copies)
    sums = [n for n in network.graph.nodes if n.name.startswith("add") and len(n.meta.get("shape", ())) == 4]
    chosen = []
    for size in MAP_SIZES:
        near = min((n.meta["shape"][2] for n in sums), key=lambda side: abs(side - size))
        chosen.append(copies[[n for n in sums if n.meta["shape"][2] == near][-1]])
    graph.output((embedding, tuple(chosen)))
    return fx.GraphModule(network, graph)


def student_card(teacher: Card, network: str) -> Card:
    """The student looks at the same part of the face as its teacher, at 112 x 112."""
    return Card(
        name=network,
        format="onnx",
        file="",
        sha256="",
        input=(112, 112),
        crop=teacher.crop,
        mean=(127.5,) * 3,
        std=(127.5,) * 3,
        dim=teacher.dim,
    )


class Targets:
    """A round of varied faces and what the teacher says of them."""

    def __init__(
        self,
        faces: Tensor,
        teacher: Recognizer,
        network: fx.GraphModule,
        student: Recognizer,
        seed: int,
        cloaked: float,
    ) -> None:
        generator = Generator().manual_seed(seed)
        chosen = torch.randint(len(faces), (ROUND,), generator=generator)
        method = find("mi-di-fgsm")
        inputs, embeddings, maps = [], [], []
        for part in chosen.split(BATCH):
            seen = pictures.varied(faces[part], generator)
            frames = pictures.frames(len(seen))
            count = round(cloaked * len(seen))
            if count:
                some = Faces(seen[:count], frames[:count])
                objective = dodging([student], mirrored_anchors([student], some))
                eps = float(torch.rand((), generator=generator)) * 12 / 255
                change = method.cloak(Task(some, objective, generator=generator), eps=eps, alpha=eps / 3, steps=5)
                seen[:count] += change.detach()
            with torch.no_grad():
                embedding, found = network(teacher.normalize(teacher.align(seen, frames)))
                inputs.append((student.align(seen, frames) * 255).round().byte())
                embeddings.append(F.normalize(embedding))
                maps.append([F.adaptive_avg_pool2d(m, s).half() for m, s in zip(found, MAP_SIZES, strict=True)])
        self.inputs, self.embeddings = torch.cat(inputs), torch.cat(embeddings)
        self.maps = [torch.cat(level) for level in zip(*maps, strict=True)]

    def to(self, device: str) -> None:
        self.inputs, self.embeddings = self.inputs.to(device), self.embeddings.to(device)
        self.maps = [level.to(device) for level in self.maps]


def loss(student: Recognizer, adapters: nn.ModuleList, targets: Targets, part: Tensor) -> dict[str, Tensor]:
    x = student.normalize(targets.inputs[part].float() / 255)
    found = student.network.features(x.contiguous(memory_format=torch.channels_last))
    embedding, wanted = F.normalize(student.network.embed(found[-1])), targets.embeddings[part]
    maps = []
    for adapter, mine, level in zip(adapters, found, targets.maps, strict=True):
        theirs = level[part].float()
        spread = theirs.std(dim=(0, 2, 3), keepdim=True) + 1e-3
        maps.append(F.smooth_l1_loss(adapter(mine) / spread, theirs / spread))
    return {
        "cosine": (1 - (embedding * wanted).sum(dim=1)).mean(),
        "relation": 20 * F.mse_loss(embedding @ embedding.T, wanted @ wanted.T),
        "maps": sum(maps) / len(maps),
    }


def validate(student: Recognizer, teacher: Recognizer, faces: Tensor, people: list[str]) -> dict[str, float]:
    """Mean cosine to the teacher, and the best balanced accuracy over all pairs of the validation people."""
    mine, theirs = [], []
    with torch.no_grad():
        for part in faces.split(128):
            seen, frames = part.float() / 255, pictures.frames(len(part))
            mine.append(student.embed(student.align(seen, frames)))
            theirs.append(teacher.embed(teacher.align(seen, frames)))
    embeddings = torch.cat(mine)
    genuine, impostor = genuine_and_impostor(embeddings.numpy(), people)
    cuts = np.linspace(-1, 1, 2001)
    right = [(np.mean(genuine >= t) + np.mean(impostor < t)) / 2 for t in cuts]
    return {"cosine": float((embeddings * torch.cat(theirs)).sum(1).mean()), "balanced_accuracy": float(max(right))}


def distill(
    teacher: Recognizer,
    network: str,
    faces: Tensor,
    apart: tuple[Tensor, list[str]],
    out: Path,
    *,
    rounds: int,
    rate: float,
    cloaked: float,
    cloaked_from: int,
    seed: int,
    until: int | None = None,
    device: str = "cpu",
) -> None:
    """Train until `rounds` are done, or `until` of them, from the checkpoint `out` if it is there.

    The checkpoint is written after every round.

    Faces are varied and shown to the teacher on the CPU, between the student's steps on `device`.
    """
    torch.manual_seed(seed)
    with_maps = teacher_with_maps(teacher)
    student = Recognizer(student_card(teacher.card, network), SMALL[network](teacher.card.dim))
    student.network.to(memory_format=torch.channels_last)
    with torch.no_grad():
        shapes = [m.shape[1] for m in with_maps(torch.zeros(1, 3, *teacher.card.input))[1]]
        own = [m.shape[1] for m in student.network.features(torch.zeros(1, 3, 112, 112))]
    adapters = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in zip(own, shapes, strict=True)).to(device)
    student.to(device)
    weights = [p.requires_grad_(True) for p in [*student.network.parameters(), *adapters.parameters()]]
    optimizer = torch.optim.AdamW(weights, lr=rate, weight_decay=0.02)
    begun, history = 0, []
    if out.is_file():
        state = torch.load(out, weights_only=True)
        student.network.load_state_dict(state["network"])
        adapters.load_state_dict(state["adapters"])
        optimizer.load_state_dict(state["optimizer"])
        begun, history = state["round"], state["history"]
        print(f"goes on after round {begun}", flush=True)

    for number in range(begun, min(rounds, until or rounds)):
        clock = time.perf_counter()
        student.to("cpu").network.requires_grad_(False)
        share = cloaked if number >= cloaked_from else 0.0
        targets = Targets(faces, teacher, with_maps, student, seed * 100_003 + number, share)
        targets.to(device)
        student.to(device).network.train().requires_grad_(True)
        order = Generator().manual_seed(seed * 100_003 + number)
        parts = [p for _ in range(REUSE) for p in torch.randperm(ROUND, generator=order).split(BATCH)]
        sums: dict[str, float] = {}
        for i, part in enumerate(parts):
            done = (number + i / len(parts)) / rounds
            warm = min(1.0, (number * len(parts) + i + 1) / 200)
            optimizer.param_groups[0]["lr"] = rate * warm * min(1.0, (1 - done) / 0.2)
            terms = loss(student, adapters, targets, part.to(device))
            optimizer.zero_grad()
            sum(terms.values()).backward()
            nn.utils.clip_grad_norm_(weights, 5.0)
            optimizer.step()
            for key, value in terms.items():
                sums[key] = sums.get(key, 0.0) + value.item() / len(parts)
        student.to("cpu").network.eval()
        row = {"round": number + 1, **sums, "seconds": time.perf_counter() - clock}
        row |= {f"validation_{k}": v for k, v in validate(student, teacher, *apart).items()}
        history.append(row)
        print(json.dumps({k: round(v, 4) for k, v in row.items()}), flush=True)
        state = {
            "network": student.network.state_dict(),
            "adapters": adapters.state_dict(),
            "optimizer": optimizer.state_dict(),
            "round": number + 1,
            "history": history,
        }
        temporary = out.with_suffix(".part")
        torch.save(state, temporary)
        temporary.replace(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--network", required=True, choices=SMALL)
    parser.add_argument("--data", type=Path, required=True, help="folder of lfw-160, sfhq-160 and tpdne-160")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint; a run goes on from it if it is there")
    parser.add_argument("--rounds", type=int, default=60, help=f"of {ROUND} fresh faces")
    parser.add_argument("--until", type=int, metavar="ROUND", help="stop there, to go on later with other settings")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--cloaked", type=float, default=0.25, help="share of cloaked faces")
    parser.add_argument("--cloaked-from", type=int, default=8, metavar="ROUND")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", help="cpu, or cuda with many more --rounds")
    args = parser.parse_args()
    torch.set_flush_denormal(True)
    distill(
        load(find_card(args.teacher)),
        args.network,
        pictures.load(args.data, validation=False)[0],
        pictures.load(args.data, validation=True),
        args.out,
        rounds=args.rounds,
        rate=args.rate,
        cloaked=args.cloaked,
        cloaked_from=args.cloaked_from,
        seed=args.seed,
        until=args.until,
        device=args.device,
    )


if __name__ == "__main__":
    main()
