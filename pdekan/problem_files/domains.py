"""Domains of problem files: their tables, and the objects made from them."""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self, Union

import numpy as np
import torch
from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    create_model,
    model_validator,
)

from pdekan.domains import box
from pdekan.domains.base import Domain, DomainError
from pdekan.domains.cylinder import Cylinder
from pdekan.domains.moving import Moving, series
from pdekan.domains.quadrature import Array
from pdekan.domains.registry import DOMAINS, Factory
from pdekan.fields.jets import TIME, Derivatives, Frame
from pdekan.problem_files.folder import Folder
from pdekan.problem_files.parser import Scope, number, parse
from pdekan.problem_files.tables import ANY_DOMAIN, Table, fields, refusal, refusing, summary

MAX_DIMENSION = 100
BOX = "box"


def check_name(name: str) -> str:
    """The name, if it may name a coordinate, a parameter, a function or an unknown. Raises ValueError otherwise."""
    if not (name.isascii() and name.isidentifier() and name[0].isalpha() and len(name) <= 50):
        raise refusal(f"{name[:60]!r} is no name: letters, digits and _ are allowed, a letter first, at most 50 in all")
    if keyword.iskeyword(name):
        raise refusal(f"{name!r} is a word of Python's grammar and cannot be a name; try {name[:3]!r}")
    return name


def _interval(ends: list[float]) -> list[float]:
    if len(ends) != 2 or not ends[0] < ends[1]:
        raise refusal(f"found {ends!r}; an interval is [lower, upper], the first below the second")
    return ends


def _number(value: Any) -> Any:
    """A formula of numbers may stand where a number may."""
    return refusing(number)(value) if isinstance(value, str) else value


Name = Annotated[str, AfterValidator(check_name)]
NUMBER = {"anyOf": [{"type": "number"}, {"type": "string", "minLength": 1, "description": "a formula of numbers, as 2*pi"}]}
Number = Annotated[float, BeforeValidator(_number), WithJsonSchema(NUMBER)]
Interval = Annotated[
    list[Number],
    AfterValidator(_interval),
    WithJsonSchema({"type": "array", "items": NUMBER, "minItems": 2, "maxItems": 2}),
]
Interfaces = Annotated[
    dict[Name, ANY_DOMAIN],  # type: ignore[valid-type]
    Field(max_length=20, description="shapes whose boundaries are interfaces"),
]


class Motion(Table):
    """How a domain moves: its points are shift + scale times those of the shape that is stated."""

    shift: list[Annotated[str, Field(min_length=1, max_length=1000)]] | None = Field(
        default=None, description="a formula of t for each coordinate; without, none"
    )
    scale: str = Field(default="1", min_length=1, max_length=1000, description="a formula of t")


