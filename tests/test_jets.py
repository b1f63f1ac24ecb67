"""Jets and operators against mpmath and nested autograd: every function, every rule, every level of derivatives."""

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
from torch import Tensor

from pdekan.fields import functions
from pdekan.fields.functions import ELEMENTARY, atan2, composed, cos, exp, log, product, sin, tanh, total, where
from pdekan.fields.jets import Derivatives, Frame, Jet, MissingDerivative
from pdekan.fields.operators import d, div, dot, dt, dx, dy, dz, grad, hessian, laplacian, normal

LEVELS = list(Derivatives)
INTERVALS = {  # where each function is smooth and tame
    "sin": (-9, 9), "cos": (-9, 9), "tan": (-1.4, 1.4), "asin": (-0.95, 0.95), "acos": (-0.95, 0.95), "atan": (-9, 9),
    "sinh": (-5, 5), "cosh": (-5, 5), "tanh": (-4, 4), "exp": (-5, 5), "log": (0.05, 9), "log10": (0.05, 9), "sqrt": (0.05, 9),
    "erf": (-3, 3), "abs": (0.01, 9), "sign": (0.01, 9),
}  # fmt: skip
MPMATH = {name: getattr(mpmath, name, None) for name in INTERVALS} | {"abs": mpmath.fabs}


def line(*values: float) -> Jet:
    """The coordinate of a 1-D frame at the given points."""
    points = torch.tensor(values, dtype=torch.float64)[:, None]
    return Frame(("x",)).coordinate(points, 0)


