"""Jets against mpmath and nested autograd: every function, every rule, every level of derivatives."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from jets_and_autograd import LEVELS, close, line, random_like, random_points, slope
from torch import Tensor

from pdekan.fields.functions import ELEMENTARY, atan2, exp, log, product, sin, tanh, total, where
from pdekan.fields.jets import Derivatives, Frame, Jet
from pdekan.fields.operators import d, div, dot, dx, grad, laplacian, normal

INTERVALS = {  # where each function is smooth and tame
    "sin": (-9, 9), "cos": (-9, 9), "tan": (-1.4, 1.4), "asin": (-0.95, 0.95), "acos": (-0.95, 0.95), "atan": (-9, 9),
    "sinh": (-5, 5), "cosh": (-5, 5), "tanh": (-4, 4), "exp": (-5, 5), "log": (0.05, 9), "log10": (0.05, 9), "sqrt": (0.05, 9),
    "erf": (-3, 3), "abs": (0.01, 9), "sign": (0.01, 9),
}  # fmt: skip
MPMATH = {name: getattr(mpmath, name, None) for name in INTERVALS} | {"abs": mpmath.fabs}


# --- Elementary functions


@pytest.mark.parametrize("name", sorted(ELEMENTARY))
@given(data=st.data())
def test_elementary_functions_and_two_derivatives_agree_with_mpmath(name: str, data: st.DataObject) -> None:
    at = data.draw(st.floats(*INTERVALS[name]))
    if name in ("abs", "sign"):
        at *= data.draw(st.sampled_from([-1.0, 1.0]))
    field = ELEMENTARY[name](line(at))
    assert field.gradient is not None
    assert field.second is not None
    ours = [float(field.value), float(field.gradient), float(field.second)]
    with mpmath.workdps(40):
        for order, number in enumerate(ours):
            exact = float(mpmath.diff(MPMATH[name], mpmath.mpf(at), order)) if order else float(MPMATH[name](mpmath.mpf(at)))
            assert number == pytest.approx(exact, rel=1e-12, abs=1e-13)


@pytest.mark.parametrize("name", sorted(ELEMENTARY))
def test_elementary_functions_of_a_number_are_numbers(name: str) -> None:
    at = 0.5 * (INTERVALS[name][0] + INTERVALS[name][1]) + 0.1
    result = ELEMENTARY[name](at)
    assert isinstance(result, float)
    assert result == pytest.approx(float(MPMATH[name](at)), rel=1e-14)


@given(st.integers(-4, 7), st.floats(0.3, 2.5), st.sampled_from([-1.0, 1.0]))
def test_integer_powers_hold_for_negative_bases_too(power: int, size: float, side: float) -> None:
    assert_power(size * side, power, rel=1e-13, abs=1e-300)


@given(st.floats(-3, 5), st.floats(0.2, 3))
def test_real_powers_of_positive_bases(power: float, x: float) -> None:
    assert_power(x, power, rel=1e-12, abs=1e-14)


def assert_power(x: float, power: float, **within: float) -> None:
    """The jet of x**power holds the power and its first two derivatives."""
    field = line(x) ** power
    expected = (x**power, power * x ** (power - 1), power * (power - 1) * x ** (power - 2))
    for part, number in zip((field.value, field.gradient, field.second), expected, strict=True):
        assert float(part) == pytest.approx(number, **within)


@pytest.mark.parametrize(
    ("power", "expected"), [(0, (1, 0, 0)), (1, (0, 1, 0)), (2, (0, 0, 2)), (3, (0, 0, 0)), (2.5, (0, 0, 0))]
)
def test_powers_at_zero_have_finite_derivatives(power: float, expected: tuple[float, ...]) -> None:
    field = line(0.0) ** power
    assert (float(field.value), float(field.gradient), float(field.second)) == expected


@given(st.floats(0.2, 3), st.floats(-2, 2))
def test_powers_with_a_field_in_the_exponent(base: float, x: float) -> None:
    constant_base, both = base ** line(x), (line(x) ** 2 + base) ** line(x)
    for field, function in ((constant_base, lambda t: base**t), (both, lambda t: (t**2 + base) ** t)):
        for order, part in enumerate((field.value, field.gradient, field.second)):
            assert float(part) == pytest.approx(float(mpmath.diff(function, x, order)), rel=1e-8, abs=1e-9)


@pytest.mark.parametrize("base", [0.0, -2.0])
def test_a_variable_power_of_a_base_that_is_not_positive_is_refused(base: float) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        base ** line(1.0)


# --- Arithmetic: a composition of two fields of two variables, against nested autograd


ARITHMETIC: dict[str, tuple[Callable[..., Jet], Callable[..., Tensor]]] = {
    "sum": (lambda a, b: a + b - 2.0, lambda a, b: a + b - 2.0),
    "difference": (lambda a, b: 3.0 - a - b, lambda a, b: 3.0 - a - b),
    "product": (lambda a, b: a * b * 2.0, lambda a, b: a * b * 2.0),
    "quotient": (lambda a, b: a / b, lambda a, b: a / b),
    "reciprocal": (lambda a, b: 2.0 / (a + b), lambda a, b: 2.0 / (a + b)),
    "quotient by a number": (lambda a, b: a / 4.0 + +b, lambda a, b: a / 4.0 + b),
    "negative power": (lambda a, b: (-a) ** 3 * b**-2, lambda a, b: (-a) ** 3 * b**-2),
    "power of a field": (lambda a, b: a**b, lambda a, b: a**b),
    "composition": (
        lambda a, b: exp(-a * b) * tanh(a - b) + log(a + b),
        lambda a, b: torch.exp(-a * b) * torch.tanh(a - b) + torch.log(a + b),
    ),
    "numpy": (
        lambda a, b: np.exp(-a) * np.float64(2.0) + np.pi * np.sqrt(b),
        lambda a, b: torch.exp(-a) * 2 + np.pi * torch.sqrt(b),
    ),
    "numpy's names": (
        lambda a, b: np.square(np.arctan(a)) + np.divide(np.abs(b), np.power(a, 2)) - np.arcsin(a / 9) * np.arccos(b / 9),
        lambda a, b: torch.atan(a) ** 2 + b / a**2 - torch.asin(a / 9) * torch.acos(b / 9),
    ),
    "torch": (
        lambda a, b: torch.exp(-a) + torch.sin(b) * torch.square(a) + torch.pow(b, 3) - torch.neg(a) + torch.mul(a, b),
        lambda a, b: torch.exp(-a) + torch.sin(b) * a**2 + b**3 + a + a * b,
    ),
    "where": (lambda a, b: where(a.value > b.value, sin(a), b**2), lambda a, b: torch.where(a > b, torch.sin(a), b**2)),
    "where with a number": (lambda a, b: where(a.value > b.value, 2.0, a * b), lambda a, b: torch.where(a > b, 2.0, a * b)),
    "atan2": (lambda a, b: atan2(a - 0.8, b - 0.7), lambda a, b: torch.atan2(a - 0.8, b - 0.7)),
    "atan2 with a number": (
        lambda a, b: atan2(a, -0.3) * atan2(0.3, b - 0.9),
        lambda a, b: torch.atan2(a, torch.full_like(a, -0.3)) * torch.atan2(torch.full_like(b, 0.3), b - 0.9),
    ),
}  # fmt: skip


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.name.lower())
@pytest.mark.parametrize("name", ARITHMETIC)
def test_arithmetic_agrees_with_nested_autograd(name: str, level: Derivatives) -> None:
    ours, theirs = ARITHMETIC[name]
    points = random_points(40, 3).requires_grad_()
    frame = Frame(("x", "y", "t"), level)
    x, y, t = (frame.coordinate(points.detach(), k) for k in range(3))
    field = ours(x * y + t, y + sin(x) * t)
    px, py, pt = points.unbind(1)
    value = theirs(px * py + pt, py + torch.sin(px) * pt)
    gradient = slope(value, points)
    rows = torch.stack([slope(gradient[:, k], points) for k in range(3)], dim=1)
    close(field.value, value)
    if level >= Derivatives.GRADIENT:
        close(field.gradient, gradient)
    expected = {
        Derivatives.SUMMED: rows[:, 0, 0] + rows[:, 1, 1],
        Derivatives.DIAGONAL: rows.diagonal(dim1=1, dim2=2),
        Derivatives.FULL: rows[:, [0, 0, 0, 1, 1, 2], [0, 1, 2, 1, 2, 2]],
    }
    if level in expected:
        close(field.second, expected[level].reshape(40, -1), 1e-11)
    else:
        assert field.second is None


@pytest.mark.parametrize("angle", np.linspace(-math.pi + 0.01, math.pi - 0.01, 23).tolist())
def test_atan2_is_the_angle_in_every_quadrant(angle: float) -> None:
    frame = Frame(("x", "y"))
    points = torch.tensor([[2.0 * math.cos(angle), 2.0 * math.sin(angle)]], dtype=torch.float64)
    field = atan2(frame.coordinate(points, 1), frame.coordinate(points, 0))
    assert isinstance(field, Jet)
    assert float(field.value) == pytest.approx(angle, abs=1e-14)
    # ∇θ = (-sin θ, cos θ) / r, and θ is harmonic
    close(field.gradient, torch.tensor([[-math.sin(angle), math.cos(angle)]], dtype=torch.float64) / 2.0)
    assert float(laplacian(field).value) == pytest.approx(0.0, abs=1e-14)


def test_atan2_of_numbers_and_where_without_a_field() -> None:
    assert atan2(1.0, -1.0) == math.atan2(1.0, -1.0)
    with pytest.raises(TypeError, match="must be a field"):
        where(torch.tensor([True]), 1.0, 2.0)


def test_where_does_not_let_the_branch_not_taken_spoil_the_other() -> None:
    x = line(-1.0, 0.5)
    field = where(x.value > 0.0, log(x), x)
    assert torch.isfinite(field.value).all()
    assert torch.isfinite(field.gradient).all()
    assert torch.isfinite(field.second).all()


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.name.lower())
def test_sums_and_products_of_components(level: Derivatives) -> None:
    points = random_points(20, 3)
    frame = Frame(("x", "y", "z"), level)
    x = [frame.coordinate(points, k) for k in range(3)]
    vector = sin(frame.position(points) * 2.0)
    assert vector.components == 3
    for ours, theirs in (
        (total(vector), sin(2.0 * x[0]) + sin(2.0 * x[1]) + sin(2.0 * x[2])),
        (product(vector), sin(2.0 * x[0]) * sin(2.0 * x[1]) * sin(2.0 * x[2])),
        (vector[1], sin(2.0 * x[1])),
        (dot(vector, vector), sin(2.0 * x[0]) ** 2 + sin(2.0 * x[1]) ** 2 + sin(2.0 * x[2]) ** 2),
        (total(vector * x[0]), total(x[0] * vector)),
    ):
        close(ours.value, theirs.value)
        assert (ours.gradient is None) == (level < Derivatives.GRADIENT)
        if ours.gradient is not None:
            close(ours.gradient, theirs.gradient)
        assert (ours.second is None) == (level < Derivatives.SUMMED)
        if ours.second is not None:
            close(ours.second, theirs.second)


def test_what_acts_on_vectors_refuses_scalars_and_the_other_way_round() -> None:
    frame, points = Frame(("x", "y")), random_points(4, 2)
    u, v = frame.coordinate(points, 0), frame.position(points)
    for bad in (lambda: u[0], lambda: product(u), lambda: div(u), lambda: dot(u, u), lambda: dot(v, u), lambda: grad(v),
                lambda: laplacian(v), lambda: dx(v)):  # fmt: skip
        with pytest.raises(TypeError):
            bad()
    with pytest.raises(TypeError, match="needs 2 components"):
        div(Jet(frame, torch.zeros(4, 3, dtype=torch.float64)))
    with pytest.raises(ValueError, match="coordinates are x, y"):
        d(u, "z")
    with pytest.raises(ValueError, match="boundary only"):
        normal(u)


# --- Frames


@pytest.mark.parametrize("level", LEVELS[2:], ids=lambda level: level.name.lower())
@pytest.mark.parametrize("coordinates", [("x",), ("x", "y"), ("x", "t"), ("x", "y", "t"), ("a", "b", "c", "e")], ids="".join)
def test_pair_is_symmetric_bilinear_and_pair_pullback_its_adjoint(coordinates: tuple[str, ...], level: Derivatives) -> None:
    frame, n = Frame(coordinates, level), len(coordinates)
    g, h, k = (random_like((7, 3, n), seed) for seed in range(3))
    weight = random_like((7, 3, frame.second_count), 3)
    close(frame.pair(g, h), frame.pair(h, g))
    close(frame.pair(g, 2.0 * h - k), 2.0 * frame.pair(g, h) - frame.pair(g, k))
    # ⟨w, g ⊙ h⟩ = ⟨pullback(w, g), h⟩ for all h
    close((frame.pair_pullback(weight, g) * h).sum(-1), (weight * frame.pair(g, h)).sum(-1))
    outer = 0.5 * (g[..., :, None] * h[..., None, :] + h[..., :, None] * g[..., None, :])
    space = frame.space
    expected = {
        Derivatives.SUMMED: outer[..., space, space].sum(-1, keepdim=True),
        Derivatives.DIAGONAL: outer.diagonal(dim1=-2, dim2=-1),
        Derivatives.FULL: outer[..., frame.packed[0], frame.packed[1]],
    }
    close(frame.pair(g, h), expected[level])


def test_frames_know_space_from_time_and_change_level() -> None:
    frame = Frame(("x", "t", "y"))
    assert frame.space == [0, 2]
    assert frame.dimension == 3
    assert [replace(frame, level=level).second_count for level in LEVELS] == [0, 0, 1, 3, 6]
