"""Problem files: TOML text -> Problem, with errors that name file, line and key.

Strings are resolved here, once; what comes out holds objects. The format is a contract: `json_schema()` describes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pdekan import problem_schema as schema
from pdekan.checks import probe
from pdekan.domains.box import Box, hypercube
from pdekan.expressions import CONSTANTS, Expression, Kind, Scope, dependency_order, parse
from pdekan.jets import TIME
from pdekan.library import library
from pdekan.problem_schema import ProblemFile
from pdekan.problem_text import MAX_MESSAGES, ProblemFileError, Source, read, understand, written
from pdekan.problems import (
    EXACT,
    Condition,
    NetworkOptions,
    Nodes,
    Problem,
    ProblemError,
    RightHandSide,
    TrainingOptions,
    Weights,
    dirichlet,
    initial,
    neumann,
    periodic,
    robin,
)
from pdekan.programs import FUNCTIONS

__all__ = ["ProblemFileError", "json_schema", "library", "load_problem", "loads"]

_TABLES: dict[str, type[BaseModel]] = {
    "": ProblemFile, "equation": schema.Equation, "conditions": schema.Condition, "network": schema.Network,
    "training": schema.Training, "weights": schema.Weights, "hidden": schema.Nodes,
}  # fmt: skip
_WANTED = {
    "string": "text in quotes", "int": "a whole number", "float": "a finite number", "finite_number": "a finite number",
    "list": "a list [ … ]", "dict": "a table", "model": "a table", "model_attributes": "a table",
}  # fmt: skip


def load_problem(problem: str | Path, overrides: Mapping[str, Any] | Sequence[str] = ()) -> Problem:
    """The problem of a file, given by its path or by its name in the library.

    overrides: ``"section.key=value"`` strings, or a mapping from ``"section.key"`` to values, that replace what the
    file says; list items are counted from 0 (``conditions.0.value``). Raises ProblemFileError, which a user can act on.
    """
    where, text = read(problem)
    return _problem(understand(text, where, overrides))


def loads(text: str, where: str = "<text>") -> Problem:
    """The problem of a problem file's text; `where` is what messages call it. Raises ProblemFileError."""
    return _problem(understand(text, where))


def json_schema() -> dict[str, Any]:
    """The JSON schema of problem files (draft 2020-12)."""
    return ProblemFile.model_json_schema(by_alias=True)


def _problem(source: Source) -> Problem:
    try:
        file = ProblemFile.model_validate(source.data)
    except ValidationError as error:
        for item in error.errors(include_url=False)[:MAX_MESSAGES]:
            path = tuple(part for part in item["loc"] if part not in ("[key]", *schema.TAGS))
            source.add(path, _in_words(item, path))
        source.check()
        raise
    problem = _Resolver(file, source).problem()
    for path, message in probe(problem):
        source.add(path, message)
    source.check()
    return problem


def _in_words(item: ErrorDetails, path: tuple[str | int, ...]) -> str:
    """pydantic's finding in the words of the format."""
    kind, found, context = item["type"], written(item["input"]), item.get("ctx", {})
    if kind == "refused":
        return str(context["message"])
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        tables = [str(part) for part in path[:-1] if not isinstance(part, int)]
        model = _TABLES[tables[-1] if tables else ""]
        known = ", ".join(field.alias or name for name, field in model.model_fields.items())
        return f"unknown key; known are {known}"
    if kind == "literal_error":
        return f"found {found}, expected {context['expected']}"
    if kind == "string_pattern_mismatch":
        return f"found {found}; letters, digits, _ and - are allowed"
    limits = {
        "ge": "at least",
        "gt": "above",
        "le": "at most",
        "lt": "below",
        "min_length": "at least",
        "max_length": "at most",
    }
    for limit, words in limits.items():
        if limit in context:
            names = [part for part in path if part in schema.REASONS]
            reason = f" ({schema.REASONS[str(names[-1])]})" if names and limit == "le" else ""
            unit = " long" if limit.endswith("length") else ""
            return f"found {found}; it must be {words} {context[limit]}{unit}{reason}"
    wanted = _WANTED.get(kind.removesuffix("_type"), item["msg"])
    return f"found {found}, expected {wanted}"


