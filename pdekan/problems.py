"""Problems: a domain, an equation, its conditions, and the exact solution where there is one."""

from __future__ import annotations

import enum
import functools
import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from torch import Tensor

from pdekan.domains.base import Domain
from pdekan.domains.quadrature import Array
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
ELEMENTS = "fem"  # the reference that is finite elements, not a file
DOMAIN = "domain"  # what the mean is taken over where no face is named


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


@dataclass(frozen=True)
class Less(Field):
    """The difference of two formulas."""

    first: Field
    second: Field

    def __call__(self, environment: Environment) -> Jet:
        return self.first(environment) - self.second(environment)


def itself(u: Jet) -> Jet:
    """The operator of conditions for values."""
    return u


def as_field(formula: Formula | Field) -> Field:
    """A plain Python function of named coordinates and unknowns, or a number, as a Field; a Field stays what it is."""
    if isinstance(formula, Field):
        return formula
    if callable(formula):
        return PythonField(formula, tuple(inspect.signature(formula).parameters))
    return Constant(float(formula))


Kind = Literal["dirichlet", "neumann", "robin", "periodic", "initial", "mean", "interface"]
Enforce = Literal["weak", "exact"]
Names = str | tuple[str, ...] | list[str]


@dataclass(frozen=True)
class Equation:
    """operator(unknowns) = source in the domain."""

    operator: Field
    source: Field | RightHandSide = EXACT


@dataclass(frozen=True)
class Condition:
    """operator(unknowns) = value on faces of the domain.

    Periodic conditions join two opposite faces and have no operator. The mean of an operator is taken over all of its faces
    together, or over the domain ("domain"). On an interface the operator jumps by the value, from the inside of the shape
    that bounds it to the outside. enforce: "exact" for values of `unknown` that are built into the network.
    """

    kind: Kind
    on: tuple[str, ...]
    operator: Field | None = None
    value: Field | RightHandSide = EXACT
    enforce: Enforce = "weak"
    unknown: str | None = None


def _right(value: Formula | RightHandSide) -> Field | RightHandSide:
    return value if isinstance(value, RightHandSide) else as_field(value)


def _names(on: Names) -> tuple[str, ...]:
    return (on,) if isinstance(on, str) else tuple(on)


def dirichlet(
    value: Formula | RightHandSide = 0.0, on: Names = "boundary", unknown: str = "u", enforce: Enforce = "weak"
) -> Condition:
    """u = value."""
    return Condition("dirichlet", _names(on), PythonField(itself, (unknown,)), _right(value), enforce, unknown)


def neumann(value: Formula | RightHandSide = 0.0, on: Names = "boundary", unknown: str = "u") -> Condition:
    """n · ∇u = value."""
    return Condition("neumann", _names(on), PythonField(normal, (unknown,)), _right(value))


def robin(operator: Formula, value: Formula | RightHandSide = 0.0, on: Names = "boundary") -> Condition:
    """operator(u) = value, for example ``robin(lambda u: normal(u) + 2 * u, 1.0)``."""
    return Condition("robin", _names(on), as_field(operator), _right(value))


def periodic(coordinate: str, unknown: str | None = None) -> Condition:
    """The unknown, or every one, and its derivative by the coordinate agree on the coordinate's two faces."""
    return Condition("periodic", (coordinate + "-", coordinate + "+"), unknown=unknown)


def initial(
    value: Formula | RightHandSide = 0.0,
    operator: Formula | None = None,
    unknown: str = "u",
    enforce: Enforce = "weak",
) -> Condition:
    """u = value at the start of time; `operator` for another initial condition, as ``lambda u: dt(u)`` of a wave."""
    field = PythonField(itself, (unknown,)) if operator is None else as_field(operator)
    return Condition("initial", (TIME + "-",), field, _right(value), enforce, unknown)


def mean(
    value: Formula | RightHandSide = 0.0, operator: Formula | None = None, on: Names = DOMAIN, unknown: str = "u"
) -> Condition:
    """The mean over the domain, or over faces, of u or of an operator: 1/|Ω| ∫ operator(u) = value, a number."""
    field = PythonField(itself, (unknown,)) if operator is None else as_field(operator)
    return Condition("mean", _names(on), field, _right(value))


