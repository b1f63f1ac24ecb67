"""Vectors of unknowns: their size as colours, their direction in a plane as arrows of equal length."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from pdekan.output.labels import symbol, with_unit
from pdekan.output.panels import field_figure
from pdekan.output.planes import Plane, planes
from pdekan.output.samples import Array, Samples

_ARROWS = 19  # along the longer side of a plane
_LENGTH = 0.75  # of an arrow, relative to their distance
_LEAST = 0.01  # of the largest size: where a vector is smaller in a plane there is no arrow


def vector(samples: Samples, name: str) -> Figure:
    """Arrows over the colours of the vector's size, on the planes that fields are drawn on."""
    components = samples.vector(name)
    size = np.linalg.norm(components, axis=-1)
    title = f"{name} = ({', '.join(map(symbol, samples.labels.vectors[name]))})"
    figure = field_figure(samples, size, size, title, with_unit(f"|{name}|", samples.unit(name)))
    drawn = [planes(samples, components[..., k], size) for k in range(components.shape[-1])]
    longest = float(np.nanmax(size)) or 1.0
    for axes, of_plane in zip(figure.axes, zip(*drawn, strict=True), strict=False):
        across, up = (of_plane[samples.layout.space.index(one)] for one in (of_plane[0].across, of_plane[0].up))
        points, spacing = _lattice(across)
        parts = np.stack([plane.interpolation(points)(plane.values) for plane in (across, up)])
        sizes = np.linalg.norm(parts, axis=0)
        shown = sizes > _LEAST * longest
        axes.quiver(
            *points[shown].T, *(_LENGTH * spacing * parts[:, shown] / sizes[shown]), angles="xy", scale_units="xy", scale=1.0,
            color="white", edgecolor="black", linewidth=0.3, width=0.005, headwidth=4.0, pivot="mid",
        )  # fmt: skip
    return figure


def _lattice(plane: Plane) -> tuple[Array, float]:
    """Points ``(n, 2)`` at the middles of squares that fill the plane, and the squares' side."""
    (left, right), (low, high) = plane.limits
    spacing = max(right - left, high - low) / _ARROWS
    counts = [max(1, round((b - a) / spacing)) for a, b in ((left, right), (low, high))]
    sides = [a + (b - a) * (np.arange(n) + 0.5) / n for (a, b), n in zip(plane.limits, counts, strict=True)]
    return np.stack([one.ravel() for one in np.meshgrid(*sides, indexing="ij")], axis=1), float(spacing)
