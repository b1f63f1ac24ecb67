"""Samples: fields on a tensor grid of points or on a mesh, which are drawn and exported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Cells = NDArray[np.int64]
Role = Literal["exact", "error", "gradient"]
TIME = "t"


class OutputError(ValueError):
    """Data that cannot be written, drawn or read; the message has the fault, its place, and what is allowed."""


@dataclass(frozen=True, eq=False)
class Axis:
    """A coordinate that the grid spans: its name and its strictly increasing values, (n,) with n >= 2; of time n >= 1."""

    name: str
    values: Array

    def __post_init__(self) -> None:
        values = np.array(self.values, dtype=np.float64)
        least = 1 if self.name == TIME else 2
        if values.ndim != 1 or values.size < least or not np.isfinite(values).all() or not (np.diff(values) > 0).all():
            few = "one" if least == 1 else "two"
            raise OutputError(f"axis {self.name!r}: at least {few} finite, strictly increasing values are needed")
        object.__setattr__(self, "values", values)


@dataclass(frozen=True, eq=False)
class Grid:
    """A tensor grid of one, two or three axes and time, possibly a slice of a space of more dimensions.

    axes: in the order of the arrays' dimensions. cut: the fixed values of the problem's other coordinates. coordinates: all d
    names in the order of a gradient's components, by default the axes, then the cut. Raises OutputError where they disagree.
    """

    axes: tuple[Axis, ...]
    cut: Mapping[str, float] = field(default_factory=dict)
    coordinates: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = (*(axis.name for axis in self.axes), *self.cut)
        object.__setattr__(self, "cut", {name: float(value) for name, value in self.cut.items()})
        object.__setattr__(self, "coordinates", tuple(self.coordinates) or names)
        if not 1 <= len(self.axes) <= 3 + (self.time is not None):
            raise OutputError(f"a grid has 1, 2 or 3 axes, not {len(self.axes)}; fix the other coordinates by a cut")
        if sorted(self.coordinates) != sorted(names) or len(set(names)) < len(names):
            raise OutputError(f"coordinates {self.coordinates} are not the axes and the cut {names}, each once")

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of points along each axis."""
        return tuple(axis.values.size for axis in self.axes)

    @property
    def time(self) -> Axis | None:
        """The axis of time, where there are axes of space beside it: time alone is drawn as space is."""
        return next((axis for axis in self.axes if axis.name == TIME), None) if len(self.axes) > 1 else None

    @property
    def time_dimension(self) -> int:
        """Which dimension of the arrays is time."""
        return [axis.name for axis in self.axes].index(TIME)

    @property
    def space(self) -> tuple[str, ...]:
        """The names of the axes other than time."""
        return tuple(axis.name for axis in self.axes if axis is not self.time)

    def at(self, time: float) -> Grid:
        """The grid without its axis of time, cut at this time."""
        axes = tuple(axis for axis in self.axes if axis is not self.time)
        return Grid(axes, {**self.cut, TIME: time}, self.coordinates)


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles in the plane or tetrahedra in space; fields are evaluated at its `points`, at each of its times if it has any.

    coordinates: the d = 2 or 3 names of the points' columns, and "t" where there is a time. points: (n, d), finite; points of
    no cell are removed. cells: (m, d+1), m >= 1, indices of each cell's corners; the last two are exchanged where the
    orientation is negative. time: the times, the last dimension of the arrays. cut: a single time.
    Raises OutputError for arrays of other shapes or values.
    """

    coordinates: tuple[str, ...]
    points: Array
    cells: Cells
    time: Axis | None = None
    cut: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        points, cells = np.array(self.points, dtype=np.float64), np.array(self.cells)
        d = len(self.space)
        if d not in (2, 3) or len(set(self.coordinates)) < len(self.coordinates):
            raise OutputError(f"a mesh has 2 or 3 coordinates, each once, not {', '.join(self.coordinates) or 'none'}")
        if points.ndim != 2 or points.shape[1] != d or not np.isfinite(points).all():
            raise OutputError(f"points of a mesh are finite, of shape (n, {d}); these have shape {points.shape}")
        if cells.ndim != 2 or cells.shape[1] != d + 1 or not len(cells) or cells.dtype.kind not in "iu":
            raise OutputError(f"cells of a mesh are whole numbers (m, {d + 1}), m >= 1, not {cells.dtype} {cells.shape}")
        if cells.min() < 0 or cells.max() >= len(points):
            raise OutputError(f"corners {cells.min()} … {cells.max()} are not among the {len(points)} points, 0 the first")
        sizes = np.linalg.det(points[cells[:, 1:]] - points[cells[:, :1]])
        if not sizes.any():
            raise OutputError("all cells of a mesh are flat; are the points what they should be?")
        inverted = sizes < 0.0
        cells[inverted, -2:] = cells[inverted, :-3:-1]
        used, numbers = np.unique(cells, return_inverse=True)
        object.__setattr__(self, "points", points[used])
        object.__setattr__(self, "cells", numbers.reshape(cells.shape).astype(np.int64))

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of points, and of times."""
        return (len(self.points),) if self.time is None else (len(self.points), self.time.values.size)

    @property
    def time_dimension(self) -> int:
        """Which dimension of the arrays is time."""
        return 1

    @property
    def space(self) -> tuple[str, ...]:
        """The names of the coordinates other than time."""
        timeless = self.time is None and TIME not in self.cut
        return tuple(name for name in self.coordinates if timeless or name != TIME)

    def at(self, time: float) -> Mesh:
        """The mesh at this time alone."""
        return Mesh(self.coordinates, self.points, self.cells, cut={TIME: time})


