"""Verify operators, domains and conditions by manufactured solutions, and write docs/verification.md.

python tests/benchmarks/verification.py       # about four minutes, one thread
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from manufactured import (
    CASES_OF_CONDITIONS,
    CASES_OF_DOMAINS,
    OPERATORS,
    check_complete,
    on_domain,
    problem,
    write_mesh,
)
from origin import ROOT, origin

sys.path.insert(0, str(ROOT / "tests"))
from energies import Energy

import pdekan as pk
from pdekan.ansatz.unknowns import build_ansatz, network_outputs
from pdekan.cells.mesh import Mesh
from pdekan.cells.system import solved
from pdekan.domains.base import Domain, DomainError
from pdekan.domains.partition import Partition
from pdekan.errors.bounds import BoundRule, error_bound
from pdekan.errors.norms import Errors, measure
from pdekan.networks.kan import KAN
from pdekan.optimizers.gauss_newton import GaussNewton
from pdekan.problems.conditions import Robin
from pdekan.problems.formulas import EXACT, ProblemError, PythonField
from pdekan.problems.problem import Problem
from pdekan.residuals.collocation import Sampling
from pdekan.residuals.least_squares import Objective
from pdekan.residuals.terms import terms

PAGE = ROOT / "docs" / "verification.md"
NEWTON_STEPS = 6
SECONDS = 5.0  # of the processor, which other work on the machine does not shorten

DEGREES = (3, 4)
OF_CELLS = {1: (8, 16), 2: (8, 16), 3: (2, 4)}  # intervals along an axis, by dimension
OF_SPLINES = {1: (16, 32), 2: (8, 16), 3: (4, 8), 4: (4, 8)}
POINTS = 4000  # of random rules, above three dimensions
BOUND = BoundRule(seconds=3.0)
COARSE = pk.NetworkOptions(hidden=(), degree=3, intervals=12)

TEXT = """# Verification

How pdekan is checked against mathematics, by the method of manufactured solutions (Roache, J. Fluids Eng. 124 (2002) 4-10): a
smooth function is chosen, the equation's source and the values of its conditions are derived from it, and the solver has to
find it again. The error of a method of order p falls by 2^p when the intervals are halved; a wrong sign, a wrong factor or a
forgotten term lowers the order to zero. The problems are texts of problem files (`tests/benchmarks/manufactured.py`). SymPy
derives the sources, and on boxes the conditions' values, so that none of pdekan's own derivatives is compared with itself.

The page is made by one command, in about four minutes on one thread:

```
python tests/benchmarks/verification.py
```

It goes through the operators of the grammar, `DOMAINS` and `CONDITIONS`. One of these without a problem here is an error that
names it.

{origin}"""

OF_OPERATORS = """## Operators

Polynomials of a degree k on a uniform grid of cells, solved for at once, or by six steps of Newton's method where the problem
is not linear, from zero. Observed orders in L2 and in the H1 seminorm, from n to 2n cells along an axis (n = 8, in three
dimensions 2). "Best" are the orders of the best approximation by such polynomials, k + 1 and k (Brenner and Scott 2008,
theorem 4.4.20). "Residual" is the order of the least residual of an equation of order m, k + 1 - m, which is all that is
proven for these rows of least squares, in either norm; more is mostly observed. A row that is below the last order does not
agree with theory; one between shows where the method gives less than the polynomials could.

| operator | equation | k | L2 | H1 | best L2 | best H1 | residual | relative L2 error |"""

OF_CONDITIONS = """## Conditions

A KAN without hidden layer in one dimension, which is a single spline of degree k, from 16 to 32 intervals. Here theory is
sharp: for equations of second order min(k + 1, 2k - 2) in L2 and k in H1 (Bramble and Schatz, Math. Comp. 25 (1971) 1-32), so
that k = 2 gives 2 in both; for the first order of `initial` k + 1 and k. At an interface both u and u' jump.

| condition | k | L2 | H1 | theory L2 | theory H1 | relative L2 error |"""

OF_DOMAINS = """## Domains

