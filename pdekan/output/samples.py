"""Samples: what is drawn and exported, fields on a tensor grid of points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Role = Literal["exact", "error", "residual", "gradient"]


class OutputError(ValueError):
    """Something that cannot be written, drawn or read back; the message says what, where, and what is allowed."""


@dataclass(frozen=True, eq=False)
class Axis:
    """A coordinate that the grid spans: its name and its strictly increasing values, (n,) with n >= 2."""

    name: str
    values: Array

    def __post_init__(self) -> None:
        values = np.array(self.values, dtype=np.float64)
        if values.ndim != 1 or values.size < 2 or not np.isfinite(values).all() or not (np.diff(values) > 0).all():
            raise OutputError(f"axis {self.name!r}: at least two finite, strictly increasing values are needed")
        object.__setattr__(self, "values", values)


def field_name(role: Role, unknown: str, coordinates: tuple[str, ...] = ()) -> str:
    """The name of a field that goes with an unknown: its gradient is "u_gradient", its error "error".

    An unknown (or a coordinate) that is itself called "error" keeps its name; its error is then "error_error".
    """
    if role == "gradient" or role == unknown or role in coordinates:
        return f"{unknown}_{role}"
    return role


@dataclass(frozen=True, eq=False)
class Samples:
    """An unknown and the fields that go with it on a tensor grid of one, two or three axes; nondimensional float64.

    axes: the coordinates that the grid spans, in the order of the arrays' dimensions.
    fields: by name; scalars (n1, ..., nk) and gradients (n1, ..., nk, d) with one component for every coordinate of the
    problem. `unknown` names the solution among them; `field_name` names the exact solution, the error u - exact, the
    residual of the equation and the gradient. NaN: not defined there (a point outside the domain).
    cut: the fixed values of the problem's other coordinates, when the grid is a slice of a space of more dimensions.
    coordinates: all d names in the order of a gradient's components; by default the axes, then the cut.
    Raises OutputError where shapes, names and coordinates do not fit together.
    """

    axes: tuple[Axis, ...]
    fields: Mapping[str, Array]
    unknown: str = "u"
    cut: Mapping[str, float] = field(default_factory=dict)
    coordinates: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        spanned = [axis.name for axis in self.axes]
        names = (*spanned, *self.cut)
        fields = {name: np.ascontiguousarray(values, dtype=np.float64) for name, values in self.fields.items()}
        for attribute, value in (
            ("fields", fields),
            ("cut", {name: float(value) for name, value in self.cut.items()}),
            ("coordinates", tuple(self.coordinates) or names),
        ):
            object.__setattr__(self, attribute, value)
        if not 1 <= len(self.axes) <= 3:
            raise OutputError(f"a grid has 1, 2 or 3 axes, not {len(self.axes)}; fix the other coordinates by a cut")
        if sorted(self.coordinates) != sorted(names) or len(set(names)) < len(names):
            raise OutputError(f"coordinates {self.coordinates} are not the axes and the cut {names}, each once")
        for name in (*names, *fields):
            if not name.isidentifier():
                raise OutputError(f"{name!r} is not a name: letters, digits and _ are allowed")
        if self.unknown not in fields:
            raise OutputError(f"no field {self.unknown!r} among {', '.join(fields) or 'no fields'}")
        allowed = self.shape, (*self.shape, len(names))
        for name, values in fields.items():
            if name in names:
                raise OutputError(f"{name!r} names both a coordinate and a field")
            if values.shape not in allowed:
                raise OutputError(f"field {name!r} has shape {values.shape}; {allowed[0]} or {allowed[1]} is needed")
        if fields[self.unknown].shape != self.shape:
            raise OutputError(f"field {self.unknown!r} has shape {fields[self.unknown].shape}, not {self.shape}")

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of grid points along each axis."""
        return tuple(axis.values.size for axis in self.axes)

    @property
    def solution(self) -> Array:
        """The unknown's values, of the grid's shape."""
        return self.fields[self.unknown]

    def of(self, role: Role) -> Array | None:
        """The exact solution, error, residual or gradient of the unknown, or None where it is not known."""
        return self.fields.get(field_name(role, self.unknown, self.coordinates))

    def is_vector(self, name: str) -> bool:
        """Whether a field has a component for every coordinate."""
        return self.fields[name].ndim > len(self.axes)
