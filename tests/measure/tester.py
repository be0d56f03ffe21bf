"""The one tester that all measures go through: input of each measure, a worse input, and what may be permuted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from skimage.data import astronaut

from visard.measure import MEASURES

Arguments = dict[str, Any]
PEOPLE = [f"person {i % 12}" for i in range(40)]
GALLERY = [f"person {i}" for i in range(12)]


@dataclass(frozen=True)
class Case:
    """One measure's input by name, a worse one, and its invariances."""

    made: Callable[[np.random.Generator], Arguments]
    worse: Callable[[Arguments, np.random.Generator], Arguments]
    rows: tuple[tuple[str, ...], ...] = ()  # arrays whose rows are permuted together
    people: tuple[str, ...] = ()  # arguments that name people
    settings: Arguments = field(default_factory=dict)
    tolerance: float = 1e-5  # of single precision


def value(name: str, arguments: Arguments, settings: Arguments | None = None) -> Any:
    """The measure's value; what has parts gives the first of them, which is the measure itself."""
    result = MEASURES[name].function(**arguments, **(CASES[name].settings if settings is None else settings))
    return result[0] if isinstance(result, tuple) else result


def mapped(arguments: Arguments, change: Callable[[np.ndarray], Any]) -> Arguments:
    """The arguments with every array of floats changed."""
    return {k: change(v) if isinstance(v, np.ndarray) and v.dtype.kind == "f" else v for k, v in arguments.items()}


def as_tensors(arguments: Arguments) -> Arguments:
    return mapped(arguments, lambda array: torch.from_numpy(array.copy()).requires_grad_())


def taken(values: Sequence[Any], order: np.ndarray) -> Any:
    return values[order] if isinstance(values, np.ndarray) else [values[i] for i in order]


def _scores(rng: np.random.Generator) -> Arguments:
    return {"genuine": rng.normal(0.5, 0.2, 300), "impostor": rng.normal(0, 0.2, 3000)}


def _lower(arguments: Arguments, rng: np.random.Generator) -> Arguments:
    return {k: v - 0.2 if k == "genuine" else v for k, v in arguments.items()}


def _higher_impostors(arguments: Arguments, rng: np.random.Generator) -> Arguments:
    return {k: v + 0.2 if k == "impostor" else v for k, v in arguments.items()}


def _higher_genuine(arguments: Arguments, rng: np.random.Generator) -> Arguments:
    return {k: v + 0.2 if k == "genuine" else v for k, v in arguments.items()}


def _verification(worse: Callable[..., Arguments], *names: str, **settings: Any) -> Case:
    return Case(lambda rng: {n: _scores(rng)[n] for n in names}, worse, tuple((n,) for n in names), settings=settings)


def _search(shift: float, named: str = "probe_people") -> Callable[[np.random.Generator], Arguments]:
    """Scores in which each probe's own person is `shift` above the others."""

    def made(rng: np.random.Generator) -> Arguments:
        mates = np.array(PEOPLE)[:, None] == np.array(GALLERY)[None]
        scores = rng.normal(size=mates.shape) + shift * mates
        if named.endswith("classes"):
            return {"scores": scores, named: np.array([GALLERY.index(p) for p in PEOPLE])}
        return {"scores": scores, named: PEOPLE, "gallery_people": GALLERY}

    return made


def _moved(shift: float) -> Callable[[Arguments, np.random.Generator], Arguments]:
    """The same search with the own person's score moved."""

    def worse(arguments: Arguments, rng: np.random.Generator) -> Arguments:
        mates = np.array(PEOPLE)[:, None] == np.array(GALLERY)[None]
        return {**arguments, "scores": arguments["scores"] + shift * mates}

    return worse


def _open_set(rng: np.random.Generator) -> Arguments:
    found = _search(2.0)(rng)
    return {
        "mated": found["scores"],
        "mated_people": PEOPLE,
        "gallery_people": GALLERY,
        "nonmated": rng.normal(size=(300, len(GALLERY))),
    }


def _pictures(rng: np.random.Generator) -> Arguments:
    picture = astronaut()[:180, 130:310] / 255
    return {"a": picture, "b": np.clip(picture + rng.normal(scale=0.02, size=picture.shape), 0, 1)}


def _more_noise(arguments: Arguments, rng: np.random.Generator) -> Arguments:
    b = arguments["b"]
    return {"a": arguments["a"], "b": np.clip(b + rng.normal(scale=0.1, size=b.shape), 0, 1)}


def _pair(*shape: int) -> Callable[[np.random.Generator], Arguments]:
    def made(rng: np.random.Generator) -> Arguments:
        a = rng.normal(size=shape)
        return {"a": a, "b": a + 0.1 * rng.normal(size=shape)}

    return made