Quadrature: the divergence theorem ties the rule inside to those on the faces and to their normals. The table has
|∫ div v - ∮ v·n| / ∮ |v·n| for the cubic v = (x³ + 1, y³ + 1, …) and rules of 4, 8 and 16 Gauss points in each of two cells an
axis. It ends at round-off. A ball in time has four dimensions, in which points are random, and their deviation is that of
random points.

Projection: the orders of the L2 projection on sums of cubic splines, which are 4 in L2 and 3 in H1 if the rule inside is
exact enough. Cells: those of Poisson's equation with Dirichlet data on cubic polynomials, cut by the boundary; a dash where a
domain is not cut into cells. Best is 4 and 3, that of the residual 2. `yes`: in time.

| domain | in time | 4 points | 8 points | 16 points | projection L2 | H1 | cells L2, H1 |"""

OF_TRUST = """## Estimates and bounds

The problems of the conditions, first as they are solved by default, which is to round-off in one dimension, then with a
single cubic spline of 12 intervals, whose error can be seen; then Poisson's equation, or the heat equation, on every domain
by default. Each has five seconds of the processor. True and estimated relative L2 errors and their ratio, which says
nothing where the true error is that of round-off, 1e-12 or less. An "amplified residual" is an upper estimate, where no
richer space was better in the time. Then the lower and the upper bound of the energy norm of the error, divided by the true
norm: the first is to be at most one, the second at least one. A dash where the theory of bounds does not apply. Their
integrals are enclosed on boxes; elsewhere they are taken by Gauss rules, which know nothing of the knots of a spline.

| problem | status | true error | estimate | estimate / true | method | lower / true | upper / true |"""


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
    objective = Objective(one, build_ansatz(one, network), terms(one, Sampling(intervals, degree + 2, POINTS, 0)))
    start = objective.network.flat_parameters
    found = GaussNewton().minimise(objective, start, 10, lambda step: None)
    return measure(one, objective.load(found.theta))["u"]


def divergence_error(domain: Domain, order: int) -> float:
    """|∫ div v - ∮ v · n| relative to ∮ |v · n| for v = (x³, y³, …) + (1, …), with Gauss rules of an order in two cells.

    Above three dimensions a rule inside is random, and its deviation is that of as many points as `order`⁴.
    """
    inside = domain.interior(2, order, order**4, 0)
    flux = size = 0.0
    for name in domain.faces:
        rule = domain.face(name, 2, order, order**4, 0)
        assert rule.normals is not None
        through = ((rule.points**3 + 1.0) * rule.normals).sum(axis=1)
        flux, size = flux + rule.weights @ through, size + rule.weights @ np.abs(through)
    return float(abs(inside.weights @ (3.0 * inside.points**2).sum(axis=1) - flux) / size)


# Tables


def operator_rows() -> Iterator[str]:
    """Orders for every operator, on cells."""
    for name, case in OPERATORS.items():
        one = problem(case)
        for degree in DEGREES:
            coarse, fine = (on_cells(one, case.linear, degree, n) for n in OF_CELLS[len(case.box)])
            guaranteed = degree - case.order + 1
            yield _row(name, f"`{case.operator}`", degree, *_order(coarse, fine), degree + 1, degree, guaranteed, fine)


def condition_rows() -> Iterator[str]:
    """Orders for every kind of condition, on splines in one dimension."""
    for name, case in CASES_OF_CONDITIONS.items():
        one = problem(case)
        for degree in (2, *DEGREES):
            coarse, fine = (on_splines(one, degree, n) for n in OF_SPLINES[1])
            l2 = degree + 1 if case.order == 1 else min(degree + 1, 2 * degree - 2)
            yield _row(name, degree, *_order(coarse, fine), l2, degree, fine)


def domain_rows(folder: Path) -> Iterator[str]:
    """Quadrature and orders on every domain, with and without time."""
    for name in CASES_OF_DOMAINS:
        for timed in (False, True):
            domain = on_domain(name, timed, folder).domain
            deviation = [f"{divergence_error(domain, order):.0e}" for order in (4, 8, 16)]
            target = Problem(domain, lambda u: u, EXACT, (), exact=_sum_of_waves(domain.coordinates))
            found = [on_splines(target, 3, n) for n in OF_SPLINES[domain.dimension]]
            yield _row(name, "yes" if timed else "no", *deviation, *_order(*found), _cells_order(name, timed, folder))


def _cells_order(name: str, timed: bool, folder: Path) -> str:
    """The orders of Poisson's equation on cells, or a dash where the domain is not cut into cells."""
    try:
        found = [on_cells(on_domain(name, timed, folder), True, 3, n) for n in (4, 8)]
    except DomainError:
        return "–"
    return "{}, {}".format(*_order(*found))


