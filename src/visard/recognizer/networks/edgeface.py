"""EdgeFace: EdgeNeXt with 512 outputs, its matrices in part of low rank.

George, Ecabert, Otroshi Shahreza, Kotwal, Marcel, "EdgeFace: efficient face recognition model for edge devices",
T-BIOM 2024; Maaz et al., "EdgeNeXt: efficiently amalgamated CNN-transformer architecture for mobile vision
applications", ECCV workshops 2022. Published weights: otroshi/edgeface, in the layout of timm.
"""

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visard.recognizer.networks.network import WHOLE_FRAME, Network

EPS = 1e-6
KERNELS = (3, 5, 7, 9)  # of the convolutions, per stage
SCALES = (2, 2, 3, 4)  # parts into which the last block of a stage splits its channels
FOURIER = 32  # frequencies of the position code


class LowRank(nn.Module):
    """A matrix as the product of two, of rank `ratio` times its smaller side."""

    def __init__(self, inputs: int, outputs: int, ratio: float) -> None:
        super().__init__()
        rank = max(2, int(min(inputs, outputs) * ratio))
        self.linear1 = nn.Linear(inputs, rank, bias=False)
        self.linear2 = nn.Linear(rank, outputs)

    def forward(self, x: Tensor) -> Tensor:
        product: Tensor = self.linear2(self.linear1(x))
        return product


def _linear(inputs: int, outputs: int, ratio: float | None) -> nn.Module:
    return nn.Linear(inputs, outputs) if ratio is None else LowRank(inputs, outputs, ratio)


class ChannelNorm(nn.LayerNorm):
    """Normalizes over the channels of (N, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=EPS)

    def forward(self, x: Tensor) -> Tensor:
        normalized: Tensor = super().forward(x.permute(0, 2, 3, 1))
        return normalized.permute(0, 3, 1, 2)


class Mlp(nn.Module):
    """Two matrices with a GELU between them, along the last axis."""

    def __init__(self, width: int, ratio: float | None) -> None:
        super().__init__()
        self.fc1 = _linear(width, 4 * width, ratio)
        self.fc2 = _linear(4 * width, width, ratio)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class ConvBlock(nn.Module):
    """A filter per channel, then an MLP per pixel; added to its input."""

    def __init__(self, width: int, kernel: int, ratio: float | None) -> None:
        super().__init__()
        self.conv_dw = nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width, eps=EPS)
        self.mlp = Mlp(width, ratio)
        self.gamma = nn.Parameter(torch.full((width,), 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        branch: Tensor = self.conv_dw(x).permute(0, 2, 3, 1)  # (N, C, H, W) -> (N, H, W, C)
        branch = self.gamma * self.mlp(self.norm(branch))
        return x + branch.permute(0, 3, 1, 2)


class PositionCode(nn.Module):
    """Sines and cosines of a pixel's place, mapped to the width of the tokens: (1, C, H, W)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.token_projection = nn.Conv2d(2 * FOURIER, width, 1)

    def forward(self, height: int, width: int) -> Tensor:
        like = self.token_projection.weight
        frequencies = 10000 ** -(torch.arange(0, FOURIER, 2, dtype=like.dtype, device=like.device) / FOURIER)

        def code(length: int) -> Tensor:  # (FOURIER, length)
            places = torch.arange(1, length + 1, dtype=like.dtype, device=like.device) / (length + EPS) * 2 * math.pi
            angles = places * frequencies[:, None]
            return torch.stack([angles.sin(), angles.cos()], dim=1).flatten(0, 1)

        rows = code(height)[:, :, None].expand(-1, -1, width)
        columns = code(width)[:, None].expand(-1, height, -1)
        projected: Tensor = self.token_projection(torch.cat([rows, columns])[None])
        return projected


class ChannelAttention(nn.Module):
    """Attention among channels, not pixels: tokens (N, L, C) -> (N, L, C)."""

    def __init__(self, width: int, heads: int, ratio: float | None) -> None:
        super().__init__()
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = _linear(width, 3 * width, ratio)
        self.proj = _linear(width, width, ratio)

    def forward(self, x: Tensor) -> Tensor:
        n, length, width = x.shape
        qkv = self.qkv(x).view(n, length, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 4, 1)  # each (N, heads, C / heads, L)
        similarity = F.normalize(query, dim=-1) @ F.normalize(key, dim=-1).transpose(-2, -1)
        mixed = (similarity * self.temperature).softmax(dim=-1) @ value
        projected: Tensor = self.proj(mixed.permute(0, 3, 1, 2).reshape(n, length, width))
        return projected


