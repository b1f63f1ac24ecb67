"""Differential operators on jets, against autograd of plain tensors: every level of derivatives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from jets_and_autograd import LEVELS, close, line, random_like, random_points, slope
from torch import Tensor

from pdekan.fields import functions
from pdekan.fields.functions import ELEMENTARY, composed, cos, exp, sin, where
from pdekan.fields.jets import Derivatives, Frame, Jet, MissingDerivative
from pdekan.fields.operators import div, dot, dt, dx, dy, dz, grad, hessian, laplacian, normal


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
