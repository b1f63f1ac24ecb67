"""Error norms against closed forms: the network is the exact solution plus a known difference."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pdekan.domains.box import Box, box, hypercube
from pdekan.domains.quadrature import Quadrature
from pdekan.errors.norms import GAUSS_POINTS, Errors, measure, measure_on_rule
from pdekan.fields.functions import exp, product, sin
from pdekan.fields.jets import Jet
from pdekan.fields.operators import laplacian
from pdekan.networks.base import ModuleNetwork
from pdekan.problems.problem import Problem

EPSILON = 1e-3


class Waves(nn.Module):
    """exact + ε Π sin(2 m π s_k) with s in the unit cube, exact = Π sin(π s_k): all norms are known."""

    def __init__(self, domain: Box, epsilon: float = EPSILON, frequency: int = 1) -> None:
        super().__init__()
        self.epsilon = nn.Parameter(torch.tensor(epsilon, dtype=torch.float64))
        self.frequency = frequency
        self.lower, self.upper = (torch.tensor(end, dtype=torch.float64) for end in (domain.lower, domain.upper))

    def forward(self, x: Tensor) -> Tensor:
        s = torch.pi * (x - self.lower) / (self.upper - self.lower)
        return (torch.sin(s).prod(1) + self.epsilon * torch.sin(2 * self.frequency * s).prod(1))[:, None]


def problem_on(domain: Box) -> Problem:
    def exact(*coordinates: Jet) -> Jet:
        ends = zip(coordinates, domain.lower, domain.upper, strict=True)
        factors = [sin((x - a) * (math.pi / (b - a))) for x, a, b in ends]
        result = factors[0]
        for factor in factors[1:]:
            result = result * factor
        return result

    # a function of named coordinates, whatever they are
    names = ", ".join(domain.coordinates)
    by_dimension = {
        "x": lambda x: exact(x),
        "x, y": lambda x, y: exact(x, y),
        "x, t": lambda x, t: exact(x, t),
        "x, y, z": lambda x, y, z: exact(x, y, z),
        "x1, x2, x3, x4, x5": lambda x1, x2, x3, x4, x5: exact(x1, x2, x3, x4, x5),
    }
    return Problem(domain, lambda u: laplacian(u), 0.0, exact=by_dimension[names])


def network_on(domain: Box, epsilon: float = EPSILON, frequency: int = 1) -> ModuleNetwork:
    return ModuleNetwork(Waves(domain, epsilon, frequency), domain.dimension)


def closed_form(domain: Box, amplitude: float, waves: int) -> tuple[float, float]:
    """∫ f² and ∫ |∇f|² of amplitude · Π sin(waves π s_k): half for every sine or cosine squared."""
    square = amplitude**2 * domain.measure * 0.5**domain.dimension
    slopes = [(waves * math.pi / (b - a)) ** 2 for a, b in zip(domain.lower, domain.upper, strict=True)]
    return square, square * sum(slopes)


def assert_norms(found: Errors, domain: Box, frequency: int, rel: float) -> None:
    """Every number of `Errors` by its definition."""
    e, e_slope = closed_form(domain, EPSILON, 2 * frequency)
    u, u_slope = closed_form(domain, 1.0, 1)
    expected = {
        "l2": e**0.5,
        "l2_relative": (e / u) ** 0.5,
        "l2_mean_square": e / domain.measure,
        "h1": (e + e_slope) ** 0.5,
        "h1_relative": ((e + e_slope) / (u + u_slope)) ** 0.5,
        "h1_seminorm": e_slope**0.5,
        "h1_seminorm_relative": (e_slope / u_slope) ** 0.5,
        "h1_seminorm_mean_square": e_slope / domain.measure,
    }
    for name, number in expected.items():
        assert getattr(found, name) == pytest.approx(number, rel=rel), name
    assert found.h1**2 == pytest.approx(found.l2**2 + found.h1_seminorm**2, rel=1e-12)


@pytest.mark.parametrize(
    "domain", [box(x=(-1, 2)), box(x=(-1, 1), y=(0, 0.3)), box(x=(0, 2), t=(0, 5)), box(x=(-1, 1), y=(0, 2), z=(1, 2))],
    ids=["line", "rectangle", "space and time", "cuboid"],
)  # fmt: skip
def test_norms_agree_with_closed_forms(domain: Box) -> None:
    found = measure(problem_on(domain), network_on(domain))["u"]
    assert_norms(found, domain, 1, 1e-7)
    assert found.linf == pytest.approx(EPSILON, rel=0.01)
    assert found.linf <= EPSILON * (1.0 + 1e-12)
    assert found.sampling_error == 0.0
    assert round(found.points ** (1.0 / domain.dimension)) ** domain.dimension == found.points


def test_norms_in_five_dimensions_lie_within_their_sampling_error() -> None:
    domain = hypercube(5, -1.0, 1.0)
    scores = []
    for frequency in (1, 2, 3, 5):
        found = measure(problem_on(domain), network_on(domain, frequency=frequency))["u"]
        assert found.points >= 100_000
        assert 0.0 < found.sampling_error < 0.05
        assert_norms(found, domain, frequency, 0.05)
        truth = closed_form(domain, EPSILON, 2 * frequency)[0] ** 0.5
        scores.append((found.l2 - truth) / (truth * found.sampling_error))
    assert max(map(abs, scores)) < 4.0
    assert max(map(abs, scores)) > 0.05  # the stated error is not a vast overestimate


def test_in_many_dimensions_a_constant_difference_has_no_sampling_error() -> None:
    domain = hypercube(5, 0.0, 1.0)
    problem = Problem(domain, lambda u: laplacian(u), 0.0, exact=lambda x: product(x) * 0.0 + 1.0)
    found = measure(problem, ModuleNetwork(Constant(1.25), 5))["u"]
    assert found.l2 == pytest.approx(0.25, rel=1e-12)
    assert found.sampling_error == pytest.approx(0.0, abs=1e-12)
    assert found.h1_seminorm == 0.0
    assert found.linf == pytest.approx(0.25, rel=1e-12)


class Constant(nn.Module):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.value.expand(len(x), 1)


@pytest.mark.parametrize("frequency", [20, 150])
def test_differences_that_wiggle_fast_are_resolved(frequency: int) -> None:
    """At first there are 325 points, two of them a wave of the faster one; refining goes on until digits settle."""
    domain = box(x=(0, 1))
    found = measure(problem_on(domain), network_on(domain, frequency=frequency))["u"]
    assert_norms(found, domain, frequency, 1e-4)


@pytest.mark.parametrize("width", [1e-2, 2e-3])
def test_a_narrow_difference_is_resolved(width: float) -> None:
    """The first two rules have points 0.006 and 0.003 apart: the narrower bump needs more."""

    class Bump(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.width = nn.Parameter(torch.tensor(width, dtype=torch.float64))

        def forward(self, x: Tensor) -> Tensor:
            return torch.exp(-0.5 * ((x - 0.123) / self.width) ** 2)

    problem = Problem(box(x=(-1, 1)), lambda u: laplacian(u), 0.0, exact=lambda x: 0.0 * x)
    found = measure(problem, ModuleNetwork(Bump(), 1))["u"]
    # ∫ exp(-z²/w²) = w √π, and of its slope's square √π / (2 w)
    assert found.l2 == pytest.approx(math.sqrt(width * math.sqrt(math.pi)), rel=1e-4)
    assert found.h1_seminorm == pytest.approx(math.sqrt(math.sqrt(math.pi) / (2.0 * width)), rel=1e-4)


@pytest.mark.parametrize("domain", [box(x=(-1, 1)), box(x=(-1, 1), y=(-1, 1))], ids=["line", "square"])
def test_halving_the_cells_of_the_rule_that_was_used_changes_no_digit_shown(domain: Box) -> None:
    problem = problem_on(domain)
    network = network_on(domain, frequency=3)
    found = measure(problem, network)["u"]
    cells = round(found.points ** (1.0 / domain.dimension)) // GAUSS_POINTS
    finer = measure_on_rule(problem, network, domain.interior(2 * cells, GAUSS_POINTS, 0, 0))["u"]
    assert found.l2 == pytest.approx(finer.l2, rel=1e-4)
    assert found.h1_seminorm == pytest.approx(finer.h1_seminorm, rel=1e-4)


def test_no_difference_is_no_error() -> None:
    domain = box(x=(-1, 1), y=(-1, 1))
    found = measure(problem_on(domain), network_on(domain, epsilon=0.0))["u"]
    assert found.l2 < 1e-14
    assert found.h1 < 1e-13
    assert found.linf < 1e-14


def test_norms_relative_to_nothing_are_not_numbers() -> None:
    problem = Problem(box(x=(-1, 1)), lambda u: laplacian(u), 0.0, exact=lambda x: 0.0 * x)
    found = measure(problem, ModuleNetwork(Constant(0.5), 1))["u"]
    assert found.l2 == pytest.approx(0.5 * math.sqrt(2.0))
    assert found.l2_mean_square == pytest.approx(0.25)
    assert math.isnan(found.l2_relative)
    assert math.isnan(found.h1_relative)
    constant = Problem(box(x=(-1, 1)), lambda u: laplacian(u), 0.0, exact=2.0)
    found = measure(constant, ModuleNetwork(Constant(2.5), 1))["u"]
    assert found.l2_relative == pytest.approx(0.25)
    assert math.isnan(found.h1_seminorm_relative)
    assert found.h1_relative == pytest.approx(0.25)


def test_quick_measures_use_the_rule_given() -> None:
    problem = Problem(box(x=(0, 2)), lambda u: laplacian(u), 0.0, exact=lambda x: exp(x))
    rule = Quadrature(np.array([[0.5], [1.0]]), np.array([0.5, 1.5]))
    found = measure_on_rule(problem, ModuleNetwork(Constant(1.0), 1), rule)["u"]
    assert found.l2_mean_square == pytest.approx((0.5 * (1 - math.exp(0.5)) ** 2 + 1.5 * (1 - math.e) ** 2) / 2.0)
    assert found.h1_seminorm_mean_square == pytest.approx((0.5 * math.e + 1.5 * math.e**2) / 2.0)
    assert found.linf == pytest.approx(math.e - 1.0)
    assert found.points == 2


def test_without_an_exact_solution_there_is_nothing_to_measure_against() -> None:
    problem = Problem(box(x=(-1, 1)), lambda u: laplacian(u), 0.0)
    assert measure(problem, ModuleNetwork(Constant(1.0), 1)) == {}
