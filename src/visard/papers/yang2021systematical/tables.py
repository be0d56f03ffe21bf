"""The paper's three tables with the print beside ours, claims, goals and doubts."""

from collections.abc import Sequence

import numpy as np

from visard.audit.difference import Difference
from visard.audit.tables import NOTHING, Cell, Table, percent, share
from visard.audit.trials import rate
from visard.generator.latent import shipped_landmarks
from visard.measure import Rate
from visard.measure.distribution import FEWEST_FOR_FID
from visard.papers.cast import introduced
from visard.papers.faces import judgeable
from visard.papers.paper import Claim, Printed, beside
from visard.papers.rows import column, columns, mean, where
from visard.papers.study import Row
from visard.papers.yang2021systematical.experiment import (
    CLOAKS,
    FMR,
    IDENTITY,
    JURY,
    LARGE_STEP,
    MAPPER,
    MATES,
    STRANGER,
    Scene,
)

_WEIGHTS = {"FID": "the weights of published FIDs", "torchvision": "torchvision's weights, not those of FID"}
GOAL_PROTECTED, GOAL_FOUND, GOAL_MOVED = 0.95, 0.99, 0.05
"""Ours, not the paper's: protected at FMR 1e-3 by the mean over the jury; of another person's face, the detection rate
and how far the landmarks move, as a share of the distance of the eyes."""
_TABLE = "de-identification"


def protected(rows: Sequence[Row], job: str, part: str) -> Rate | None:
    """The share under the threshold at FMR 1e-3, of those whose clean probe matched its mate."""
    some = where(rows, job=job, part=part)
    counted = [row for row in some if row["threshold"] is not None and row["clean_mate"] >= row["threshold"]]
    if not counted:
        return None
    people, mates, thresholds = columns(counted, "person", "mate", "threshold")
    return rate(mates < thresholds, people)


def known_again(rows: Sequence[Row], job: str, part: str) -> Rate | None:
    """The share whose mate is the first of all mates."""
    ranked, people = columns(where(rows, job=job, part=part), "rank", "person")
    return rate(ranked == 1, people)


def deidentification_table(rows: Sequence[Row], distances: Sequence[Row], printed: Printed) -> Table:
    """Table 1 of the paper, with what it does not say: protection at a false match rate."""
    body: list[tuple[Cell | str, ...]] = []
    for job in CLOAKS:
        some = where(rows, job=job, part=IDENTITY)

        def print_of(name: str, job: str = job) -> float | None:
            return printed.get((_TABLE, job, name))

        found = rate(*columns(some, "found", "person"))
        jury = [(part, protected(rows, job, part)) for part in JURY]
        body.append(
            (
                job,
                beside(NOTHING, print_of("artefact rate")),
                beside(percent(found).text, print_of("detection rate")),
                beside(_average(some, "own"), print_of("similarity")),
                *(f"{mean(where(rows, job=job, part=part), 'own'):.3f}" for part in JURY),
                beside(_distance(distances, job), print_of("FID")),
                percent(protected(rows, job, IDENTITY), muted=True),
                *(percent(one) for _, one in jury),
                f"{mean(some, 'ssim'):.3f}",
            )
        )
    return Table(
        "Table 1: de-identification",
        "Artefact rate: whether people see artefacts, which only people can say (visard study); it is empty until they "
        "have. Found: the detector finds the face. Similarity: the cosine to the same photo before, by the identity "
        "encoder, which the cloaks were made against, and by each juror. KID x 1000 where the print has FID, which "
        f"needs {FEWEST_FOR_FID:,} pictures. Protected: under the threshold at FMR {FMR:g} against another photo of "
        "the person, of those whose clean photo matched it; gray: by the identity encoder itself. SSIM: of the 160 px "
        "crop.",
        (
            "method", "artefact rate", "found", "similarity", *(f"similarity, {part}" for part in JURY), "KID x 1000",
            f"protected, {IDENTITY}", *(f"protected, {part}" for part in JURY), "SSIM",
        ),
        tuple(body),
    )  # fmt: skip


