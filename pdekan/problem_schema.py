"""The problem file's schema: pydantic models of its tables, free of any mathematics.

Field descriptions end up in the JSON schema. What the format documents but the solver cannot do yet is refused by name.
"""

from __future__ import annotations

import keyword
from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

MAX_DIMENSION = 100
DOMAINS = ("box", "disk", "annulus", "polygon", "union", "intersection", "difference", "mesh")

# why the sizes have caps: an error quotes the line of its key
REASONS = {
    "points": "the Jacobian has a row for each point: a million rows of 500 parameters fill 4 GB",
    "hidden": "a layer's coefficients grow with the product of two widths: 1000 x 1000 edges of 10 fill 80 MB a copy",
    "intervals": "each interval is a parameter of every edge, and the Jacobian has a column for each",
    "refine": "each interval is a parameter of every edge, and the Jacobian has a column for each",
    "dimension": "points carry a gradient and more for every coordinate",
}


def refusal(message: str) -> PydanticCustomError:
    """An error in our own words."""
    return PydanticCustomError("refused", "{message}", {"message": message})


def _not_yet(what: str) -> Callable[[Any], Any]:
    def refuse(_: Any) -> Any:
        raise refusal(f"{what} not supported yet")

    return refuse


def _formula(value: Any) -> Any:
    """A number may stand where a formula may."""
    if isinstance(value, list):
        raise refusal("systems of several formulas are not supported yet; write one formula")
    return repr(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, (str, int)) and not isinstance(value, bool) else value


def check_name(name: str) -> str:
    """The name, if it may name a coordinate, a parameter, a function or an unknown; else an error."""
    if not (name.isascii() and name.isidentifier() and name[0].isalpha() and len(name) <= 50):
        raise refusal(f"{name[:60]!r} is no name: letters, digits and _ are allowed, a letter first, at most 50 in all")
    if keyword.iskeyword(name):
        raise refusal(f"{name!r} is a word of Python's grammar and cannot be a name; try {name[:3]!r}")
    return name


def _printable(text: str) -> str:
    if not text.isprintable():
        raise refusal("control characters and line breaks are not allowed")
    return text


def _whole(value: Any) -> Any:
    # to Python, and so to pydantic, true and 1.0 equal 1
    if type(value) is not int:
        raise refusal("expected the whole number 1")
    return value


def _single(names: list[str]) -> list[str]:
    if len(names) != 1:
        raise refusal(f"found {len(names)} names; exactly one is needed, several are not supported yet")
    return names


def _interval(ends: list[float]) -> list[float]:
    if len(ends) != 2 or not ends[0] < ends[1]:
        raise refusal(f"found {ends!r}; an interval is [lower, upper], the first below the second")
    return ends


def _parameter(value: Any) -> Any:
    if isinstance(value, dict):
        raise refusal(
            "parameters to be found from data ({initial = …, trainable = true}) are not supported yet; write a number"
        )
    return value


_NUMBER = {"type": "number"}
_TEXT = {"type": "string", "minLength": 1, "maxLength": 10_000}
Name = Annotated[str, AfterValidator(check_name)]
Formula = Annotated[str, BeforeValidator(_formula), WithJsonSchema({"anyOf": [_TEXT, _NUMBER]})]
Title = Annotated[str, Field(max_length=500), AfterValidator(_printable)]
Faces = Annotated[
    list[str],
    Field(min_length=1, max_length=2 * MAX_DIMENSION),
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]
Interval = Annotated[
    list[float],
    AfterValidator(_interval),
    WithJsonSchema({"type": "array", "items": _NUMBER, "minItems": 2, "maxItems": 2}),
]
Degree = Annotated[int, Field(ge=1, le=12)]
Intervals = Annotated[int, Field(ge=1, le=1000)]
Layers = Field(default=None, min_length=1, max_length=10)


def _one_or_list(item: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [item, {"type": "array", "items": item, "minItems": 1}]})


class Table(BaseModel):
    """A table of the file: unknown keys, coercions and non-finite numbers are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Domain(Table):
    """A box: an interval for each coordinate in file order, or a dimension and the bounds of all."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)
    __pydantic_extra__: dict[str, Interval]

    type: Literal["box"]
    dimension: int | None = Field(default=None, ge=1, le=MAX_DIMENSION)
    bounds: Interval | None = None

    @model_validator(mode="before")
    @classmethod
    def _known_type(cls, table: Any) -> Any:
        kind = table.get("type") if isinstance(table, dict) else None
        if isinstance(kind, str) and kind != "box":
            known = f"the types are {', '.join(DOMAINS)}"
            raise refusal(f"type {kind[:40]!r} is {'not supported yet; use box' if kind in DOMAINS else f'unknown; {known}'}")
        return table

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


class Equation(Table):
    """operator = source, in the domain."""

    operator: Formula
    source: Formula = Field(default="0", description='a formula, or "manufactured": the operator applied to [exact]')


