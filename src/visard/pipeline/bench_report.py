"""What a bench found: a row per trial, tables, figures, and the differences between methods."""

import json
from collections.abc import Mapping, Sequence

import numpy as np

import visard
from visard.audit import tables
from visard.audit.difference import Difference
from visard.audit.figures import Point, pareto
from visard.audit.tables import NOTHING, Table, percent, share
from visard.audit.trials import Array, Trials
from visard.errors import WriteError
from visard.measure import Rate, clopper_pearson
from visard.measure.intervals import drawn_people, percentiles, weights
from visard.photo.files import write_whole
from visard.pipeline.bench import Bench, Result

AS_SAVED = "as saved"
_DRAWS = 1000
_NO_WIDTH = 1e-9
# measure -> its name, and whether it falls the more a cloak is seen
_MEASURES = {
    "ssim": ("SSIM", True),
    "ciede2000": ("CIEDE2000", False),
    "visibility": ("visibility (JND)", False),
    "lpips": ("LPIPS", False),
}


def mean_protection(result: Result, condition: str, fmr: float) -> Rate | None:
    """The share protected, mean over jurors, of the photos that each of them matched when they were clean; its interval
    by the bootstrap over people, and how many photos counted for some juror; None when for none. Of one
    juror it is that juror's rate."""
    rates = result.photos.held_out_rates(condition, fmr)
    if len(rates) < 2:
        return rates[0] if rates else None
    counts, hit = _trials(result, condition, fmr)
    hits, counted = (_by_person(result, sums) for sums in (counts & hit, counts))
    value, low, high = _with_interval(hits, counted)
    people, photos = int(counted.any(axis=1).sum()), int(counts.any(axis=1).sum())
    if high - low < _NO_WIDTH:  # all people agree, and are counted as trials
        low, high = clopper_pearson(round(value * people), people)
    return Rate(value, low, high, photos, people)


def difference(a: Result, b: Result, fmr: float, condition: str = AS_SAVED) -> Difference | None:
    """How much more run `a` protects than run `b`, mean over jurors, by the paired bootstrap over people.

    Where all people agree the bootstrap has no width: then as far as a share of people, of whom none was seen, reaches.
    """
    counts, hit = _trials(a, condition, fmr)
    _, other = _trials(b, condition, fmr)  # the same photos, clean: the same count
    counted = _by_person(a, counts)
    if not counted.any():
        return None
    value, low, high = _with_interval(_by_person(a, counts & hit) - _by_person(a, counts & other), counted)
    if high - low < _NO_WIDTH:
        _, unseen = clopper_pearson(0, int(counted.any(axis=1).sum()))
        low, high = max(-1.0, value - unseen), min(1.0, value + unseen)
    return Difference(value, low, high)


def opponents(results: Sequence[Result]) -> list[tuple[Result | None, Result]]:
    """Each run of another method than the first one's, behind the run of the first that is compared with it: the one
    nearest in SSIM of those that are seen no more, or None."""
    first = [r for r in results if r.run.method.name == results[0].run.method.name]
    pairs: list[tuple[Result | None, Result]] = []
    for other in results:
        if other not in first:
            as_unseen = [r for r in first if mean_of(r, "ssim") >= mean_of(other, "ssim")]
            pairs.append((min(as_unseen, key=lambda r: mean_of(r, "ssim"), default=None), other))
    return pairs


def sentences(results: Sequence[Result], fmr: float) -> list[str]:
    """What ``opponents`` make of each other, a line each."""
    found = []
    for ours, other in opponents(results):
        if ours is None:
            name = results[0].run.method.name
            found.append(f"no run of {name} is as little seen as {other.run.name}, SSIM {_short(other)}")
        elif (d := difference(ours, other, fmr)) is not None:
            found.append(
                f"{ours.run.name} against {other.run.name}: {d.text(0, ' points', times=100)}, SSIM {_short(ours)} "
                f"against {_short(other)}"
            )
    return found


def mean_of(result: Result, measure: str) -> float:
    """The mean of a measure of visibility over the photos."""
    return float(np.mean(result.photos.seen.quality[measure]))


