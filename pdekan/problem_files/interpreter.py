"""Interpreter of expressions: a program is a list of steps, each an operation on the results of earlier steps, run on jets.

Equal sub-expressions are one step and are computed once. Constants are computed when the text is parsed; their steps are kept,
so that 2*pi can be written as such.
"""

from __future__ import annotations

import functools
import math
import operator
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Literal

from torch import Tensor

from pdekan.fields.functions import ELEMENTARY, atan2, product, total, where
from pdekan.fields.jets import Jet, MissingDerivative
from pdekan.fields.operators import d, div, dot, grad, laplacian, normal
from pdekan.problem_files.lexer import ExpressionError
from pdekan.problems.tables import Table

Value = Jet | float | Tensor


class Kind(Enum):
    """The kind of a step's result, in the words of error messages."""

    NUMBER = "a number"
    SCALAR = "a scalar field"
    VECTOR = "a vector field"
    CONDITION = "a comparison"
    CONDITIONS = "a comparison of vectors"


Argument = Literal["field", "scalar", "vector", "condition"]
# a number is accepted as a constant field
ACCEPTED_KINDS: dict[Argument, tuple[Kind, ...]] = {
    "field": (Kind.NUMBER, Kind.SCALAR, Kind.VECTOR),
    "scalar": (Kind.NUMBER, Kind.SCALAR),
    "vector": (Kind.VECTOR,),
    "condition": (Kind.CONDITION, Kind.CONDITIONS),
}


@dataclass(frozen=True)
class Operation:
    """An operation on jets.

    result: its kind, or None for the kind of the arguments (a vector if one of them is). on_numbers: the operation on numbers,
    for constants; it raises ArithmeticError or ValueError without a real result. variadic: more arguments like the last may
    follow.
    """

    apply: Callable[..., Any]
    arguments: tuple[Argument, ...]
    result: Kind | None = None
    on_numbers: Callable[..., float] | None = None
    variadic: bool = False


