"""squeezing: faces lose the detail that cloaks hide in: fewer bits of color, and a median filter; nothing is trained.

Xu, Evans, Qi, "Feature squeezing: detecting adversarial examples in deep neural networks", NDSS 2018: color depth
(section II.A) and median smoothing (section II.B).

What differs: the squeezed face is what the recognizer embeds. The paper compares the network's answers to the face as
it is and squeezed, and calls it adversarial where they disagree; that is a detector, and visard has a trained one.
"""

from visard.hardening.defence import Defence
from visard.hardening.descent import told
from visard.hardening.material import Material
from visard.recognizer import Recognizer, derived
from visard.recognizer.front import Bits, Median


def squeezing(base: Recognizer, material: Material, *, depth: int = 5, size: int = 3) -> Recognizer:
    """`depth`: bits a channel, 1 to 8; `size` of the median's square, an odd number of pixels, 1 for none (the paper's
    even sizes have no middle). Raises ``SettingError``."""
    facts = {
        "source": told(base, "squeezing", material, {"depth": depth, "size": size})["source"],
        "limits": "coarser faces: misses more photos than its base; whoever cloaks through the filters gets away",
    }
    return derived(base, front=(Bits(depth=depth), Median(size=size)), facts=facts)


SQUEEZING = Defence("squeezing", "Xu et al. 2018", squeezing)
