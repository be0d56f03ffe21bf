"""Cloaks: the loop, its parts, and one module per method."""

from visard.cloak.budget import L2, Both, Budget, Linf, Structure, Unbounded
from visard.cloak.loop import Task, descend
from visard.cloak.method import Method, find, method_names
from visard.cloak.objective import (
    Faces,
    Objective,
    dodging,
    embed,
    impersonation,
    least_likely,
    mirrored_anchors,
    own_anchors,
    targeted,
    untargeted,
)
from visard.cloak.person import PersonMask, check_mask_settings, learn_mask, load_mask, save_mask

__all__ = [
    "L2",
    "Both",
    "Budget",
    "Faces",
    "Linf",
    "Method",
    "Objective",
    "PersonMask",
    "Structure",
    "Task",
    "Unbounded",
    "check_mask_settings",
    "descend",
    "dodging",
    "embed",
    "find",
    "impersonation",
    "learn_mask",
    "least_likely",
    "load_mask",
    "method_names",
    "mirrored_anchors",
    "own_anchors",
    "save_mask",
    "targeted",
    "untargeted",
]
