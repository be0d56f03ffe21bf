"""TIP-IM: toward whichever of several other people is nearest to reach, with a term for naturalness.

Paper: Yang et al., "Towards face encryption by generating adversarial identity masks", ICCV 2021 (`yang2021tipim`),
with its published code. Per face x^r, D(a, b) = ||f(a) - f(b)||^2 on unit embeddings, meaned over the surrogates::

    L_t = D(x^p, x^t) - D(x^p, x^r) + gamma * MMD(X^p, X^r)         one loss per target t
    m_t = m + grad L_t / mean |grad L_t|,  x_t = clip(x^p - direction(m_t))
    x^p, m = x_t, m_t of the t with the largest gain(x_t)

Norm: Linf. Official arguments: eps 12/255, 10 targets, 100 steps of 1.5 eps / steps, momentum 1, direction `l2`
inside the Linf box; ours are the same, with as many targets as are given. Readings:

- `reduction` "sum" is the paper's D, "mean" the code's, a mean over the embedding's dimensions: a gamma for "sum" is
  the same as gamma / dimensions, / 512 in the code, for "mean".
- `gain` of a candidate, from its margins D(x_t, x^r) - D(x_t, x^i) over all targets i: their "sum", "min" or "max" (the
  code's default), or "logsumexp", log(1 + sum exp). D is always the sum here, as the choice must not hang on a unit;
  the code takes its root.
- `naturalness` "mmd-pixels" is the code's, each face a set of one, on gray levels of the crop; it takes any batch. The
  "mmd-features" compare the sets of all faces of a batch, as the paper writes it, by the middle convolution of each
  surrogate, features of unit length; a face's cloak then depends on its batch. Neither takes part in the choice.
- `merge`: the change is sought on the aligned crop, as in the code. "add" brings the change itself back; "paste" the
  whole crop, clipped again, which adds the blur of resampling (the code).

What differs: several surrogates may see the crop, each through its own template; the mask of the task weighs the
change before they see it; the code's random warp of the input is left out.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from visard.cloak import step
from visard.cloak.crop import crop_of
from visard.cloak.loop import Task
from visard.cloak.method import Method
from visard.cloak.naturalness import ConvolutionTap, middle_convolution, mmd, mmd_alone
from visard.errors import CloakError, SettingError

# From margins (..., T), each candidate's to all targets, to its gain.
_GAINS: dict[str, Callable[[Tensor], Tensor]] = {
    "sum": lambda margins: margins.sum(dim=-1),
    "min": lambda margins: margins.amin(dim=-1),
    "max": lambda margins: margins.amax(dim=-1),
    "logsumexp": lambda margins: margins.logsumexp(dim=-1).exp().log1p(),
}
# Crops whose activations are in memory at once when candidates are judged.
_AT_ONCE = 8


def tip_im(
    task: Task,
    *,
    eps: float = 12 / 255,
    steps: int = 100,
    gamma: float = 0.0,
    reach: float = 1.5,
    decay: float = 1.0,
    reduction: Literal["sum", "mean"] = "sum",
    gain: Literal["sum", "min", "max", "logsumexp"] = "sum",
    direction: Literal["l2", "sign"] = "l2",
    naturalness: Literal["mmd-pixels", "mmd-features"] = "mmd-pixels",
    merge: Literal["add", "paste"] = "add",
) -> Tensor:
    """`steps` steps within `eps`, in [0, 1]; all together could go `reach` times as far. `gamma` weighs `naturalness`,
    `decay` the momentum."""
    if not task.targets:
        raise CloakError("tip-im steers toward other people; give photos of them as targets.")
    if steps < 0:
        raise SettingError(f"steps must be 0 or more, got {steps}.")
    crop, alpha = crop_of(task), reach * eps / max(steps, 1)
    forward = step.l2(alpha) if direction == "l2" else step.sign(alpha)
    # D(a, t) - D(a, r) = 2 (cos(a, r) - cos(a, t)): the gradient and the margins need these differences only
    with torch.no_grad():
        wanted = [
            2 * (own.embed(view) - targets[:, None])  # (T, N, D)
            for own, view, targets in zip(task.surrogates, crop.views, task.targets, strict=True)
        ]
    natural: list[tuple[int, Tensor]] = []
    if gamma and naturalness == "mmd-features":
        natural = [middle_convolution(*pair) for pair in zip(task.surrogates, crop.views, strict=True)]

    def merged(change: Tensor) -> Tensor:
        return crop.brought_back(change) if merge == "add" else crop.pasted(change, eps)

    def slopes_at(change: Tensor) -> Tensor:
        """The gradients of all targets' losses, (T N, C, h, w), target by target."""
        slopes = change.new_zeros(len(wanted[0]), *change.shape)
        point = change.requires_grad_(True)
        for i, cotangents in enumerate(wanted):
            with ConvolutionTap(natural[i][0] if natural else 0) as tap:
                embedding = task.surrogates[i].embed(crop.seen_by(i, point))
            scale = 1 / (len(wanted) * (embedding.shape[1] if reduction == "mean" else 1))
            # one target after the other through one graph: on a CPU never slower than is_grads_batched, for several
            # faces up to 1.5 times as fast
            for slope, cotangent in zip(slopes, scale * cotangents, strict=True):
                slope += torch.autograd.grad(embedding, point, cotangent, retain_graph=True)[0]
            if tap.features is not None:
                unlike = len(change) * mmd(tap.features, natural[i][1]) / len(wanted)
                slopes += gamma * torch.autograd.grad(unlike, point)[0]
        if gamma and not natural:
            unlike = mmd_alone((255 * crop.masked(point)).square().sum(dim=(1, 2, 3))).sum()
            slopes += gamma * torch.autograd.grad(unlike, point)[0]
        return slopes.flatten(0, 1)

    def gains_of(candidates: Tensor) -> Tensor:
        """The gain of every candidate, (T, N)."""
        with torch.no_grad():
            embeddings = [
                torch.cat([s.embed(crop.seen_by(i, part)) for part in candidates.split(together)])
                for i, s in enumerate(task.surrogates)
            ]  # (T N, D) each
            margins = [
                torch.einsum("cnd,tnd->cnt", e.view(w.shape), -w) for e, w in zip(embeddings, wanted, strict=True)
            ]
        return _GAINS[gain](torch.stack(margins).mean(dim=0))

    change, memory = torch.zeros_like(crop.clean), torch.zeros_like(crop.clean)
    count, faces = len(wanted[0]), torch.arange(len(change))
    together = len(change) * max(1, _AT_ONCE // len(change))
    for t in range(1, steps + 1):
        memories = decay * memory.repeat(count, 1, 1, 1) + step.scaled(slopes_at(change))
        change = change.detach()
        candidates = crop.in_range((change.repeat(count, 1, 1, 1) - forward(memories)).clamp(-eps, eps))
        best = gains_of(candidates).argmax(dim=0) * len(change) + faces
        memory, change = memories[best], candidates[best]
        if task.listening:
            task.heard(t, merged(change))
    return merged(change)


TIP_IM = Method("tip-im", "yang2021tipim", "targeted", tip_im, many=True)
