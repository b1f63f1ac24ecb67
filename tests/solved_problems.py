"""What tests of the solver share."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from pdekan.domains.box import box
from pdekan.fields.functions import sin
from pdekan.fields.operators import laplacian
from pdekan.networks.base import ModuleNetwork, Network
from pdekan.networks.mlp import MLP
from pdekan.problems.conditions import dirichlet
from pdekan.problems.formulas import EXACT
from pdekan.problems.options import NetworkOptions
from pdekan.problems.problem import Problem
from pdekan.residuals.collocation import Sampling
from pdekan.residuals.least_squares import Objective
from pdekan.residuals.terms import terms
from pdekan.residuals.validation import Residuals, Validation
from pdekan.solutions.solution import Solution
from pdekan.training.estimate import COMPARISON

LINE = Problem(
    box(x=(-1, 1)), lambda u: laplacian(u), EXACT, (dirichlet(EXACT),), exact=lambda x: sin(math.pi * x) + 0.5 * x, name="line"
)
SMALL = NetworkOptions(hidden=(3,), degree=5, intervals=4)
TINY = NetworkOptions(hidden=(2,), degree=5, intervals=2)
MLP_8 = NetworkOptions(kind="mlp", hidden=(8,))


def error(solution: Solution) -> float:
    assert solution.errors is not None
    return solution.errors["u"].l2_relative


def flat(solution: Solution) -> torch.Tensor:
    return solution.network.flat_parameters


def assert_sound(solution: Solution) -> None:
    """What holds for every solution, however its training ended."""
    assert torch.isfinite(flat(solution)).all()
    assert solution.status in ("converged", "unreliable", "stalled", "budget", "interrupted")
    assert solution.reason[0].islower()
    assert f"{solution.relative_residual:.1e}" in solution.reason
    for number in (solution.residual, solution.condition_residual, solution.relative_residual, solution.seconds):
        assert math.isfinite(number)
        assert number >= 0.0
    assert set(solution.history) == {
        "step", "seconds", "stage", "loss", "residual", "equation_residual", "condition_residual",
        "l2_mean_square", "h1_mean_square",
    }  # fmt: skip
    rows = len(solution.history["step"])  # a row a step of Gauss-Newton, a row a burst of first-order methods
    for name, column in solution.history.items():
        assert column.shape == (rows,)
        assert np.isfinite(column).all(), name
        assert (column >= 0.0).all(), name
    assert (np.diff(solution.history["step"], prepend=0.0) > 0.0).all()
    assert solution.history["step"].max(initial=0.0) <= solution.iterations
    assert (np.diff(solution.history["seconds"]) >= 0.0).all()
    assert (np.diff(solution.history["stage"]) >= 0.0).all()
    assert (solution.history["h1_mean_square"] >= solution.history["l2_mean_square"]).all()
    # the relative residual belongs to the network that is handed over, which is the best that was seen at a stage's end
    if solution.status == "converged":
        compared = solution.estimate is not None and all(one.method == COMPARISON for one in solution.estimate.values())
        worst = max(one.l2_relative for one in solution.estimate.values()) if compared else solution.relative_residual
        assert worst <= solution.tolerance


def given_mlp() -> Network:
    network = MLP((1, 8, 1))
    network.initialise(torch.Generator().manual_seed(0))
    return network


def loss_of(network: nn.Module) -> float:
    """The loss at the start, as training weighs it."""
    whole = network if isinstance(network, Network) else ModuleNetwork(network, 1)
    objective = Objective(LINE, whole, terms(LINE, Sampling(4, 15, 0, 0)))
    return objective.loss_and_gradient(whole.flat_parameters)[0]


def better_once(seen: list[tuple[float, torch.Tensor]]) -> Callable[[Validation, Network], Residuals]:
    """In place of `Validation.residuals`: those of the second network are better, those of later ones worse.

    seen: the residuals and parameters of all networks so far.
    """

    def residuals(validation: Validation, network: Network) -> Residuals:
        theta = network.flat_parameters
        known = [relative for relative, other in seen if torch.equal(theta, other)]
        relative = known[0] if known else (0.5, 0.2, 0.9)[min(len(seen), 2)]
        if not known:
            seen.append((relative, theta))
        return Residuals(relative, relative, relative, relative)

    return residuals
