"""Protection against visibility, on recognizers and people that had no part in making the cloaks.

The strict protocol: a person counts as protected from a juror only if the probe, cloaked, saved as JPEG 90 and
halved in size, stays below the juror's threshold (FMR 1e-3) against ALL of up to three other photos of the person.
Only people whose clean probe, through the same JPEG and halving, matches one of them count. Probes are whole
photos; faces are detected again in what was saved. SSIM and CIEDE2000: 160 px crop, before the JPEG.

    python benchmarks/transfer.py --people 100 --surrogates mobilefacenet-ms1m --jury reid-retail-0095,edgeface-xs
"""

import argparse
import time

import numpy as np
import torch

from common import Trial, install_assets, recognizers, table, trials
from visard import photo
from visard.audit.sight import quality_crop
from visard.cli.arguments import settings as parse_settings
from visard.cloak import Faces, Task, dodging, mirrored_anchors
from visard.face import Face, cut, dlib_hog, find_again, paste
from visard.generator import find_method
from visard.measure import ciede2000, clopper_pearson, ssim
from visard.recognizer import Recognizer

DEFAULT_RUNS = (
    "visard ssim=0.985",
    "visard",
    "visard ssim=0.96",
    "mi-di-fgsm eps=4/255",
    "mi-di-fgsm eps=6/255",
    "mi-di-fgsm eps=8/255",
    "bim eps=8/255",
)


def embed(recognizer: Recognizer, pixels: np.ndarray, face: Face) -> torch.Tensor:
    image = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        return recognizer.embed(recognizer.align(image, torch.from_numpy(face.frame).float()[None]))[0]


def posted(pixels: np.ndarray) -> np.ndarray:
    return photo.resize(photo.jpeg_round_trip(pixels, 90), 0.5)


class Person:
    """A trial with its clean photos read, detected and embedded once."""

    def __init__(self, trial: Trial, probe: np.ndarray, face: Face, jury: tuple[Recognizer, ...]) -> None:
        self.name, self.pixels, self.face = trial.person, probe, face
        self.mates: dict[str, torch.Tensor] = {}
        mates = [(m.pixels, f[0]) for m in map(photo.read, trial.mates) if (f := DETECT(m.pixels))]
        if mates:
            self.mates = {j.name: torch.stack([embed(j, *mate) for mate in mates]) for j in jury}
        self.clean = {j.name: self.score(j, probe) for j in jury} if mates else {}

    def score(self, juror: Recognizer, pixels: np.ndarray) -> float:
        """The largest similarity to any mate after posting."""
        small = posted(pixels)
        place = self.face.moved(0.5)
        return float((self.mates[juror.name] @ embed(juror, small, find_again(small, place, DETECT) or place)).max())


DETECT = dlib_hog()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--role", default="test")
    parser.add_argument("--surrogates", default="mobilefacenet-ms1m")
    parser.add_argument("--jury", default="reid-retail-0095,edgeface-xs,mobileface-v2,mobilefacenet-casia,dlib-resnet")
    parser.add_argument("--run", action="append", help='a method and its settings, "bim eps=8/255"; repeatable')
    parser.add_argument("--batch", type=int, default=10)
    args = parser.parse_args()
    install_assets()
    surrogates, jury = recognizers(args.surrogates), recognizers(args.jury)
    thresholds = {j.name: j.threshold(1e-3).value for j in jury}

    people = []
    for trial in trials(args.role, args.people):
        probe = photo.read(trial.probe).pixels
        if (found := DETECT(probe)) and (person := Person(trial, probe, found[0], jury)).mates:
            people.append(person)
    print(f"{len(people)} people of role {args.role}; surrogates: {args.surrogates}; {torch.get_num_threads()} threads")
    rows = [["none", "1.000", "0.00", *_rates(people, thresholds, [p.clean for p in people]), ""]]

    for run in args.run or DEFAULT_RUNS:
        name, *pairs = run.split()
        method, settings = find_method(name), parse_settings(pairs)
        scores, similar, color, spent = [], [], [], 0.0
        for start in range(0, len(people), args.batch):
            part = people[start : start + args.batch]
            patches = [cut(p.pixels, [p.face]) for p in part]
            by_size: dict[int, list[int]] = {}
            for i, patch in enumerate(patches):
                by_size.setdefault(patch.pixels.shape[-1], []).append(i)
            for indices in by_size.values():
                faces = Faces(
                    torch.cat([patches[i].pixels for i in indices]), torch.cat([patches[i].frames for i in indices])
                )
                mask = torch.cat([patches[i].mask for i in indices])
                begun = time.perf_counter()
                makers = () if method.learned else surrogates  # what was learned beforehand asks nobody
                objective = dodging(makers, mirrored_anchors(makers, faces))
                deltas = method.cloak(Task(faces, objective, mask, surrogates=makers), **settings)
                spent += time.perf_counter() - begun
                for i, delta in zip(indices, deltas, strict=True):
                    person = part[i]
                    cloaked = paste(person.pixels, patches[i], delta[None])
                    before, after = quality_crop(person.pixels, person.face), quality_crop(cloaked, person.face)
                    similar.append(ssim(before, after))
                    color.append(ciede2000(before, after))
                    scores.append((person, {j.name: person.score(j, cloaked) for j in jury}))
        ordered, values = [p for p, _ in scores], [s for _, s in scores]
        rates = _rates(ordered, thresholds, values)
        rows.append([run, f"{np.mean(similar):.3f}", f"{np.mean(color):.2f}", *rates, f"{spent / len(people):.3f}"])
        print("done:", rows[-1], flush=True)
    table(["method", "SSIM", "dE2000", *(j.name for j in jury), "mean", "worst", "margin", "s/face"], rows)
    print("cells: % protected of those whose clean probe matches, with the 95 % Clopper-Pearson interval and n;")
    print("margin: mean similarity above (+) or below (-) the thresholds; s/face: the cloak alone")


def _rates(people: list[Person], thresholds: dict[str, float], scores: list[dict[str, float]]) -> list[str]:
    cells, rates = [], []
    for juror, threshold in thresholds.items():
        counted = [s[juror] < threshold for p, s in zip(people, scores, strict=True) if p.clean[juror] >= threshold]
        low, high = clopper_pearson(sum(counted), len(counted))
        rates.append(float(np.mean(counted)))
        cells.append(f"{rates[-1]:.0%} [{100 * low:.0f}, {100 * high:.0f}] {len(counted)}")
    margin = np.mean([s[j] - t for p, s in zip(people, scores, strict=True) for j, t in thresholds.items()])
    return [*cells, f"{np.mean(rates):.0%}", f"{min(rates):.0%}", f"{margin:+.3f}"]


if __name__ == "__main__":
    main()
