"""The problem file's schema: pydantic models of its tables, free of any mathematics.

Field descriptions end up in the JSON schema.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, WithJsonSchema, create_model, model_validator

from pdekan.problem_files.domains import MAX_DIMENSION, Interval, Name, Number, any_domain
from pdekan.problem_files.tables import FromAnnotation, Table, refusal
from pdekan.problems import conditions
from pdekan.problems.conditions import CONDITIONS
from pdekan.problems.options import NetworkOptions, TrainingOptions
from pdekan.problems.tables import Interpolation

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
_NUMBER = {"type": "number"}
Formula = Annotated[str, BeforeValidator(_formula), WithJsonSchema({"anyOf": [_TEXT, _NUMBER]})]
Title = Annotated[str, Field(max_length=500), AfterValidator(_printable)]
Faces = Annotated[
    list[str],
    Field(min_length=1, max_length=2 * MAX_DIMENSION),
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]
Place = Annotated[dict[Name, Number], Field(min_length=1, max_length=MAX_DIMENSION)]
On = Annotated[
    Annotated[Faces, Tag("[faces]")] | Annotated[Place, Tag("[place]")],
    Discriminator(lambda value: "[place]" if isinstance(value, dict) else "[faces]"),
]


def _formulas(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


Formulas = Annotated[
    list[Formula],
    Field(min_length=1, max_length=MAX_UNKNOWNS),
    BeforeValidator(_formulas),
    WithJsonSchema({"anyOf": [_TEXT, _NUMBER, {"type": "array", "items": {"anyOf": [_TEXT, _NUMBER]}, "minItems": 1}]}),
]


class Equation(Table):
    """operator = source, in the domain; lists of equal length for a system."""

    operator: Formulas = Field(description="a formula of the unknowns")
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
    on: On | None = Field(
        default=None, description='"boundary", a face such as "x-", or a list; a mean also "domain"; {x = 0.5} is inside'
    )
    value: Formula | None = Field(default=None, description='a formula, or "exact"')
    operator: Formula | None = Field(default=None, description="a formula of the unknowns; by default the type's")
    unknown: Name | None = Field(default=None, description="whose condition it is; needed where there are several")
    enforce: Annotated[Literal["weak", "exact"], Field(description="exact: built into the network")] = "weak"

    @model_validator(mode="after")
    def _keys_of_type(self) -> Self:
        message = conditions.refusal(self.type, self.model_dump(exclude_none=True))
        if message is not None:
            raise refusal(message)
        return self


class ParameterTable(Table):
    """A number that training finds, between bounds; or a range: the problem is solved for all of its values."""

    initial: Number | None = None
    trainable: bool | None = None
    min: Number | None = None
    max: Number | None = None
    range: Interval | None = Field(default=None, description="the parameter's values in a family of solutions")

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        others = [key for key in ("initial", "trainable", "min", "max") if getattr(self, key) is not None]
        if self.range is not None and others:
            raise refusal(
                f"range and {others[0]}: a parameter with a range is solved for all of its values, one that is trainable is "
                "found from an initial value; state one of both"
            )
        if self.range is None and self.initial is None:
            raise refusal("initial is missing: the value that training starts from; or range = [lower, upper] for a family")
        return self


class Data(Table):
    """Measurements: a file of columns, the coordinates and the unknowns that were measured."""

    file: str = Field(min_length=1, max_length=1000, description="CSV with a line of names, HDF5, netCDF or Parquet")
    noise: float | None = Field(default=None, gt=0, description="standard deviation of the measured values")


class FieldTable(Table):
    """Values in a file as a function of the coordinates."""

    file: str = Field(
        min_length=1, max_length=1000, description="HDF5 or netCDF 4 with a regular grid, CSV of points, or a PNG image"
    )
    dataset: str | None = Field(default=None, min_length=1, max_length=1000, description="by default the field's name")
    interpolation: Annotated[
        Interpolation, Field(description="cubic: splines of degree 3, or |x|³ around scattered points; constant: cells")
    ] = "cubic"


class Enrichment(Table):
    """A function whose multiples are added to the network of an unknown."""

    expression: Formula
    unknown: Name | None = None


def _unit(text: str) -> str:
    if not text.isprintable() or any(character in text for character in "$\\"):
        raise refusal("a unit is a short text without line breaks, $ and backslashes, such as mm, m s-1 or °C")
    return text


def _ascending(times: list[float]) -> list[float]:
    if any(b <= a for a, b in pairwise(times)):
        raise refusal("each time has to be above the one before")
    return times


class Time(Table):
    """At which times the solution is written and drawn."""

    outputs: (
        Annotated[int, Field(ge=1, le=10_000)]
        | Annotated[list[float], Field(min_length=1, max_length=10_000), AfterValidator(_ascending)]
    ) = Field(description="how many evenly spaced times, or a list of times")


Unit = Annotated[str, Field(min_length=1, max_length=50), AfterValidator(_unit)]
Components = Annotated[list[Name], Field(min_length=2, max_length=3)]


def _lengths(network: NetworkOptions) -> NetworkOptions:
    for key, values in (("degree", network.degree), ("intervals", network.intervals)):
        if network.hidden is not None and isinstance(values, tuple) and len(values) != len(network.hidden) + 1:
            layers = len(network.hidden) + 1
            raise refusal(f"{key} has {len(values)} numbers; write one number, or one for each of the {layers} layers")
    return network


def _growing(training: TrainingOptions) -> TrainingOptions:
    intervals = list(training.refine or ())
    if sorted(set(intervals)) != intervals:
        raise refusal(f"refine = {intervals}: intervals must grow from stage to stage")
    return training


Value = Annotated[Number | ParameterTable, FromAnnotation()]
Network = Annotated[NetworkOptions, FromAnnotation(), AfterValidator(_lengths)]
Training = Annotated[TrainingOptions, FromAnnotation(), AfterValidator(_growing)]


class ProblemFile(Table):
    """A problem file."""

    version: Annotated[Literal[1], BeforeValidator(_whole)] = Field(alias="schema", description="version of the format")
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=100, description="names the run's directory")
    title: Title = Field(default="", description="a line for figures and lists")
    reference: Title = Field(default="", description="where the problem was published")
    unknowns: list[Name] = Field(default=["u"], min_length=1, max_length=MAX_UNKNOWNS, description="names of what is sought")
    complex: list[Name] = Field(default=[], max_length=MAX_UNKNOWNS, description="unknowns that are complex")
    domain: Any
    parameters: dict[Name, Value] = Field(default={}, max_length=200, description="numbers by name, given or sought")
    functions: dict[Name, Formula] = Field(default={}, max_length=200, description="formulas by name, used in other formulas")
    fields: dict[Name, FieldTable] = Field(default={}, max_length=20, description="tables as functions")
    equation: Equation | None = None
    conditions: list[Condition] = Field(default=[], max_length=200)
    data: list[Data] = Field(default=[], max_length=20)
    enrichment: list[Enrichment] = Field(default=[], max_length=20)
    exact: dict[Name, Formula] = Field(
        default={}, description='formulas by unknown; or reference = "fem", finite elements, or the name of an HDF5 file'
    )
    units: dict[str, Unit] = Field(default={}, max_length=200, description="by coordinate, unknown or parameter")
    vectors: dict[Name, Components] = Field(
        default={}, max_length=20, description="unknowns that are the components of a vector along the coordinates of space"
    )
    time: Time | None = None
    outputs: dict[Name, Formula] = Field(
        default={}, max_length=100,
        description="quantities of the solution: integral(f), integral(f, face), integral(f, x), at(f, x=0.5), max(f), min(f)",
    )  # fmt: skip
    network: Network = NetworkOptions()
    training: Training = TrainingOptions()

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if self.equation is None and not self.data:
            raise refusal("neither [equation] nor [[data]]: there is nothing to solve")
        if not self.conditions and not self.data:
            raise refusal("no [[conditions]] and no [[data]]: without them no solution is singled out")
        return self


def problem_file() -> type[ProblemFile]:
    """The model of a problem file, with the domains that are registered now."""
    return _with(any_domain())


@cache
def _with(domain: Any) -> type[ProblemFile]:
    return create_model("ProblemFile", __base__=ProblemFile, __doc__=ProblemFile.__doc__, domain=(domain, ...))
