"""How real the faces of a generator are: KID against people that it never saw, with floors and ceilings beside it.

The features of KID are embeddings of recognizers, scaled to unit variance: such figures compare with one another, not
with those of papers. Where the weights of Inception-V3 are in visard's folder, KID by its features too. Real faces are
cut and reduced as the generator's are. "found": the share in which the detector finds a face, enlarged twice;
"nearest": the cosine to the most similar training face, mean and highest, by the first recognizer: 1 would be a copy.

    python benchmarks/generated.py --generator stylegan.safetensors --count 1000 --sheet sheet.png
"""

import argparse
import csv
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from common import ASSETS, recognizers, table
from visard import photo
from visard.cloak import Faces
from visard.cloak.objective import aligned
from visard.errors import VisardError
from visard.face import dlib_hog, to_template
from visard.generator.course import pictures as side_by_side
from visard.generator.learner import frames_in
from visard.generator.stylegan import FaceGenerator, load_faces
from visard.measure import kid
from visard.measure.inception import inception_features
from visard.pipeline.bench import inception_network
from visard.recognizer import Recognizer

sys.path.append(str(Path(__file__).parents[1] / "training"))

BATCH = 64
ROLES = ("test", "train")
MARGIN = 24  # where the canonical frame begins in the aligned faces
CLASSICAL = {"blurred, sigma 1.5 px": 1.5, "blurred, sigma 3 px": 3.0}


def real(paths: list[Path], made: FaceGenerator) -> Tensor:
    """The faces of aligned files as the generator's crops, (N, 3, s, s) in [0, 1]."""
    whole = torch.stack([torch.from_numpy(photo.read(path).pixels).permute(2, 0, 1) for path in paths])
    frame = torch.tensor([[1.0, 0.0, MARGIN], [0.0, 1.0, MARGIN]])
    cut = [to_template(part.float() / 255, frame.expand(len(part), 2, 3), made.template) for part in whole.split(BATCH)]
    return torch.cat(cut).clamp(0, 1)


def spread(paths: list[Path], count: int) -> list[Path]:
    """Every k-th, `count` of them."""
    return paths[:: max(1, len(paths) // count)][:count]


def embeddings(recognizer: Recognizer, made: FaceGenerator, crops: Tensor) -> Tensor:
    """Embeddings (N, D) of crops, each number of unit variance."""
    framed = [Faces(part, frames_in(made.template, len(part))) for part in crops.split(BATCH)]
    with torch.no_grad():
        found = torch.cat([recognizer.embed(aligned(recognizer, faces)) for faces in framed])
    return found * found.shape[1] ** 0.5


def blurred(crops: Tensor, sigma: float) -> Tensor:
    reach = int(3 * sigma)
    row = torch.exp(-(torch.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    kernel = (torch.outer(row, row) / row.sum() ** 2).expand(3, 1, -1, -1)
    return F.conv2d(F.pad(crops, (reach,) * 4, mode="reflect"), kernel, groups=3)


def found(crops: Tensor) -> float:
    """The share of crops in which a face is found."""
    detect = dlib_hog()
    large = F.interpolate(crops, scale_factor=2, mode="bicubic").clamp(0, 1)
    framed = F.pad(large, (32,) * 4, mode="replicate")
    return sum(bool(detect((255 * one).byte().permute(1, 2, 0).contiguous().numpy())) for one in framed) / len(framed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generator", type=Path, required=True)
    parser.add_argument("--recognizers", default="mobilefacenet-ms1m,reid-retail-0095,dlib-resnet")
    parser.add_argument("--count", type=int, default=300, help="of each kind")
    parser.add_argument("--truncation", default="1,0.7")
    parser.add_argument("--sheet", type=Path, help="32 faces as PNG")
    args = parser.parse_args()
    made = load_faces(args.generator)
    with (ASSETS / "data/lfw-160/meta.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    folder = ASSETS / "data/lfw-160"
    # a photo a person: many of one would make a set unlike any other
    people = {role: {r["person"]: folder / r["path"] for r in rows if r["role"] == role} for role in ROLES}
    test, train = (real(spread(list(people[role].values()), args.count), made) for role in ROLES)
    drawn = made.drawn(args.count, Generator().manual_seed(0))
    sets = {"other real people": train}
    for cut in map(float, args.truncation.split(",")):
        w = made.nearer(drawn, cut)
        with torch.no_grad():
            sets[f"made, truncation {cut:g}"] = torch.cat([made.faces(part) for part in w.split(BATCH)])
    sets |= {name: blurred(test, sigma) for name, sigma in CLASSICAL.items()}
    networks = recognizers(args.recognizers)
    features: dict[str, Callable[[Tensor], Tensor]] = {r.name: partial(embeddings, r, made) for r in networks}
    if inception := inception_network():
        features[f"Inception-V3 ({inception.variant})"] = partial(inception_features, inception)
    references = [of(test) for of in features.values()]
    known = embeddings(networks[0], made, train)
    body = []
    for name, crops in sets.items():
        seen = [of(crops) for of in features.values()]
        values = [kid(some.numpy(), others.numpy()) for some, others in zip(seen, references, strict=True)]
        first = seen[0]
        nearest = (first @ known.T / first.shape[1]).amax(dim=1)
        near = "" if crops is train else f"{float(nearest.mean()):.2f}, {float(nearest.max()):.2f}"
        body.append([name, *(f"{1000 * v.value:.1f}" for v in values), f"{found(crops[:100]):.0%}", near])
    print(f"{args.generator.name}: {made.steps} steps, {made.size} px; {len(test)} test faces, KID x 1000")
    table(["against test faces", *features, "found", "nearest"], body)
    if args.sheet:
        with torch.no_grad():
            faces = made.faces(made.nearer(drawn[:32], 0.7))
        shown = side_by_side(list(faces.split(16)))
        photo.write(photo.Photo(shown, None, photo.Facts("PNG")), args.sheet, force=True)


if __name__ == "__main__":
    try:
        main()
    except VisardError as error:
        sys.exit(str(error))
