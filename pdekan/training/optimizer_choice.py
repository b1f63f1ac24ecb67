"""Which optimizer trains a network of a given size, with how many steps and in how much memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from pdekan.optimizers.adam import Adam
from pdekan.optimizers.base import LeastSquares, Optimizer
from pdekan.optimizers.gauss_newton import GaussNewton
from pdekan.optimizers.lbfgs import LBFGS
from pdekan.optimizers.matrix_free import MatrixFree
from pdekan.optimizers.ssbroyden import SSBroyden
from pdekan.problems.formulas import ProblemError
from pdekan.training.memory import block
from pdekan.training.schedule import Stage


class Method(ABC):
    """Chooses the optimizer of a stage. steps: of a stage, where the user allows no number in all."""

    steps: int
    forms_jacobian: ClassVar[bool] = False

    @abstractmethod
    def optimizer(self, parameters: int, rows: int, seconds: float, final: bool) -> Optimizer[LeastSquares]:
        """The optimizer for so many parameters and residual rows, within the seconds of a training.

        final: whether no larger network follows. Raises ProblemError where it cannot hold as many parameters.
        """

    def rows_at_a_time(self, stage: Stage, parameters: int, dimension: int, megabytes: float | None) -> int | None:
        """How many rows of the Jacobian a step takes at a time, None for all.

        Raises ProblemError where the memory allowed is too small.
        """
        return None


@dataclass(frozen=True)
class Fixed(Method):
    """One optimizer for networks of any size, or of at most so many parameters."""

    choice: Optimizer[LeastSquares]
    steps: int = 200
    most: int | None = None

    def optimizer(self, parameters: int, rows: int, seconds: float, final: bool) -> Optimizer[LeastSquares]:
        if self.most is not None and parameters > self.most:
            raise ProblemError(
                f"ssbroyden keeps a matrix of {parameters} × {parameters} numbers, one for each pair of parameters; "
                "choose optimizer matrix-free or lbfgs"
            )
        return self.choice


@dataclass(frozen=True)
class SizedGaussNewton(Method):
    """Gauss-Newton with the Jacobian for small networks, without it for large ones.

    early, early_steps: a stage that others follow ends when `early_steps` steps gain less than `early` of the loss; larger
    networks gain it sooner. dense: most parameters with the Jacobian: with five points a parameter its memory grows with P²,
    the time of a step with P³, and all rows of 3000 parameters at once would take more than a gigabyte. least_steps: the
    Jacobian is formed where so many steps with it fit into the seconds allowed; step_seconds: of one, for each row and each
    P², measured on one core (tests/benchmarks/cost.md), which need not be right to more than a factor. wave_ridge: of the
    solve for plane waves, whose last layer has few directions that the rows do not determine. solve_seconds: of that solve on
    one thread for each P³, from 32 to 72 waves.
    """

    steps: int = 200
    early: float = 0.3
    early_steps: int = 5
    dense: int = 3000
    least_steps: int = 5
    step_seconds: float = 1.2e-10
    wave_ridge: float = 1e-12
    solve_seconds: float = 2.8e-10
    forms_jacobian: ClassVar[bool] = True

    def is_dense(self, parameters: int, rows: int, seconds: float) -> bool:
        """Whether the Jacobian is formed."""
        return parameters <= self.dense and self.least_steps * self.step_seconds * rows * parameters**2 <= seconds

    def optimizer(self, parameters: int, rows: int, seconds: float, final: bool) -> Optimizer[LeastSquares]:
        if not self.is_dense(parameters, rows, seconds):
            return MatrixFree()
        return GaussNewton() if final else GaussNewton(min_gain=self.early, patience=self.early_steps)

    def for_waves(self, relative: float) -> GaussNewton:
        """What solves for the last layer of plane waves.

        relative: the residual that is to be lowered, where the start does not tell; its square stands for the loss that the
        ridge falls with.
        """
        return GaussNewton(ridge=self.wave_ridge * min(1.0, relative**2))

    def rows_at_a_time(self, stage: Stage, parameters: int, dimension: int, megabytes: float | None) -> int | None:
        if parameters > self.dense and not stage.waves:
            return None
        return block(parameters, stage, dimension, megabytes)


# The optimizers by their names in problem files. The P × P matrix of ssbroyden takes a gigabyte for 11 000 parameters.
METHODS: dict[str, Method] = {
    "gauss-newton": SizedGaussNewton(),
    "matrix-free": Fixed(MatrixFree(), steps=60),
    "ssbroyden": Fixed(SSBroyden(), steps=2000, most=11_000),
    "lbfgs": Fixed(LBFGS(), steps=2000),
    "adam": Fixed(Adam(), steps=5000),
}