def field_name(role: Role, unknown: str, coordinates: tuple[str, ...] = (), unknowns: tuple[str, ...] = ()) -> str:
    """The name of a field of an unknown: "u_gradient", "exact" and "error" where "u" is the only one.

    With several unknowns, or where the unknown or a coordinate has that name, it is "u_exact"; if that is taken too, "_" is
    appended.
    """
    if len(unknowns) < 2 and role != "gradient" and role not in (unknown, *coordinates):
        return role
    return free_name(f"{unknown}_{role}", (*unknowns, *coordinates))


def residual_names(equations: int, coordinates: tuple[str, ...], unknowns: tuple[str, ...]) -> tuple[str, ...]:
    """The names of the equations' residuals: "residual" for one, "residual_1", "residual_2", … for several.

    If an unknown or a coordinate is called "residual", that of one equation is "u_residual", u being the first unknown.
    """
    taken = (*unknowns, *coordinates)
    if equations == 1:
        return ("residual" if "residual" not in taken else free_name(f"{unknowns[0]}_residual", taken),)
    return tuple(free_name(f"residual_{k}", taken) for k in range(1, equations + 1))


def polar_names(name: str) -> tuple[str, str]:
    """The names of the modulus and the phase of a complex unknown."""
    return f"{name}_abs", f"{name}_arg"


