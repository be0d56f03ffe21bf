"""What is learned beforehand: cloaks that take one forward pass, face generators, their training, and their files."""

from visard.generator import parallel
from visard.generator.course import SUFFIX, Course, check_out, train
from visard.generator.crops import Crops, read_crops
from visard.generator.file import steps_of
from visard.generator.learned import KINDS, LearnedCloak, load_cloak, make_learner, shipped
from visard.generator.learner import check_learner_settings, settings_with_defaults, window
from visard.generator.methods import find_method
from visard.generator.training import Training, check_recognizers

__all__ = [
    "KINDS",
    "SUFFIX",
    "Course",
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
    "steps_of",
    "train",
    "window",
]