def random_points(n: int, d: int, seed: int = 0) -> Tensor:
    return 0.2 + torch.rand(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_like(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slope(y: Tensor, x: Tensor) -> Tensor:
    """Gradient ``(n, d)`` of a field ``(n,)`` by its points."""
    (out,) = torch.autograd.grad(y.sum(), x, create_graph=True, allow_unused=True, materialize_grads=True)
    return out


def close(ours: Tensor, theirs: Tensor, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(ours, theirs.detach().broadcast_to(ours.shape), rtol=tolerance, atol=tolerance)


# Elementary functions


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
    x = size * side
    field = line(x) ** power
    expected = (x**power, power * x ** (power - 1), power * (power - 1) * x ** (power - 2))
    for part, number in zip((field.value, field.gradient, field.second), expected, strict=True):
        assert float(part) == pytest.approx(number, rel=1e-13, abs=1e-300)


@given(st.floats(-3, 5), st.floats(0.2, 3))
def test_real_powers_of_positive_bases(power: float, x: float) -> None:
    field = line(x) ** power
    expected = (x**power, power * x ** (power - 1), power * (power - 1) * x ** (power - 2))
    for part, number in zip((field.value, field.gradient, field.second), expected, strict=True):
        assert float(part) == pytest.approx(number, rel=1e-12, abs=1e-14)


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


# Arithmetic: a composition of two fields of two variables, against nested autograd

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


# Frames


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


# Operators: u and k of two space coordinates and time; the reference differentiates plain tensors


def u_of(x: Jet, y: Jet, t: Jet) -> Jet:
    return sin(2.0 * x) * exp(y * t) + x * y**2 * t


def u_reference(points: Tensor) -> Tensor:
    x, y, t = points.unbind(1)
    return torch.sin(2.0 * x) * torch.exp(y * t) + x * y**2 * t


class Reference:
    """u and its derivatives by nested autograd at points with columns x, y, t."""

    def __init__(self, points: Tensor) -> None:
        self.points = points.clone().requires_grad_()
        self.u = u_reference(self.points)
        self.gradient = slope(self.u, self.points)
        self.hessian = torch.stack([slope(self.gradient[:, k], self.points) for k in range(3)], dim=1)

    def div(self, fx: Tensor, fy: Tensor) -> Tensor:
        return slope(fx, self.points)[:, 0] + slope(fy, self.points)[:, 1]


POINTS = random_points(30, 3, seed=5)
REFERENCE = Reference(POINTS)
X, Y, T = REFERENCE.points.unbind(1)
U, (UX, UY, UT) = REFERENCE.u, REFERENCE.gradient.unbind(1)

# name -> (operator of x, y, t, u), (reference), (the least level that must do)
OPERATORS: dict[str, tuple[Callable[..., Jet], Tensor, Derivatives]] = {
    "dx": (lambda x, y, t, u: dx(u), UX, Derivatives.GRADIENT),
    "dy": (lambda x, y, t, u: dy(u), UY, Derivatives.GRADIENT),
    "dt": (lambda x, y, t, u: dt(u), UT, Derivatives.GRADIENT),
    "grad, dotted": (lambda x, y, t, u: dot(grad(u), grad(u)), UX**2 + UY**2, Derivatives.GRADIENT),
    "u dx(u)": (lambda x, y, t, u: u * dx(u) + dt(u), U * UX + UT, Derivatives.GRADIENT),
    "laplacian": (lambda x, y, t, u: laplacian(u), REFERENCE.hessian[:, 0, 0] + REFERENCE.hessian[:, 1, 1], Derivatives.SUMMED),
    "laplacian of a function of u": (
        lambda x, y, t, u: laplacian(exp(u) * x), REFERENCE.div(*slope(torch.exp(U) * X, REFERENCE.points)[:, :2].unbind(1)),
        Derivatives.SUMMED,
    ),
    "div(grad)": (lambda x, y, t, u: div(grad(u)), REFERENCE.div(UX, UY), Derivatives.SUMMED),
    "div(k grad) with k of position": (
        lambda x, y, t, u: div((1.0 + x * y + t) * grad(u)), REFERENCE.div((1 + X * Y + T) * UX, (1 + X * Y + T) * UY),
        Derivatives.SUMMED,
    ),
    "div(grad k), in the other order": (
        lambda x, y, t, u: div(grad(u) * exp(x) / 3.0), REFERENCE.div(torch.exp(X) * UX / 3, torch.exp(X) * UY / 3),
        Derivatives.SUMMED,
    ),
    "div(k grad) with k of u": (
        lambda x, y, t, u: div((1.0 + u**2) * grad(u)), REFERENCE.div((1 + U**2) * UX, (1 + U**2) * UY), Derivatives.SUMMED,
    ),
    "div(a grad u - b grad x)": (
        lambda x, y, t, u: div(u * grad(u) - x * grad(x * y)), REFERENCE.div(U * UX - X * Y, U * UY - X**2), Derivatives.SUMMED,
    ),
    "div(k grad) with k of grad(u)": (
        lambda x, y, t, u: div((1.0 + dot(grad(u), grad(u))) ** -0.5 * grad(u)),
        REFERENCE.div(UX / (1 + UX**2 + UY**2) ** 0.5, UY / (1 + UX**2 + UY**2) ** 0.5), Derivatives.FULL,
    ),
    "dx(dx)": (lambda x, y, t, u: dx(dx(u)), REFERENCE.hessian[:, 0, 0], Derivatives.DIAGONAL),
    "dt(dt) - dy(dy)": (
        lambda x, y, t, u: dt(dt(u)) - dy(dy(u)), REFERENCE.hessian[:, 2, 2] - REFERENCE.hessian[:, 1, 1], Derivatives.DIAGONAL,
    ),
    "dx(k dx)": (
        lambda x, y, t, u: dx((1.0 + x * y) * dx(u)), slope((1 + X * Y) * UX, REFERENCE.points)[:, 0], Derivatives.DIAGONAL,
    ),
    "dx(k(u) dx)": (
        lambda x, y, t, u: dx(exp(u) * dx(u)), slope(torch.exp(U) * UX, REFERENCE.points)[:, 0], Derivatives.DIAGONAL,
    ),
    "dx(sin(dx))": (lambda x, y, t, u: dx(sin(dx(u))), slope(torch.sin(UX), REFERENCE.points)[:, 0], Derivatives.DIAGONAL),
    "dx(dy)": (lambda x, y, t, u: dx(dy(u)), REFERENCE.hessian[:, 0, 1], Derivatives.FULL),
    "dy(k dx)": (lambda x, y, t, u: dy(u * dx(u)), slope(U * UX, REFERENCE.points)[:, 1], Derivatives.FULL),
    "dt(dx)": (lambda x, y, t, u: dt(dx(u)), REFERENCE.hessian[:, 0, 2], Derivatives.FULL),
    "determinant": (
        lambda x, y, t, u: dx(dx(u)) * dy(dy(u)) - dx(dy(u)) ** 2,
        REFERENCE.hessian[:, 0, 0] * REFERENCE.hessian[:, 1, 1] - REFERENCE.hessian[:, 0, 1] ** 2, Derivatives.FULL,
    ),
}  # fmt: skip


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.name.lower())
@pytest.mark.parametrize("name", OPERATORS)
def test_operators_agree_with_nested_autograd_or_say_what_they_miss(name: str, level: Derivatives) -> None:
    operator, reference, least = OPERATORS[name]
    frame = Frame(("x", "y", "t"), level)
    names = [frame.coordinate(POINTS, k) for k in range(3)]
    u = u_of(*names)
    if level < least:
        with pytest.raises(MissingDerivative):
            operator(*names, u)
    else:
        close(operator(*names, u).value, reference, 1e-11)


def test_full_level_gives_the_hessian_and_gradients_of_derivatives() -> None:
    frame = Frame(("x", "y", "t"))
    u = u_of(*(frame.coordinate(POINTS, k) for k in range(3)))
    close(hessian(u), REFERENCE.hessian, 1e-11)
    close(grad(dt(u)).value, REFERENCE.hessian[:, 2, :2], 1e-11)
    with pytest.raises(MissingDerivative):
        hessian(u_of(*(replace(frame, level=Derivatives.DIAGONAL).coordinate(POINTS, k) for k in range(3))))


@pytest.mark.parametrize("level", LEVELS[:4], ids=lambda level: level.name.lower())
def test_third_derivatives_and_derivatives_that_are_not_known_are_refused(level: Derivatives) -> None:
    frame = Frame(("x", "y", "t"), level)
    u = u_of(*(frame.coordinate(POINTS, k) for k in range(3)))
    for bad in (lambda: dx(dx(dx(u))), lambda: laplacian(laplacian(u)), lambda: grad(dx(u)), lambda: dy(dx(u) * u),
                lambda: dy(where(u.value > 0, dx(u), u)), lambda: div(dx(u) * grad(u)), lambda: laplacian(dx(u))):  # fmt: skip
        with pytest.raises(MissingDerivative):
            bad()


def test_the_normal_derivative_takes_the_outward_normal() -> None:
    normals = torch.nn.functional.normalize(random_like((30, 3), 9), dim=1)
    frame = Frame(("x", "y", "z"), Derivatives.GRADIENT, normals)
    x, y, z = (frame.coordinate(POINTS, k) for k in range(3))
    u = u_of(x, y, z)
    close(normal(u).value, (normals * REFERENCE.gradient).sum(1))
    close(dz(u).value, UT)
    with pytest.raises(MissingDerivative):
        normal(Frame(("x", "y", "z"), Derivatives.VALUE, normals).coordinate(POINTS, 0))


def test_the_position_has_the_space_dimension_as_its_divergence() -> None:
    for level in (Derivatives.SUMMED, Derivatives.FULL):
        frame = Frame(("x", "y", "z"), level)
        position = frame.position(POINTS)
        close(div(position).value, torch.full((30,), 3.0, dtype=torch.float64))
        r2 = dot(position, position)
        close(div(r2 * position).value, 5.0 * r2.value)  # div(r² x) = (d + 2) r²
        close(div(position + 2.0).value, torch.full((30,), 3.0, dtype=torch.float64))


@pytest.mark.parametrize(
    "scale", [2.0, 2, np.float64(2.0), np.float32(2.0), np.int64(2), torch.tensor(2.0)], ids=lambda s: type(s).__name__
)
def test_numbers_of_every_kind_multiply_and_add_from_the_right(scale: float) -> None:
    x = line(0.3, 0.7)
    for ours, theirs in (
        (x * scale, x + x),
        (x + scale, 2.0 + x),
        (x - scale, x + -2.0),
        (x / scale, 0.5 * x),
        (x**scale, x * x),
    ):
        close(ours.value, theirs.value)
        close(ours.gradient, theirs.gradient)
        close(ours.second, theirs.second)


@pytest.mark.parametrize(
    "scale", [2.0, 2, np.float64(2.0), np.float32(2.0), np.int64(2), torch.tensor(2.0)], ids=lambda s: type(s).__name__
)
def test_numbers_of_every_kind_multiply_and_add_from_the_left(scale: float) -> None:
    x = line(0.3, 0.7)
    for ours, theirs in ((scale * x, x + x), (scale + x, 2.0 + x), (scale - x, 2.0 + -x), (scale / x, 2.0 * x**-1)):
        close(ours.value, theirs.value)
        close(ours.gradient, theirs.gradient)
        close(ours.second, theirs.second)


def test_functions_that_jets_do_not_know_are_refused_rather_than_wrong() -> None:
    x = line(0.3, 0.7)
    for bad in (
        lambda: np.hypot(x, x),
        lambda: torch.sigmoid(x),
        lambda: np.add.reduce(x),
        lambda: np.add(x, x, out=np.zeros(2)),
    ):
        with pytest.raises(TypeError):
            bad()


@pytest.mark.parametrize("array", [np.array([1.0, 2.0]), torch.tensor([1.0, 2.0])], ids=["numpy", "torch"])
def test_arrays_are_no_fields_and_are_refused_on_either_side(array: np.ndarray | Tensor) -> None:
    x = line(0.3, 0.7)
    for bad in (lambda: x * array, lambda: array * x, lambda: array + x, lambda: array - x):
        with pytest.raises((TypeError, ValueError)):
            bad()


def test_jets_can_be_differentiated_by_autograd_too() -> None:
    """Rows of the Jacobian come from one pass of autograd over jet arithmetic."""
    frame = Frame(("x", "y"))
    names = [frame.coordinate(POINTS[:, :2], k) for k in range(2)]
    parts = [random_like(shape, seed).requires_grad_() for seed, shape in enumerate([(30,), (30, 2), (30, 3)])]

    def residual(*parts: Tensor) -> Tensor:
        u = Jet(frame, *parts)
        return (div((1.0 + u**2) * grad(u)) + cos(u) * dx(dy(u)) * names[0]).value

    assert torch.autograd.gradcheck(residual, parts)


def test_cosine_is_not_sine() -> None:
    """The module's names stand for the functions they say."""
    for name in (
        "sin",
        "cos",
        "tan",
        "asin",
        "acos",
        "atan",
        "sinh",
        "cosh",
        "tanh",
        "exp",
        "log",
        "log10",
        "sqrt",
        "erf",
        "sign",
    ):
        assert getattr(functions, name) is ELEMENTARY[name]
        assert repr(ELEMENTARY[name]) == f"pdekan.{name}"


@pytest.mark.parametrize(
    "level", [Derivatives.VALUE, Derivatives.GRADIENT, Derivatives.SUMMED, Derivatives.DIAGONAL, Derivatives.FULL]
)
def test_composition_is_the_formula_written_out(level: Derivatives) -> None:
    """sin(p) q² with p = x y, q = exp(x) - y: as arithmetic of jets, and through the jet of sin(a) b² by a and b."""
    points = torch.rand(7, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    frame = Frame(("x", "y"), level)
    x, y = frame.coordinate(points, 0), frame.coordinate(points, 1)
    p, q = x * y, exp(x) - y
    outer = Frame(("a", "b"))
    inside = torch.stack([p.value, q.value], dim=1)
    a, b = outer.coordinate(inside, 0), outer.coordinate(inside, 1)
    found, expected = composed(sin(a) * b * b, [p, q]), sin(p) * q * q
    for ours, theirs in zip(
        (found.value, found.gradient, found.second), (expected.value, expected.gradient, expected.second), strict=True
    ):
        assert (ours is None) == (theirs is None)
        if ours is not None and theirs is not None:
            torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
