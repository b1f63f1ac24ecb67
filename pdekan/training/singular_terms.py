"""The singular functions that the solver puts beside a network: those of corners, crossings, holes, planes in
the source, and of initial values that disagree with the conditions."""

from __future__ import annotations

from dataclasses import replace

from pdekan.ansatz.unknowns import without_ansatz
from pdekan.networks.singular import SingularNetwork
from pdekan.problems.problem import Problem
from pdekan.singularities.beginnings import beginning_functions
from pdekan.singularities.corners import singularities
from pdekan.singularities.holes import hole_functions
from pdekan.singularities.source_planes import plane_functions
from pdekan.solutions.solution import Solution
from pdekan.training.schedule import is_open


def with_singular_functions(problem: Problem, resume: Solution | None = None) -> Problem:
    """The problem with its singular functions beside the networks, where the solver chooses these.

    resume: a solution to go on from, whose functions are kept.
    """
    if resume is not None:
        network = without_ansatz(resume.network)
        return replace(problem, singular=network.singular) if isinstance(network, SingularNetwork) else problem
    if problem.enrichments or problem.training.optimizer != "gauss-newton" or not is_open(problem):
        return problem
    corners = (part for one in singularities(problem) for part in one.functions)
    return replace(
        problem, singular=(*corners, *hole_functions(problem), *plane_functions(problem), *beginning_functions(problem))
    )
