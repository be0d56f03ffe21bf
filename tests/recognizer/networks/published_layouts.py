"""The published networks written out function by function over their files' own names.

A ``Checkpoint`` makes an entry up the first time it is asked for; so one run gives both a random checkpoint in the
published layout and the embeddings that belong to it. Layer by layer from the papers and from the files' names.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

DEPTHS = {18: (2, 2, 2, 2), 50: (3, 4, 14, 3)}
WIDTHS = (64, 128, 256, 512)


class Checkpoint(dict[str, Tensor]):
    def __init__(self, seed: int = 0, eps: float = 1e-5) -> None:
        super().__init__()
        self.generator, self.eps = torch.Generator().manual_seed(seed), eps

    def normal(self, key: str, *shape: int, std: float) -> Tensor:
        return self.setdefault(key, torch.randn(*shape, generator=self.generator) * std)

    def uniform(self, key: str, count: int, low: float, high: float) -> Tensor:
        return self.setdefault(key, low + (high - low) * torch.rand(count, generator=self.generator))

    def conv(
        self,
        key: str,
        x: Tensor,
        channels: int,
        kernel: int | tuple[int, int],
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
        *,
        groups: int = 1,
        bias: bool = False,
    ) -> Tensor:
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        inputs = x.shape[1] // groups
        std = (2 / (inputs * height * width)) ** 0.5
        weight = self.normal(f"{key}.weight", channels, inputs, height, width, std=std)
        offset = self.normal(f"{key}.bias", channels, std=0.1) if bias else None
        return F.conv2d(x, weight, offset, stride, padding, 1, groups)

    def linear(self, key: str, x: Tensor, outputs: int, *, bias: bool = True) -> Tensor:
        if f"{key}.weight" not in self:
            # one random column, repeated with signs: large matrices cost no time or memory
            column = torch.randn(outputs, 1, generator=self.generator) / x.shape[1] ** 0.5
            signs = torch.randn(x.shape[1], generator=self.generator).sign()
            self[f"{key}.weight"] = column * signs if x.shape[1] < 20000 else column.expand(-1, x.shape[1])
        offset = self.normal(f"{key}.bias", outputs, std=1) if bias else None
        return F.linear(x, self[f"{key}.weight"], offset)

    def bn(self, key: str, x: Tensor, *, affine: bool = True) -> Tensor:
        count = x.shape[1]
        weight = self.uniform(f"{key}.weight", count, 0.3, 0.9) if affine else None
        bias = self.normal(f"{key}.bias", count, std=0.2) if affine else None
        mean = self.normal(f"{key}.running_mean", count, std=0.2)
        return F.batch_norm(x, mean, self.uniform(f"{key}.running_var", count, 0.5, 1.5), weight, bias, eps=self.eps)

    def prelu(self, key: str, x: Tensor) -> Tensor:
        return F.prelu(x, self.uniform(f"{key}.weight", x.shape[1], 0.1, 0.4))


def insightface(s: Checkpoint, x: Tensor, layers: int) -> Tensor:
    x = s.prelu("prelu", s.bn("bn1", s.conv("conv1", x, 64, 3, 1, 1)))
    for layer, (width, count) in enumerate(zip(WIDTHS, DEPTHS[layers], strict=True), start=1):
        for i in range(count):
            name, stride = f"layer{layer}.{i}", 1 if i else 2
            y = s.prelu(
                f"{name}.prelu", s.bn(f"{name}.bn2", s.conv(f"{name}.conv1", s.bn(f"{name}.bn1", x), width, 3, 1, 1))
            )
            y = s.bn(f"{name}.bn3", s.conv(f"{name}.conv2", y, width, 3, stride, 1))
            if i == 0:
                x = s.bn(f"{name}.downsample.1", s.conv(f"{name}.downsample.0", x, width, 1, stride))
            x = x + y
    return s.bn("features", s.linear("fc", s.bn("bn2", x).flatten(1), 512))


def sequential_ir(s: Checkpoint, x: Tensor, layers: int, *, adaface: bool = False, se: bool = False) -> Tensor:
    """TreB1eN's and face.evoLVe's layout, or AdaFace's."""
    x = s.prelu("input_layer.2", s.bn("input_layer.1", s.conv("input_layer.0", x, 64, 3, 1, 1)))
    unit = 0
    for width, count in zip(WIDTHS, DEPTHS[layers], strict=True):
        for i in range(count):
            name, stride = f"body.{unit}", 1 if i else 2
            y = s.conv(f"{name}.res_layer.1", s.bn(f"{name}.res_layer.0", x), width, 3, 1, 1)
            at = 2
            if adaface:
                y, at = s.bn(f"{name}.res_layer.2", y), 3
            y = s.prelu(f"{name}.res_layer.{at}", y)
            y = s.bn(f"{name}.res_layer.{at + 2}", s.conv(f"{name}.res_layer.{at + 1}", y, width, 3, stride, 1))
            if se:
                fc = f"{name}.res_layer.{at + 3}.fc"
                weights = F.relu(s.conv(f"{fc}1", F.adaptive_avg_pool2d(y, 1), width // 16, 1))
                y = y * s.conv(f"{fc}2", weights, width, 1).sigmoid()
            if x.shape[1] == width:
                x = x[:, :, ::stride, ::stride]
            else:
                x = s.bn(f"{name}.shortcut_layer.1", s.conv(f"{name}.shortcut_layer.0", x, width, 1, stride))
            x, unit = x + y, unit + 1
    x = s.linear("output_layer.3", s.bn("output_layer.0", x).flatten(1), 512)
    return s.bn("output_layer.4", x, affine=not adaface)


def resnet50(s: Checkpoint, x: Tensor, *, se: bool, oxford: bool, dim: int | None = None) -> Tensor:
    """VGGFace2's, by the names of the Caffe conversion or, `oxford`, by MatConvNet's."""

    def name(layer: int, block: int, part: str) -> str:
        caffe = {"1x1_reduce": "conv1", "3x3": "conv2", "1x1_increase": "conv3", "1x1_down": "conv4", "1x1_up": "conv5"}
        ours = f"layer{layer}.{block}.{caffe.get(part, 'downsample.0')}"
        return f"conv{layer + 1}_{block + 1}_{part}" if oxford else ours

    def norm(conv: str, y: Tensor) -> Tensor:
        ours = conv.replace("downsample.0", "downsample.1").replace(".conv", ".bn")
        return s.bn(f"{conv}_bn" if oxford else ours, y)

    y = s.conv("conv1_7x7_s2" if oxford else "conv1", x, 64, 7, 2, 3)
    x = F.max_pool2d(s.bn("conv1_7x7_s2_bn" if oxford else "bn1", y).relu(), 3, 2, ceil_mode=True)
    for layer, (width, count) in enumerate(zip(WIDTHS, (3, 4, 6, 3), strict=True), start=1):
        for i in range(count):
            stride = 2 if i == 0 and layer > 1 else 1
            reduce, middle, increase = (name(layer, i, part) for part in ("1x1_reduce", "3x3", "1x1_increase"))
            y = norm(reduce, s.conv(reduce, x, width, 1, stride)).relu()
            y = norm(middle, s.conv(middle, y, width, 3, 1, 1)).relu()
            y = norm(increase, s.conv(increase, y, 4 * width, 1))
            if se:
                down = s.conv(name(layer, i, "1x1_down"), F.adaptive_avg_pool2d(y, 1), width // 4, 1, bias=True)
                y = y * s.conv(name(layer, i, "1x1_up"), down.relu(), 4 * width, 1, bias=True).sigmoid()
            if i == 0:
                project = name(layer, i, "1x1_proj")
                x = norm(project, s.conv(project, x, 4 * width, 1, stride))
            x = (x + y).relu()
    x = F.adaptive_avg_pool2d(x, 1)
    return (x if dim is None else s.conv("feat_extract", x, dim, 1)).flatten(1)


def facenet(s: Checkpoint, x: Tensor) -> Tensor:
    s.eps = 1e-3

    def basic(key: str, y: Tensor, *shape: int | tuple[int, int]) -> Tensor:
        return s.bn(f"{key}.bn", s.conv(f"{key}.conv", y, *shape)).relu()  # type: ignore[arg-type]

    def chain(key: str, y: Tensor, *shapes: tuple[int | tuple[int, int], ...]) -> Tensor:
        for i, shape in enumerate(shapes):
            y = basic(f"{key}.{i}", y, *shape)
        return y

    def residual(key: str, y: Tensor, branches: list[Tensor], scale: float) -> Tensor:
        return y + scale * s.conv(f"{key}.conv2d", torch.cat(branches, 1), y.shape[1], 1, bias=True)

    x = basic("conv2d_2a", basic("conv2d_1a", x, 32, 3, 2), 32, 3)
    x = F.max_pool2d(basic("conv2d_2b", x, 64, 3, 1, 1), 3, 2)
    x = basic("conv2d_4b", basic("conv2d_4a", basic("conv2d_3b", x, 80, 1), 192, 3), 256, 3, 2)
    one, three = (32, 1), (32, 3, 1, 1)
    for i in range(5):
        key = f"repeat_1.{i}"
        branches = [basic(f"{key}.branch0", x, 32, 1), chain(f"{key}.branch1", x, one, three)]
        x = residual(key, x, [*branches, chain(f"{key}.branch2", x, one, three, three)], 0.17).relu()
    mixed = [
        basic("mixed_6a.branch0", x, 384, 3, 2),
        chain("mixed_6a.branch1", x, (192, 1), (192, 3, 1, 1), (256, 3, 2)),
    ]
    x = torch.cat([*mixed, F.max_pool2d(x, 3, 2)], 1)
    for i in range(10):
        key = f"repeat_2.{i}"
        long = chain(f"{key}.branch1", x, (128, 1), (128, (1, 7), 1, (0, 3)), (128, (7, 1), 1, (3, 0)))
        x = residual(key, x, [basic(f"{key}.branch0", x, 128, 1), long], 0.1).relu()
    mixed = [chain("mixed_7a.branch0", x, (256, 1), (384, 3, 2)), chain("mixed_7a.branch1", x, (256, 1), (256, 3, 2))]
    mixed.append(chain("mixed_7a.branch2", x, (256, 1), (256, 3, 1, 1), (256, 3, 2)))
    x = torch.cat([*mixed, F.max_pool2d(x, 3, 2)], 1)
    for i, key in enumerate([*(f"repeat_3.{i}" for i in range(5)), "block8"]):
        long = chain(f"{key}.branch1", x, (192, 1), (192, (1, 3), 1, (0, 1)), (192, (3, 1), 1, (1, 0)))
        x = residual(key, x, [basic(f"{key}.branch0", x, 192, 1), long], 0.2 if i < 5 else 1.0)
        x = x.relu() if i < 5 else x
    return s.bn("last_bn", s.linear("last_linear", x.mean(dim=(2, 3)), 512, bias=False))


VGG_GROUPS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


def vgg(s: Checkpoint, x: Tensor) -> Tensor:
    """VGG-Face, by MatConvNet's names."""
    for group, (width, count) in enumerate(VGG_GROUPS, start=1):
        for i in range(1, count + 1):
            x = s.conv(f"conv{group}_{i}", x, width, 3, 1, 1, bias=True).relu()
        x = F.max_pool2d(x, 2)
    return s.linear("fc7", s.linear("fc6", x.flatten(1), 4096).relu(), 4096).relu()


def vgg_places() -> dict[str, int]:
    """Where each of those layers stands when rectifiers, maxima and dropout are counted too."""
    places, place = {}, 0
    for group, (_, count) in enumerate(VGG_GROUPS, start=1):
        places |= {f"conv{group}_{i}": place + 2 * (i - 1) for i in range(1, count + 1)}
        place += 2 * count + 1
    return places | {"fc6": place + 1, "fc7": place + 4}


def sphere20(s: Checkpoint, x: Tensor, *, cosface: bool) -> Tensor:
    for stage, (width, count) in enumerate(zip(WIDTHS, (1, 2, 4, 1), strict=True), start=1):
        conv, act = (f"layer{stage}.0", f"layer{stage}.1") if cosface else (f"conv{stage}_1", f"relu{stage}_1")
        x = s.prelu(act, s.conv(conv, x, width, 3, 2, 1, bias=True))
        for i in range(count):
            y = x
            for half in (1, 2):
                unit, number = f"layer{stage}.{2 + i}", 1 + 2 * i + half
                conv = f"{unit}.conv{half}" if cosface else f"conv{stage}_{number}"
                act = f"{unit}.prelu{half}" if cosface else f"relu{stage}_{number}"
                y = s.prelu(act, s.conv(conv, y, width, 3, 1, 1, bias=not cosface))
            x = x + y
    return s.linear("fc" if cosface else "fc5", x.flatten(1), 512)


def mobilefacenet(s: Checkpoint, x: Tensor) -> Tensor:
    """TreB1eN's."""

    def block(key: str, y: Tensor, channels: int, kernel: int, stride: int = 1, groups: int = 1) -> Tensor:
        y = s.bn(f"{key}.bn", s.conv(f"{key}.conv", y, channels, kernel, stride, kernel // 2, groups=groups))
        return s.prelu(f"{key}.prelu", y)

    def bottleneck(key: str, y: Tensor, hidden: int, channels: int, stride: int) -> Tensor:
        y = block(f"{key}.conv_dw", block(f"{key}.conv", y, hidden, 1), hidden, 3, stride, hidden)
        return s.bn(f"{key}.project.bn", s.conv(f"{key}.project.conv", y, channels, 1))

    x = block("conv2_dw", block("conv1", x, 64, 3, 2), 64, 3, 1, 64)
    for down, same, hidden, width, channels, count in (
        ("conv_23", "conv_3", 128, 128, 64, 4),
        ("conv_34", "conv_4", 256, 256, 128, 6),
        ("conv_45", "conv_5", 512, 256, 128, 2),
    ):
        x = bottleneck(down, x, hidden, channels, 2)
        for i in range(count):
            x = x + bottleneck(f"{same}.model.{i}", x, width, channels, 1)
    x = s.conv("conv_6_dw.conv", block("conv_6_sep", x, 512, 1), 512, 7, groups=512)
    x = s.linear("linear", s.bn("conv_6_dw.bn", x).flatten(1), 512, bias=False)
    return s.bn("bn", x)
