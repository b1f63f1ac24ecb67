"""Which optimizer trains a network of a given size, and in how much memory."""

from __future__ import annotations

from typing import Protocol

import torch

from pdekan.optimizers.adam import Adam
from pdekan.optimizers.base import LeastSquares, Outcome, Watch
from pdekan.optimizers.gauss_newton import GaussNewton
from pdekan.optimizers.lbfgs import LBFGS
from pdekan.optimizers.matrix_free import MatrixFree
from pdekan.optimizers.ssbroyden import SSBroyden
from pdekan.problems.formulas import ProblemError
from pdekan.problems.options import TrainingOptions
from pdekan.training.schedule import Stage, block

# A stage that others follow ends when five steps gain less than this part of the loss: larger networks gain it sooner.
EARLY = 0.3
# Of a stage of plane waves, whose last layer alone is solved for: it has few directions that data do not determine.
RIDGE = 1e-12
# Steps of a stage where the user names no number.
STEPS = {"gauss-newton": 200, "matrix-free": 60, "ssbroyden": 2000, "lbfgs": 2000, "adam": 5000}
# Parameters above which gauss-newton works without the Jacobian: with five points a parameter its memory grows with P², the
# time of a step with P³; all rows of 3000 parameters at once would take more than a gigabyte.
DENSE = 3000
# … or where the time allowed is not enough for FEW steps with it. SECONDS of a step for each row and each P², measured on one
# core (tests/benchmarks/cost.md); it need not be right to more than a factor.
FEW, SECONDS = 5, 1.2e-10
# … and for each P³ of solving for the last layer of plane waves on one thread, once, from 32 to 72 of them.
SOLVING = 2.8e-10
# Parameters above which the P × P matrix of ssbroyden would take more than a gigabyte.
DENSE_QUASI_NEWTON = 11_000


class Optimizer(Protocol):
    """See `optimizers.base`."""

    def minimise(self, problem: LeastSquares, theta: torch.Tensor, steps: int, watch: Watch) -> Outcome: ...


def of_waves(relative: float = 1.0) -> GaussNewton:
    """What solves for the last layer of plane waves.

    relative: the residual that is to be bettered, which a start that does not say so much cannot tell; its square stands for
    the loss that the ridge falls with.
    """
    return GaussNewton(ridge=RIDGE * min(1.0, relative**2))


def is_dense(options: TrainingOptions, parameters: int, rows: int) -> bool:
    """Whether training forms the Jacobian."""
    if options.optimizer != "gauss-newton" or parameters > DENSE:
        return False
    return FEW * SECONDS * rows * parameters**2 <= options.seconds


def optimizer(options: TrainingOptions, parameters: int, dense: bool, last: bool) -> Optimizer:
    """The optimizer that the options ask for. last: whether no larger network follows.

    Raises ProblemError where it cannot hold as many parameters.
    """
    name = options.optimizer
    if name == "gauss-newton" and dense:
        return GaussNewton() if last else GaussNewton(min_gain=EARLY, patience=5)
    if name in ("gauss-newton", "matrix-free"):
        return MatrixFree()
    if name == "ssbroyden":
        if parameters > DENSE_QUASI_NEWTON:
            raise ProblemError(
                f"ssbroyden keeps a matrix of {parameters} × {parameters} numbers, one for each pair of parameters; "
                "choose optimizer matrix-free or lbfgs"
            )
        return SSBroyden()
    return LBFGS() if name == "lbfgs" else Adam()


def rows_at_a_time(options: TrainingOptions, stage: Stage | None, parameters: int, dimension: int) -> int | None:
    """How many rows of the Jacobian a step takes at a time, None for all; stage None: a network of the user's.

    Raises ProblemError where the memory allowed is too small.
    """
    waves = stage is not None and stage.waves
    if options.optimizer != "gauss-newton" or (parameters > DENSE and not waves):
        return None
    return block(parameters, stage, dimension, options.memory)
