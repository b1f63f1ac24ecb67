"""Problem files: TOML text -> Problem, with errors that name file, line and key.

Strings are resolved here, once; a Problem holds objects. The format is a contract: `json_schema()` describes it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pdekan.domains.base import Domain
from pdekan.problem_files import domains, schema
from pdekan.problem_files.complex_formulas import parts_of
from pdekan.problem_files.complex_unknowns import with_real_unknowns
from pdekan.problem_files.domains import built
from pdekan.problem_files.folder import Folder
from pdekan.problem_files.integral_terms import IntegralTerms
from pdekan.problem_files.interpreter import FUNCTIONS
from pdekan.problem_files.library import library
from pdekan.problem_files.measurements import read_measurements
from pdekan.problem_files.messages import described
from pdekan.problem_files.parser import CONSTANTS, Expression, Kind, Scope, dependency_order, parse, tabulated
from pdekan.problem_files.presentation import presentation
from pdekan.problem_files.quantities import quantity
from pdekan.problem_files.reader import MAX_MESSAGES, ProblemFileError, Source, parse_source, read
from pdekan.problem_files.schema import ProblemFile, problem_file
from pdekan.problem_files.table_files import read_table
from pdekan.problem_files.validation import members, probe
from pdekan.problems.condition import Condition, Statement
from pdekan.problems.conditions import CONDITIONS, DOMAIN
from pdekan.problems.formulas import EXACT, ProblemError, RightHandSide, as_field, right_hand_side
from pdekan.problems.functionals import Quantity
from pdekan.problems.parameters import Enrichment, Measurements, Parameter, Range
from pdekan.problems.problem import ELEMENTS, Problem
from pdekan.problems.tables import Table

__all__ = ["ProblemFileError", "json_schema", "library", "load_problem", "loads"]

REFERENCE = "reference"  # the key in [exact] that names what stands for formulas
KEYWORDS = SOURCE, VALUE = "manufactured", "exact"  # what the exact solution says, as a source and as the value of a condition


def load_problem(
    problem: str | Path, overrides: Mapping[str, Any] | Sequence[str] = (), *, allow_outside: bool = False
) -> Problem:
    """The problem of a file, given by its path or by its name in the library.

    overrides: ``"section.key=value"`` strings, or a mapping from ``"section.key"`` to values, that replace what the
    file says; list items are counted from 0 (``conditions.0.value``). Files that it names are looked for beside it, and are
    read from its directory and the folders below only, unless `allow_outside`. Raises ProblemFileError, which a user can act
    on.
    """
    where, text = read(problem)
    return _problem(parse_source(text, where, overrides), Folder(Path(where).parent, allow_outside))


def loads(
    text: str,
    where: str = "<text>",
    folder: str | Path = ".",
    domain: Domain | None = None,
    data: Sequence[Measurements] | None = None,
    allow_outside: bool = False,
    tables: Sequence[Table] | None = None,
) -> Problem:
    """The problem of a problem file's text; `where` is what messages call it, `folder` holds the files that it names,
    see `load_problem`.

    domain, data, tables: what these files hold, where it is known already. Raises ProblemFileError.
    """
    return _problem(parse_source(text, where), Folder(Path(folder), allow_outside), domain, data, tables)


def json_schema() -> dict[str, Any]:
    """The JSON schema of problem files (draft 2020-12)."""
    return problem_file().model_json_schema(by_alias=True)


def _problem(
    source: Source,
    folder: Folder,
    domain: Domain | None = None,
    data: Sequence[Measurements] | None = None,
    tables: Sequence[Table] | None = None,
) -> Problem:
    try:
        file = problem_file().model_validate(source.data)
    except ValidationError as error:
        for item in error.errors(include_url=False)[:MAX_MESSAGES]:
            source.add(*described(item, source.data))
        source.check()
        raise
    file = with_real_unknowns(file, source)
    problem = _Resolver(file, source, folder).problem(domain, data, tables)
    for one in members(problem):
        for path, message in probe(one):
            source.add(path, message + _at(one))
    source.check()
    return problem


def _at(problem: Problem) -> str:
    """Of a member of a family, the values of its parameters, in words."""
    return (
        "" if not problem.values else f" (where {', '.join(f'{name} = {value:g}' for name, value in problem.values.items())})"
    )


class _Resolver:
    """Turns a validated file into a Problem; what is wrong is noted in its source."""

    def __init__(self, file: ProblemFile, source: Source, folder: Folder) -> None:
        self.file, self.source, self.folder = file, source, folder
        self.unknowns = tuple(file.unknowns)
        tables = {name: one for name, one in file.parameters.items() if isinstance(one, schema.ParameterTable)}
        self.ranges = {name: Range(*one.range) for name, one in tables.items() if one.range is not None}
        initial = {name: one.initial for name, one in tables.items() if one.initial is not None}
        self.trainable = {name: one for name, one in tables.items() if name in initial and one.trainable is not False}
        self.constants = {name: one for name, one in file.parameters.items() if isinstance(one, float)}
        self.constants |= {name: value for name, value in initial.items() if name not in self.trainable}

    @contextmanager
    def noting(self, *path: str | int) -> Iterator[None]:
        """Whatever ValueError is raised inside becomes a message about this place of the file."""
        try:
            yield
        except ProblemFileError:
            raise  # noted already
        except ValueError as error:
            self.source.add(path, str(error))

    def problem(self, domain: Domain | None, data: Sequence[Measurements] | None, tables: Sequence[Table] | None) -> Problem:
        """The whole; domain, data, tables: instead of the file's, where given. Raises ProblemFileError with all messages."""
        file = self.file
        domain = self.domain() if domain is None else domain
        tables = self.tables(domain) if tables is None else tables
        scope, self.integrals = self.scope(domain, tables), IntegralTerms(domain)
        exact, reference = self.exact(scope), self.reference(stored=data is not None)
        operators, sources = self.equations(scope)
        one = len(operators) == 1
        conditions = [self.condition(k, item, domain, scope) for k, item in enumerate(file.conditions)]
        parameters = self.parameters() | self.integrals.parameters
        conditions += self.integrals.conditions(scope)
        if self.ranges and self.integrals.found:
            self.source.add(("parameters",), "a family has no integrals in its equations and conditions; state one value")
        enrichments = [self.enrichment(k, item, scope) for k, item in enumerate(file.enrichment)]
        interfaces = self.interfaces()
        measured = self.data(domain) if data is None else data
        shown = presentation(file, self.source, domain)
        outputs = self.outputs(scope, domain)
        self.source.check()
        with self.noting():
            problem = Problem(
                domain=domain,
                equation=operators[0] if one else operators,
                source=sources[0] if one else sources,
                conditions=tuple(conditions),
                exact=exact,
                exact_reference=reference,
                name=file.name,
                title=file.title,
                reference=file.reference,
                unknowns=self.unknowns,
                complex={name: parts_of(name) for name in file.complex},
                parameters=parameters,
                ranges=self.ranges,
                data=tuple(measured),
                enrichments=tuple(enrichments),
                interfaces=interfaces,
                tables=tuple(tables),
                network=file.network,
                training=file.training,
                outputs=outputs,
                text=self.source.text,
                **shown,
            )
            return self.integrals.known(problem)
        raise ProblemFileError(self.source.messages)

    def domain(self) -> Domain:
        """The domain; raises ProblemFileError at once where there can be none, since all else is checked in it."""
        table = self.file.domain
        if isinstance(table, domains.Box):
            for name in table.intervals:
                with self.noting("domain", name):
                    domains.check_name(name)
            self.source.check()
        try:
            return built(table, self.folder)
        except ValueError as error:
            self.source.refuse(("domain",), str(error))

    def interfaces(self) -> dict[str, Domain]:
        """The shapes whose boundaries are interfaces, by name."""
        shapes = {}
        for name, table in self.file.domain.interfaces.items():
            with self.noting("domain", "interfaces", name):
                shapes[name] = built(table, self.folder)
        return shapes

    def tables(self, domain: Domain) -> list[Table]:
        """The tables of [fields], read from their files."""
        found = []
        for name, table in self.file.fields.items():
            with self.noting("fields", name):
                path = self.folder.file(table.file)
                found.append(read_table(path, name, table.dataset or name, table.interpolation, domain))
        self.source.check()
        return found

    def scope(self, domain: Domain, tables: Sequence[Table]) -> Scope:
        """All names of the problem, each used once, with the functions read in the order they need each other."""
        file = self.file
        scope = Scope(domain.coordinates, domain.vector, (*self.unknowns, *self.trainable, *self.ranges), self.constants)
        taken = dict.fromkeys(FUNCTIONS, "a function") | dict.fromkeys(CONSTANTS, "a constant")
        taken |= dict.fromkeys(scope.derivatives, "a differential operator")
        taken |= {
            REFERENCE: "a keyword",
            **dict.fromkeys(KEYWORDS, "a keyword"),
            "boundary": "a keyword",
            DOMAIN: "a keyword",
        }
        given = [(("domain", name), "a coordinate") for name in domain.coordinates]
        given += [(("domain", domain.vector), "the vector of all coordinates")] if domain.vector else []
        given += [(("parameters", name), "a parameter") for name in file.parameters]
        given += [(("functions", name), "one of the functions") for name in file.functions]
        given += [(("fields", name), "a field") for name in file.fields]
        what = "the unknown" if len(self.unknowns) == 1 else "an unknown"
        given += [(("unknowns", name), what) for name in self.unknowns]
        for path, what in given:
            name = path[-1]
            if name in taken:
                self.source.add(path, f"{name!r} is the name of {taken[name]} already; choose another")
            taken[name] = what
        self.source.check()
        scope = replace(scope, functions={table.name: tabulated(table) for table in tables})
        with self.noting("functions"):
            for name in dependency_order(file.functions):
                with self.noting("functions", name):
                    function = parse(file.functions[name], scope)
                    scope = replace(scope, functions={**scope.functions, name: function})
                self.source.check()
        self.source.check()
        return scope

    def parameters(self) -> dict[str, Parameter]:
        """What is to be found beside the unknowns, by name; bounds that are not given are infinite."""
        found = {}
        for name, table in self.trainable.items():
            with self.noting("parameters", name):
                lower, upper = table.min, table.max
                found[name] = Parameter(
                    table.initial or 0.0, -math.inf if lower is None else lower, math.inf if upper is None else upper
                )
        return found

    def formula(self, text: str, scope: Scope, *path: str | int, of_unknown: bool) -> Expression | float:
        """A scalar formula that does, or does not, depend on an unknown."""
        found: list[Expression] = []
        with self.noting(*path):
            if of_unknown:
                text, scope = self.integrals.taken_out(text, scope)
            expression = parse(text, scope)
            if expression.kind is Kind.VECTOR:
                raise ProblemError("is a vector; a scalar is needed (dot, div, sum and prod make one)")
            mentioned = [name for name in (*self.unknowns, *self.integrals.found) if name in expression.names]
            if of_unknown and not mentioned:
                raise ProblemError(f"does not mention {_one_of(self.unknowns)}")
            if not of_unknown and mentioned:
                raise ProblemError(f"depends on the unknown {mentioned[0]}; move that to the operator")
            found.append(expression)
        return found[0] if found else 0.0  # a number stands in where a fault was noted, which check() raises

    def right(self, text: str, keyword: str, scope: Scope, *path: str | int) -> Expression | RightHandSide | float:
        """A right-hand side: a formula, or by its keyword what the exact solution says."""
        if text != keyword and text in KEYWORDS:
            self.source.add(path, f'"{text}" has no meaning here; what the exact solution says is "{keyword}" here')
            return 0.0
        if text != keyword:
            return self.formula(text, scope, *path, of_unknown=False)
        for name in self.unknowns:
            if name not in self.file.exact:
                self.source.add(path, f'"{keyword}" needs an exact solution; add [exact] with {name} = "…"')
        return EXACT

    def equations(self, scope: Scope) -> tuple[list[Expression | float], list[Expression | RightHandSide | float]]:
        """Operators and sources, as many of both; none for a regression."""
        table = self.file.equation
        if table is None:
            return [], []
        sources = table.source * len(table.operator) if len(table.source) == 1 else table.source
        several = len(table.operator) > 1
        lefts, rights = [], []
        for k, (left, right) in enumerate(zip(table.operator, sources, strict=True)):
            lefts.append(self.formula(left, scope, "equation", "operator", *((k,) if several else ()), of_unknown=True))
            place = ("equation", "source", *((k,) if len(table.source) > 1 else ()))
            rights.append(self.right(right, SOURCE, scope, *place))
        return lefts, rights

    def exact(self, scope: Scope) -> dict[str, Expression | float] | None:
        """The exact solution by unknown or parameter, None where none is stated."""
        formulas = {name: text for name, text in self.file.exact.items() if name != REFERENCE}
        for name in formulas:
            if name not in (*self.unknowns, *self.trainable):
                self.source.add(("exact", name), f"is no unknown; {_listed(self.unknowns)}")
        found = {
            name: self.formula(text, scope, "exact", name, of_unknown=False)
            for name, text in formulas.items()
            if name in (*self.unknowns, *self.trainable)
        }
        return found or None

    def reference(self, stored: bool) -> str | None:
        """What errors are measured against: "fem", or a file beside the problem's.

        None where none is stated, and where a stored problem names a file that may not be read here, or not any more.
        """
        name = self.file.exact.get(REFERENCE)
        if name is None:
            return None
        if len(self.file.exact) > 1:
            self.source.add(("exact", REFERENCE), "stands where no formula is known; leave it out, or the formulas")
        if name == ELEMENTS:
            return name
        try:
            return str(self.folder.file(name))
        except ProblemError as error:
            if not stored:
                self.source.add(("exact", REFERENCE), str(error))
        return None

    def outputs(self, scope: Scope, domain: Domain) -> dict[str, Quantity]:
        """The quantities of the solution by name."""
        found = {}
        for name, text in self.file.outputs.items():
            with self.noting("outputs", name):
                found[name] = quantity(text, scope, domain)
        return found

    def unknown(self, name: str | None, *path: str | int) -> str:
        """An unknown that a table names; where there is only one it need not."""
        if name is None and len(self.unknowns) > 1:
            self.source.add(path, f'needs unknown = "…"; {_listed(self.unknowns)}')
        elif name is not None and name not in self.unknowns:
            self.source.add((*path, "unknown"), f"{name!r} is no unknown; {_listed(self.unknowns)}")
        return name or self.unknowns[0]

    def enrichment(self, k: int, table: schema.Enrichment, scope: Scope) -> Enrichment:
        """The k-th [[enrichment]]."""
        expression = self.formula(table.expression, scope, "enrichment", k, "expression", of_unknown=False)
        return Enrichment(as_field(expression), self.unknown(table.unknown, "enrichment", k))

    def data(self, domain: Domain) -> list[Measurements]:
        """The measurements of all [[data]], read from their files."""
        found = []
        for k, table in enumerate(self.file.data):
            with self.noting("data", k, "file"):
                found.append(read_measurements(self.folder.file(table.file), domain, self.unknowns, table.noise))
        return found

    def condition(self, k: int, table: schema.Condition, domain: Domain, scope: Scope) -> Condition:
        """The k-th [[conditions]]; its faults are noted with their places in the file."""
        place, kind = ("conditions", k), CONDITIONS[table.type]
        unknown = None if kind.for_every_unknown else self.unknowns[0]
        if table.unknown is not None or not (kind.for_every_unknown or table.operator is not None):
            unknown = self.unknown(table.unknown, *place)
        at = tuple(table.on.items()) if isinstance(table.on, dict) else ()
        on = () if at else tuple(table.on or kind.default_on)
        for name in on:
            with self.noting(*place, "on"):
                kind.check_name(name, domain, self.file.domain.interfaces)
        misplaced = kind.refusal_of_place(at, domain) if at else kind.refusal_of_faces(on, domain)
        if misplaced is not None:
            self.source.add((*place, "on"), misplaced)
        value = self.right("0" if table.value is None else table.value, VALUE, scope, *place, "value")
        operator = None
        if table.operator is not None:
            operator = as_field(self.formula(table.operator, scope, *place, "operator", of_unknown=True))
        return kind.of(Statement(on, right_hand_side(value), operator, unknown, table.enforce, at))


def _one_of(unknowns: Sequence[str]) -> str:
    return f"the unknown {unknowns[0]}" if len(unknowns) == 1 else f"any of the unknowns {', '.join(unknowns)}"


def _listed(unknowns: Sequence[str]) -> str:
    return f"the unknown is {unknowns[0]}" if len(unknowns) == 1 else f"the unknowns are {', '.join(unknowns)}"