def interface(
    on: Names, value: Formula | RightHandSide = 0.0, operator: Formula | None = None, unknown: str = "u"
) -> Condition:
    """u, or an operator such as the flux ``lambda k, u: k * normal(u)``, jumps by the value across an interface."""
    field = PythonField(itself, (unknown,)) if operator is None else as_field(operator)
    return Condition("interface", _names(on), field, _right(value))


@dataclass(frozen=True)
class Parameter:
    """A number that training finds, between bounds. Raises ValueError for an initial value that is not between them."""

    initial: float
    lower: float = -math.inf
    upper: float = math.inf

    def __post_init__(self) -> None:
        if not (self.lower < self.initial < self.upper and math.isfinite(self.initial)):
            raise ValueError(f"initial value {self.initial:g} is not between {self.lower:g} and {self.upper:g}")


def with_known_value(
    operator: Field, value: Formula | RightHandSide, parameters: Mapping[str, Parameter]
) -> tuple[Field, Formula | RightHandSide]:
    """Operator and value of the same condition, where the value depends on no parameter."""
    if isinstance(value, RightHandSide):
        return operator, value
    written = as_field(value)
    if not set(getattr(written, "names", ())) & set(parameters):
        return operator, written
    return Less(operator, written), Constant(0.0)


@dataclass(frozen=True, eq=False)
class Measurements:
    """Values ``(n,)`` of unknowns, measured at points ``(n, d)``; nan where one was not measured.

    noise: standard deviation of the values' errors, in their units; None where it is not known or there is none.
    """

    points: Array
    values: Mapping[str, Array]
    noise: float | None = None
    name: str = "data"


@dataclass(frozen=True)
class Enrichment:
    """A function whose multiples are added to the network of an unknown; the factor is found like its coefficients."""

    expression: Field
    unknown: str = "u"


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


