"""The contract that every recognizer keeps."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visard.errors import CalibrationError
from visard.face import Template, to_template
from visard.recognizer.card import Card, Threshold


class Recognizer(nn.Module):
    """A face recognizer: a network that embeds faces, with its card and its own preprocessing.

    It owns its channel order, scale and normalization, and takes and gives float32. Weights ask for no gradient.
    `front`: what aligned faces (N, 3, h, w) in [0, 1] go through before all that, such as a filter against cloaks.
    `detector`: from such faces to logits (N,) that they are cloaked, None where there is none.
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self, card: Card, network: nn.Module, front: Sequence[nn.Module] = (), detector: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.card = card
        self.front = nn.Sequential(*front).eval().requires_grad_(False)
        self.detector = None if detector is None else detector.eval().requires_grad_(False)
        # channels last: convolutions on a CPU take a sixth less time
        self.network: nn.Module = network.eval().requires_grad_(False)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        # (255 v - mean) / std in one pass over the pixels
        mean, std = (torch.tensor(values, dtype=torch.float64).view(1, 3, 1, 1) for values in (card.mean, card.std))
        self.register_buffer("scale", (255 / std).float(), persistent=False)
        self.register_buffer("shift", (-mean / std).float(), persistent=False)

    @property
    def name(self) -> str:
        return self.card.name

    @property
    def template(self) -> Template:
        return self.card.template

    @property
    def differentiable(self) -> bool:
        """Whether it can make a cloak; a black box can only judge."""
        return self.card.differentiable

    def embed(self, faces: Tensor) -> Tensor:
        """Embeddings (N, D), unit vectors, of `faces` (N, 3, h, w) in [0, 1], RGB, aligned to its template."""
        return F.normalize(self.network(self.normalize(faces)).float())

    def normalize(self, faces: Tensor) -> Tensor:
        """What its network takes (N, 3, h, w), of `faces` as ``embed`` takes them: front, channel order, scale and
        mean."""
        faces = self.front(faces)
        if self.card.channels == "BGR":
            faces = faces.flip(1)
        return torch.addcmul(self.shift, faces, self.scale).contiguous(memory_format=torch.channels_last)

    def forward(self, faces: Tensor) -> Tensor:
        return self.embed(faces)

    def align(self, images: Tensor, frames: Tensor) -> Tensor:
        """`images` (N, C, H, W), C = 1 or 3, warped to its template (N, 3, h, w); `frames` (N, 2, 3) takes the
        canonical frame to the image."""
        return to_template(images, frames, self.template).expand(-1, 3, -1, -1)

    def threshold(self, fmr: float) -> Threshold:
        """The threshold calibrated at this false match rate; raises ``CalibrationError`` when there is none."""
        valid = self.card.valid_thresholds
        if fmr in valid:
            return valid[fmr]
        there = ", ".join(f"{f:g}" for f in valid)
        raise CalibrationError(
            f"{self.name} has no threshold at FMR {fmr:g}{f' (it has {there})' if there else ''}; "
            f"run: visard calibrate --people FOLDER --recognizer {self.name} --fmr {fmr:g}"
        )
