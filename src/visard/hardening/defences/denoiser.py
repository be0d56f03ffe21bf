"""denoiser: a small network takes the cloak off before the recognizer sees the face.

Trained on pairs of a cloaked and the clean face, of all methods of the material: the mean absolute difference of
pixels, and the distance of the embeddings (Liao et al., "Defense against adversarial attacks using high-level
representation guided denoiser", CVPR 2018, equation 5, whose guide is the recognizer itself). Half of every batch is
clean: what has no cloak is to stay as it is.

What differs: a plain residual network of a few convolutions (as in Zhang et al. 2017) in place of a U-Net; the guide is
the cosine of embeddings, in place of the L1 distance of logits, since a recognizer has none.
"""

import copy

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from visard.errors import HardeningError, SettingError
from visard.hardening.defence import Defence
from visard.hardening.descent import before, descend, fresh, told
from visard.hardening.material import Material
from visard.recognizer import Recognizer, derived
from visard.recognizer.front import Denoiser


def denoiser(
    base: Recognizer,
    material: Material,
    *,
    steps: int = 400,
    batch: int = 16,
    rate: float = 2e-3,
    guide: float = 1.0,
    width: int = 32,
    depth: int = 6,
) -> Recognizer:
    """`steps` steps of Adam at `rate`, each on `batch` faces. `guide`: the weight of the embeddings beside the pixels.
    `width` and `depth` of the network. Raises ``SettingError``, and ``HardeningError`` without cloaked faces."""
    if batch < 2:
        raise SettingError(f"denoiser: batch must be 2 or more, got {batch}.")
    if not material.cloaked:
        raise HardeningError("denoiser learns from cloaked faces; name methods that make them.")
    settings = {"steps": steps, "batch": batch, "rate": rate, "guide": guide, "width": width, "depth": depth}
    module = fresh(lambda: Denoiser(width=width, depth=depth), material.seed)
    # what stands before the network already has been there when the pairs are made
    guiding = Recognizer(base.card, copy.deepcopy(base.network)).to(material.device)
    methods = list(material.cloaked.values())

    def loss(generator: Generator) -> Tensor:
        rows = torch.randint(len(material.clean), (batch,), generator=generator)
        kinds = torch.randint(len(methods), (batch // 2,), generator=generator).tolist()
        clean = material.clean.pixels[rows]
        cloaked = [methods[kind][row] for kind, row in zip(kinds, rows.tolist(), strict=False)]
        given = torch.cat([torch.stack(cloaked), clean[batch // 2 :]])
        wanted, seen = (before(base, faces).to(material.device) for faces in (clean, given))
        made = module(seen)
        with torch.no_grad():
            known = guiding.embed(wanted)
        return F.l1_loss(made, wanted) + guide * (1 - (guiding.embed(made) * known).sum(dim=1)).mean()

    descend("denoiser", base, material, settings, module, loss)
    facts = told(base, "denoiser", material, settings) | {
        "architecture": f"{base.card.architecture}; before it a denoiser of {depth} convolutions",
        "limits": f"knows the cloaks that it saw ({', '.join(material.cloaked)}); others may get away",
    }
    return derived(base, front=[module], facts=facts)


DENOISER = Defence("denoiser", "Liao et al. 2018", denoiser)