class Condition(Table):
    """What holds on faces of the domain."""

    type: Literal["dirichlet", "neumann", "robin", "periodic", "initial"]
    on: Faces | None = Field(default=None, description='"boundary", a face such as "x-", or a list of faces')
    value: Formula | None = Field(default=None, description='a formula, or "exact"')
    operator: Formula | None = None
    unknown: Name | None = None
    enforce: Annotated[Literal["weak", "exact"], Field(description="exact: built into the network")] = "weak"

    @model_validator(mode="after")
    def _keys_of_type(self) -> Self:
        if self.enforce == "exact":
            raise refusal('enforce = "exact" is not supported yet; leave it out')
        if self.type == "robin" and self.operator is None:
            raise refusal('a robin condition needs an operator, such as operator = "normal(u) + 2*u"')
        if self.type in ("dirichlet", "neumann", "periodic") and self.operator is not None:
            raise refusal(f"a {self.type} condition has no operator; use robin")
        if self.type == "periodic" and self.value is not None:
            raise refusal("a periodic condition has no value")
        if self.type == "periodic" and (self.on is None or len(self.on) != 2):
            raise refusal('a periodic condition is on two opposite faces: on = ["x-", "x+"]')
        return self


class Nodes(Table):
    """A hidden layer: how many nodes add what comes in, and how many multiply it."""

    sum: int = Field(default=0, ge=0, le=1000)
    product: int = Field(default=0, ge=0, le=1000)

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.sum + self.product < 1:
            raise refusal("a hidden layer needs at least one node")
        return self


# a hidden layer is a number or a table; the tags tell which, and are left out of errors' places
TAGS = ("[nodes]", "[table of nodes]")
Width = Annotated[int, Field(ge=1, le=1000)]
Layer = Annotated[
    Annotated[Width, Tag(TAGS[0])] | Annotated[Nodes, Tag(TAGS[1])],
    Discriminator(lambda value: TAGS[1] if isinstance(value, (dict, Nodes)) else TAGS[0]),
]


class Network(Table):
    """The network that represents the unknown; what is left out is chosen by the solver."""

    kind: Literal["kan", "mlp"] = "kan"
    hidden: list[Layer] | None = Layers
    degree: Annotated[
        list[Degree] | None, BeforeValidator(_listed), _one_or_list({"type": "integer", "minimum": 1, "maximum": 12})
    ] = Layers
    intervals: Annotated[
        list[Intervals] | None,
        BeforeValidator(_listed),
        _one_or_list({"type": "integer", "minimum": 1, "maximum": 1000}),
    ] = Layers
    base: Literal["none", "silu"] = "none"

    @model_validator(mode="after")
    def _kind(self) -> Self:
        if self.kind == "mlp" and any(isinstance(nodes, Nodes) and nodes.product for nodes in self.hidden or []):
            raise refusal("an mlp has no product nodes; write numbers of nodes")
        return self

    @model_validator(mode="after")
    def _lengths(self) -> Self:
        for key in ("degree", "intervals"):
            values = getattr(self, key)
            if self.hidden is not None and values is not None and len(values) not in (1, len(self.hidden) + 1):
                layers = len(self.hidden) + 1
                raise refusal(f"{key} has {len(values)} numbers; write one number, or one for each of the {layers} layers")
        return self


class Weights(Table):
    """Factors of the mean squares in the loss."""

    equation: float = Field(default=1.0, gt=0, le=1e12)
    conditions: float = Field(default=1.0, gt=0, le=1e12)
    data: float = Field(default=1.0, gt=0, le=1e12)


class Training(Table):
    """How the network is trained; what is left out is chosen by the solver."""

    optimizer: Literal["gauss-newton", "matrix-free", "ssbroyden", "lbfgs", "adam"] = "gauss-newton"
    points: int | None = Field(default=None, ge=1, le=1_000_000)
    weights: Weights | None = None
    refine: list[Intervals] | None = Field(default=None, min_length=1, max_length=20, description="intervals by stage")
    seed: int = Field(default=0, ge=0, le=2**63 - 1)
    starts: int | None = Field(default=None, ge=1, le=1000)
    seconds: float = Field(default=60.0, gt=0, le=1e7)
    steps: int | None = Field(default=None, ge=1, le=10_000_000)
    tolerance: float | None = Field(default=None, gt=0, lt=1)
    memory: float | None = Field(default=None, ge=1, le=1e7, description="megabytes that the Jacobian may take")

    @model_validator(mode="after")
    def _growing(self) -> Self:
        if self.refine is not None and sorted(set(self.refine)) != self.refine:
            raise refusal(f"refine = {self.refine}: intervals must grow from stage to stage")
        return self


class ProblemFile(Table):
    """A problem file."""

    version: Annotated[Literal[1], BeforeValidator(_whole)] = Field(alias="schema", description="version of the format")
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=100)
    title: Title = ""
    reference: Title = ""
    unknowns: Annotated[list[Name], AfterValidator(_single)] = ["u"]
    domain: Domain
    parameters: dict[Name, Annotated[float, BeforeValidator(_parameter)]] = Field(default={}, max_length=200)
    functions: dict[Name, Formula] = Field(default={}, max_length=200)
    equation: Equation
    conditions: list[Condition] = Field(min_length=1, max_length=200)
    data: Annotated[list[Any] | None, AfterValidator(_not_yet("measurements ([[data]]) are"))] = None
    exact: dict[Name, Formula] = {}
    network: Network = Network()
    training: Training = Training()
