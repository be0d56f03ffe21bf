"""Turn a student's checkpoint into what visard ships: half-precision weights, and a card with what was measured.

The balanced accuracy is that of the decision "same person?" over pairs of `test` people, one genuine pair a person
and all impostor pairs, at the threshold that is best on `calibration` people; its interval is a bootstrap over
people. The thresholds at fixed false match rates are those of `visard calibrate` on the calibration people.

    python training/ship.py --checkpoint student.pt --name visard-resnet --teacher mobilefacenet-ms1m \\
        --network small-resnet --role surrogate --data ROOT/data --recipe "python training/distill.py ..."
"""

import argparse
import csv
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import pictures
import visard.recognizer
from visard.face import dlib_hog
from visard.recognizer import Card, Recognizer, calibrate, find, people_photos
from visard.recognizer.card import Accuracy, file_sha256
from visard.recognizer.checkpoint import load_network, save_state_dict
from visard.recognizer.networks import find_network

PACKAGE = Path(visard.recognizer.__file__).parent
DATASET = "LFW, {people} people in no test"
LIMITS = (
    "small, trained on 7,000 faces: misses more than large recognizers do; not measured by age, sex or skin tone; for "
    "making and judging cloaks, never to identify anybody"
)


def embed(recognizer: Recognizer, faces: Tensor) -> NDArray[np.float32]:
    """Embeddings (K, D) of aligned faces (K, 3, 160, 160), uint8."""
    with torch.no_grad():
        batches = [
            recognizer.embed(recognizer.align(part.float() / 255, pictures.frames(len(part))))
            for part in faces.split(64)
        ]
    return torch.cat(batches).numpy()


def pairs_of(data: Path, role: str) -> tuple[Tensor, list[str]]:
    """The first two aligned photos of every person of a role who has two: (2 * P, 3, 160, 160), pairs in a row."""
    photos: dict[str, list[Path]] = {}
    with (data / "lfw-160" / "meta.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["role"] == role:
                photos.setdefault(row["person"], []).append(data / "lfw-160" / row["path"])
    chosen = {person: paths[:2] for person, paths in sorted(photos.items()) if len(paths) > 1}
    return pictures.read([path for paths in chosen.values() for path in paths]), list(chosen)


def rates(scores: NDArray[np.floating], threshold: float, weights: NDArray[np.floating]) -> float:
    """Balanced accuracy of `scores` (P, P), first photos against second ones, with people weighted by `weights`."""
    pair = weights[:, None] * weights[None]
    same = np.eye(len(scores), dtype=bool)
    hit = np.average(np.diag(scores) >= threshold, weights=weights)
    refused = np.sum((scores < threshold) * pair, where=~same) / np.sum(pair, where=~same)
    return float((hit + refused) / 2)


def accuracy(recognizer: Recognizer, data: Path) -> Accuracy:
    """Its balanced accuracy on `test` people, at the threshold that is best on `calibration` people."""
    scores = {}
    for role in ("calibration", "test"):
        faces, _ = pairs_of(data, role)
        embeddings = embed(recognizer, faces)
        scores[role] = embeddings[::2] @ embeddings[1::2].T
    everybody = np.ones(len(scores["calibration"]))
    threshold = max(np.linspace(-0.2, 1, 601), key=lambda t: rates(scores["calibration"], float(t), everybody))
    people = len(scores["test"])
    rng = np.random.default_rng(0)
    draws = [
        rates(scores["test"], float(threshold), rng.multinomial(people, np.full(people, 1 / people)).astype(float))
        for _ in range(1000)
    ]
    low, high = np.percentile(draws, [2.5, 97.5])
    value = rates(scores["test"], float(threshold), np.ones(people))
    on = f"LFW, {people} test people: {people} genuine, {people * (people - 1):,} impostor pairs"
    return Accuracy(round(value, 4), round(float(low), 4), round(float(high), 4), on)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--network", required=True)
    parser.add_argument("--role", required=True, choices=["surrogate", "juror"])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--recipe", required=True, help="the command that trained it, for the card")
    args = parser.parse_args()

    teacher, network = find(args.teacher), find_network(args.network)
    state = torch.load(args.checkpoint, weights_only=True)
    module = network.build()
    module.load_state_dict(state["network"])
    file = PACKAGE / "weights" / f"{args.name}.safetensors"
    file.parent.mkdir(exist_ok=True)
    save_state_dict(file, module.state_dict(), half=True)
    card = Card(
        name=args.name,
        format="safetensors",
        file=file.name,
        sha256=file_sha256(file),
        input=network.input,
        crop=network.crop,
        mean=network.mean,
        std=network.std,
        dim=network.dim,
        role=args.role,
        architecture=f"{args.network}, {sum(p.numel() for p in module.parameters()):,} parameters",
        loss=f"distilled: cosine, similarities and feature maps of {teacher.name}",
        training_data="LFW (role train) and synthetic faces (SFHQ, TPDNE), labeled by the teacher alone",
        license="Apache-2.0",
        code_license="Apache-2.0",
        source=f"visard; {args.recipe}",
        network=args.network,
        limits=LIMITS,
        origin=teacher.name,
    )
    recognizer = Recognizer(card, load_network(args.network, file))
    card = replace(card, accuracy=accuracy(recognizer, args.data))
    print(json.dumps(asdict(card.accuracy)), flush=True)
    photos = people_photos(args.data / "lfw-160", "calibration")
    dataset = DATASET.format(people=len({person for person, _ in photos}))
    found = calibrate([Recognizer(card, recognizer.network)], photos, dlib_hog(), dataset=dataset)
    card = replace(card, thresholds=found[card.name])
    path = PACKAGE / "cards" / f"{args.name}.json"
    path.write_text(json.dumps(card.to_json(), indent=1) + "\n", encoding="utf-8")
    print(f"{file} ({file.stat().st_size / 1e6:.2f} MB) and {path}")


if __name__ == "__main__":
    main()
