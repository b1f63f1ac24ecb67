"""Domains: quadrature rules, named boundary pieces, distance to the boundary."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pdekan.domains.quadrature import Array, Quadrature
from pdekan.fields.jets import TIME, Jet


class DomainError(ValueError):
    """A domain that does not exist, or an operation that it does not have; the message names the cause and a remedy."""


class Domain(ABC):
    """An open, bounded set whose boundary consists of smooth pieces with names.

    coordinates: names in the order of the points' columns; `t` is time. lower, upper: the bounding box. vector: the name of
    the vector of all coordinates in formulas, or None.
    """

    coordinates: tuple[str, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    vector: str | None = None

    @property
    def dimension(self) -> int:
        """The number of coordinates, time included."""
        return len(self.coordinates)

    @property
    def type_name(self) -> str:
        """The name of the domain's type in messages: the one in problem files, if there is one."""
        return type(self).__name__.lower()

    @property
    def size(self) -> float:
        """The longest side of the bounding box, time included."""
        return max(b - a for a, b in zip(self.lower, self.upper, strict=True))

    @property
    @abstractmethod
    def measure(self) -> float:
        """Length, area or volume |Ω|, in the units of the coordinates."""

    @property
    def filling(self) -> float:
        """|Ω| divided by the measure of the bounding box."""
        return self.measure / float(np.prod(np.subtract(self.upper, self.lower)))

    @property
    def corners(self) -> Array:
        """Points ``(m, d)`` at which faces meet or bend, maybe repeated; none by default, as of solids."""
        return np.empty((0, self.dimension))

    @property
    @abstractmethod
    def faces(self) -> tuple[str, ...]:
        """Names of all boundary pieces (faces), time included."""

    @cached_property
    def _named(self) -> dict[str, tuple[str, ...]]:
        """The faces by their names, and by the parts of them before a dot."""
        named: dict[str, list[str]] = {}
        for face in self.faces:
            parts = face.split(".")
            for k in range(len(parts)):
                named.setdefault(".".join(parts[: k + 1]), []).append(face)
        return {name: tuple(faces) for name, faces in named.items()}

    def resolve(self, on: str) -> tuple[str, ...]:
        """The faces that a name stands for.

        "boundary" stands for all faces except those of time, and a prefix up to a dot for all faces with that prefix.
        Raises DomainError for an unknown name.
        """
        if on == "boundary":
            return tuple(face for face in self.faces if face[:-1] != TIME)
        found = self._named.get(on, ())
        if not found:
            names = ", ".join(self.faces[:40]) + (", …" if len(self.faces) > 40 else "")
            time = "" if on[:-1] != TIME else f"; time is the coordinate called {TIME}, which is not here"
            raise DomainError(f"no face {on!r}; the faces are {names}, and boundary for all but time's{time}")
        return found

    def single(self, name: str) -> str:
        """The only face that a name stands for. Raises DomainError for an unknown name, and for one of several faces."""
        found = self.resolve(name)
        if len(found) > 1:
            raise DomainError(f"{name} is {len(found)} faces: {', '.join(found)}; one is needed")
        return found[0]

    @abstractmethod
    def interior(self, cells: int, order: int, count: int, seed: int) -> Quadrature:
        """A rule with about `cells` × `order` points along each axis; in many dimensions at least `count` random points."""

    @abstractmethod
    def face(self, name: str, cells: int, order: int, count: int, seed: int) -> Quadrature:
        """The same on one face, with outward normals. Raises DomainError for an unknown name."""

    @abstractmethod
    def distance(self, points: Array) -> Array:
        """Distance ``(n,)`` from points ``(n, d)`` to the boundary, faces of time included; negative outside."""

    def contains(self, points: Array) -> NDArray[np.bool_]:
        """Which points ``(n, d)`` are inside or, up to round-off, on the boundary."""
        return np.asarray(self.distance(points) >= -1e-9 * self.size)

    def level(self, name: str, position: Sequence[Jet]) -> Jet:
        """A smooth function of the coordinates: zero on a face, positive inside, with normal derivative of size one there.

        Raises DomainError if no such function is known.
        """
        raise DomainError(f"no smooth function is known that vanishes on {name} alone; enforce its condition weakly")


def product_distance(across: Array, along: Array) -> Array:
    """The distance ``(n,)`` to the boundary of a product of two sets, from those to the boundaries of the two."""
    outside = np.hypot(np.minimum(across, 0.0), np.minimum(along, 0.0))
    return np.asarray(np.where(outside > 0.0, -outside, np.minimum(across, along)))
