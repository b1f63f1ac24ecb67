"""A problem in time as a sequence of problems on slabs of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from pdekan.domains.base import Domain
from pdekan.domains.box import Box
from pdekan.domains.cylinder import InTime
from pdekan.fields.functions import composed
from pdekan.fields.jets import TIME, Frame, Jet
from pdekan.networks.base import Network
from pdekan.problems.formulas import Environment, Field, ProblemError
from pdekan.problems.problem import Problem


@dataclass(frozen=True, eq=False)
class Carried(Field):
    """An operator applied to the function of a network: the end of a slab, as the start of the next."""

    operator: Field
    network: Network
    problem: Problem

    def __call__(self, environment: Environment) -> Jet:
        position = [environment[name] for name in self.problem.domain.coordinates]
        points = torch.stack(torch.broadcast_tensors(*(one.value for one in position)), dim=1)
        outer = self.network.jet(points, Frame(self.problem.domain.coordinates)).each(torch.Tensor.detach)
        sought = {name: composed(outer[k], position) for k, name in enumerate(self.problem.sought)}
        return self.operator({**environment, **sought})


def breaks(problem: Problem) -> list[float]:
    """The times at which slabs begin and end. Raises ProblemError for what cannot be solved in slabs."""
    domain = problem.domain
    if TIME not in domain.coordinates:
        raise ProblemError(f"slabs = {problem.training.slabs}: the domain has no time; name one of its coordinates {TIME}")
    if problem.parameters or problem.data:
        raise ProblemError("parameters and data cannot be sought in slabs of time; set slabs = 1")
    if not any(condition.is_initial for condition in problem.conditions):
        raise ProblemError("slabs of time need an initial condition to start from")
    k = domain.coordinates.index(TIME)
    return [float(t) for t in np.linspace(domain.lower[k], domain.upper[k], problem.training.slabs + 1)]


def slab(problem: Problem, times: Sequence[float], k: int, before: Network | None, seconds: float) -> Problem:
    """The problem of slab k; its initial values are those of the network of the slab before, if there is one."""
    conditions = problem.conditions
    if before is not None:
        conditions = tuple(one.restarted(lambda field: Carried(field, before, problem)) for one in conditions)
    training = replace(problem.training, slabs=1, seconds=seconds)
    part = _part(problem.domain, times[k], times[k + 1])
    return replace(problem, domain=part, conditions=conditions, training=training, exact_reference=None, outputs={})


def _part(domain: Domain, start: float, end: float) -> Domain:
    if isinstance(domain, InTime):
        return replace(domain, start=start, end=end)
    if not isinstance(domain, Box):
        raise ProblemError(f"a {domain.type_name} cannot be cut into slabs of time")
    k = domain.coordinates.index(TIME)
    lower, upper = list(domain.lower), list(domain.upper)
    lower[k], upper[k] = start, end
    return replace(domain, lower=tuple(lower), upper=tuple(upper))
