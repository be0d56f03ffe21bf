"""The contract that every recognizer keeps."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visard.errors import CalibrationError
from visard.face import Template, warp
from visard.recognizer.card import Card, Threshold


class Recognizer(nn.Module):
    """A face recognizer: a network that embeds faces, with its card and its own preprocessing.

    It owns its channel order, scale and normalization, and takes and gives float32. Weights ask for no gradient.
    """

    mean: Tensor
    std: Tensor
    to_canonical: Tensor

    def __init__(self, card: Card, network: nn.Module) -> None:
        super().__init__()
        self.card = card
        self.network = network.eval().requires_grad_(False)
        # pixels come in [0, 1] and RGB: the scale goes into mean and std, the channel order too
        self.register_buffer("mean", torch.tensor(card.mean).view(1, 3, 1, 1) / 255, persistent=False)
        self.register_buffer("std", torch.tensor(card.std).view(1, 3, 1, 1) / 255, persistent=False)
        to_canonical = torch.from_numpy(card.template.to_canonical).float()
        self.register_buffer("to_canonical", to_canonical, persistent=False)

    @property
    def name(self) -> str:
        return self.card.name

    @property
    def template(self) -> Template:
        return self.card.template

    @property
    def differentiable(self) -> bool:
        """Whether it can make a cloak; a black box can only judge."""
        return self.card.format != "onnx-black-box"

    def embed(self, faces: Tensor) -> Tensor:
        """Embeddings (N, D), unit vectors, of `faces` (N, 3, h, w) in [0, 1], RGB, aligned to its template."""
        if self.card.channels == "BGR":
            faces = faces.flip(1)
        return F.normalize(self.network((faces - self.mean) / self.std))

    def forward(self, faces: Tensor) -> Tensor:
        return self.embed(faces)

    def align(self, images: Tensor, frames: Tensor) -> Tensor:
        """`images` (N, C, H, W), C = 1 or 3, warped to its template (N, 3, h, w); `frames` (N, 2, 3) takes the
        canonical frame to the image."""
        linear = frames[:, :, :2] @ self.to_canonical[:, :2]  # (N, 2, 2)
        shift = frames[:, :, :2] @ self.to_canonical[:, 2:] + frames[:, :, 2:]  # (N, 2, 1)
        aligned = warp(images, torch.cat([linear, shift], dim=2), self.template.size)
        return aligned.expand(-1, 3, -1, -1)

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
