"""Problem files: TOML text -> Problem, with errors that name file, line and key.

Strings are resolved here, once; a Problem holds objects. The format is a contract: `json_schema()` describes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pdekan.domains.base import Domain
from pdekan.problem_files.complex_formulas import parts_of
from pdekan.problem_files.complex_unknowns import with_real_unknowns
from pdekan.problem_files.folder import Folder
from pdekan.problem_files.formulas import Formulas
from pdekan.problem_files.inputs import Inputs
from pdekan.problem_files.integral_terms import IntegralTerms
from pdekan.problem_files.library import library
from pdekan.problem_files.messages import described
from pdekan.problem_files.names import Parameters, scope_of
from pdekan.problem_files.presentation import presentation
from pdekan.problem_files.reader import MAX_MESSAGES, ProblemFileError, Source, parse_source, read
from pdekan.problem_files.schema import ProblemFile, problem_file
from pdekan.problem_files.validation import members, probe
from pdekan.problems.parameters import Measurements
from pdekan.problems.problem import Problem
from pdekan.problems.tables import Table

__all__ = ["ProblemFileError", "json_schema", "library", "load_problem", "loads"]


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
    problem = _resolved(file, source, Inputs(file, source, folder), domain, data, tables)
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


def _resolved(
    file: ProblemFile,
    source: Source,
    inputs: Inputs,
    domain: Domain | None,
    data: Sequence[Measurements] | None,
    tables: Sequence[Table] | None,
) -> Problem:
    """The problem that a validated file states; domain, data, tables: instead of the file's, where given.

    Raises ProblemFileError with all messages.
    """
    stored = data is not None
    domain = inputs.domain() if domain is None else domain
    tables = inputs.tables(domain) if tables is None else tables
    integrals = IntegralTerms(domain)
    formulas = Formulas(file, source, domain, scope_of(file, source, domain, tables), integrals)
    operators, sources = formulas.equations()
    parts = _conditions_and_parameters(file, source, formulas)  # the last to name integrals
    parts |= {"exact": formulas.exact(), "exact_reference": inputs.reference(stored)}
    operators += integrals.equations(formulas.scope)
    sources += [0.0] * (len(operators) - len(sources))
    one = len(operators) == 1
    parts |= {"equation": operators[0] if one else operators, "source": sources[0] if one else sources}
    parts["enrichments"] = tuple(formulas.enrichment(k, item) for k, item in enumerate(file.enrichment))
    parts["interfaces"] = inputs.interfaces()
    parts["data"] = tuple(inputs.measurements(domain) if data is None else data)
    parts |= presentation(file, source, domain) | {"outputs": formulas.outputs()} | _copied(file)
    source.check()
    with source.noting():
        unknowns = (*file.unknowns, *integrals.unknowns)
        return integrals.known(Problem(domain=domain, unknowns=unknowns, tables=tuple(tables), text=source.text, **parts))
    raise ProblemFileError(source.messages)


def _conditions_and_parameters(file: ProblemFile, source: Source, formulas: Formulas) -> dict[str, Any]:
    """Those fields of the problem; integrals in its formulas are parameters with a condition for each."""
    conditions = [formulas.condition(k, item) for k, item in enumerate(file.conditions)]
    parameters, integrals = Parameters.of(file), formulas.integrals
    trained = parameters.trained(source) | integrals.parameters
    conditions += integrals.conditions(formulas.scope)
    if parameters.ranges and integrals.found:
        source.add(("parameters",), "a family has no integrals in its equations and conditions; state one value")
    return {"conditions": tuple(conditions), "parameters": trained, "ranges": parameters.ranges}


def _copied(file: ProblemFile) -> dict[str, Any]:
    """The fields of the problem that are in the file as they are."""
    same = {name: getattr(file, name) for name in ("name", "title", "reference", "network", "training")}
    return same | {"complex": {name: parts_of(name) for name in file.complex}}
