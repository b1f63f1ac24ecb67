"""Expressions: text -> Expression, a formula over coordinates, parameters, functions and unknowns.

Only what the grammar lists is accepted: the text is split into tokens, parsed by Python's `ast`, and every node is
checked against a whitelist while it is translated into a program (`pdekan.programs`). Text is never run as Python.
"""

from __future__ import annotations

import ast
import difflib
import graphlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from pdekan.fields.jets import Jet
from pdekan.problem_files.interpreter import ACCEPTS, CONSTANTS, FUNCTIONS, OPERATIONS, Kind, Operation, Step, run
from pdekan.problem_files.lexer import ExpressionError, check_tokens, names_in, shortened
from pdekan.problems.formulas import Environment, Field

__all__ = ["CONSTANTS", "Expression", "ExpressionError", "Kind", "Scope", "dependency_order", "parse"]

MAX_STEPS = 3_000
MAX_DEPTH = 150  # of the syntax tree, where a chain of + - * / counts once
MAX_EXPONENT = 1_000.0

_BINARY: dict[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**"}
_COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
}  # fmt: skip


@dataclass(frozen=True)
class Expression(Field):
    """A formula that was read from text: a Field, so that ``expression(environment)`` is its jet.

    names: the coordinates and unknowns it depends on, those of the functions it uses included.
    kind: whether it is a number, a scalar field or a vector field. steps: its program.
    """

    text: str
    names: frozenset[str]
    kind: Kind
    steps: tuple[Step, ...] = field(repr=False)

    def __call__(self, environment: Environment) -> Jet:
        """The jet at the environment's points. Raises ExpressionError where an operator does not apply there."""
        try:
            return run(self.steps, environment)
        except ExpressionError as error:
            raise ExpressionError(f"{error} (in {shortened(self.text)!r})") from None


@dataclass(frozen=True)
class Scope:
    """The names that an expression may use.

    vector: the name of all coordinates as one field with components, or None. parameters: constants by name.
    functions: named expressions that were read before.
    """

    coordinates: tuple[str, ...]
    vector: str | None = None
    unknowns: tuple[str, ...] = ()
    parameters: Mapping[str, float] = field(default_factory=dict)
    functions: Mapping[str, Expression] = field(default_factory=dict)

    @property
    def derivatives(self) -> dict[str, str]:
        """Derivative operators and their coordinates: dx -> x."""
        return {"d" + name: name for name in self.coordinates}

    @property
    def fields(self) -> dict[str, Kind]:
        """Names whose values come at evaluation."""
        scalars = dict.fromkeys((*self.coordinates, *self.unknowns), Kind.SCALAR)
        return scalars if self.vector is None else {**scalars, self.vector: Kind.VECTOR}

    @property
    def values(self) -> list[str]:
        """Every name that stands for a value."""
        return [*self.fields, *self.parameters, *self.functions, *CONSTANTS]

    @property
    def callables(self) -> list[str]:
        """Every name that is called with arguments."""
        return [*FUNCTIONS, *self.derivatives]


def parse(text: str, scope: Scope) -> Expression:
    """Read an expression in a scope. Raises ExpressionError, whose message gives the column."""
    check_tokens(text)
    # a formula may be broken into lines; Python's grammar would read them as statements
    flat = re.sub(r"\s", " ", text)
    start = len(flat) - len(flat.lstrip())
    try:
        tree = ast.parse(flat.strip(), mode="eval").body
    except SyntaxError as error:
        column = start + (error.offset or len(flat) + 1)
        raise ExpressionError(f"cannot be read as a formula at column {column}, near {_near(flat, column)}") from None
    except (MemoryError, RecursionError, ValueError, OverflowError):
        raise ExpressionError("too deeply nested; break it up with [functions]") from None
    return _Translator(text, start, scope).translate(tree)


def dependency_order(texts: Mapping[str, str]) -> list[str]:
    """Names of functions, each after those that its text mentions. Raises ExpressionError for a cycle."""
    uses = {name: {other for other in names_in(text) if other in texts} for name, text in texts.items()}
    try:
        return list(graphlib.TopologicalSorter(uses).static_order())
    except graphlib.CycleError as error:
        cycle = " -> ".join(reversed(error.args[1]))
        raise ExpressionError(f"functions refer to each other in a circle: {cycle}") from None


def _near(text: str, column: int) -> str:
    rest = text[column - 1 :].strip()
    return repr(shortened(rest, 20)) if rest else "its end"


