"""Names in a problem file: its parameters by kind, and the scope in which formulas are read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pdekan.domains.base import Domain
from pdekan.problem_files import schema
from pdekan.problem_files.interpreter import FUNCTIONS
from pdekan.problem_files.parser import CONSTANTS, Scope, dependency_order, parse, tabulated
from pdekan.problem_files.reader import Source
from pdekan.problem_files.schema import ProblemFile
from pdekan.problems.conditions import DOMAIN
from pdekan.problems.parameters import Parameter, Range
from pdekan.problems.tables import Table

REFERENCE = "reference"  # the key in [exact] that names what stands for formulas
KEYWORDS = SOURCE, VALUE = "manufactured", "exact"  # what the exact solution says, as a source and as the value of a condition


@dataclass(frozen=True)
class Parameters:
    """The parameters of a problem file by kind: ranges of a family, tables of those that are trained, and constants."""

    ranges: dict[str, Range]
    trainable: dict[str, schema.ParameterTable]
    constants: dict[str, float]

    @classmethod
    def of(cls, file: ProblemFile) -> Parameters:
        """Those of a file; an initial value of what is not trained is a constant."""
        tables = {name: one for name, one in file.parameters.items() if isinstance(one, schema.ParameterTable)}
        ranges = {name: Range(*one.range) for name, one in tables.items() if one.range is not None}
        initial = {name: one.initial for name, one in tables.items() if one.initial is not None}
        trainable = {name: one for name, one in tables.items() if name in initial and one.trainable is not False}
        constants = {name: one for name, one in file.parameters.items() if isinstance(one, float)}
        return cls(ranges, trainable, constants | {name: one for name, one in initial.items() if name not in trainable})

    def trained(self, source: Source) -> dict[str, Parameter]:
        """What is to be found beside the unknowns, by name; bounds that are not given are infinite."""
        found = {}
        for name, table in self.trainable.items():
            with source.noting("parameters", name):
                lower = -math.inf if table.min is None else table.min
                found[name] = Parameter(table.initial or 0.0, lower, math.inf if table.max is None else table.max)
        return found


def scope_of(file: ProblemFile, source: Source, domain: Domain, tables: Sequence[Table]) -> Scope:
    """All names of the problem, each used once, with the functions read in the order they need each other."""
    parameters = Parameters.of(file)
    sought = (*file.unknowns, *parameters.trainable, *parameters.ranges)
    scope = Scope(domain.coordinates, domain.vector, sought, parameters.constants)
    _note_taken(file, source, scope)
    source.check()
    scope = replace(scope, functions={table.name: tabulated(table) for table in tables})
    with source.noting("functions"):
        for name in dependency_order(file.functions):
            with source.noting("functions", name):
                function = parse(file.functions[name], scope)
                scope = replace(scope, functions={**scope.functions, name: function})
            source.check()
    source.check()
    return scope


def _note_taken(file: ProblemFile, source: Source, scope: Scope) -> None:
    """Note names of the file that stand for two things."""
    taken = dict.fromkeys(FUNCTIONS, "a function") | dict.fromkeys(CONSTANTS, "a constant")
    taken |= dict.fromkeys(scope.derivatives, "a differential operator")
    taken |= dict.fromkeys((REFERENCE, *KEYWORDS, "boundary", DOMAIN), "a keyword")
    given = [(("domain", name), "a coordinate") for name in scope.coordinates]
    given += [(("domain", scope.vector), "the vector of all coordinates")] if scope.vector else []
    given += [(("parameters", name), "a parameter") for name in file.parameters]
    given += [(("functions", name), "one of the functions") for name in file.functions]
    given += [(("fields", name), "a field") for name in file.fields]
    what = "the unknown" if len(file.unknowns) == 1 else "an unknown"
    given += [(("unknowns", name), what) for name in file.unknowns]
    for path, what in given:
        name = path[-1]
        if name in taken:
            source.add(path, f"{name!r} is the name of {taken[name]} already; choose another")
        taken[name] = what
