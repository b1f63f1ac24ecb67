"""The values of quantities of a solution: integrals by quadrature, values at points, extrema found by looking closer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pdekan.domains import sections
from pdekan.domains.quadrature import Quadrature, appended
from pdekan.fields.jets import TIME, Derivatives, Frame, Jet, MissingDerivative
from pdekan.networks.base import Network
from pdekan.networks.evaluation import evaluate
from pdekan.problems.formulas import ProblemError
from pdekan.problems.functionals import Functional, Quantity
from pdekan.problems.problem import Problem

Array = NDArray[np.float64]
# Of integrals, by the dimension of space: cells and points an axis in each; above, quasi-random points.
RULES, SCATTERED = {1: (40, 8, 0, 0), 2: (8, 6, 0, 0), 3: (6, 5, 0, 0)}, (1, 4, 2**14, 0)
LINE = 40, 8  # cells and points in each along one coordinate
TIMES = 51  # at which functions of time are computed
CLOSER, AROUND = 12, 9  # of an extremum: how often it is looked for closer by, and on how many points along an axis
NARROWER = 0.3  # … each time, on so much of the length


@dataclass(frozen=True)
class Output:
    """A quantity: its value, at the end of time where it depends on it, with times and values.

    estimate: the difference from its value for the solution in a richer space, None where there is none.
    """

    value: float
    estimate: float | None = None
    times: tuple[float, ...] | None = None
    values: tuple[float, ...] | None = None

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        series = {} if self.times is None else {"times": list(self.times), "values": list(self.values or ())}
        return {"value": self.value, "estimate": self.estimate, **series}


def outputs(problem: Problem, network: Network, richer: Network | None = None) -> dict[str, Output]:
    """The quantities of a problem by name. richer: a better solution, from which estimates are taken.

    Raises ProblemError where a quantity has no value: at a point outside of the domain, for a derivative of an integral.
    """
    found = {}
    for name, one in problem.outputs.items():
        try:
            output = _output(problem, network, one)
            if richer is not None:
                output = Output(
                    output.value, abs(output.value - _output(problem, richer, one).value), output.times, output.values
                )
        except (ValueError, MissingDerivative) as error:
            raise ProblemError(f"output {name}: {error}") from None
        found[name] = output
    return found


def _output(problem: Problem, network: Network, one: Quantity) -> Output:
    evaluator, domain = _Evaluator(problem, network), problem.domain
    if TIME not in one.free(domain):
        return Output(evaluator.number(one, {}))
    k = domain.coordinates.index(TIME)
    times = np.linspace(domain.lower[k], domain.upper[k], TIMES)
    values = [evaluator.number(one, {TIME: float(t)}) for t in times]
    return Output(values[-1], None, tuple(times.tolist()), tuple(values))


@dataclass(frozen=True)
class _Evaluator:
    """Quantities of the function of a network."""

    problem: Problem
    network: Network

    def number(self, one: Quantity, held: Mapping[str, float]) -> float:
        """A quantity where the coordinates that it depends on have given values."""
        domain = self.problem.domain
        middle = [
            held.get(name, 0.5 * (a + b)) for name, a, b in zip(domain.coordinates, domain.lower, domain.upper, strict=True)
        ]
        return float(self.values(one, Quadrature(np.array([middle]), np.ones(1)))[0])

    def values(self, one: Quantity, rule: Quadrature) -> Array:
        """A quantity ``(n,)`` at the points of a rule, with its normals."""
        points = torch.as_tensor(rule.points)
        normals = None if rule.normals is None else torch.as_tensor(rule.normals)
        known = {name: self._at_points(functional, rule.points) for name, functional in one.functionals.items()}
        for level in Derivatives:
            try:
                frame = Frame(self.problem.domain.coordinates, level, normals)
                needed = set(getattr(one.formula, "names", self.problem.unknowns)) & set(self.problem.sought)
                sought = self._sought(points, frame) if needed else {}
                functionals = {name: Jet(frame, torch.as_tensor(column)) for name, column in known.items()}
                jet = one.formula({**self.problem.environment(points, level, normals, sought), **functionals})
            except MissingDerivative as error:
                missing = error
            else:
                return np.asarray(jet.value.expand(len(points)).numpy())
        raise missing

    def _sought(self, points: torch.Tensor, frame: Frame) -> dict[str, Jet]:
        device = self.network.device
        u = evaluate(self.network, points.to(device), Frame(frame.coordinates, frame.level)).each(torch.Tensor.cpu)
        return {name: u[k] for k, name in enumerate(self.problem.sought)}

    def _at_points(self, one: Functional, points: Array) -> Array:
        """A functional ``(n,)`` at points, computed once for equal values of the coordinates that it depends on."""
        names, coordinates = one.free(self.problem.domain), self.problem.domain.coordinates
        columns = points[:, [coordinates.index(name) for name in names]]
        distinct, place = np.unique(columns, axis=0, return_inverse=True)
        held = [dict(zip(names, row, strict=True)) for row in distinct.tolist()] if names else [{}]
        found = np.array([self.functional(one, place_of) for place_of in held])
        return found[place.reshape(-1)] if names else np.full(len(points), found[0])

    def functional(self, one: Functional, held: Mapping[str, float]) -> float:
        """A functional where the coordinates that it depends on have given values."""
        if one.kind == "at":
            return self._at({**held, **one.place}, one.of)
        rule = self._rule(one, held)
        if one.kind == "integral":
            return float(rule.weights @ self.values(one.of, rule))
        return self._extreme(one, rule, held)

    def _at(self, held: Mapping[str, float], one: Quantity) -> float:
        domain = self.problem.domain
        if set(held) >= set(domain.coordinates):
            point = np.array([[held[name] for name in domain.coordinates]])
            if not domain.contains(point)[0]:
                raise ProblemError(f"the point {', '.join(f'{k} = {v:g}' for k, v in held.items())} is not in the domain")
        return self.number(one, held)

    def _rule(self, one: Functional, held: Mapping[str, float]) -> Quadrature:
        """The points of an integral or an extremum, in all coordinates of the domain."""
        domain = self.problem.domain
        if one.over in domain.coordinates:
            return sections.at(domain, sections.line(domain, one.over, *LINE), (one.over,), held)
        if one.over in (TIME + "-", TIME + "+"):
            return domain.face(one.over, *RULES.get(domain.dimension - 1, SCATTERED))
        section = sections.space(domain)
        rule = RULES.get(section.dimension, SCATTERED)
        inside = one.over is None
        found = (
            section.interior(*rule)
            if inside
            else appended([section.face(face, *rule) for face in section.resolve(one.over or "")])
        )
        return sections.at(domain, found, section.coordinates, held)

    def _extreme(self, one: Functional, rule: Quadrature, held: Mapping[str, float]) -> float:
        """The extremum over space: the best of many points, then the best of those around it, closer and closer."""
        sign, domain = (1.0 if one.kind == "max" else -1.0), self.problem.domain
        values = sign * self.values(one.of, rule)
        best, value = rule.points[int(np.argmax(values))], float(values.max())
        section = sections.space(domain)
        edges = appended([section.face(face, *RULES.get(section.dimension, SCATTERED)) for face in section.faces])
        edge = Quadrature(sections.at(domain, edges, section.coordinates, held).points, edges.weights)
        values = sign * self.values(one.of, edge)
        if float(values.max()) > value:
            best, value = edge.points[int(np.argmax(values))], float(values.max())
        moving = [domain.coordinates.index(name) for name in section.coordinates]
        half = np.array([domain.upper[k] - domain.lower[k] for k in moving]) / 8.0
        steps = np.stack(np.meshgrid(*[np.linspace(-1.0, 1.0, AROUND)] * min(3, len(moving)), indexing="ij"), axis=-1)
        steps = steps.reshape(-1, steps.shape[-1])
        for _ in range(CLOSER if len(moving) <= 3 else 0):
            near = np.repeat(best[None], len(steps), axis=0)
            near[:, moving] = np.clip(
                near[:, moving] + half * steps, np.array(domain.lower)[moving], np.array(domain.upper)[moving]
            )
            near = near[domain.contains(near)]
            values = sign * self.values(one.of, Quadrature(near, np.ones(len(near))))
            if len(near) and float(values.max()) > value:
                best, value = near[int(np.argmax(values))], float(values.max())
            half = NARROWER * half
        return sign * value
