"""Options: the network that represents the unknowns, and its training.

Problem files have the fields as keys and are checked by the limits in the annotations; a text there describes the field.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Len, Lt

Count = Annotated[int, Ge(0), Le(1000)]
Degree = Annotated[int, Ge(1), Le(12)]
Intervals = Annotated[int, Ge(1), Le(1000)]
Width = Annotated[int, Ge(1), Le(1000)]
Layers = Len(1, 10)
Cells = Annotated[int, Ge(1), Le(1000)]
Weight = Annotated[float, Gt(0), Le(1e12)]


@dataclass(frozen=True)
class Nodes:
    """A hidden layer: how many nodes add what comes in, and how many multiply it.

    Raises ValueError for no nodes at all.
    """

    sum: Count = 0
    product: Count = 0

    def __post_init__(self) -> None:
        if min(self.sum, self.product) < 0:
            raise ValueError(f"{self.sum} sum nodes and {self.product} product nodes; a number of nodes is not negative")
        if self.sum + self.product < 1:
            raise ValueError("a hidden layer needs at least one node")


@dataclass(frozen=True)
class NetworkOptions:
    """The network that represents the unknown; what is left out is chosen by the solver.

    hidden: the nodes of each hidden layer; a number means sum nodes. degree, intervals: those of the splines, a number or one
    for each layer of edges. base: "silu" is the residual activation w_b·silu(x) + w_s·spline(x) of arXiv:2404.19756, eq. 2.10.
    cells: parts of a box, each with a network of its own: "adaptive", or how many along each axis, 1 for a single network;
    degree is then that of the polynomials in a cell.
    Raises ValueError for values beyond the limits of the annotations, and for product nodes in an MLP.
    """

    kind: Annotated[Literal["kan", "mlp"], "splines on the edges, or a tanh network"] = "kan"
    hidden: Annotated[Annotated[Sequence[Width | Nodes], Layers] | None, "nodes of each hidden layer"] = None
    degree: Annotated[Degree | Annotated[Sequence[Degree], Layers] | None, "of the splines; one, or one a layer"] = None
    intervals: Annotated[
        Intervals | Annotated[Sequence[Intervals], Layers] | None, "knot intervals of an edge; one number, or one a layer"
    ] = None
    base: Annotated[Literal["none", "silu"], "silu: the residual activation of the KAN paper"] = "none"
    cells: Annotated[
        Literal["adaptive"] | Cells | Annotated[Sequence[Cells], Len(1, 3)] | None, "parts with a network each; on boxes"
    ] = None

    def __post_init__(self) -> None:
        check_limits(self)
        for name in ("degree", "intervals", "cells"):
            value = getattr(self, name)
            object.__setattr__(
                self, name, tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
            )
        if self.hidden is not None:
            plain = (n.sum if isinstance(n, Nodes) and not n.product else n for n in self.hidden)
            object.__setattr__(self, "hidden", tuple(plain))
        if self.kind == "mlp" and any(nodes.product for nodes in self.layers or ()):
            raise ValueError("an mlp has no product nodes; write numbers of nodes")

    @property
    def local(self) -> bool:
        """Whether there is more than one cell."""
        counts = (self.cells,) if isinstance(self.cells, (int, str)) else self.cells or ()
        return any(n != 1 for n in counts)

    @property
    def layers(self) -> tuple[Nodes, ...] | None:
        """The nodes of the hidden layers."""
        if self.hidden is None:
            return None
        return tuple(Nodes(nodes) if isinstance(nodes, int) else nodes for nodes in self.hidden)


@dataclass(frozen=True)
class Weights:
    """Factors of the mean squares in the loss. Raises ValueError for one that is not positive."""

    equation: Weight = 1.0
    conditions: Weight = 1.0
    data: Weight = 1.0

    def __post_init__(self) -> None:
        check_limits(self)


@dataclass(frozen=True)
class TrainingOptions:
    """How the network is trained; what is left out is chosen by the solver.

    points: about how many training points are inside the domain. weights: None balances the equation and the conditions by
    the sizes of their operators. starts: how many trainings, with seeds `seed`, `seed` + 1, …, share the time and the steps;
    the network with the least relative residual on validation points, which are not training points, is kept. seconds: the
    time allowed, in all. steps: the largest number of optimizer steps in all, over stages, starts and the training that is
    resumed; each slab of time has as many. None limits each stage by itself, depending on the optimizer. tolerance: the
    relative residual on validation points at which training stops. resample: each stage is trained twice, the second time on
    points that are denser where the residual is large. Raises ValueError for values beyond the limits of the annotations.
    """

    optimizer: Annotated[
        Literal["gauss-newton", "matrix-free", "ssbroyden", "lbfgs", "adam"], "what minimises the least squares"
    ] = "gauss-newton"
    points: Annotated[int | None, Ge(1), Le(1_000_000), "training points inside, about"] = None
    weights: Annotated[Weights | None, "factors of the mean squares; without, they are balanced"] = None
    refine: Annotated[Sequence[Intervals] | None, Len(1, 20), "intervals by stage"] = None
    seed: Annotated[int, Ge(0), Le(2**63 - 1), "of the random start"] = 0
    starts: Annotated[int | None, Ge(1), Le(1000), "trainings from other seeds, of which the best is kept"] = None
    seconds: Annotated[float, Gt(0), Le(1e7), "time allowed"] = 60.0
    steps: Annotated[int | None, Ge(1), Le(10_000_000), "optimizer steps at most, in all"] = None
    tolerance: Annotated[float | None, Gt(0), Lt(1), "of the relative error and the relative residual"] = None
    memory: Annotated[float | None, Ge(1), Le(1e7), "megabytes that the Jacobian may take"] = None
    slabs: Annotated[int, Ge(1), Le(1000), "parts of time that are solved one after the other"] = 1
    resample: Annotated[bool, "train every stage again with more points where the residual is large"] = False
    adapt: Annotated[bool, "grade the coordinates so that steep places are spread out; on boxes"] = False

    def __post_init__(self) -> None:
        check_limits(self)
        if self.refine is not None:
            object.__setattr__(self, "refine", tuple(self.refine))


def check_limits(options: Any) -> None:
    """Raise ValueError for a field of a dataclass that its annotation does not allow: what was given, and what is allowed."""
    hints = get_type_hints(type(options), include_extras=True)
    for one in fields(options):
        value = getattr(options, one.name)
        fault = _fault(hints[one.name], value)
        if fault is not None:
            raise ValueError(f"{type(options).__name__}: {one.name} = {value!r}; {fault}")


def _fault(hint: Any, value: Any) -> str | None:
    """What is wrong with a value, in words; None for nothing."""
    kind, arguments = get_origin(hint), get_args(hint)
    if kind is Annotated:
        return _fault(arguments[0], value) or next((text for one in arguments[1:] if (text := _beyond(one, value))), None)
    if kind in (Union, UnionType):
        listed = isinstance(value, Sequence)
        faults = [
            _fault(one, value) for one in sorted(arguments, key=lambda one: (one is NoneType, _is_sequence(one) != listed))
        ]
        return None if None in faults else faults[0]
    if kind is Literal:
        return None if value in arguments else f"it must be one of {', '.join(map(str, arguments))}"
    if kind is Sequence:
        if not isinstance(value, Sequence) or isinstance(value, str):
            return "it must be a sequence, such as (10, 10)"
        return next((fault for one in value if (fault := _fault(arguments[0], one))), None)
    if hint is float:
        return None if _is_number(value) else "it must be a number"
    if hint is int:
        return None if _is_number(value) and value == int(value) else "it must be a whole number"
    name = "None" if hint is NoneType else f"a {hint.__name__}"
    return None if isinstance(value, hint) else f"it must be {name}"


def _is_sequence(hint: Any) -> bool:
    bare = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    return get_origin(bare) is Sequence


def _is_number(value: Any) -> bool:
    return not isinstance(value, (bool, str)) and hasattr(value, "__float__") and abs(float(value)) < float("inf")


def _beyond(limit: Any, value: Any) -> str | None:
    """What a limit asks for, where a value is beyond it."""
    if value is None:
        return None
    match limit:
        case Ge(least):
            return None if value >= least else f"it must be at least {least}"
        case Gt(least):
            return None if value > least else f"it must be above {least}"
        case Le(most):
            return None if value <= most else f"it must be at most {most}"
        case Lt(most):
            return None if value < most else f"it must be below {most}"
        case Len(_, int(most)):  # an empty one is a choice in Python: no hidden layer
            return None if len(value) <= most else f"it must have at most {most} entries"
    return None
