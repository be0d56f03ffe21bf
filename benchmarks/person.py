"""One mask per person: how long a new photo takes, and how well a mask protects photos that it was not learned from.

Speed: the astronaut in photos of several sizes, milliseconds a face, each part by itself; a loaded mask, warm.

Protection, strict as in transfer.py: of each person the first two photos are probes, the next three the mates that a
search would hold, and up to ten others teach the mask. A probe counts as protected from a juror only if it stays below
the juror's threshold (FMR 1e-3) against ALL mates after JPEG 90 and halving; probes count whose clean version matches
one. The photos are the assets' aligned crops of 160 px; faces are detected in what was saved, else keep their place.

    python benchmarks/person.py --people 20 --run "loss=center" --run "loss=convex-hull optimizer=transfer"
"""

import argparse
import csv
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage import data

from common import ASSETS, Trial, install_assets, recognizers, table
from transfer import Person, _rates
from visard import photo
from visard.audit import judge
from visard.audit.sight import quality_crop
from visard.cli.arguments import settings as parse_settings
from visard.cloak import Faces, PersonMask, Task, learn_mask
from visard.face import aligned_crop, cut, dlib_hog, paste
from visard.measure import ciede2000, ssim

LOSSES = ("fi-uap", "fi-uap+", "center", "affine-hull", "convex-hull")
PROBES, MATES, TEACHERS = 2, 3, 10
REPETITIONS = 9


