"""smoothing: the recognizer is trained on, to name people on clean photos, less sure of itself.

Label smoothing (Szegedy et al., "Rethinking the Inception architecture", CVPR 2016, section 7), which Warde-Farley and
Goodfellow 2016 and Goibert and Dohmatob 2019 propose against adversarial examples: a share of the label is spread over
all people. A cheap baseline: no cloak is seen.

What differs: a pretrained recognizer with a fresh head, which is dropped afterwards, as in ``vos2023``.
"""

from visard.errors import SettingError
from visard.hardening.checkpoint import record_of
from visard.hardening.defence import Defence
from visard.hardening.defences.vos2023 import Course
from visard.hardening.descent import told
from visard.hardening.material import Material
from visard.recognizer import Recognizer, derived


def smoothing(
    base: Recognizer,
    material: Material,
    *,
    spread: float = 0.1,
    epochs: int = 10,
    rate: float = 1e-4,
    batch: int = 32,
) -> Recognizer:
    """`spread`: the share of the label that all people have in common. `epochs` over the clean faces, in batches of
    `batch`, at Adam's `rate`. Raises ``SettingError``, and ``HardeningError`` for photos of one person alone."""
    if not 0 <= spread < 1:
        raise SettingError(f"smoothing: spread is a share, below 1, got {spread:g}.")
    settings = {"spread": spread, "epochs": epochs, "rate": rate, "batch": batch}
    course = Course(base, material, "clean", "sequential", "softmax", rate, batch, spread=spread)
    course.run(epochs, record_of("smoothing", base, material, settings))
    facts = told(base, "smoothing", material, settings) | {
        "loss": f"{base.card.loss}; then softmax with smoothed labels",
        "limits": "was never shown a cloak",
    }
    return derived(base, network=course.network.cpu(), facts=facts)


SMOOTHING = Defence("smoothing", "Szegedy et al. 2016", smoothing)
