"""Sections of a domain: space at one time, and lines along a coordinate of a box."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from pdekan.domains.base import Domain, DomainError
from pdekan.domains.box import Box
from pdekan.domains.cylinder import Cylinder
from pdekan.domains.quadrature import Quadrature, gauss
from pdekan.fields.jets import TIME


def space(domain: Domain) -> Domain:
    """The domain at one time; itself without time, and where time is the only coordinate."""
    if isinstance(domain, Cylinder):
        return domain.base
    if isinstance(domain, Box) and TIME in domain.coordinates and domain.dimension > 1:
        kept = [k for k, name in enumerate(domain.coordinates) if name != TIME]
        lower, upper = (tuple(ends[k] for k in kept) for ends in (domain.lower, domain.upper))
        return replace(domain, coordinates=tuple(domain.coordinates[k] for k in kept), lower=lower, upper=upper)
    return domain


def at(domain: Domain, section: Quadrature, names: tuple[str, ...], held: Mapping[str, float]) -> Quadrature:
    """A rule in some coordinates as one in all of a domain's, the others having given values, or those in the middle."""
    middle = 0.5 * (np.array(domain.lower) + np.array(domain.upper))
    points = np.empty((len(section.points), domain.dimension))
    normals = None if section.normals is None else np.zeros_like(points)
    for k, name in enumerate(domain.coordinates):
        points[:, k] = section.points[:, names.index(name)] if name in names else held.get(name, middle[k])
        if normals is not None and section.normals is not None and name in names:
            normals[:, k] = section.normals[:, names.index(name)]
    return Quadrature(points, section.weights, normals)


def line(domain: Domain, name: str, cells: int, order: int) -> Quadrature:
    """A rule ``(n, 1)`` along a coordinate. Raises DomainError where the others decide how far it runs."""
    if name != TIME and not isinstance(space(domain), Box):
        raise DomainError(f"an integral over {name} needs a box, in which its interval is the same everywhere")
    k = domain.coordinates.index(name)
    x, weights = gauss(domain.lower[k], domain.upper[k], cells, order)
    return Quadrature(x[:, None], weights)
