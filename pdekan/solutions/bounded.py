"""Bounds of a solution's error."""

from __future__ import annotations

from pdekan.errors import bounds
from pdekan.errors.bounds import Watch
from pdekan.errors.estimate import Bound
from pdekan.problems.formulas import ProblemError
from pdekan.solutions.solution import Solution


def error_bound(solution: Solution, watch: Watch = lambda fraction, text: None) -> Bound:
    """Upper and lower bounds of the energy norm of a solution's error, see `errors.bounds`.

    watch: called between levels with the fraction done and words. Raises ProblemError with the reason where the theory does
    not apply, and for a loaded solution whose problem was stated in Python.
    """
    if solution.problem is None:
        raise ProblemError("the problem was stated in Python and is not in the file; bound the solution where it was solved")
    if solution.problem.ranges:
        raise ProblemError("bounds are of one member of a family: state one value of its parameters, or export a member")
    return bounds.error_bound(solution.problem, solution.network, watch=watch)
