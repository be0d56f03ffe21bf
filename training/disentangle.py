"""Train what comes with visard to tell who from how: by visard-resnet, on faces that its
generator draws and on those that it was itself trained with.

Runs are seeded and resume bit for bit; ``FILE.training`` beside the file holds the checkpoint, the curves and a sheet.

    python training/disentangle.py --data ROOT/data --out disentangled.safetensors
"""

import argparse
from pathlib import Path

import torch

from generator import crops
from visard.generator import train
from visard.generator.latent import DisentangleSettings, DisentangleTraining, shipped_landmarks
from visard.generator.stylegan import load_faces
from visard.generator.stylegan.faces import SHIPPED
from visard.recognizer import find, load

# ten times the printed rates, for far fewer steps; landmarks that count more, for small faces; cleaner faces
SETTINGS = DisentangleSettings(rate=5e-4, adversarial_rate=5e-5, judge_rate=2e-4, landmarks=0.005, truncation=0.7)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of lfw-160, sfhq-160 and tpdne-160")
    parser.add_argument("--out", type=Path, required=True, help="a run goes on if it was begun")
    parser.add_argument("--generator", type=Path, default=SHIPPED)
    parser.add_argument("--recognizer", default="visard-resnet")
    parser.add_argument("--steps", type=int, default=2200)
    parser.add_argument("--max-minutes", type=float)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_flush_denormal(True)
    generator, identity = load_faces(args.generator), load(find(args.recognizer))
    training = DisentangleTraining(
        SETTINGS, generator, identity, shipped_landmarks(), args.seed, crops=crops(args.data, generator.size)
    )

    def watch(step: int, row: dict[str, float]) -> None:
        if step % 25 == 0:
            print(step, {name: round(value, 4) for name, value in row.items()}, flush=True)

    made = train(training, args.out, args.steps, max_minutes=args.max_minutes, watch=watch)
    print(f"{args.out}: {made.steps} steps")


if __name__ == "__main__":
    main()
