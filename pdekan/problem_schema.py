"""The problem file's schema: pydantic models of its tables, free of any mathematics.

Field descriptions end up in the JSON schema. What the format documents but the solver cannot do yet is refused by name.
"""

from __future__ import annotations

import keyword
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
MAX_UNKNOWNS = 20
COMBINATIONS = ("union", "intersection", "difference")
DOMAINS = ("box", "disk", "annulus", "ellipse", "ball", "polygon", *COMBINATIONS, "mesh")

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


def _formula(value: Any) -> Any:
    """A number may stand where a formula may."""
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


def _interval(ends: list[float]) -> list[float]:
    if len(ends) != 2 or not ends[0] < ends[1]:
        raise refusal(f"found {ends!r}; an interval is [lower, upper], the first below the second")
    return ends


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


def _ring(points: list[list[float]]) -> list[list[float]]:
    for point in points:
        if len(point) != 2:
            raise refusal(f"found {point!r}; a vertex is [x, y]")
    return points


def _formulas(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


Point2 = Annotated[list[float], Field(min_length=2, max_length=2)]
Ring = Annotated[list[list[float]], Field(min_length=3, max_length=10_000), AfterValidator(_ring)]
Formulas = Annotated[
    list[Formula],
    Field(min_length=1, max_length=MAX_UNKNOWNS),
    BeforeValidator(_formulas),
    WithJsonSchema({"anyOf": [_TEXT, _NUMBER, {"type": "array", "items": {"anyOf": [_TEXT, _NUMBER]}, "minItems": 1}]}),
]
Degree = Annotated[int, Field(ge=1, le=12)]
Intervals = Annotated[int, Field(ge=1, le=1000)]
Layers = Field(default=None, min_length=1, max_length=10)


def _one_or_list(item: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [item, {"type": "array", "items": item, "minItems": 1}]})


class Table(BaseModel):
    """A table of the file: unknown keys, coercions and non-finite numbers are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def _kind(value: Any) -> Any:
    return value.get("type") if isinstance(value, dict) else getattr(value, "type", None)


def _known_type(value: Any) -> Any:
    kind = _kind(value)
    if isinstance(kind, str) and kind not in DOMAINS:
        raise refusal(f"type {kind[:40]!r} is unknown; the types are {', '.join(DOMAINS)}")
    return value


class Box(Table):
    """An interval for each coordinate in file order, or a dimension and the bounds of all; t is time."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)
    __pydantic_extra__: dict[str, Interval]

    type: Literal["box"]
    dimension: int | None = Field(default=None, ge=1, le=MAX_DIMENSION)
    bounds: Interval | None = None
    interfaces: Interfaces = {}

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


class Shape(Table):
    """What domains that are no boxes have in common."""

    t: Interval | None = Field(default=None, description="an interval of time: the domain is the shape at all of its times")
    interfaces: Interfaces = {}


class Disk(Shape):
    """The points of the plane within a radius of a center; its boundary is "outer"."""

    type: Literal["disk"]
    center: Point2 = [0.0, 0.0]
    radius: float = Field(gt=0)


class Annulus(Shape):
    """The points of the plane between two circles, "inner" and "outer"."""

    type: Literal["annulus"]
    center: Point2 = [0.0, 0.0]
    inner_radius: float = Field(gt=0)
    outer_radius: float = Field(gt=0)


class Ellipse(Shape):
    """An ellipse with its half-axes, the first turned against the x-axis by an angle in radians; its boundary is "outer"."""

    type: Literal["ellipse"]
    center: Point2 = [0.0, 0.0]
    radii: Point2
    angle: float = 0.0


class Ball(Shape):
    """The points of space within a radius of a center; its boundary is "outer"."""

    type: Literal["ball"]
    center: Annotated[list[float], Field(min_length=3, max_length=3)] = [0.0, 0.0, 0.0]
    radius: float = Field(gt=0)


class Polygon(Shape):
    """A polygon with boundaries "edge1", … from vertex i to i + 1, and holes with "hole1.edge1", …"""

    type: Literal["polygon"]
    vertices: Ring
    holes: list[Ring] = Field(default=[], max_length=1000)


class Combination(Shape):
    """A union, an intersection, or the difference of the first part and the others; boundaries are "part1.outer", …"""

    type: Literal["union", "intersection", "difference"]
    parts: list[Domain] = Field(min_length=2, max_length=200)


class Mesh(Shape):
    """Triangles or tetrahedra in a file that meshio reads; boundaries are named by its physical groups."""

    type: Literal["mesh"]
    file: str = Field(min_length=1, max_length=1000)


class Equation(Table):
    """operator = source, in the domain; lists of equal length for a system."""

    operator: Formulas
    source: Formulas = Field(default=["0"], description='a formula, or "manufactured": the operator applied to [exact]')

    @model_validator(mode="after")
    def _as_many(self) -> Self:
        if len(self.source) not in (1, len(self.operator)):
            raise refusal(f"{len(self.operator)} operators and {len(self.source)} sources; lists of equal length are needed")
        return self


class Condition(Table):
    """What holds on faces of the domain, on average, or across an interface."""

    type: Literal["dirichlet", "neumann", "robin", "periodic", "initial", "mean", "interface"]
    on: Faces | None = Field(default=None, description='"boundary", a face such as "x-", or a list; a mean also "domain"')
    value: Formula | None = Field(default=None, description='a formula, or "exact"')
    operator: Formula | None = None
    unknown: Name | None = None
    enforce: Annotated[Literal["weak", "exact"], Field(description="exact: built into the network")] = "weak"

    @model_validator(mode="after")
    def _keys_of_type(self) -> Self:
        if self.enforce == "exact" and (self.type not in ("dirichlet", "initial") or self.operator is not None):
            raise refusal('enforce = "exact" is for the values of dirichlet and initial conditions; leave it out')
        if self.type == "robin" and self.operator is None:
            raise refusal('a robin condition needs an operator, such as operator = "normal(u) + 2*u"')
        if self.type in ("dirichlet", "neumann", "periodic") and self.operator is not None:
            raise refusal(f"a {self.type} condition has no operator; use robin")
        if self.type == "periodic" and self.value is not None:
            raise refusal("a periodic condition has no value")
        if self.type == "periodic" and (self.on is None or len(self.on) != 2):
            raise refusal('a periodic condition is on two opposite faces: on = ["x-", "x+"]')
        if self.type == "interface" and self.on is None:
            raise refusal("an interface condition names its interface: on = …, one of [domain.interfaces]")
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


Domain = Annotated[
    Annotated[Box, Tag("[box]")]
    | Annotated[Disk, Tag("[disk]")]
    | Annotated[Annulus, Tag("[annulus]")]
    | Annotated[Ellipse, Tag("[ellipse]")]
    | Annotated[Ball, Tag("[ball]")]
    | Annotated[Polygon, Tag("[polygon]")]
    | Annotated[Combination, Tag("[union]")]
    | Annotated[Combination, Tag("[intersection]")]
    | Annotated[Combination, Tag("[difference]")]
    | Annotated[Mesh, Tag("[mesh]")],
    Discriminator(lambda value: f"[{_kind(value)}]" if _kind(value) in DOMAINS else "[box]"),
    BeforeValidator(_known_type),
]
Interfaces = Annotated[dict[Name, Domain], Field(max_length=20, description="shapes whose boundaries are interfaces")]
for _model in (Box, Disk, Annulus, Ellipse, Ball, Polygon, Combination, Mesh):
    _model.model_rebuild()

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
