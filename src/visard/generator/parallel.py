"""One training in several processes, which torchrun starts: each computes a share of every batch, and all take the
step of the whole batch.

Every process draws the whole batch from the same seed and keeps its share. Gradients, loss terms and the statistics
of batch norm are means over the processes. So N processes learn what one learns from the same batch, up to rounding.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from visard.errors import SettingError


@contextmanager
def started(device: str) -> Iterator[torch.device]:
    """The device that this process is to compute on; while it is entered, the processes of torchrun, if there are
    several, know each other. `device`: "cpu", "cuda", which is a GPU for each process, or "cuda:N".

    Raises ``SettingError`` for a device that is not here.
    """
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    found = _device(device, several=several)
    if not several:
        yield found
        return
    dist.init_process_group("nccl" if found.type == "cuda" else "gloo")
    try:
        yield found
    finally:
        dist.destroy_process_group()


def count() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def first() -> bool:
    """Whether this process is the one that writes and prints."""
    return rank() == 0


def share(batch: Tensor) -> Tensor:
    """This process's part of `batch` (N, ...): as many rows as every other's."""
    return batch.chunk(count())[rank()] if count() > 1 else batch


def mean(values: Tensor) -> Tensor:
    """The mean of `values` over the processes; its gradient goes to all of them."""
    if count() == 1:
        return values
    total: Tensor = _Sum.apply(values)  # type: ignore[no-untyped-call]
    return total / count()


def check_batch(batch: int) -> None:
    """Raises ``SettingError`` when the processes cannot share a batch of so many evenly."""
    if batch % count():
        raise SettingError(f"{count()} processes cannot share a batch of {batch} evenly; set another batch.")


def average_gradients(weights: Sequence[nn.Parameter]) -> None:
    """Put the mean over the processes in place of each gradient."""
    if count() > 1:
        gradients = [w.grad for w in weights if w.grad is not None]
        together = mean(torch.cat([g.flatten() for g in gradients]))
        for gradient, part in zip(gradients, together.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))


def agreed(answer: bool, device: torch.device) -> bool:
    """The first process's `answer`, for all of them."""
    if count() == 1:
        return answer
    said = torch.tensor(int(answer), device=device)
    dist.broadcast(said, src=0)
    return bool(said)


class BatchNorm(nn.BatchNorm2d):
    """Batch norm by the statistics of the whole batch, of which each process sees a share; it is for training, so the
    running statistics stay as they are when there are several processes."""

    def forward(self, x: Tensor) -> Tensor:
        if count() == 1:
            return super().forward(x)
        x = x.to(self.weight.dtype)
        middle = mean(x.mean(dim=(0, 2, 3), keepdim=True))
        variance = mean((x - middle).square().mean(dim=(0, 2, 3), keepdim=True))
        return (x - middle) * (variance + self.eps).rsqrt() * self.weight.view(-1, 1, 1) + self.bias.view(-1, 1, 1)


class _Sum(torch.autograd.Function):
    """The sum over the processes. Every process's loss hangs on every part, so the gradient is a sum too."""

    @staticmethod
    def forward(_context: Any, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_context: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)
        return total


def _device(text: str, *, several: bool) -> torch.device:
    try:
        device = torch.device(text)
    except RuntimeError as error:
        raise SettingError(f'--device is "cpu", "cuda" or "cuda:N", got "{text}".') from error
    if device.type not in ("cpu", "cuda"):
        raise SettingError(f'--device is "cpu", "cuda" or "cuda:N", got "{text}".')
    if device.type == "cpu":
        return torch.device("cpu")
    there = torch.cuda.device_count()
    if several and device.index is not None:
        raise SettingError("Each process takes a GPU of its own; give --device cuda.")
    index = int(os.environ["LOCAL_RANK"]) if several else device.index or 0
    if index >= there:
        short = f"there are {there} GPUs, of which each process takes one" if there else "no GPU is here"
        raise SettingError(f'--device {text} cannot be had: {short}; give another, or "cpu".')
    return torch.device("cuda", index)
