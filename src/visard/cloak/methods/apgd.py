"""APGD: sign steps whose size halves when they stop paying, each face on its own.

Paper: Croce and Hein, "Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free
attacks", ICML 2020, algorithm 1: ``z = P(x - eta sign g)``, ``x_{k+1} = P(x_k + .75 (z - x_k) + .25 (x_k -
x_{k-1}))``; at checkpoints eta is halved, and the search goes on from the best point, where fewer than rho of the
steps improved or where neither eta nor the best changed since the last one. Norm: Linf. Official arguments: eps
8/255, eta 2 eps, 100 steps, rho .75, random start; ours the same with 20 steps. The loss is the task's objective, not
the paper's DLR.
"""

import math

import torch
from torch import Tensor

from visard.cloak.init import uniform
from visard.cloak.loop import Task, best_of, slope
from visard.cloak.method import Method


def checkpoints(steps: int) -> list[int]:
    """The paper's checkpoints: at shares 0, .22, and then .03 less than the last period, at least .06, of `steps`."""
    shares = [0.0, 0.22]
    while shares[-1] < 1:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - 0.03, 0.06))
    return [marked for share in shares if (marked := math.ceil(round(share * steps, 9))) <= steps]


def apgd(
    task: Task,
    *,
    eps: float = 8 / 255,
    steps: int = 20,
    rho: float = 0.75,
    restarts: int = 1,
) -> Tensor:
    """`steps` steps within `eps` in [0, 1] from each of `restarts` random starts; a period is good when `rho` of its
    steps improve."""

    def allowed(delta: Tensor) -> Tensor:
        return task.in_range(delta.clamp(-eps, eps))

    def attempt(task: Task) -> Tensor:
        marks = checkpoints(steps)
        delta = before = best = allowed(uniform(eps, task.generator)(task.faces.pixels.detach()))
        loss, gradient = slope(task, delta)
        lowest, best_gradient = loss, gradient
        eta = torch.full_like(loss, 2 * eps).view(-1, 1, 1, 1)
        improved = torch.zeros_like(loss)
        lowest_then, halved_then = lowest, torch.zeros_like(loss, dtype=torch.bool)
        for k in range(1, steps + 1):
            inertia = 1.0 if k == 1 else 0.75
            ahead = allowed(delta - eta * gradient.sign())
            moved = allowed(delta + inertia * (ahead - delta) + (1 - inertia) * (delta - before))
            before, delta = delta, moved
            last = loss
            loss, gradient = slope(task, delta)
            improved = improved + (loss < last)
            better = (loss < lowest).view(-1, 1, 1, 1)
            best, best_gradient = torch.where(better, delta, best), torch.where(better, gradient, best_gradient)
            lowest = torch.minimum(loss, lowest)
            task.heard(k, best)
            if k in marks:
                period = k - marks[marks.index(k) - 1]
                stuck = ~halved_then & (lowest >= lowest_then)
                halves = (improved < rho * period) | stuck
                here = halves.view(-1, 1, 1, 1)
                eta = torch.where(here, eta / 2, eta)
                delta, gradient = torch.where(here, best, delta), torch.where(here, best_gradient, gradient)
                before, loss = torch.where(here, best, before), torch.where(halves, lowest, loss)
                lowest_then, halved_then, improved = lowest, halves, torch.zeros_like(loss)
        return best

    return best_of(task, restarts, attempt)


APGD = Method("apgd", "Croce and Hein 2020", "either", apgd)
