"""Where a training goes on: its full state as plain data, so that a resumed training is the one that was not stopped.

A stage is prepared again from the state before it: network, points and random numbers follow from that. Its last step, with the
optimizer's memory, is where the steps go on.
"""

from __future__ import annotations

import logging
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pdekan.ansatz.unknowns import build_ansatz
from pdekan.networks import kinds
from pdekan.networks.base import Network
from pdekan.optimizers.base import Memory, Step
from pdekan.problems.problem import Problem
from pdekan.residuals.validation import Residuals
from pdekan.solutions.solution import Solution
from pdekan.solutions.stored_data import check_sizes
from pdekan.training.goal import Goal
from pdekan.training.reasons import Reason
from pdekan.training.schedule import Stage
from pdekan.training.state import Candidate, State
from pdekan.training.stopping import BestStep

LOG = logging.getLogger(__name__)
VERSION = 1
# Of a training, what may change when it goes on. An optimizer's memory of more numbers is not kept.
LIMITS, MOST_NUMBERS = ("seconds", "steps", "memory", "tolerance"), 8_000_000


@dataclass(frozen=True)
class Position:
    """The last step of a stage, from which it goes on.

    step: without a memory the optimizer starts anew from its parameters. optimizer: its name and options. grading: see `State`.
    """

    step: Step
    optimizer: str
    best_step: BestStep
    grading: Tensor | None


@dataclass(frozen=True)
class Continuation:
    """Where a training goes on: the state after a stage, or that before it with the stage and the last step in it.

    target: the residual at which training stops; lowered: how often it was lowered for the estimated error. exact: whether data
    whose noise is not known were found to have none.
    """

    state: State
    target: float
    lowered: int = 0
    stage: Stage | None = None
    position: Position | None = None
    exact: bool = False


CLASSES = {kind.__name__: kind for kind in (Continuation, Position, Step, BestStep, State, Candidate, Stage, Residuals)}


def plain(continuation: Continuation) -> dict[str, Any] | None:
    """A continuation as JSON, `tree`, and numbers, `arrays`; None where it has a network that no file can rebuild."""
    position = continuation.position
    if position is not None and _numbers(position.step.memory or {}) > MOST_NUMBERS:
        continuation = replace(continuation, position=replace(position, step=replace(position.step, memory=None)))
    arrays: dict[str, Any] = {}
    if any(kinds.build(one.network.architecture()) is None for one in continuation.state.candidates):
        return None
    return {"version": VERSION, "tree": _plain(continuation, arrays), "arrays": arrays}


def restored(solution: Solution, problem: Problem) -> Continuation | None:
    """The continuation of a solution, None where it has none, or where the problem is another one but for its limits."""
    stored = solution.continuation
    if stored is None or solution.problem is None or not is_same(solution.problem, problem):
        return None
    try:
        if stored["version"] == VERSION:
            continuation = _restored(stored["tree"], stored["arrays"], problem)
            return continuation if isinstance(continuation, Continuation) else None
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        LOG.warning("training goes on from the network alone, since the rest of its state cannot be read: %s", error)
    return None


def is_same(before: Problem, now: Problem) -> bool:
    """Whether two problems, and how they are trained, differ in nothing but seconds, steps and memory."""
    if Goal.of(before, None) != Goal.of(now, None) or not _same_data(before, now):
        return False
    stated = before.text is not None and now.text is not None
    unlimited = [replace(one.training, seconds=1.0, steps=None, memory=None, tolerance=None) for one in (before, now)]
    if stated:  # the solver may want graded coordinates, which a file states only where the user does
        unlimited = [replace(one, adapt=False) for one in unlimited]
    if unlimited[0] != unlimited[1] or before.network != now.network:
        return False
    if before.text is not None and now.text is not None:
        return _without_limits(before.text) == _without_limits(now.text)
    changing = ("training", "data", "text", "singular", "narrow")
    return all(getattr(before, one.name) is getattr(now, one.name) for one in fields(Problem) if one.name not in changing)


def _without_limits(text: str) -> dict[str, Any]:
    """The tables of a problem file, without the limits of its training."""
    tables = tomllib.loads(text)
    training = {key: value for key, value in tables.pop("training", {}).items() if key not in LIMITS}
    return tables | {"training": training}


def _same_data(one: Problem, other: Problem) -> bool:
    """Whether the measurements, which come from files of their own, are the same."""
    return len(one.data) == len(other.data) and all(
        a.values.keys() == b.values.keys()
        and np.array_equal(a.points, b.points)
        and all(np.array_equal(a.values[name], b.values[name], equal_nan=True) for name in a.values)
        for a, b in zip(one.data, other.data, strict=True)
    )


def _numbers(memory: Memory) -> int:
    lists = [value if isinstance(value, list) else [value] for value in memory.values()]
    return sum(one.numel() if isinstance(one, Tensor) else 1 for values in lists for one in values)


def _plain(value: Any, arrays: dict[str, Any]) -> Any:
    """A value as JSON; its tensors are added to the arrays."""
    if isinstance(value, Tensor):
        arrays[name := str(len(arrays))] = value.detach().cpu().numpy().copy()
        return {"tensor": name}
    if isinstance(value, Network):
        parameters = {name: _plain(one, arrays) for name, one in value.state_dict().items()}
        return {"network": value.architecture(), "parameters": parameters}
    if isinstance(value, Reason):
        return {"reason": value.value}
    if is_dataclass(value):
        return {"class": type(value).__name__} | {one.name: _plain(getattr(value, one.name), arrays) for one in fields(value)}
    if isinstance(value, tuple):
        return {"tuple": [_plain(one, arrays) for one in value]}
    if isinstance(value, list):
        return [_plain(one, arrays) for one in value]
    if isinstance(value, Mapping):
        return {"mapping": {name: _plain(one, arrays) for name, one in value.items()}}
    return value


def _restored(tree: Any, arrays: Mapping[str, Any], problem: Problem) -> Any:
    """The value of a tree; raises KeyError, TypeError or ValueError for one that is not ours."""
    if isinstance(tree, list):
        return [_restored(one, arrays, problem) for one in tree]
    if not isinstance(tree, Mapping):
        return tree
    if "class" in tree:  # its fields may have the names below
        given = {name: _restored(one, arrays, problem) for name, one in tree.items() if name != "class"}
        return CLASSES[tree["class"]](**given)
    if "tensor" in tree:
        return torch.as_tensor(arrays[tree["tensor"]])
    if "network" in tree:
        parameters = {name: _restored(one, arrays, problem) for name, one in tree["parameters"].items()}
        check_sizes(tree["network"], sum(one.numel() for one in parameters.values()))
        bare = kinds.build(tree["network"])
        if bare is None:
            raise ValueError("a network of another kind")
        network = build_ansatz(problem, bare)
        network.load_state_dict(parameters)
        return network
    if "reason" in tree:
        return Reason(tree["reason"])
    if "tuple" in tree:
        return tuple(_restored(one, arrays, problem) for one in tree["tuple"])
    return {name: _restored(one, arrays, problem) for name, one in tree["mapping"].items()}
