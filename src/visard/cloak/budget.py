"""Budgets: how large a change may be. Each measures and clips, so that no method can cheat."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from visard.cloak.naturalness import K2, SIGMA, WINDOW, blurred, change_to, reflected

_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class Linf:
    """No channel of a pixel changes by more than `eps`, in [0, 1]: one number, or one per pixel (N, 1, H, W)."""

    eps: float | Tensor

    def project(self, delta: Tensor) -> Tensor:
        """`delta` (N, C, H, W), clipped to the budget."""
        clipped: Tensor = delta.clamp(-self.eps, self.eps)  # type: ignore[arg-type]
        return clipped

    def used(self, delta: Tensor) -> Tensor:
        """How much of the budget each change takes, (N,); 1 is all of it."""
        return (delta.abs() / self.eps).flatten(1).amax(dim=1)


@dataclass(frozen=True, slots=True)
class L2:
    """The Euclidean norm of a face's whole change is at most `eps`, for values in [0, 1]."""

    eps: float

    def project(self, delta: Tensor) -> Tensor:
        """`delta` (N, C, H, W), shortened to the budget."""
        shortened: Tensor = delta * (1 / self.used(delta).clamp(min=1)).view(-1, 1, 1, 1)
        return shortened

    def used(self, delta: Tensor) -> Tensor:
        """How much of the budget each change takes, (N,); 1 is all of it."""
        norm: Tensor = torch.linalg.vector_norm(delta.flatten(1), dim=1)
        return norm / self.eps


@dataclass(frozen=True, slots=True)
class Unbounded:
    """Any change; the picture's range [0, 1] still holds."""

    def project(self, delta: Tensor) -> Tensor:
        """`delta` as it is."""
        return delta

    def used(self, delta: Tensor) -> Tensor:
        """Nothing, (N,)."""
        return delta.new_zeros(len(delta))


class Structure:
    """The structural similarity to the `clean` pictures (N, C, H, W) is at least `least`, in (0, 1), on average.

    A window's loss is ``1 - SSIM`` as ``measure.ssim`` takes it; the mean is over channels and `area` (N,) windows,
    so that what lies around a small face does not dilute it. `mask` (N, 1, H, W): how much of a change is seen.
    """

    def __init__(self, clean: Tensor, least: float, area: Tensor, mask: Tensor | None = None) -> None:
        self.clean, self.least, self.area, self.mask = clean.detach(), least, area, mask
        self._change_by = change_to(self.clean)

    def used(self, delta: Tensor) -> Tensor:
        """How much of the budget each change takes, (N,); 1 is all of it. Proportional to a change while it is small:
        the loss then grows with its square."""
        return self._along(delta)(delta.new_ones(len(delta)))

    def project(self, delta: Tensor, rounds: int = _ROUNDS) -> Tensor:
        """`delta` (N, C, H, W), shortened to the budget in `rounds` divisions at most; far beyond it, it takes more."""
        used, factor = self._along(delta), delta.new_ones(len(delta))
        # the loss of a large change grows slower than its square, so one division may fall short
        for _ in range(rounds):
            excess = used(factor)
            if bool((excess <= 1).all()):
                break
            factor = factor / excess.clamp(min=1)
        return delta * factor.view(-1, 1, 1, 1)

    def _along(self, delta: Tensor) -> Callable[[Tensor], Tensor]:
        """How much of the budget ``factor * delta`` takes, as a function of `factor` (N,)."""
        lost = self._change_by(delta if self.mask is None else self.mask * delta)

        def used(factor: Tensor) -> Tensor:
            loss = lost(factor).mean(dim=1).sum(dim=(1, 2)) / self.area
            return (loss.clamp(min=0) / (1 - self.least)).sqrt()

        return used

    def fill(self, direction: Tensor) -> Tensor:
        """The multiple of each `direction` (N, C, H, W) that would take all of the budget, were it small and fine.

        The loss of a small change is then the mean of ``(delta / tolerance)^2``; what of it is smooth costs less.
        """
        cost = (direction if self.mask is None else self.mask * direction) / self.tolerance
        loss = cost.square().mean(dim=1).sum(dim=(1, 2)) / self.area
        return direction * ((1 - self.least) / loss.clamp(min=1e-20)).sqrt().view(-1, 1, 1, 1)

    @cached_property
    def tolerance(self) -> Tensor:
        """How large a change each pixel bears for its share of the loss, up to one factor: (N, 1, H, W).

        ``sqrt(2 variance + K2)``, what SSIM divides a change by, of the channel that varies least: a change that fits
        to one channel is not to be seen in another.
        """
        mean, square = blurred(reflected(torch.cat([self.clean, self.clean**2])), WINDOW, SIGMA).chunk(2)
        variance = (square - mean * mean).clamp(min=0).amin(dim=1, keepdim=True)
        return (2 * variance + K2).sqrt()


@dataclass(frozen=True, slots=True)
class Both:
    """Within two budgets: clipped to the first, then to the second, which must not lead out of the first."""

    first: Linf
    second: Structure

    def project(self, delta: Tensor) -> Tensor:
        """`delta` (N, C, H, W), clipped to both."""
        return self.second.project(self.first.project(delta))

    def used(self, delta: Tensor) -> Tensor:
        """How much of the tighter budget each change takes, (N,); 1 is all of it."""
        return torch.maximum(self.first.used(delta), self.second.used(delta))


Budget = Linf | L2 | Unbounded | Structure | Both
