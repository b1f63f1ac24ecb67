"""Problems: a domain, an equation, its conditions, and the exact solution where there is one."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from pdekan.domains.base import Domain
from pdekan.fields.jets import Derivatives, Frame, Jet, Level, MissingDerivative
from pdekan.fields.multi_indices import MAX_ORDER, Higher, indices, least
from pdekan.fields.singular_functions import SingularFunctions
from pdekan.problems.condition import Condition, OperatorCondition
from pdekan.problems.description import Described, text_of
from pdekan.problems.formulas import (
    EXACT,
    Constant,
    Field,
    Formula,
    ProblemError,
    PythonField,
    RightHandSide,
    as_field,
    names_of,
    right_hand_side,
)
from pdekan.problems.functionals import Quantity
from pdekan.problems.options import NetworkOptions, TrainingOptions
from pdekan.problems.parameters import Enrichment, Measurements, Parameter, Range
from pdekan.problems.tables import Table

ELEMENTS = "fem"  # the reference that stands for finite elements instead of a file


@dataclass(frozen=True)
class Equation:
    """operator(unknowns) = source in the domain."""

    operator: Field
    source: Field | RightHandSide = EXACT


@dataclass(frozen=True)
class NarrowPlace:
    """A place where data vary along an axis, about a position, on a length, the width, that points may miss.

    content: about the height of the data times the width. at: the point at which it was found.
    """

    axis: int
    position: float
    width: float
    content: float
    at: tuple[float, ...]


@dataclass(frozen=True, repr=False)
class Problem(Described):
    """Find the unknowns with equation(unknowns) = source in the domain and every condition on its faces.

    equation, source: plain Python functions of coordinates and unknowns by name, or numbers; for a system, sequences of equal
    length; no equation at all is a regression. exact: such a function, or one for each unknown by name (and numbers for
    parameters). `source=EXACT` is the operator applied to `exact` (a manufactured solution). parameters: numbers trained with
    the unknowns. ranges: of the parameters of a family, which is solved for all of their values; where a single problem is
    asked for, it is the one in the middle of all ranges. values: of parameters, by name. exact_reference: the reference for
    errors where no formula is known: "fem" for finite elements, or the path of a file. interfaces: shapes by name, across whose
    boundaries the unknowns or their slopes may jump. tables: those that formulas of a problem file use. narrow: places that
    were found in the data, at which points are laid more densely. outputs: quantities of the solution by name. singular:
    functions of corners that networks have beside them. text: that of the problem file, if there is one. complex: the unknowns
    that are the real and the imaginary part of complex ones, by their names. times: at which the solution is written and drawn.
    units: of coordinates, unknowns and parameters. vectors: unknowns that are the components of a vector along the coordinates
    of space, by the vector's name. Raises ProblemError for arguments of other types, for names that do not exist and for EXACT
    without an exact solution.
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
    complex: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    ranges: Mapping[str, Range] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)
    data: tuple[Measurements, ...] = ()
    enrichments: tuple[Enrichment, ...] = ()
    interfaces: Mapping[str, Domain] = field(default_factory=dict)
    tables: tuple[Table, ...] = ()
    network: NetworkOptions = field(default_factory=NetworkOptions)
    training: TrainingOptions = field(default_factory=TrainingOptions)
    outputs: Mapping[str, Quantity] = field(default_factory=dict)
    text: str | None = None
    narrow: tuple[NarrowPlace, ...] = ()
    singular: tuple[SingularFunctions, ...] = ()
    times: tuple[float, ...] = ()
    units: Mapping[str, str] = field(default_factory=dict)
    vectors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_types(vars(self))
        for name in ("conditions", "unknowns", "data", "enrichments"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.ranges:
            _check_family(self)
        if not (self.equations or self.data):
            raise ProblemError("neither an equation nor data: there is nothing to solve")
        for one in self.equations:
            _check_mentions(one.operator, self)
        if self.exact is not None and self.exact_reference is not None:
            raise ProblemError("an exact solution and a reference; errors are measured against one of them")
        taken = [one.operator for one in self.equations if one.source is EXACT]
        conditions = (one for one in self.conditions if isinstance(one, OperatorCondition) and one.needs_exact)
        taken += [one.operator for one in conditions]
        named = frozenset[str]().union(*map(names_of, taken))
        missing = [name for name in self.unknowns if name in named and name not in self.exact_fields]
        if missing:
            raise ProblemError(
                f"a source or value is taken from the exact solution, but there is no exact solution for {', '.join(missing)}"
            )
        for condition in self.conditions:
            condition.check(self)
        for measured in self.data:
            for name in measured.values:
                if name not in self.unknowns:
                    raise ProblemError(f"{measured.name}: {name!r} is no unknown; the unknowns are {', '.join(self.unknowns)}")

    def __deepcopy__(self, memo: object) -> Problem:
        return self  # it is frozen; networks hold their problem and are copied often

    def faces(self, condition: Condition) -> list[str]:
        """The faces of the domain that a condition is on, in the order of its names."""
        return condition.faces(self.domain)

    @property
    def face_count(self) -> int:
        """How many faces have training points of their own, once for each condition."""
        return sum(len(self.faces(condition)) for condition in self.conditions if condition.has_points)

    @functools.cached_property
    def equations(self) -> tuple[Equation, ...]:
        """Operators with their sources. Raises ProblemError where there are not as many of both."""
        operators = tuple(self.equation) if isinstance(self.equation, Sequence) else (self.equation,)
        sources = tuple(self.source) if isinstance(self.source, Sequence) else (self.source,) * len(operators)
        if len(operators) != len(sources):
            raise ProblemError(f"{len(operators)} equations with {len(sources)} sources; lists of equal length are needed")
        return tuple(Equation(as_field(left), right_hand_side(right)) for left, right in zip(operators, sources, strict=True))

    @property
    def equation_texts(self) -> list[str]:
        """The equations as they are written, "…" for what is a Python function."""
        return [f"{text_of(one.operator)} = {text_of(one.source)}" for one in self.equations]

    @functools.cached_property
    def exact_fields(self) -> dict[str, Field]:
        """The exact solution by name, for those names for which it is known."""
        if self.exact is None:
            return {}
        exact = self.exact if isinstance(self.exact, Mapping) else {self.unknowns[0]: self.exact}
        return {name: as_field(formula) for name, formula in exact.items()}

    @property
    def constants(self) -> dict[str, float]:
        """The values of parameters by name, those of a family in the middle of their ranges."""
        return {**self.values, **{name: one.middle for name, one in self.ranges.items()}}

    def member(self, **values: float) -> Problem:
        """The problem of a family at values of its parameters. Raises ProblemError for other names, or outside of a range."""
        missing = [name for name in self.ranges if name not in values]
        unknown = [name for name in values if name not in self.ranges]
        if missing or unknown:
            known = ", ".join(self.ranges) or "none: it is no family"
            what = f"needs a value of {missing[0]}" if missing else f"has no parameter {unknown[0]!r} with a range"
            raise ProblemError(f"a member of {self.name} {what}; its parameters are {known}")
        for name, one in self.ranges.items():
            if not one.lower <= values[name] <= one.upper:
                raise ProblemError(f"{name} = {values[name]:g} is not in its range [{one.lower:g}, {one.upper:g}]")
        return replace(self, ranges={}, values={**self.values, **values})

    @property
    def sought(self) -> tuple[str, ...]:
        """The unknowns, then the parameters: the names of formulas beside coordinates, and the outputs of a network."""
        return (*self.unknowns, *self.parameters)

    def environment(
        self,
        points: Tensor,
        level: Level,
        normals: Tensor | None = None,
        sought: Mapping[str, Jet] | None = None,
    ) -> dict[str, Any]:
        """The jets of the names of formulas at points ``(n, d)``: coordinates, their vector, and those of `sought`.

        Beside them the numbers that `constants` names.
        """
        domain = self.domain
        frame = Frame(domain.coordinates, level, normals)
        names: dict[str, Any] = {name: frame.coordinate(points, k) for k, name in enumerate(domain.coordinates)}
        if domain.vector is not None:
            names[domain.vector] = frame.position(points)
        for name, jet in (sought or {}).items():
            names[name] = replace(jet, frame=frame)
        return names | self.constants

    def exact_jets(self, points: Tensor, level: Level, normals: Tensor | None = None) -> dict[str, Jet]:
        """The jets of the exact solution, where it is known, at points ``(n, d)``; of others the parameters' initial values."""
        environment = self.environment(points, level, normals)
        guesses = {name: Constant(parameter.initial) for name, parameter in self.parameters.items()}
        return {name: formula(environment) for name, formula in (guesses | self.exact_fields).items()}

    def exact_jet(self, points: Tensor, level: Level, normals: Tensor | None = None, unknown: str | None = None) -> Jet:
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
        level: Level,
        normals: Tensor | None,
    ) -> Tensor:
        """Values ``(n,)`` of a source or of a condition's value; EXACT is the operator applied to the exact solution."""
        if value is EXACT:
            exact = self.exact_jets(points, level, normals)
            return operator(self.environment(points, level, normals, exact)).value
        written = as_field(value)
        level = self.level_of(written, points[:2], None if normals is None else normals[:2])
        return written(self.environment(points, level, normals)).value

    @functools.cached_property
    def order(self) -> int:
        """The order of the highest derivatives in equations and conditions, at least two."""
        levels = [level for _, level in self._levels]
        for one in (one for condition in self.conditions for one in condition.requirements(self)):
            for face in one.faces[:1]:
                rule = self.domain.face(face, 1, 2, 2, 0)
                assert rule.normals is not None
                points, normals = torch.as_tensor(rule.points[:2]), torch.as_tensor(rule.normals[:2])
                levels.append(self.level_of(one.operator, points, normals))
        return max((len(level.indices[-1]) for level in levels if isinstance(level, Higher)), default=2)

    def order_along(self, unknown: str, coordinate: str) -> int:
        """The highest order of derivatives by a coordinate in equations that mention an unknown, at least two."""
        k = self.domain.coordinates.index(coordinate)
        levels = [level for names, level in self._levels if unknown in names or not names]
        every = [index for level in levels if isinstance(level, Higher) for index in level.indices]
        return max((index.count(k) for index in every), default=2)

    @functools.cached_property
    def _levels(self) -> list[tuple[frozenset[str], Level]]:
        """The names in each equation's operator, and the derivatives that it needs."""
        points = torch.as_tensor(self.domain.interior(1, 2, 2, 0).points[:2])
        return [(names_of(one.operator), self.level_of(one.operator, points)) for one in self.equations]

    def level_of(self, operator: Field, points: Tensor, normals: Tensor | None = None) -> Level:
        """The lowest level of derivatives at which the operator can be evaluated, found by evaluating it.

        Above second order it has the derivatives without each of which the operator cannot be evaluated. Raises ProblemError
        for an operator of higher than fourth order.
        """

        def missing(level: Level) -> MissingDerivative | None:
            """What a level lacks."""
            frame = Frame(self.domain.coordinates, level, normals)
            trial = dict.fromkeys(self.sought, frame.coordinate(points, 0))
            try:
                value = operator(self.environment(points, level, normals, trial))
            except MissingDerivative as error:
                return error
            if value.components is not None:
                raise ProblemError("a formula is a vector; a scalar is needed (dot and div make one)")
            return None

        reason = None
        for level in Derivatives:
            reason = missing(level)
            if reason is None:
                return level
        for order in range(3, MAX_ORDER + 1):
            every = indices(self.domain.dimension, 3, order)
            reason = missing(Higher(every))
            if reason is None:
                return Higher(least(every, lambda some: missing(Higher(some)) is None))
        raise ProblemError(
            f"derivatives above fourth order are not supported (in {reason}); name some derivatives as unknowns of their "
            'own: unknowns = ["u", "v"], operator = ["laplacian(u) - v", "laplacian(laplacian(v))"]'
        )


