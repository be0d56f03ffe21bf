"""parseval: the recognizer is trained on, to name people on clean photos, while its layers are kept near tight frames.

Cisse et al., "Parseval networks: improving robustness to adversarial examples", ICML 2017, section 4: after each step
the weights W of every linear and convolutional layer, as a matrix with a row for each output, take a step on
|W W^T - I|^2: W <- (1 + beta) W - beta W W^T W. Layers that stretch no direction much carry a small change no further
than a small change.

What differs: the paper trains from scratch, where the layers can be of unit norm; here each layer of the pretrained
recognizer keeps its own norm, so its singular values move toward each other and not to one. All rows take part in every
step, where the paper draws some. Its convex sums of branches have no place in a given network. Convolutions of single
channels are left as they are.
"""

import torch
from torch import Tensor, nn

from visard.errors import SettingError
from visard.hardening.checkpoint import record_of
from visard.hardening.defence import Defence
from visard.hardening.defences.vos2023 import Course
from visard.hardening.descent import told
from visard.hardening.material import Material
from visard.recognizer import Recognizer, derived


class _Course(Course):
    beta = 0.0

    def step(self, rows: Tensor) -> float:
        value = super().step(rows)
        tighten(self.network, self.beta)
        return value


def parseval(
    base: Recognizer,
    material: Material,
    *,
    beta: float = 1e-3,
    epochs: int = 10,
    rate: float = 1e-4,
    batch: int = 32,
) -> Recognizer:
    """`beta`: how far each step goes toward a tight frame, below 0.5. `epochs` over the clean faces, in batches of
    `batch`, at Adam's `rate`. Raises ``SettingError``, and ``HardeningError`` for photos of one person alone."""
    if beta >= 0.5:
        raise SettingError(f"parseval: beta must be below 0.5, got {beta:g}; a longer step overshoots.")
    settings = {"beta": beta, "epochs": epochs, "rate": rate, "batch": batch}
    course = _Course(base, material, "clean", "sequential", "softmax", rate, batch)
    course.beta = beta
    course.run(epochs, record_of("parseval", base, material, settings))
    facts = told(base, "parseval", material, settings) | {
        "loss": f"{base.card.loss}; then softmax, layers kept near tight frames",
        "limits": "was never shown a cloak",
    }
    return derived(base, network=course.network.cpu(), facts=facts)


@torch.no_grad()
def tighten(network: nn.Module, beta: float) -> None:
    """One step of all matrices of `network` toward tight frames of the same norm, in place."""
    for weight in network.parameters():
        if weight.ndim in (2, 4) and weight.shape[1] > 1:
            rows = weight.reshape(len(weight), -1)  # (outputs, inputs)
            norm = rows.square().sum()
            unit = rows * (min(rows.shape) / norm).sqrt()  # whose singular values have the mean square 1
            moved = (1 + beta) * unit - beta * (unit @ unit.T @ unit)
            weight.copy_((moved * (norm / moved.square().sum()).sqrt()).view_as(weight))


PARSEVAL = Defence("parseval", "Cisse et al. 2017", parseval)