def students(role: str, count: int) -> list[tuple[str, list[Path]]]:
    """`count` people of `role` with the photos that the protocol needs, spread over the alphabet."""
    photos: dict[str, list[Path]] = defaultdict(list)
    folder = ASSETS / "data/lfw-160"
    with (folder / "meta.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["role"] == role:
                photos[row["person"]].append(folder / row["path"])
    # at least half the teachers, so that the losses can differ
    found = [(p, paths) for p, paths in sorted(photos.items()) if len(paths) >= PROBES + MATES + TEACHERS // 2]
    return found[:: max(1, len(found) // count)][:count]


def worn(mask: PersonMask, pixels: np.ndarray, faces: list) -> np.ndarray:
    """The photo's pixels with the mask on its faces, as the pipeline does it."""
    patches = cut(pixels, faces)
    task = Task(Faces(patches.pixels, patches.frames), lambda faces: faces.pixels.sum(dim=(1, 2, 3)), patches.mask)
    return paste(pixels, patches, mask.method().cloak(task))


def speed(surrogates: tuple, jury: tuple) -> None:
    """Milliseconds of each part of ``visard person apply``."""
    detect, rows = dlib_hog(), []
    pixels = data.astronaut()
    patches = cut(pixels, detect(pixels))
    mask = learn_mask([Faces(patches.pixels, patches.frames)], surrogates, rounds=1)
    method = mask.method()
    with tempfile.TemporaryDirectory() as folder:
        for name, scale in (("512 px, face 136 px", 1), ("1 MP, face 270 px", 2), ("4 MP, face 545 px", 4)):
            side = 512 * scale
            path = Path(folder) / f"{side}.jpg"
            Image.fromarray(data.astronaut()).resize((side, side)).save(path, quality=92)
            pixels = photo.read(path).pixels
            faces = detect(pixels)
            patches = cut(pixels, faces)
            task = Task(Faces(patches.pixels, patches.frames), lambda _: torch.zeros(1), patches.mask)
            delta = method.cloak(task)
            cloaked = paste(pixels, patches, delta)
            parts: dict[str, Callable[[], object]] = {
                "cut": lambda pixels=pixels, faces=faces: cut(pixels, faces),
                "warp": lambda task=task: method.cloak(task),
                "paste": lambda pixels=pixels, patches=patches, delta=delta: paste(pixels, patches, delta),
                "decode": lambda path=path: photo.read(path),
                "detect": lambda pixels=pixels: detect(pixels),
                "verdict": lambda pixels=pixels, cloaked=cloaked, faces=faces: judge(
                    pixels, cloaked, faces, jury, detect, fmr=1e-3
                ),
            }
            spent = {part: milliseconds(work, 3 if part == "verdict" else REPETITIONS) for part, work in parts.items()}
            own = spent["cut"] + spent["warp"] + spent["paste"]
            rows.append([name, *(f"{value:.1f}" for value in spent.values()), f"{own:.1f}"])
    table(["photo, one face", *parts, "cut + warp + paste"], rows)
    print(f"milliseconds of CPU a face, one thread; the mask's file: {len(mask.to_bytes()) / 1000:.0f} kB")


def milliseconds(work: Callable[[], object], repetitions: int) -> float:
    """The median of the repetitions, one before them not counted."""
    times = []
    for _ in range(repetitions + 1):
        begun = time.process_time()
        work()
        times.append(time.process_time() - begun)
    return 1000 * statistics.median(times[1:])


def protection(args: argparse.Namespace, surrogates: tuple, jury: tuple) -> None:
    """The table of all runs, strict protocol."""
    thresholds = {j.name: j.threshold(1e-3).value for j in jury}
    people: list[tuple[list[Person], list[Faces]]] = []
    for name, paths in students(args.role, args.people):
        mates = tuple(paths[PROBES : PROBES + MATES])
        probes = []
        for path in paths[:PROBES]:
            pixels = photo.read(path).pixels
            probes.append(Person(Trial(name, path, mates), pixels, aligned_crop(pixels)[0], jury))
        teachers = []
        for path in paths[PROBES + MATES :][:TEACHERS]:
            pixels = photo.read(path).pixels
            patches = cut(pixels, aligned_crop(pixels))
            teachers.append(Faces(patches.pixels, patches.frames))
        people.append(([p for p in probes if p.mates], teachers))
    every = [probe for probes, _ in people for probe in probes]
    taught = [len(teachers) for _, teachers in people]
    print(
        f"{len(people)} people of role {args.role}, {len(every)} probes, {min(taught)} to {max(taught)} photos teach; "
        f"surrogates: {args.surrogates}; {torch.get_num_threads()} threads"
    )

    rows = [["none", "1.000", "0.00", *_rates(every, thresholds, [p.clean for p in every]), ""]]
    for run in args.run or [f"loss={loss}" for loss in LOSSES]:
        scores, similar, color, spent = [], [], [], 0.0
        for probes, teachers in people:
            begun = time.process_time()
            mask = learn_mask(teachers, surrogates, args.seed, **parse_settings(run.split()))
            spent += time.process_time() - begun
            for probe in probes:
                cloaked = worn(mask, probe.pixels, [probe.face])
                before, after = quality_crop(probe.pixels, probe.face), quality_crop(cloaked, probe.face)
                similar.append(ssim(before, after))
                color.append(ciede2000(before, after))
                scores.append({j.name: probe.score(j, cloaked) for j in jury})
        cells = _rates(every, thresholds, scores)
        rows.append([run, f"{np.mean(similar):.3f}", f"{np.mean(color):.2f}", *cells, f"{spent / len(people):.1f}"])
        print("done:", rows[-1], flush=True)
    table(["mask", "SSIM", "dE2000", *(j.name for j in jury), "mean", "worst", "margin", "s/person"], rows)
    print("cells: % protected of the probes whose clean version matches, with the 95 % Clopper-Pearson interval and n")
    print("(probes of one person count as independent there); margin: mean similarity above (+) or below (-) the")
    print("thresholds; s/person: CPU seconds of learning")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", choices=["speed", "protection"], default=["speed", "protection"])
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--role", default="test")
    parser.add_argument("--surrogates", default="visard-resnet")
    parser.add_argument("--jury", default="edgeface-xs,mobileface-v2,mobilefacenet-casia")
    parser.add_argument("--run", action="append", help='settings of the mask, "loss=center eps=8/255"; repeatable')
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    install_assets()
    surrogates, jury = recognizers(args.surrogates), recognizers(args.jury)
    if "speed" in args.sections:
        speed(surrogates, jury)
    if "protection" in args.sections:
        protection(args, surrogates, jury)


if __name__ == "__main__":
    main()
