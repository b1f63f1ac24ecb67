"""Faces of domains as expressions: positions and outward normals by parameters, with exact decimal numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
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
from pdekan.symbolic.expressions import Vector, number, symbol

Span = tuple[float, float]
TURN, RISE = sympy.Symbol("turn", real=True), sympy.Symbol("rise", real=True)


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