class _Translator:
    """Translates a syntax tree into steps; equal steps are kept once."""

    def __init__(self, text: str, start: int, scope: Scope) -> None:
        self.text, self.start, self.scope = text, start, scope
        self.steps: list[Step] = []
        self.places: dict[tuple[str, tuple[int, ...], str, Kind], int] = {}
        self.functions: dict[str, int] = {}

    def translate(self, tree: ast.expr) -> Expression:
        place = self.expression(tree, 0)
        kind = self.steps[place].kind
        if kind in ACCEPTS["condition"]:
            raise ExpressionError("a comparison is allowed only as the first argument of where(condition, a, b)")
        steps = _reachable(self.steps, place)
        names = frozenset(str(step.value) for step in steps if step.operation == "name")
        return Expression(self.text, names, kind, steps)

    def expression(self, node: ast.expr, depth: int) -> int:
        """The place of the step that yields a node."""
        if depth > MAX_DEPTH:
            raise self.error(node, f"nested more than {MAX_DEPTH} deep; break it up with [functions]")
        match node:
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
                return self.number(value, node)
            case ast.Name(id=name):
                return self.name(name, node)
            case ast.BinOp():
                return self.chain(node, depth)
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self.expression(operand, depth + 1)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self.operation("negative", [self.expression(operand, depth + 1)], node)
            case ast.Compare(left=left, ops=[relation], comparators=[right]) if type(relation) in _COMPARISONS:
                sides = [self.expression(left, depth + 1), self.expression(right, depth + 1)]
                return self.operation(_COMPARISONS[type(relation)], sides, node)
            case ast.Compare():
                raise self.error(node, "comparisons cannot be chained; nest where(...) instead")
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
                return self.call(name, arguments, node, depth)
        raise self.error(node, "is not part of a formula")

    def chain(self, node: ast.BinOp, depth: int) -> int:
        """a + b - c + …, walked along its left side in a loop: a long sum is not deep."""
        spine: list[ast.BinOp] = []
        left: ast.expr = node
        while isinstance(left, ast.BinOp):
            spine.append(left)
            left = left.left
        place = self.expression(left, depth + 1)
        for part in reversed(spine):
            if type(part.op) not in _BINARY:
                raise self.error(part, "uses an operator that formulas do not have")
            place = self.operation(_BINARY[type(part.op)], [place, self.expression(part.right, depth + 1)], part)
        return place

    def name(self, name: str, node: ast.expr) -> int:
        scope = self.scope
        if name in CONSTANTS:
            return self.step(name, (), CONSTANTS[name], Kind.NUMBER)
        if name in scope.parameters:
            return self.number(scope.parameters[name], node)
        if name in scope.fields:
            return self.step("name", (), name, scope.fields[name])
        if name in scope.functions:
            if name not in self.functions:
                self.functions[name] = self.splice(scope.functions[name])
            return self.functions[name]
        if name in scope.callables:
            raise self.error(node, f"{name} is a function; write {name}(...)")
        raise self.unknown("name", name, scope.values, node)

    def call(self, name: str, nodes: list[ast.expr], node: ast.expr, depth: int) -> int:
        scope = self.scope
        if name not in scope.callables:
            if name in scope.values:
                raise self.error(node, f"{name} is not called with arguments; write {name}, or {name}*(...)")
            raise self.unknown("function", name, scope.callables, node)
        if any(isinstance(item, ast.Starred) for item in nodes):
            raise self.error(node, "arguments are separated by commas, without *")
        places = [self.expression(item, depth + 1) for item in nodes]
        if name in scope.derivatives:
            return self.operation("derivative", places, node, scope.derivatives[name])
        return self.operation(name, places, node)

    def operation(self, name: str, places: list[int], node: ast.expr, coordinate: str | None = None) -> int:
        operation = OPERATIONS[name]
        kinds = [self.steps[place].kind for place in places]
        self.check_arguments("d" + coordinate if coordinate else name, operation, kinds, node)
        numbers = [step.value for step in (self.steps[place] for place in places) if isinstance(step.value, float)]
        if name == "where" and isinstance(self.steps[places[0]].value, float):
            return places[1] if self.steps[places[0]].value else places[2]
        if operation.number is not None and len(numbers) == len(places):
            return self.folded(name, places, numbers, node)
        self.check_constants(name, places, node)
        kind = operation.gives or (Kind.VECTOR if Kind.VECTOR in kinds else Kind.SCALAR)
        if kind is Kind.CONDITION and Kind.VECTOR in kinds:
            kind = Kind.CONDITIONS
        return self.step(name, tuple(places), coordinate, kind)

    def check_arguments(self, name: str, operation: Operation, kinds: list[Kind], node: ast.expr) -> None:
        takes = operation.takes
        if len(kinds) < len(takes) or (len(kinds) > len(takes) and not operation.many):
            wanted = f"{len(takes)}{' or more' if operation.many else ''} argument{'s' if len(takes) > 1 else ''}"
            raise self.error(node, f"{name} takes {wanted}, found {len(kinds)}")
        for position, kind in enumerate(kinds):
            sort = takes[min(position, len(takes) - 1)]
            if kind not in ACCEPTS[sort]:
                wanted = "a comparison such as x < 0" if sort == "condition" else f"a {sort}"
                raise self.error(node, f"{name} needs {wanted} as argument {position + 1}, found {kind.value}")
        if name == "where" and kinds[0] is Kind.CONDITIONS and Kind.VECTOR not in kinds:
            raise self.error(node, "where with a comparison of vectors needs a vector to choose from")

    def check_constants(self, name: str, places: list[int], node: ast.expr) -> None:
        """Refuse constants that leave no number at any point."""
        if name == "/" and self.steps[places[1]].value == 0.0:
            raise self.error(node, "divides by zero")
        if name == "**":
            base, exponent = (self.steps[place].value for place in places)
            if isinstance(base, float) and base <= 0.0:
                raise self.error(node, f"the base {base:g} of a variable power must be positive")
            if isinstance(exponent, float) and abs(exponent) > MAX_EXPONENT:
                raise self.error(node, f"the exponent {exponent:g} is too large; at most {MAX_EXPONENT:g} is allowed")

    def folded(self, name: str, places: list[int], numbers: list[float], node: ast.expr) -> int:
        """The step of a number that is computed from others, with its value."""
        operation = OPERATIONS[name]
        assert operation.number is not None
        try:
            value = float(operation.number(*numbers))
        except ZeroDivisionError:
            raise self.error(node, "divides by zero") from None
        except OverflowError:
            raise self.error(node, "is too large for a number") from None
        except ValueError:
            raise self.error(node, "has no real value") from None
        return self.step(name, tuple(places), self.finite(value, node), operation.gives or Kind.NUMBER)

    def number(self, value: float, node: ast.expr) -> int:
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        return self.step("number", (), self.finite(number, node), Kind.NUMBER)

    def finite(self, value: float, node: ast.expr) -> float:
        if not math.isfinite(value):
            raise self.error(node, "is too large for a number")
        return value

    def step(self, operation: str, arguments: tuple[int, ...], value: float | str | None, kind: Kind) -> int:
        key = (operation, arguments, repr(value), kind)  # repr tells 0.0 from -0.0
        if key not in self.places:
            if len(self.steps) >= MAX_STEPS:
                raise ExpressionError(f"more than {MAX_STEPS} operations, those of its functions included")
            self.places[key] = len(self.steps)
            self.steps.append(Step(operation, arguments, value, kind))
        return self.places[key]

    def splice(self, function: Expression) -> int:
        """Take a function's steps over; its place is that of its last step."""
        places: list[int] = []
        for step in function.steps:
            arguments = tuple(places[place] for place in step.arguments)
            places.append(self.step(step.operation, arguments, step.value, step.kind))
        return places[-1]

    def unknown(self, what: str, name: str, known: list[str], node: ast.expr) -> ExpressionError:
        close = difflib.get_close_matches(name, self.scope.values + self.scope.callables, n=1)
        meant = f"did you mean {close[0]}? " if close else ""
        return self.error(node, f"unknown {what} {shortened(name)!r}; {meant}known are {', '.join(known[:60])}")

    def error(self, node: ast.expr, message: str) -> ExpressionError:
        """The message with the node's column and text."""
        first, last = self.start + node.col_offset, self.start + (node.end_col_offset or node.col_offset + 1)
        piece = shortened(self.text[first:last], 40)
        return ExpressionError(f"{piece!r} at column {first + 1}: {message}")


def _reachable(steps: list[Step], last: int) -> tuple[Step, ...]:
    """The steps that the last one needs, renumbered."""
    needed = {last}
    for place in range(last, -1, -1):
        if place in needed:
            needed.update(steps[place].arguments)
    kept = sorted(needed)
    number = {place: k for k, place in enumerate(kept)}
    return tuple(Step(s.operation, tuple(number[a] for a in s.arguments), s.value, s.kind) for s in (steps[k] for k in kept))
