"""detector: a small network beside the recognizer says whether a face is cloaked; the embedding stays as it was.

After Metzen et al., "On detecting adversarial perturbations", ICLR 2017, section 3: a binary classifier, trained on
clean and on cloaked faces of all methods of the material. One fifth of the people is left out of the training: the
threshold is where 1 % of their clean faces raises a false alarm.

What differs: it sees the face, and louder what a blur would take away, in place of the recognizer's feature maps, so it
goes with any recognizer. Clean and cloaked faces have both been saved as JPEG, once and some of them again, for a
detector of compression would look as good.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from visard.errors import HardeningError, SettingError
from visard.hardening.defence import Defence
from visard.hardening.descent import descend, fresh, told
from visard.hardening.material import Material, as_posted, seen_by
from visard.recognizer import Recognizer, derived
from visard.recognizer.front import CloakDetector

FALSE_ALARMS = 0.01
_HELD_OUT = 5  # one of so many people
_QUALITIES = 50, 96  # of the JPEG that faces have been once more, from and below
_BATCH = 32


def detector(
    base: Recognizer, material: Material, *, steps: int = 300, batch: int = 32, rate: float = 3e-3
) -> Recognizer:
    """`steps` steps of Adam at `rate`, each on `batch` faces, half of them cloaked. Raises ``SettingError``, and
    ``HardeningError`` without cloaked faces, or with too few people to leave some out."""
    if batch < 2:
        raise SettingError(f"detector: batch must be 2 or more, got {batch}.")
    if not material.cloaked:
        raise HardeningError("detector learns from cloaked faces; name methods that make them.")
    if material.clean.count < _HELD_OUT:
        raise HardeningError(f"detector leaves one of {_HELD_OUT} people out; give photos of that many or more.")
    settings = {"steps": steps, "batch": batch, "rate": rate}
    people, numbers = material.clean.people.unique(return_inverse=True)
    order = torch.randperm(len(people), generator=Generator().manual_seed(material.seed))
    held_out = (numbers[:, None] == order[: len(people) // _HELD_OUT]).any(dim=1)  # (K,)
    clean = as_posted(material.clean.pixels.float() / 255)
    cloaks = list(material.cloaked.values())
    taught = (~held_out).nonzero()[:, 0]
    module = fresh(CloakDetector, material.seed)

    def loss(generator: Generator) -> Tensor:
        rows = taught[torch.randint(len(taught), (batch,), generator=generator)]
        kinds = torch.randint(len(cloaks), (batch // 2,), generator=generator).tolist()
        given = [cloaks[kind][row] for kind, row in zip(kinds, rows.tolist(), strict=False)]
        faces = torch.cat([torch.stack(given), clean[rows[batch // 2 :]]])
        quality = int(torch.randint(*_QUALITIES, (), generator=generator))
        again = torch.rand(batch, 1, 1, 1, generator=generator) < 0.5
        faces = torch.where(again, as_posted(faces.float() / 255, quality), faces)
        labels = (torch.arange(batch) < batch // 2).float().to(material.device)
        seen = seen_by(base, faces.float() / 255).to(material.device)
        return F.binary_cross_entropy_with_logits(module(seen), labels)

    descend("detector", base, material, settings, module, loss)
    logits = _logits(module, base, torch.cat([clean[held_out], material.clean.pixels[held_out]]))
    module.threshold = _threshold(logits)
    shares = {
        name: float((_logits(module, base, faces[held_out]) >= module.threshold).float().mean())
        for name, faces in material.cloaked.items()
    }
    found = ", ".join(f"{share:.0%} of {name}" for name, share in shares.items())
    material.watch(
        f"detector: at {FALSE_ALARMS:.0%} false alarms it calls {found} on {int(held_out.sum())} photos of others"
    )
    facts = told(base, "detector", material, settings) | {
        "architecture": f"{base.card.architecture}; beside it a detector of cloaks, three convolutions",
        "limits": f"detects {found} at {FALSE_ALARMS:.0%} false alarms, on {int(held_out.sum())} photos of others; "
        "cloaks that it never saw may get away",
    }
    return derived(base, detector=module, facts=facts)


@torch.no_grad()
def _logits(module: CloakDetector, base: Recognizer, faces: Tensor) -> Tensor:
    """Of `faces` (K, 3, s, s), uint8: (K,)."""
    return torch.cat([module(seen_by(base, part.float() / 255)) for part in faces.split(_BATCH)])


def _threshold(logits: Tensor) -> float:
    """The least logit that at most ``FALSE_ALARMS`` of these `logits` of clean faces reach."""
    allowed = int(FALSE_ALARMS * len(logits) + 1e-9)
    highest = float(logits.sort(descending=True).values[allowed])
    # of float32: what lies between two of its values would be rounded to the nearer one where it is compared
    return float(np.nextafter(np.float32(highest), np.float32(np.inf)))


DETECTOR = Defence("detector", "Metzen et al. 2017", detector)
