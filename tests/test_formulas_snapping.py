"""Edges that are nearly functions of the library become them one at a time, and the network learns around them."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch
from test_formulas_edges import FEW, network, sampled

from pdekan.domains.box import Box
from pdekan.networks.kan import KAN
from pdekan.problems.parameters import Measurements
from pdekan.problems.problem import Problem
from pdekan.residuals.collocation import Sampling
from pdekan.residuals.least_squares import Objective
from pdekan.residuals.terms import terms
from pdekan.symbolic.edges import of_network
from pdekan.symbolic.polishing import to_samples
from pdekan.symbolic.snapping import snapped


def regression(kan: KAN) -> Problem:
    """Values of a network on its box."""
    points = sampled(kan).scattered(600)
    values = Measurements(points, {"u": sampled(kan).value(points)})
    return Problem(Box(("x", "y"), (0.0, 0.0), (1.0, 2.0)), data=(values,))


def rippled(kan: KAN, size: float) -> KAN:
    """The network with an error on every edge."""
    moved = deepcopy(kan)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for layer in moved.spline_layers:
            noise = torch.randn(layer.coefficients.shape, generator=generator, dtype=torch.float64)
            layer.coefficients.add_(size * noise)
    return moved


def objective(problem: Problem, kan: KAN) -> Objective:
    return Objective(problem, kan, terms(problem, Sampling(4, 4, 0, 0)))


@pytest.mark.parametrize("products", [pytest.param(0, marks=pytest.mark.nightly), 1])
def test_errors_of_the_edges_vanish_and_the_network_is_read(products: int) -> None:
    kan = network(products)
    problem, wrong, points = regression(kan), rippled(kan, 1e-3), sampled(kan).scattered()
    trained_on = objective(problem, wrong)
    found, snaps = snapped(wrong, trained_on, points, FEW)
    assert len(snaps) == sum(layer.edges for layer in kan.spline_layers)
    before, after = (trained_on.loss(one.flat_parameters) for one in (wrong, found))
    assert after < 1e-8 * before
    assert not [one for one in of_network(wrong, 0, sampled(wrong)) if to_samples(one, sampled(kan))[1] < 1e-6]
    (template,) = of_network(found, 0, sampled(found))
    assert to_samples(template, sampled(kan))[1] < 1e-6


def test_an_edge_that_the_library_lacks_stays_a_spline() -> None:
    kan = network()
    strange = torch.sin(7.0 * torch.linspace(-1.0, 1.0, 25, dtype=torch.float64) ** 3)
    with torch.no_grad():
        kan.spline_layers[0].coefficients[0, 0] = 0.4 * strange
    problem, wrong = regression(kan), rippled(kan, 1e-4)
    found, snaps = snapped(wrong, objective(problem, wrong), sampled(kan).scattered(), FEW)
    assert (0, 0, 0) not in [(one.layer, one.source, one.target) for one in snaps]
    assert len(snaps) >= 3
    points = np.random.default_rng(5).uniform([0.0, 0.0], [1.0, 2.0], (500, 2))
    before, after = (float(np.abs(sampled(kan).value(points) - sampled(one).value(points)).max()) for one in (wrong, found))
    assert after < 0.1 * before


def test_slopes_of_coefficients_are_those_of_differences() -> None:
    kan = network(1)
    _, snaps = snapped(kan, objective(regression(kan), kan), sampled(kan).scattered(), FEW)
    step = 1e-6
    for one in snaps:
        for k, slope in enumerate(one.slopes().T):
            change = step * np.eye(len(one.numbers))[k]
            above, below = (one.at(one.numbers + sign * change).coefficients() for sign in (1.0, -1.0))
            torch.testing.assert_close(slope, (above - below) / (2.0 * step), rtol=1e-5, atol=1e-6)
