"""Error rates over all thresholds: ROC, DET and the equal error rate."""

from typing import NamedTuple

import numpy as np

from visard.measure._arrays import Floats, Numbers, floats


class ErrorCurves(NamedTuple):
    """FMR and FNMR (T,) at rising `thresholds` (T,), the last of them infinite: there nothing matches."""

    thresholds: Floats
    fmr: Floats
    fnmr: Floats


class Roc(NamedTuple):
    """Corners of the ROC in the order of falling `thresholds` (T,): false match and true accept rates rise (T,)."""

    thresholds: Floats
    fmr: Floats
    tar: Floats


class Det(NamedTuple):
    """A DET curve (T,): the probits of FMR and FNMR at rising `thresholds`."""

    thresholds: Floats
    fmr: Floats
    fnmr: Floats


class _Sorted:
    """Genuine and impostor scores in order, so that the rates at a threshold are two look-ups."""

    def __init__(self, genuine: Numbers, impostor: Numbers) -> None:
        kinds = floats(genuine, "genuine scores", "(G,)"), floats(impostor, "impostor scores", "(I,)")
        self.dtype = np.result_type(*kinds)  # one for all, or each look-up would convert all the scores
        self.genuine, self.impostor = (np.sort(scores.astype(self.dtype, copy=False)) for scores in kinds)

    def rates(self, thresholds: Floats) -> ErrorCurves:
        thresholds = thresholds.astype(self.dtype, copy=False)
        above = len(self.impostor) - np.searchsorted(self.impostor, thresholds)
        below = np.searchsorted(self.genuine, thresholds)
        return ErrorCurves(thresholds, above / len(self.impostor), below / len(self.genuine))

    def corners(self) -> ErrorCurves:
        """The rates where the polyline through all thresholds may turn: on both sides of the rarer kind's scores."""
        rare, other = sorted((self.genuine, self.impostor), key=len)
        places = np.searchsorted(other, rare, side="right")
        after = other[np.minimum(places, len(other) - 1)][places < len(other)]
        lowest = min(rare[0], other[0])
        return self.rates(np.append(np.unique(np.concatenate([[lowest], rare, after])), np.inf))

    def crossing(self) -> ErrorCurves:
        """The last threshold at which FMR exceeds FNMR and the first at which it does not (2,)."""
        firsts = []
        for scores in (self.genuine, self.impostor):
            low, high = 0, len(scores)
            while low < high:  # FNMR - FMR never falls
                middle = (low + high) // 2
                _, fmr, fnmr = self.rates(scores[middle : middle + 1])
                low, high = (low, middle) if fnmr[0] >= fmr[0] else (middle + 1, high)
            firsts.append(scores[low] if low < len(scores) else np.inf)
        first = min(firsts)
        places = [(s, np.searchsorted(s, first)) for s in (self.genuine, self.impostor)]
        last = max(scores[place - 1] for scores, place in places if place)
        return self.rates(np.array([last, first]))


def error_curves(genuine: Numbers, impostor: Numbers, *, of_all_attempts: bool = False) -> ErrorCurves:
    """FMR and FNMR at every distinct score of `genuine` (G,) and `impostor` (I,), and at infinity.

    `of_all_attempts` divides both errors by G + I, as one source prints them; never use it to compare. For tens of
    millions of scores take ``roc``, which keeps only the corners.
    """
    scores = _Sorted(genuine, impostor)
    values = np.unique(np.concatenate([scores.genuine, scores.impostor]))
    thresholds, fmr, fnmr = scores.rates(np.append(values, np.inf))
    if of_all_attempts:
        attempts = len(scores.genuine) + len(scores.impostor)
        fmr, fnmr = fmr * len(scores.impostor) / attempts, fnmr * len(scores.genuine) / attempts
    return ErrorCurves(thresholds, fmr, fnmr)


def roc(genuine: Numbers, impostor: Numbers) -> Roc:
    """The ROC through all distinct thresholds, by its corners: at most twice the rarer kind's scores and two ends.

    Linear interpolation between the points gives every point left out exactly. From genuine (G,) and impostor (I,).
    """
    thresholds, fmr, fnmr = _Sorted(genuine, impostor).corners()
    return Roc(thresholds[::-1], fmr[::-1], 1 - fnmr[::-1])


def det(genuine: Numbers, impostor: Numbers) -> Det:
    """The detection error tradeoff: FMR against FNMR on probit axes (Martin et al., Eurospeech 1997).

    A rate of 0 or 1 lies at infinity on such an axis and says only that the scores ran out; points with one are left
    out, so all values are finite, and kinds of scores that do not overlap give an empty curve.
    """
    from scipy.special import ndtri

    thresholds, fmr, fnmr = _Sorted(genuine, impostor).corners()
    kept = (fmr > 0) & (fmr < 1) & (fnmr > 0) & (fnmr < 1)
    return Det(thresholds[kept], ndtri(fmr[kept]), ndtri(fnmr[kept]))


def eer(genuine: Numbers, impostor: Numbers) -> float:
    """Equal error rate in [0, 1]: where the ROC, linear between the thresholds, has FMR = FNMR (ISO/IEC 19795-1)."""
    _, fmr, fnmr = _Sorted(genuine, impostor).crossing()
    return float(equal_error(fmr[None], fnmr[None])[0])


def eer_vos(genuine: Numbers, impostor: Numbers) -> float:
    """(FMR + FNMR) / 2 in [0, 1] at the score where the two are closest, the lower of two (vos2023).

    ``eer`` interpolates instead.
    """
    _, fmr, fnmr = _Sorted(genuine, impostor).crossing()
    closest = int(np.argmin(np.round(np.abs(fmr - fnmr), 12)))  # a tie, whatever the last bits say
    return float(fmr[closest] + fnmr[closest]) / 2


def equal_error(fmr: Floats, fnmr: Floats) -> Floats:
    """The equal error rates (R,) of the curves in the rows of `fmr` and `fnmr` (R, T), at rising thresholds."""
    rows = np.arange(len(fmr))
    after = np.maximum(np.argmax(fnmr >= fmr, axis=1), 1)
    left = (fmr - fnmr)[rows, after - 1]
    right = (fnmr - fmr)[rows, after]
    total = left + right
    part = np.divide(left, total, out=np.zeros_like(total), where=total > 0)
    before = fmr[rows, after - 1]
    return np.asarray(before + part * (fmr[rows, after] - before))
