"""Parser of expressions: formulas in coordinates, parameters, functions and unknowns.

A text is split into tokens and parsed by Python's `ast`; every node is checked against a whitelist and translated into the
steps that the interpreter runs. Text is never run as Python.
"""

from __future__ import annotations

import ast
import difflib
import graphlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pdekan.fields.jets import Jet
from pdekan.problem_files.interpreter import (
    ACCEPTED_KINDS,
    CONSTANTS,
    FUNCTIONS,
    OPERATIONS,
    Kind,
    Operation,
    Step,
    is_entire,
    run,
)
from pdekan.problem_files.lexer import ExpressionError, check_tokens, names_in, shortened
from pdekan.problems.formulas import Environment, Field
from pdekan.problems.tables import Table

__all__ = ["CONSTANTS", "Expression", "ExpressionError", "Kind", "Scope", "dependency_order", "number", "parse", "tabulated"]

MAX_STEPS = 3_000  # bounds the cost of evaluating one expression
MAX_DEPTH = 150  # of the syntax tree, in which a chain of + - * / counts once: the translation is recursive
MAX_EXPONENT = 1_000.0

# what other programs call it
_OTHER_NAMES = {
    "ln": "log", "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arctan2": "atan2", "fabs": "abs", "pow": "**",
    "nabla": "grad", "gradient": "grad", "lap": "laplacian", "laplace": "laplacian", "delta": "laplacian",
    "divergence": "div", "inner": "dot", "PI": "pi", "Pi": "pi", "np": "sin(x) without np", "math": "sin(x) without math",
    "integral": 'integral(...) in [outputs], or a condition with type = "mean"',
    "heaviside": "where(x < 0, 0, 1)", "step": "where(x < 0, 0, 1)", "piecewise": "where(x < 0, a, b)",
}  # fmt: skip
_COMPLEX_NAMES = ("I", "re", "im", "arg", "conj")
_BINARY: dict[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**"}
_COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
}  # fmt: skip


@dataclass(frozen=True)
class Expression(Field):
    """A formula read from text: a Field, so that ``expression(environment)`` is its jet.

    names: the coordinates and unknowns it depends on, directly or through functions. kind: a number, a scalar field or a vector
    field. steps: its program.
    """

    text: str
    names: frozenset[str]
    kind: Kind
    steps: tuple[Step, ...] = field(repr=False)

    @property
    def is_entire(self) -> bool:
        return is_entire(self.steps)

    def __call__(self, environment: Environment) -> Jet:
        """The jet at the environment's points. Raises ExpressionError where an operator does not apply there."""
        try:
            return run(self.steps, environment)
        except ExpressionError as error:
            raise ExpressionError(f"{error} (in {shortened(self.text)!r})") from None


