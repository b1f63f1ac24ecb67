"""What tests of objectives share."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from pdekan.ansatz.unknowns import build_ansatz, network_outputs
from pdekan.domains.box import box, hypercube
from pdekan.domains.shapes import disk
from pdekan.fields.functions import exp, sin
from pdekan.fields.operators import div, dot, dt, dx, dy, grad, laplacian, normal
from pdekan.networks.base import ModuleNetwork, Network
from pdekan.networks.kan import KAN
from pdekan.networks.mlp import MLP
from pdekan.problems.conditions import dirichlet, initial, interface, mean, neumann, periodic, robin
from pdekan.problems.formulas import as_field
from pdekan.problems.options import Weights
from pdekan.problems.parameters import Enrichment, Measurements, Parameter
from pdekan.problems.problem import Problem
from pdekan.residuals.collocation import Sampling
from pdekan.residuals.jacobian_products import GRAPH_MEMORY, GraphMemory
from pdekan.residuals.least_squares import Objective
from pdekan.residuals.terms import terms

SAMPLING = Sampling(cells=3, order=3, count=64, seed=0)
SQUARE = box(x=(-1, 1), y=(0, 1.5))

POINTS = np.array([[0.1, 0.2], [0.5, 1.1], [-0.7, 0.4], [0.9, 1.4]])
DATA = (
    Measurements(POINTS, {"u": np.array([1.0, 2.0, np.nan, 0.5]), "v": np.array([np.nan, np.nan, 3.0, 4.0])}, 0.1),
    Measurements(POINTS[:1], {"v": np.array([0.7])}, None, "more"),
)

# name -> (problem, whether its rows are affine in the linear parameters)
PROBLEMS: dict[str, tuple[Problem, bool]] = {
    "poisson": (Problem(SQUARE, lambda u: laplacian(u), lambda x, y: sin(x) * y, (dirichlet(lambda x, y: x * y),)), True),
    "variable coefficient": (
        Problem(SQUARE, lambda u, x: div(exp(x) * grad(u)) - 2.0 * u + 1.0, 1.0, (dirichlet(1.0, on=("x-", "y+")),)), True,
    ),
    "mixed derivatives": (Problem(SQUARE, lambda u: dx(dy(u)) + 3.0 * dx(dx(u)), 0.0, (dirichlet(0.0),)), True),
    "neumann and robin": (
        Problem(SQUARE, lambda u: laplacian(u) - u, 0.0,
                (neumann(lambda y: y, on="x+"), robin(lambda u, y: normal(u) + (2.0 + y) * u, 1.0, on=("x-", "y-")))), True,
    ),
    "periodic": (
        Problem(SQUARE, lambda u: laplacian(u) - u, lambda x: sin(math.pi * x), (periodic("x"), dirichlet(0.0, on="y-"))), True,
    ),
    "heat": (
        Problem(box(x=(0, 1), t=(0, 0.5)), lambda u: dt(u) - laplacian(u), 0.0, (initial(lambda x: sin(x)), dirichlet(0.0))),
        True,
    ),
    "wave": (Problem(box(x=(0, 1), t=(0, 0.5)), lambda u: dt(dt(u)) - dx(dx(u)), 0.0,
                     (initial(1.0), initial(0.0, operator=lambda u: dt(u)))), True),
    "cubic": (Problem(SQUARE, lambda u: laplacian(u) + u**3, 1.0, (dirichlet(0.0),)), False),
    "burgers": (Problem(box(x=(0, 1), t=(0, 0.5)), lambda u: dt(u) + u * dx(u) - 0.1 * dx(dx(u)), 0.0, (initial(1.0),)), False),
    "quasilinear": (Problem(SQUARE, lambda u: div((1.0 + u**2) * grad(u)), 1.0, (dirichlet(0.0),)), False),
    "radiation": (Problem(SQUARE, lambda u: laplacian(u), 0.0, (robin(lambda u: normal(u) + u**4, 1.0),)), False),
    "eikonal": (Problem(SQUARE, lambda u: dot(grad(u), grad(u)), 1.0, (dirichlet(0.0, on="x-"),)), False),
    "system with a parameter": (
        Problem(SQUARE, (lambda u, v, k: laplacian(u) * k - v, lambda u, v, k, x: dx(v) + u * x - k), (1.0, lambda x: x),
                (dirichlet(0.0), neumann(1.0, on="x+", unknown="v")), unknowns=("u", "v"),
                parameters={"k": Parameter(0.8, 0.1, 2.0), "m": Parameter(0.3)}), True,
    ),
    "source with a parameter": (
        Problem(SQUARE, lambda u, k: laplacian(u) - u, lambda x, k: k * k * x, (dirichlet(lambda y, k: k * y, on="x-"),),
                parameters={"k": Parameter(-1.0)}), True,
    ),
    "means": (
        Problem(SQUARE, lambda u: laplacian(u), 1.0,
                (mean(0.3), mean(1.0, lambda u: normal(u), on=("x-", "y+")), mean(2.0, lambda u: u**2))), False,
    ),
    "interface": (
        Problem(SQUARE, lambda u, v: laplacian(u) - v, 0.0,
                (interface("hole", 1.0), interface("hole", 0.0, lambda u, v: normal(u) + v), dirichlet(0.0)),
                unknowns=("u", "v"), interfaces={"hole": disk((0.0, 0.7), 0.4)}), True,
    ),
    "periodic system": (
        Problem(SQUARE, (lambda u, v: laplacian(u) - v, lambda u, v: laplacian(v) + u), 0.0,
                (periodic("x"), periodic("y", unknown="v"), dirichlet(0.0)), unknowns=("u", "v")), True,
    ),
    "data": (
        Problem(SQUARE, lambda u, v, k: dx(u) - k * v, 0.0, (dirichlet(lambda y: y, on="x-", enforce="exact"),),
                unknowns=("u", "v"), parameters={"k": Parameter(2.0, 1.0)}, data=DATA,
                enrichments=(Enrichment(as_field(lambda x: exp(x)), "v"),)), True,
    ),
    "regression": (Problem(SQUARE, data=DATA, unknowns=("u", "v")), True),
    "five dimensions": (Problem(hypercube(5, 0.0, 1.0), lambda u: laplacian(u), 1.0, (dirichlet(0.0),)), True),
}  # fmt: skip


def network_for(problem: Problem, base: str = "none", mlp: bool = False, module: bool = False) -> Network:
    domain, outputs = problem.domain, network_outputs(problem)
    network: KAN | MLP
    if mlp or module:
        network = MLP((domain.dimension, 4, outputs), domain.lower, domain.upper)
    else:
        network = KAN((domain.dimension, 3, outputs), (5, 6), (2, 4), base, domain.lower, domain.upper)
    network.initialise(torch.Generator().manual_seed(0))
    return build_ansatz(problem, ModuleNetwork(network, domain.dimension, outputs) if module else network)


def objective_for(
    problem: Problem, network: Network | None = None, weights: Weights | None = None, graph_memory: GraphMemory = GRAPH_MEMORY
) -> tuple[Objective, Tensor]:
    network = network or network_for(problem)
    objective = Objective(problem, network, terms(problem, SAMPLING), weights, graph_memory=graph_memory)
    return objective, network.flat_parameters
