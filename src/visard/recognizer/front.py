"""What faces can go through before a recognizer's network: filters and small learned networks against cloaks.

Each takes and gives aligned faces (N, 3, h, w) in [0, 1], has a `name`, and `settings` from which it is made again. All
have a gradient, so that a cloak can be made through them: rounding counts as the identity there (straight through),
and so does the part of a search that cannot be followed.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visard.errors import CardError, SettingError
from visard.recognizer.jpeg import jpeg, through

_CODED = 8  # pixels on a side that share a code
_PROBE = 1e-2  # of a code's length: how far the search looks to tell how steep its way is


class Front(nn.Module):
    """What they share: a `name`, and the keyword arguments that make one again, as plain values."""

    name: ClassVar[str]

    def __init__(self, **settings: float) -> None:
        super().__init__()
        self.settings = settings


class JPEG(Front):
    """JPEG, 4:2:0, at a `quality` of 1 to 100 on libjpeg's scale."""

    name = "jpeg"

    def __init__(self, *, quality: int = 75) -> None:
        super().__init__(quality=quality)
        _within(self, "quality", quality, 1, 100)
        self.quality = quality

    def forward(self, faces: Tensor) -> Tensor:
        return jpeg(faces, self.quality)


class Median(Front):
    """Each channel's median of `size` x `size` pixels, `size` odd; beyond the edges the nearest pixels count."""

    name = "median"

    def __init__(self, *, size: int = 3) -> None:
        super().__init__(size=size)
        _within(self, "size", size, 1, 15)
        if size % 2 == 0:
            raise SettingError(f"median: size must be odd, got {size}.")
        self.size = size

    def forward(self, faces: Tensor) -> Tensor:
        wide = F.pad(faces, [self.size // 2] * 4, mode="replicate")
        around = wide.unfold(2, self.size, 1).unfold(3, self.size, 1).flatten(4)  # (N, 3, h, w, size^2)
        return around.median(dim=-1)[0]


class TotalVariation(Front):
    """Total-variation denoising: `steps` iterations of Chambolle (2004), each channel on its own; a greater `weight`
    is smoother. The gradient goes through the iterations."""

    name = "total-variation"

    def __init__(self, *, weight: float = 0.05, steps: int = 10) -> None:
        super().__init__(weight=weight, steps=steps)
        _within(self, "weight", weight, 1e-6, 10)
        _within(self, "steps", steps, 1, 1000)
        self.weight, self.steps = weight, steps

    def forward(self, faces: Tensor) -> Tensor:
        tau, smooth = 0.25, faces
        down, right = torch.zeros_like(faces), torch.zeros_like(faces)
        for step in range(self.steps):
            if step:
                smooth = faces - down - right + F.pad(down[..., :-1, :], (0, 0, 1, 0)) + F.pad(right[..., :-1], (1, 0))
            dy = F.pad(smooth.diff(dim=-2), (0, 0, 0, 1))
            dx = F.pad(smooth.diff(dim=-1), (0, 1))
            # a root has no finite gradient at zero
            norm = 1 + tau / self.weight * (dy.square() + dx.square() + 1e-16).sqrt()
            down, right = (down - tau * dy) / norm, (right - tau * dx) / norm
        return smooth.clamp(0, 1)


class Bits(Front):
    """Colors of `depth` bits a channel: feature squeezing (Xu, Evans, Qi, NDSS 2018, section II.A)."""

    name = "bits"

    def __init__(self, *, depth: int = 5) -> None:
        super().__init__(depth=depth)
        _within(self, "depth", depth, 1, 8)
        self.levels = 2**depth - 1

    def forward(self, faces: Tensor) -> Tensor:
        return through((faces * self.levels).round() / self.levels, faces)


class Denoiser(Front):
    """Faces less what a small network takes for the cloak: `depth` convolutions of `width` channels, as in DnCNN (Zhang
    et al., IEEE TIP 2017), without its batch normalization, and on 2 x 2 pixels at a time, as in FFDNet (Zhang et al.,
    IEEE TIP 2018). A new one changes nothing."""

    name = "denoiser"

    def __init__(self, *, width: int = 32, depth: int = 6) -> None:
        super().__init__(width=width, depth=depth)
        _within(self, "width", width, 1, 512)
        _within(self, "depth", depth, 2, 64)
        self.layers = nn.Sequential(nn.PixelUnshuffle(2), _conv(12, width), nn.ReLU())
        for _ in range(depth - 2):
            self.layers.extend([_conv(width, width), nn.ReLU()])
        last = _conv(width, 12)
        for zero in last.parameters():
            nn.init.zeros_(zero)
        self.layers.extend([last, nn.PixelShuffle(2)])

    def forward(self, faces: Tensor) -> Tensor:
        cloak: Tensor = self.layers(_padded(faces, 2) - 0.5)
        return (faces - cloak[..., : faces.shape[2], : faces.shape[3]]).clamp(0, 1)


class Projection(Front):
    """The nearest face that a generator makes, in the manner of Defense-GAN (Samangouei, Kabkab, Chellappa, ICLR 2018).

    The generator is the decoder of a small convolutional autoencoder, whose code has `code` channels for 8 x 8 pixels
    each. The search starts at the encoder's code, where Defense-GAN draws several at random, and takes `steps` steps of
    gradient descent on the squared distance to the face, each as long as is best where the generator is linear. The
    gradient goes through generator and encoder; the search between them counts as an addition to the code.
    """

    name = "projection"

    def __init__(self, *, width: int = 32, code: int = 16, steps: int = 5) -> None:
        super().__init__(width=width, code=code, steps=steps)
        _within(self, "width", width, 1, 512)
        _within(self, "code", code, 1, 512)
        _within(self, "steps", steps, 0, 1000)
        self.steps = steps
        self.encoder = nn.Sequential(
            _conv(3, width, stride=2), nn.ELU(), _conv(width, width, stride=2), nn.ELU(),
            _conv(width, 2 * width, stride=2), nn.ELU(), _conv(2 * width, code),
        )  # fmt: skip
        self.generator = nn.Sequential(
            _conv(code, 2 * width), nn.ELU(), nn.Upsample(scale_factor=2), _conv(2 * width, width), nn.ELU(),
            nn.Upsample(scale_factor=2), _conv(width, width), nn.ELU(), _conv(width, 12), nn.PixelShuffle(2),
        )  # fmt: skip

    def forward(self, faces: Tensor) -> Tensor:
        wide = _padded(faces, _CODED)
        code = self.encoder(wide - 0.5)
        return self._made(code + (self._searched(code.detach(), wide.detach()) - code).detach(), faces)

    def encoded(self, faces: Tensor) -> Tensor:
        """What the generator makes of the encoder's code, without any search: what the training looks at."""
        return self._made(self.encoder(_padded(faces, _CODED) - 0.5), faces)

    def _made(self, code: Tensor, faces: Tensor) -> Tensor:
        made: Tensor = self.generator(code)
        return (made + 0.5).clamp(0, 1)[..., : faces.shape[2], : faces.shape[3]]

    def _searched(self, code: Tensor, faces: Tensor) -> Tensor:
        for _ in range(self.steps):
            with torch.enable_grad():
                leaf = code.requires_grad_(True)
                made = self.generator(leaf) + 0.5
                (slope,) = torch.autograd.grad((made - faces).square().sum(), leaf)
            with torch.no_grad():
                probe = _PROBE * _norm(code) / _norm(slope).clamp(min=1e-12)
                along = (self.generator(code + probe * slope) + 0.5 - made) / probe
                best = ((made - faces) * along).sum(dim=(1, 2, 3), keepdim=True) / _norm(along).square().clamp(
                    min=1e-12
                )
                code = code - best * slope
        return code


class CloakDetector(nn.Module):
    """Faces (N, 3, h, w) in [0, 1] -> logits (N,) that they are cloaked; a face whose logit is `threshold` or more is
    called so. It sees the faces, and louder what differs from their blurred copies."""

    def __init__(self, threshold: float = 0.0, width: int = 16) -> None:
        super().__init__()
        self.threshold = threshold
        self.layers = nn.Sequential(
            _conv(6, width, stride=2), nn.BatchNorm2d(width), nn.ReLU(),
            _conv(width, 2 * width, stride=2), nn.BatchNorm2d(2 * width), nn.ReLU(),
            _conv(2 * width, 2 * width, stride=2), nn.BatchNorm2d(2 * width), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * width, 1),
        )  # fmt: skip

    def forward(self, faces: Tensor) -> Tensor:
        blurred = F.avg_pool2d(F.pad(faces, [1] * 4, mode="replicate"), 3, stride=1)
        logits: Tensor = self.layers(torch.cat([faces - 0.5, 8 * (faces - blurred)], dim=1))
        return logits[:, 0]


FRONTS: dict[str, type[Front]] = {
    kind.name: kind for kind in (Bits, Denoiser, JPEG, Median, Projection, TotalVariation)
}
"""By the names that cards use."""


def make_front(entry: Mapping[str, Any]) -> Front:
    """The front that a card's `entry` names, with fresh weights if it has any; raises ``CardError``."""
    settings = {key: value for key, value in entry.items() if key != "name"}
    if entry["name"] not in FRONTS:
        raise CardError(f'No front is called "{entry["name"]}". There are: {", ".join(FRONTS)}.')
    try:
        return FRONTS[entry["name"]](**settings)
    except (TypeError, SettingError) as error:
        raise CardError(f'The front "{entry["name"]}" cannot be made with {settings}: {error}') from error


def _norm(values: Tensor) -> Tensor:
    """Of each of `values` (N, C, h, w) on its own: (N, 1, 1, 1)."""
    return values.square().sum(dim=(1, 2, 3), keepdim=True).sqrt()


def _padded(faces: Tensor, unit: int) -> Tensor:
    """`faces` with sides that are multiples of `unit`."""
    height, width = faces.shape[-2:]
    return F.pad(faces, (0, -width % unit, 0, -height % unit), mode="replicate")


def _conv(before: int, behind: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(before, behind, 3, stride, padding=1, padding_mode="replicate")


def _within(part: Front, name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise SettingError(f"{part.name}: {name} must lie in {low:g} to {high:g}, got {value}.")