@dataclass(frozen=True)
class Scope:
    """The names that an expression may use.

    vector: the name of the vector of coordinates, or None. parameters: constants by name. functions: expressions by name.
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
        """The names that an environment gives a jet."""
        scalars = dict.fromkeys((*self.coordinates, *self.unknowns), Kind.SCALAR)
        return scalars if self.vector is None else {**scalars, self.vector: Kind.VECTOR}

    @property
    def values(self) -> list[str]:
        """Every name of a value."""
        return [*self.fields, *self.parameters, *self.functions, *CONSTANTS]

    @property
    def callables(self) -> list[str]:
        """Every name of a function with arguments."""
        return [*FUNCTIONS, *self.derivatives]


def parse(text: str, scope: Scope) -> Expression:
    """Parse an expression. Raises ExpressionError with the column of the fault."""
    tree, start = syntax_tree(text)
    return _Translator(text, start, scope).translate(tree)


def syntax_tree(text: str) -> tuple[ast.expr, int]:
    """The syntax tree of a text, and the column where it starts. Raises ExpressionError with the column of a fault."""
    check_tokens(text)
    # Python's grammar reads line breaks as ends of statements
    flat = re.sub(r"\s", " ", text)
    start = len(flat) - len(flat.lstrip())
    try:
        return ast.parse(flat.strip(), mode="eval").body, start
    except SyntaxError as error:
        column = start + (error.offset or len(flat) + 1)
        raise ExpressionError(
            f"cannot be read as a formula at column {column}, near {_near(flat, column)}{_missing_sign(flat)}"
        ) from None
    except (MemoryError, RecursionError, ValueError, OverflowError):
        raise ExpressionError("too deeply nested; break it up with [functions]") from None


def number(text: str) -> float:
    """The value of a formula of numbers, as ``2*pi``. Raises ExpressionError for other formulas."""
    found = parse(text, Scope(())).steps[-1].value
    if not isinstance(found, float):
        raise ExpressionError(f"{shortened(text)!r} is no number")
    return found


def tabulated(table: Table) -> Expression:
    """A table as a formula in its coordinates."""
    steps = tuple(Step("name", (), name, Kind.SCALAR) for name in table.coordinates)
    last = Step("table", tuple(range(len(steps))), table, Kind.SCALAR)
    return Expression(table.name, frozenset(table.coordinates), Kind.SCALAR, (*steps, last))


def dependency_order(texts: Mapping[str, str]) -> list[str]:
    """Names of functions, each after those that its text uses. Raises ExpressionError for a cycle."""
    uses = {name: {other for other in names_in(text) if other in texts} for name, text in texts.items()}
    try:
        return list(graphlib.TopologicalSorter(uses).static_order())
    except graphlib.CycleError as error:
        cycle = " -> ".join(reversed(error.args[1]))
        raise ExpressionError(f"functions refer to each other in a circle: {cycle}") from None


def _missing_sign(text: str) -> str:
    """What to write between two words that stand beside each other; empty where none do."""
    pair = re.search(r"(\w+|\)) +(\w+)", text)
    if pair is None:
        return ""
    first, second = (shortened(one, 20) for one in pair.groups())
    return (
        f"; write {first}({second})" if first in FUNCTIONS else f"; between {first} and {second} a sign is missing, such as *"
    )


def _near(text: str, column: int) -> str:
    rest = text[column - 1 :].strip()
    return repr(shortened(rest, 20)) if rest else "its end"


class _Translator:
    """Translates a syntax tree into steps without repetitions. Its methods return the indices of steps."""

    def __init__(self, text: str, start: int, scope: Scope) -> None:
        self.text, self.start, self.scope = text, start, scope
        self.steps: list[Step] = []
        self.indices: dict[tuple[str, tuple[int, ...], str, Kind], int] = {}
        self.functions: dict[str, int] = {}

    def translate(self, tree: ast.expr) -> Expression:
        last = self.expression(tree, 0)
        kind = self.steps[last].kind
        if kind in ACCEPTED_KINDS["condition"]:
            raise ExpressionError("a comparison is allowed only as the first argument of where(condition, a, b)")
        steps = _needed(self.steps, last)
        names = frozenset(str(step.value) for step in steps if step.operation == "name")
        return Expression(self.text, names, kind, steps)

    def expression(self, node: ast.expr, depth: int) -> int:
        """The step that computes a node."""
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
        """a + b - c + …, translated in a loop along its left side, so that a long sum needs no deep recursion."""
        spine: list[ast.BinOp] = []
        left: ast.expr = node
        while isinstance(left, ast.BinOp):
            spine.append(left)
            left = left.left
        result = self.expression(left, depth + 1)
        for part in reversed(spine):
            if type(part.op) not in _BINARY:
                raise self.error(part, "uses an operator that formulas do not have")
            result = self.operation(_BINARY[type(part.op)], [result, self.expression(part.right, depth + 1)], part)
        return result

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
                self.functions[name] = self.inlined(scope.functions[name])
            return self.functions[name]
        if name in scope.callables:
            raise self.error(node, f"{name} is a function; write {name}(...)")
        raise self.unknown_name("name", name, scope.values, node)

    def call(self, name: str, nodes: list[ast.expr], node: ast.expr, depth: int) -> int:
        scope = self.scope
        if name not in scope.callables:
            if name in scope.values:
                raise self.error(node, f"{name} is not called with arguments; write {name}, or {name}*(...)")
            raise self.unknown_name("function", name, scope.callables, node)
        if any(isinstance(item, ast.Starred) for item in nodes):
            raise self.error(node, "arguments are separated by commas, without *")
        arguments = [self.expression(item, depth + 1) for item in nodes]
        if name in scope.derivatives:
            return self.operation("derivative", arguments, node, scope.derivatives[name])
        return self.operation(name, arguments, node)

    def operation(self, name: str, arguments: list[int], node: ast.expr, coordinate: str | None = None) -> int:
        operation, values = OPERATIONS[name], [self.steps[k].value for k in arguments]
        kinds = [self.steps[k].kind for k in arguments]
        self.check_arguments("d" + coordinate if coordinate else name, operation, kinds, node)
        if name == "where" and isinstance(values[0], float):
            return arguments[1] if values[0] else arguments[2]
        numbers = [value for value in values if isinstance(value, float)]
        if operation.on_numbers is not None and len(numbers) == len(arguments):
            return self.constant(name, arguments, numbers, node)
        self.check_constants(name, values, node)
        kind = operation.result or (Kind.VECTOR if Kind.VECTOR in kinds else Kind.SCALAR)
        if kind is Kind.CONDITION and Kind.VECTOR in kinds:
            kind = Kind.CONDITIONS
        return self.step(name, arguments, coordinate, kind)

    def check_arguments(self, name: str, operation: Operation, kinds: list[Kind], node: ast.expr) -> None:
        arguments, more = operation.arguments, operation.variadic
        if len(kinds) < len(arguments) or (len(kinds) > len(arguments) and not more):
            wanted = f"{len(arguments)}{' or more' if more else ''} argument{'s' if len(arguments) > 1 else ''}"
            raise self.error(node, f"{name} takes {wanted}, found {len(kinds)}")
        for position, kind in enumerate(kinds):
            argument = arguments[min(position, len(arguments) - 1)]
            if kind not in ACCEPTED_KINDS[argument]:
                wanted = "a comparison such as x < 0" if argument == "condition" else f"a {argument}"
                raise self.error(node, f"{name} needs {wanted} as argument {position + 1}, found {kind.value}")
        if name == "where" and kinds[0] is Kind.CONDITIONS and Kind.VECTOR not in kinds:
            raise self.error(node, "where with a comparison of vectors needs a vector to choose from")

    def check_constants(self, name: str, values: list[float | str | Table | None], node: ast.expr) -> None:
        """Raise ExpressionError for constants with which an operation has no value at any point."""
        if name == "/" and values[1] == 0.0:
            raise self.error(node, "divides by zero")
        if name == "**":
            base, exponent = values
            if isinstance(base, float) and base <= 0.0:
                raise self.error(node, f"the base {base:g} of a variable power must be positive")
            if isinstance(exponent, float) and abs(exponent) > MAX_EXPONENT:
                raise self.error(node, f"the exponent {exponent:g} is too large; at most {MAX_EXPONENT:g} is allowed")

    def constant(self, name: str, arguments: list[int], numbers: list[float], node: ast.expr) -> int:
        """The step of a number computed from numbers, with its value."""
        operation = OPERATIONS[name]
        assert operation.on_numbers is not None
        try:
            value = float(operation.on_numbers(*numbers))
        except ZeroDivisionError:
            raise self.error(node, "divides by zero") from None
        except OverflowError:
            raise self.error(node, "is too large for a number") from None
        except ValueError:
            raise self.error(node, "has no real value") from None
        return self.number(value, node, name, arguments, operation.result or Kind.NUMBER)

    def number(
        self, value: float, node: ast.expr, name: str = "number", arguments: Sequence[int] = (), kind: Kind = Kind.NUMBER
    ) -> int:
        """The step of a number. Raises ExpressionError where it is not finite, or an integer too large for a float."""
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise self.error(node, "is too large for a number")
        return self.step(name, arguments, number, kind)

    def step(self, operation: str, arguments: Sequence[int], value: float | str | Table | None, kind: Kind) -> int:
        key = (operation, tuple(arguments), repr(value), kind)  # repr distinguishes 0.0 and -0.0
        if key not in self.indices:
            if len(self.steps) >= MAX_STEPS:
                raise ExpressionError(f"more than {MAX_STEPS} operations, those of its functions included")
            self.indices[key] = len(self.steps)
            self.steps.append(Step(operation, tuple(arguments), value, kind))
        return self.indices[key]

    def inlined(self, function: Expression) -> int:
        """The last of a function's steps, after all of them are added."""
        indices: list[int] = []
        for step in function.steps:
            indices.append(self.step(step.operation, [indices[k] for k in step.arguments], step.value, step.kind))
        return indices[-1]

    def unknown_name(self, what: str, name: str, known: list[str], node: ast.expr) -> ExpressionError:
        meant = _meant(name, self.scope)
        hint = f"did you mean {meant}? " if meant else ""
        return self.error(node, f"unknown {what} {shortened(name)!r}; {hint}known are {', '.join(known[:60])}")

    def error(self, node: ast.expr, message: str) -> ExpressionError:
        """An error with the node's text and column."""
        first, last = self.start + node.col_offset, self.start + (node.end_col_offset or node.col_offset + 1)
        piece = shortened(self.text[first:last], 40)
        return ExpressionError(f"{piece!r} at column {first + 1}: {message}")


