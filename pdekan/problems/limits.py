"""Limits of options: values that are given in Python are checked by the annotations that problem files are checked by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Len, Lt


def check_limits(options: Any) -> None:
    """Raise ValueError for a field of a dataclass that its annotation does not allow: what was given, and what is allowed."""
    hints = get_type_hints(type(options), include_extras=True)
    for one in fields(options):
        value = getattr(options, one.name)
        fault = _fault(hints[one.name], value)
        if fault is not None:
            raise ValueError(f"{type(options).__name__}: {one.name} = {value!r}; {fault}")


def _fault(hint: Any, value: Any) -> str | None:
    """What is wrong with a value, in words; None for nothing."""
    kind, arguments = get_origin(hint), get_args(hint)
    if kind is Annotated:
        return _fault(arguments[0], value) or next((text for one in arguments[1:] if (text := _beyond(one, value))), None)
    if kind in (Union, UnionType):
        listed = isinstance(value, Sequence)
        faults = [
            _fault(one, value) for one in sorted(arguments, key=lambda one: (one is NoneType, _is_sequence(one) != listed))
        ]
        return None if None in faults else faults[0]
    if kind is Literal:
        return None if value in arguments else f"it must be one of {', '.join(map(str, arguments))}"
    if kind is Sequence:
        if not isinstance(value, Sequence) or isinstance(value, str):
            return "it must be a sequence, such as (10, 10)"
        return next((fault for one in value if (fault := _fault(arguments[0], one))), None)
    if hint is float:
        return None if _is_number(value) else "it must be a number"
    if hint is int:
        return None if _is_number(value) and value == int(value) else "it must be a whole number"
    name = "None" if hint is NoneType else f"a {hint.__name__}"
    return None if isinstance(value, hint) else f"it must be {name}"


def _is_sequence(hint: Any) -> bool:
    bare = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    return get_origin(bare) is Sequence


def _is_number(value: Any) -> bool:
    return not isinstance(value, (bool, str)) and hasattr(value, "__float__") and abs(float(value)) < float("inf")


def _beyond(limit: Any, value: Any) -> str | None:
    """What a limit asks for, where a value is beyond it."""
    if value is None:
        return None
    match limit:
        case Ge(least):
            return None if value >= least else f"it must be at least {least}"
        case Gt(least):
            return None if value > least else f"it must be above {least}"
        case Le(most):
            return None if value <= most else f"it must be at most {most}"
        case Lt(most):
            return None if value < most else f"it must be below {most}"
        case Len(_, int(most)):  # an empty one is a choice in Python: no hidden layer
            return None if len(value) <= most else f"it must have at most {most} entries"
    return None
