"""Templates: formulas whose constants are still numbers to be adjusted, and their values on arrays and on jets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.special
import sympy
from numpy.typing import NDArray
from sympy import Expr, Symbol

from pdekan.fields.functions import ELEMENTARY

Array = NDArray[np.float64]
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
    """A formula in coordinates and constants, with the constants' present values."""

    expression: Expr
    values: Mapping[Symbol, float]

    def at(self, values: Mapping[Symbol, float]) -> Template:
        """The same formula with other constants; those that it does not contain are left out."""
        return Template(self.expression, {c: float(values[c]) for c in self.values if c in self.expression.free_symbols})

    @property
    def numeric(self) -> Expr:
        """The formula with its constants put in as floats."""
        return self.expression.xreplace({c: sympy.Float(v) for c, v in self.values.items()})


def constant(value: float) -> tuple[Symbol, dict[Symbol, float]]:
    """A new constant with its value."""
    symbol = sympy.Dummy("c", real=True)
    return symbol, {symbol: float(value)}


def evaluate(expression: Expr, environment: Mapping[str, Any], functions: Functions = ON_ARRAYS) -> Any:
    """The value of a formula where names stand for arrays, jets or numbers, nan where it is not real; equal parts once.

    Raises KeyError for a function or a name that is not known.
    """
    known: dict[Expr, Any] = {}

    def value(part: Expr) -> Any:
        if part not in known:
            known[part] = _value(part)
        return known[part]

    def _value(part: Expr) -> Any:
        if part.is_Number or part.is_NumberSymbol:
            return float(part)
        if part.is_Symbol:
            return environment[part if part in environment else part.name]
        arguments = [value(argument) for argument in part.args]
        if part.is_Add:
            return sum(arguments[1:], arguments[0])
        if part.is_Mul:
            return _product(arguments)
        if part.is_Pow:
            return _power(*arguments)
        known_functions = ON_ARRAYS if all(isinstance(one, float) for one in arguments) else functions
        with np.errstate(all="ignore"):
            return known_functions[type(part).__name__](*arguments)

    return value(expression)


def _product(factors: list[Any]) -> Any:
    product = factors[0]
    for factor in factors[1:]:
        product = product * factor
    return product


def _power(base: Any, exponent: Any) -> Any:
    if isinstance(base, float) and isinstance(exponent, float):
        with np.errstate(all="ignore"):
            return float(np.power(base, exponent))  # which is nan or inf where Python's would be complex, or raise
    if isinstance(exponent, float) and exponent == int(exponent):
        exponent = int(exponent)  # of a negative base, too
    return base**exponent
