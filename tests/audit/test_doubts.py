"""The warnings: each where it belongs, and nowhere else."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from crowd import at, juror, protected
from rig import Eye
from visard.audit.doubts import doubts, warnings, without_gradient
from visard.audit.findings import Protected, headline, robustness, transfer
from visard.audit.trials import Gallery
from visard.cloak import Faces
from visard.recognizer import Recognizer

MANY = 30


def plenty(people: int = MANY, **options: Any) -> Protected:
    """Two photos each of people in all directions, 2 degrees apart; the cloaks turn the photos by 90 degrees."""
    names = [f"p{i:03}" for i in range(people) for _ in range(2)]
    before = np.array([i * 360 / people + j * 4 for i in range(people) for j in range(2)])
    after = options.pop("after", at(*(before + 90)))
    return protected(names, at(*before), after, **options)


def said(one: Protected) -> list[str]:
    """The doubts, which all reach the reader under the set's name."""
    assert warnings([one]) == [f"{one.name}: {doubt}." for doubt in doubts(one)]
    return doubts(one)


def test_nothing_to_doubt() -> None:
    assert said(plenty()) == []


def test_what_holds_of_several_sets_is_said_once() -> None:
    few, other, fine = plenty(MANY - 1), replace(plenty(MANY - 1), name="other"), plenty()
    phrase = "29 people are few: the intervals say how little that proves."
    assert warnings([few, other]) == [f"every set: {phrase}"]
    assert warnings([few, other, replace(fine, name="fine")]) == [f"{few.name} and other: {phrase}"]


def test_few_people() -> None:
    assert said(plenty(MANY - 1)) == ["29 people are few: the intervals say how little that proves"]


def test_unknown_surrogates() -> None:
    (text,) = said(plenty(surrogates=None))
    assert text.startswith("it is not known which recognizers made these cloaks, so every juror counts")
    assert said(plenty(surrogates=())) == []


# who made the cloaks


@pytest.mark.parametrize(
    ("maker", "kind"),
    [
        (juror("other", sha256="colors"), "the same weights under another name"),
        (juror("other", origin="colors"), "a student of the juror"),
        (juror("colors", sha256="newer"), "another version of the juror"),
    ],
)
def test_a_juror_that_made_the_cloaks_is_gray_and_counts_nowhere(maker: Recognizer, kind: str) -> None:
    apart = juror("apart", near=-2.0)  # it matches everybody, so nothing is protected from it
    one = plenty(jury=[juror(), apart], surrogates=(maker.card,))
    assert [one.held_out(j) for j in one.jury] == [False, True], kind
    assert said(one) == ["colors made these cloaks, or a recognizer of the same origin did: gray, in no mean"]
    (row, everybody) = transfer([one]).rows
    for cells in (row, everybody):
        assert [cell.muted for cell in cells[1:] if not isinstance(cell, str)] == [True, False]
    assert [rate.value for rate in one.held_out_rates("as saved", 1e-3)] == [0]
    assert headline([one]).rows[0][1:3] == ("1", "0 % / 0 % [0, 12] n=60")  # 30 people, not 60 photos
    for cells in robustness(one).rows:
        assert not isinstance(cells[1], str)
        assert not isinstance(cells[2], str)
        assert (cells[1].muted, cells[2].muted) == (True, False)
        assert cells[1].text.startswith("100 %")
        assert str(cells[3]).startswith("0 % / 0 %")


def test_students_of_one_teacher_are_kin() -> None:
    one = plenty(jury=[juror("a", origin="t")], surrogates=(juror("b", origin="t").card,))
    assert said(one) == [
        "a made these cloaks, or a recognizer of the same origin did: gray, in no mean",
        "no juror is left that had no part in the cloaks",
    ]
    assert headline([one]).rows[0][1:4] == ("0", "–", "–")
    assert plenty(jury=[juror("a", origin="t")], surrogates=(juror("b", origin="s").card,)).held_out(juror("a"))


# what was saved


def test_files_that_equal_their_originals() -> None:
    one = plenty(psnr=[float("inf")] * 3 + [35.0] * (2 * MANY - 3))
    assert said(one) == ["3 of 60 protected photos show the same face, pixel by pixel, as their originals"]


@pytest.mark.parametrize(("lost", "warns"), [(3, False), (4, True)])
def test_faces_that_the_detector_lost(lost: int, warns: bool) -> None:
    one = plenty(found=[False] * lost + [True] * (2 * MANY - lost))  # 5 % of 60 are 3
    assert bool(said(one)) == warns
    if warns:
        assert said(one)[0].startswith("the detector misses 7% of the protected faces")


# whom they are compared with


def test_photos_without_a_mate() -> None:
    names = [f"p{i}" for i in range(MANY) for _ in range(2)] + ["alone"]
    angles = at(*(i * 5.8 for i in range(2 * MANY + 1)))
    one = protected(names, angles, angles[::-1].copy())
    assert said(one) == ["1 of 61 photos have no other photo of their person to be compared with"]


def test_a_juror_that_misses_most_people_says_little() -> None:
    strict = juror("strict", near=0.9999)  # 4 degrees are .9976
    assert said(plenty(jury=[juror(), strict])) == ["strict misses 100% of the clean photos too: it says little"]


def with_own(one: Protected, own: Any, people: Any = None) -> Protected:
    embeddings = {name: values[:, 0] for name, values in one.seen.before.items()}
    return replace(one, gallery=Gallery(one.seen.people if people is None else people, embeddings, own))


def test_copies_in_the_gallery() -> None:
    one = plenty()
    own = np.eye(60, dtype=bool)
    assert said(with_own(one, own)) == []  # each photo once: the originals are the gallery
    assert said(with_own(one, np.zeros((60, 60), dtype=bool))) == []  # the gallery is of other photos
    own[0, 2:5] = own[1, 2] = True
    assert said(with_own(one, own)) == [
        "2 of 60 photos lie in the gallery too, or a copy; they are not compared with it"
    ]
    own = np.zeros((60, 60), dtype=bool)
    own[7, 3] = True
    assert said(with_own(one, own)) == [
        "1 of 60 photos lie in the gallery too, or a copy; they are not compared with it"
    ]


# surrogates


class Flat(nn.Module):
    """Its gradient is zero, as that of a network which rounds."""

    def forward(self, faces: Tensor) -> Tensor:
        return (faces.mean(dim=(2, 3)) * 4).round() + 0.5


class Detached(nn.Module):
    def forward(self, faces: Tensor) -> Tensor:
        return faces.mean(dim=(2, 3)).detach()


def test_a_surrogate_without_a_gradient() -> None:
    faces = Faces(torch.rand(1, 3, 112, 112, generator=torch.Generator().manual_seed(0)))
    networks = {"good": Eye(), "flat": Flat(), "detached": Detached()}
    surrogates = [juror(name, network) for name, network in networks.items()]
    assert without_gradient(surrogates, faces) == ["flat", "detached"]
    assert without_gradient([], faces) == []
