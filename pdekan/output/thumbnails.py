"""Thumbnails: a solution at the size of a stamp, without text, which would be illegible."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from pdekan.output import panels
from pdekan.output.planes import planes
from pdekan.output.samples import Samples

SIZE = (1.0, 0.8)  # inches


def thumbnail(samples: Samples) -> Figure:
    """The first unknown: a curve, or colours on one plane, of several times that of the middle one."""
    values = samples.fields[samples.unknowns[0]]
    figure, (axes,) = panels.empty_figure(SIZE)
    axes.axis("off")
    if len(samples.axes) == 1:
        axes.plot(samples.axes[0].values, np.where(np.isfinite(values), values, np.nan), color=panels.BLUE, linewidth=1.2)
        return figure
    drawn = planes(samples, values, values)
    plane = drawn[len(drawn) // 2 if samples.times.size else 0]
    panels.draw_values(axes, plane, panels.linear_colours(plane.values))
    axes.set_aspect("equal" if panels.to_one_scale(plane) else "auto")
    return figure
