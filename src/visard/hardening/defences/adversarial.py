"""adversarial: cloaks of several methods, made on the fly against the weights as they are, and the base's word on them.

Every step takes a batch of clean faces, half of them mirrored, and cloaks them by one method drawn at random: sign
steps from random starts (PGD), accumulated gradients of displaced faces (momentum with input diversity), the flagship's
structure-bounded steps, with `pattern` one change for all faces of the batch, coarse and strong, as trained generators
paint (universal adversarial training), or one of the material's cloaks, which were made beforehand. Some are made
against the base instead, whose cloaks are out in the world. Strengths are drawn too, and a share of the faces has been
saved as JPEG. Of the clean and of the cloaked faces alike the network is asked for the embedding that the base has of
the clean ones, and for the similarities between them (Park et al., CVPR 2019, with cosines in place of distances). No
identity label is used: whom the base can tell apart stays apart, so clean accuracy holds, and people with one photo
teach as much as others.

Papers: Madry et al., "Towards deep learning models resistant to adversarial attacks", ICLR 2018, equation 2.1 (train
on the worst faces within the budget); Goldblum et al., "Adversarially robust distillation", AAAI 2020, equation 4 (the
base's clean answer is the label of the cloaked face); Zhang et al., "Theoretically principled trade-off between
robustness and accuracy" (TRADES), ICML 2019, equation 5 (a clean term and a term between clean and cloaked, weighed);
Shafahi et al., "Universal adversarial training", AAAI 2020 (one change for all; theirs goes on from step to step, ours
begins anew).

What differs: embeddings and cosines in place of class probabilities, methods of different kinds in place of one, no
temperature. Weights ask for no gradient while a cloak is made, and the network is in evaluation mode then. While it
learns, batch normalization takes its statistics from the batch, half clean and half cloaked, and keeps their running
mean: with frozen statistics the same steps resist less, for about the same clean accuracy. Dropout stays off.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from visard.cloak import Faces, Task, dodging, find
from visard.cloak.budget import Linf
from visard.cloak.loop import descend as follow
from visard.errors import SettingError
from visard.face.patch import face_mask
from visard.generator import window
from visard.generator.learner import frames_in
from visard.hardening.defence import Defence
from visard.hardening.descent import descend, told
from visard.hardening.material import Material, as_posted, seen_by
from visard.recognizer import Recognizer, derived

_WEAKEST = 0.25  # cloak, as a share of the strongest
_QUALITIES = 50, 96  # of JPEG, from and below
_LOST = 0.025  # of the structural similarity, to the strongest of the flagship's cloaks: what its default may cost
_PATTERN, _CELL = "pattern", 4  # the change that all faces share; the side of its cells, px
# from a strength in [0, 1], eps and the number of steps to the settings of a method
_CLOAKS: dict[str, Callable[[float, float, int], dict[str, Any]]] = {
    "pgd": lambda strength, eps, steps: {"eps": strength * eps, "alpha": 2.5 * strength * eps / steps, "steps": steps},
    "mi-di-fgsm": lambda strength, eps, steps: {
        "eps": strength * eps,
        "alpha": 1.25 * strength * eps / steps,
        "steps": steps,
    },
    "visard": lambda strength, _eps, steps: {"ssim": 1 - strength * _LOST, "rate": 1.5 / steps, "steps": steps},
}


def adversarial(
    base: Recognizer,
    material: Material,
    *,
    steps: int = 400,
    batch: int = 16,
    rate: float = 5e-4,
    eps: float = 4 / 255,
    attack_steps: int = 3,
    weight: float = 1.0,
    relation: float = 20.0,
    live: float = 0.5,
    past: float = 0.0,
    pattern: float = 0.0,
    saved: float = 0.5,
) -> Recognizer:
    """`steps` steps of Adam at `rate`, which falls to zero, each on `batch` faces, clean and cloaked.

    `live`: the share of the batches, in [0, 1], whose cloaks are made on the fly, where there are others;
    `attack_steps` of each; `past`: the share of them, in [0, 1], that is made against the base; `eps`: the strongest of
    sign steps, in [0, 1], `pattern`: of the change that all faces share, 0 for none such; `saved`: the share of them
    that is saved as JPEG. `weight` of the cloaked faces beside the clean ones, `relation` of the similarities beside
    the embeddings. Raises ``SettingError`` for settings out of range and ``HardeningError`` when the training comes
    apart, or its checkpoint is damaged or another's.
    """
    if min(steps, batch, attack_steps) < 1:
        raise SettingError("adversarial: steps, batch and attack_steps must be 1 or more.")
    if max(live, past, pattern, saved) > 1:
        given = f"{live:g}, {past:g}, {pattern:g} and {saved:g}"
        raise SettingError(f"adversarial: live, past, pattern and saved are at most 1, got {given}.")
    settings = {
        "steps": steps, "batch": batch, "rate": rate, "eps": eps, "attack_steps": attack_steps, "weight": weight,
        "relation": relation, "live": live, "past": past, "pattern": pattern, "saved": saved,
    }  # fmt: skip
    methods = ", ".join([*_live(settings), *material.cloaked])
    facts = {"loss": f"distilled from {base.name}, clean and under cloaks of {methods}"}
    hardened = derived(base, facts={**facts, **told(base, "adversarial", material, settings)})
    lesson = _Lesson(base, hardened, material, settings)
    descend("adversarial", base, material, settings, hardened.network, lesson.loss)
    return hardened


class _Lesson:
    """What `hardened` is asked for in a step."""

    def __init__(self, base: Recognizer, hardened: Recognizer, material: Material, settings: Mapping[str, Any]) -> None:
        self.base, self.hardened, self.material, self.settings = base, hardened, material, settings
        size = material.clean.size
        frame = frames_in(window(size), 1)
        self.frames, self.mask = frame.expand(settings["batch"], -1, -1), face_mask(frame, size)

    def loss(self, generator: Generator) -> Tensor:
        """Of a batch of faces, clean and cloaked."""
        settings, given = self.settings, self.material.cloaked
        rows = torch.randint(len(self.material.clean), (settings["batch"],), generator=generator)
        flips = torch.rand(settings["batch"], 1, 1, 1, generator=generator) < 0.5
        faces = _flipped(self.material.clean.pixels[rows], flips)
        with torch.no_grad():
            wanted, mirrored = (self.base.embed(seen_by(self.base, x)) for x in (faces, faces.flip(3)))
        live = not given or float(torch.rand((), generator=generator)) < settings["live"]
        names = _live(settings) if live else list(given)
        method = names[int(torch.randint(len(names), (), generator=generator))]
        if live:
            self._learning(False)
            cloaked = self._cloaked(method, faces, F.normalize(wanted + mirrored), generator)
        else:
            cloaked = _flipped(given[method][rows], flips)
        self._learning(True)
        found = self.hardened.embed(seen_by(self.hardened, torch.cat([faces, cloaked])))
        both = torch.cat([wanted, wanted])
        of_clean, of_cloaked = (1 - (found * both).sum(dim=1)).chunk(2)
        relation = F.mse_loss(found @ found.T, both @ both.T)
        loss: Tensor = of_clean.mean() + settings["weight"] * of_cloaked.mean() + settings["relation"] * relation
        return loss

    def _cloaked(self, method: str, faces: Tensor, anchors: Tensor, generator: Generator) -> Tensor:
        """`faces` (N, 3, s, s) in [0, 1] under a cloak of `method`, which leads away from `anchors` (N, D)."""
        settings = self.settings
        strength = _WEAKEST + (1 - _WEAKEST) * float(torch.rand((), generator=generator))
        # no number is drawn where none is needed, so that runs without cloaks of the past stay as they were
        past = settings["past"] and float(torch.rand((), generator=generator)) < settings["past"]
        against = self.base if past else self.hardened
        task = Task(Faces(faces, self.frames), dodging([against], [anchors]), self.mask, generator)
        if method == _PATTERN:
            change = pattern(task, strength * settings["pattern"], settings["attack_steps"])
        else:
            change = find(method).cloak(task, **_CLOAKS[method](strength, settings["eps"], settings["attack_steps"]))
        cloaked = (faces + task.masked(change.detach())).clamp(0, 1)
        if float(torch.rand((), generator=generator)) < settings["saved"]:
            quality = int(torch.randint(*_QUALITIES, (), generator=generator))
            cloaked = as_posted(cloaked, quality).float() / 255
        return cloaked

    def _learning(self, wanted: bool) -> None:
        for weight in self.hardened.network.parameters():
            weight.requires_grad_(wanted)
        for module in self.hardened.network.modules():
            module.train(wanted and isinstance(module, nn.modules.batchnorm._BatchNorm))


def pattern(task: Task, eps: float, steps: int) -> Tensor:
    """One coarse change (N, C, H, W) for all faces, within `eps` in [0, 1]: from random cells, `steps` steps along the
    mean of the gradients, whose largest cell takes eps / 2, so that it is strong in few places."""

    def coarse(change: Tensor) -> Tensor:
        cells = F.avg_pool2d(change.mean(dim=0, keepdim=True), _CELL)
        cells = cells / cells.abs().amax().clamp(min=1e-12)
        return F.interpolate(cells, size=change.shape[-2:], mode="bilinear", align_corners=False).expand_as(change)

    return follow(
        task,
        step=lambda gradient: eps / 2 * coarse(gradient),
        budget=Linf(eps),
        steps=steps,
        init=lambda clean: eps / 4 * coarse(torch.rand(clean.shape, generator=task.generator) - 0.5),
    )


def _live(settings: Mapping[str, Any]) -> list[str]:
    """The cloaks that are made on the fly."""
    return [*_CLOAKS, *([_PATTERN] if settings["pattern"] else [])]


def _flipped(faces: Tensor, flips: Tensor) -> Tensor:
    """`faces` (N, 3, s, s), uint8, in [0, 1], those mirrored of which `flips` (N, 1, 1, 1) says so."""
    values = faces.float() / 255
    return torch.where(flips, values.flip(3), values)


ADVERSARIAL = Defence("adversarial", "Madry et al. 2018; Goldblum et al. 2020; Zhang et al. 2019", adversarial)