def _check_family(problem: Problem) -> None:
    """Raise ProblemError for a family beside what belongs to a single problem, and for a name that is taken."""
    name = next(iter(problem.ranges))
    if problem.parameters:
        raise ProblemError(
            f"{next(iter(problem.parameters))} is trainable and {name} has a range: solve the family with a range for both, "
            "and find the values in it by solution.fit(points, values)"
        )
    if problem.data:
        raise ProblemError(
            f"{name} has a range, and measurements belong to one of its values: leave [[data]] out, and find that value in the "
            "solved family by solution.fit(points, values)"
        )
    if problem.exact_reference is not None:
        raise ProblemError(f"{name} has a range, and a reference is that of one value; state formulas in [exact], or one value")
    for one in problem.ranges:
        if one in (*problem.domain.coordinates, problem.domain.vector, *problem.unknowns):
            raise ProblemError(f"{one!r} has a range, and is the name of a coordinate or an unknown already; choose another")


def _check_mentions(operator: Field, problem: Problem) -> None:
    """Raise ProblemError for a Python function that is an equation and has no unknown among its arguments."""
    if isinstance(operator, PythonField) and not {*operator.names} & {*problem.sought}:
        names, unknowns = ", ".join(operator.names) or "nothing", ", ".join(problem.unknowns)
        raise ProblemError(f"an equation is a function of {names}; it mentions no unknown, and the unknowns are {unknowns}")


