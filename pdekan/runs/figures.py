"""The figures of a run. Matplotlib takes a third of a second to import: this module is imported where figures are drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from pdekan.networks.family import FamilyNetwork
from pdekan.output import figures, network_figure, surfaces
from pdekan.output.network_figure import Drawing
from pdekan.output.samples import Array, Samples
from pdekan.solutions.solution import Solution

MEMBERS = (0.0, 0.5, 1.0)  # of a family, that are drawn: shares of the ranges


def draw(
    solution: Solution,
    samples: Samples,
    directory: Path,
    suffix: str = ".png",
    networks: Sequence[Drawing] = (),
    interrupted: Callable[[], bool] = lambda: False,
) -> dict[str, Path]:
    """Draw a run's figures into a directory; their paths by name. Raises OutputError and OSError.

    networks: drawings for one more figure. interrupted: called before every figure; once it is true no further one is drawn.
    """
    drawn = figures.write_all(directory, samples, solution.history, suffix, _marks(solution), interrupted)
    if isinstance(solution.network, FamilyNetwork) and not interrupted():
        drawn["members"] = directory / f"members{suffix}"
        figures.save(figures.members(_members(solution, solution.network)), drawn["members"])
    series = {name: (one.times, one.values) for name, one in solution.outputs.items() if one.times and one.values}
    if series and not interrupted():
        drawn["outputs"] = directory / f"outputs{suffix}"
        figures.save(figures.series(series), drawn["outputs"])
    if networks and not interrupted():
        drawn["network"] = directory / f"network{suffix}"
        save_networks(networks, drawn["network"])
    return drawn


def draw_surfaces(samples: Samples, directory: Path, suffix: str) -> dict[str, Path]:
    """Draw the surface of a body in space into a directory, for every unknown; their paths by name, none where it cannot be."""
    drawn = {}
    for name, figure in surfaces.surfaces(samples, samples.unknowns).items():
        ending = f"_{name}" if len(samples.unknowns) > 1 else ""
        drawn[f"surface{ending}"] = directory / f"surface{ending}{suffix}"
        figures.save(figure, drawn[f"surface{ending}"])
    return drawn


def save_networks(networks: Sequence[Drawing], path: Path) -> None:
    """Draw networks side by side into a file."""
    figures.save(network_figure.networks(networks), path)


def _members(solution: Solution, network: FamilyNetwork) -> list[tuple[dict[str, float], Samples]]:
    """The members at the lower ends, in the middle and at the upper ends of all ranges."""
    places = [{name: a + share * (b - a) for name, (a, b) in network.ranges.items()} for share in MEMBERS]
    return [(at, solution.member(**at).sample()) for at in places]


def _marks(solution: Solution) -> Array | None:
    """The points of all measurements ``(n, d)``, None without any."""
    data = () if solution.problem is None else solution.problem.data
    return np.concatenate([one.points for one in data]) if data else None
