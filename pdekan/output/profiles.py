"""Profiles: a solution in one dimension of space as curves at chosen times."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pdekan.output.labels import cut_text, symbol, with_unit
from pdekan.output.panels import TICK_SIZE, Curve, curves_figure
from pdekan.output.samples import TIME, Array, Samples

_MAX_CURVES = 5
_LIGHTEST = 0.85  # of viridis: its yellow end is illegible on white


def profiles(samples: Samples, unknown: str) -> Figure:
    """An unknown over space at up to five of the times, evenly chosen, with the exact solution, where known, dashed."""
    steps = np.unique(np.linspace(0, samples.times.size - 1, _MAX_CURVES).round().astype(int))
    values, exact = samples.fields[unknown], samples.of("exact", unknown)
    shades = [to_hex(colormaps["viridis"](float(shade))) for shade in np.linspace(0.0, _LIGHTEST, len(steps))]
    curves, handles = [], []
    for step, colour in zip(steps, shades, strict=True):
        label = cut_text({TIME: float(samples.times[step])}, samples.labels.units)
        curves.append(Curve(samples.step(values, step), label, colour))
        handles.append(Line2D([], [], color=colour, label=label, linewidth=1.4))
    if exact is not None:
        curves += [_dashed(samples.step(exact, step), samples.labels.exact) for step in steps]
        handles.append(Line2D([], [], color="black", linestyle="--", label=samples.labels.exact, linewidth=0.8))
    figure = curves_figure(
        samples, curves, f"Solution {symbol(unknown)}", label=with_unit(symbol(unknown), samples.unit(unknown))
    )
    figure.axes[0].legend(handles=handles, fontsize=TICK_SIZE, frameon=False)
    return figure


def _dashed(values: Array, label: str) -> Curve:
    return Curve(values, label, "black", "--", 0.8)
