"""Frames: fields over one or two coordinates, at the steps of a slider through time or the third coordinate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from pdekan.output.planes import Plane, planes, sections
from pdekan.output.samples import TIME, Array, Mesh, Samples, evenly

MAX_STEPS = 21
MAX_SECTIONS = 11  # of tetrahedra
MAX_PIXELS = 160  # along each side
MAX_BYTES = 1_600_000  # of all frames, as numbers of four bytes
MAX_POINTS = 401  # of a curve


@dataclass(frozen=True, eq=False)
class Frames:
    """Values by name: (steps, n) over x, or (steps, ny, nx) over x and y, as evenly spaced pixels; nan outside.

    across, up: names of the coordinates; up is "" for curves. slider, at: the name and values of the third; "" for none.
    rims: for each step, the edges (k, 2, 2) of the domain. cut: the fixed coordinates.
    """

    across: str
    x: Array
    values: Mapping[str, Array]
    up: str = ""
    y: Array = field(default_factory=lambda: np.empty(0))
    slider: str = ""
    at: Array = field(default_factory=lambda: np.empty(0))
    rims: tuple[Array, ...] = ()
    cut: Mapping[str, float] = field(default_factory=dict)

    @property
    def moving(self) -> bool:
        """Whether the rim is another one at each step."""
        return self.slider not in ("", TIME)

    @property
    def first(self) -> int:
        """The step that is shown first: the start of time, the middle of a body."""
        return len(self.at) // 2 if self.moving else 0


def frames(samples: Samples, fields: Mapping[str, Array]) -> Frames:
    """The frames of fields, by name, of the samples' shape."""
    if len(samples.layout.space) == 1:
        return _curves(samples, fields)
    drawn, slider, at = _planes(samples, fields)
    first = next(iter(drawn[0].values()))
    pixels = min(MAX_PIXELS, int((MAX_BYTES / (4 * len(drawn) * len(fields))) ** 0.5))
    limits = np.array([next(iter(one.values())).limits for one in drawn])
    low, high = limits[:, :, 0].min(axis=0), limits[:, :, 1].max(axis=0)
    x, y = (np.linspace(a, b, pixels) for a, b in zip(low, high, strict=True))
    points = np.stack([one.ravel() for one in np.meshgrid(x, y)], axis=1)
    values: dict[str, list[Array]] = {name: [] for name in fields}
    interpolation = first.interpolation(points)
    for one in drawn:
        if slider not in ("", TIME):  # else all planes have the same points
            interpolation = next(iter(one.values())).interpolation(points)
        for name, plane in one.items():
            values[name].append(interpolation(plane.values).reshape(pixels, pixels))
    rims = tuple(next(iter(one.values())).rim for one in drawn)
    cut = {name: value for name, value in {**samples.cut, **first.fixed}.items() if name != slider}
    stacked = {name: np.stack(pictures) for name, pictures in values.items()}
    return Frames(first.across, x, stacked, first.up, y, slider, at, rims, cut)


def _curves(samples: Samples, fields: Mapping[str, Array]) -> Frames:
    axis = next(axis for axis in samples.axes if axis.name == samples.layout.space[0])
    kept = evenly(axis.values.size, MAX_POINTS)
    if not samples.times.size:
        return Frames(axis.name, axis.values[kept], {name: one[None, kept] for name, one in fields.items()}, cut=samples.cut)
    steps = evenly(samples.times.size, MAX_STEPS).tolist()
    values = {name: np.stack([samples.step(one, k)[kept] for k in steps]) for name, one in fields.items()}
    return Frames(axis.name, axis.values[kept], values, slider=TIME, at=samples.times[steps], cut=samples.cut)


def _planes(samples: Samples, fields: Mapping[str, Array]) -> tuple[list[dict[str, Plane]], str, Array]:
    """The planes at each step of the slider, of all fields by name; the slider's name and values."""
    if samples.times.size:
        steps, by = (
            evenly(samples.times.size, MAX_STEPS).tolist(),
            samples.step(samples.fields[samples.unknowns[0]], samples.times.size // 2),
        )
        drawn = [
            {name: planes(samples.at(k), samples.step(values, k), by)[0] for name, values in fields.items()} for k in steps
        ]
        return drawn, TIME, samples.times[steps]
    if len(samples.layout.space) == 2:
        return [{name: planes(samples, values, values)[0] for name, values in fields.items()}], "", np.empty(0)
    count = MAX_SECTIONS if isinstance(samples.layout, Mesh) else MAX_STEPS
    drawn, slider = sections(samples, fields, count), samples.layout.space[-1]
    return drawn, slider, np.array([next(iter(one.values())).fixed[slider] for one in drawn])