def evenly(count: int, most: int) -> NDArray[np.int64]:
    """The indices 0 … count - 1, or of more than `most` so many, evenly chosen with both ends."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def free_name(name: str, taken: tuple[str, ...]) -> str:
    """The name with "_" appended until it is not taken."""
    while name in taken:
        name += "_"
    return name


@dataclass(frozen=True)
class Labels:
    """What is said of samples beside their values.

    units: by coordinate and unknown, as "mm". vectors: by name, the unknowns that are components along the coordinates of
    space. exact: what stands for the exact solution, "exact" or "reference".
    """

    units: Mapping[str, str] = field(default_factory=dict)
    vectors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    exact: str = "exact"


@dataclass(frozen=True, eq=False)
class Samples:
    """Unknowns and their fields at the points of a grid or a mesh, nondimensional float64.

    fields: by name; scalars of the layout's shape, and gradients with one more dimension for the components. `unknowns` names
    the solutions among them; `field_name` names their exact solutions, errors u - exact and gradients, `residual_names` the
    residuals of the equations. NaN: outside the domain. labels: units of coordinates and unknowns, and more, see `Labels`.
    Raises OutputError where shapes, names and coordinates disagree.
    """

    layout: Grid | Mesh
    fields: Mapping[str, Array]
    unknowns: tuple[str, ...] = ("u",)
    labels: Labels = field(default_factory=Labels)

    def __post_init__(self) -> None:
        fields = {name: np.ascontiguousarray(values, dtype=np.float64) for name, values in self.fields.items()}
        object.__setattr__(self, "fields", fields)
        object.__setattr__(self, "unknowns", tuple(self.unknowns))
        coordinates = self.layout.coordinates
        for name in (*coordinates, *fields):
            if not name.isidentifier():
                raise OutputError(f"{name!r} is not a name: letters, digits and _ are allowed")
        allowed = self.shape, (*self.shape, len(coordinates))
        for name, values in fields.items():
            if name in coordinates:
                raise OutputError(f"{name!r} names both a coordinate and a field")
            if values.shape not in allowed:
                raise OutputError(f"field {name!r} has shape {values.shape}; {allowed[0]} or {allowed[1]} is needed")
        if not self.unknowns or len(set(self.unknowns)) < len(self.unknowns):
            raise OutputError(f"unknowns are one or more names, each once, not {self.unknowns}")
        for unknown in self.unknowns:
            if unknown not in fields:
                raise OutputError(f"no field {unknown!r} among {', '.join(fields) or 'no fields'}")
            if fields[unknown].shape != self.shape:
                raise OutputError(f"field {unknown!r} has shape {fields[unknown].shape}, not {self.shape}")
        for name, parts in self.labels.vectors.items():
            if len(parts) != len(self.layout.space) or not set(parts) <= set(self.unknowns):
                raise OutputError(f"vector {name!r} of {', '.join(parts)}: it needs an unknown for each coordinate of space")

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a scalar field: points along each axis of a grid, points of a mesh."""
        return self.layout.shape

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The axes of the grid; a mesh has none."""
        return self.layout.axes if isinstance(self.layout, Grid) else ()

    @property
    def cut(self) -> Mapping[str, float]:
        """The fixed coordinates of a slice, and of a mesh at one time."""
        return self.layout.cut

    @property
    def residuals(self) -> tuple[str, ...]:
        """The names of the residuals among the fields."""
        of = (self.layout.coordinates, self.unknowns)
        return tuple(name for name in (*residual_names(1, *of), *residual_names(len(self.fields), *of)) if name in self.fields)

    @property
    def polar(self) -> tuple[str, ...]:
        """The names of modulus and phase of complex unknowns among the fields, u_abs and u_arg for the parts u_re and u_im."""
        bases = [name.removesuffix("_re") for name in self.unknowns if name.endswith("_re")]
        names = [polar_names(base) for base in bases if f"{base}_im" in self.unknowns]
        return tuple(name for pair in names for name in pair if name in self.fields)

    @property
    def times(self) -> Array:
        """The times at which there are samples, none where time is no dimension of them beside space."""
        return np.empty(0) if self.layout.time is None else self.layout.time.values

    def at(self, step: int) -> Samples:
        """The samples at one of the times, counted from 0, negative from the last."""
        fields = {name: self.step(values, step) for name, values in self.fields.items()}
        return replace(self, layout=self.layout.at(float(self.times[step])), fields=fields)

    def step(self, values: Array, step: int) -> Array:
        """Values of the samples' shape at one of the times."""
        return np.asarray(np.take(values, step, axis=self.layout.time_dimension))

    def vector(self, name: str) -> Array:
        """A vector of unknowns, of the samples' shape with one more dimension for the components."""
        return np.stack([self.fields[one] for one in self.labels.vectors[name]], axis=-1)

    def unit(self, field_or_coordinate: str) -> str:
        """The unit of a coordinate, an unknown, its exact solution or error, or a vector; "" where none is known."""
        owners = {field_or_coordinate: field_or_coordinate} | {name: parts[0] for name, parts in self.labels.vectors.items()}
        for unknown in self.unknowns:
            for role in ("exact", "error"):
                owners[field_name(role, unknown, self.layout.coordinates, self.unknowns)] = unknown
        return self.labels.units.get(owners.get(field_or_coordinate, ""), "")

    def of(self, role: Role, unknown: str | None = None) -> Array | None:
        """Exact solution, error or gradient of an unknown, by default the first; None where unknown."""
        name = field_name(role, unknown or self.unknowns[0], self.layout.coordinates, self.unknowns)
        return self.fields.get(name)

    def is_vector(self, name: str) -> bool:
        """Whether a field has a component for every coordinate."""
        return self.fields[name].ndim > len(self.shape)
