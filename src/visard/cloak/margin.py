"""How far each face is from success: what methods need that look for the smallest change, not the largest effect."""

import torch
import torch.nn.functional as F
from torch import Tensor

from visard.cloak.loop import Task
from visard.cloak.objective import Faces, Objective


def margin(task: Task, fall: float) -> Objective:
    """Per face (N,), success at 0 or below.

    Closed-set (the task has a classifier): the logit of the true class, the clean picture's if there are no labels,
    less the largest other one. Open-set: the objective less the level `fall` below its clean value.
    """
    with torch.no_grad():
        if task.classifier is None:
            level = task.objective(task.faces) - fall
            return lambda faces: task.objective(faces) - level
        classifier, labels = task.classifier, task.labels
        logits = classifier(task.faces.pixels)
        own = F.one_hot(logits.argmax(dim=1) if labels is None else labels, logits.shape[1]).bool()

    def closed(faces: Faces) -> Tensor:
        logits = classifier(faces.pixels)
        lead: Tensor = logits[own] - logits.masked_fill(own, -torch.inf).amax(dim=1)
        return lead

    return closed
