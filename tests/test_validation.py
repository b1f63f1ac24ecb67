"""Validation residuals against closed forms, and that their points are not those of training."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pdekan.domains.box import box, hypercube
from pdekan.errors.norms import measure
from pdekan.fields.functions import sin
from pdekan.fields.operators import laplacian
from pdekan.networks.base import ModuleNetwork
from pdekan.problems.conditions import dirichlet
from pdekan.problems.formulas import EXACT
from pdekan.problems.parameters import Measurements
from pdekan.problems.problem import Problem
from pdekan.residuals.collocation import Sampling
from pdekan.residuals.sizes import SMALL
from pdekan.residuals.validation import Residuals, Validation
from pdekan.training.points import training_points, validation_points
from pdekan.training.schedule import Stage

PROBLEM = Problem(box(x=(-1, 1)), lambda u: -laplacian(u), EXACT, (dirichlet(EXACT),), exact=lambda x: sin(math.pi * x))
SAMPLING = Sampling(8, 8, 0, 0)
CPU = torch.device("cpu")


class Formula(nn.Module):
    """A function of the points as a module; torch asks for a parameter to know the device."""

    def __init__(self, formula: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.formula, self.unused = formula, nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.formula(x)


def network(formula: Callable[[Tensor], Tensor], inputs: int = 1) -> ModuleNetwork:
    return ModuleNetwork(Formula(formula), inputs)


def test_the_exact_solution_has_no_residual() -> None:
    residuals = Validation.of(PROBLEM, SAMPLING, CPU).residuals(network(lambda x: torch.sin(math.pi * x)))
    assert residuals.equation < 1e-12
    assert residuals.conditions < 1e-12
    assert residuals.relative < 1e-12


def test_conditions_that_are_missed_count_although_the_equation_holds() -> None:
    """u + 1e-3 has the same second derivative; the solution's root mean square is 1/√2."""
    residuals = Validation.of(PROBLEM, SAMPLING, CPU).residuals(network(lambda x: torch.sin(math.pi * x) + 1e-3))
    assert residuals.equation < 1e-11
    assert residuals.conditions == pytest.approx(1e-3, rel=1e-9)
    assert residuals.relative == pytest.approx(1e-3 * math.sqrt(2.0), rel=1e-2)


def test_an_equation_that_is_missed_counts_although_the_conditions_hold() -> None:
    """1.01 u: the residual is 0.01 of the source, whose root mean square is π²/√2."""
    residuals = Validation.of(PROBLEM, SAMPLING, CPU).residuals(network(lambda x: 1.01 * torch.sin(math.pi * x)))
    assert residuals.equation == pytest.approx(0.01 * math.pi**2 / math.sqrt(2.0), rel=1e-9)
    assert residuals.conditions < 1e-12
    assert residuals.relative == pytest.approx(0.01, rel=1e-9)


def test_what_is_no_number_is_infinitely_bad() -> None:
    residuals = Validation.of(PROBLEM, SAMPLING, CPU).residuals(network(lambda x: torch.log(x)))
    assert residuals.relative == math.inf


@pytest.mark.parametrize("dimension", [1, 2, 3, 5])
@pytest.mark.parametrize("intervals", [1, 4, 5, 7, 8, 16])
def test_validation_points_are_none_of_the_training_points(dimension: int, intervals: int) -> None:
    domain = hypercube(dimension, 0.0, 1.0)
    problem = Problem(domain, lambda u: laplacian(u), 0.0, (dirichlet(0.0),))
    stage = Stage("kan", (3,), (5, 5), (intervals, intervals), "none")
    training = training_points(problem, stage, seed=0)
    rules = [domain.interior(s.cells, s.order, s.count, s.seed).points for s in (training, validation_points(training))]
    seen = {tuple(point) for point in np.round(rules[0], 9)}
    assert not seen & {tuple(point) for point in np.round(rules[1], 9)}
    assert len(rules[1]) >= 0.5 * len(rules[0])


