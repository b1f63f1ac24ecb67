"""Residuals of equations and conditions as symbolic expressions, which vanish for an exact solution."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import sympy

from pdekan.domains.arcs import EllipseArc, Segment
from pdekan.domains.ball import Ball
from pdekan.domains.base import Domain
from pdekan.domains.box import Box
from pdekan.domains.combinations import Combination
from pdekan.domains.cylinder import Cylinder
from pdekan.domains.planar import Planar
from pdekan.domains.quadrature import Array
from pdekan.domains.shapes import Ellipse
from pdekan.fields.jets import TIME
from pdekan.problems.formulas import EXACT, Field, RightHandSide
from pdekan.problems.places import NEAR_BOUNDARY, Across, Faces, Inside, OppositeFaces, Place, Requirement
from pdekan.problems.problem import Equation, Problem
from pdekan.symbolic.expressions import Coordinates, Names, NotSymbolic, Vector, applied, number, symbol
from pdekan.symbolic.vanishing import branches, cased, vanishes

ASIDE = 1e-9  # of the domain's size: distance from a face at which the case that holds there is determined
MAX_LENGTH = 60  # operations of the longest integrand for which an antiderivative is sought

Span = tuple[float, float]
TURN, RISE = sympy.Symbol("turn", real=True), sympy.Symbol("rise", real=True)


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


@dataclass(frozen=True)
class Surface:
    """A face: `position` has the expressions of coordinates on it; the other coordinates are free.

    normal: a component for every coordinate. spans: intervals of the parameters of the position, one for each piece.
    """

    coordinates: tuple[str, ...]
    position: Mapping[sympy.Symbol, sympy.Expr]
    normal: Vector
    spans: Mapping[sympy.Symbol, tuple[Span, ...]] = field(default_factory=dict)

    @property
    def free(self) -> tuple[sympy.Symbol, ...]:
        """The variables of expressions on the face: parameters and free coordinates."""
        return (*self.spans, *(s for s in map(symbol, self.coordinates) if s not in self.position))

    def on(self, expression: sympy.Expr) -> sympy.Expr:
        """An expression in the coordinates as one in the free variables."""
        return expression.xreplace(dict(self.position))

    def sample(self, points: Array, generator: np.random.Generator) -> Array:
        """Values ``(n, len(free))``: random parameters, and the free coordinates of points ``(n, d)``."""
        columns = []
        for one in self.free:
            if one in self.spans:
                ends = np.array(self.spans[one])[generator.integers(len(self.spans[one]), size=len(points))]
                columns.append(ends[:, 0] + (ends[:, 1] - ends[:, 0]) * generator.random(len(points)))
            else:
                columns.append(points[:, self.coordinates.index(one.name)])
        return np.stack(columns, axis=1) if columns else np.zeros((len(points), 0))

    def at(self, free: Array) -> tuple[Array, Array]:
        """Points and normals ``(n, d)`` for values ``(n, len(free))`` of the free variables."""
        position = [self.position.get(s, s) for s in map(symbol, self.coordinates)]
        function = sympy.lambdify(list(self.free), [position, list(self.normal)], modules="math")
        both = np.array([function(*row) for row in free.tolist()], dtype=float)
        return both[:, 0], both[:, 1]


def surface(domain: Domain, face: str) -> Surface | None:
    """A face of a domain, or None where it has no closed form."""
    if isinstance(domain, Box):
        return _flat(domain.coordinates, face[:-1], domain.lower, domain.upper, face[-1])
    if isinstance(domain, Cylinder):
        if face[:-1] == TIME:
            return _flat(domain.coordinates, TIME, domain.lower, domain.upper, face[-1])
        below = surface(domain.base, face)
        return below and replace(below, coordinates=domain.coordinates, normal=(*below.normal, sympy.Integer(0)))
    if isinstance(domain, Ball):
        return _sphere(domain)
    return _curve(domain, face) if isinstance(domain, Planar) else None


def _flat(coordinates: tuple[str, ...], name: str, lower: tuple[float, ...], upper: tuple[float, ...], side: str) -> Surface:
    k = coordinates.index(name)
    at, way = (lower[k], -1) if side == "-" else (upper[k], 1)
    normal = tuple(sympy.Integer(way if j == k else 0) for j in range(len(coordinates)))
    return Surface(coordinates, {symbol(name): number(at)}, normal)


def _sphere(ball: Ball) -> Surface:
    normal = (sympy.sin(RISE) * sympy.cos(TURN), sympy.sin(RISE) * sympy.sin(TURN), sympy.cos(RISE))
    center = [number(c) for c in ball.center]
    position = {symbol(name): c + number(ball.radius) * n for name, c, n in zip(ball.coordinates, center, normal, strict=True)}
    return Surface(ball.coordinates, position, normal, {TURN: ((0.0, 2.0 * math.pi),), RISE: ((0.0, math.pi),)})


def _curve(domain: Planar, face: str) -> Surface | None:
    """The curve of all arcs of a name: pieces of one line or ellipse in one direction."""
    pieces = [arc for arc in domain.arcs if arc.name == face]
    first = pieces[0]
    shape, name = domain, face
    while isinstance(shape, Combination):
        part, _, name = name.partition(".")
        shape = shape.parts[int(part.removeprefix("part")) - 1]
    whole = next(arc for arc in shape.arcs if arc.name == name)
    if isinstance(whole, Segment) and isinstance(first, Segment):
        starts, ends = np.array(whole.start), np.array(whole.end)
        along = ends - starts
        spans = tuple(
            (float((arc.start - starts) @ along / (along @ along)), float((arc.end - starts) @ along / (along @ along)))
            for arc in pieces
            if isinstance(arc, Segment)
        )
        (x0, y0), (x1, y1) = ((number(a), number(b)) for a, b in (whole.start, whole.end))
        position: Vector = (x0 + TURN * (x1 - x0), y0 + TURN * (y1 - y0))
    elif isinstance(whole, EllipseArc) and isinstance(first, EllipseArc):
        spans = tuple(arc.span for arc in pieces)
        position = _around(shape, whole)
    else:
        return None
    way = 1 if spans[0][0] < spans[0][1] else -1
    velocity = [way * p.diff(TURN) for p in position]
    speed = sympy.sqrt(sympy.simplify(sum(v**2 for v in velocity)))
    named = dict(zip(map(symbol, domain.coordinates), position, strict=True))
    return Surface(domain.coordinates, named, (velocity[1] / speed, -velocity[0] / speed), {TURN: spans})


def _around(shape: Planar, arc: EllipseArc) -> Vector:
    """center + u cos t + v sin t, with the axes of an ellipse from its angle."""
    if isinstance(shape, Ellipse):
        (a, b), angle = (number(r) for r in shape.radii), number(shape.angle)
        c, s = sympy.cos(angle), sympy.sin(angle)
        u, v = (a * c, a * s), (-b * s, b * c)
    else:
        u, v = ((number(p), number(q)) for p, q in (arc.u, arc.v))
    cos, sin = sympy.cos(TURN), sympy.sin(TURN)
    x, y = (number(m) + p * cos + q * sin for m, p, q in zip(arc.center, u, v, strict=True))
    return x, y