class Box(Table):
    """An interval for each coordinate in file order, or a dimension and the bounds of all; t is time."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)
    __pydantic_extra__: dict[str, Interval]

    type: Literal["box"]
    dimension: int | None = Field(default=None, ge=1, le=MAX_DIMENSION)
    bounds: Interval | None = None
    interfaces: Interfaces = Field(default={})
    motion: Motion | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        intervals = self.intervals
        if (self.dimension is None) != (self.bounds is None):
            raise refusal("dimension and bounds go together: dimension = 10, bounds = [0.0, 1.0]")
        if (self.dimension is None) == (not intervals):
            raise refusal("a box needs either intervals such as x = [0.0, 1.0], or dimension and bounds")
        if len(intervals) > MAX_DIMENSION:
            raise refusal(f"{len(intervals)} coordinates; at most {MAX_DIMENSION} are allowed")
        return self

    @property
    def intervals(self) -> dict[str, list[float]]:
        """Coordinates and their intervals in file order."""
        return self.__pydantic_extra__ or {}

    def built(self) -> Domain:
        """The box. Raises DomainError."""
        if self.dimension is not None and self.bounds is not None:
            return box.hypercube(self.dimension, *self.bounds)
        intervals = dict(self.intervals)
        time = intervals.pop(TIME, None) if self.motion is not None else None
        lower, upper = zip(*intervals.values(), strict=True)
        return moving(box.Box(tuple(intervals), lower, upper), time, self.motion)


class Shape(Table):
    """The keys that all domains but boxes have in common; those of a type are the parameters of the function that makes it."""

    t: Interval | None = Field(default=None, description="an interval of time: the domain is the shape at all of its times")
    interfaces: Interfaces = Field(default={})
    motion: Motion | None = None


def moving(base: Domain, time: list[float] | None, motion: Motion | None) -> Domain:
    """The domain, in an interval of time if there is one, and as it moves then. Raises DomainError, ExpressionError."""
    if motion is None:
        return base if time is None else Cylinder(base, *time)
    if time is None:
        raise DomainError(f"a domain that moves needs an interval of time, {TIME} = [0.0, 1.0]")
    shift = ["0"] * base.dimension if motion.shift is None else motion.shift
    found = [
        _series(text, what, *time)
        for text, what in [*((one, f"shift {one!r}") for one in shift), (motion.scale, f"scale {motion.scale!r}")]
    ]
    return Moving(base, time[0], time[1], tuple(found[:-1]), found[-1], (time[0], time[1]))


def _series(text: str, what: str, start: float, end: float) -> tuple[float, ...]:
    formula = parse(text, Scope((TIME,), None, (), {}))

    def values(t: Array) -> Array:
        at = Frame((TIME,), Derivatives.VALUE).coordinate(torch.as_tensor(t)[:, None], 0)
        return np.asarray(formula({TIME: at}).value)

    return series(values, start, end, what)


def tables() -> dict[str, type[Table]]:
    """The tables of all registered domains by their tags, which pydantic puts among the parts of a place."""
    return _derived(tuple(DOMAINS.items()))[0]


def any_domain() -> Any:
    """The type of a table of any registered domain."""
    return _derived(tuple(DOMAINS.items()))[1]


@cache
def _derived(factories: tuple[tuple[str, Factory], ...]) -> tuple[dict[str, type[Table]], Any]:
    models = {f"[{name}]": _table(name, factory) for name, factory in factories}
    union: Any = Union[tuple(Annotated[model, Tag(tag)] for tag, model in models.items())]  # noqa: UP007
    tagged = Annotated[
        union,
        Discriminator(lambda value: f"[{_type(value)}]" if f"[{_type(value)}]" in models else f"[{BOX}]"),
        BeforeValidator(_known),
    ]
    for model in models.values():
        model.model_rebuild(_types_namespace={ANY_DOMAIN.__forward_arg__: tagged})
    return models, tagged


def _table(name: str, factory: Factory) -> type[Table]:
    if name == BOX:
        return create_model("Box", __base__=Box, __doc__=Box.__doc__)
    keys = {"type": (Literal[name], ...), **fields(factory)}
    return create_model(name.capitalize(), __base__=Shape, __doc__=summary(factory), **keys)


def _type(value: Any) -> Any:
    return value.get("type") if isinstance(value, dict) else None


def _known(value: Any) -> Any:
    name = _type(value)
    if isinstance(name, str) and name not in DOMAINS:
        raise refusal(f"type {name[:40]!r} is unknown; the types are {', '.join(DOMAINS)}")
    return {"type": BOX, **value} if isinstance(value, dict) and list(value) == [TIME] else value  # time alone needs no type


def built(table: Any, folder: Folder) -> Domain:
    """The domain of a table; paths are relative to the folder. Raises DomainError, and ProblemError as `Folder.file`."""
    if isinstance(table, Box):
        return table.built()
    keys = {key: _argument(value, folder) for key, value in table if key != "type" and key not in Shape.model_fields}
    return moving(_called(DOMAINS[table.type], keys), table.t, table.motion)


def _argument(value: Any, folder: Folder) -> Any:
    if isinstance(value, Table):
        return built(value, folder)
    if isinstance(value, Path):
        return folder.file(value)
    return [_argument(item, folder) for item in value] if isinstance(value, list) else value


def _called(factory: Callable[..., Domain], keys: dict[str, Any]) -> Domain:
    parameters = inspect.signature(factory).parameters.values()
    several = [item for one in parameters if one.kind is one.VAR_POSITIONAL for item in keys.pop(one.name)]
    return factory(*several, **keys)
