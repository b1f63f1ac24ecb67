"""Problems: a domain, an equation, its conditions, and the exact solution where there is one."""

from __future__ import annotations

import enum
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from torch import Tensor

from pdekan.domains.box import Box
from pdekan.jets import TIME, Derivatives, Frame, Jet, MissingDerivative
from pdekan.operators import normal

Environment = Mapping[str, Jet]
Formula = Callable[..., Jet | float] | float


class ProblemError(ValueError):
    """A problem that cannot be solved as stated; the message says what, where, and what to try."""


class RightHandSide(enum.Enum):
    """A right-hand side that is taken from the exact solution instead of being written down."""

    EXACT = "exact"


EXACT = RightHandSide.EXACT


class Field(ABC):
    """A formula of a problem: from the jets of its names (coordinates, unknowns) to the jet of its value."""

    @abstractmethod
    def __call__(self, environment: Environment) -> Jet:
        """The value's jet. Raises ProblemError for a name that the environment lacks."""


@dataclass(frozen=True)
class PythonField(Field):
    """A Python function whose parameters are names: ``lambda x, y: sin(x) * y``; numbers become constant fields."""

    function: Callable[..., Jet | float]
    names: tuple[str, ...]

    def __call__(self, environment: Environment) -> Jet:
        missing = [name for name in self.names if name not in environment]
        if missing:
            raise ProblemError(f"unknown name {missing[0]!r}; known here: {', '.join(environment)}")
        value = self.function(*(environment[name] for name in self.names))
        if isinstance(value, Jet):
            return value
        like = next(iter(environment.values()))
        return like.frame.constant(float(value), like.value)


@dataclass(frozen=True)
class Constant(Field):
    """The same number everywhere."""

    number: float

    def __call__(self, environment: Environment) -> Jet:
        like = next(iter(environment.values()))
        return like.frame.constant(self.number, like.value)


def _itself(u: Jet) -> Jet:
    return u


def as_field(formula: Formula | Field) -> Field:
    """A plain Python function of named coordinates and unknowns, or a number, as a Field; a Field stays what it is."""
    if isinstance(formula, Field):
        return formula
    if callable(formula):
        return PythonField(formula, tuple(inspect.signature(formula).parameters))
    return Constant(float(formula))


Kind = Literal["dirichlet", "neumann", "robin", "periodic", "initial"]


@dataclass(frozen=True)
class Condition:
    """operator(u) = value on faces of the domain; periodic conditions join two opposite faces and have no operator."""

    kind: Kind
    on: tuple[str, ...]
    operator: Field | None = None
    value: Field | RightHandSide = EXACT


def _right(value: Formula | RightHandSide) -> Field | RightHandSide:
    return value if isinstance(value, RightHandSide) else as_field(value)


def _names(on: str | tuple[str, ...] | list[str]) -> tuple[str, ...]:
    return (on,) if isinstance(on, str) else tuple(on)


def dirichlet(value: Formula | RightHandSide = 0.0, on: str | tuple[str, ...] = "boundary", unknown: str = "u") -> Condition:
    """u = value."""
    return Condition("dirichlet", _names(on), PythonField(_itself, (unknown,)), _right(value))


def neumann(value: Formula | RightHandSide = 0.0, on: str | tuple[str, ...] = "boundary", unknown: str = "u") -> Condition:
    """n · ∇u = value."""
    return Condition("neumann", _names(on), PythonField(normal, (unknown,)), _right(value))


def robin(operator: Formula, value: Formula | RightHandSide = 0.0, on: str | tuple[str, ...] = "boundary") -> Condition:
    """operator(u) = value, for example ``robin(lambda u: normal(u) + 2 * u, 1.0)``."""
    return Condition("robin", _names(on), as_field(operator), _right(value))


def periodic(coordinate: str) -> Condition:
    """u and its derivative by the coordinate agree on its two faces."""
    return Condition("periodic", (coordinate + "-", coordinate + "+"))


