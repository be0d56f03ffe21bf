"""Train the landmark network that comes with visard: what PFLD finds, by a network of a fifth of its size.

Its faces are the aligned ones of role `train`, the synthetic ones, and their mirror images. PFLD is asked once for
each; the student sees them turned, displaced, enlarged and relit anew at each step. The error is told on people kept
apart, as a share of the distance between the eyes' centers. Runs are seeded.

    python training/landmarks.py --data ROOT/data --teacher pfld_68.onnx --out landmarks.safetensors
"""

import argparse
import math
import time
from pathlib import Path

import torch
from torch import Generator, Tensor
from torch.nn.functional import interpolate, smooth_l1_loss

import pictures
from visard.cloak import Faces
from visard.face import to_template
from visard.generator.latent import EYES, Landmarker, LandmarkNetwork, onnx_landmarks
from visard.generator.learner import window
from visard.photo.files import write_whole

BATCH, RATE = 64, 2e-3
TEMPLATE = window(64)
CENTER = torch.tensor([[55.5], [61.0]])
_TURN, _SCALE, _SHIFT = math.radians(6), 0.06, 3.0  # standard deviations, the last in pixels of the canonical frame
_LIGHT, _CONTRAST, _DULL = 0.15, 0.25, 0.3


def error(found: Tensor, wanted: Tensor) -> Tensor:
    """Mean distance of points (N, 51, 2) from `wanted`, as a share of that between the eyes' centers, (N,)."""
    left, right = (wanted[:, eye].mean(dim=1) for eye in EYES)
    return (found - wanted).norm(dim=2).mean(dim=1) / (left - right).norm(dim=1)


def labeled(teacher: Landmarker, faces: Tensor) -> Tensor:
    """The teacher's points (K, 51, 2) of aligned `faces` (K, 3, 160, 160), uint8."""
    with torch.no_grad():
        return torch.cat([
            teacher.points(Faces(part.float() / 255, pictures.frames(len(part)))) for part in faces.split(64)
        ])  # fmt: skip


def seen(faces: Tensor, points: Tensor, random: Generator) -> tuple[Tensor, Tensor]:
    """Aligned `faces` (N, 3, 160, 160), uint8, as if another detector had found them, in another light, as crops
    (N, 3, 64, 64) in [0, 1], and where their `points` (N, 51, 2) lie then."""
    n = len(faces)
    angle, scale = torch.randn(n, generator=random) * _TURN, (torch.randn(n, generator=random) * _SCALE).exp()
    cos, sin = angle.cos() * scale, angle.sin() * scale
    linear = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)  # (N, 2, 2)
    shift = torch.randn((n, 2, 1), generator=random) * _SHIFT + CENTER - linear @ CENTER
    frames = pictures.frames(n)
    moved = torch.cat([frames[:, :, :2] @ linear, frames[:, :, :2] @ shift + frames[:, :, 2:]], dim=2)
    crops = to_template(faces.float() / 255, moved, TEMPLATE)
    gain, lift = torch.randn((2, n, 3, 1, 1), generator=random) * torch.tensor([_CONTRAST, _LIGHT]).view(2, 1, 1, 1, 1)
    crops = (crops - 0.5) * gain.mean(dim=1, keepdim=True).exp() + 0.5 + lift.mean(dim=1, keepdim=True) + lift / 4
    dull = torch.rand((n, 1, 1, 1), generator=random) < _DULL
    small = interpolate(crops, scale_factor=0.5, mode="area")
    crops = torch.where(dull, interpolate(small, scale_factor=2, mode="bilinear"), crops).clamp(0, 1)
    return crops, (points - shift.mT) @ torch.linalg.inv(linear).mT


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of lfw-160, sfhq-160 and tpdne-160")
    parser.add_argument("--teacher", type=Path, required=True, help="ONNX file of a network of 68 points")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--faces", type=int, default=1_000_000, help="so many of them at most")
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_flush_denormal(True)
    teacher = onnx_landmarks(args.teacher)
    random = Generator().manual_seed(args.seed)
    torch.manual_seed(args.seed)
    network = LandmarkNetwork()
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    faces, _ = pictures.load(args.data, validation=False)
    faces = faces[torch.randperm(len(faces), generator=random)[: args.faces]]
    faces = torch.cat([faces, faces.flip(3)])
    apart, _ = pictures.load(args.data, validation=True)
    begun = time.monotonic()
    points, goal = labeled(teacher, faces), labeled(teacher, apart)
    crops = to_template(apart.float() / 255, pictures.frames(len(apart)), TEMPLATE)
    print(f"{len(faces)} faces labeled in {time.monotonic() - begun:.0f} s, {len(apart)} kept apart", flush=True)

    for step in range(1, args.steps + 1):
        optimizer.param_groups[0]["lr"] = RATE * (1 - (step - 1) / args.steps)
        rows = torch.randint(len(faces), (BATCH,), generator=random)
        shown, wanted = seen(faces[rows], points[rows], random)
        optimizer.zero_grad()
        loss = smooth_l1_loss(network(shown), wanted)
        loss.backward()
        optimizer.step()
        if step % 500 == 0 or step == args.steps:
            with torch.no_grad():
                found = error(network.eval()(crops), goal).mean().item()
            network.train()
            print(step, f"loss {loss.item():.4f}, error {found:.4f} of the distance between the eyes", flush=True)
    write_whole(args.out, network.to_bytes(args.steps, teacher.sha256))
    seconds = time.monotonic() - begun
    print(f"{args.out}: {args.steps} steps in {seconds:.0f} s, {args.out.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
