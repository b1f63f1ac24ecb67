"""Domains from the tables of a problem file."""

from __future__ import annotations

from pathlib import Path

from pdekan.domains import combinations, shapes
from pdekan.domains.ball import ball
from pdekan.domains.base import Domain
from pdekan.domains.box import Box, hypercube
from pdekan.domains.cylinder import Cylinder
from pdekan.domains.mesh_file import mesh
from pdekan.problem_files import domain_schema as schema

COMBINE = {
    "union": combinations.union,
    "intersection": combinations.intersection,
    "difference": combinations.difference,
}


def built(table: schema.Domain, folder: Path) -> Domain:
    """The domain that a table describes; files are looked for in a folder. Raises DomainError for one that does not exist."""
    if isinstance(table, schema.Box):
        if table.dimension is not None and table.bounds is not None:
            return hypercube(table.dimension, *table.bounds)
        lower, upper = zip(*table.intervals.values(), strict=True)
        return Box(tuple(table.intervals), lower, upper)
    base = _shape(table, folder)
    return base if table.t is None else Cylinder(base, *table.t)


def _shape(table: schema.Shape, folder: Path) -> Domain:
    match table:
        case schema.Disk(center=center, radius=radius):
            return shapes.disk(center, radius)
        case schema.Annulus(center=center, inner_radius=inner, outer_radius=outer):
            return shapes.annulus(center, inner, outer)
        case schema.Ellipse(center=center, radii=radii, angle=angle):
            return shapes.ellipse(center, radii, angle)
        case schema.Ball(center=center, radius=radius):
            return ball(center, radius)
        case schema.Polygon(vertices=vertices, holes=holes):
            return shapes.polygon(vertices, holes)
        case schema.Combination(type=kind, parts=parts):
            return COMBINE[kind](*(built(part, folder) for part in parts))
        case schema.Mesh(file=file):
            return mesh(folder / file)
    raise AssertionError(table)