def generation_table(rows: Sequence[Row], distances: Sequence[Row], job: str, title: str, note: str) -> Table:
    """Tables 2 and 3 of the paper: how near the identity, and how near the expression."""
    some = where(rows, job=job, part=IDENTITY)
    others = [f"{1 - mean(where(rows, job=job, part=part), 'wanted'):.3f}" for part in JURY]
    lpips = NOTHING if some[0]["lpips"] is None else f"{mean(some, 'lpips'):.3f}"
    body: tuple[Cell | str, ...] = (
        _average([{"value": 1 - row["wanted"], "person": row["person"]} for row in some], "value"),
        *others,
        _average(some, "moved"),
        percent(rate(*columns(some, "found", "person"))),
        _distance(distances, job),
        lpips,
        f"{mean(some, 'ms_ssim'):.3f}",
    )
    return Table(
        title,
        note + " Identity loss: 1 - cosine to whom the face is to be, by the identity encoder and by each juror. "
        "Expression loss: how far the landmarks are from those of the photo, in distances of the eyes. LPIPS, lower is "
        "better, where its weights are there; MS-SSIM: four scales, of the 160 px crop. The print of this "
        "table is not at hand.",
        (
            "identity loss", *(f"identity loss, {part}" for part in JURY), "expression loss", "found", "KID x 1000",
            "LPIPS", "MS-SSIM",
        ),
        (body,),
    )  # fmt: skip


def stranger_table(rows: Sequence[Row], distances: Sequence[Row]) -> Table:
    """Beyond the paper: anonymization, every face replaced by a generated person."""
    body: list[tuple[Cell | str, ...]] = []
    for part in (IDENTITY, *JURY):
        some = where(rows, job=STRANGER, part=part)
        clean, people = columns(some, "clean_rank", "person")
        body.append(
            (
                part,
                percent(known_again(rows, STRANGER, part)),
                percent(rate(clean == 1, people)),
                share(1 / len(some)),
                percent(protected(rows, STRANGER, part)),
                f"{mean(some, 'own'):.3f}",
            )
        )
    some = where(rows, job=STRANGER, part=IDENTITY)
    found = percent(rate(*columns(some, "found", "person"))).text
    moved = _average(some, "moved")
    return Table(
        "Anonymization: another person",
        f"Every face replaced by a generated person with the same expression (visard anonymize). Found: {found}; the "
        f"landmarks move by {moved} distances of the eyes; KID x 1000 {_distance(distances, STRANGER)}. Known again: "
        "the person's other photo is the most similar of all people's.",
        ("recognizer", "known again", "before", "by chance", f"protected at FMR {FMR:g}", "similarity"),
        tuple(body),
    )


def claims(rows: Sequence[Row], distances: Sequence[Row]) -> tuple[Claim, ...]:
    """What the paper says, and the goals that we set."""
    own = {job: column(where(rows, job=job, part=IDENTITY), "own") for job in CLOAKS}
    people = column(where(rows, job=MAPPER, part=IDENTITY), "person")
    less = Difference.of(own[LARGE_STEP], own[MAPPER], people)
    found = rate(*columns(where(rows, job=MAPPER, part=IDENTITY), "found", "person"))
    return (
        Claim(f"The adversarial mapper takes the similarity lower than {LARGE_STEP}.", less.positive, less.text(3)),
        Claim(
            "Every face of the adversarial mapper is still found.",
            found.value == 1 if found else None,
            percent(found).text,
        ),
        _nearer(distances, f"Its pictures are nearer to real ones than those of {LARGE_STEP}."),
        _protection_goal(rows),
        *_stranger_goals(rows),
    )


def _nearer(distances: Sequence[Row], text: str) -> Claim:
    (ours,), (other,) = where(distances, job=MAPPER), where(distances, job=LARGE_STEP)
    evidence = f"KID x 1000: {_distance(distances, MAPPER)} and {_distance(distances, LARGE_STEP)}"
    return Claim(text, bool(ours["kid"] < other["kid"]), evidence)