def initial(value: Formula | RightHandSide = 0.0, operator: Formula | None = None, unknown: str = "u") -> Condition:
    """u = value at the start of time; `operator` for another initial condition, as ``lambda u: dt(u)`` of a wave."""
    field = PythonField(_itself, (unknown,)) if operator is None else as_field(operator)
    return Condition("initial", (TIME + "-",), field, _right(value))


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
    Jacobian may take.
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

    def __post_init__(self) -> None:
        object.__setattr__(self, "refine", _frozen(self.refine))


@dataclass(frozen=True)
class Problem:
    """Find u with equation(u) = source in the domain and every condition on its faces.

    equation, source, exact: plain Python functions of coordinates and unknowns by name, or numbers; `source=EXACT` is the
    equation's operator applied to `exact` (a manufactured solution). text: the problem file's text, where it came from one.
    Raises ProblemError for a face that does not exist and for EXACT without an exact solution.
    """

    domain: Box
    equation: Formula
    source: Formula | RightHandSide = 0.0
    conditions: tuple[Condition, ...] = ()
    exact: Formula | None = None
    name: str = "problem"
    title: str = ""
    reference: str = ""
    unknown: str = "u"
    network: NetworkOptions = field(default_factory=NetworkOptions)
    training: TrainingOptions = field(default_factory=TrainingOptions)
    text: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "conditions", tuple(self.conditions))
        needs_exact = self.source is EXACT or any(c.value is EXACT and c.kind != "periodic" for c in self.conditions)
        if needs_exact and self.exact is None:
            raise ProblemError("a source or value is taken from the exact solution, but there is no exact solution")
        for condition in self.conditions:
            for name in condition.on:
                if name == TIME + "-" and TIME not in self.domain.coordinates:
                    raise ProblemError(
                        f"{condition.kind} condition: the domain has no time; name one of its coordinates {TIME}"
                    )
                try:
                    self.domain.resolve(name)
                except ValueError as error:
                    raise ProblemError(f"{condition.kind} condition: {error}") from None

    def environment(
        self, points: Tensor, level: Derivatives, normals: Tensor | None = None, unknown: Jet | None = None
    ) -> dict[str, Jet]:
        """The jets that formulas see at points ``(n, d)``: coordinates, their vector, and the unknown if given."""
        domain = self.domain
        frame = Frame(domain.coordinates, level, normals)
        names = {name: frame.coordinate(points, k) for k, name in enumerate(domain.coordinates)}
        if domain.vector is not None:
            names[domain.vector] = frame.position(points)
        if unknown is not None:
            names[self.unknown] = replace(unknown, frame=frame)
        return names

    def exact_jet(self, points: Tensor, level: Derivatives, normals: Tensor | None = None) -> Jet:
        """The exact solution's jet at points ``(n, d)``. Raises ProblemError where there is none."""
        if self.exact is None:
            raise ProblemError(f"problem {self.name!r} has no exact solution")
        return as_field(self.exact)(self.environment(points, level, normals))

    def right_hand_side(
        self,
        value: Formula | RightHandSide,
        operator: Field,
        points: Tensor,
        level: Derivatives,
        normals: Tensor | None,
    ) -> Tensor:
        """Values ``(n,)`` of a source or of a condition's value; EXACT is the operator applied to the exact solution."""
        if value is EXACT:
            exact = self.exact_jet(points, level, normals)
            return operator(self.environment(points, level, normals, exact)).value
        written = as_field(value)
        level = self.level_of(written, points[:2], None if normals is None else normals[:2])
        return written(self.environment(points, level, normals)).value

    def level_of(self, operator: Field, points: Tensor, normals: Tensor | None = None) -> Derivatives:
        """The cheapest level of derivatives with which the operator can be evaluated, found by trying.

        Raises ProblemError for an operator of higher than second order.
        """
        for level in Derivatives:
            frame = Frame(self.domain.coordinates, level, normals)
            try:
                operator(self.environment(points, level, normals, frame.coordinate(points, 0)))
            except MissingDerivative as error:
                reason = error
            else:
                return level
        raise ProblemError(f"derivatives above second order are not supported yet (in {reason})")
