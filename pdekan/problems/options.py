"""Options: which network represents the unknowns, and how it is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


def _frozen(sizes: int | Sequence[int] | None) -> int | tuple[int, ...] | None:
    """Sizes as they are kept: lists become tuples."""
    return sizes if sizes is None or isinstance(sizes, int) else tuple(sizes)


@dataclass(frozen=True)
class Nodes:
    """A hidden layer: nodes that add what comes in, and nodes that multiply it. Raises ValueError for none of both."""

    sum: int = 0
    product: int = 0

    def __post_init__(self) -> None:
        if min(self.sum, self.product) < 0 or self.sum + self.product < 1:
            raise ValueError(
                f"a hidden layer with {self.sum} sum nodes and {self.product} product nodes; it needs at least one"
            )


@dataclass(frozen=True)
class NetworkOptions:
    """The network that represents the unknown; None leaves the choice to the solver.

    kind: "kan" or "mlp". hidden: nodes in each hidden layer, a number of sums or `Nodes`. degree, intervals: of the splines,
    one number or one a layer of edges. base: "none", or "silu" for the residual activation w_b·silu(x) + w_s·spline(x) of
    arXiv:2404.19756, eq. 2.10. Raises ValueError for product nodes in an MLP.
    """

    kind: Literal["kan", "mlp"] = "kan"
    hidden: Sequence[int | Nodes] | None = None
    degree: int | Sequence[int] | None = None
    intervals: int | Sequence[int] | None = None
    base: Literal["none", "silu"] = "none"

    def __post_init__(self) -> None:
        for name in ("degree", "intervals"):
            object.__setattr__(self, name, _frozen(getattr(self, name)))
        if self.hidden is not None:
            object.__setattr__(self, "hidden", tuple(self.hidden))
        if self.kind == "mlp" and any(nodes.product for nodes in self.layers or ()):
            raise ValueError("an mlp has no product nodes; write numbers of nodes")

    @property
    def layers(self) -> tuple[Nodes, ...] | None:
        """The hidden layers' nodes."""
        if self.hidden is None:
            return None
        return tuple(Nodes(nodes) if isinstance(nodes, int) else nodes for nodes in self.hidden)


@dataclass(frozen=True)
class Weights:
    """Factors of the mean squares in the loss."""

    equation: float = 1.0
    conditions: float = 1.0
    data: float = 1.0


@dataclass(frozen=True)
class TrainingOptions:
    """How the network is trained; None leaves the choice to the solver.

    points: about how many training points inside. weights: None balances equation and conditions by their units.
    refine: knot intervals, stage by stage. starts: restarts, ranked by training residual. seconds, steps: budgets.
    tolerance: relative residual, on points that training has not seen, at which training stops. memory: megabytes that the
    Jacobian may take. slabs: parts of time that are solved one after the other, each from where the one before ended.
    resample: whether every stage is trained a second time, on points that lie more densely where the residual is large.
    adapt: whether coordinates are graded, from stage to stage, so that the places where the solution is steep are spread out.
    """

    optimizer: Literal["gauss-newton", "matrix-free", "ssbroyden", "lbfgs", "adam"] = "gauss-newton"
    points: int | None = None
    weights: Weights | None = None
    refine: Sequence[int] | None = None
    seed: int = 0
    starts: int | None = None
    seconds: float = 60.0
    steps: int | None = None
    tolerance: float | None = None
    memory: float | None = None
    slabs: int = 1
    resample: bool = False
    adapt: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "refine", _frozen(self.refine))