def headline(results: Sequence[Result], fmr: float) -> Table:
    """Files as saved."""
    measures = _measures(results)
    rows = []
    for result in results:
        rates = result.photos.held_out_rates(AS_SAVED, fmr)
        mean = mean_protection(result, AS_SAVED, fmr)
        rows.append(
            (
                result.run.name,
                *(f"{mean_of(result, name):.3f}" for name in measures),
                percent(mean).text,
                percent(min(rates, key=lambda rate: rate.value, default=None)).text,
                f"{np.mean(result.seconds):.2f}",
            )
        )
    return Table(
        "As saved",
        f"Protected: the share of photos that match no other photo of their person at FMR {fmr:g}, of those that did "
        "before; mean over the jurors, and the worst of them, each with its 95 % interval over people, n photos. What "
        "the eye sees of it on the 160 px crop of the face. Seconds that a face's cloak took.",
        ("run", *(_MEASURES[name][0] for name in measures), "protected, mean", "protected, worst juror", "s/face"),
        tuple(rows),
    )


def conditions(results: Sequence[Result], fmr: float) -> Table:
    """All that may happen to a saved file."""
    names = [name for name in results[0].photos.conditions if name != AS_SAVED]
    rows = []
    for result in results:
        cells = []
        for name in names:
            rates = result.photos.held_out_rates(name, fmr)
            worst = percent(min(rates, key=lambda rate: rate.value, default=None)).text
            cells.append(f"{_span(mean_protection(result, name, fmr))} / {worst}")
        rows.append((result.run.name, *cells))
    return Table(
        "After what happens to posted photos",
        f"Protected at FMR {fmr:g}, mean over the jurors / the worst of them, clean and protected photo treated alike.",
        ("run", *names),
        tuple(rows),
    )


def write(bench: Bench, results: Sequence[Result], warnings: Sequence[str]) -> tuple[Table, list[str]]:
    """Write bench.parquet, bench.md and figures/ into the bench's folder; the headline and the comparisons are
    returned. Raises ``WriteError``."""
    table, compared = headline(results, bench.fmr), sentences(results, bench.fmr)
    drawn = figures(results, bench.fmr)
    folder = bench.out / "figures"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"The folder {folder} could not be made: {error.strerror}; choose another.") from error
    write_whole(bench.out / "bench.parquet", parquet(results, bench.fmr))
    for name, svg in drawn.items():
        write_whole(folder / f"{name}.svg", svg.encode())
    write_whole(bench.out / "bench.md", _markdown(table, bench, results, compared, warnings, drawn).encode())
    return table, compared


def figures(results: Sequence[Result], fmr: float) -> dict[str, str]:
    """By file name, protection as saved against each measure of visibility; SVG text."""
    found = {}
    for measure in _measures(results):
        methods: dict[str, list[Point]] = {}
        for result in results:
            rates = [rate.value for rate in result.photos.held_out_rates(AS_SAVED, fmr)]
            if rates:
                point = Point(result.run.label, mean_of(result, measure), float(np.mean(rates)), min(rates))
                methods.setdefault(result.run.method.name, []).append(point)
        if methods:
            label, falling = _MEASURES[measure]
            found[f"pareto-{measure}"] = pareto(methods, label, fmr, falling=falling)
    return found


def parquet(results: Sequence[Result], fmr: float) -> bytes:
    """One row per run, juror, condition and photo; scores are empty where a photo has no mate."""
    import pyarrow as pa

    parts = []
    for result in results:
        run, one = result.run, result.photos
        settings = json.dumps({**run.method.settings, **run.settings}, sort_keys=True)
        makers = json.dumps({card.name: card.sha256 for card in one.surrogates or ()}, sort_keys=True)
        count, quality = len(one.seen.people), one.seen.quality
        for juror in one.jury:
            threshold = juror.threshold(fmr).value
            for condition in one.conditions:
                trials = one.trials[juror.name, condition]
                alone = trials.mates == 0
                counted, hit = _counted(trials, threshold)
                parts.append(
                    pa.table(
                        {
                            "run": [run.name] * count,
                            "method": [run.method.name] * count,
                            "settings": [settings] * count,
                            "surrogates": [makers] * count,
                            "person": one.seen.people.tolist(),
                            "photo": one.seen.keys.tolist(),
                            "juror": [juror.name] * count,
                            "condition": [condition] * count,
                            "fmr": [fmr] * count,
                            "threshold": [threshold] * count,
                            "clean_score": pa.array(trials.clean_mate, mask=alone),
                            "protected_score": pa.array(trials.protected_mate, mask=alone),
                            "counted": counted,
                            "protected": pa.array(hit, mask=alone),
                            **{name: quality[name] for name in _MEASURES if name in quality},
                            **({} if "lpips" in quality else {"lpips": pa.nulls(count, pa.float64())}),
                            "cloak_seconds_per_face": result.seconds,
                        }
                    )
                )
    return tables.parquet(pa.concat_tables(parts))


