"""SSA: momentum steps on gradients of pictures with a disturbed spectrum (S2I-FGSM, here with momentum).

Paper: Long et al., "Frequency domain model augmentation for adversarial attack", ECCV 2022, equations 6 and 7: mean
gradient over ``IDCT(DCT(x + noise) * factor)``, factor uniform in 1 +- rho. Norm: Linf. Official arguments: eps
16/255, 10 steps, sigma 16/255, rho .5, 20 copies; ours: eps 8/255, alpha 1/255, 20 steps, sigma 8/255, 5 copies for
the time they take. The noise is drawn anew for every copy, as in the published code.
"""

from torch import Tensor

from visard.cloak import step
from visard.cloak.budget import Linf
from visard.cloak.loop import Task, descend
from visard.cloak.method import Method
from visard.cloak.transform import spectrum


def ssa(
    task: Task,
    *,
    eps: float = 8 / 255,
    alpha: float = 1 / 255,
    steps: int = 20,
    decay: float = 1.0,
    copies: int = 5,
    sigma: float = 8 / 255,
    rho: float = 0.5,
) -> Tensor:
    """`steps` sign steps of `alpha` within `eps`, both in [0, 1]; momentum `decay`; `copies` with noise of deviation
    `sigma` in [0, 1] and each component of the spectrum times a factor within 1 +- `rho`."""
    return descend(
        task,
        step=step.momentum(step.sign(alpha), decay),
        budget=Linf(eps),
        steps=steps,
        transform=[spectrum(task.generator, sigma, rho)] * copies,
    )


SSA = Method("ssa", "Long et al. 2022", "either", ssa)
