"""Tables and claims, the print beside ours, and what makes the comparison doubtful."""

from collections.abc import Sequence
from itertools import product

import numpy as np

from visard.audit.difference import Difference
from visard.audit.tables import NOTHING, Cell, Table, percent, share
from visard.audit.trials import rate
from visard.errors import SettingError
from visard.measure import bootstrap
from visard.papers.chatzikyriakidis2019.attack import LEAST_FOOLED, METHODS, OTHERS, OURS, SIDE, by_setting, chosen
from visard.papers.chatzikyriakidis2019.experiment import MODELS, Experiment, Size
from visard.papers.paper import Claim, Printed, beside
from visard.papers.rows import Array, column, columns, mean, where
from visard.papers.study import Row

DESCRIPTOR = "VGG-Face"
Tests = dict[tuple[str, str], list[Row]]
_COLUMNS = {"L2": "l2", "MSSIM": "mssim", "misclassification": "fooled"}
_CLAIMS = {
    "L2": "P-FGVM changes the picture less (L2) than I-FGVM and I-FGSM",
    "MSSIM": "P-FGVM leaves more of the picture (MSSIM) than I-FGVM and I-FGSM",
    "misclassification": "P-FGVM is misclassified more often than I-FGVM and I-FGSM",
}


def main_table(tests: Tests, printed: Printed, size: Size) -> Table:
    """L2, MSSIM and misclassification of each method on each model."""
    rows: list[tuple[Cell | str, ...]] = []
    for (model, method), found in tests.items():
        people, fooled, l2, mssim, saved, steps = columns(found, "person", "fooled", "l2", "mssim", "saved", "steps")
        wanted = column(found, "named") == column(found, "target")
        judged = [row for row in found if row["other"] is not None]
        of_print = {measure: printed[model, method, measure] for measure in _COLUMNS}
        rows.append(
            (
                model,
                method,
                beside(_mean(l2, people, digits=2), of_print["L2"]),
                beside(_mean(mssim, people, digits=3), of_print["MSSIM"]),
                beside(rate(fooled, people), of_print["misclassification"]),
                percent(rate(wanted, people)),
                percent(rate(saved, people)),
                percent(rate(*columns(judged, "other", "person"))),
                f"{np.median(steps):.0f}",
            )
        )
    return Table(
        "What it takes to be taken for somebody else",
        "Test photos that the model names right, each attacked until it is misclassified for the first time, or for "
        f"{size.steps} steps. L2 in units of [0, 1] and MSSIM (mean SSIM) on {SIDE} x {SIDE} px RGB, over all of "
        "these photos; the size of the paper's pictures is not known, so its lengths compare with each other rather "
        "than with ours. As the target: named as the person that it was steered to. As 8 bits: misclassified when "
        "rounded as a saved picture is. By the other: misclassified by the model that did not make the change, of "
        "photos that it names right unchanged. Steps: the median.",
        ("model", "method", "L2", "MSSIM", "misclassified", "as the target", "as 8 bits", "by the other", "steps"),
        tuple(rows),
    )


def _mean(values: Array, people: Array, *, digits: int) -> str:
    low, high = bootstrap(values, people)
    return f"{values.mean():.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def better(ours: Array, other: Array, measure: str) -> float:
    """By how much of the other's mean ours is better, in percent: less L2, more of the rest."""
    gain = (ours.mean() - other.mean()) / other.mean() if other.mean() else float("nan")
    return float(100 * (-gain if measure == "L2" else gain))


def paired(tests: Tests, model: str, other: str, measure: str) -> tuple[Array, Array, Array]:
    """P-FGVM's and the other's values of a measure on the same photos (K,), and whose photos they are.

    Changes are compared on the photos on which both methods succeed: a change that fools nobody is of any size.
    """
    people, values, fooled = columns(tests[model, OURS], "person", _COLUMNS[measure], "fooled")
    other_values, other_fooled = columns(tests[model, other], _COLUMNS[measure], "fooled")
    kept = np.ones(len(fooled), dtype=bool) if measure == "misclassification" else fooled & other_fooled
    return values[kept].astype(float), other_values[kept].astype(float), people[kept]


