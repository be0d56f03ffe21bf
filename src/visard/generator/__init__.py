"""Learned cloaks: networks that make a change in one forward pass, their training, and their files."""

from visard.generator import parallel
from visard.generator.crops import Crops, read_crops
from visard.generator.learned import KINDS, SUFFIX, LearnedCloak, find_method, load_cloak, make_learner, shipped
from visard.generator.learner import check_learner_settings, settings_with_defaults, window
from visard.generator.train import Training, check_out, check_recognizers, train

__all__ = [
    "KINDS",
    "SUFFIX",
    "Crops",
    "LearnedCloak",
    "Training",
    "check_learner_settings",
    "check_out",
    "check_recognizers",
    "find_method",
    "load_cloak",
    "make_learner",
    "parallel",
    "read_crops",
    "settings_with_defaults",
    "shipped",
    "train",
    "window",
]