@dataclass(frozen=True)
class Problem:
    """Find the unknowns with equation(unknowns) = source in the domain and every condition on its faces.

    equation, source: plain Python functions of coordinates and unknowns by name, or numbers; for a system, sequences of equal
    length; no equation at all is a regression. exact: such a function, or one for each unknown by name (and numbers for
    parameters). `source=EXACT` is the operator applied to `exact` (a manufactured solution). parameters: what is found beside
    the unknowns. exact_reference: what errors are measured against where no formula is known: "fem" for finite elements, or the
    path of a file. interfaces: shapes by name, across whose boundaries the unknowns may jump or kink. text: the problem file's
    text, where it came from one. Raises ProblemError for names that do not exist and for EXACT without an exact solution.
    """

    domain: Domain
    equation: Formula | Sequence[Formula] = ()
    source: Formula | RightHandSide | Sequence[Formula | RightHandSide] = 0.0
    conditions: tuple[Condition, ...] = ()
    exact: Formula | Mapping[str, Formula] | None = None
    exact_reference: str | None = None
    name: str = "problem"
    title: str = ""
    reference: str = ""
    unknowns: tuple[str, ...] = ("u",)
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    data: tuple[Measurements, ...] = ()
    enrichments: tuple[Enrichment, ...] = ()
    interfaces: Mapping[str, Domain] = field(default_factory=dict)
    network: NetworkOptions = field(default_factory=NetworkOptions)
    training: TrainingOptions = field(default_factory=TrainingOptions)
    text: str | None = None

    def __post_init__(self) -> None:
        for name in ("conditions", "unknowns", "data", "enrichments"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not (self.equations or self.data):
            raise ProblemError("neither an equation nor data: there is nothing to solve")
        if self.exact is not None and self.exact_reference is not None:
            raise ProblemError("an exact solution and a reference; errors are measured against one of them")
        missing = [name for name in self.unknowns if name not in self.exact_fields]
        needs = any(one.source is EXACT for one in self.equations)
        needs |= any(c.value is EXACT and c.kind != "periodic" for c in self.conditions)
        if needs and missing:
            raise ProblemError(
                f"a source or value is taken from the exact solution, but there is no exact solution for {', '.join(missing)}"
            )
        for condition in self.conditions:
            self._check(condition)
        for measured in self.data:
            for name in measured.values:
                if name not in self.unknowns:
                    raise ProblemError(f"{measured.name}: {name!r} is no unknown; the unknowns are {', '.join(self.unknowns)}")

    def __deepcopy__(self, memo: object) -> Problem:
        return self  # it is frozen; networks that know their problem are copied often

    def _check(self, condition: Condition) -> None:
        """Raise ProblemError for a condition on what does not exist."""
        if condition.unknown is not None and condition.unknown not in self.unknowns:
            raise ProblemError(f"{condition.unknown!r} is no unknown; the unknowns are {', '.join(self.unknowns)}")
        for name in condition.on:
            if name == TIME + "-" and TIME not in self.domain.coordinates:
                raise ProblemError(f"{condition.kind} condition: the domain has no time; name one of its coordinates {TIME}")
            if condition.kind == "interface":
                if name not in self.interfaces:
                    known = ", ".join(self.interfaces) or "none; add [domain.interfaces]"
                    raise ProblemError(f"interface condition: no interface {name!r}; the interfaces are {known}")
                continue
            if condition.kind == "mean" and name == DOMAIN:
                continue
            try:
                self.domain.resolve(name)
            except ValueError as error:
                raise ProblemError(f"{condition.kind} condition: {error}") from None

    @functools.cached_property
    def equations(self) -> tuple[Equation, ...]:
        """Operators with their sources. Raises ProblemError where there are not as many of both."""
        operators = tuple(self.equation) if isinstance(self.equation, Sequence) else (self.equation,)
        sources = tuple(self.source) if isinstance(self.source, Sequence) else (self.source,) * len(operators)
        if len(operators) != len(sources):
            raise ProblemError(f"{len(operators)} equations with {len(sources)} sources; lists of equal length are needed")
        return tuple(Equation(as_field(left), _right(right)) for left, right in zip(operators, sources, strict=True))

    @functools.cached_property
    def exact_fields(self) -> dict[str, Field]:
        """The exact solution by name, as far as it is known."""
        if self.exact is None:
            return {}
        exact = self.exact if isinstance(self.exact, Mapping) else {self.unknowns[0]: self.exact}
        return {name: as_field(formula) for name, formula in exact.items()}

    @property
    def sought(self) -> tuple[str, ...]:
        """The unknowns, then the parameters: what formulas see beside coordinates, and a network's outputs."""
        return (*self.unknowns, *self.parameters)

    def environment(
        self,
        points: Tensor,
        level: Derivatives,
        normals: Tensor | None = None,
        sought: Mapping[str, Jet] | None = None,
    ) -> dict[str, Jet]:
        """The jets that formulas see at points ``(n, d)``: coordinates, their vector, and what is sought if given."""
        domain = self.domain
        frame = Frame(domain.coordinates, level, normals)
        names = {name: frame.coordinate(points, k) for k, name in enumerate(domain.coordinates)}
        if domain.vector is not None:
            names[domain.vector] = frame.position(points)
        for name, jet in (sought or {}).items():
            names[name] = replace(jet, frame=frame)
        return names

    def exact_jets(self, points: Tensor, level: Derivatives, normals: Tensor | None = None) -> dict[str, Jet]:
        """The exact solution's jets at points ``(n, d)``, as far as it is known; parameters at their initial values if not."""
        environment = self.environment(points, level, normals)
        guesses = {name: Constant(parameter.initial) for name, parameter in self.parameters.items()}
        return {name: formula(environment) for name, formula in (guesses | self.exact_fields).items()}

    def exact_jet(self, points: Tensor, level: Derivatives, normals: Tensor | None = None, unknown: str | None = None) -> Jet:
        """The exact jet of an unknown, by default the first, at points ``(n, d)``. Raises ProblemError where there is none."""
        name = self.unknowns[0] if unknown is None else unknown
        if name not in self.exact_fields:
            raise ProblemError(f"problem {self.name!r} has no exact solution for {name}")
        return self.exact_fields[name](self.environment(points, level, normals))

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
            exact = self.exact_jets(points, level, normals)
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
            trial = dict.fromkeys(self.sought, frame.coordinate(points, 0))
            try:
                operator(self.environment(points, level, normals, trial))
            except MissingDerivative as error:
                reason = error
            else:
                return level
        raise ProblemError(
            f"derivatives above second order are not supported (in {reason}); name the second derivatives as unknowns of their "
            'own: unknowns = ["u", "v"], operator = ["laplacian(u) - v", "laplacian(v)"]'
        )
