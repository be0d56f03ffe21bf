"""Every measure by its name: which way is better, for whom, its range, its unit and its source."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from visard.measure.curves import eer, eer_vos
from visard.measure.distribution import fid, frechet_distance, kid
from visard.measure.identification import (
    cmc,
    fnir_at_fpir,
    psr,
    psr_targeted,
    rank_k_rate,
    rank_n_t,
    rank_n_ut,
)
from visard.measure.quality import ciede2000, l2, linf, ms_ssim, psnr, ssim
from visard.measure.utility import detection_rate, expression_distance, identity_cosine, landmark_distance
from visard.measure.verification import asr, d_prime, fmr_at, fnmr_at, hter, tar_at_fmr
from visard.measure.visibility import visibility


@dataclass(frozen=True)
class Measure:
    """A measure and what is true of it whatever it is used for.

    `higher_is_better` is said for what the measure `judges`: the same number that a recognizer wants low a cloak wants
    high. A result lies in [`low`, `high`].
    """

    function: Callable[..., Any]
    judges: Literal["recognizer", "cloak", "picture"]
    higher_is_better: bool
    low: float
    high: float
    unit: str
    paper: str


def _by_name(*measures: Measure) -> dict[str, Measure]:
    return {m.function.__name__: m for m in measures}


_ISO = "ISO/IEC 19795-1"
MEASURES = _by_name(
    Measure(asr, "cloak", True, 0, 1, "share", "vos2023, eq. 4"),
    Measure(ciede2000, "picture", False, 0, math.inf, "CIEDE2000", "Sharma, Wu and Dalal 2005"),
    Measure(cmc, "recognizer", True, 0, 1, "share", _ISO),
    Measure(d_prime, "recognizer", True, 0, math.inf, "standard deviations", "Daugman 2000"),
    Measure(detection_rate, "picture", True, 0, 1, "share", "yang2021systematical"),
    Measure(eer, "recognizer", False, 0, 1, "share", _ISO),
    Measure(eer_vos, "recognizer", False, 0, 1, "share", "vos2023"),
    Measure(expression_distance, "picture", False, 0, math.inf, "units of the codes", "yang2021systematical"),
    Measure(fid, "picture", False, 0, math.inf, "squared feature units", "Heusel et al. 2017"),
    Measure(fmr_at, "recognizer", False, 0, 1, "share", _ISO),
    Measure(fnir_at_fpir, "recognizer", False, 0, 1, "share", _ISO),
    Measure(fnmr_at, "recognizer", False, 0, 1, "share", _ISO),
    Measure(frechet_distance, "picture", False, 0, math.inf, "squared feature units", "Dowson and Landau 1982"),
    Measure(hter, "recognizer", False, 0, 1, "share", "Bengio and Mariethoz 2004"),
    Measure(identity_cosine, "cloak", False, -1, 1, "cosine", "yang2021systematical"),
    Measure(kid, "picture", False, -math.inf, math.inf, "squared kernel units", "Binkowski et al. 2018"),
    Measure(l2, "picture", False, 0, math.inf, "pixel range", "chatzikyriakidis2019"),
    Measure(landmark_distance, "picture", False, 0, math.inf, "eye distances", "Sagonas et al. 2013"),
    Measure(linf, "picture", False, 0, 1, "pixel range", "Goodfellow et al. 2015"),
    Measure(ms_ssim, "picture", True, 0, 1, "", "Wang, Simoncelli and Bovik 2003"),
    Measure(psnr, "picture", True, 0, math.inf, "dB", "Huynh-Thu and Ghanbari 2008"),
    Measure(psr, "cloak", True, 0, 1, "share", "ghafourian2023, eq. 5"),
    Measure(psr_targeted, "cloak", True, 0, 1, "share", "ghafourian2023, eq. 5"),
    Measure(rank_k_rate, "recognizer", True, 0, 1, "share", _ISO),
    Measure(rank_n_t, "cloak", True, 0, 1, "share", "yang2021tipim"),
    Measure(rank_n_ut, "cloak", True, 0, 1, "share", "yang2021tipim"),
    Measure(ssim, "picture", True, -1, 1, "", "Wang et al. 2004"),
    Measure(tar_at_fmr, "recognizer", True, 0, 1, "share", _ISO),
    Measure(visibility, "picture", False, 0, math.inf, "JND", "this package"),
)
