"""What cloaks and hardening come to, against sums made by hand."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from learners import made_crops, tiny_recognizer
from visard.errors import HardeningError
from visard.hardening import embed_faces
from visard.hardening.outcome import judged, outcomes, regimes, threshold
from visard.measure import fnmr_at, genuine_and_impostor


def on_circle(*degrees: float) -> Tensor:
    angles = torch.tensor(degrees) * torch.pi / 180
    return torch.stack([angles.cos(), angles.sin()], dim=1)


CLEAN = on_circle(0, 10, 90)
CLOAKED = on_circle(60, 75, 100)
PEOPLE = torch.tensor([0, 0, 1])


def cosines(*degrees: float) -> list[float]:
    return np.sort(np.cos(np.radians(degrees))).tolist()


@pytest.mark.parametrize(
    ("regime", "genuine", "impostor"),
    [
        ("normal-normal", [10], [90, 80]),
        ("obfuscated-obfuscated", [15], [40, 25]),
        # a clean photo with the other's cloaked one, both ways; never with its own
        ("normal-obfuscated", [75, 50], [100, 90, 30, 15]),
    ],
)
def test_every_pair_of_two_photos_counts_in_its_regime(
    regime: str, genuine: list[float], impostor: list[float]
) -> None:
    found = regimes(CLEAN, CLOAKED, PEOPLE)[regime]
    assert np.sort(found.genuine) == pytest.approx(cosines(*genuine), abs=1e-6)
    assert np.sort(found.impostor) == pytest.approx(cosines(*impostor), abs=1e-6)


def test_clean_pairs_are_those_of_the_measures() -> None:
    embeddings = F.normalize(torch.randn(20, 4, generator=torch.Generator().manual_seed(0)))
    people = torch.arange(20) % 6
    ours = regimes(embeddings, embeddings.flip(0), people)["normal-normal"]
    for mine, other in zip(ours, genuine_and_impostor(embeddings, people.numpy()), strict=True):
        np.testing.assert_allclose(np.sort(mine), np.sort(other), atol=1e-6)


def test_rates_at_a_threshold() -> None:
    """One of the two genuine comparisons with a cloaked photo lies under the cosine of 60 degrees."""
    found = judged(CLEAN, CLOAKED, PEOPLE, tau=0.5)
    assert (found.asr.value, found.asr.trials) == (0.5, 2)
    assert (found.fnmr.value, found.fnmr.trials) == (0, 1)
    # nobody is missed, of one person: no more is known than that
    assert found.fnmr.low == 0
    assert found.fnmr.high == pytest.approx(0.975)
    assert found.eer["normal-normal"].value == 0
    assert found.eer_vos["normal-normal"] == 0
    assert found.eer_vos["obfuscated-obfuscated"] == pytest.approx(0)
    assert found.eer_vos["normal-obfuscated"] == pytest.approx(0.5)


def test_a_cloak_that_does_nothing_has_the_error_rate_of_clean_photos() -> None:
    generator = torch.Generator().manual_seed(1)
    people = torch.arange(40) % 10
    embeddings = F.normalize(torch.randn(10, 8, generator=generator)[people] + torch.randn(40, 8, generator=generator))
    found = judged(embeddings, embeddings, people, tau=0.4)
    assert found.asr.value == pytest.approx(found.fnmr.value)
    assert 0 < found.asr.low < found.asr.value < found.asr.high < 1


def test_the_threshold_is_that_of_other_people() -> None:
    recognizer, others = tiny_recognizer(0), made_crops(20, 2, seed=3)
    tau = threshold(recognizer, others, far=0.05)
    embeddings = embed_faces(recognizer, others.pixels)
    _, impostor = genuine_and_impostor(embeddings, others.people.numpy())
    assert np.mean(impostor >= tau) < 0.05 <= np.mean(impostor >= np.nextafter(tau, -1, dtype=np.float32))


def test_the_outcome_of_a_recognizer_is_that_of_its_embeddings() -> None:
    recognizer, clean, others = tiny_recognizer(0), made_crops(5, 3), made_crops(20, 2, seed=3)
    cloaked = clean.pixels.flip(2)
    found = outcomes(recognizer, clean, {"mirrored": cloaked}, others, far=0.05)["mirrored"]
    assert found.tau == threshold(recognizer, others, far=0.05)
    genuine = regimes(embed_faces(recognizer, clean.pixels), embed_faces(recognizer, cloaked), clean.people)[
        "normal-obfuscated"
    ]
    assert found.asr.value == fnmr_at(genuine.genuine, found.tau)
    assert found.asr.trials == 5 * 3 * 2


@pytest.mark.parametrize("people", [[0, 0, 0], [0, 1, 2]])
def test_one_person_or_one_photo_each_is_too_little(people: list[int]) -> None:
    with pytest.raises(HardeningError, match="several photos of several people"):
        judged(CLEAN, CLOAKED, torch.tensor(people), tau=0.5)
