"""Arcs, of which the boundaries of planar domains consist: straight segments and arcs of ellipses.

An arc is a curve x(t) with t from `first` to `last`, in either direction. The domain is on its left, so that the outward normal
is the tangent turned to the right. It lies on a conic, whose function is positive on the left.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from pdekan.domains.quadrature import Array
from pdekan.domains.validation import Point
from pdekan.fields.jets import Jet

Field = TypeVar("Field", Array, Jet)

ON_CIRCLE = 1e-6  # tolerance of |z| = 1 for a root z = e^{it}: where curves touch, roots have half the digits


@dataclass(frozen=True)
class Conic:
    """The quadratic function q(x) = yᵀMy + b·y + c with y = x - origin; M = 0 for a straight line."""

    origin: Point
    quadratic: tuple[float, float, float]  # M11, M12, M22
    linear: Point
    constant: float

    def __call__(self, x: Field, y: Field) -> Field:
        """q at coordinates x and y, which are arrays or jets."""
        dx, dy = x - self.origin[0], y - self.origin[1]
        flat = dx * self.linear[0] + dy * self.linear[1] + self.constant
        if not any(self.quadratic):
            return flat
        xx, xy, yy = self.quadratic
        return flat + (dx * (dx * xx + dy * (2.0 * xy)) + dy * dy * yy)

    @property
    def matrix(self) -> Array:
        """M as an array ``(2, 2)``."""
        xx, xy, yy = self.quadratic
        return np.array([[xx, xy], [xy, yy]])


@dataclass(frozen=True)
class Arc(ABC):
    """A named curve x(t), t from `first` to `last`."""

    name: str

    @property
    @abstractmethod
    def span(self) -> Point:
        """The first and the last t."""

    @property
    @abstractmethod
    def conic(self) -> Conic:
        """The function of the conic that contains the arc: zero on it, positive on its left, with slope about one."""

    @abstractmethod
    def turns(self, axis: int) -> tuple[float, ...]:
        """The t strictly inside the arc at which dx[axis]/dt = 0: for axis 0 the tangent is vertical."""

    @property
    @abstractmethod
    def branches(self) -> Point | None:
        """The two x at which y as a function of x behaves like a square root; None for straight lines."""

    @property
    @abstractmethod
    def swept(self) -> float:
        """½ ∫ x dy - y dx along the arc, whose sum over a boundary is the area."""

    @abstractmethod
    def at(self, t: ArrayLike) -> Array:
        """Points x(t) ``(n, 2)`` for t ``(n,)``."""

    @abstractmethod
    def velocity(self, t: ArrayLike) -> Array:
        """dx/dt ``(n, 2)``."""

    @abstractmethod
    def trimmed(self, first: float, last: float) -> Self:
        """The piece from one t to another, reversed if their order is reversed."""

    @abstractmethod
    def nearest(self, points: Array) -> Array:
        """The t ``(n,)`` of the points of the arc nearest to points ``(n, 2)``."""

    @abstractmethod
    def height(self, x: Array) -> Array:
        """y at x, for an arc that every vertical line meets at most once."""

    @abstractmethod
    def roots(self, conic: Conic) -> Array:
        """All t within the span at which the arc meets another conic; undetermined if the arc lies on it."""

    @property
    def ends(self) -> Array:
        """First and last point ``(2, 2)``."""
        return self.at(np.array(self.span))

    @property
    def box(self) -> Array:
        """Lower and upper corner ``(2, 2)`` of the box around the arc."""
        points = self.at([*self.span, *self.turns(0), *self.turns(1)])
        return np.stack([points.min(axis=0), points.max(axis=0)])

    def normal(self, t: ArrayLike) -> Array:
        """Outward unit normals ``(n, 2)``, on the right of the arc."""
        first, last = self.span
        v = self.velocity(t) * math.copysign(1.0, last - first)
        turned = np.stack([v[:, 1], -v[:, 0]], axis=1)
        return np.asarray(turned / np.linalg.norm(v, axis=1)[:, None])

    def distance(self, points: Array) -> Array:
        """Distance ``(n,)`` of points ``(n, 2)``."""
        return np.asarray(np.linalg.norm(points - self.at(self.nearest(points)), axis=1))

    def graphs(self) -> list[Self]:
        """The arc cut at vertical tangents: each piece is the graph of a function of x, or a vertical line."""
        ts = [self.span[0], *sorted(self.turns(0), reverse=self.span[1] < self.span[0]), self.span[1]]
        return [self.trimmed(a, b) for a, b in pairwise(ts)]


@dataclass(frozen=True)
class Segment(Arc):
    """x(t) = start + t (end - start), 0 <= t <= 1."""

    start: Point
    end: Point

    @property
    def span(self) -> Point:
        return 0.0, 1.0

    @property
    def conic(self) -> Conic:
        (nx, ny), c = self.normal(0.0)[0].tolist(), self.start
        return Conic(c, (0.0, 0.0, 0.0), (-nx, -ny), 0.0)

    def turns(self, axis: int) -> tuple[float, ...]:
        return ()

    @property
    def branches(self) -> None:
        return None

    @property
    def swept(self) -> float:
        return 0.5 * (self.start[0] * self.end[1] - self.start[1] * self.end[0])

    def at(self, t: ArrayLike) -> Array:
        t = np.atleast_1d(np.asarray(t, dtype=float))[:, None]
        return np.asarray((1.0 - t) * self.start + t * np.asarray(self.end))

    def velocity(self, t: ArrayLike) -> Array:
        return np.repeat(np.subtract(self.end, self.start)[None], np.size(t), axis=0)

    def trimmed(self, first: float, last: float) -> Segment:
        (a, b), (c, d) = self.at([first, last]).tolist()
        return replace(self, start=(a, b), end=(c, d))

    def nearest(self, points: Array) -> Array:
        along = np.subtract(self.end, self.start)
        return np.asarray(np.clip((points - self.start) @ along / (along @ along), 0.0, 1.0))

    def height(self, x: Array) -> Array:
        (x0, y0), (x1, y1) = sorted((self.start, self.end))  # the two sides of a slit have the same height
        return np.asarray(y0 + (y1 - y0) * ((x - x0) / (x1 - x0)))

    def roots(self, conic: Conic) -> Array:
        M, b = conic.matrix, np.asarray(conic.linear)
        p, d = np.subtract(self.start, conic.origin), np.subtract(self.end, self.start)
        found = np.roots([d @ M @ d, 2.0 * (p @ M @ d) + b @ d, p @ M @ p + b @ p + conic.constant])
        t = found.real[np.abs(found.imag) < ON_CIRCLE]
        return np.asarray(t[(t > 0.0) & (t < 1.0)])


@dataclass(frozen=True)
class EllipseArc(Arc):
    """x(t) = center + u cos t + v sin t, t from `first` to `last`, |last - first| <= 2π.

    The vectors u and v are the half-axes; v points to the left of u.
    """

    center: Point
    u: Point
    v: Point
    first: float = 0.0
    last: float = 2.0 * math.pi

    @property
    def span(self) -> Point:
        return self.first, self.last

    @property
    def conic(self) -> Conic:
        """(1 - |A⁻¹y|²) √(ab)/2, A = (u v), |u| = a, |v| = b: slope one on a circle, √(b/a) … √(a/b) on an ellipse."""
        a, b = math.hypot(*self.u), math.hypot(*self.v)
        sign = math.copysign(0.5 * math.sqrt(a * b), self.last - self.first)
        (ux, uy), (vx, vy) = np.divide(self.u, a * a), np.divide(self.v, b * b)
        quadratic = (-sign * (ux * ux + vx * vx), -sign * (ux * uy + vx * vy), -sign * (uy * uy + vy * vy))
        return Conic(self.center, quadratic, (0.0, 0.0), sign)

    def turns(self, axis: int) -> tuple[float, ...]:
        low, high = min(self.span), max(self.span)
        start = math.atan2(self.v[axis], self.u[axis])
        found = (
            start + k * math.pi for k in range(math.floor((low - start) / math.pi), math.ceil((high - start) / math.pi) + 1)
        )
        return tuple(t for t in found if low + 1e-12 < t < high - 1e-12)

    @property
    def branches(self) -> Point:
        width = math.hypot(self.u[0], self.v[0])
        return self.center[0] - width, self.center[0] + width

    @property
    def swept(self) -> float:
        (ux, uy), (vx, vy), (cx, cy) = self.u, self.v, self.center
        dx, dy = (float(d) for d in self.ends[1] - self.ends[0])
        return 0.5 * ((ux * vy - uy * vx) * (self.last - self.first) + cx * dy - cy * dx)

    def at(self, t: ArrayLike) -> Array:
        return np.asarray(self.center) + self._combined(np.cos(t), np.sin(t))

    def velocity(self, t: ArrayLike) -> Array:
        return self._combined(-np.sin(t), np.cos(t))

    def _combined(self, along_u: ArrayLike, along_v: ArrayLike) -> Array:
        return np.asarray(np.multiply.outer(np.atleast_1d(along_u), self.u) + np.multiply.outer(np.atleast_1d(along_v), self.v))

    def trimmed(self, first: float, last: float) -> EllipseArc:
        return replace(self, first=first, last=last)

    def nearest(self, points: Array) -> Array:
        a, b = math.hypot(*self.u), math.hypot(*self.v)
        low, high = min(self.span), max(self.span)
        if abs(a - b) < 1e-14 * a:
            y = points - self.center
            t = low + (np.arctan2(y @ self.v, y @ self.u) - low) % (2.0 * math.pi)
            past = t - high  # past the last end; the gap to the first end is 2π - (high - low) wide
            return np.where(past <= 0.0, t, np.where(past < math.pi - 0.5 * (high - low), high, low))
        found = low + (self._critical(points) - low) % (2.0 * math.pi)
        trials = np.concatenate([np.minimum(found, high), np.tile([low, high], (len(points), 1))], axis=1)
        apart = np.linalg.norm(self.at(trials) - points[:, None], axis=2)
        t = np.take_along_axis(trials, apart.argmin(axis=1)[:, None], axis=1)[:, 0]
        polished = np.clip(t - self._newton(points, t), low, high)
        return np.where(self._apart(points, polished) < self._apart(points, t), polished, t)

    def _critical(self, points: Array) -> Array:
        """The t ``(n, 4)``, among which are all solutions of (x(t) - p) · x'(t) = 0.

        With z = e^{it}, |u| = a, |v| = b and y = p - center, this is
        (b² - a²) (z⁴ - 1) + 2 (y·u - i y·v) z³ - 2 (y·u + i y·v) z = 0, solved by eigenvalues of companion matrices.
        """
        a, b = math.hypot(*self.u), math.hypot(*self.v)
        y = 2.0 * (points - self.center) / (b * b - a * a)
        companion = np.zeros((len(points), 4, 4), dtype=complex)
        companion[:, 1:, :3] = np.eye(3)
        companion[:, 0, 3] = 1.0
        companion[:, 1, 3] = y @ self.u + 1j * (y @ self.v)
        companion[:, 3, 3] = -(y @ self.u) + 1j * (y @ self.v)
        return np.asarray(np.angle(np.linalg.eigvals(companion)))

    def _newton(self, points: Array, t: Array) -> Array:
        """The Newton step for (x(t) - p) · x'(t) = 0; zero where the distance is not convex."""
        y, v = self.at(t) - points, self.velocity(t)
        curvature = (v * v).sum(axis=1) - (y * (self.at(t) - self.center)).sum(axis=1)
        return np.asarray((y * v).sum(axis=1) / np.where(curvature > 0.0, curvature, np.inf))

    def _apart(self, points: Array, t: Array) -> Array:
        return np.asarray(np.linalg.norm(self.at(t) - points, axis=1))

    def height(self, x: Array) -> Array:
        (ux, uy), (vx, vy) = self.u, self.v
        width, start = math.hypot(ux, vx), math.atan2(vx, ux)
        c = np.clip((x - self.center[0]) / width, -1.0, 1.0)
        side = math.copysign(1.0, math.sin(0.5 * (self.first + self.last) - start))
        s = side * np.sqrt((1.0 - c) * (1.0 + c))
        return np.asarray(self.center[1] + ((ux * uy + vx * vy) * c + (ux * vy - uy * vx) * s) / width)

    def roots(self, conic: Conic) -> Array:
        """With z = e^{it}, x = center + w z + w̄/z, w = (u - iv)/2, a root of z² q(x), of degree 4, on |z| = 1."""
        M, b = conic.matrix, np.asarray(conic.linear)
        w, p = 0.5 * (np.asarray(self.u) - 1j * np.asarray(self.v)), np.subtract(self.center, conic.origin)
        second, first = w @ M @ w, 2.0 * (p @ M @ w) + b @ w
        middle = 2.0 * (w.conj() @ M @ w) + p @ M @ p + b @ p + conic.constant
        z = np.roots([second, first, middle, np.conj(first), np.conj(second)])
        low, high = min(self.span), max(self.span)
        t = low + (np.angle(z[np.abs(np.abs(z) - 1.0) < ON_CIRCLE]) - low) % (2.0 * math.pi)
        return np.asarray(t[(t > low) & (t < high)])
