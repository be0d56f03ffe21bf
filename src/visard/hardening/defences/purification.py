"""purification: faces are compressed, filtered and smoothed before the recognizer sees them; nothing is trained.

JPEG, the median of a few pixels, and total-variation denoising (Chambolle, "An algorithm for total variation
minimization and applications", 2004), as evaluated against adversarial examples by Dziugaite, Ghahramani, Roy 2016 and
Guo et al., "Countering adversarial images using input transformations", ICLR 2018.

What differs: all three one after the other, on the aligned face, and total variation of the whole face, where Guo et
al. reconstruct it from a random part of the pixels.
"""

from visard.hardening.defence import Defence
from visard.hardening.descent import told
from visard.hardening.material import Material
from visard.recognizer import Recognizer, derived
from visard.recognizer.front import JPEG, Median, TotalVariation


def purification(
    base: Recognizer, material: Material, *, quality: int = 75, size: int = 3, weight: float = 0.02, steps: int = 10
) -> Recognizer:
    """`quality` of JPEG, 1 to 100; `size` of the median's square, an odd number of pixels, 1 for none; `weight` of the
    smoothing in `steps` iterations. Raises ``SettingError``."""
    parts = JPEG(quality=quality), Median(size=size), TotalVariation(weight=weight, steps=steps)
    settings = {"quality": quality, "size": size, "weight": weight, "steps": steps}
    facts = {
        "source": told(base, "purification", material, settings)["source"],
        "limits": "blurred faces: misses more photos than its base; whoever cloaks through the filters gets away",
    }
    return derived(base, front=parts, facts=facts)


PURIFICATION = Defence("purification", "Guo et al. 2018", purification)