def _protection_goal(rows: Sequence[Row]) -> Claim:
    rates = [one for part in JURY if (one := protected(rows, MAPPER, part))]
    text = f"Our goal: the adversarial mapper protects {share(GOAL_PROTECTED)} at FMR {FMR:g}, mean over the jury."
    if not rates:
        return Claim(text, None, "no juror has a threshold")
    value = float(np.mean([one.value for one in rates]))
    return Claim(text, value >= GOAL_PROTECTED, f"{share(value)}: " + "; ".join(percent(one).text for one in rates))


def _stranger_goals(rows: Sequence[Row]) -> list[Claim]:
    some = where(rows, job=STRANGER, part=IDENTITY)
    again = [one for part in JURY if (one := known_again(rows, STRANGER, part))]
    found, moved = rate(*columns(some, "found", "person")), mean(some, "moved")
    return [
        Claim(
            "Our goal: another person's face is known again no more often than by chance.",
            all(one.low <= 1 / len(some) for one in again),
            "; ".join(percent(one).text for one in again) + f"; by chance {share(1 / len(some))}",
        ),
        Claim(
            f"Our goal: {share(GOAL_FOUND)} of such faces are found.",
            found.value >= GOAL_FOUND if found else None,
            percent(found).text,
        ),
        Claim(
            f"Our goal: their landmarks move by at most {share(GOAL_MOVED)} of the distance of the eyes.",
            moved <= GOAL_MOVED,
            _average(some, "moved"),
        ),
    ]


def stand_ins(scene: Scene) -> tuple[str, ...]:
    """Who plays the data and the networks."""
    faces = scene.generator
    return (
        f"{judgeable(scene.study).name} plays CelebA-HQ: a photo of each of {len(scene.people)} people.",
        *(
            introduced(scene.study, part, one, one.card.architecture, f"trained on: {one.card.training_data}")
            for part, one in scene.parts.items()
        ),
        f"visard's own face generator of {faces.size} px plays StyleGAN at 256 px: {faces.steps} steps on "
        f"{faces.photos:,} photos. A CNN of four layers plays the Inception-V3 of the expression encoder, visard's own "
        f"small network the landmark encoder. The disentanglement was trained for {scene.disentangled.steps} steps, "
        f"the mapper here for {scene.mapper.steps}.",
    )


def doubts(scene: Scene, distances: Sequence[Row]) -> tuple[str, ...]:
    """What makes the comparison with the print doubtful."""
    (mates,) = where(distances, job=MATES)
    features = (
        f"the embeddings of {JURY[0]} in place of Inception's features"
        if scene.inception is None
        else f"the features of Inception-V3, with {_WEIGHTS[scene.inception.variant]}"
    )
    said = [
        f"KID is over {mates['n']} pictures and {features}; between two photos of the same people it is "
        f"{1000 * mates['kid']:.1f}. It compares the rows of a table with one another, and with no FID.",
        _measured_by(scene),
        "The generator is small and was trained for hours of a CPU, where the paper's was trained for days of GPUs: "
        "what it makes looks it.",
    ]
    if scene.study.quick:
        said.append("A quick run says nothing of the paper.")
    return tuple(said)


def _measured_by(scene: Scene) -> str:
    if scene.landmarks is shipped_landmarks():
        return (
            "Landmarks are found by the network that also places another person's face, so that how far they move is "
            "too low; with PFLD as landmarks-68.onnx in visard's folder another network judges."
        )
    return "How far landmarks move is judged by a network that had no part in what was made."


def _average(rows: Sequence[Row], name: str) -> str:
    """ ".531 [.51, .55]": a mean, with its interval over people."""
    values, people = columns(rows, name, "person")
    found = Difference.of(values, np.zeros(len(values)), people)
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def _distance(distances: Sequence[Row], job: str) -> str:
    (row,) = where(distances, job=job)
    return f"{1000 * row['kid']:.1f} +- {1000 * row['error']:.1f}"
