"""TIP-IM: toward ten other people, so that a search among many finds one of them instead of the person.

Yang et al., "Towards Face Encryption by Generating Adversarial Identity Masks", ICCV 2021, and the reproduction by Liu
and Bei. Cloaks are made on one recognizer and searched for by three, that one (white box) and two others (transfer).

Data: LFW; 50 people with two photos each, a probe and its mate, and 10 other people who are the targets. Any dataset
with as many people plays it. The gallery holds the mates, the targets and one photo each of other people. Where the
folder has a meta.csv with roles, as ``visard calibrate`` takes it, all of them are of role "test": thresholds are then
from other people.

The puzzle of gamma, the weight of naturalness: the paper takes it up to 2.5 and still protects, in the reproduction .1
leaves nothing. The paper's distance of two embeddings is a sum over their dimensions, the published code's a mean, so
that a gamma there counts as many times as there are dimensions. The sweep runs both.

Two more errors of the print cannot be seen in the figures that are given here: the reproduction's row of gamma .0007
holds multiples of 1/6 (six probes), and the last two rows of its Fig. 8 are copies of Fig. 7's.
"""

from visard.papers.cast import cast
from visard.papers.paper import Erratum, Findings, Paper, Printed
from visard.papers.study import Study
from visard.papers.yang2021tipim.experiment import PARTS, Scene, Size, matrix_rows, sweep_rows
from visard.papers.yang2021tipim.figures import naturalness, puzzle
from visard.papers.yang2021tipim.tables import claims, doubts, gamma_table, matrix_table, stand_ins, visibility_table

FULL = Size(
    probes=50, targets=10, others=440, steps=100, batch=5, sweep_probes=10, sweep_steps=20,
    sums=(0, 0.007, 0.1, 0.5, 1, 1.5, 2, 2.5, 3.6, 51),
    means=(0.0007, 0.001, 0.002, 0.003, 0.004, 0.005, 0.007, 0.1),
)  # fmt: skip
QUICK = Size(
    probes=6, targets=3, others=20, steps=8, batch=6, sweep_probes=6, sweep_steps=6,
    sums=(0, 0.007, 0.1, 1, 2.5, 3.6),
    means=(0.0007, 0.002, 0.007, 0.1),
)  # fmt: skip
STAND_INS = ("edgeface-xs", "mobilefacenet-casia", "mobileface-v2", "dlib-resnet", "visard-resnet", "visard-vgg")


def run(study: Study) -> Findings:
    """The matrix of surrogates and recognizers, and the sweep over gamma."""
    scene = Scene(study, QUICK if study.quick else FULL, cast(study, PARTS, STAND_INS))
    matrix, sweep, printed = matrix_rows(scene), sweep_rows(scene), study.paper.printed
    names = {part: f"{part} ({one.name})" for part, one in scene.parts.items()}
    return Findings(
        (
            matrix_table(matrix, printed, names),
            *(gamma_table(sweep, printed, names, judge) for judge in names),
            visibility_table(matrix, names),
        ),
        claims(matrix, sweep),
        {"The puzzle of gamma": puzzle(sweep), "Naturalness over gamma": naturalness(sweep)},
        stand_ins(scene),
        doubts(scene, sweep),
    )


def _untargeted_below_targeted(printed: Printed) -> bool:
    """Whether in these two rows alone some Rank-1-UT is below its Rank-1-T: with a target first, the person cannot
    be."""
    rows = {row for table, row, _ in printed if table == "matrix"}
    return {row for row in rows if printed["matrix", row, "Rank-1-UT"] < printed["matrix", row, "Rank-1-T"]} == {
        "CosFace -> ArcFace",
        "SphereFace -> ArcFace",
    }


PAPER = Paper(
    name="yang2021tipim",
    title="Towards Face Encryption by Generating Adversarial Identity Masks",
    source="Yang et al., ICCV 2021, with the reproduction by Liu and Bei, whose figures are those printed",
    run=run,
    networks={
        "ArcFace": "a network of 512 dimensions trained with ArcFace; its cloaks are those of the sweep over gamma",
        "CosFace": "a network of 512 dimensions trained with CosFace",
        "SphereFace": "a network of 512 dimensions trained with SphereFace",
    },
    settings={
        "probes, targets": (f"{FULL.probes}, {FULL.targets} (quick: {QUICK.probes}, {QUICK.targets})", "printed"),
        "eps": ("12/255, Linf", "printed"),
        "steps": (f"{FULL.steps} (quick: {QUICK.steps})", "printed"),
        "alpha": ("1.5 eps / steps", "published code"),
        "direction": ("l2, inside the Linf box", "published code"),
        "momentum": ("1", "printed"),
        "gain of a candidate": ("sum over the targets", "printed (G)"),
        "naturalness": ("MMD of the crops' pixels, 19 kernels, each face a set of one", "published code"),
        "gamma of the matrix": ("0", "printed"),
        "gammas, D a sum": (
            ", ".join(f"{g:g}" for g in FULL.sums),
            "printed: 0 to 2.5; the reproduction's, and ours where the means lie",
        ),
        "gammas, D a mean": (
            ", ".join(f"{g:g}" for g in FULL.means),
            "the reproduction's three, and ours between them",
        ),
        "probes and steps of the sweep": (
            f"{FULL.sweep_probes} and {FULL.sweep_steps} (quick: {QUICK.sweep_probes} and {QUICK.sweep_steps})",
            f"ours: its {len(FULL.sums) + len(FULL.means)} runs would take hours with all probes and steps",
        ),
        "gallery": (f"the mates, the targets, one photo each of {FULL.others} others (quick: {QUICK.others})", "ours"),
        "people": ("every k-th by name, those without a detected face left out", "ours"),
        "faces per batch": (f"{FULL.batch}", "ours; a cloak does not depend on it"),
    },
    errata=(
        Erratum(
            "CosFace -> ArcFace and SphereFace -> ArcFace have a Rank-1-UT below their Rank-1-T, which cannot be: "
            "where a target is first, the person is not.",
            _untargeted_below_targeted,
        ),
    ),
)
