"""What a formula has to satisfy, as expressions that have to vanish: equations, and conditions on faces in closed form."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import sympy

from pdekan.domains.base import Domain
from pdekan.domains.box import Box
from pdekan.domains.quadrature import Array
from pdekan.problems.conditions import DOMAIN, Condition
from pdekan.problems.formulas import EXACT, Field, RightHandSide
from pdekan.problems.problem import Equation, Problem
from pdekan.symbolic.expressions import Coordinates, Names, NotSymbolic, applied, derivative, number, symbol
from pdekan.symbolic.surfaces import Surface, surface
from pdekan.symbolic.vanishing import branches, cased, vanishes

ASIDE = 1e-9  # of the domain's size: how far inside of a face it is told which case holds there
AWAY = 1e-6  # of the domain's size: points of an interface as near the boundary as this are on it
LONGEST = 60  # operations of an integrand that an antiderivative is sought of


@dataclass(frozen=True)
class Piece:
    """An expression without cases that has to vanish.

    points: ``(n, len(symbols))``, where it is evaluated; places: ``(n, d)``, where that is in the domain.
    """

    expression: sympy.Expr
    symbols: tuple[sympy.Expr, ...]
    points: Array
    places: Array


@dataclass(frozen=True)
class Requirements:
    """Residuals of a problem's equations and conditions as expressions.

    formula: the unknowns and parameters by name. Raises NotSymbolic from every method where a
    formula of the problem or a face has no closed form.
    """

    problem: Problem
    formula: Names
    generator: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    @property
    def space(self) -> Coordinates:
        domain = self.problem.domain
        return Coordinates(domain.coordinates, domain.vector)

    @property
    def size(self) -> float:
        """The longest side of the box around the domain."""
        return max(b - a for a, b in zip(self.problem.domain.lower, self.problem.domain.upper, strict=True))

    def equation(self, one: Equation, points: Array) -> list[Piece]:
        """An equation, at points ``(n, d)`` inside."""
        residual, symbols = self._residual(one.operator, one.source, self.space), self.space.symbols
        return [Piece(part, symbols, points[here], points[here]) for part, here in branches(residual, symbols, points)]

    def face(self, condition: Condition, faces: Sequence[str], points: Sequence[Array]) -> list[Piece]:
        """A condition on faces, each with points ``(n, d)`` of it; there are none where the residual vanishes off them, too."""
        return [piece for face, some in zip(faces, points, strict=True) for piece in self._face(condition, face, some)]

    def periodic(self, condition: Condition, unknown: str, slope: bool, points: Array) -> list[Piece]:
        """What an unknown, or its derivative, differs by on two opposite faces."""
        domain, name = self.problem.domain, condition.on[0][:-1]
        u = self._formula(unknown)
        u = derivative(u, name) if slope else u
        sides = [surface(domain, name + side) for side in "-+"]
        inside = [points.copy(), points.copy()]
        k = domain.coordinates.index(name)
        inside[0][:, k] = domain.lower[k] + ASIDE * self.size
        inside[1][:, k] = domain.upper[k] - ASIDE * self.size
        return self._difference((u, u), sides, inside, points)

    def jump(self, condition: Condition, name: str) -> list[Piece]:
        """What a condition's operator jumps by across an interface, less the value that is asked for."""
        assert condition.operator is not None
        shape, found = self.problem.interfaces[name], []
        for face in shape.faces:
            side = _known(surface(shape, face))
            rule = shape.face(face, 8, 4, 64, 0)
            free = side.sample(rule.points, self.generator)
            places, normals = side.at(free)
            within = self.problem.domain.distance(places) > AWAY * self.size
            if not within.any():
                continue
            places, normals, free = places[within], normals[within], free[within]
            space = Coordinates(self.space.coordinates, self.space.vector, side.normal)
            outer = self._residual(condition.operator, condition.value, space)
            inner = outer if condition.value is EXACT else self._residual(condition.operator, None, space)
            apart = [places + ASIDE * self.size * normals, places - ASIDE * self.size * normals]
            found += self._difference((outer, inner), [side, side], apart, places, free)
        return found

    def mean(self, condition: Condition) -> list[Piece]:
        """A mean over a box, where it has an antiderivative that is found at once."""
        assert condition.operator is not None
        domain = self.problem.domain
        residual = self._residual(condition.operator, condition.value, self.space) if DOMAIN in condition.on else None
        if residual == 0:
            return []
        if residual is None or not isinstance(domain, Box) or residual.has(sympy.Piecewise) or residual.count_ops() > LONGEST:
            raise NotSymbolic("this mean has no closed form")
        total = sympy.expand(residual)
        for name, a, b in zip(domain.coordinates, domain.lower, domain.upper, strict=True):
            low, high, x = number(a), number(b), symbol(name)
            under = sympy.integrate(total, x, manual=True)
            if under.has(sympy.Integral):
                raise NotSymbolic("this mean has no closed form")
            total = (under.subs(x, high) - under.subs(x, low)) / (high - low)
        return [Piece(total, (), np.zeros((1, 0)), np.array([domain.lower]))]

    def _formula(self, name: str) -> sympy.Expr:
        found = self.formula[name]
        assert isinstance(found, sympy.Expr)
        return found

    def _exact(self) -> dict[str, sympy.Expr]:
        """The exact solution that the problem states; parameters at their initial values if it does not say."""
        guesses = {name: number(one.initial) for name, one in self.problem.parameters.items()}
        return guesses | {name: applied(f, self.space.names, self.space) for name, f in self.problem.exact_fields.items()}

    def _residual(self, operator: Field, value: Field | RightHandSide | None, space: Coordinates) -> sympy.Expr:
        names: Mapping[str, sympy.Expr] = {**space.names, **self.formula}
        left = applied(operator, names, space)
        if value is None:
            return left
        if isinstance(value, RightHandSide):
            return left - applied(operator, {**space.names, **self._exact()}, space)
        return left - applied(value, names, space)

    def _face(self, condition: Condition, face: str, points: Array) -> Iterator[Piece]:
        assert condition.operator is not None
        side = _known(surface(self.problem.domain, face))
        space = Coordinates(self.space.coordinates, self.space.vector, side.normal)
        residual = cased(self._residual(condition.operator, condition.value, space))
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
        """The first expression on one surface less the second on another, case by case; `aside` tells which case holds."""
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


def faces_of(domain: Domain, condition: Condition) -> list[str]:
    """The faces of a condition, in the order of its terms."""
    return [face for name in condition.on for face in domain.resolve(name)]
