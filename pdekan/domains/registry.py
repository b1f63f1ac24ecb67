"""The types of domains: what problem files call them, the functions that make them, and domains as plain data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, get_args, get_type_hints

import numpy as np

from pdekan.domains.ball import ball
from pdekan.domains.base import Domain, DomainError
from pdekan.domains.box import box
from pdekan.domains.combinations import difference, intersection, union
from pdekan.domains.cylinder import Cylinder
from pdekan.domains.mesh_file import mesh
from pdekan.domains.moving import Moving
from pdekan.domains.shapes import Rectangle, annulus, disk, ellipse, polygon
from pdekan.domains.solids import cylinder, half_space, torus

Factory = Callable[..., Domain]
# A name here is a `type` of [domain] in a problem file. The parameters of its function are the keys, the annotated return type
# is the class that is stored.
DOMAINS: dict[str, Factory] = {
    "box": box, "disk": disk, "annulus": annulus, "ellipse": ellipse, "ball": ball, "polygon": polygon,
    "cylinder": cylinder, "torus": torus, "half_space": half_space,
    "union": union, "intersection": intersection, "difference": difference, "mesh": mesh,
}  # fmt: skip


def classes() -> dict[str, type[Domain]]:
    """The classes of all domains by the names under which they are stored."""
    hints = [one if isinstance(one, type) else get_type_hints(one)["return"] for one in DOMAINS.values()]
    made = [one for hint in hints for one in get_args(hint) or (hint,)]
    return {one.__name__.lower(): one for one in (*made, Rectangle, Cylinder, Moving)}


def stored(domain: Domain) -> dict[str, Any]:
    """The name of a domain's class and the fields that it is made from. Raises DomainError for a class not in the registry."""
    name, known = type(domain).__name__.lower(), classes()
    if known.get(name) is not type(domain):
        raise DomainError(f"a {type(domain).__name__} cannot be stored; known are {', '.join(known)}")
    return {"type": name, **{key: _plain(getattr(domain, key)) for key in _fields(type(domain))}}


def restored(data: Mapping[str, Any]) -> Domain:
    """The domain that was stored. Raises DomainError for data of no known class, and as the class does."""
    name, known = data.get("type"), classes()
    values = {key: _value(value) for key, value in data.items() if key != "type"}
    if name not in known:
        raise DomainError(f"no domain is of type {name!r}; known are {', '.join(known)}")
    expected = _fields(known[name])
    if set(values) != set(expected):
        raise DomainError(f"a {name} has {', '.join(sorted(expected))}; found {', '.join(sorted(values))}")
    return known[name](**values)


def _fields(kind: Any) -> list[str]:
    return [one.name for one in fields(kind) if one.init]


def _plain(value: Any) -> Any:
    if isinstance(value, Domain):
        return stored(value)
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _value(value: Any) -> Any:
    if isinstance(value, Mapping):
        is_domain = isinstance(value.get("type"), str)
        return restored(value) if is_domain else {key: _value(item) for key, item in value.items()}
    return tuple(_value(item) for item in value) if isinstance(value, list) else value
