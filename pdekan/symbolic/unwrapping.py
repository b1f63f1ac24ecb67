"""Outer functions: u = F(v) is searched for as v = F⁻¹(u), where that is simpler."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import sympy
from numpy.typing import NDArray
from sympy import Expr, Symbol

from pdekan.symbolic.spans import Space, X, members
from pdekan.symbolic.symbols import Family
from pdekan.symbolic.templates import Template, constant, evaluate

Array = NDArray[np.float64]
Change = Callable[[Array], Array]


@dataclass(frozen=True)
class Unwrapping:
    """An outer function F and its inverse: u = F(v) is searched for as v = F⁻¹(u)."""

    name: str
    inverse: Change
    forward: Callable[[Expr], Expr]

    def around(self, functions: Sequence[Template], factors: Array) -> Template:
        """F of a combination of functions, with no constant that a factor in front of F makes redundant."""
        largest = int(np.argmax(np.abs(factors)))
        total: Expr = sympy.Integer(0)
        constants: dict[Symbol, float] = {}
        for k, (one, factor) in enumerate(zip(functions, factors, strict=True)):
            if self.name.endswith("exp") and one.expression == 1:
                continue
            name, value = constant(factor / factors[largest] if self.name.startswith("power") else factor)
            if self.name.startswith("power") and k == largest:
                total, constants = total + one.expression, constants | dict(one.values)
            else:
                total, constants = total + name * one.expression, constants | dict(one.values) | value
        return Template(self.forward(total), constants)


def _same(u: Array) -> Array:
    return u


def _rational(power: float) -> Expr:
    return sympy.nsimplify(power, rational=True)


def _powers(power: float) -> Unwrapping:
    return Unwrapping(f"power {1 / power:.3g}", lambda u: u**power, lambda v: v ** (1 / _rational(power)))


def _logarithms(rate: float) -> Unwrapping:
    return Unwrapping(f"log/{rate:g}", lambda u: np.exp(rate * u), lambda v: sympy.log(v) / _rational(rate))


NOTHING = Unwrapping("itself", _same, lambda v: v)
UNWRAPPINGS: tuple[Unwrapping, ...] = (
    NOTHING,
    Unwrapping("exp", np.log, sympy.exp),
    Unwrapping("-exp", lambda u: np.log(-u), lambda v: -sympy.exp(v)),
    *(_powers(p) for p in (-1.0, 2.0, -2.0, -0.5, 0.5, 3.0, -3.0)),
    *(_logarithms(k) for k in (1.0, -1.0, 2.0, -2.0, 0.5, -0.5)),
    Unwrapping("atan", np.tan, sympy.atan),
    Unwrapping("tanh", np.arctanh, sympy.tanh),
    Unwrapping("sin", np.arcsin, sympy.sin),
)


def nested_member(space: Space, families: Sequence[Family]) -> list[Template] | None:
    """A function of one coordinate as a multiple of F(g): exp(sin(x)), 1/(1 + x²), …"""
    values = space.basis[:, 0] / np.sqrt(space.weights)
    values = values / values[np.argmax(np.abs(values))]
    for unwrapping in UNWRAPPINGS[1:]:
        with np.errstate(all="ignore"):
            inner = unwrapping.inverse(values)
        if not np.isfinite(inner).all() or np.ptp(inner) < 1e-6 * np.abs(inner).max():
            continue
        both = np.column_stack([inner, np.ones_like(inner)])
        found = members(Space.of(space.points, space.weights, both, space.noise * 10.0), families)
        if found is None:
            continue
        basis = np.column_stack([np.broadcast_to(evaluate(one.numeric, {X: space.points}), inner.shape) for one in found])
        factors = np.linalg.lstsq(basis, inner, rcond=None)[0]
        return [unwrapping.around(found, factors)]
    return None
