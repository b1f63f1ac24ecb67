"""Programs: an expression as a list of steps, each an operation on the results of earlier steps, run on jets.

Equal sub-expressions are one step, so `sin(pi*x)` is computed once however often it is written. What depends on numbers
alone is computed when the text is read; its steps are kept, which say what the number is: 2*pi, not 6.28.
"""

from __future__ import annotations

import functools
import math
import operator
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Literal

from torch import Tensor

from pdekan.fields.functions import ELEMENTARY, atan2, product, total, where
from pdekan.fields.jets import Jet, MissingDerivative
from pdekan.fields.operators import d, div, dot, grad, laplacian, normal
from pdekan.problem_files.lexer import ExpressionError

Value = Jet | float | Tensor


class Kind(Enum):
    """What a step yields, in the words of error messages."""

    NUMBER = "a number"
    SCALAR = "a scalar field"
    VECTOR = "a vector field"
    CONDITION = "a comparison"
    CONDITIONS = "a comparison of vectors"


Argument = Literal["field", "scalar", "vector", "condition"]
# the kinds that an argument of each sort may have; a number serves as a constant field
ACCEPTS: dict[Argument, tuple[Kind, ...]] = {
    "field": (Kind.NUMBER, Kind.SCALAR, Kind.VECTOR),
    "scalar": (Kind.NUMBER, Kind.SCALAR),
    "vector": (Kind.VECTOR,),
    "condition": (Kind.CONDITION, Kind.CONDITIONS),
}


@dataclass(frozen=True)
class Operation:
    """What an operation takes, what it gives, and how it acts on jets and on numbers.

    gives: a kind, or None for the kind of the arguments (a vector if one of them is).
    number: the same on numbers, for constants; it raises ArithmeticError or ValueError where there is no real result.
    many: more arguments like the last may follow.
    """

    apply: Callable[..., Any]
    takes: tuple[Argument, ...]
    gives: Kind | None = None
    number: Callable[..., float] | None = None
    many: bool = False


def _compare(relation: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def compare(a: Jet | float, b: Jet | float) -> Tensor:
        difference = a - b  # aligns scalars with vectors
        assert isinstance(difference, Jet)
        truth: Tensor = relation(difference.value, 0.0)
        return truth

    return compare


def _choose(condition: Tensor, a: Jet | float, b: Jet | float) -> Jet:
    if condition.ndim > 1:
        # a condition on each component leaves no use for a divergence that was summed over them
        a, b = (replace(item, divergence=None) if isinstance(item, Jet) else item for item in (a, b))
    return where(condition, a, b)


def _extreme(relation: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def pair(a: Jet | float, b: Jet | float) -> Jet | float:
        if isinstance(a, float) and isinstance(b, float):
            return a if relation(a, b) else b
        return _choose(_compare(relation)(a, b), a, b)

    return lambda *fields: functools.reduce(pair, fields)


def _sign(a: float) -> float:
    return math.copysign(1.0, a) if a else 0.0


_ON_NUMBERS: dict[str, Callable[[float], float]] = {"abs": abs, "sign": _sign}
_RELATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
_TWO: tuple[Argument, Argument] = ("field", "field")

# what has a name in formulas, beside the derivatives dx, dy, … of each problem
FUNCTIONS: dict[str, Operation] = {
    **{
        name: Operation(function, ("field",), number=_ON_NUMBERS.get(name) or getattr(math, name))
        for name, function in ELEMENTARY.items()
    },
    "atan2": Operation(atan2, _TWO, number=math.atan2),
    "min": Operation(_extreme(operator.le), _TWO, number=min, many=True),
    "max": Operation(_extreme(operator.ge), _TWO, number=max, many=True),
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
    "+": Operation(operator.add, _TWO, number=operator.add),
    "-": Operation(operator.sub, _TWO, number=operator.sub),
    "*": Operation(operator.mul, _TWO, number=operator.mul),
    "/": Operation(operator.truediv, _TWO, number=operator.truediv),
    "**": Operation(operator.pow, _TWO, number=math.pow),
    "negative": Operation(operator.neg, ("field",), number=operator.neg),
    "derivative": Operation(d, ("scalar",), Kind.SCALAR),
    **{name: Operation(_compare(relation), _TWO, Kind.CONDITION, number=relation) for name, relation in _RELATIONS.items()},
}


CONSTANTS: dict[str, float] = {"pi": math.pi, "e": math.e}


@dataclass(frozen=True)
class Step:
    """One operation on the results of earlier steps.

    operation: "number", a key of CONSTANTS, "name", or a key of OPERATIONS. arguments: places of earlier steps in the
    program. value: the result where it is a number, the name, or the coordinate of a derivative.
    """

    operation: str
    arguments: tuple[int, ...]
    value: float | str | None
    kind: Kind


def run(steps: Sequence[Step], environment: Mapping[str, Jet]) -> Jet:
    """The last step's result on an environment: names -> jets; a number becomes a constant field.

    Raises ExpressionError for a name that the environment lacks and where an operator does not apply (`normal` away
    from a boundary), MissingDerivative where the jets carry too few derivatives.
    """
    like = next(iter(environment.values()))
    remaining = Counter(place for step in steps for place in step.arguments)
    results: list[Value | None] = []
    for step in steps:
        results.append(_result(step, [results[place] for place in step.arguments], environment, like))
        for place in step.arguments:
            remaining[place] -= 1
            if not remaining[place]:
                results[place] = None  # intermediate fields at a million points are large
    final = results[-1]
    return final if isinstance(final, Jet) else _constant(final, like)


def _constant(value: Value | None, like: Jet) -> Jet:
    assert isinstance(value, float)
    return like.frame.constant(value, like.value)


def _result(step: Step, arguments: list[Any], environment: Mapping[str, Jet], like: Jet) -> Value:
    if isinstance(step.value, float):
        return step.value
    if step.operation == "name":
        name = str(step.value)
        if name not in environment:
            raise ExpressionError(f"nothing is known as {name!r} here; known are {', '.join(environment)}")
        return environment[name]
    if not any(isinstance(argument, Jet) for argument in arguments):
        arguments = [_constant(item, like) if isinstance(item, float) else item for item in arguments]
    try:
        if step.operation == "derivative":
            return d(arguments[0], str(step.value))
        value: Value = OPERATIONS[step.operation].apply(*arguments)
    except MissingDerivative:
        raise
    except (TypeError, ValueError) as error:
        raise ExpressionError(str(error)) from None
    return value
