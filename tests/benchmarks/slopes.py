"""Rates of a KAN's errors: minimisers of the residual against best approximations in the same space. Writes slopes.md.

    python tests/benchmarks/slopes.py

sin πx sin πy² = ½ cos π(x - y²) - ½ cos π(x + y²) is a KAN [2,2,1] with polynomials on its inner edges. These are fixed; the
outer splines are the solution of a linear least-squares problem: for the residual of equation and boundary values, as in
training, with several numbers of points, or for the error in u or ∇u. Without training there are no local minima and no
randomness; the differences are due to the norm and its points.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from origin import origin
from torch import Tensor

from pdekan import splines
from pdekan.errors.norms import measure
from pdekan.fields.jets import Derivatives, Frame, Jet
from pdekan.networks.kan import KAN
from pdekan.problem_files.loader import load_problem
from pdekan.residuals.collocation import Sampling
from pdekan.residuals.least_squares import Objective
from pdekan.residuals.terms import terms

TABLE = Path(__file__).with_suffix(".md")
DEGREES, INTERVALS = (3, 5), (5, 10, 20, 40)
POINTS = (1, 2, 3, 4)  # an axis, for each outer interval
FINE = Sampling(40, 4, 0, 0)  # 160² points
PROBLEM = load_problem("poisson_kan_paper")


def network(degree: int, intervals: int) -> KAN:
    """[2,2,1] with x - y² and x + y² in its hidden nodes, brought to the outer knots."""
    kan = KAN((2, 2, 1), (3, degree), (1, intervals), "none", (-1.0, -1.0), (1.0, 1.0))
    t = splines.sample_points(3, 1)
    line, square = (splines.fit(t, f[:, None], 3, 1)[:, 0] for f in (t, t**2))
    with torch.no_grad():
        inner = kan.spline_layers[0].coefficients
        inner[0, :], inner[1, 0], inner[1, 1] = line, -square, square
    corners = torch.cartesian_prod(*[torch.linspace(-1, 1, 101, dtype=torch.float64)] * 2)
    kan.normalise(corners)
    return kan


def by_residual(kan: KAN, points: int) -> Tensor:
    """The outer coefficients that minimise the residual of equation and conditions."""
    objective = Objective(PROBLEM, kan, terms(PROBLEM, Sampling(kan.intervals[-1], points, 0, 0)))
    theta = kan.flat_parameters
    theta[-objective.linear :] = 0.0
    residual, jacobian = objective.rows(theta, only_linear=True)
    return _solved(jacobian, -residual)


def by_error(kan: KAN, gradient: bool) -> Tensor:
    """The outer coefficients that minimise the error in u, or in ∇u with the mean of u fixed."""
    term, frame = terms(PROBLEM, FINE)[0], Frame(PROBLEM.domain.coordinates, Derivatives.GRADIENT)
    exact = PROBLEM.exact_jet(term.points, Derivatives.GRADIENT)
    trace, weight = kan.trace(kan.prepare(term.points, frame), only_linear=True), term.share.sqrt()
    assert exact.gradient is not None

    def rows(value: Tensor, slopes: Tensor) -> Tensor:
        return trace.rows(Jet(frame, value, slopes).each(lambda part: part[:, None]))

    nothing = torch.zeros_like(exact.gradient)
    if not gradient:
        return _solved(rows(weight, nothing), weight * exact.value)
    axes = torch.eye(2, dtype=torch.float64)
    matrix = [rows(0.0 * weight, weight[:, None] * axis) for axis in axes]
    mean = rows(term.share, nothing).sum(0, keepdim=True)
    right = [weight * exact.gradient[:, k] for k in range(2)]
    return _solved(torch.cat([*matrix, mean]), torch.cat([*right, (term.share @ exact.value)[None]]))


def _solved(matrix: Tensor, right: Tensor) -> Tensor:
    """The least-squares solution of least norm: the two nodes share the constants."""
    return torch.linalg.lstsq(matrix, right[:, None], driver="gelsd", rcond=1e-13).solution[:, 0]


METHODS: dict[str, Callable[[KAN], Tensor]] = {
    **{f"residual, {n} points an interval": (lambda kan, n=n: by_residual(kan, n)) for n in POINTS},  # type: ignore[misc]
    "error of u": lambda kan: by_error(kan, gradient=False),
    "error of ∇u": lambda kan: by_error(kan, gradient=True),
}


def rows(degree: int, name: str) -> str:
    """Two lines of the table: mean square errors by intervals, and the exponent over the last three."""
    errors = []
    for intervals in INTERVALS:
        kan = network(degree, intervals)
        outer = kan.spline_layers[1].coefficients
        with torch.no_grad():
            outer.copy_(METHODS[name](kan).view_as(outer))
        errors.append(measure(PROBLEM, kan)["u"])
    lines = []
    for label, key, best in (("L2²", "l2_mean_square", degree + 1), ("H1²", "h1_seminorm_mean_square", degree)):
        values = [float(getattr(error, key)) for error in errors]
        slope = math.log(values[-1] / values[-3]) / math.log(INTERVALS[-1] / INTERVALS[-3])
        cells = " | ".join(f"{value:.1e}" for value in values)
        lines.append(f"| {degree} | {name} | {label} | {cells} | {slope:.1f} | {-2 * best} |\n")
    return "".join(lines)


def main() -> None:
    """Write the table."""
    torch.set_num_threads(1)
    body = "".join(rows(degree, name) for degree in DEGREES for name in METHODS)
    heads = " | ".join(f"{n} intervals" for n in INTERVALS)
    text = (
        "# Slopes that the norm allows\n\n"
        "Mean square errors of sin πx sin πy² as a KAN [2,2,1] whose inner functions are exact, with the outer splines that "
        "minimise what is named. Points are an axis' for each outer interval.\n\n"
        f"| degree | minimised | error | {heads} | slope over the last three | theory |\n"
        f"|{'---|' * (5 + len(INTERVALS))}\n{body}\n"
        f"Made by `python tests/benchmarks/slopes.py` ({origin()}).\n"
    )
    TABLE.write_text(text, "utf-8")
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
