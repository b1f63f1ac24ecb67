"""Verify operators, domains and conditions by manufactured solutions, and write docs/verification.md.

python tests/benchmarks/verification.py       # about eight minutes, one thread
"""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from manufactured import (
    CASES_OF_CONDITIONS,
    CASES_OF_DOMAINS,
    OPERATORS,
    Case,
    check_complete,
    on_domain,
    problem,
    write_mesh,
)
from origin import ROOT, origin
from torch.nn.utils import parameters_to_vector

import pdekan as pk
from pdekan.ansatz.unknowns import build_ansatz, network_outputs
from pdekan.cells.system import Mesh, solved
from pdekan.domains.base import Domain
from pdekan.domains.partition import Partition
from pdekan.errors.bounds import BoundRule, error_bound
from pdekan.errors.norms import Errors, measure
from pdekan.networks.kan import KAN
from pdekan.optimizers.gauss_newton import GaussNewton
from pdekan.problems.formulas import EXACT, ProblemError
from pdekan.problems.problem import Problem
from pdekan.residuals.collocation import Sampling
from pdekan.residuals.least_squares import Objective
from pdekan.residuals.terms import terms

PAGE = ROOT / "docs" / "verification.md"
NEWTON_STEPS = 6
SECONDS = 5.0

Pair = tuple[Errors, Errors]


def orders(coarse: Errors, fine: Errors) -> tuple[float, float]:
    """The observed orders in L2 and H1 when the number of intervals is doubled."""
    return math.log2(coarse.l2 / fine.l2), math.log2(coarse.h1_seminorm / fine.h1_seminorm)


def on_cells(one: Problem, linear: bool, degree: int, intervals: int) -> Errors:
    """The errors of polynomials on a uniform grid of cells, by Newton's steps where the problem is not linear."""
    domain = one.domain
    partition = Partition.grid(domain.lower, domain.upper, (intervals,) * domain.dimension)
    mesh, network = Mesh.of(one, partition, np.full(partition.count, degree)), None
    for _ in range(1 if linear else NEWTON_STEPS):
        network = solved(one, mesh, network).network
    assert network is not None
    return measure(one, network)["u"]


def on_splines(one: Problem, degree: int, intervals: int) -> Errors:
    """The errors of a KAN without hidden layer, a sum of splines of one coordinate each, whose coefficients are solved for."""
    domain = one.domain
    network = KAN((domain.dimension, network_outputs(one)), degree, intervals, "none", domain.lower, domain.upper)
    objective = Objective(one, build_ansatz(one, network), terms(one, Sampling(intervals, degree + 2, 0, 0)))
    start = parameters_to_vector(objective.network.parameters()).detach()
    found = GaussNewton().minimise(objective, start, 10, lambda step: None)
    return measure(one, objective.load(found.theta))["u"]


def divergence_error(domain: Domain, order: int) -> float:
    """|∫ div v - ∮ v · n| relative to ∮ |v · n| for v = (x³ + y, y³ + x, …), with Gauss rules of an order in two cells."""
    inside = domain.interior(2, order, 0, 0)
    divergence, flux, size = inside.weights @ (3.0 * inside.points**2).sum(axis=1), 0.0, 0.0
    for name in domain.faces:
        rule = domain.face(name, 2, order, 0, 0)
        assert rule.normals is not None
        through = ((rule.points**3 + rule.points[:, ::-1]) * rule.normals).sum(axis=1)
        if domain.dimension % 2:  # the middle coordinate would be its own neighbour
            k = domain.dimension // 2
            through = through - rule.points[:, k] * rule.normals[:, k]
        flux, size = flux + rule.weights @ through, size + rule.weights @ np.abs(through)
    return float(abs(divergence - flux) / size)
