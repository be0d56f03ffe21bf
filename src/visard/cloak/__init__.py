"""Cloaks: the loop, its parts, and one module per method."""

from visard.cloak.budget import L2, Budget, Linf, Unbounded, texture_eps
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

__all__ = [
    "L2",
    "Budget",
    "Faces",
    "Linf",
    "Method",
    "Objective",
    "Task",
    "Unbounded",
    "descend",
    "dodging",
    "embed",
    "find",
    "impersonation",
    "least_likely",
    "method_names",
    "mirrored_anchors",
    "own_anchors",
    "targeted",
    "texture_eps",
    "untargeted",
]