def _farther(arguments: Arguments, rng: np.random.Generator) -> Arguments:
    return {"a": arguments["a"], "b": arguments["b"] + rng.normal(size=arguments["b"].shape)}


def _nearer(arguments: Arguments, rng: np.random.Generator) -> Arguments:
    return {"a": arguments["a"], "b": arguments["a"]}


def _features(rng: np.random.Generator) -> Arguments:
    return {"features_a": rng.normal(size=(300, 8)), "features_b": rng.normal(size=(250, 8))}


def _other_features(arguments: Arguments, rng: np.random.Generator) -> Arguments:
    return {**arguments, "features_b": 1.5 * arguments["features_b"] + 0.5}


def _gaussians(rng: np.random.Generator) -> Arguments:
    features = rng.normal(size=(2, 300, 8))
    sigmas = [np.cov(f, rowvar=False) for f in features]
    return {"mu1": features[0].mean(0), "sigma1": sigmas[0], "mu2": features[1].mean(0), "sigma2": sigmas[1]}


def _found(share: float) -> Callable[[np.random.Generator], Arguments]:
    return lambda rng: {"found": (rng.random(100) < share).astype(float)}


_PICTURES = Case(_pictures, _more_noise, tolerance=2e-4)
_SEARCH = {"rows": (("scores", "probe_people"),), "people": ("probe_people", "gallery_people")}
_CLASSES = (("scores", "true_classes"),)
_RANKS = Case(
    lambda rng: {"ranks": rng.integers(1, 6, 100).astype(float)},
    lambda a, rng: {"ranks": a["ranks"] + 3},
    (("ranks",),),
)

CASES: dict[str, Case] = {
    "asr": _verification(_higher_genuine, "genuine", threshold=0.3),
    "ciede2000": _PICTURES,
    "cmc": Case(_RANKS.made, _RANKS.worse, _RANKS.rows, settings={"gallery_size": 9}),
    "d_prime": _verification(_lower, "genuine", "impostor"),
    "detection_rate": Case(
        _found(0.9), lambda a, rng: {"found": a["found"] * _found(0.5)(rng)["found"]}, (("found",),)
    ),
    "eer": _verification(_lower, "genuine", "impostor"),
    "eer_vos": _verification(_lower, "genuine", "impostor"),
    "expression_distance": Case(_pair(30, 16), _farther, (("a", "b"),)),
    "fid": Case(_features, _other_features, (("features_a",), ("features_b",)), settings={"allow_few": True}),
    "fmr_at": _verification(_higher_impostors, "impostor", threshold=0.3),
    "fnir_at_fpir": Case(
        _open_set,
        lambda a, rng: {**a, "mated": a["mated"] - 1},
        (("mated", "mated_people"), ("nonmated",)),
        ("mated_people", "gallery_people"),
        {"fpir": 0.1},
    ),
    "fnmr_at": _verification(_lower, "genuine", threshold=0.3),
    "frechet_distance": Case(_gaussians, lambda a, rng: {**a, "mu2": a["mu2"] + 1}, tolerance=1e-4),
    "hter": _verification(_lower, "genuine", "impostor", threshold=0.3),
    "identity_cosine": Case(lambda rng: _farther(_pair(30, 16)(rng), rng), _nearer, (("a", "b"),)),
    "kid": Case(_features, _other_features, (), settings={"subset_size": 200, "subsets": 20}),
    "l2": _PICTURES,
    "landmark_distance": Case(
        _pair(5, 68, 2), lambda a, rng: {"a": a["a"], "b": 2 * a["b"] - a["a"]}, (("a", "b"),), tolerance=1e-4
    ),
    "linf": _PICTURES,
    "ms_ssim": _PICTURES,
    "psnr": _PICTURES,
    "psr": Case(_search(1.0, "true_classes"), _moved(2.0), _CLASSES, settings={"k": 3}),
    "psr_targeted": Case(
        _search(2.0, "target_classes"), _moved(-2.0), (("scores", "target_classes"),), settings={"k": 3}
    ),
    "rank_k_rate": Case(_RANKS.made, _RANKS.worse, _RANKS.rows, settings={"k": 3}),
    "rank_n_t": Case(
        _search(2.0, "targets"), _moved(-2.0), (("scores", "targets"),), ("targets", "gallery_people"), {"n": 3}
    ),
    "rank_n_ut": Case(_search(1.0), _moved(2.0), settings={"n": 3}, **_SEARCH),
    "ssim": _PICTURES,
    "tar_at_fmr": _verification(_lower, "genuine", "impostor", fmr=0.05),
    "visibility": _PICTURES,
}
