"""C&W: the smallest change in the Euclidean norm that succeeds, by a search for the price of failing.

Paper: Carlini and Wagner, "Towards evaluating the robustness of neural networks", S&P 2017, section VI.A: minimize
``||x' - x||^2 + c * max(f(x'), -kappa)`` over w, ``x' = (tanh w + 1) / 2``, Adam; c by binary search per face. Norm:
L2. f: closed-set the true logit less the largest other one (untargeted); open-set the objective less a level `fall`
below its clean value. Official arguments: kappa 0, Adam .01, 1000 to 10,000 steps for each of 9 c from .001; ours:
200 steps in all for 5 c from 1. A face that never succeeds gets the change that came nearest.
"""

import torch
from torch import Tensor

from visard.cloak.loop import Task
from visard.cloak.margin import margin
from visard.cloak.method import Method
from visard.errors import SettingError


def cw(
    task: Task,
    *,
    steps: int = 200,
    searches: int = 5,
    alpha: float = 0.01,
    constant: float = 1.0,
    confidence: float = 0.0,
    fall: float = 0.6,
) -> Tensor:
    """`steps` Adam steps of rate `alpha` in all, for `searches` values of c from `constant`; kappa `confidence`;
    open-set success is an objective `fall` below its clean value."""
    if searches < 1:
        raise SettingError(f"searches must be 1 or more, got {searches}.")
    clean, far = task.faces.pixels.detach(), margin(task, fall)
    # atanh has no value at 0 and 1
    start = torch.atanh((2 * clean - 1) * (1 - 1e-6))
    price = torch.full((len(clean),), constant).to(clean)
    low, high = torch.zeros_like(price), torch.full_like(price, torch.inf)
    best, shortest, nearest = torch.zeros_like(clean), high, high
    per_search = [steps // searches + (i < steps % searches) for i in range(searches)]
    taken = 0
    for count in per_search:
        w = start.clone().requires_grad_(True)
        adam = torch.optim.Adam([w], lr=alpha)
        succeeded = torch.zeros_like(price, dtype=torch.bool)
        for t in range(count + 1):  # the last one only looks
            delta = (torch.tanh(w) + 1) / 2 - clean
            length = task.masked(delta).square().sum(dim=(1, 2, 3))
            distance = far(task.seen(delta))
            with torch.no_grad():
                reached = distance <= -confidence
                succeeded |= reached
                short = torch.where(reached, length, torch.inf)
                shorter = (short < shortest) | (~reached & shortest.isinf() & (distance < nearest))
                best = torch.where(shorter.view(-1, 1, 1, 1), delta, best)
                shortest, nearest = torch.minimum(shortest, short), torch.minimum(nearest, distance)
            if t == count:
                break
            loss = (length + price * distance.clamp(min=-confidence)).sum()
            (w.grad,) = torch.autograd.grad(loss, w)
            adam.step()
            taken += 1
            task.heard(taken, task.in_range(best))
        high, low = torch.where(succeeded, price, high), torch.where(succeeded, low, price)
        price = torch.where(high.isinf(), 10 * price, (low + high) / 2)
    return task.in_range(best.detach())


CW = Method("cw", "Carlini and Wagner 2017", "either", cw)
