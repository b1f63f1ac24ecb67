"""Domains from the tables of a problem file."""

from __future__ import annotations

from pathlib import Path

from pdekan import problem_schema as schema
from pdekan.domains.base import Domain, DomainError
from pdekan.domains.box import Box, hypercube


def built(table: schema.Box | schema.Shape, folder: Path) -> Domain:
    """The domain that a table describes; files are looked for in a folder. Raises DomainError for one that does not exist."""
    if isinstance(table, schema.Box):
        if table.dimension is not None and table.bounds is not None:
            return hypercube(table.dimension, *table.bounds)
        lower, upper = zip(*table.intervals.values(), strict=True)
        return Box(tuple(table.intervals), lower, upper)
    raise DomainError("not yet")
