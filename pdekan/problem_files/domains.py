"""Domains of problem files: their tables, and the objects made from them."""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self, Union

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
from pdekan.domains.base import Domain
from pdekan.domains.cylinder import Cylinder
from pdekan.domains.registry import DOMAINS, Factory
from pdekan.fields.jets import TIME
from pdekan.problem_files.folder import Folder
from pdekan.problem_files.parser import number
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


class Box(Table):
    """An interval for each coordinate in file order, or a dimension and the bounds of all; t is time."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)
    __pydantic_extra__: dict[str, Interval]

    type: Literal["box"]
    dimension: int | None = Field(default=None, ge=1, le=MAX_DIMENSION)
    bounds: Interval | None = None
    interfaces: Interfaces = Field(default={})

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
        lower, upper = zip(*self.intervals.values(), strict=True)
        return box.Box(tuple(self.intervals), lower, upper)


class Shape(Table):
    """The keys that all domains but boxes have in common; those of a type are the parameters of the function that makes it."""

    t: Interval | None = Field(default=None, description="an interval of time: the domain is the shape at all of its times")
    interfaces: Interfaces = Field(default={})


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
    base = _called(DOMAINS[table.type], keys)
    return base if table.t is None else Cylinder(base, *table.t)


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
