"""Quantities of a solution in problem files: formulas with integral(…), at(…), and max(…), min(…) of one field.

The functionals are taken out of the text first, as they name faces and coordinates; what is left are formulas for the parser.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from pdekan.domains.base import Domain
from pdekan.domains.box import Box
from pdekan.domains.sections import space
from pdekan.fields.jets import TIME
from pdekan.problem_files.lexer import ExpressionError, shortened
from pdekan.problem_files.parser import Kind, Scope, parse
from pdekan.problems.functionals import Functional, Quantity

FUNCTIONALS = ("integral", "at", "max", "min")
_CALL = re.compile(rf"(?<![A-Za-z0-9_])({'|'.join(FUNCTIONALS)})\s*\(")
_ASSIGNMENT = re.compile(r"\s*([A-Za-z]\w*)\s*=(?!=)\s*(.+)", re.DOTALL)
MAX_DEPTH = 5  # of functionals in functionals


def quantity(text: str, scope: Scope, domain: Domain) -> Quantity:
    """A quantity that is a number, or a function of time. Raises ExpressionError."""
    found = _quantity(text, scope, domain, 0)
    left = [name for name in found.free(domain) if name != TIME]
    if left:
        raise ExpressionError(
            f"depends on {', '.join(left)}; a number is needed, or a function of {TIME}: integral(f), integral(f, face), "
            f"at(f, {', '.join(f'{name}=…' for name in left)}), max(f) or min(f)"
        )
    return found


def taken_out(text: str, scope: Scope, domain: Domain, name: Callable[[Functional], str], depth: int = 0) -> str:
    """A text with names in the place of its outermost functionals. Raises ExpressionError."""
    if depth > MAX_DEPTH:
        raise ExpressionError(f"integrals are nested more than {MAX_DEPTH} deep")
    pieces, place = list[str](), 0
    for kind, start, end, arguments in calls(text):
        one = _functional(kind, arguments, scope, domain, depth)
        if one is not None:
            pieces += [text[place:start], name(one)]
            place = end
    return "".join([*pieces, text[place:]])


def _quantity(text: str, scope: Scope, domain: Domain, depth: int) -> Quantity:
    found: dict[str, Functional] = {}

    def name(one: Functional) -> str:
        found[key := f"functional{len(found) + 1}_"] = one
        return key

    outer = taken_out(text, scope, domain, name, depth)
    expression = parse(outer, replace(scope, unknowns=(*scope.unknowns, *found)))
    if expression.kind is Kind.VECTOR:
        raise ExpressionError("is a vector; a scalar is needed (dot, div, sum and prod make one)")
    return Quantity(text, expression, found)


def _functional(kind: str, arguments: list[str], scope: Scope, domain: Domain, depth: int) -> Functional | None:
    """A functional of its arguments' texts; None for a max or min of several fields."""
    first, rest = arguments[0], arguments[1:]
    face = rest[0].strip().strip("'\"") if len(rest) == 1 else None
    if kind == "at":
        return Functional("at", _quantity(first, scope, domain, depth + 1), None, _place(rest, scope, domain))
    if kind in ("max", "min") and rest:
        return None
    if len(rest) > 1:
        raise ExpressionError(f"{kind}(…) has {len(arguments)} arguments; a field, and a face or a coordinate if need be")
    if face is not None and face not in (*_places(domain), *domain.coordinates):
        raise ExpressionError(
            f"integral(…, {shortened(face)}): there is no such face or coordinate; the faces are "
            f"{', '.join(_places(domain)[:40])}, the coordinates {', '.join(domain.coordinates)}"
        )
    if face in domain.coordinates and face != TIME and not isinstance(space(domain), Box):
        raise ExpressionError(f"integral(…, {face}) needs a box, in which the interval of {face} is the same everywhere")
    inner = _quantity(first, scope, domain, depth + 1)
    return Functional(kind, inner, face)  # type: ignore[arg-type]


def _places(domain: Domain) -> list[str]:
    """The names of faces, and those that stand for several."""
    prefixes = dict.fromkeys(face.split(".")[0] for face in domain.faces if "." in face)
    return [*domain.faces, *prefixes, "boundary"]


def _place(arguments: list[str], scope: Scope, domain: Domain) -> dict[str, float]:
    """The values of coordinates in at(f, x=0.5, y=0.2)."""
    found = {}
    for text in arguments:
        match = _ASSIGNMENT.fullmatch(text)
        if match is None or match[1] not in domain.coordinates:
            raise ExpressionError(
                f"{shortened(text.strip())!r} in at(…) names no coordinate; write at(u, {domain.coordinates[0]}=0.5), of "
                f"{', '.join(domain.coordinates)}"
            )
        value = parse(match[2], Scope((), None, (), scope.parameters)).steps[-1].value
        k = domain.coordinates.index(match[1])
        if not isinstance(value, float) or not domain.lower[k] <= value <= domain.upper[k]:
            raise ExpressionError(
                f"{match[1]} = {shortened(match[2])} in at(…) is no number between {domain.lower[k]:g} and {domain.upper[k]:g}"
            )
        found[match[1]] = value
    if (
        set(found) == set(domain.coordinates)
        and not domain.contains(np.array([[found[name] for name in domain.coordinates]]))[0]
    ):
        listed = ", ".join(f"{name} = {value:g}" for name, value in found.items())
        raise ExpressionError(f"the point {listed} in at(…) is not in the domain")
    if not found:
        raise ExpressionError(f"at(…) needs a place, such as at(u, {domain.coordinates[0]}=0.5)")
    return found


def calls(text: str) -> Iterator[tuple[str, int, int, list[str]]]:
    """The outermost calls of functionals: kind, start, end, and the texts of their arguments."""
    place = 0
    while (match := _CALL.search(text, place)) is not None:
        depth, start, arguments = 1, match.end(), list[str]()
        for k in range(match.end(), len(text)):
            depth += (text[k] == "(") - (text[k] == ")")
            if depth == 0 or (depth == 1 and text[k] == ","):
                arguments.append(text[start:k])
                start = k + 1
            if depth == 0:
                break
        else:
            raise ExpressionError(f"{match[1]}(… at column {match.start() + 1} has no closing parenthesis")
        if not arguments[0].strip():
            raise ExpressionError(f"{match[1]}() at column {match.start() + 1} has no field; write {match[1]}(u)")
        several = match[1] in ("max", "min") and len(arguments) > 1
        yield match[1], match.start(), start, arguments
        place = match.end() if several else start
