"""Templates: formulas with constants that are adjusted numerically, and their values on arrays and on jets."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from typing import Any

import numpy as np
import scipy.special
import sympy
from sympy import Expr, Symbol

from pdekan.fields.functions import ELEMENTARY

Functions = Mapping[str, Callable[..., Any]]

ON_ARRAYS: Functions = {
    **{name: getattr(np, name) for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh", "exp", "log", "sign")},
    **{name: getattr(np, f"arc{name[1:]}") for name in ("asin", "acos", "atan")},
    "erf": scipy.special.erf,
    "Abs": np.abs,
}
ON_JETS: Functions = ELEMENTARY | {"Abs": ELEMENTARY["abs"]}


@dataclass(frozen=True)
class Template:
    """A formula in coordinates and constants, with the constants' values."""

    expression: Expr
    values: Mapping[Symbol, float]

    def at(self, values: Mapping[Symbol, float]) -> Template:
        """The same formula with other values of the constants that it contains."""
        return Template(self.expression, {c: float(values[c]) for c in self.values if c in self.expression.free_symbols})

    @property
    def numeric(self) -> Expr:
        """The formula with its constants put in as floats."""
        return self.expression.xreplace({c: sympy.Float(v) for c, v in self.values.items()})


def constant(value: float) -> tuple[Symbol, dict[Symbol, float]]:
    """A new constant with its value."""
    symbol = sympy.Dummy("c", real=True)
    return symbol, {symbol: float(value)}


def combination(functions: Sequence[Template], factors: Sequence[float], without: Collection[int] = ()) -> Template:
    """Σ c_k g_k with new constants c_k of the values of factors; the functions `without` have no constant."""
    total: Expr = sympy.Integer(0)
    constants: dict[Symbol, float] = {}
    for k, (one, factor) in enumerate(zip(functions, factors, strict=True)):
        name, value = constant(factor)
        total = total + (one.expression if k in without else name * one.expression)
        constants |= dict(one.values) | ({} if k in without else value)
    return Template(total, constants)


def evaluate(expression: Expr, environment: Mapping[str, Any], functions: Functions = ON_ARRAYS) -> Any:
    """The value of a formula for arrays, jets or numbers by name, nan where it is not real; equal parts are computed once.

    Raises KeyError for a function or a name that is not known.
    """

    @cache
    def value(part: Expr) -> Any:
        """The value of a part of the expression."""
        if part.is_Number or part.is_NumberSymbol:
            return float(part)
        if part.is_Symbol:
            return environment[part if part in environment else part.name]
        arguments = [value(argument) for argument in part.args]
        if part.is_Add:
            return sum(arguments[1:], arguments[0])
        if part.is_Mul:
            return reduce(operator.mul, arguments)
        if part.is_Pow:
            return _power(*arguments)
        on_numbers = all(isinstance(one, float) for one in arguments)
        with np.errstate(all="ignore"):
            return (ON_ARRAYS if on_numbers else functions)[type(part).__name__](*arguments)

    return value(expression)


def _power(base: Any, exponent: Any) -> Any:
    if isinstance(base, float) and isinstance(exponent, float):
        with np.errstate(all="ignore"):
            return float(np.power(base, exponent))  # nan or inf where Python's is complex or raises
    if isinstance(exponent, float) and exponent == int(exponent):
        exponent = int(exponent)  # also defined for a negative base
    return base**exponent
