"""Dropout in a recognizer's blocks while a cloak is made: each step sees a little another network."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Generator, Tensor
from torch.overrides import TorchFunctionMode


@contextmanager
def dropped(rate: float, generator: Generator) -> Iterator[None]:
    """Within, every convolution's feature map loses a share `rate` of its values, drawn anew each time, and the rest
    are divided by ``1 - rate``; a map of one pixel, which is an embedding already, stays.

    Zhong and Deng, "Towards transferable adversarial attack against deep face recognition", TIFS 2020 (DFANet).
    The networks themselves stay as they are, and `rate` 0 changes nothing.
    """
    if rate == 0:
        yield
        return
    with _Dropping(rate, generator):
        yield


class _Dropping(TorchFunctionMode):
    """Catches convolutions wherever they are called, in modules as in graphs that have none (ONNX)."""

    def __init__(self, rate: float, generator: Generator) -> None:
        super().__init__()
        self.rate, self.generator = rate, generator

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is not torch.conv2d or result.shape[-2:].numel() == 1:
            return result
        kept: Tensor = torch.empty_like(result).bernoulli_(1 - self.rate, generator=self.generator)
        return result * kept / (1 - self.rate)
