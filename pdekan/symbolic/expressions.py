"""Formulas of a problem evaluated on SymPy expressions: the programs that run on jets, with derivatives in closed form.

Decimal numbers are exact: 0.01 is 1/100, pi is π. Derivatives of cases are those of the case that holds, as on jets: |x|'' is
0, not a delta.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import sympy

from pdekan.fields.jets import TIME
from pdekan.fields.operators import normal
from pdekan.problem_files.interpreter import Kind, Step
from pdekan.problem_files.parser import MAX_EXPONENT, Expression
from pdekan.problems.formulas import Constant, Difference, Field, Partial, PythonField, itself

Vector = tuple[sympy.Expr, ...]
Value = Any  # Expr, Vector, or conditions of either
Names = Mapping[str, sympy.Expr | Vector]


class NotSymbolic(ValueError):  # noqa: N818 - reads as what it is
    """A formula has no symbolic form: a Python function, or one that is not real."""


@dataclass(frozen=True)
class Coordinates:
    """The coordinates that derivatives refer to, and the outward normal on a boundary, one component each."""

    coordinates: tuple[str, ...]
    vector: str | None = None
    normal: Vector | None = None

    @property
    def symbols(self) -> Vector:
        """The coordinates as real symbols."""
        return tuple(symbol(name) for name in self.coordinates)

    @property
    def names(self) -> dict[str, sympy.Expr | Vector]:
        """The names that formulas may contain: the coordinates, and their vector."""
        names: dict[str, sympy.Expr | Vector] = dict(zip(self.coordinates, self.symbols, strict=True))
        return names if self.vector is None else {**names, self.vector: self.symbols}

    @property
    def space(self) -> list[str]:
        """The coordinates of space."""
        return [name for name in self.coordinates if name != TIME]


def symbol(name: str) -> sympy.Symbol:
    """A coordinate: real, so that roots and absolute values simplify."""
    return sympy.Symbol(name, real=True)


def number(value: float) -> sympy.Rational:
    """The shortest decimal of a number as a fraction: 0.1 is 1/10. Raises ValueError for a number that is not finite."""
    exact = Fraction(repr(float(value)))
    return sympy.Rational(exact.numerator, exact.denominator)


def applied(field: Field, names: Names, coordinates: Coordinates) -> sympy.Expr:
    """A scalar formula with expressions for its names. Raises NotSymbolic where it has no symbolic form."""
    if isinstance(field, Expression):
        value = run(field.steps, names, coordinates)
        if not isinstance(value, tuple):
            return value
    if isinstance(field, Constant):
        return number(field.number)
    if isinstance(field, Difference):
        return applied(field.first, names, coordinates) - applied(field.second, names, coordinates)
    if isinstance(field, Partial):
        slope = _scalar(names[field.unknown])
        for _ in range(field.order):
            slope = derivative(slope, field.coordinate)
        return slope
    if isinstance(field, PythonField) and field.function is itself:
        return _scalar(names[field.names[0]])
    if isinstance(field, PythonField) and field.function is normal:
        return _normal(_scalar(names[field.names[0]]), coordinates)
    raise NotSymbolic(f"{type(field).__name__} has no symbolic form")


def run(steps: Sequence[Step], names: Names, coordinates: Coordinates) -> sympy.Expr | Vector:
    """The last result of a program on expressions. Raises NotSymbolic for a name that is not given, and for complex numbers."""
    results: list[Value] = []
    for step in steps:
        try:
            results.append(_result(step, [results[place] for place in step.arguments], names, coordinates))
        except TypeError as error:  # SymPy raises it for a comparison of complex numbers
            raise NotSymbolic(str(error)) from None
    final: sympy.Expr | Vector = results[-1]
    return final


def derivative(u: sympy.Expr, name: str) -> sympy.Expr:
    """∂u/∂name; without the deltas of jumps. Raises NotSymbolic where SymPy knows none."""
    slope = u.diff(symbol(name)).replace(sympy.DiracDelta, lambda *_: sympy.Integer(0))
    if slope.has(sympy.Derivative, sympy.Subs):
        raise NotSymbolic(f"no derivative of {u} by {name} is known")
    return slope


def _result(step: Step, arguments: list[Value], names: Names, coordinates: Coordinates) -> Value:
    match step.operation:
        case "number":
            assert isinstance(step.value, float)
            return number(step.value)
        case "table":
            raise NotSymbolic(f"{step.value!r} has no symbolic form")
        case "name":
            if step.value not in names:
                raise NotSymbolic(f"nothing is known as {step.value!r}; known are {', '.join(names)}")
            return names[str(step.value)]
        case "derivative":
            return derivative(arguments[0], str(step.value))
        case name if name in _DIFFERENTIAL:
            return _DIFFERENTIAL[name](*arguments, coordinates)
        case name if name in _ON_VECTORS:
            return _ON_VECTORS[name](*arguments)
    function = _CONSTANTS.get(step.operation) or _ON_SCALARS[step.operation]
    return _each(function, arguments) if step.kind is not Kind.CONDITION else function(*arguments)


def _each(function: Callable[..., Value], arguments: list[Value]) -> Value:
    """A function of scalars, component by component where there are vectors."""
    size = max((len(a) for a in arguments if isinstance(a, tuple)), default=None)
    if size is None:
        return function(*arguments)
    return tuple(function(*(a[k] if isinstance(a, tuple) else a for a in arguments)) for k in range(size))


def _scalar(value: sympy.Expr | Vector) -> sympy.Expr:
    if isinstance(value, tuple):
        raise NotSymbolic("a vector where a scalar is needed")
    return value


def _gradient(u: sympy.Expr, coordinates: Coordinates) -> Vector:
    return tuple(derivative(u, name) for name in coordinates.space)


def _divergence(v: Vector, coordinates: Coordinates) -> sympy.Expr:
    return sympy.Add(*(derivative(part, name) for part, name in zip(v, coordinates.space, strict=True)))


def _normal(u: sympy.Expr, coordinates: Coordinates) -> sympy.Expr:
    if coordinates.normal is None:
        raise NotSymbolic("normal(u) is defined on a boundary only")
    components = zip(coordinates.normal, coordinates.coordinates, strict=True)
    return sympy.Add(*(n * derivative(u, name) for n, name in components if n != 0))


def _absolute(a: sympy.Expr) -> sympy.Expr:
    return sympy.Abs(a) if a.is_extended_real else sympy.Piecewise((a, a >= 0), (-a, True))


def _sign(a: sympy.Expr) -> sympy.Expr:
    return sympy.sign(a) if a.is_extended_real else sympy.Piecewise((1, a > 0), (-1, a < 0), (0, True))


def _power(a: sympy.Expr, b: sympy.Expr) -> sympy.Expr:
    # SymPy would write out a fraction to the power of a million
    return sympy.Pow(a, b, evaluate=not (a.is_Rational and b.is_Rational and abs(b) > MAX_EXPONENT))


def _chosen(condition: Value, a: sympy.Expr, b: sympy.Expr) -> sympy.Expr:
    return sympy.Piecewise((a, condition), (b, True))


def _extreme(relation: Callable[[Any, Any], Any]) -> Callable[..., sympy.Expr]:
    return lambda *fields: functools.reduce(lambda a, b: _chosen(relation(a, b), a, b), fields)


_CONSTANTS: dict[str, Callable[[], sympy.Expr]] = {"pi": lambda: sympy.pi, "e": lambda: sympy.E}
# functions of whole vectors
_ON_VECTORS: dict[str, Callable[..., Value]] = {
    "sum": lambda v: sympy.Add(*v),
    "prod": lambda v: sympy.Mul(*v),
    "dot": lambda a, b: sympy.Add(*(p * q for p, q in zip(a, b, strict=True))),
}
_DIFFERENTIAL: dict[str, Callable[..., Value]] = {
    "grad": _gradient,
    "div": _divergence,
    "laplacian": lambda u, coordinates: _divergence(_gradient(u, coordinates), coordinates),
    "normal": _normal,
}
# functions of scalars, or of each component of vectors
_ON_SCALARS: dict[str, Callable[..., Value]] = {
    "sin": sympy.sin, "cos": sympy.cos, "tan": sympy.tan, "asin": sympy.asin, "acos": sympy.acos, "atan": sympy.atan,
    "sinh": sympy.sinh, "cosh": sympy.cosh, "tanh": sympy.tanh, "exp": sympy.exp, "log": sympy.log, "sqrt": sympy.sqrt,
    "log10": lambda a: sympy.log(a) / sympy.log(10), "erf": sympy.erf, "atan2": sympy.atan2,
    "abs": _absolute, "sign": _sign, "min": _extreme(sympy.Le), "max": _extreme(sympy.Ge), "where": _chosen,
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "**": _power, "negative": operator.neg,
    "<": sympy.Lt, "<=": sympy.Le, ">": sympy.Gt, ">=": sympy.Ge, "==": sympy.Eq, "!=": sympy.Ne,
}  # fmt: skip
