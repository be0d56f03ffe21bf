"""projection: the recognizer sees the nearest face that a generator makes, which has no room for a cloak.

Samangouei, Kabkab, Chellappa, "Defense-GAN: protecting classifiers against adversarial attacks using generative
models", ICLR 2018, section 4: gradient descent on |G(z) - x|^2 from random codes, and the recognizer sees G(z).

What differs: a small autoencoder, trained here on the clean faces of the material, in place of a GAN; the search starts
at its encoder's code, so that a few steps do; pixels and embeddings are asked for in its training. See
``recognizer.front`` for the gradient.
"""

import copy

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from visard.errors import SettingError
from visard.hardening.defence import Defence
from visard.hardening.descent import before, descend, fresh, told
from visard.hardening.material import Material
from visard.recognizer import Recognizer, derived
from visard.recognizer.front import Projection


def projection(
    base: Recognizer,
    material: Material,
    *,
    steps: int = 600,
    batch: int = 16,
    rate: float = 2e-3,
    guide: float = 0.1,
    width: int = 32,
    code: int = 16,
    search: int = 5,
) -> Recognizer:
    """`steps` steps of Adam at `rate`, each on `batch` clean faces. `guide`: the weight of the embeddings beside the
    pixels. `width` of the networks, `code`: numbers for every 8 x 8 pixels; `search`: steps at every face afterwards.
    Raises ``SettingError``."""
    if batch < 1:
        raise SettingError(f"projection: batch must be 1 or more, got {batch}.")
    settings = {
        "steps": steps, "batch": batch, "rate": rate, "guide": guide, "width": width, "code": code, "search": search,
    }  # fmt: skip
    module = fresh(lambda: Projection(width=width, code=code, steps=search), material.seed)
    guiding = Recognizer(base.card, copy.deepcopy(base.network)).to(material.device)

    def loss(generator: Generator) -> Tensor:
        rows = torch.randint(len(material.clean), (batch,), generator=generator)
        wanted = before(base, material.clean.pixels[rows]).to(material.device)
        made = module.encoded(wanted)
        with torch.no_grad():
            known = guiding.embed(wanted)
        return F.l1_loss(made, wanted) + guide * (1 - (guiding.embed(made) * known).sum(dim=1)).mean()

    descend("projection", base, material, settings, module, loss)
    facts = told(base, "projection", material, settings) | {
        "architecture": f"{base.card.architecture}; before it an autoencoder with a search of {search} steps",
        "limits": "sees what the autoencoder makes of a face: misses more photos than its base",
    }
    return derived(base, front=[module], facts=facts)


PROJECTION = Defence("projection", "Samangouei et al. 2018", projection)