@pytest.mark.parametrize(("dimension", "least"), [(1, 300), (2, 300), (3, 200), (5, 300)])
def test_large_networks_are_validated_on_fewer_points(dimension: int, least: int) -> None:
    domain = hypercube(dimension, 0.0, 1.0)
    cells, order, count = {1: (4000, 5, 0), 2: (40, 5, 0), 3: (40, 5, 0), 5: (1, 1, 10**5)}[dimension]
    training = Sampling(cells, order, count, seed=0)
    for parameters, most in ((10**5, 2 * 2**28 / 10**5), (10**8, 1000)):
        few = validation_points(training, dimension, parameters)
        count = few.count if dimension > 3 else (few.cells * few.order) ** dimension
        assert least <= count <= 3 * most
    ordinary = replace(training, cells=min(4, cells), count=min(1000, count))
    assert validation_points(ordinary, dimension, 1000) == validation_points(ordinary)
    assert len(domain.interior(few.cells, few.order, few.count, few.seed).points) <= 2 * count  # Sobol's come by powers of two


@pytest.mark.parametrize("dimension", [1, 2])
def test_the_largest_error_is_found_on_the_boundary(dimension: int) -> None:
    """An error of x₁⁴⁰⁰ is 1 on a face and 1/e already 0.0025 away from it, ahead of most quadrature points."""
    names = {"x": (-1, 1), "y": (-1, 1)}
    domain = box(**dict(list(names.items())[:dimension]))
    problem = Problem(domain, lambda u: laplacian(u), EXACT, (dirichlet(EXACT),), exact=lambda x: 0.0 * x)
    assert measure(problem, network(lambda x: x[:, :1] ** 400, dimension))["u"].linf == pytest.approx(1.0, abs=1e-12)


def test_an_unknown_that_vanishes_is_measured_beside_the_others() -> None:
    """u = sin πx and v = 0, missed by δ: relative to SMALL times the size of u, 1/√2, on two of four faces."""
    problem = Problem(
        box(x=(-1, 1)), (lambda u: -laplacian(u), lambda v: laplacian(v)), EXACT,
        (dirichlet(EXACT), dirichlet(EXACT, unknown="v")), exact={"u": lambda x: sin(math.pi * x), "v": 0.0},
        unknowns=("u", "v"),
    )  # fmt: skip
    validation, delta = Validation.of(problem, SAMPLING, CPU), 1e-6
    for size in (1.0, 1e5):  # whatever the units of both

        def fields(x: Tensor, size: float = size) -> Tensor:
            return torch.cat([torch.sin(math.pi * x), delta + 0.0 * x], dim=1) * size

        found = validation.residuals(ModuleNetwork(Formula(fields), 1, 2))
        if size == 1.0:
            expected = delta / (SMALL / math.sqrt(2.0)) * math.sqrt(0.5)
            assert found.relative == pytest.approx(expected, rel=1e-2)
            assert found.conditions == pytest.approx(delta * math.sqrt(0.5), rel=1e-6)
        else:
            assert found.relative > 0.9


def measured(noise: float | None, error: float, equation: bool) -> Problem:
    """Data of sin πx that are off by ± error."""
    x = np.linspace(-0.9, 0.9, 40)
    data = Measurements(x[:, None], {"u": np.sin(math.pi * x) + error * (-1.0) ** np.arange(40)}, noise)
    more = {"equation": PROBLEM.equation, "source": EXACT, "conditions": PROBLEM.conditions} if equation else {}
    return Problem(PROBLEM.domain, data=(data,), exact=PROBLEM.exact, **more)  # type: ignore[arg-type]


def validated(problem: Problem) -> Residuals:
    return Validation.of(problem, SAMPLING, CPU).residuals(network(lambda x: torch.sin(math.pi * x)))


def test_noise_of_data_is_no_fault_of_the_solution_but_other_misfits_are() -> None:
    noisy, exact = validated(measured(0.1, 0.1, equation=True)), validated(measured(None, 0.1, equation=True))
    assert noisy.data == exact.data == pytest.approx(0.1)
    assert noisy.relative < 1e-12
    assert exact.relative == pytest.approx(0.1 * math.sqrt(2.0), rel=0.05)


@pytest.mark.parametrize(("error", "excess"), [(0.05, 0.0), (0.1, 0.0), (0.26, 0.24), (0.1 * math.sqrt(2.0), 0.1)])
def test_of_a_regression_what_goes_beyond_the_noise_counts(error: float, excess: float) -> None:
    found = validated(measured(0.1, error, equation=False))
    assert found.data == pytest.approx(error)
    size = np.sqrt((measured(0.1, error, equation=False).data[0].values["u"] ** 2).mean())
    assert found.relative == pytest.approx(excess / size, rel=1e-6, abs=1e-6)
    assert found.equation == 0.0
