"""The problem file's schema: pydantic models of its tables, free of any mathematics.

Field descriptions end up in the JSON schema.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, WithJsonSchema, model_validator

from pdekan.problem_files.domain_schema import DOMAINS, MAX_DIMENSION, NUMBER, Domain, Name, Table, refusal
from pdekan.problems.conditions import CONDITIONS

MAX_UNKNOWNS = 20

# why the sizes have caps: an error quotes the line of its key
REASONS = {
    "points": "the Jacobian has a row for each point: a million rows of 500 parameters fill 4 GB",
    "hidden": "a layer's coefficients grow with the product of two widths: 1000 x 1000 edges of 10 fill 80 MB a copy",
    "intervals": "each interval is a parameter of every edge, and the Jacobian has a column for each",
    "refine": "each interval is a parameter of every edge, and the Jacobian has a column for each",
    "dimension": "points carry a gradient and more for every coordinate",
}


def _formula(value: Any) -> Any:
    """A number may stand where a formula may."""
    return repr(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, (str, int)) and not isinstance(value, bool) else value


def _printable(text: str) -> str:
    if not text.isprintable():
        raise refusal("control characters and line breaks are not allowed")
    return text


def _whole(value: Any) -> Any:
    # to Python, and so to pydantic, true and 1.0 equal 1
    if type(value) is not int:
        raise refusal("expected the whole number 1")
    return value


_TEXT = {"type": "string", "minLength": 1, "maxLength": 10_000}
Formula = Annotated[str, BeforeValidator(_formula), WithJsonSchema({"anyOf": [_TEXT, NUMBER]})]
Title = Annotated[str, Field(max_length=500), AfterValidator(_printable)]
Faces = Annotated[
    list[str],
    Field(min_length=1, max_length=2 * MAX_DIMENSION),
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]


def _formulas(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


Formulas = Annotated[
    list[Formula],
    Field(min_length=1, max_length=MAX_UNKNOWNS),
    BeforeValidator(_formulas),
    WithJsonSchema({"anyOf": [_TEXT, NUMBER, {"type": "array", "items": {"anyOf": [_TEXT, NUMBER]}, "minItems": 1}]}),
]
Degree = Annotated[int, Field(ge=1, le=12)]
Intervals = Annotated[int, Field(ge=1, le=1000)]
Layers = Field(default=None, min_length=1, max_length=10)


def _one_or_list(item: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [item, {"type": "array", "items": item, "minItems": 1}]})


class Equation(Table):
    """operator = source, in the domain; lists of equal length for a system."""

    operator: Formulas
    source: Formulas = Field(default=["0"], description='a formula, or "manufactured": the operator applied to [exact]')

    @model_validator(mode="after")
    def _as_many(self) -> Self:
        if len(self.source) not in (1, len(self.operator)):
            raise refusal(f"{len(self.operator)} operators and {len(self.source)} sources; lists of equal length are needed")
        return self


if TYPE_CHECKING:
    Kind = str
else:
    Kind = Literal[tuple(CONDITIONS)]


class Condition(Table):
    """What holds on faces of the domain, on average, or across an interface."""

    type: Kind
    on: Faces | None = Field(default=None, description='"boundary", a face such as "x-", or a list; a mean also "domain"')
    value: Formula | None = Field(default=None, description='a formula, or "exact"')
    operator: Formula | None = None
    unknown: Name | None = None
    enforce: Annotated[Literal["weak", "exact"], Field(description="exact: built into the network")] = "weak"

    @model_validator(mode="after")
    def _keys_of_type(self) -> Self:
        message = CONDITIONS[self.type].refusal(self.model_dump(exclude_none=True))
        if message is not None:
            raise refusal(message)
        return self


class TrainableParameter(Table):
    """A number that training finds, between bounds."""

    initial: float
    trainable: bool = True
    min: float | None = None
    max: float | None = None


class Data(Table):
    """Measurements: a file of columns, the coordinates and the unknowns that were measured."""

    file: str = Field(min_length=1, max_length=1000, description="CSV with a line of names, or HDF5 with a dataset a column")
    noise: float | None = Field(default=None, gt=0, description="standard deviation of the measured values")


class Enrichment(Table):
    """A function whose multiples are added to the network of an unknown."""

    expression: Formula
    unknown: Name | None = None


class Nodes(Table):
    """A hidden layer: how many nodes add what comes in, and how many multiply it."""

    sum: int = Field(default=0, ge=0, le=1000)
    product: int = Field(default=0, ge=0, le=1000)

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.sum + self.product < 1:
            raise refusal("a hidden layer needs at least one node")
        return self


# a hidden layer is a number or a table, a domain one of several tables; the tags tell which, and are left out of places
TAGS = ("[nodes]", "[table of nodes]", *(f"[{kind}]" for kind in DOMAINS), "[number]", "[table]")
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
    slabs: int = Field(default=1, ge=1, le=1000, description="parts of time that are solved one after the other")
    resample: bool = Field(default=False, description="train every stage again with more points where the residual is large")
    adapt: bool = Field(default=False, description="grade the coordinates so that steep places are spread out; on boxes")

    @model_validator(mode="after")
    def _growing(self) -> Self:
        if self.refine is not None and sorted(set(self.refine)) != self.refine:
            raise refusal(f"refine = {self.refine}: intervals must grow from stage to stage")
        return self


Value = Annotated[
    Annotated[float, Tag("[number]")] | Annotated[TrainableParameter, Tag("[table]")],
    Discriminator(lambda value: "[table]" if isinstance(value, (dict, TrainableParameter)) else "[number]"),
]


class ProblemFile(Table):
    """A problem file."""

    version: Annotated[Literal[1], BeforeValidator(_whole)] = Field(alias="schema", description="version of the format")
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=100)
    title: Title = ""
    reference: Title = ""
    unknowns: list[Name] = Field(default=["u"], min_length=1, max_length=MAX_UNKNOWNS)
    domain: Domain
    parameters: dict[Name, Value] = Field(default={}, max_length=200)
    functions: dict[Name, Formula] = Field(default={}, max_length=200)
    equation: Equation | None = None
    conditions: list[Condition] = Field(default=[], max_length=200)
    data: list[Data] = Field(default=[], max_length=20)
    enrichment: list[Enrichment] = Field(default=[], max_length=20)
    exact: dict[Name, Formula] = Field(
        default={}, description='formulas by unknown; or reference = "fem", finite elements, or the name of an HDF5 file'
    )
    network: Network = Network()
    training: Training = Training()

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if self.equation is None and not self.data:
            raise refusal("neither [equation] nor [[data]]: there is nothing to solve")
        if not self.conditions and not self.data:
            raise refusal("no [[conditions]] and no [[data]]: without them no solution is singled out")
        return self
