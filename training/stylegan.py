"""Train the face generator that comes with visard: StyleGAN2, small, on synthetic faces and those of role `train`.

Runs are seeded and resume bit for bit; ``FILE.training`` beside the file holds the checkpoint, the curves and a sheet.

    python training/stylegan.py --data ROOT/data --out stylegan.safetensors --max-minutes 90
"""

import argparse
from pathlib import Path

import torch

from generator import crops
from visard.generator import train
from visard.generator.stylegan import StyleSettings, StyleTraining

SETTINGS = StyleSettings(base=1024, widest=128, latent=128, layers=4, batch=16, rate=2e-3, r1=1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of lfw-160, sfhq-160 and tpdne-160")
    parser.add_argument("--out", type=Path, required=True, help="a run goes on if it was begun")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--max-minutes", type=float)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_flush_denormal(True)
    training = StyleTraining(SETTINGS, crops(args.data, args.size), args.seed)

    def watch(step: int, row: dict[str, float]) -> None:
        if step % 50 == 0:
            print(step, {name: round(value, 4) for name, value in row.items()}, flush=True)

    made = train(training, args.out, args.steps, max_minutes=args.max_minutes, watch=watch)
    print(f"{args.out}: {made.steps} steps on {made.photos} photos")


if __name__ == "__main__":
    main()
