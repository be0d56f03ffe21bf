"""BIM and ILLC on saved pictures: whom do classifiers of N people still name?

A picture is changed on one classifier, the source, by BIM away from the true person or by ILLC toward the person that
the unchanged picture resembles least, at six eps. It is saved as a JPEG file, read again, its face is sought there,
and each of three classifiers, the targets, names it. The protection success rate (PSR, the paper's equation 5) is the
share of faces whose person is not among a target's k likeliest: 3 sources x 2 methods x 6 eps x 3 targets x 5 k, 540
cells.

Roles of data. Subjects: the people of the largest dataset with enough photos that show a face. The last photo of each
is held out; linear heads on the networks' embeddings of the others make the three classifiers, and the held-out photos
say how well they do. Probes: the held-out photos of subjects drawn at random, of those whose face is found again when
the photo is saved unchanged.

The change is made on the patch around the face, seen through the source's own alignment, and covers the whole patch.
"""

from visard.cloak.methods.bim import kurakin_steps
from visard.papers.cast import cast
from visard.papers.ghafourian2023.experiment import (
    FEWEST_PHOTOS,
    LEVELS,
    PARTS,
    QUALITY,
    TOPS,
    Bench,
    Size,
    accuracy_rows,
    trial_rows,
)
from visard.papers.ghafourian2023.figures import drawings
from visard.papers.ghafourian2023.outcomes import Outcomes
from visard.papers.ghafourian2023.tables import (
    breaks_in_eps,
    breaks_in_k,
    claims,
    classifiers,
    doubts,
    long_table,
    place,
    stand_ins,
    summary,
    undetected,
)
from visard.papers.paper import Erratum, Findings, Paper
from visard.papers.study import Study

FULL = Size(subjects=1000, photos=6, probes=80, levels=LEVELS)
QUICK = Size(subjects=60, photos=3, probes=4, levels=(4, 16))
STAND_INS = ("mobilefacenet-casia", "edgeface-xs", "dlib-resnet", "visard-resnet", "visard-vgg")


def run(study: Study) -> Findings:
    """All cells, the tables of both ways to count, figures 3 to 5, and the paper's directions of effect."""
    size, printed = QUICK if study.quick else FULL, study.paper.printed
    bench = Bench(study, size, cast(study, PARTS, STAND_INS))
    accuracy = accuracy_rows(bench)
    outcomes = Outcomes(trial_rows(bench), size.levels)
    return Findings(
        (
            summary(outcomes, printed),
            classifiers(accuracy, outcomes, bench),
            undetected(outcomes),
            *(long_table(outcomes, printed, conditional=c, missed=m) for c in (True, False) for m in (True, False)),
        ),
        claims(outcomes, printed),
        drawings(outcomes, printed),
        stand_ins(bench, outcomes),
        doubts(bench, outcomes),
    )


PAPER = Paper(
    name="ghafourian2023",
    title="Toward Face Biometric De-identification using Adversarial Examples",
    source="Ghafourian et al., 2023",
    run=run,
    networks={
        "FaceNet": "FaceNet (Inception-ResNet-v1)",
        "ResNet-50": "ResNet-50, trained on VGGFace2",
        "SENet-50": "SE-ResNet-50, trained on VGGFace2",
    },
    settings={
        "eps": ("4, 8, 16, 32, 64, 128 gray levels, on every channel of every pixel", "printed"),
        "alpha": ("1 gray level", "Kurakin et al. 2017"),
        "steps": (
            ", ".join(str(kurakin_steps(level / 255)) for level in LEVELS) + ": floor(min(eps + 4, 1.25 eps))",
            "Kurakin et al. 2017",
        ),
        "k": (", ".join(map(str, TOPS)), "printed"),
        "target of ILLC": ("the least likely class of the unchanged picture", "Kurakin et al. 2017"),
        "JPEG": (f"quality {QUALITY}, chroma as the photo has it", "chosen here, not searched; printed: JPEG"),
        "heads": (
            "linear, cross-entropy, Adam 0.01, 100 epochs, batches of 64",
            "the defaults of visard's fit_head, not searched; how well they do is in a table",
        ),
        "least photos": (f"{FEWEST_PHOTOS} of a subject, one of them held out", "chosen here, not searched"),
        "full": (f"{FULL.subjects:,} subjects with {FULL.photos} photos at most, {FULL.probes} probes", "chosen here"),
    },
    errata=(
        Erratum(
            "SENet-50 on FaceNet, ILLC, eps 32: top-25 is printed as 2.0 and top-50 as 18.0. A person who is not among "
            "the top 50 is not among the top 25 either, so the rate cannot rise with k. No other of the 540 does.",
            lambda printed: breaks_in_k(printed) == ["SENet-50 ILLC 32 on FaceNet: 2 at top-25, 18 at top-50"],
        ),
        Erratum(
            "The same figure is lower than its neighbors in eps, too: 13.0 at 16, 2.0 at 32, 36.0 at 64.",
            lambda printed: (
                [printed[place("SENet-50", "ILLC", level, "FaceNet", 25)] for level in (16, 32, 64)] == [13, 2, 36]
            ),
        ),
        Erratum(
            "FaceNet on ResNet-50, BIM, top-5: 99.0 at eps 64 and 98.0 at eps 128. The only other fall with eps; a "
            "single face may do that.",
            lambda printed: (
                breaks_in_eps(printed)
                == [
                    "FaceNet BIM on ResNet-50, top-5: 99 at 64, 98 at 128",
                    "SENet-50 ILLC on FaceNet, top-25: 13 at 16, 2 at 32",
                ]
            ),
        ),
    ),
)