def _compare(relation: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def compare(a: Jet | float, b: Jet | float) -> Tensor:
        """Where the relation holds."""
        difference = a - b  # aligns scalars with vectors
        assert isinstance(difference, Jet)
        difference.frame.compares(difference.value)
        truth: Tensor = relation(difference.value, 0.0)
        return truth

    return compare


def _choose(condition: Tensor, a: Jet | float, b: Jet | float) -> Jet:
    if condition.ndim > 1:
        # a divergence, summed over the components, cannot be chosen component by component
        a, b = (replace(item, divergence=None) if isinstance(item, Jet) else item for item in (a, b))
    return where(condition, a, b)


def _extreme(relation: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def pair(a: Jet | float, b: Jet | float) -> Jet | float:
        """The extreme of two fields."""
        if isinstance(a, float) and isinstance(b, float):
            return a if relation(a, b) else b
        return _choose(_compare(relation)(a, b), a, b)

    return lambda *fields: functools.reduce(pair, fields)


def _sign(a: float) -> float:
    return math.copysign(1.0, a) if a else 0.0


_ELEMENTARY_ON_NUMBERS: dict[str, Callable[[float], float]] = {"abs": abs, "sign": _sign}
_RELATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
_TWO_FIELDS: tuple[Argument, Argument] = ("field", "field")

# the functions of the grammar, beside the derivatives dx, dy, … of each problem
FUNCTIONS: dict[str, Operation] = {
    **{
        name: Operation(function, ("field",), on_numbers=_ELEMENTARY_ON_NUMBERS.get(name) or getattr(math, name))
        for name, function in ELEMENTARY.items()
    },
    "atan2": Operation(atan2, _TWO_FIELDS, on_numbers=math.atan2),
    "min": Operation(_extreme(operator.le), _TWO_FIELDS, on_numbers=min, variadic=True),
    "max": Operation(_extreme(operator.ge), _TWO_FIELDS, on_numbers=max, variadic=True),
    "where": Operation(_choose, ("condition", "field", "field")),
    "sum": Operation(total, ("vector",), Kind.SCALAR),
    "prod": Operation(product, ("vector",), Kind.SCALAR),
    "grad": Operation(grad, ("scalar",), Kind.VECTOR),
    "div": Operation(div, ("vector",), Kind.SCALAR),
    "laplacian": Operation(laplacian, ("scalar",), Kind.SCALAR),
    "dot": Operation(dot, ("vector", "vector"), Kind.SCALAR),
    "normal": Operation(normal, ("scalar",), Kind.SCALAR),
}
OPERATIONS: dict[str, Operation] = {
    **FUNCTIONS,
    "+": Operation(operator.add, _TWO_FIELDS, on_numbers=operator.add),
    "-": Operation(operator.sub, _TWO_FIELDS, on_numbers=operator.sub),
    "*": Operation(operator.mul, _TWO_FIELDS, on_numbers=operator.mul),
    "/": Operation(operator.truediv, _TWO_FIELDS, on_numbers=operator.truediv),
    "**": Operation(operator.pow, _TWO_FIELDS, on_numbers=math.pow),
    "negative": Operation(operator.neg, ("field",), on_numbers=operator.neg),
    "derivative": Operation(d, ("scalar",), Kind.SCALAR),
    **{
        name: Operation(_compare(relation), _TWO_FIELDS, Kind.CONDITION, on_numbers=relation)
        for name, relation in _RELATIONS.items()
    },
}
CONSTANTS: dict[str, float] = {"pi": math.pi, "e": math.e}
# operations that have no jump and no pole wherever their arguments have none
_ENTIRE = {
    "name", "+", "-", "*", "negative", "sin", "cos", "sinh", "cosh", "exp",
    "derivative", "grad", "div", "laplacian", "dot", "sum", "prod",
}  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One operation on the results of earlier steps.

    operation: "number", a key of CONSTANTS, "name", "table", or a key of OPERATIONS. arguments: indices of earlier steps.
    value: the result where it is a number, the name, the coordinate of a derivative, or the table.
    """

    operation: str
    arguments: tuple[int, ...]
    value: float | str | Table | None
    kind: Kind


def is_entire(steps: Sequence[Step]) -> bool:
    """Whether all steps are entire functions of the names, see `Field.is_entire`: u / 2 and u**2 are, 1 / u and u**0.5 not."""

    def is_step(step: Step) -> bool:
        last = steps[step.arguments[-1]].value if step.arguments else None
        power = step.operation == "**" and isinstance(last, float) and last >= 0.0 and last.is_integer()
        quotient = step.operation == "/" and isinstance(last, float)
        return isinstance(step.value, float) or step.operation in _ENTIRE or power or quotient

    return all(is_step(step) for step in steps)


def run(steps: Sequence[Step], environment: Mapping[str, Jet | float]) -> Jet:
    """The last step's result in an environment, jets or numbers by name; a number becomes a constant field.

    Raises ExpressionError for a name that the environment lacks and where an operator does not apply (`normal` away
    from a boundary), MissingDerivative where the jets carry too few derivatives.
    """
    like = next(one for one in environment.values() if isinstance(one, Jet))
    uses = Counter(k for step in steps for k in step.arguments)
    results: list[Value | None] = []
    for step in steps:
        results.append(_result(step, [results[k] for k in step.arguments], environment, like))
        for k in step.arguments:
            uses[k] -= 1
            if not uses[k]:
                results[k] = None  # frees the memory, which is large at a million points
    final = results[-1]
    return final if isinstance(final, Jet) else _constant(final, like)


def _constant(value: Value | None, like: Jet) -> Jet:
    assert isinstance(value, float)
    return like.frame.constant(value, like.value)


def _result(step: Step, arguments: list[Any], environment: Mapping[str, Jet | float], like: Jet) -> Value:
    if isinstance(step.value, float):
        return step.value
    if step.operation == "name":
        name = str(step.value)
        if name not in environment:
            raise ExpressionError(f"nothing is known as {name!r} here; known are {', '.join(environment)}")
        return environment[name]
    if isinstance(step.value, Table):
        return step.value(*arguments)
    on_numbers = OPERATIONS[step.operation].on_numbers
    if on_numbers is not None and step.kind is not Kind.CONDITION and all(isinstance(item, float) for item in arguments):
        try:
            return float(on_numbers(*arguments))
        except (ValueError, ArithmeticError):
            listed = ", ".join(f"{item:g}" for item in arguments)
            raise ExpressionError(f"{step.operation} has no real value at {listed}") from None
    try:
        if not any(isinstance(argument, Jet) for argument in arguments):
            arguments = [_constant(item, like) if isinstance(item, float) else item for item in arguments]
        if step.operation == "derivative":
            return d(arguments[0], str(step.value))
        value: Value = OPERATIONS[step.operation].apply(*arguments)
    except MissingDerivative:
        raise
    except (TypeError, ValueError) as error:
        raise ExpressionError(str(error)) from None
    return value


def traced(steps: Sequence[Step], environment: Mapping[str, Jet]) -> list[Tensor]:
    """The values ``(n,)`` of all scalar steps that the environment's names determine; of a comparison, the difference."""
    results: list[Value | None] = []
    values: list[Tensor] = []
    for step in steps:
        arguments = [results[k] for k in step.arguments]
        result: Value | None = None
        if not (any(one is None for one in arguments) or (step.operation == "name" and step.value not in environment)):
            with suppress(ExpressionError, MissingDerivative):
                result = _result(step, arguments, environment, next(iter(environment.values())))
        results.append(result)
        seen = arguments[0] - arguments[1] if step.operation in _RELATIONS and result is not None else result  # type: ignore[operator]
        if isinstance(seen, Jet) and seen.components is None:
            values.append(seen.value)
    return values
