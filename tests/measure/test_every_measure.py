"""Every measure through the one tester: torch input, precision, order, names, range, and which way is better."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from tester import CASES, as_tensors, mapped, taken, value

import visard.measure
from visard.errors import MeasureError, VisardError
from visard.measure import MEASURES, person_histograms

every = pytest.mark.parametrize("name", sorted(MEASURES))


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def made(name: str) -> dict[str, Any]:
    return CASES[name].made(rng())


def test_every_measure_has_a_case_and_a_name() -> None:
    assert set(CASES) == set(MEASURES)
    assert set(MEASURES) < set(visard.measure.__all__)
    assert visard.measure.__all__ == sorted(visard.measure.__all__, key=lambda n: (not n.isupper(), n.islower(), n))
    assert all(hasattr(visard.measure, name) for name in visard.measure.__all__)


@every
def test_tensors_are_as_good_as_arrays(name: str) -> None:
    """Tensors that need gradients, even."""
    arguments = made(name)
    np.testing.assert_array_equal(value(name, as_tensors(arguments)), value(name, arguments))


@every
def test_single_precision_is_enough(name: str) -> None:
    arguments = made(name)
    single = value(name, mapped(arguments, np.float32))
    np.testing.assert_allclose(single, value(name, arguments), rtol=CASES[name].tolerance, atol=1e-6)


@every
def test_order_makes_no_difference(name: str) -> None:
    arguments = made(name)
    before = value(name, arguments)
    for together in CASES[name].rows:
        order = rng().permutation(len(arguments[together[0]]))
        arguments |= {k: taken(arguments[k], order) for k in together}
    np.testing.assert_allclose(value(name, arguments), before, rtol=1e-9)


@pytest.mark.parametrize("name", [name for name in sorted(CASES) if CASES[name].people])
def test_names_of_people_make_no_difference(name: str) -> None:
    arguments = made(name)
    renamed = {
        k: np.array([-int(p.split()[1]) for p in v]) if k in CASES[name].people else v for k, v in arguments.items()
    }
    assert value(name, renamed) == value(name, arguments)


@every
def test_better_and_worse(name: str) -> None:
    measure, case, generator = MEASURES[name], CASES[name], rng()
    good = case.made(generator)
    worse = case.worse(good, generator)
    values = [np.mean(value(name, arguments)) for arguments in (good, worse)]
    assert (values[0] > values[1]) == measure.higher_is_better
    assert values[0] != values[1]
    for result in values:
        assert measure.low <= result <= measure.high


@every
def test_nan_is_refused(name: str) -> None:
    for changed in made(name):
        arguments = made(name)
        if not (isinstance(arguments[changed], np.ndarray) and arguments[changed].dtype.kind == "f"):
            continue
        arguments[changed] = arguments[changed].copy()
        arguments[changed].flat[-1] = np.nan
        with pytest.raises(MeasureError, match=r"NaN"):
            value(name, arguments)


@every
def test_nothing_is_refused(name: str) -> None:
    arguments = mapped(made(name), lambda array: array[:0])
    with pytest.raises(MeasureError, match=r"There are no|need"):
        value(name, arguments)


@every
def test_a_wrong_number_of_axes_is_refused(name: str) -> None:
    arguments = mapped(made(name), lambda array: array[None, None, None])
    with pytest.raises(MeasureError, match="shape"):
        value(name, arguments)


@every
def test_papers_and_units_are_said(name: str) -> None:
    measure = MEASURES[name]
    assert measure.function.__doc__
    assert measure.low < measure.high


def test_words_are_no_numbers() -> None:
    with pytest.raises(MeasureError, match="real numbers"):
        visard.measure.eer(np.array(["a"]), np.array([1.0]))


def test_half_precision_is_made_single() -> None:
    scores = torch.tensor([0.25, 0.5], dtype=torch.bfloat16)
    assert visard.measure.fmr_at(scores, 0.5) == 0.5
    assert visard.measure.fmr_at(scores.half(), 0.5) == 0.5
    assert visard.measure.fmr_at([0, 1], 0.5) == 0.5


def test_an_error_is_of_both_trees() -> None:
    assert issubclass(MeasureError, VisardError)
    assert issubclass(MeasureError, ValueError)


def test_one_person_has_no_impostors() -> None:
    with pytest.raises(MeasureError, match="at least two people"):
        person_histograms(np.eye(3), ["a"] * 3)


def test_the_room_needs_no_torch() -> None:
    script = "import sys, visard.measure; print(any(m.split('.')[0] in ('torch', 'skimage') for m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