class _Resolver:
    """Turns a validated file into a Problem; what is wrong is noted in its source."""

    def __init__(self, file: ProblemFile, source: Source) -> None:
        self.file, self.source = file, source
        self.unknown = file.unknowns[0]

    @contextmanager
    def noting(self, *path: str | int) -> Iterator[None]:
        try:
            yield
        except ProblemFileError:
            raise  # noted already
        except ValueError as error:
            self.source.add(path, str(error))

    def problem(self) -> Problem:
        file = self.file
        domain = self.domain()
        scope = self.scope(domain)
        exact = self.exact(scope)
        operator = self.formula(file.equation.operator, scope, "equation", "operator", of_unknown=True)
        right = self.right(file.equation.source, "manufactured", scope, "equation", "source")
        conditions = [self.condition(k, item, domain, scope) for k, item in enumerate(file.conditions)]
        self.source.check()
        return Problem(
            domain=domain,
            equation=operator,
            source=right,
            conditions=tuple(conditions),
            exact=exact,
            name=file.name,
            title=file.title,
            reference=file.reference,
            unknown=self.unknown,
            network=_network(file.network),
            training=_training(file.training),
            text=self.source.text,
        )

    def domain(self) -> Box:
        table = self.file.domain
        if table.dimension is not None and table.bounds is not None:
            return hypercube(table.dimension, *table.bounds)
        names = tuple(table.intervals)
        for name in names:
            with self.noting("domain", name):
                schema.check_name(name)
        self.source.check()
        lower, upper = zip(*table.intervals.values(), strict=True)
        try:
            return Box(names, lower, upper)
        except ValueError as error:
            self.source.refuse(("domain",), str(error))

    def scope(self, domain: Box) -> Scope:
        """All names of the problem, each used once, with the functions read in the order they need each other."""
        file = self.file
        scope = Scope(domain.coordinates, domain.vector, (self.unknown,), file.parameters)
        taken = dict.fromkeys(FUNCTIONS, "a function") | dict.fromkeys(CONSTANTS, "a constant")
        taken |= dict.fromkeys(scope.derivatives, "a differential operator")
        taken |= {"exact": "a keyword", "manufactured": "a keyword", "boundary": "a keyword"}
        given = [(("domain", name), "a coordinate") for name in domain.coordinates]
        given += [(("domain", domain.vector), "the vector of all coordinates")] if domain.vector else []
        given += [(("parameters", name), "a parameter") for name in file.parameters]
        given += [(("functions", name), "one of the functions") for name in file.functions]
        given += [(("unknowns", self.unknown), "the unknown")]
        for path, what in given:
            name = path[-1]
            if name in taken:
                self.source.add(path, f"{name!r} is the name of {taken[name]} already; choose another")
            taken[name] = what
        self.source.check()
        with self.noting("functions"):
            for name in dependency_order(file.functions):
                with self.noting("functions", name):
                    function = parse(file.functions[name], scope)
                    scope = replace(scope, functions={**scope.functions, name: function})
                self.source.check()
        self.source.check()
        return scope

    def formula(self, text: str, scope: Scope, *path: str | int, of_unknown: bool) -> Expression | float:
        """A scalar formula that does, or does not, depend on the unknown."""
        found: list[Expression] = []
        with self.noting(*path):
            expression = parse(text, scope)
            if expression.kind is Kind.VECTOR:
                raise ProblemError("is a vector; a scalar is needed (dot, div, sum and prod make one)")
            if of_unknown and self.unknown not in expression.names:
                raise ProblemError(f"does not mention the unknown {self.unknown}")
            if not of_unknown and self.unknown in expression.names:
                raise ProblemError(f"depends on the unknown {self.unknown}; move that to the operator")
            found.append(expression)
        return found[0] if found else 0.0  # a number stands in where a fault was noted, which check() raises

    def right(self, text: str, keyword: str, scope: Scope, *path: str | int) -> Expression | RightHandSide | float:
        if text != keyword:
            return self.formula(text, scope, *path, of_unknown=False)
        if not self.file.exact:
            self.source.add(path, f'"{keyword}" needs an exact solution; add [exact] with {self.unknown} = "…"')
        return EXACT

    def exact(self, scope: Scope) -> Expression | float | None:
        for name in self.file.exact:
            if name != self.unknown:
                self.source.add(("exact", name), f"is no unknown; the unknown is {self.unknown}")
        if self.unknown not in self.file.exact:
            return None
        return self.formula(self.file.exact[self.unknown], scope, "exact", self.unknown, of_unknown=False)

    def condition(self, k: int, table: schema.Condition, domain: Box, scope: Scope) -> Condition:
        place = ("conditions", k)
        if table.unknown not in (None, self.unknown):
            self.source.add((*place, "unknown"), f"{table.unknown!r} is no unknown; the unknown is {self.unknown}")
        on = tuple(table.on or ([TIME + "-"] if table.type == "initial" else ["boundary"]))
        for name in on:
            with self.noting(*place, "on"):
                domain.resolve(name)
        if table.type == "periodic":
            coordinate = on[0][:-1]
            if set(on) != {coordinate + "-", coordinate + "+"}:
                self.source.add((*place, "on"), f'{list(on)} are not two opposite faces, such as ["x-", "x+"]')
            return periodic(coordinate)
        if table.type == "initial" and on != (TIME + "-",):
            self.source.add((*place, "on"), 'an initial condition is on "t-"; use dirichlet elsewhere')
        text = "0" if table.value is None else table.value
        value = self.right(text, "exact", scope, *place, "value")
        if table.type == "dirichlet":
            return dirichlet(value, on, self.unknown)
        if table.type == "neumann":
            return neumann(value, on, self.unknown)
        operator = None
        if table.operator is not None:
            operator = self.formula(table.operator, scope, *place, "operator", of_unknown=True)
        return initial(value, operator, self.unknown) if table.type == "initial" else robin(operator or 0.0, value, on)


def _one_or_all(values: list[int] | None) -> int | tuple[int, ...] | None:
    return None if values is None else values[0] if len(values) == 1 else tuple(values)


def _layer(nodes: int | schema.Nodes) -> int | Nodes:
    if isinstance(nodes, int):
        return nodes
    return Nodes(nodes.sum, nodes.product) if nodes.product else nodes.sum


def _network(table: schema.Network) -> NetworkOptions:
    hidden = None if table.hidden is None else tuple(_layer(nodes) for nodes in table.hidden)
    return NetworkOptions(table.kind, hidden, _one_or_all(table.degree), _one_or_all(table.intervals), table.base)


def _training(table: schema.Training) -> TrainingOptions:
    options = table.model_dump()
    options["weights"] = None if table.weights is None else Weights(**table.weights.model_dump())
    options["refine"] = None if table.refine is None else tuple(table.refine)
    return TrainingOptions(**options)