def improvements(tests: Tests, printed: Printed) -> Table:
    """P-FGVM over each of the others, in percent, ours and as the printed figures give it."""
    rows = [
        (model, f"{OURS} over {other}", *(_improvement(tests, printed, model, other, measure) for measure in _COLUMNS))
        for model, other in product(MODELS, OTHERS)
    ]
    return Table(
        "Improvement",
        "By how much of the other method's mean P-FGVM's is better, in percent of it; above 0 P-FGVM is better. L2 and "
        "MSSIM on the photos on which both methods succeed, misclassification on all that were attacked; the interval "
        "is over people. What stands as printed is computed from the print's means.",
        ("model", "compared", "less L2", "more MSSIM", "more misclassified"),
        tuple(rows),
    )


def _improvement(tests: Tests, printed: Printed, model: str, other: str, measure: str) -> str:
    ours, theirs, people = paired(tests, model, other, measure)
    digits = 2 if measure == "MSSIM" else 1
    if not len(ours):
        text = NOTHING
    elif (ours == theirs).all():
        text = f"0, the same on each, n={len(ours)}"
    else:

        def drawn(photos: Array) -> float:
            some = photos.astype(int)
            return better(ours[some], theirs[some], measure)

        found = Difference(better(ours, theirs, measure), *bootstrap(np.arange(len(ours)), people, drawn))
        text = f"{found.text(digits, ' %', sign='+')} n={len(ours)}"
    of_print = better(np.array(printed[model, OURS, measure]), np.array(printed[model, other, measure]), measure)
    return f"{text} (printed {of_print:+.{digits}f} %)"


def accuracies(experiment: Experiment) -> Table:
    """How the classifiers do on the photos that they were not trained on."""
    rows: list[tuple[Cell | str, ...]] = []
    for model in MODELS:
        cells = []
        for part in ("search", "test"):
            named, people = columns(where(experiment.clean(model), part=part), "named", "person")
            cells.append(percent(rate(named == people, people)))
        rows.append((model, *cells))
    counts = {part: len(experiment.part(part)) for part in ("train", "search", "test")}
    return Table(
        "The classifiers",
        f"Named right, unchanged. {len(experiment.photos)} photos of {len(experiment.people)} people: "
        f"{counts['train']} to train, {counts['search']} for the search, {counts['test']} for the test, split at "
        "random within each person. The paper's own accuracy and split are not known.",
        ("model", "search photos", "test photos"),
        tuple(rows),
    )


def searches(experiment: Experiment) -> Table:
    """Every setting of the declared search, and the chosen ones."""
    rows: list[tuple[Cell | str, ...]] = []
    for model, method in product(MODELS, METHODS):
        found = experiment.search(model, method)
        best = chosen(found)
        for setting, tried in by_setting(found).items():
            first = tried[0]
            bound = f"lambda {first['realism']:.3g}" if first["eps"] is None else f"eps {first['eps'] * 255:g}/255"
            fooled = percent(rate(*columns(tried, "fooled", "person")))
            means = (f"{mean(tried, 'l2'):.2f}", f"{mean(tried, 'steps'):.0f}")
            mark = "chosen" if setting == best else ""
            rows.append((model, method, f"{setting[0]:g}", f"{first['alpha']:.3g}", bound, fooled, *means, mark))
    size = experiment.size
    return Table(
        "The declared search of alpha, lambda and eps",
        "The paper prints none of them. Each setting on the search's photos, none of which is trained on or tested, at "
        f"most {size.steps} steps; of those that fool at least {share(LEAST_FOOLED)}, the one with the smallest mean "
        "L2 is chosen, and where none does, the one that fools most. So that one grid fits every network and method, "
        "alpha is given by the L2 length of the first step (the mean over photos) and lambda by alpha times lambda, "
        f"the share of the change that a step takes back: {', '.join(f'{p:g}' for p in size.pulls)}.",
        ("model", "method", "first step, L2", "alpha", "bound", "misclassified", "L2", "mean steps", ""),
        tuple(rows),
    )