class SplitBlock(nn.Module):
    """Parts of the channels, each filtered with what the one before gave; channel attention; an MLP per pixel."""

    def __init__(self, width: int, scales: int, heads: int, ratio: float | None, *, positions: bool) -> None:
        super().__init__()
        self.part = math.ceil(width / scales)
        self.convs = nn.ModuleList(
            nn.Conv2d(self.part, self.part, 3, padding=1, groups=self.part) for _ in range(scales - 1)
        )
        self.pos_embd = PositionCode(width) if positions else None
        self.norm_xca = nn.LayerNorm(width, eps=EPS)
        self.gamma_xca = nn.Parameter(torch.full((width,), 1e-6))
        self.xca = ChannelAttention(width, heads, ratio)
        self.norm = nn.LayerNorm(width, eps=EPS)
        self.mlp = Mlp(width, ratio)
        self.gamma = nn.Parameter(torch.full((width,), 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        n, channels, height, width = x.shape
        *parts, last = x.split(self.part, dim=1)
        filtered: list[Tensor] = []
        for conv, part in zip(self.convs, parts, strict=True):
            filtered.append(conv(part + filtered[-1] if filtered else part))
        maps = torch.cat([*filtered, last], dim=1)
        if self.pos_embd is not None:
            maps = maps + self.pos_embd(height, width)
        tokens = maps.flatten(2).transpose(1, 2)  # (N, C, H, W) -> (N, H W, C)
        tokens = tokens + self.gamma_xca * self.xca(self.norm_xca(tokens))
        branch: Tensor = self.gamma * self.mlp(self.norm(tokens))
        return x + branch.transpose(1, 2).reshape(n, channels, height, width)


class Stage(nn.Module):
    """Blocks of one resolution, behind a halving unless it is the first stage."""

    def __init__(self, number: int, inputs: int, width: int, depth: int, heads: int, ratio: float | None) -> None:
        super().__init__()
        self.downsample: nn.Module = nn.Identity()
        if number:
            self.downsample = nn.Sequential(ChannelNorm(inputs), nn.Conv2d(inputs, width, 2, 2))
        convs = depth - 1 if number else depth
        blocks: list[nn.Module] = [ConvBlock(width, KERNELS[number], ratio) for _ in range(convs)]
        if number:
            blocks.append(SplitBlock(width, SCALES[number], heads, ratio, positions=number == 1))
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        maps: Tensor = self.blocks(self.downsample(x))
        return maps


class EdgeFace(nn.Module):
    """(N, 3, 112, 112) -> (N, 512). `ratio`: the rank of the matrices as a share of their smaller side."""

    def __init__(
        self, widths: tuple[int, ...], depths: tuple[int, ...], heads: int, ratio: float | None = None
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, widths[0], 4, 4), ChannelNorm(widths[0]))
        inputs = (widths[0], *widths[:-1])
        self.stages = nn.Sequential(
            *(Stage(i, inputs[i], widths[i], depths[i], heads, ratio) for i in range(len(widths)))
        )
        self.head = nn.ModuleDict({"norm": ChannelNorm(widths[-1]), "fc": _linear(widths[-1], 512, ratio)})
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.stages(self.stem(x))
        means = self.head["norm"](maps.mean(dim=(2, 3), keepdim=True))  # (N, C, 1, 1)
        embeddings: Tensor = self.head["fc"](means.flatten(1))
        return embeddings


_X_SMALL = partial(EdgeFace, (32, 64, 100, 192), (3, 3, 9, 3), 4)
_SMALL = partial(EdgeFace, (48, 96, 160, 304), (3, 3, 9, 3), 8)

NETWORKS = tuple(
    Network(
        name, build, dict, (112, 112), WHOLE_FRAME, (127.5,) * 3, (127.5,) * 3, 512, "George et al., T-BIOM 2024"
    )
    for name, build in (
        ("edgeface-xxs", partial(EdgeFace, (24, 48, 88, 168), (2, 2, 6, 2), 4)),
        ("edgeface-xs", _X_SMALL),
        ("edgeface-xs-gamma-06", partial(_X_SMALL, 0.6)),
        ("edgeface-s-gamma-05", partial(_SMALL, 0.5)),
        ("edgeface-base", partial(EdgeFace, (80, 160, 288, 584), (3, 3, 9, 3), 8)),
    )
)  # fmt: skip
