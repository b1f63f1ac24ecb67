"""Where the solution of an initial value problem in one coordinate stands: its marches, and all of it as plain data and back.

The splines of all slabs of a march have the same sizes: they are kept as arrays with a row for each slab.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from typing import Any

import numpy as np
import torch

from pdekan.errors.estimate import Estimate
from pdekan.networks import kinds
from pdekan.networks.base import Network
from pdekan.networks.piecewise import PiecewiseInTime
from pdekan.problems.problem import Problem
from pdekan.residuals.validation import Residuals
from pdekan.solutions.solution import Solution
from pdekan.solutions.stored_data import check_sizes
from pdekan.training.continuation import is_same
from pdekan.training.estimate import Comparison
from pdekan.training.reasons import Reason
from pdekan.training.slabs.fit import Slab

LOG = logging.getLogger(__name__)
VERSION = 1


@dataclass(frozen=True)
class March:
    """Slabs from the start of a problem on, and why they ended: TOLERANCE at the end of the interval."""

    slabs: tuple[Slab, ...]
    reason: Reason

    def network(self) -> Network:
        """The function of all slabs; the last one goes on beyond its end."""
        networks = [one.network for one in self.slabs]
        return networks[0] if len(networks) == 1 else PiecewiseInTime(networks, [one.end for one in self.slabs[:-1]], 0)

    @property
    def residuals(self) -> Residuals:
        """Root mean squares over the length of all slabs; the relative one is the largest error that a slab adds."""
        lengths = np.array([one.end - one.start for one in self.slabs])
        parts = [(one.residuals.equation, one.residuals.conditions) for one in self.slabs]
        equation, conditions = np.sqrt(lengths / lengths.sum() @ np.square(parts))
        return Residuals(float(equation), float(conditions), math.inf, max(one.error for one in self.slabs))


@dataclass(frozen=True)
class Standing:
    """Where the marches stand.

    number: of the tolerance that is marched with. found: the best march that reached the end, with the comparison with another
    one. slabs: of the march that is going on; length: of its next slab, None at its start. fits: so far. whole: of a linear
    problem, the solution at once that missed the tolerance.
    """

    number: int = 0
    found: March | None = None
    comparison: Comparison | None = None
    slabs: tuple[Slab, ...] = ()
    length: float | None = None
    fits: int = 0
    whole: Solution | None = None


def plain(standing: Standing) -> dict[str, Any]:
    """Where marches stand as JSON, `standing`, and numbers, `arrays`."""
    found, comparison, whole = standing.found, standing.comparison, standing.whole
    tree: dict[str, Any] = {name: getattr(standing, name) for name in ("number", "length", "fits")}
    arrays: dict[str, Any] = {}
    for name, slabs in (("found", () if found is None else found.slabs), ("slabs", standing.slabs)):
        tree[name] = slabs[0].network.architecture() if slabs else None
        arrays |= {f"{name}.{what}": column for what, column in _columns(slabs).items()}
    if comparison is not None:
        numbers = {name: getattr(comparison, name) for name in ("reliable", "difference", "amplification")}
        tree["comparison"] = numbers | {"estimates": {name: asdict(one) for name, one in comparison.estimates.items()}}
    if whole is not None and whole.continuation is not None:
        training = dict(whole.continuation)
        arrays |= {f"whole.training.{name}": values for name, values in training.pop("arrays").items()}
        arrays |= {f"whole.history.{name}": column for name, column in whole.history.items()}
        tree["whole"] = {"iterations": whole.iterations, "seconds": whole.seconds, "training": training}
    return {"version": VERSION, "standing": tree, "arrays": arrays}


def _columns(slabs: Sequence[Slab]) -> dict[str, Any]:
    """The numbers of slabs, a row for each: start, end and error, residuals, and those of the networks by name."""
    if not slabs:
        return {}
    states = [one.network.state_dict() for one in slabs]
    return {
        "numbers": np.array([(one.start, one.end, one.error) for one in slabs]),
        "residuals": np.array([astuple(one.residuals) for one in slabs]),
        **{f"network.{name}": torch.stack([state[name] for state in states]).numpy() for name in states[0]},
    }


def restored(march: Solution, problem: Problem) -> Standing | None:
    """Where the marches of an earlier run stood, None where that is not kept, and where the problem is another one."""
    stored = march.continuation
    if stored is None or "standing" not in stored or march.problem is None or not is_same(march.problem, problem):
        return None
    try:
        if stored["version"] == VERSION:
            return _restored(march, stored["standing"], stored["arrays"])
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        LOG.warning("the march begins again, since where it stood cannot be read: %s", error)
    return None


def _restored(march: Solution, tree: Mapping[str, Any], arrays: Mapping[str, Any]) -> Standing:
    found, slabs = (_slabs(tree[name], of(arrays, f"{name}.")) for name in ("found", "slabs"))
    comparison, length, whole = tree.get("comparison"), tree["length"], None
    if comparison is not None:
        estimates = {name: Estimate(**one) for name, one in comparison["estimates"].items()}
        comparison = Comparison(**{**comparison, "estimates": estimates})
    if "whole" in tree:
        continuation = {**tree["whole"]["training"], "arrays": of(arrays, "whole.training.")}
        whole = replace(
            march, continuation=continuation, history=of(arrays, "whole.history."),
            iterations=int(tree["whole"]["iterations"]), seconds=float(tree["whole"]["seconds"]),
        )  # fmt: skip
    return Standing(
        int(tree["number"]), March(found, Reason.TOLERANCE) if found else None, comparison, slabs,
        None if length is None else float(length), int(tree["fits"]), whole,
    )  # fmt: skip


def _slabs(architecture: Mapping[str, Any] | None, columns: Mapping[str, Any]) -> tuple[Slab, ...]:
    if architecture is None:
        return ()
    states = {name: torch.as_tensor(values) for name, values in of(columns, "network.").items()}
    check_sizes(architecture, sum(values[0].numel() for values in states.values()))
    slabs = []
    for k, (start, end, error) in enumerate(columns["numbers"].tolist()):
        network = kinds.build(architecture)
        if network is None:
            raise ValueError("networks of another kind")
        network.load_state_dict({name: values[k] for name, values in states.items()})
        residuals = Residuals(*columns["residuals"][k].tolist())
        slabs.append(Slab(start, end, network.requires_grad_(False), residuals, error))
    return tuple(slabs)


def of(arrays: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The arrays whose names have a prefix, without it."""
    return {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}
