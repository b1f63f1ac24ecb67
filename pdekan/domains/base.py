"""What every domain offers: points to train and to measure on, named boundary pieces, and where its inside is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pdekan.domains.quadrature import Array, Quadrature
from pdekan.fields.jets import TIME, Jet


class DomainError(ValueError):
    """A domain that does not exist as stated, or something that it does not offer; the message says what, and what to try."""


class Domain(ABC):
    """An open, bounded set with a piecewise smooth boundary whose pieces have names.

    coordinates: their names in the order of the points' columns; `t` is time. lower, upper: the box around the domain, in
    their units. vector: the name under which all coordinates form one field with components, or None.
    """

    coordinates: tuple[str, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    vector: str | None

    @property
    def dimension(self) -> int:
        """How many coordinates there are, time included."""
        return len(self.coordinates)

    @property
    def type_name(self) -> str:
        """The name of its type in messages: that in problem files, where there is one."""
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
        """The part of the box around it that the domain fills."""
        return self.measure / float(np.prod(np.subtract(self.upper, self.lower)))

    @property
    @abstractmethod
    def faces(self) -> tuple[str, ...]:
        """Names of all boundary pieces, those of time included."""

    def resolve(self, on: str) -> tuple[str, ...]:
        """The boundary pieces that a name stands for.

        "boundary" is all of them but those of time; the part of a name before a dot is all pieces whose names begin with it.
        Raises DomainError for a name that is none.
        """
        if on == "boundary":
            return tuple(face for face in self.faces if face[:-1] != TIME)
        found = tuple(face for face in self.faces if face == on or face.startswith(on + "."))
        if not found:
            names = ", ".join(self.faces[:40]) + (", …" if len(self.faces) > 40 else "")
            raise DomainError(f"no face {on!r}; the faces are {names}, and boundary for all but time's")
        return found

    @abstractmethod
    def interior(self, cells: int, order: int, count: int, seed: int) -> Quadrature:
        """A rule with about `cells` × `order` points along each axis; in many dimensions, at least `count` random points."""

    @abstractmethod
    def face(self, name: str, cells: int, order: int, count: int, seed: int) -> Quadrature:
        """The same on one boundary piece, with its outward normals. Raises DomainError for a name that is none."""

    @abstractmethod
    def distance(self, points: Array) -> Array:
        """Distance ``(n,)`` from points ``(n, d)`` to the boundary, negative outside; of time's ends too."""

    def contains(self, points: Array) -> NDArray[np.bool_]:
        """Which of the points ``(n, d)`` are inside or, but for round-off, on the boundary."""
        return np.asarray(self.distance(points) >= -1e-9 * self.size)

    def level(self, name: str, position: Sequence[Jet]) -> Jet:
        """A smooth function of the coordinates that vanishes on a boundary piece, positive inside, of slope one there.

        Raises DomainError where no such function is known.
        """
        raise DomainError(f"no smooth function is known that vanishes on {name} alone; enforce its condition weakly")