def _sum_of_waves(coordinates: Sequence[str]) -> PythonField:
    """Σ sin(1.5 x_k + 0.3 k), which splines of one coordinate each approximate at their order."""

    def value(*position):  # type: ignore[no-untyped-def]
        return sum((pk.sin(1.5 * x + 0.3 * k) for k, x in enumerate(position[1:], 1)), pk.sin(1.5 * position[0]))

    return PythonField(value, tuple(coordinates))


def trusted_rows(problems: Mapping[str, Problem]) -> Iterator[str]:
    """True error, estimate and bound of problems that are solved by default."""
    for name, one in problems.items():
        solution = pk.solve(replace(one, training=replace(one.training, seconds=SECONDS)), now=time.thread_time)
        true = (solution.errors or {})["u"]
        estimate = (solution.estimate or {}).get("u")
        told = ("–", "–", f"none: {solution.estimate_reason}") if estimate is None else (
            f"{estimate.l2_relative:.1e}", f"{estimate.l2_relative / true.l2_relative:.2f}", estimate.method)  # fmt: skip
        yield _row(name, solution.status, f"{true.l2_relative:.1e}", *told, *_bounds(solution))


def _bounds(solution: pk.Solution) -> tuple[str, str]:
    """The lower and the upper bound of the energy norm relative to the true one, where theory applies."""
    one = solution.problem
    assert one is not None
    try:
        bound = error_bound(one, solution.network, BOUND)
    except ProblemError:
        return "–", "–"
    alpha = {face: 2.0 for given in one.conditions if isinstance(given, Robin) for face in given.faces(one.domain)}
    norm = Energy(one, 1.0, 0.0, 0.0, alpha).norm(solution.network)
    return f"{bound.energy_lower / norm:.3f}", f"{bound.energy_upper / norm:.3f}"


# The page


def _order(coarse: Errors, fine: Errors) -> tuple[str, str]:
    return tuple(f"{order:.2f}" for order in orders(coarse, fine))  # type: ignore[return-value]


def _row(*entries: object) -> str:
    texts = (f"{one.l2_relative:.1e}" if isinstance(one, Errors) else str(one) for one in entries)
    return "| " + " | ".join(texts) + " |"


def _table(text: str, rows: Iterator[str]) -> str:
    """A section: its words, of which the last line is the table's head, and its rows."""
    columns, found = text.splitlines()[-1].count("|") - 1, []
    for row in rows:
        sys.stderr.write(row + "\n")
        found.append(row)
    return "\n".join([text, "|" + "---|" * columns, *found])


def main() -> None:
    """Check that nothing is left out, compute, write."""
    torch.set_num_threads(1)
    check_complete()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_mesh(folder)
        trusted = {kind: problem(case) for kind, case in CASES_OF_CONDITIONS.items()}
        trusted |= {f"{kind}, one coarse spline": replace(one, network=COARSE) for kind, one in trusted.items()}
        for kind in CASES_OF_DOMAINS:
            trusted |= {kind + (", in time" if timed else ""): on_domain(kind, timed, folder) for timed in (False, True)}
        parts = [
            TEXT.format(origin=origin()), _table(OF_OPERATORS, operator_rows()), _table(OF_CONDITIONS, condition_rows()),
            _table(OF_DOMAINS, domain_rows(folder)), _table(OF_TRUST, trusted_rows(trusted)),
        ]  # fmt: skip
        PAGE.write_text("\n\n".join(parts) + "\n", "utf-8")


if __name__ == "__main__":
    main()