def _measures(results: Sequence[Result]) -> list[str]:
    return [name for name in _MEASURES if name in results[0].photos.seen.quality]


def _counted(trials: Trials, threshold: float) -> tuple[Array, Array]:
    """Which photos (N,) count, for a mate matched them when they were clean; and which match none once protected."""
    return (trials.mates > 0) & (trials.clean_mate >= threshold), trials.protected_mate < threshold


def _trials(result: Result, condition: str, fmr: float) -> tuple[Array, Array]:
    """``_counted`` by all jurors: (N, J) each."""
    one = result.photos
    found = [_counted(one.trials[juror.name, condition], juror.threshold(fmr).value) for juror in one.jury]
    counts, hits = zip(*found, strict=True)
    return np.stack(counts, axis=1), np.stack(hits, axis=1)


def _by_person(result: Result, values: Array) -> Array:
    """The sums (P, J) of `values` (N, J) over each person's photos."""
    codes = np.unique(result.photos.seen.people, return_inverse=True)[1]
    return np.stack([np.bincount(codes, weights=column) for column in values.T], axis=1)


def _with_interval(hits: Array, counted: Array) -> tuple[float, float, float]:
    """The mean over jurors of `hits` over `counted` (P, J), and its bootstrap interval over the people."""
    some = counted.any(axis=1)  # who counts for nobody would only empty draws
    hits, counted = hits[some], counted[some]
    people = len(hits)
    drawn = weights(drawn_people(people, _DRAWS, seed=0))
    value = _mean_over_jurors(np.ones((1, people)), hits, counted)[0]
    return (float(value), *percentiles(_mean_over_jurors(drawn, hits, counted), 0.95))


def _mean_over_jurors(drawn: Array, hits: Array, counted: Array) -> Array:
    """(D,) shares for `drawn` (D, P) people; jurors who matched nobody in a draw are in no mean."""
    below = drawn @ counted  # (D, J)
    rates = np.divide(drawn @ hits, below, out=np.zeros_like(below), where=below > 0)
    return np.asarray(rates.sum(axis=1) / (below > 0).sum(axis=1))


def _span(rate: Rate | None) -> str:
    """ "81 % [75, 86]"."""
    return NOTHING if rate is None else f"{share(rate.value)} [{100 * rate.low:.0f}, {100 * rate.high:.0f}]"


def _short(result: Result) -> str:
    """The mean SSIM as ".979"."""
    return f"{mean_of(result, 'ssim'):.3f}".removeprefix("0")


def _markdown(
    table: Table,
    bench: Bench,
    results: Sequence[Result],
    compared: Sequence[str],
    warnings: Sequence[str],
    drawn: Mapping[str, str],
) -> str:
    one = results[0].photos
    known = {
        "visard": visard.__version__,
        "photos": f"{len(one.seen.people)} of {len(np.unique(one.seen.people))} people, the same in every run",
        "gallery": f"{len(one.gallery.people)} photos",
        "surrogates": ", ".join(dict.fromkeys(card.name for run in bench.runs for card in bench.makers(run))),
        "jury": ", ".join(f"{j.name} (threshold {j.threshold(bench.fmr).value:.4f})" for j in one.jury),
        "FMR": f"{bench.fmr:g}",
        "detector": bench.lens.detector_name,
        "seed": str(bench.seed),
    }
    parts = ["# Bench\n", *(f"- {name}: {value}" for name, value in known.items()), ""]
    if warnings:
        parts += ["## Before you believe this\n", *(f"- {text}" for text in warnings), ""]
    parts += [table.to_markdown()]
    if compared:
        parts += [
            "## At equal visibility\n",
            "Protection as saved, mean over the jurors: each run of another method against the one of the first method "
            "that is seen no more and is nearest in SSIM; 95 % interval of the paired bootstrap over people.\n",
            *(f"- {text}" for text in compared),
            "",
        ]
    parts += [*(f"![Protection against visibility](figures/{name}.svg)\n" for name in drawn)]
    parts += [conditions(results, bench.fmr).to_markdown()]
    return "\n".join(parts)