def _check_types(given: Mapping[str, Any]) -> None:
    """Raise ProblemError where an argument is not of its type: what was given, and what is needed."""
    for name, kind in {"domain": Domain, "network": NetworkOptions, "training": TrainingOptions}.items():
        if not isinstance(given[name], kind):
            example = "box(x=(0, 1))" if kind is Domain else f"{kind.__name__}(…)"
            raise ProblemError(f"{name} is {given[name]!r}; a {kind.__name__} is needed, such as {example}")
    for name, item in {"conditions": Condition, "data": Measurements, "enrichments": Enrichment, "unknowns": str}.items():
        listed = isinstance(given[name], Sequence) and not isinstance(given[name], str)
        if not listed or not all(isinstance(one, item) for one in given[name]):
            example = {"conditions": "[dirichlet(0.0)]", "unknowns": '("u", "v")'}.get(name, f"[{item.__name__}(…)]")
            found = (
                f"a {type(given[name]).__name__}" if isinstance(given[name], item) and item is not str else repr(given[name])
            )
            raise ProblemError(f"{name} is {found}; a list is needed, such as {name}={example}")
    for name, one in given["parameters"].items():
        if not isinstance(one, Parameter):
            raise ProblemError(f"{name} is {one!r}; a Parameter is needed, such as Parameter(1.0), or values={{{name!r}: 1.0}}")
    for name in ("equation", "source"):
        if isinstance(given[name], str):
            as_field(given[name])  # refuses text
