"""Corners of planar domains at which solutions are singular, and cells graded towards them.

At a vertex of interior angle ω the solution of Laplace's equation, and of others of second order with it as principal part,
behaves like r^λ with λ = π/ω for equal conditions on both sides (Grisvard, Elliptic Problems in Nonsmooth Domains (1985),
section 2.4). Geometric grading makes the error exponentially small in the number of layers (Guo and Babuška, Comput. Mech. 1
(1986) 21-41).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pdekan.domains.base import Domain
from pdekan.domains.partition import Partition
from pdekan.domains.pieces import SMALLEST
from pdekan.domains.planar import SAME, Planar
from pdekan.domains.quadrature import Array

REENTRANT = 1.001 * math.pi  # interior angles above it


@dataclass(frozen=True)
class Corner:
    """A vertex with its interior angle, from the side that leaves it, at direction `first`, counterclockwise to the one before.

    sides: the names of the faces on both sides of it, the one that leaves it first.
    """

    point: tuple[float, float]
    angle: float
    first: float
    sides: tuple[str, str]

    @property
    def exponent(self) -> float:
        """λ = π/ω."""
        return math.pi / self.angle


def vertices(domain: Domain) -> list[Corner]:
    """The points where arcs of a planar domain's boundary meet; none for other domains."""
    if not isinstance(domain, Planar):
        return []
    starts, ends = zip(*(_ends(domain, k) for k in range(len(domain.arcs))), strict=True)
    near = _near(np.array([end for end, _ in ends]), np.array([start for start, _ in starts]), SAME * domain.size)
    found = []
    for before, (point, arriving), places in zip(domain.arcs, ends, near, strict=True):
        meeting = []
        for after, (_, leaving) in ((domain.arcs[k], starts[k]) for k in places):
            cross = arriving[0] * leaving[1] - arriving[1] * leaving[0]
            angle = math.pi - math.atan2(cross, float(arriving @ leaving))  # the inside is on the left
            sides = (after.name, before.name)
            meeting.append(Corner((float(point[0]), float(point[1])), angle, math.atan2(leaving[1], leaving[0]), sides))
        sharpest = min((one for one in meeting if one.angle > SAME), key=lambda one: one.angle, default=None)
        found += [] if sharpest is None else [sharpest]  # where a slit meets the boundary several arcs begin
    return found


def _near(points: Array, others: Array, radius: float) -> list[NDArray[np.intp]]:
    """The indices of the others ``(m, 2)`` within a radius of each point ``(n, 2)``; a tree takes longer to be imported."""
    order = np.argsort(others[:, 0], kind="stable")
    x = others[order, 0]
    first, last = np.searchsorted(x, points[:, 0] - radius), np.searchsorted(x, points[:, 0] + radius, "right")
    places = (np.sort(order[a:b]) for a, b in zip(first, last, strict=True))
    return [k[np.linalg.norm(others[k] - point, axis=1) <= radius] for point, k in zip(points, places, strict=True)]


def corners(domain: Domain) -> list[Corner]:
    """The re-entrant corners of a domain; none for other domains than planar ones."""
    return [one for one in vertices(domain) if one.angle > REENTRANT]


def _ends(domain: Planar, k: int) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """The start of an arc with its direction there, and the end with that."""
    arc = domain.arcs[k]
    first, last = arc.span
    t = np.array([first, last])
    directions = arc.velocity(t) * np.sign(last - first)
    directions = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    points = arc.at(t)
    return (points[0], directions[0]), (points[1], directions[1])


def graded(partition: Partition, domain: Domain, goal: float, most: int) -> Partition:
    """The partition, cut towards the corners of a domain until r^λ is `goal` where r is the width of the last cells.

    r: relative to the size of the domain. most: cells. The cells that touch a corner are cut in quarters again and again.
    """
    for corner in corners(domain):
        point, least = np.array(corner.point), domain.size * max(SMALLEST, goal ** (1.0 / corner.exponent))
        while True:
            low, high = partition.cells
            near = SAME * least
            touching = ((low <= point + near) & (point - near <= high)).all(axis=1)
            wide = touching & ((high - low).max(axis=1) > least)
            if not wide.any():
                break
            finer, _ = partition.refined({int(cell): (0, 1) for cell in np.flatnonzero(wide)})
            if finer.count > most:
                return partition
            partition = finer
    return partition
