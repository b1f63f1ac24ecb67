"""Residuals of equations and conditions as symbolic expressions, which vanish for an exact solution."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import sympy

from pdekan.domains.box import Box
from pdekan.domains.quadrature import Array
from pdekan.problems.formulas import EXACT, Field, RightHandSide
from pdekan.problems.places import NEAR_BOUNDARY, Across, Faces, Inside, OppositeFaces, Place, Requirement
from pdekan.problems.problem import Equation, Problem
from pdekan.symbolic.expressions import Coordinates, Names, NotSymbolic, applied, number, symbol
from pdekan.symbolic.surfaces import Surface, surface
from pdekan.symbolic.vanishing import branches, cased, vanishes

ASIDE = 1e-9  # of the domain's size: distance from a face at which the case that holds there is determined
MAX_LENGTH = 60  # operations of the longest integrand for which an antiderivative is sought


@dataclass(frozen=True)
class Piece:
    """An expression without cases that has to be zero.

    points: ``(n, len(symbols))``, where it is evaluated; places: ``(n, d)``, where that is in the domain.
    """

    expression: sympy.Expr
    symbols: tuple[sympy.Expr, ...]
    points: Array
    places: Array


@dataclass(frozen=True)
class SymbolicResiduals:
    """Residuals of a problem's equations and conditions as expressions.

    formula: the unknowns and parameters by name. Every method raises NotSymbolic where a formula of the problem or a face has
    no closed form.
    """

    problem: Problem
    formula: Names
    generator: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    @property
    def space(self) -> Coordinates:
        domain = self.problem.domain
        return Coordinates(domain.coordinates, domain.vector)

    @property
    def _constants(self) -> dict[str, sympy.Expr]:
        return {name: number(value) for name, value in self.problem.constants.items()}

    @property
    def size(self) -> float:
        """The longest side of the box around the domain."""
        return self.problem.domain.size

    def equation(self, one: Equation, points: Array) -> list[Piece]:
        """An equation, at points ``(n, d)`` inside."""
        residual, symbols = self._residual(one.operator, one.source, self.space), self.space.symbols
        return [Piece(part, symbols, points[here], points[here]) for part, here in branches(residual, symbols, points)]

    def condition(self, one: Requirement, points: Sequence[Array]) -> list[Piece]:
        """A requirement of a condition, with points ``(n, d)`` of each of its faces, or of the first side of its pairs."""
        return self._mean(one) if one.is_mean else self._at(one.place, one, points)

    @functools.singledispatchmethod
    def _at(self, place: Place, one: Requirement, points: Sequence[Array]) -> list[Piece]:
        """The residual at a kind of place; registered below for those with a closed form."""
        raise NotSymbolic(f"{type(place).__name__} has no closed form")

    @_at.register
    def _(self, place: Faces, one: Requirement, points: Sequence[Array]) -> list[Piece]:
        """On faces; there are no pieces where the residual vanishes off them, too."""
        return [piece for face, some in zip(place.names, points, strict=True) for piece in self._face(one, face, some)]

    @_at.register
    def _(self, place: OppositeFaces, one: Requirement, points: Sequence[Array]) -> list[Piece]:
        """The jump between two opposite faces."""
        domain, k = self.problem.domain, self.problem.domain.coordinates.index(place.coordinate)
        sides = [surface(domain, face) for face in place.names]
        inside = [points[0].copy(), points[0].copy()]
        inside[0][:, k] = domain.lower[k] + ASIDE * self.size
        inside[1][:, k] = domain.upper[k] - ASIDE * self.size
        return self._difference(self._sides(one, self.space), sides, inside, points[0])

    @_at.register
    def _(self, place: Across, one: Requirement, points: Sequence[Array]) -> list[Piece]:
        """The jump across an interface, at points of its own."""
        shape, found = self.problem.interfaces[place.interface], []
        for face in shape.faces:
            side = _known(surface(shape, face))
            rule = shape.face(face, 8, 4, 64, 0)
            free = side.sample(rule.points, self.generator)
            places, normals = side.at(free)
            within = self.problem.domain.distance(places) > NEAR_BOUNDARY * self.size
            if not within.any():
                continue
            places, normals, free = places[within], normals[within], free[within]
            sides = self._sides(one, Coordinates(self.space.coordinates, self.space.vector, side.normal))
            apart = [places + ASIDE * self.size * normals, places - ASIDE * self.size * normals]
            found += self._difference(sides, [side, side], apart, places, free)
        return found

    def _mean(self, one: Requirement) -> list[Piece]:
        """A mean over a box, where an antiderivative is found directly."""
        domain = self.problem.domain
        residual = self._residual(one.operator, one.value, self.space) if isinstance(one.place, Inside) else None
        if residual == 0:
            return []
        if (
            residual is None
            or not isinstance(domain, Box)
            or residual.has(sympy.Piecewise)
            or residual.count_ops() > MAX_LENGTH
        ):
            raise NotSymbolic("this mean has no closed form")
        total = sympy.expand(residual)
        for name, a, b in zip(domain.coordinates, domain.lower, domain.upper, strict=True):
            low, high, x = number(a), number(b), symbol(name)
            under = sympy.integrate(total, x, manual=True)
            if under.has(sympy.Integral):
                raise NotSymbolic("this mean has no closed form")
            total = (under.subs(x, high) - under.subs(x, low)) / (high - low)
        return [Piece(total, (), np.zeros((1, 0)), np.array([domain.lower]))]

    def _exact(self) -> dict[str, sympy.Expr]:
        """The exact solution of the problem; parameters without an exact value are at their initial ones."""
        guesses = {name: number(one.initial) for name, one in self.problem.parameters.items()}
        names = {**self.space.names, **self._constants}
        return guesses | {name: applied(f, names, self.space) for name, f in self.problem.exact_fields.items()}

    def _residual(self, operator: Field, value: Field | RightHandSide | None, space: Coordinates) -> sympy.Expr:
        names: Mapping[str, sympy.Expr] = {**space.names, **self._constants, **self.formula}
        left = applied(operator, names, space)
        if value is None:
            return left
        if isinstance(value, RightHandSide):
            return left - applied(operator, {**space.names, **self._exact()}, space)
        return left - applied(value, names, space)

    def _sides(self, one: Requirement, space: Coordinates) -> tuple[sympy.Expr, sympy.Expr]:
        """The expressions on the two sides of a jump, the value on the first; one from the exact solution jumps itself."""
        outer = self._residual(one.operator, one.value, space)
        return outer, outer if one.value is EXACT else self._residual(one.operator, None, space)

    def _face(self, one: Requirement, face: str, points: Array) -> Iterator[Piece]:
        side = _known(surface(self.problem.domain, face))
        space = Coordinates(self.space.coordinates, self.space.vector, side.normal)
        residual = cased(self._residual(one.operator, one.value, space))
        if residual == 0 or (len(self.problem.domain.faces) > 20 and vanishes(residual)):
            return
        free = side.sample(points, self.generator)
        places, normals = side.at(free)
        for part, here in branches(residual, self.space.symbols, places - ASIDE * self.size * normals):
            yield Piece(side.on(part), side.free, free[here], places[here])

    def _difference(
        self,
        expressions: tuple[sympy.Expr, sympy.Expr],
        sides: Sequence[Surface | None],
        aside: Sequence[Array],
        places: Array,
        free: Array | None = None,
    ) -> list[Piece]:
        """The first expression on one surface less the second on another, case by case. aside: where the case is determined."""
        first, second = map(_known, sides)
        free = first.sample(places, self.generator) if free is None else free
        cases = [list(branches(e, self.space.symbols, p)) for e, p in zip(expressions, aside, strict=True)]
        return [
            Piece(first.on(a) - second.on(b), first.free, free[here & there], places[here & there])
            for (a, here), (b, there) in itertools.product(*cases)
            if (here & there).any()
        ]


def _known(side: Surface | None) -> Surface:
    if side is None:
        raise NotSymbolic("a face has no closed form")
    return side