def claims(tests: Tests) -> tuple[Claim, ...]:
    """The paper's, per model: less L2, more MSSIM and more misclassification than both others."""
    return tuple(_claim(tests, model, measure) for model, measure in product(MODELS, _CLAIMS))


def _claim(tests: Tests, model: str, measure: str) -> Claim:
    shown: list[bool | None] = []
    evidence = []
    for other in OTHERS:
        ours, theirs, people = paired(tests, model, other, measure)
        if not len(ours):
            shown.append(None)
            text = "no photo on which both succeed"
        elif (ours == theirs).all():
            shown.append(False)
            text = f"the same on each of {len(ours)} photos"
        else:
            found = Difference.of(ours, theirs, people)
            more = found.positive
            shown.append(not more if measure == "L2" and more is not None else more)
            rates = measure == "misclassification"
            words = found.text(1, " points", times=100, sign="+") if rates else found.text(4, sign="+")
            text = f"{words} n={len(ours)}"
        evidence.append(f"against {other} {text}")
    holds = False if False in shown else None if None in shown else True
    return Claim(f"{model}: {_CLAIMS[measure]}", holds, "; ".join(evidence))


def fewest(rates: Sequence[float], most: int = 10_000) -> int:
    """The smallest number of trials that can give all of these `rates`, in percent and rounded to a tenth."""
    for trials in range(1, most + 1):
        counts = (round(trials * value / 100) for value in rates)
        if all(abs(100 * count / trials - value) <= 0.05 + 1e-9 for count, value in zip(counts, rates, strict=True)):
            return trials
    raise SettingError(f"No number of trials up to {most} gives {list(rates)}.")


def doubts(experiment: Experiment, printed: Printed) -> tuple[str, ...]:
    """What makes the comparison with the print doubtful."""
    rates = [printed["Model A", method, "misclassification"] for method in METHODS]
    listed = ", ".join(f"{value:g}" for value in rates)
    found = [
        f"Model A's rates in print, {listed} %, if all three methods were tried on equally many photos, are shares of "
        f"no fewer than {fewest(rates)}, more than half of the paper's 900; a smaller held-out part cannot give them. "
        "Here only photos are attacked that neither model was trained on.",
        "As in the paper the classifier that is attacked is also the judge, and of pictures that no file has rounded; "
        "the columns for 8 bits and for the other model say what is left of it otherwise.",
    ]
    if experiment.missed:
        found.append(f"No face was found on {experiment.missed} photos, which are left out.")
    for model, method in product(MODELS, METHODS):
        settings = by_setting(experiment.search(model, method)).values()
        if all(mean(tried, "fooled") < LEAST_FOOLED for tried in settings):
            found.append(f"{model}: no setting of {method} fooled {share(LEAST_FOOLED)} of the search's photos.")
    return tuple(found)


def stand_ins(experiment: Experiment) -> tuple[str, ...]:
    """Who plays CelebA-30 and VGG-Face."""
    dataset, study = experiment.dataset, experiment.study
    counts = sorted({len(paths) for paths in dataset.photos.values()})
    photos = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    many = f"the {len(dataset.photos)} people with the most photos, {photos} of each, {len(dataset)} in all"
    found = [
        f"The data are CelebA's own, {many}; which 30 people the paper took is not known."
        if dataset.name == "CelebA"
        else f"{dataset.name} plays CelebA-30 (30 people, 900 photos): {many}."
    ]
    if DESCRIPTOR not in study.chosen:
        found.append(f"Model B runs on {experiment.recognizer.name} in the place of VGG-Face's descriptor.")
    return tuple(found)
