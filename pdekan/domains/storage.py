"""Domains as plain data, from which they are made again: numbers, texts, lists and dictionaries, as JSON has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from pdekan.domains.base import Domain, DomainError
from pdekan.domains.registry import classes


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
