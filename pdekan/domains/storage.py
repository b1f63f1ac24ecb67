"""Domains as plain data, from which they are made again: numbers, texts, lists and dictionaries, as JSON has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from pdekan.domains.ball import Ball
from pdekan.domains.base import Domain, DomainError
from pdekan.domains.box import Box
from pdekan.domains.combinations import Combination
from pdekan.domains.cylinder import Cylinder
from pdekan.domains.mesh import Mesh
from pdekan.domains.shapes import Annulus, Ellipse, Polygon, Rectangle

KINDS: dict[str, Any] = {
    kind.__name__.lower(): kind for kind in (Box, Ellipse, Annulus, Polygon, Rectangle, Combination, Ball, Mesh, Cylinder)
}


def stored(domain: Domain) -> dict[str, Any]:
    """The kind of a domain and what it was made from; a mesh's arrays in full. Raises DomainError for a kind of one's own."""
    name = type(domain).__name__.lower()
    if KINDS.get(name) is not type(domain):
        raise DomainError(f"a {type(domain).__name__} cannot be stored; known are {', '.join(KINDS)}")
    made_from = (item.name for item in fields(KINDS[name]) if item.init)
    return {"type": name, **{key: _plain(getattr(domain, key)) for key in made_from}}


def restored(data: Mapping[str, Any]) -> Domain:
    """The domain that was stored. Raises DomainError for data that are none, and whatever the domain's kind refuses."""
    name, rest = data.get("type"), {key: _made(value) for key, value in data.items() if key != "type"}
    if name not in KINDS:
        raise DomainError(f"no domain is of type {name!r}; known are {', '.join(KINDS)}")
    expected = {item.name for item in fields(KINDS[name]) if item.init}
    if set(rest) != expected:
        raise DomainError(f"a {name} has {', '.join(sorted(expected))}; found {', '.join(sorted(rest))}")
    if name == "mesh":
        rest["points"], rest["cells"] = np.array(rest["points"], dtype=float), np.array(rest["cells"], dtype=np.int64)
        rest["groups"] = {key: np.array(facets, dtype=np.int64) for key, facets in rest["groups"].items()}
    domain: Domain = KINDS[name](**rest)
    return domain


def _plain(value: Any) -> Any:
    if isinstance(value, Domain):
        return stored(value)
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _made(value: Any) -> Any:
    if isinstance(value, Mapping):
        return restored(value) if "type" in value else {key: _made(item) for key, item in value.items()}
    return tuple(_made(item) for item in value) if isinstance(value, list) else value
