"""Train the face generator that comes with visard: StyleGAN2, small, on synthetic faces and those of role `train`.

It is begun with a heavy R1 penalty, too heavy for faces this small, and goes on with a tenth of it and without path
length, after which faces get clear. Runs are seeded and resume bit for bit; ``FILE.training`` beside the file holds the
checkpoint, the curves and a sheet, ``FILE-begun.training`` those of the first part.

    python training/stylegan.py --data ROOT/data --out stylegan.safetensors
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from generator import crops
from visard.generator import steps_of, train
from visard.generator.course import CHECKPOINT, FOLDER
from visard.generator.stylegan import StyleSettings, StyleTraining

BEGUN = StyleSettings(base=1024, widest=128, latent=128, layers=4, batch=16, rate=2e-3, r1=1.0)
THEN = replace(BEGUN, r1=0.1, path=0.0)
TURN, STEPS = 8116, 11207


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of lfw-160, sfhq-160 and tpdne-160")
    parser.add_argument("--out", type=Path, required=True, help="a run goes on if it was begun")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_flush_denormal(True)
    faces = crops(args.data, args.size)

    def watch(step: int, row: dict[str, float]) -> None:
        if step % 50 == 0:
            print(step, {name: round(value, 4) for name, value in row.items()}, flush=True)

    training = StyleTraining(THEN, faces, args.seed)
    if not (args.out.with_suffix(FOLDER) / CHECKPOINT).is_file():
        first, begun = args.out.with_stem(f"{args.out.stem}-begun"), StyleTraining(BEGUN, faces, args.seed)
        if first.is_file() and steps_of(first) >= TURN:
            begun.resume(first.with_suffix(FOLDER) / CHECKPOINT)
        else:
            train(begun, first, TURN, watch=watch)
        training.restore(begun.parts())
        training.history = begun.history
    made = train(training, args.out, args.steps, watch=watch)
    print(f"{args.out}: {made.steps} steps on {made.photos} photos")


if __name__ == "__main__":
    main()
