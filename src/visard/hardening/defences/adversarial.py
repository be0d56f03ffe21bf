"""adversarial: cloaks of several methods, made on the fly against the weights as they are, and the base's word on them.

Every step takes a batch of clean faces, half of them mirrored, and cloaks them by one method drawn at random: sign
steps from random starts (PGD), accumulated gradients of displaced faces (momentum with input diversity), the flagship's
structure-bounded steps, or one of the material's cloaks, which were made beforehand. Strengths are drawn too, and a
share of the faces has been saved as JPEG. Of the clean and of the cloaked faces alike the network is asked for the
embedding that the base has of the clean ones, and for the similarities between them (Park et al., CVPR 2019, with
cosines in place of distances). No identity label is used: whom the base can tell apart stays apart, so clean accuracy
holds, and people with one photo teach as much as others.

Papers: Madry et al., "Towards deep learning models resistant to adversarial attacks", ICLR 2018, equation 2.1 (train
on the worst faces within the budget); Goldblum et al., "Adversarially robust distillation", AAAI 2020, equation 4 (the
base's clean answer is the label of the cloaked face); Zhang et al., "Theoretically principled trade-off between
robustness and accuracy" (TRADES), ICML 2019, equation 5 (a clean term and a term between clean and cloaked, weighed).

What differs: embeddings and cosines in place of class probabilities, methods of different kinds in place of one, no
temperature. Weights ask for no gradient while a cloak is made. The network is in evaluation mode throughout: running
statistics of batch normalization stay as they were, its scales and shifts learn.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from visard.cloak import Faces, Task, dodging, find
from visard.errors import HardeningError, SettingError
from visard.face.patch import face_mask
from visard.generator import window
from visard.generator.learner import frames_in
from visard.hardening.checkpoint import SAVE_SECONDS, load_state, record_of, save_state
from visard.hardening.defence import Defence
from visard.hardening.material import Material, as_posted, seen_by
from visard.recognizer import Recognizer, derived

_EVERY = 25  # steps between two lines
_FADES = 0.2  # the share of the steps, the last ones, in which the rate falls to zero
_WEAKEST = 0.25  # cloak, as a share of the strongest
_QUALITIES = 50, 96  # of JPEG, from and below
_LOST = 0.06  # of the structural similarity, to the strongest of the flagship's cloaks
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
    rate: float = 2e-4,
    eps: float = 12 / 255,
    attack_steps: int = 3,
    weight: float = 1.0,
    relation: float = 20.0,
    live: float = 0.5,
    saved: float = 0.5,
) -> Recognizer:
    """`steps` steps of Adam at `rate`, each on `batch` faces, clean and cloaked.

    `live`: the share of the batches, in [0, 1], whose cloaks are made on the fly, where there are others;
    `attack_steps` of each; `eps`: the strongest of sign steps, in [0, 1]; `saved`: the share of them that is saved as
    JPEG. `weight` of the cloaked faces beside the clean ones, `relation` of the similarities beside the embeddings.
    Raises ``SettingError`` for settings out of range and ``HardeningError`` when the training comes apart, or its
    checkpoint is damaged or another's.
    """
    if min(steps, batch, attack_steps) < 1:
        raise SettingError("adversarial: steps, batch and attack_steps must be 1 or more.")
    if max(live, saved) > 1:
        raise SettingError(f"adversarial: live and saved are shares, at most 1, got {live:g} and {saved:g}.")
    if material.device != "cpu":
        raise HardeningError("adversarial makes its cloaks on the CPU; leave the device out.")
    settings = {
        "steps": steps, "batch": batch, "rate": rate, "eps": eps, "attack_steps": attack_steps, "weight": weight,
        "relation": relation, "live": live, "saved": saved,
    }  # fmt: skip
    training = _Training(base, material, settings)
    record = record_of("adversarial", base, material, settings)
    if material.checkpoint is not None:
        training.resume(load_state(material.checkpoint, record))
    saved_at = time.monotonic()
    while training.done < steps:
        terms = training.step()
        if training.done % _EVERY == 0 or training.done in (1, steps):
            words = ", ".join(f"{name} {value:.4f}" for name, value in terms.items())
            material.watch(f"adversarial: step {training.done} of {steps}: {words}")
        over = training.done == steps or time.monotonic() - saved_at >= SAVE_SECONDS
        if over and material.checkpoint is not None:
            save_state(material.checkpoint, record, training.state())
            saved_at = time.monotonic()
    return training.hardened


class _Training:
    """The training under way: `hardened` as it is after the steps `done`."""

    def __init__(self, base: Recognizer, material: Material, settings: Mapping[str, Any]) -> None:
        self.base, self.material, self.settings, self.done = base, material, settings, 0
        methods = ", ".join([*_CLOAKS, *material.cloaked])
        words = ", ".join(f"{name}={value:g}" for name, value in settings.items())
        faces = material.clean
        self.hardened = derived(
            base,
            facts={
                "loss": f"distilled from {base.name}, clean and under cloaks of {methods}",
                "training_data": f"{base.card.training_data}; hardened on {len(faces)} faces of {faces.count} people",
                "source": f"visard; defence adversarial: {words}, seed={material.seed}",
            },
        )
        # what an ONNX file keeps as a lone number is a constant of its formulas, not a weight
        self.weights = [weight for weight in self.hardened.network.parameters() if weight.ndim]
        if not self.weights:
            raise HardeningError(f"{base.name} has no weights to train; name another recognizer.")
        self.optimizer = torch.optim.Adam(self.weights, lr=settings["rate"])
        frame = frames_in(window(faces.size), 1)
        self.frames, self.mask = frame.expand(settings["batch"], -1, -1), face_mask(frame, faces.size)

    def step(self) -> dict[str, float]:
        """One more step; its loss terms by name. Raises ``HardeningError`` when one is not finite."""
        settings = self.settings
        # of the step alone, so that a training that goes on draws what it would have drawn
        generator = Generator().manual_seed(self.material.seed * 1_000_003 + self.done)
        rows = torch.randint(len(self.material.clean), (settings["batch"],), generator=generator)
        flips = torch.rand(settings["batch"], 1, 1, 1, generator=generator) < 0.5
        faces = _flipped(self.material.clean.pixels[rows], flips)
        with torch.no_grad():
            wanted, mirrored = (self.base.embed(seen_by(self.base, x)) for x in (faces, faces.flip(3)))
        anchors = F.normalize(wanted + mirrored)
        given = self.material.cloaked
        live = not given or float(torch.rand((), generator=generator)) < settings["live"]
        names = list(_CLOAKS if live else given)
        method = names[int(torch.randint(len(names), (), generator=generator))]
        cloaked = self._cloaked(method, faces, anchors, generator) if live else _flipped(given[method][rows], flips)
        left = (settings["steps"] - self.done) / (_FADES * settings["steps"])
        self.optimizer.param_groups[0]["lr"] = settings["rate"] * min(1.0, left)
        self._learning(True)
        found = self.hardened.embed(seen_by(self.hardened, torch.cat([faces, cloaked])))
        both = torch.cat([wanted, wanted])
        clean_loss, cloaked_loss = (1 - (found * both).sum(dim=1)).chunk(2)
        relation = settings["relation"] * F.mse_loss(found @ found.T, both @ both.T)
        terms = {"clean": clean_loss.mean(), "cloaked": cloaked_loss.mean(), "relation": relation}
        self.optimizer.zero_grad()
        (terms["clean"] + settings["weight"] * terms["cloaked"] + terms["relation"]).backward()
        self.optimizer.step()
        self._learning(False)  # while the next cloak is made
        self.done += 1
        row = {name: float(term.detach()) for name, term in terms.items()}
        if not all(abs(value) < float("inf") for value in row.values()):
            raise HardeningError(
                f"The training came apart at step {self.done}: a loss is not finite; start again with a lower rate, "
                f"such as --set rate={settings['rate'] / 4:g}."
            )
        return row

    def _cloaked(self, method: str, faces: Tensor, anchors: Tensor, generator: Generator) -> Tensor:
        """`faces` (N, 3, s, s) in [0, 1] under a cloak of `method`, which leads away from `anchors` (N, D)."""
        settings = self.settings
        strength = _WEAKEST + (1 - _WEAKEST) * float(torch.rand((), generator=generator))
        task = Task(Faces(faces, self.frames), dodging([self.hardened], [anchors]), self.mask, generator)
        change = find(method).cloak(task, **_CLOAKS[method](strength, settings["eps"], settings["attack_steps"]))
        cloaked = (faces + task.masked(change.detach())).clamp(0, 1)
        if float(torch.rand((), generator=generator)) < settings["saved"]:
            quality = int(torch.randint(*_QUALITIES, (), generator=generator))
            cloaked = as_posted(cloaked, quality).float() / 255
        return cloaked

    def _learning(self, wanted: bool) -> None:
        for weight in self.weights:
            weight.requires_grad_(wanted)

    def state(self) -> dict[str, Any]:
        """Everything that another process needs to go on from here."""
        return {
            "done": self.done,
            "network": self.hardened.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def resume(self, state: Mapping[str, Any] | None) -> None:
        """Go on from `state`, if there is one."""
        if state is not None:
            self.done = state["done"]
            self.hardened.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])


def _flipped(faces: Tensor, flips: Tensor) -> Tensor:
    """`faces` (N, 3, s, s), uint8, in [0, 1], those mirrored of which `flips` (N, 1, 1, 1) says so."""
    values = faces.float() / 255
    return torch.where(flips, values.flip(3), values)


ADVERSARIAL = Defence("adversarial", "Madry et al. 2018; Goldblum et al. 2020; Zhang et al. 2019", adversarial)
