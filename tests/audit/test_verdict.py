"""The verdict: what a juror sees, and what is made of it."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from rig import DLIB, astronaut, astronaut_face, color_juror, painted, threshold
from visard.audit import VERDICT_CONDITIONS, AdaptiveVerdict, FaceVerdict, JurorVerdict, judge
from visard.errors import CalibrationError, PhotoError
from visard.face import Face, Pixels, find_again
from visard.photo import jpeg_round_trip, resize
from visard.recognizer import Recognizer, find, load


@pytest.fixture(scope="module")
def portrait() -> Pixels:
    return astronaut()


@pytest.fixture(scope="module")
def face() -> Face:
    return astronaut_face()


@pytest.fixture(scope="module")
def dlib_resnet() -> Recognizer:
    return load(find("dlib-resnet"))


@pytest.fixture(scope="module")
def couple(portrait: Pixels) -> tuple[Pixels, list[Face]]:
    """The portrait and, on its right, the same in other colors; the faces from left to right."""
    both = np.hstack([portrait, portrait[..., ::-1]])
    left, right = sorted(DLIB(both), key=lambda f: f.box[0])
    return both, [left, right]


def blind_detector(_pixels: Pixels) -> list[Face]:
    return []


def test_a_photo_is_not_protected_from_itself(portrait: Pixels, face: Face, dlib_resnet: Recognizer) -> None:
    (verdict,) = judge(portrait, portrait, [face], [dlib_resnet], DLIB)
    assert verdict.protected is False
    assert [v.condition for v in verdict.jurors] == list(VERDICT_CONDITIONS) == ["as saved", "JPEG 75", "half size"]
    assert verdict.jurors[0].before == verdict.jurors[0].after == pytest.approx(1, abs=1e-6)
    for v in verdict.jurors:
        assert (v.found, v.protected) == (True, False)
        assert v.before == pytest.approx(v.after, abs=1e-6)
        assert 0.95 < v.after < 1 + 1e-6
    assert (verdict.ssim, verdict.psnr) == (pytest.approx(1, abs=1e-6), float("inf"))


def test_a_painted_face_is_protected(portrait: Pixels, face: Face, dlib_resnet: Recognizer) -> None:
    (verdict,) = judge(portrait, painted(portrait, face), [face], [dlib_resnet], DLIB)
    assert verdict.protected is True
    for v in verdict.jurors:
        assert v.after < v.threshold < v.before
        assert not v.found
    assert verdict.ssim < 0.5


def test_one_matching_condition_is_enough_to_be_unprotected() -> None:
    def row(after: float) -> JurorVerdict:
        return JurorVerdict("j", "as saved", 1.0, after, threshold=0.5, fmr=1e-3, found=True)

    assert row(0.4999).protected
    assert not row(0.5).protected  # a juror matches from the threshold on
    assert not row(float("nan")).protected


def test_all_jurors_count(portrait: Pixels, face: Face) -> None:
    blind, _ = color_juror(threshold(2.0), name="blind")
    sharp, _ = color_juror(threshold(-1.0), name="sharp")
    assert judge(portrait, portrait, [face], [blind], DLIB)[0].protected is True
    (verdict,) = judge(portrait, portrait, [face], [blind, sharp], DLIB)
    assert [(v.juror, v.protected) for v in verdict.jurors] == [("blind", True)] * 3 + [("sharp", False)] * 3
    assert verdict.protected is False


def test_json_form(portrait: Pixels, face: Face, dlib_resnet: Recognizer) -> None:
    (verdict,) = judge(portrait, portrait, [face], [dlib_resnet], DLIB, numbers=[7])
    content = json.loads(json.dumps(verdict.to_json(), allow_nan=False))
    assert content["number"] == 7
    assert content["box"] == [175, 76, 266, 167]
    assert (content["protected"], content["references"], content["psnr"], content["ssim"]) == (False, 0, None, 1)
    assert content["jurors"][0] == {
        "juror": "dlib-resnet", "condition": "as saved", "before": 1.0, "after": 1.0,
        "threshold": round(dlib_resnet.threshold(1e-3).value, 4),
        "fmr": 1e-3, "found": True, "protected": False, "has_say": True,
    }  # fmt: skip


def test_the_threshold_follows_the_fmr(portrait: Pixels, face: Face) -> None:
    # against itself the similarity is 1: below the one threshold, above the other
    juror, _ = color_juror(threshold(0.9, fmr=1e-2), threshold(1.1, fmr=1e-4))
    for fmr, value, protected in ((1e-2, 0.9, False), (1e-4, 1.1, True)):
        (verdict,) = judge(portrait, portrait, [face], [juror], DLIB, fmr=fmr)
        assert {(v.threshold, v.fmr) for v in verdict.jurors} == {(value, fmr)}
        assert verdict.protected is protected


def test_a_juror_without_a_threshold(portrait: Pixels, face: Face) -> None:
    juror, eye = color_juror(threshold(0.5, fmr=1e-3))
    with pytest.raises(CalibrationError, match=r"colors has no threshold at FMR 0\.01.*visard calibrate"):
        judge(portrait, portrait, [face], [juror], DLIB, fmr=1e-2)
    stale, _ = color_juror(threshold(0.5, sha256="another network"))
    with pytest.raises(CalibrationError, match="colors has no threshold"):
        judge(portrait, portrait, [face], [stale], DLIB)
    assert eye.seen == []


def test_sizes_must_agree(portrait: Pixels, face: Face) -> None:
    with pytest.raises(PhotoError, match="512 x 512 and 512 x 500: give the same photo before and after"):
        judge(portrait, portrait[:500], [face], [], DLIB)


def test_no_jury_no_verdict(portrait: Pixels, face: Face) -> None:
    (verdict,) = judge(portrait, painted(portrait, face), [face], [], DLIB, references=[portrait])
    assert (verdict.protected, verdict.jurors, verdict.references) == (None, (), 0)
    assert verdict.ssim < 0.5
    assert judge(portrait, portrait, [], [color_juror()[0]], DLIB, references=[portrait]) == []


def test_the_jury_sees_what_happens_to_the_whole_photo(portrait: Pixels) -> None:
    # whatever the face's place on JPEG's grid: cutting it out first must not matter (in a photo of even sides)
    happens = {
        "as saved": lambda p: p,
        "JPEG 75": lambda p: jpeg_round_trip(p, 75),
        "half size": lambda p: resize(p, 0.5),
    }
    assert happens.keys() == VERDICT_CONDITIONS.keys()
    smaller = resize(portrait, 0.75)
    for shift in (0, 5, 37):
        photo = np.pad(smaller, ((170 + shift, 202 - shift), (130 + 2 * shift, 150), (0, 0)))
        noisy = np.clip(photo + np.random.default_rng(0).normal(0, 8, photo.shape), 0, 255).astype(np.uint8)
        (face,) = DLIB(photo)
        juror, eye = color_juror()
        judge(photo, noisy, [face], [juror], DLIB)
        expected = []
        for name, happen in happens.items():
            for picture in (happen(photo), happen(noisy)):
                there = find_again(picture, face.moved(0.5 if name == "half size" else 1), DLIB)
                assert there is not None
                image = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255
                expected.append(juror.align(image, torch.from_numpy(there.frame).float()[None])[0])
        difference = 255 * (torch.stack(eye.seen[:6]) - torch.stack(expected)).abs()
        assert difference.amax() <= 1.01
        assert difference.mean() < 0.02
        gap = (torch.stack(expected[1::2]) - torch.stack(expected[::2])).abs().mean(dim=(1, 2, 3))
        assert gap.min() > 1 / 255  # so before and after differ by far more than the tolerance


def test_a_face_that_is_not_found_again_is_judged_where_it_was(portrait: Pixels, face: Face) -> None:
    juror, eye = color_juror()
    (verdict,) = judge(portrait, portrait, [face], [juror], blind_detector)
    assert [v.found for v in verdict.jurors] == [False] * 3
    assert verdict.protected is False
    image = torch.from_numpy(portrait).permute(2, 0, 1)[None].float() / 255
    expected = juror.align(image, torch.from_numpy(face.frame).float()[None])[0]
    assert torch.allclose(eye.seen[1], expected, atol=1e-4)


def test_each_face_gets_its_own_verdict() -> None:
    """Twenty faces (more than one batch): exactly those that changed are protected."""
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (4, 5, 8, 8, 3)).repeat(20, axis=2).repeat(20, axis=3)
    photo = photo.transpose(0, 2, 1, 3, 4).reshape(4 * 160, 5 * 160, 3).astype(np.uint8)
    points = np.array([(38, 52), (74, 52), (56, 72), (41, 92), (71, 92)], dtype=float)
    first = Face((24, 24, 136, 136), points + 24, "arcface")
    faces = [first.moved(shift=(160.0 * x, 160.0 * y)) for y in range(4) for x in range(5)]
    changed = {0, 7, 19}
    published = photo.copy()
    for i in changed:
        y, x = divmod(i, 5)
        published[160 * y : 160 * y + 160, 160 * x : 160 * x + 160] ^= 255
    juror, _ = color_juror()
    verdicts = judge(photo, published, faces, [juror], blind_detector)
    assert [v.number for v in verdicts] == list(range(1, 21))
    assert {i for i, v in enumerate(verdicts) if v.protected} == changed
    # the 160 px crop shows a rim of the neighbors, no more
    assert {i for i, v in enumerate(verdicts) if v.psnr < 10} == changed


def test_references_go_to_the_person_they_show(portrait: Pixels, couple: tuple[Pixels, list[Face]]) -> None:
    both, faces = couple
    juror, _ = color_juror()
    second, _ = color_juror(name="second")
    darker = (portrait * 0.9).astype(np.uint8)
    for references, counts in (
        ([darker], [1, 0]),
        ([darker[..., ::-1]], [0, 1]),
        ([darker, darker[..., ::-1], portrait], [2, 1]),
    ):
        verdicts = judge(both, both, faces, [juror, second], DLIB, references=references)
        assert [v.references for v in verdicts] == counts
    assert verdicts[0].jurors[0].before == pytest.approx(1, abs=1e-3)  # the most similar reference counts
    assert 0.5 < verdicts[1].jurors[0].before < 0.9999  # a reference, and no longer the face itself


def test_a_reference_without_a_face_is_ignored(portrait: Pixels, face: Face, dlib_resnet: Recognizer) -> None:
    empty = np.full((200, 200, 3), 90, np.uint8)
    plain = judge(portrait, portrait, [face], [dlib_resnet], DLIB)
    assert judge(portrait, portrait, [face], [dlib_resnet], DLIB, references=[empty]) == plain
    assert plain[0].references == 0


def test_gray_and_color(portrait: Pixels, face: Face) -> None:
    """Another program may save a gray photo in color: the verdict is the same."""
    gray = portrait[..., 1:2]
    juror, _ = color_juror()
    (same,) = judge(gray, gray, [face], [juror], DLIB)
    (mixed,) = judge(gray, np.repeat(gray, 3, axis=2), [face], [juror], DLIB)
    assert mixed.jurors == same.jurors
    assert (mixed.ssim, mixed.psnr) == (pytest.approx(1, abs=1e-6), float("inf"))
    (gone,) = judge(np.repeat(gray, 3, axis=2), painted(gray, face), [face], [juror], DLIB)
    assert gone.protected


def test_visibility_is_measured_around_the_face(portrait: Pixels, face: Face) -> None:
    far = portrait.copy()
    far[400:] = 0
    (verdict,) = judge(portrait, far, [face], [], DLIB)
    assert verdict.psnr == float("inf")
    noise = np.random.default_rng(0).normal(0, 5, portrait.shape)
    published = np.clip(np.rint(portrait + noise), 0, 255).astype(np.uint8)
    (near,) = judge(portrait, published, [replace(face)], [], DLIB)
    # the crop is about the photo's own scale, so little of the noise is averaged away: 20 log10(255 / 5) = 34.2
    assert 33 < near.psnr < 40
    assert 0.5 < near.ssim < 0.999


def test_a_juror_that_missed_the_person_before_has_no_say() -> None:
    """With a reference that it never matched, missing the cloaked face proves nothing."""

    def juror(name: str, before: float) -> JurorVerdict:
        return JurorVerdict(name, "as saved", before, after=0.1, threshold=0.3, fmr=1e-3, found=True)

    def face(*jurors: JurorVerdict, references: int) -> FaceVerdict:
        return FaceVerdict(1, (0, 0, 9, 9), jurors, references, ssim=1.0, psnr=40.0)

    assert face(juror("a", 0.9), references=1).protected is True
    assert face(juror("a", 0.2), references=1).protected is None
    assert face(juror("a", 0.2), juror("b", 0.9), references=1).protected is True
    assert face(juror("a", 0.2), references=0).protected is True


class Alarm(torch.nn.Module):
    """Calls a face cloaked as far as it is gray."""

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        return -faces.std(dim=1).mean(dim=(1, 2))


def test_a_hardened_recognizer_is_asked_beside_the_jury(portrait: Pixels, face: Face) -> None:
    """It has a line of its own, and neither makes nor breaks the verdict; its detector sees the published face."""
    blind, _ = color_juror(threshold(2.0), name="blind")
    plain, eye = color_juror(threshold(-1.0), name="hard")
    card = replace(plain.card, format="derived", base="colors", base_sha256="made", detector=-0.01, role="adaptive")
    hard = Recognizer(card, eye, detector=Alarm())
    quiet, _ = color_juror(threshold(2.0), name="quiet")
    published = painted(portrait, face)
    (alone,) = judge(portrait, published, [face], [blind], DLIB)
    (verdict,) = judge(portrait, published, [face], [blind], DLIB, adaptive=[hard, quiet])
    assert replace(verdict, adaptive=()) == alone
    assert verdict.protected is True
    assert [(v.juror, v.condition) for v in verdict.adaptive] == [
        (name, condition) for name in ("hard", "quiet") for condition in VERDICT_CONDITIONS
    ]
    assert [v.protected for v in verdict.adaptive] == [False] * 3 + [True] * 3
    assert [v.cloaked for v in verdict.adaptive] == [True] * 3 + [None] * 3  # a gray square
    (same,) = judge(portrait, portrait, [face], [], DLIB, adaptive=[hard])
    assert (same.protected, [v.cloaked for v in same.adaptive]) == (None, [False] * 3)
    content = json.loads(json.dumps(verdict.to_json(), allow_nan=False))
    assert content["adaptive"][0] == {**verdict.adaptive[0].to_json(), "has_say": True}
    assert (content["adaptive"][0]["cloaked"], content["adaptive"][0]["threshold"]) == (True, -1.0)
    assert alone.to_json()["adaptive"] == []


def test_a_hardened_recognizer_needs_a_threshold_too(portrait: Pixels, face: Face) -> None:
    one, _ = color_juror(threshold(0.5), name="hard")
    with pytest.raises(CalibrationError, match=r"hard has no threshold at FMR 0\.01"):
        judge(portrait, portrait, [face], [], DLIB, fmr=1e-2, adaptive=[one])


def test_several_faces_and_their_detectors_calls(couple: tuple[Pixels, list[Face]]) -> None:
    """Each face has its own, in the order of the conditions."""
    both, (left, right) = couple
    plain, eye = color_juror(threshold(2.0), name="hard")
    card = replace(plain.card, format="derived", base="colors", base_sha256="made", detector=-0.01, role="adaptive")
    verdicts = judge(both, painted(both, right), [left, right], [], DLIB, adaptive=[Recognizer(card, eye, (), Alarm())])
    calls = [[v.cloaked for v in verdict.adaptive] for verdict in verdicts]
    assert calls == [[False] * 3, [True] * 3]
    assert all(isinstance(v, AdaptiveVerdict) for verdict in verdicts for v in verdict.adaptive)
