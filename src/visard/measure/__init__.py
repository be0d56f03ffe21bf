"""Measures: pure functions of arrays, numpy or torch. They load no model and read no file.

LPIPS and the features that FID compares, which need torch and published weights, are in ``visard.measure.perceptual``
and ``visard.measure.inception``.
"""

from visard.measure.curves import Det, ErrorCurves, Roc, det, eer, eer_vos, error_curves, roc
from visard.measure.distribution import Kid, fid, frechet_distance, kid
from visard.measure.identification import (
    OpenSet,
    cmc,
    fnir_at_fpir,
    psr,
    psr_targeted,
    rank_k_rate,
    rank_n_t,
    rank_n_ut,
    ranks,
)
from visard.measure.intervals import bootstrap, clopper_pearson, crossed_bootstrap, paired_bootstrap
from visard.measure.quality import ciede2000, l2, linf, ms_ssim, psnr, ssim
from visard.measure.rate import Rate, mean_rate
from visard.measure.score_bootstrap import (
    PersonHistograms,
    bootstrap_eer,
    bootstrap_fnmr_at_fmr,
    pair_histograms,
    person_histograms,
)
from visard.measure.streaming import Cmc, MeanQuality, ScoreHistogram, Verification, VerificationScores
from visard.measure.streaming_features import FeatureStatistics, Fid, KernelDistance
from visard.measure.table import MEASURES, Measure
from visard.measure.utility import (
    EYES_51,
    EYES_68,
    detection_rate,
    expression_distance,
    identity_cosine,
    landmark_distance,
)
from visard.measure.verification import (
    ErrorRates,
    asr,
    d_prime,
    error_rates,
    fmr_at,
    fnmr_at,
    genuine_and_impostor,
    hter,
    new_juror_bound,
    required_pairs,
    tar_at_fmr,
    threshold_at_fmr,
    threshold_vos,
)
from visard.measure.visibility import visibility, visibility_map

__all__ = [
    "EYES_51",
    "EYES_68",
    "MEASURES",
    "Cmc",
    "Det",
    "ErrorCurves",
    "ErrorRates",
    "FeatureStatistics",
    "Fid",
    "KernelDistance",
    "Kid",
    "MeanQuality",
    "Measure",
    "OpenSet",
    "PersonHistograms",
    "Rate",
    "Roc",
    "ScoreHistogram",
    "Verification",
    "VerificationScores",
    "asr",
    "bootstrap",
    "bootstrap_eer",
    "bootstrap_fnmr_at_fmr",
    "ciede2000",
    "clopper_pearson",
    "cmc",
    "crossed_bootstrap",
    "d_prime",
    "det",
    "detection_rate",
    "eer",
    "eer_vos",
    "error_curves",
    "error_rates",
    "expression_distance",
    "fid",
    "fmr_at",
    "fnir_at_fpir",
    "fnmr_at",
    "frechet_distance",
    "genuine_and_impostor",
    "hter",
    "identity_cosine",
    "kid",
    "l2",
    "landmark_distance",
    "linf",
    "mean_rate",
    "ms_ssim",
    "new_juror_bound",
    "pair_histograms",
    "paired_bootstrap",
    "person_histograms",
    "psnr",
    "psr",
    "psr_targeted",
    "rank_k_rate",
    "rank_n_t",
    "rank_n_ut",
    "ranks",
    "required_pairs",
    "roc",
    "ssim",
    "tar_at_fmr",
    "threshold_at_fmr",
    "threshold_vos",
    "visibility",
    "visibility_map",
]
