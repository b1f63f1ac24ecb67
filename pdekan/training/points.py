"""On how many points a stage is trained, and on which other ones it is validated."""

from __future__ import annotations

import math
from dataclasses import replace

from pdekan.domains.box import TENSOR_DIMENSIONS
from pdekan.problems.problem import Problem
from pdekan.residuals.collocation import Sampling
from pdekan.training.schedule import Stage

# Training points for each parameter: fewer let the network wiggle between the points (tried on Poisson's equation in 2-D).
POINTS_PER_PARAMETER = 5
# … and of plane waves: with 5 errors are the same in six problems of seven, with 3 four times larger across interfaces.
POINTS_PER_WAVE_PARAMETER = 3.5
# … and points an axis for each coefficient of an edge: with as many as coefficients a product node fits them all and is wrong
# between them (tried on sin πx sin πy and sin πx sin πy²).
POINTS_PER_COEFFICIENT = 1.5
# … and in the plane points an axis for each interval of the outer splines, of a degree up to 4 and above: with one the error of
# the outer splines is up to two hundred times larger than with these (tests/benchmarks/slopes.md).
POINTS_PER_INTERVAL = {True: 3, False: 2}
# … and points on a face for each function of a singular point beside it: with a fifth as many a solution about a square hole
# was wrong by 3e-4 between the points on its sides.
POINTS_PER_FUNCTION = 2
# Points inside at most, by dimension: a bound on time and memory, far above what the networks of the schedules need.
MAX_POINTS = {1: 100_000, 2: 250_000, 3: 100_000}
# Bytes that a point takes for each unknown and parameter: with its jets 3500, as much again for the rows of a step beside
# them. Users may ask for more points than fit.
BYTES_A_POINT = 7000.0
# Megabytes that training may take where the user allows no number.
DEFAULT_MEGABYTES = 2000.0
# A network is validated after every step: on so many points × parameters at most, a few seconds, but on so many points.
VALIDATED, LEAST_VALIDATED = 2**28, 400
# Gauss points an axis in one cell at most: more of them crowd at the cell's faces.
MAX_ORDER = 16


def training_points(problem: Problem, stage: Stage, seed: int) -> Sampling:
    """Points inside, cells aligned to the first layer's knots; on every face as dense along an axis."""
    d = problem.domain.dimension
    wanted = problem.training.points
    if wanted is None:  # a point has a row for every equation
        each = POINTS_PER_WAVE_PARAMETER if stage.waves else POINTS_PER_PARAMETER
        parameters = stage.parameters(d) + sum(one.count for one in problem.singular)
        wanted = max(200, math.ceil(each * parameters / max(1, len(problem.equations))))
    else:
        megabytes = problem.training.memory or DEFAULT_MEGABYTES
        wanted = min(wanted, math.ceil(1e6 * megabytes / (BYTES_A_POINT * len(problem.sought))))
    if d > TENSOR_DIMENSIONS:
        return Sampling(1, 1, wanted, seed)
    axis = math.ceil((min(wanted, MAX_POINTS[d]) / problem.domain.filling) ** (1.0 / d))
    if stage.degree and problem.training.points is None:  # a product node ties an axis' coefficients to the points along it
        axis = max(axis, math.ceil(POINTS_PER_COEFFICIENT * (stage.degree[0] + stage.intervals[0])))
        if d <= 2 and not stage.waves:
            axis = max(axis, POINTS_PER_INTERVAL[stage.degree[-1] <= 4] * stage.intervals[-1])
    cells = stage.intervals[0] if stage.intervals else 4
    cells *= math.ceil(axis / (cells * MAX_ORDER))
    cells = max(1, min(cells, axis // 2))
    on_face = math.ceil(POINTS_PER_FUNCTION * max((one.count for one in problem.singular), default=0))
    return Sampling(cells, math.ceil(axis / cells), 0, seed, narrow=problem.narrow, on_face=on_face)


def own_points(problem: Problem, stage: Stage, seed: int) -> Sampling:
    """As many points as a stage of the solver's own needs, however many the user wants for the network."""
    return training_points(replace(problem, training=replace(problem.training, points=None)), stage, seed)


def validation_points(training: Sampling, dimension: int = 1, parameters: int = 0) -> Sampling:
    """Validation points, about as many as those of training: other cells, another seed.

    Fewer where points × parameters of the network would exceed VALIDATED, down to LEAST_VALIDATED.
    """
    most = max(LEAST_VALIDATED, VALIDATED // max(1, parameters))
    whole = training.cells * training.order
    axis = min(whole, math.ceil(most ** (1.0 / dimension)))
    cells = training.cells + 1 if axis == whole else max(1, min(training.cells, axis // 2) - 1)
    order = math.ceil(1.1 * axis / cells)
    # of two odd orders both would have a point in the middle of an odd number of cells
    order = max(2, order + order % 2)
    return replace(training, cells=cells, order=order, count=min(training.count, most), seed=training.seed + 104729)
