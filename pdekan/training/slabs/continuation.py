"""Where a march over slabs of time goes on: how each slab ended, as plain data beside the networks of the march's solution."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pdekan.ansatz.time_slabs import slab
from pdekan.networks.base import Network
from pdekan.problems.problem import Problem
from pdekan.solutions.solution import Solution
from pdekan.training.continuation import is_same
from pdekan.training.slabs.standing import of

LOG = logging.getLogger(__name__)
VERSION = 1
# Of a slab's solution, what is kept beside its network and its history, with the type of each.
KEPT: Mapping[str, type] = {
    "status": str, "reason": str, "iterations": int, "seconds": float, "residual": float, "condition_residual": float,
    "relative_residual": float, "stage": int, "tolerance": float,
}  # fmt: skip


def goes_on(slab: Solution) -> bool:
    """Whether a slab ended by a limit or was interrupted, so that it goes on where there is more time or more steps."""
    stored = slab.continuation
    return stored is not None and (slab.status in ("budget", "interrupted") or stored["tree"]["stage"] is not None)


def plain(slabs: Sequence[Solution]) -> dict[str, Any]:
    """How slabs ended as JSON, `slabs`, and numbers, `arrays`; of those that go on, where."""
    tree: list[dict[str, Any]] = []
    arrays: dict[str, Any] = {}
    for k, one in enumerate(slabs):
        training = dict(one.continuation or {}) if goes_on(one) else {}
        arrays |= {f"{k}.training.{name}": values for name, values in training.pop("arrays", {}).items()}
        arrays |= {f"{k}.history.{name}": column for name, column in one.history.items()}
        tree.append({name: getattr(one, name) for name in KEPT} | {"training": training or None})
    return {"version": VERSION, "slabs": tree, "arrays": arrays}


def restored(march: Solution, problem: Problem, times: Sequence[float], networks: Sequence[Network]) -> list[Solution] | None:
    """The solutions of a march's slabs, None where they are not kept, and where the problem is another one but for its limits.

    networks: of the slabs, as the march's solution has them.
    """
    stored = march.continuation
    if stored is None or "slabs" not in stored or march.problem is None or not is_same(march.problem, problem):
        return None
    try:
        if stored["version"] == VERSION:
            parts = [slab(problem, times, k, networks[k - 1] if k else None, 1.0) for k in range(len(networks))]
            entries = zip(parts, networks, stored["slabs"], strict=True)
            return [_restored(march, k, *one, stored["arrays"]) for k, one in enumerate(entries)]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        LOG.warning("slabs go on from their networks alone, since the rest of their state cannot be read: %s", error)
    return None


def _restored(
    march: Solution, k: int, part: Problem, network: Network, entry: Mapping[str, Any], arrays: Mapping[str, Any]
) -> Solution:
    history = of(arrays, f"{k}.history.")
    training = entry["training"]
    continuation = None if training is None else {**training, "arrays": of(arrays, f"{k}.training.")}
    kept = {name: kind(entry[name]) for name, kind in KEPT.items()}
    return replace(
        march, domain=part.domain, problem=part, network=network, history=history, continuation=continuation, **kept
    )  # fmt: skip
