"""Chatzikyriakidis, Papaioannidis and Pitas, "Adversarial face de-identification", ICIP 2019.

Two classifiers of 30 people are made to name somebody else: Model A, a small network trained from scratch, and Model B,
a head on VGG-Face's descriptor. P-FGVM, the paper's method, stands against I-FGVM and I-FGSM: the size of the change
(L2), how much of the picture is left (MSSIM), and the share that is misclassified.

The data's part: CelebA-30, 30 photos each of 30 people. They are split by photo into a part to train the classifiers, a
part for the search of what the paper does not print (alpha, lambda, eps), and a part for the test. Both classifiers see
the same pictures of 112 x 112 px, the canonical frame; Model B cuts its own template out of them, so that a gradient
reaches every picture on its own grid and lengths can be compared between the models.
"""

from itertools import product

from visard.papers.cast import cast
from visard.papers.chatzikyriakidis2019.attack import METHODS, SIDE
from visard.papers.chatzikyriakidis2019.experiment import MODELS, Experiment, Size, people_of
from visard.papers.chatzikyriakidis2019.figures import draw_evolution, draw_examples
from visard.papers.chatzikyriakidis2019.tables import (
    DESCRIPTOR,
    accuracies,
    claims,
    doubts,
    improvements,
    main_table,
    searches,
    stand_ins,
)
from visard.papers.paper import Findings, Paper
from visard.papers.study import Study

FULL = Size(
    people=30, photos=30, test=8, search=1, epochs=(9, 40), batch=32, steps=50,
    lengths=(0.15, 0.3, 0.6), bounds=(4.0, 8.0, 16.0, 32.0), pulls=(0.003, 0.01, 0.03, 0.1),
    evolution=(0, 10, 20, 40, 80, 160),
)  # fmt: skip
QUICK = Size(
    people=4, photos=24, test=3, search=1, epochs=(8, 40), batch=16, steps=25,
    lengths=(0.3, 0.6), bounds=(8.0, 32.0), pulls=(0.003, 0.03),
    evolution=(0, 8, 16, 32, 64),
)  # fmt: skip
STAND_INS = ("mobilefacenet-casia", "visard-vgg")


def run(study: Study) -> Findings:
    """Train, search, attack, and set the print beside what is found."""
    size, printed = QUICK if study.quick else FULL, study.paper.printed
    recognizer = cast(study, [DESCRIPTOR], STAND_INS)[DESCRIPTOR]
    experiment = Experiment(study, size, people_of(study.datasets(), size), recognizer)
    # one after the other, so that no cell's seconds hold another's
    for step in (experiment.clean, experiment.slope):
        for model in MODELS:
            step(model)
    pairs = list(product(MODELS, METHODS))
    for pair in pairs:
        experiment.search(*pair)
    tests = {pair: experiment.test(*pair) for pair in pairs}
    drawings = {}
    for model in MODELS:
        drawings[f"{model}: examples"] = draw_examples(study, experiment.examples(model))
        drawings[f"{model}: from noise to the picture"] = draw_evolution(study, experiment.evolution(model))
    return Findings(
        (main_table(tests, printed, size), improvements(tests, printed), accuracies(experiment), searches(experiment)),
        claims(tests),
        drawings,
        stand_ins(experiment),
        doubts(experiment, printed),
    )


PAPER = Paper(
    name="chatzikyriakidis2019",
    title="Chatzikyriakidis, Papaioannidis and Pitas, Adversarial face de-identification",
    source="ICIP 2019, the table of P-FGVM, I-FGVM and I-FGSM and the figure of the evolution",
    run=run,
    networks={DESCRIPTOR: "VGG-16 trained on VGG-Face (Parkhi et al. 2015), whose descriptor Model B stands on"},
    settings={
        "data": ("30 people, 900 aligned faces", "printed"),
        "Model A": (
            "Conv 5x5-32, BN, ReLU, MaxPool 2; Conv 5x5-64, BN, ReLU, MaxPool 2; FC 512, BN, ReLU, Dropout .9; FC 30",
            "printed",
        ),
        "Model B": ("VGG-Face's descriptor, frozen and of unit length; FC 256, BN, ReLU, FC 30", "printed; unit: ours"),
        "L2 of Model A's weights": ("1e-3", "printed; read as Adam's weight decay"),
        "optimizer": (
            "Adam 1e-3; Model A batch 32, 9 epochs (quick 16, 8); Model B batch 64, 40 epochs",
            "ours, not in print",
        ),
        "pictures": (f"{SIDE} x {SIDE} px, the canonical frame, about the faces' own size in CelebA", "ours"),
        "split": ("per person 8 photos to test, 1 to search, the others to train; quick: 3, 1", "ours, not in print"),
        "alpha, lambda, eps": ("per model and method: the table of the search", "declared search, run here"),
        "steps": ("at most 50, quick 25; each photo stops when it is misclassified", "ours, not in print"),
        "target": ("another of the people at random, one per photo, the same for all methods", "ours, not in print"),
    },
)
