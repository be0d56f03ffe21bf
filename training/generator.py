"""Train the learned cloak that comes with visard: AdvFaces, small, held to the structural similarity of the default.

Its faces are the aligned ones of role `train` and the synthetic ones; it is trained against more recognizers than make
the default's cloaks, two of them a step: whoever uses it needs none of them, whoever trains it has to have added them
(`visard models add`). Runs are seeded and resume bit for bit; ``FILE.training`` beside the file holds the checkpoint,
the curves and a sheet of faces.

    python training/generator.py --data ROOT/data --out advfaces.safetensors
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor

import pictures
from visard.face import to_template
from visard.generator import Crops, Training, train, window
from visard.recognizer import find, load

SETTINGS = {
    "budget": "ssim",
    "ssim": 0.97,
    "cap": 14 / 255,
    "gan": 0.0,
    "width": 24,
    "reduced": 2,
    "places": 8,
    "at_once": 2,
    "batch": 16,
    "rate": 3e-4,
}


def crops(data: Path, size: int) -> Crops:
    """The training faces as generators take them."""
    faces, people = pictures.load(data, validation=False)
    numbers = {person: number for number, person in enumerate(dict.fromkeys(people))}
    cut = torch.cat([cropped(part, size) for part in faces.split(64)])
    return Crops(cut, torch.tensor([numbers[person] for person in people]))


def cropped(faces: Tensor, size: int) -> Tensor:
    """Aligned faces (N, 3, 160, 160), uint8, cut to `size` px."""
    cut = to_template(faces.float(), pictures.frames(len(faces)), window(size))
    return cut.round().clamp(0, 255).byte()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of lfw-160, sfhq-160 and tpdne-160")
    parser.add_argument("--out", type=Path, required=True, help="a run goes on if it was begun")
    parser.add_argument("--recognizers", default="dlib-resnet,visard-resnet,mobilefacenet-ms1m,mobilefacenet-casia")
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--steps", type=int, default=2590)
    parser.add_argument("--max-minutes", type=float)
    parser.add_argument("--rate", type=float, default=SETTINGS["rate"])
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_flush_denormal(True)
    recognizers = [load(find(name)) for name in args.recognizers.split(",")]
    training = Training("advfaces", SETTINGS | {"rate": args.rate}, crops(args.data, args.size), recognizers, args.seed)

    def watch(step: int, row: dict[str, float]) -> None:
        if step % 25 == 0:
            print(step, {name: round(value, 4) for name, value in row.items()}, flush=True)

    made = train(training, args.out, args.steps, max_minutes=args.max_minutes, watch=watch)
    print(f"{args.out}: {made.steps} steps on {made.photos} photos of {made.people} people")


if __name__ == "__main__":
    main()