def _meant(name: str, scope: Scope) -> str | None:
    """What an unknown name may stand for: a derivative such as u_xx or diff, another program's name, or one spelt alike."""
    unknown, _, letters = name.rpartition("_")
    if unknown in scope.unknowns and letters and set(letters) <= set(scope.coordinates):
        return "".join(f"d{letter}(" for letter in letters) + unknown + ")" * len(letters)
    if name in ("diff", "D", "Derivative"):
        return f"d{scope.coordinates[0]}({scope.unknowns[0] if scope.unknowns else 'u'})"
    if name in _OTHER_NAMES:
        return _OTHER_NAMES[name]
    if name in _COMPLEX_NAMES:
        return f'{name} of complex numbers, with complex = ["{scope.unknowns[0] if scope.unknowns else "u"}"]'
    if name == "dt":
        return None  # there is no time: not dot
    return next(iter(difflib.get_close_matches(name, scope.values + scope.callables, n=1)), None)


def _needed(steps: list[Step], last: int) -> tuple[Step, ...]:
    """The steps that the last one depends on, renumbered."""
    needed = {last}
    for k in range(last, -1, -1):
        if k in needed:
            needed.update(steps[k].arguments)
    number = {old: new for new, old in enumerate(sorted(needed))}
    return tuple(replace(steps[k], arguments=tuple(number[a] for a in steps[k].arguments)) for k in number)
