"""The tables of domains in a problem file, and what all of its tables have in common."""

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
COMBINATIONS = ("union", "intersection", "difference")
DOMAINS = ("box", "disk", "annulus", "ellipse", "ball", "polygon", *COMBINATIONS, "mesh")


def refusal(message: str) -> PydanticCustomError:
    """An error in our own words."""
    return PydanticCustomError("refused", "{message}", {"message": message})


def check_name(name: str) -> str:
    """The name, if it may name a coordinate, a parameter, a function or an unknown; else an error."""
    if not (name.isascii() and name.isidentifier() and name[0].isalpha() and len(name) <= 50):
        raise refusal(f"{name[:60]!r} is no name: letters, digits and _ are allowed, a letter first, at most 50 in all")
    if keyword.iskeyword(name):
        raise refusal(f"{name!r} is a word of Python's grammar and cannot be a name; try {name[:3]!r}")
    return name


def _interval(ends: list[float]) -> list[float]:
    if len(ends) != 2 or not ends[0] < ends[1]:
        raise refusal(f"found {ends!r}; an interval is [lower, upper], the first below the second")
    return ends


NUMBER = {"type": "number"}
Name = Annotated[str, AfterValidator(check_name)]
Interval = Annotated[
    list[float],
    AfterValidator(_interval),
    WithJsonSchema({"type": "array", "items": NUMBER, "minItems": 2, "maxItems": 2}),
]


def _ring(points: list[list[float]]) -> list[list[float]]:
    for point in points:
        if len(point) != 2:
            raise refusal(f"found {point!r}; a vertex is [x, y]")
    return points


Point2 = Annotated[list[float], Field(min_length=2, max_length=2)]
Ring = Annotated[list[list[float]], Field(min_length=3, max_length=10_000), AfterValidator(_ring)]


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
# the tables by their tags, which pydantic puts among the parts of a place
MODELS: dict[str, type[Table]] = {
    "[box]": Box, "[disk]": Disk, "[annulus]": Annulus, "[ellipse]": Ellipse, "[ball]": Ball, "[polygon]": Polygon,
    "[mesh]": Mesh, **{f"[{kind}]": Combination for kind in COMBINATIONS},
}  # fmt: skip
