"""Tables of problem files: pydantic models derived from the signatures of functions and dataclasses.

A key is declared once, as a parameter of the function or a field of the dataclass that is made from the table: name, type,
default, and by `Annotated` limits (annotated_types), checks (functions that raise ValueError) and a description (text).
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Sequence
from dataclasses import is_dataclass
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, ForwardRef, Union, get_args, get_origin, get_type_hints

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    Tag,
    TypeAdapter,
    WithJsonSchema,
    create_model,
)
from pydantic_core import CoreSchema, PydanticCustomError

from pdekan.domains.base import Domain
from pdekan.domains.validation import STATED

NUMBER = "[number]"  # the tag of a number where a table may stand too
ANY_DOMAIN = ForwardRef("AnyDomain")
_ANNOTATED: Any = Annotated  # subscripted with values, which type checkers do not follow
_UNION: Any = Union
_LIST: Any = list


def refusal(message: str) -> PydanticCustomError:
    """A validation error with this message."""
    return PydanticCustomError("refused", "{message}", {"message": message})


def refusing(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The function as a validator: the message of a ValueError is that of the validation error."""

    def validator(value: Any) -> Any:
        """The function, with a refusal in place of a ValueError."""
        try:
            return function(value)
        except ValueError as error:
            raise refusal(str(error)) from error

    return validator


class Table(BaseModel):
    """A table of the file: unknown keys, coercions and non-finite numbers are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


@cache
def table_of(declared: Callable[..., Any]) -> type[Table]:
    """The model of the parameters of a function or a dataclass."""
    return create_model(declared.__name__, __base__=Table, __doc__=summary(declared), **fields(declared))


def summary(declared: Callable[..., Any]) -> str:
    """The first paragraph of a docstring, which describes the table in the JSON schema."""
    return " ".join((inspect.getdoc(declared) or "").split("\n\n")[0].split())


def fields(declared: Callable[..., Any]) -> dict[str, Any]:
    """Types and defaults of a model by key. Coordinates have their default names in files."""
    hints, parameters = get_type_hints(declared, include_extras=True), inspect.signature(declared).parameters
    return {key: _field(hints[key], one) for key, one in parameters.items() if key != "coordinates"}


def _field(hint: Any, parameter: inspect.Parameter) -> tuple[Any, Any]:
    metadata = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    if parameter.kind is parameter.VAR_POSITIONAL:  # its limits are those of the number of arguments
        hint = _ANNOTATED[(_LIST[_bare(hint)], *(metadata or (None,)))]
    required = parameter.default is parameter.empty or STATED in metadata
    description = next((one for one in metadata if isinstance(one, str)), None)
    return as_read(hint), Field(default=... if required else parameter.default, description=description)


class FromAnnotation:
    """Metadata of an annotation that is validated as `as_read` translates it."""

    def __get_pydantic_core_schema__(self, hint: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return handler(as_read(hint))


def as_read(hint: Any) -> Any:
    """An annotation as pydantic validates what TOML holds: sequences are lists, dataclasses are tables that become objects."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        checks = (AfterValidator(refusing(one)) if inspect.isfunction(one) else one for one in parts[1:])
        return _ANNOTATED[(as_read(parts[0]), *checks)]
    if origin in (list, Sequence):
        return _LIST[as_read(parts[0])]
    if origin in (Union, UnionType):
        return _choice(parts)
    if hint is Domain:
        return ANY_DOMAIN
    if isinstance(hint, type) and is_dataclass(hint):
        return _ANNOTATED[table_of(hint), AfterValidator(refusing(lambda one: hint(**vars(one))))]
    return hint


def _choice(members: Sequence[Any]) -> Any:
    """A union: of text and a path, of a number and a list of them or a table, in this order, or of any types."""
    first, second = (*(one for one in members if one is not NoneType), None)[:2]
    kind = get_origin(_bare(second)) or second
    if kind is os.PathLike:
        return _ANNOTATED[as_read(first), AfterValidator(lambda text: Path(text))]
    if kind is Sequence:
        return _one_or_list(as_read(first), as_read(second))
    if isinstance(kind, type) and (is_dataclass(kind) or issubclass(kind, Table)):
        return _number_or_table(as_read(first), as_read(second), f"[{kind.__name__}]")
    return _UNION[tuple(as_read(one) for one in members)]


def _bare(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _number_or_table(number: Any, other: Any, tag: str) -> Any:
    """A union for which only the errors of the kind that is there are reported."""
    union = _UNION[_ANNOTATED[number, Tag(NUMBER)], _ANNOTATED[other, Tag(tag)]]
    return _ANNOTATED[union, Discriminator(lambda value: tag if isinstance(value, dict) else NUMBER)]


def _one_or_list(single: Any, several: Any) -> Any:
    """An optional list in whose place one of its items may stand, which it is kept as."""
    item = TypeAdapter(single).json_schema()
    schema = WithJsonSchema({"anyOf": [item, {"type": "array", "items": item, "minItems": 1}]})
    unpacked = AfterValidator(lambda values: values[0] if values is not None and len(values) == 1 else values)
    return _ANNOTATED[_UNION[several, None], BeforeValidator(_listed), unpacked, schema]


def _listed(value: Any) -> Any:
    """A text or a whole number as a list of it."""
    return [value] if isinstance(value, str | int) and not isinstance(value, bool) else value
