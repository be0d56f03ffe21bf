"""Measures: pure functions of arrays. They load no model and read no file."""

from visard.measure.intervals import bootstrap, clopper_pearson
from visard.measure.quality import ciede2000, psnr, ssim
from visard.measure.verification import (
    fmr_at,
    fnmr_at,
    genuine_and_impostor,
    new_juror_bound,
    required_pairs,
    threshold_at_fmr,
)

__all__ = [
    "bootstrap",
    "ciede2000",
    "clopper_pearson",
    "fmr_at",
    "fnmr_at",
    "genuine_and_impostor",
    "new_juror_bound",
    "psnr",
    "required_pairs",
    "ssim",
    "threshold_at_fmr",
]
