"""Taylor models against values to forty digits, and those of networks against their jets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import pytest
import torch

from pdekan.errors.cells_of_box import Cells
from pdekan.errors.spline_fields import SplineBox
from pdekan.fields.jets import Derivatives, Frame
from pdekan.fields.taylor_models import NotEnclosed, TaylorModels, monomials
from pdekan.networks.enclosed import enclosed_jet
from pdekan.networks.kan import KAN

# a function of x and y on [0.5, 2] x [-1, 1]; lib has the elementary functions
FORMULAS: dict[str, Callable[..., Any]] = {
    "product": lambda lib, x, y: (x * y - 0.3) * (x + 2.0 * y) - 1.7,
    "quotient": lambda lib, x, y: y / (x * x + y * y) + 1.0 / x,
    "powers": lambda lib, x, y: x**2.5 + (x - 3.0) ** -3.0 + y**7.0 + (x + y) ** 2.0,
    "waves": lambda lib, x, y: lib.sin(5.0 * x) * lib.cos(3.0 * y - x),
    "exponentials": lambda lib, x, y: lib.exp(-2.0 * x) + lib.sinh(y) - lib.cosh(x * y) + lib.tanh(x),
    "logarithm and root": lambda lib, x, y: lib.log(x) * lib.sqrt(x + 2.0 + y) + lib.tan(0.3 * y),
}


def position(order: int, count: int) -> tuple[TaylorModels, torch.Tensor, TaylorModels]:
    """The coordinates of random cells, points t in them, and the coordinates' values there."""
    generator = torch.Generator().manual_seed(count)
    centers = torch.rand(count, 2, generator=generator, dtype=torch.float64) * torch.tensor([1.3, 1.8]) + torch.tensor(
        [0.6, -0.9]
    )
    halves = 0.1 * torch.rand(count, 2, generator=generator, dtype=torch.float64)
    t = 2.0 * torch.rand(count, 2, generator=generator, dtype=torch.float64) - 1.0
    return TaylorModels.coordinates(monomials(2, order), centers.double(), halves), t, centers + halves * t


@pytest.mark.parametrize("order", [2, 8])
@pytest.mark.parametrize("name", FORMULAS)
def test_formulas_are_enclosed(name: str, order: int) -> None:
    models, t, _ = position(order, 20)
    one = FORMULAS[name](torch, models[:, 0], models[:, 1])
    with mpmath.workdps(40):
        for k, place in enumerate(t.tolist()):
            c = models.polynomial[0, k].tolist()
            # the order of the two first monomials is that of (0, 1), (1, 0)
            h = [float(models.polynomial[2, k, 0]), float(models.polynomial[1, k, 1])]
            x, y = (mpmath.mpf(c[j]) + mpmath.mpf(h[j]) * mpmath.mpf(place[j]) for j in range(2))
            true = FORMULAS[name](mpmath, x, y)
            powers = (mpmath.mpf(place[0]) ** a * mpmath.mpf(place[1]) ** b for a, b in one.basis.exponents.tolist())
            found = sum(mpmath.mpf(p) * power for p, power in zip(one.polynomial[:, k].tolist(), powers, strict=True))
            assert abs(found - true) <= float(one.rest[k])
    assert order < 8 or float(one.rest.max()) < 1e-5


@pytest.mark.parametrize(
    ("formula", "reason"),
    [
        (lambda x: torch.log(x - 1.0), "logarithm"),
        (lambda x: 1.0 / (x - 1.0), "divides by what may be zero"),
        (lambda x: torch.erf(x), "erf"),
        (lambda x: x > 1.0, "compares values"),
        (lambda x: x.floor(), "floor"),
    ],
)
def test_what_is_not_enclosed_is_refused(formula: Callable[[Any], Any], reason: str) -> None:
    models = TaylorModels.coordinates(
        monomials(1, 4), torch.ones(1, 1, dtype=torch.float64), torch.full((1, 1), 0.5, dtype=torch.float64)
    )
    with pytest.raises(NotEnclosed, match=reason):
        formula(models[:, 0])


def test_integrals_of_squares_and_products() -> None:
    """∫ sin² and ∫ sin cos over a cell."""
    models = TaylorModels.coordinates(
        monomials(1, 8), torch.full((1, 1), 0.7, dtype=torch.float64), torch.full((1, 1), 0.4, dtype=torch.float64)
    )
    sin, cos = torch.sin(models[:, 0]), torch.cos(models[:, 0])  # type: ignore[call-overload]
    square = float(mpmath.quad(lambda x: mpmath.sin(x) ** 2, [0.3, 1.1])) / 0.4
    assert square <= float(sin.square_integral()) <= square * (1.0 + 1e-7)
    product, error = sin.product_integral(cos)
    assert abs(float(product) - float(mpmath.quad(lambda x: mpmath.sin(x) * mpmath.cos(x), [0.3, 1.1])) / 0.4) <= float(error)
    assert float(error) < 1e-7


@pytest.mark.parametrize(("widths", "degree", "intervals"), [((2, 5, 1), 6, 3), ((2, 3, 3, 1), 4, 4), ((1, 1), 3, 7)])
def test_networks_are_enclosed(widths: tuple[int, ...], degree: int, intervals: int) -> None:
    """Random activations, with jumps of high derivatives at knots and nodes that leave [-1, 1]."""
    d, generator = widths[0], torch.Generator().manual_seed(1)
    network = KAN(widths, degree, intervals, "none", [0.0] * d, [2.0] * d).requires_grad_(False)
    network.initialise(generator)
    cells = Cells.every(SplineBox((0.0,) * d, (2.0,) * d, (12,) * d, 1), 1)
    basis, frame = monomials(d, 6), Frame(("x", "y")[:d], Derivatives.FULL)
    models = cells.coordinates(basis)
    enclosed = enclosed_jet(network, models, frame)
    for _ in range(20):
        t = 2.0 * torch.rand(len(models), d, generator=generator, dtype=torch.float64) - 1.0
        powers = (t[None] ** basis.exponents[:, None]).prod(-1)
        jet = network.jet(models.polynomial[0] + cells.halves * t, frame)
        for one, true in ((enclosed.value, jet.value), (enclosed.gradient, jet.gradient), (enclosed.second, jet.second)):
            assert isinstance(one, TaylorModels)
            assert true is not None
            shaped = powers.reshape(*powers.shape, *(1,) * (one.ndim - 1))
            assert bool((((one.polynomial * shaped).sum(0) - true[:, 0]).abs() <= one.rest + 1e-12).all())
