"""Constants: true closed forms are recognised from few digits, random numbers are not."""

from __future__ import annotations

import math
import random

import pytest
import sympy
from sympy import E, Rational, exp, log, pi, sqrt

from pdekan.symbolic.constants import recognise

SIMPLE = [
    pi, 2 * pi, -3 * pi / 2, pi**2, pi**2 / 4, 17 * pi**2, 1 / pi, 4 / pi**2, sqrt(2), sqrt(2) / 2, sqrt(6) / 4,
    sqrt(Rational(3, 5)), 2 * sqrt(pi), 1 / sqrt(2 * pi), sqrt(2) * pi, E, exp(-1), log(2), sympy.Integer(7), Rational(1, 3),
    Rational(1, 10), Rational(1, 100), Rational(1, 400), Rational(-22, 7), sympy.Integer(64), Rational(9, 64),
    Rational(137, 1000), sqrt(97), sympy.Integer(1000), Rational(123, 10), Rational(1, 100000),
]  # fmt: skip


@pytest.mark.parametrize("form", SIMPLE, ids=str)
@pytest.mark.parametrize("digits", [8, 10, 13, 16])
def test_true_closed_forms_are_recognised(form: sympy.Expr, digits: int) -> None:
    generator = random.Random(digits)
    value = float(form)
    off = abs(value) * 10.0**-digits
    for _ in range(5):
        assert sympy.expand(recognise(value + off * generator.uniform(-0.99, 0.99), off) - form) == 0


@pytest.mark.parametrize("digits", [3, 5, 8, 12])
def test_random_numbers_are_not(digits: int) -> None:
    generator = random.Random(digits)
    found = 0
    for _ in range(2000):
        value = 10.0 ** generator.uniform(-3.0, 3.0)
        found += recognise(value, 0.5 * value * 10.0**-digits) is not None
    assert found <= 2


def test_what_is_found_is_within_the_uncertainty() -> None:
    generator = random.Random(1)
    for _ in range(300):
        near = float(generator.choice(SIMPLE)) * (1.0 + 10.0 ** generator.uniform(-9.0, -3.0))
        off = abs(near) * 10.0 ** generator.uniform(-9.0, -4.0)
        form = recognise(near, off)
        assert form is None or abs(float(form) - near) <= off * (1.0 + 1e-9)


def test_a_number_a_little_off_is_no_closed_form() -> None:
    assert recognise(math.pi + 1e-6, 1e-8) is None
    assert recognise(0.1 * (1.0 + 1e-7), 1e-9) is None


def test_nothing_is_told_from_few_digits() -> None:
    assert recognise(1.7, 0.1) is None
    assert recognise(math.pi, 0.3) is None


def test_a_number_below_its_uncertainty_is_zero() -> None:
    assert recognise(-1e-9, 1e-8) == 0
    assert recognise(0.0, 0.0) == 0


def test_double_precision_is_the_best_there_is() -> None:
    assert recognise(math.pi, 0.0) == pi
    assert recognise(math.nextafter(0.1, 1.0), 0.0) == Rational(1, 10)


@pytest.mark.parametrize(("value", "off"), [(math.nan, 1.0), (math.inf, 1.0), (1.0, -1.0), (1.0, math.nan)])
def test_what_is_no_number_is_refused(value: float, off: float) -> None:
    with pytest.raises(ValueError, match="finite number"):
        recognise(value, off)
