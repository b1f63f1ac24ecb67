"""The memory that a step of Gauss-Newton takes, and how many rows of the Jacobian fit into what is allowed."""

from __future__ import annotations

import math
from itertools import pairwise

from pdekan.domains.box import TENSOR_DIMENSIONS
from pdekan.problems.formulas import ProblemError
from pdekan.problems.problem import Problem
from pdekan.residuals.jacobian_products import GRAPH_MEMORY, GraphMemory
from pdekan.training.points import DEFAULT_MEGABYTES, training_points
from pdekan.training.schedule import Stage

# Arrays of the size of the Jacobian's rows, and the triangle they are joined to, that a step holds at its peak: fitted to what
# tests/benchmarks/cost.py measures. POINTS are evaluated at a time for validation.
COPIES, POINTS = 2.75, 8192
# Bytes for the points of a network that is no KAN.
OTHER_NETWORKS = 35e6


def block(parameters: int, stage: Stage, dimension: int, megabytes: float | None) -> int:
    """How many rows of the Jacobian a step of Gauss-Newton takes at a time within the megabytes allowed.

    Raises ProblemError where that is fewer than a quarter of the parameters.
    """
    width, allowed, other = parameters + 1, megabytes or DEFAULT_MEGABYTES, _beside(stage, dimension)
    numbers = _at_a_point(stage, dimension)
    rows = int((allowed * 1e6 - other - _of_rows(0, width, numbers)) / (8 * (COPIES * width + 2 * numbers)))
    if rows < width // 4:
        least = math.ceil((_of_rows(width // 4 + 1, width, numbers) + other) / 1e6)
        raise ProblemError(
            f"a network of {parameters} parameters needs {least} MB or more to be trained by Gauss-Newton, {allowed:g} MB are "
            "allowed; allow more (--memory), take a smaller network, or optimizer matrix-free"
        )
    return rows


def graphs(megabytes: float | None) -> GraphMemory:
    """What autograd's graphs may take, in proportion to the megabytes allowed."""
    share = (megabytes or DEFAULT_MEGABYTES) / DEFAULT_MEGABYTES
    return GraphMemory(int(share * GRAPH_MEMORY.kept), int(share * GRAPH_MEMORY.chunk))


def _of_rows(rows: int, width: int, numbers: int) -> float:
    """Bytes for a block of so many rows of so many numbers, the triangle, and what its points take while rows are made."""
    return 8.0 * (COPIES * (rows + width) * width + 2 * rows * numbers)


def _at_a_point(stage: Stage, dimension: int) -> int:
    """Numbers at a point of a KAN: local bases and activations, with their derivatives. Of other networks none are counted."""
    if stage.kind != "kan":
        return 0
    numbers = 0
    for (a, b), k, n in zip(pairwise(stage.widths(dimension)), stage.degree, stage.intervals, strict=True):
        numbers += 3 * a * (k + 1) + min(a * b * (k + 1), 3 * a * (k + n)) + 3 * a * b
    return numbers


def _beside(stage: Stage, dimension: int) -> float:
    """Bytes of the points that are evaluated at a time beside the rows."""
    return 8.0 * POINTS * _at_a_point(stage, dimension) if stage.kind == "kan" else OTHER_NETWORKS


def memory(problem: Problem, stage: Stage) -> int:
    """About how many bytes a step of Gauss-Newton takes, without those of the program itself."""
    sampling, d = training_points(problem, stage, 0), problem.domain.dimension
    equations = len(problem.equations)
    faces = problem.face_count
    measured = sum(len(values) for one in problem.data for values in one.values.values())
    if d > TENSOR_DIMENSIONS:
        share = -(-sampling.count // max(1, faces))
        rows = equations * 2 ** math.ceil(math.log2(sampling.count)) + faces * 2 ** math.ceil(math.log2(share))
    else:
        cells = [one if isinstance(one, int) else len(one) + 1 for one in sampling.cells_along(problem.domain)]
        axes = sorted(sampling.order * one for one in cells)
        rows = math.ceil(equations * problem.domain.filling * math.prod(axes)) + faces * math.prod(axes[1:])
    rows += measured
    parameters = stage.parameters(d)
    try:
        at_a_time = min(rows, block(parameters, stage, d, problem.training.memory))
    except ProblemError:  # it takes more than is allowed
        at_a_time = rows
    return int(_of_rows(at_a_time, parameters + 1, _at_a_point(stage, d)) + _beside(stage, d))
