"""Batches: any cut, any order and any merge give what the function gives on the whole."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.data import astronaut

from visard.errors import MeasureError
from visard.measure import (
    Cmc,
    FeatureStatistics,
    Fid,
    KernelDistance,
    MeanQuality,
    ScoreHistogram,
    VerificationScores,
    cmc,
    d_prime,
    eer,
    eer_vos,
    fid,
    kid,
    l2,
    linf,
    psnr,
)

RNG = np.random.default_rng(0)
GENUINE, IMPOSTOR = RNG.normal(0.4, 0.15, 60).clip(-1, 1), RNG.normal(0, 0.15, 60).clip(-1, 1)
FEATURES = RNG.normal(size=(60, 5)), 2 * RNG.normal(size=(60, 5)) + 3
PICTURES = [np.clip(astronaut()[:12, 200:212] / 255 + s * RNG.normal(size=(60, 12, 12, 3)), 0, 1) for s in (0, 0.1)]
RANKS = RNG.integers(1, 8, 60)

STREAMS: dict[str, tuple[Callable[[], Any], tuple[np.ndarray, ...], Callable[[], Any]]] = {
    "scores": (
        VerificationScores,
        (GENUINE, IMPOSTOR),
        lambda: (eer(GENUINE, IMPOSTOR), eer_vos(GENUINE, IMPOSTOR), d_prime(GENUINE, IMPOSTOR), 60, 60),
    ),
    "histogram": (lambda: ScoreHistogram(2**20), (GENUINE, IMPOSTOR), lambda: eer(GENUINE, IMPOSTOR)),
    "quality": (lambda: MeanQuality(psnr), tuple(PICTURES), lambda: np.mean([*map(psnr, *PICTURES)])),
    "cmc": (lambda: Cmc(9), (RANKS,), lambda: cmc(RANKS, 9)),
    "fid": (lambda: Fid(allow_few=True), FEATURES, lambda: fid(*FEATURES, allow_few=True)),
    "kid": (
        lambda: KernelDistance(subsets=1, subset_size=60),
        FEATURES,
        lambda: kid(*FEATURES, subsets=1, subset_size=60),
    ),
}


@pytest.mark.parametrize("name", STREAMS)
@settings(deadline=None, max_examples=10)
@given(st.lists(st.integers(1, 59), max_size=4), st.integers(0, 2**32 - 1), st.booleans())
def test_batches_order_and_merging_make_no_difference(name: str, cuts: list[int], seed: int, tensors: bool) -> None:
    make, data, whole = STREAMS[name]
    order = np.random.default_rng(seed).permutation(60)
    streams = [make() for _ in range(len(set(cuts)) + 1)]
    for stream, batch in zip(streams, np.split(order, sorted(set(cuts))), strict=True):
        for half in np.array_split(batch, 2):
            if len(half):
                stream.update(*(torch.from_numpy(part[half]) if tensors else part[half] for part in data))
    for other in streams[1:]:
        streams[0].merge(other)
    np.testing.assert_allclose(streams[0].compute(), whole(), rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("name", STREAMS)
def test_nothing_seen(name: str) -> None:
    with pytest.raises(MeasureError, match=r"There are no|at least 2"):
        STREAMS[name][0]().compute()


@pytest.mark.parametrize("name", ["scores", "histogram", "fid", "kid"])
def test_one_kind_seen(name: str) -> None:
    stream = STREAMS[name][0]()
    stream.update(STREAMS[name][1][0])
    with pytest.raises(MeasureError, match=r"There are no|at least 2"):
        stream.compute()


@pytest.mark.parametrize("name", STREAMS)
def test_nan_is_refused_at_once(name: str) -> None:
    make, data, _ = STREAMS[name]
    with pytest.raises(MeasureError, match="NaN"):
        make().update(*(np.full(part.shape, np.nan) for part in data))


@pytest.mark.parametrize(
    ("one", "other"),
    [(ScoreHistogram(8), ScoreHistogram(9)), (Cmc(3), Cmc(4)), (MeanQuality(l2), MeanQuality(linf))],
)
def test_what_cannot_be_merged(one: Any, other: Any) -> None:
    with pytest.raises(MeasureError, match="only be merged where"):
        one.merge(other)


def test_the_histogram_errs_by_less_than_a_bin() -> None:
    coarse = ScoreHistogram(50)
    coarse.update(GENUINE, IMPOSTOR)
    width = 2 / 50
    bounds = [eer(GENUINE + shift, IMPOSTOR) for shift in (width, -width)]
    assert bounds[0] - 1e-9 <= coarse.compute() <= bounds[1] + 1e-9


def test_batches_are_copied() -> None:
    """A caller's buffer may be written again."""
    stream, buffer = VerificationScores(), GENUINE.copy()
    stream.update(buffer, IMPOSTOR)
    before = stream.compute()
    buffer[:] = 0
    assert stream.compute() == before


def test_statistics_are_those_of_numpy_far_from_0() -> None:
    features = FEATURES[0] + 1e6
    statistics = FeatureStatistics()
    for batch in np.array_split(features, 7):
        statistics.update(batch)
    mean, covariance = statistics.compute()
    np.testing.assert_allclose(mean, features.mean(axis=0))
    np.testing.assert_allclose(covariance, np.cov(features.T), rtol=1e-6)


def test_statistics_of_two_networks() -> None:
    statistics = FeatureStatistics()
    statistics.update(np.zeros((3, 2)))
    with pytest.raises(MeasureError, match="one network"):
        statistics.update(np.zeros((3, 4)))


def test_streamed_fid_needs_5000_too() -> None:
    stream = Fid()
    stream.update(*FEATURES)
    with pytest.raises(MeasureError, match="at least 5,000"):
        stream.compute()


def test_pictures_come_in_pairs() -> None:
    with pytest.raises(MeasureError, match="in pairs"):
        MeanQuality(psnr).update(PICTURES[0], PICTURES[1][:3])
