"""Outer functions F: a search for u = F(v) is one for v = F⁻¹(u)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import sympy
from sympy import Expr

from pdekan.domains.quadrature import Array
from pdekan.symbolic.spans import FunctionSpan, members, values_at
from pdekan.symbolic.symbols import Family
from pdekan.symbolic.templates import Template, combination

Change = Callable[[Array], Array]


@dataclass(frozen=True)
class Unwrapping:
    """An outer function F and its inverse."""

    name: str
    inverse: Change
    forward: Callable[[Expr], Expr]

    def fit(self, functions: Sequence[Template], x: Array, values: Array) -> Template:
        """F of the combination of functions of X that is nearest to values ``(n,)`` at x.

        It has no constant that a factor of F makes redundant.
        """
        basis = np.column_stack([values_at(one, x) for one in functions])
        factors = np.linalg.lstsq(basis, values, rcond=None)[0]
        without: tuple[int, ...] = ()
        if self.name.endswith("exp"):  # exp(v + c) is a multiple of exp(v)
            kept = [k for k, one in enumerate(functions) if one.expression != 1]
            functions, factors = [functions[k] for k in kept], factors[kept]
        elif self.name.startswith("power"):  # (c v)^p is a multiple of v^p
            without = (int(np.argmax(np.abs(factors))),)
            factors = factors / factors[without[0]]
        inner = combination(functions, factors.tolist(), without)
        return Template(self.forward(inner.expression), inner.values)


def _rational(power: float) -> Expr:
    return sympy.nsimplify(power, rational=True)


def _powers(power: float) -> Unwrapping:
    return Unwrapping(f"power {1 / power:.3g}", lambda u: u**power, lambda v: v ** (1 / _rational(power)))


def _logarithms(rate: float) -> Unwrapping:
    return Unwrapping(f"log/{rate:g}", lambda u: np.exp(rate * u), lambda v: sympy.log(v) / _rational(rate))


IDENTITY = Unwrapping("itself", lambda u: u, lambda v: v)
UNWRAPPINGS: tuple[Unwrapping, ...] = (
    IDENTITY,
    Unwrapping("exp", np.log, sympy.exp),
    Unwrapping("-exp", lambda u: np.log(-u), lambda v: -sympy.exp(v)),
    *(_powers(p) for p in (-1.0, 2.0, -2.0, -0.5, 0.5, 3.0, -3.0)),
    *(_logarithms(k) for k in (1.0, -1.0, 2.0, -2.0, 0.5, -0.5)),
    Unwrapping("atan", np.tan, sympy.atan),
    Unwrapping("tanh", np.arctanh, sympy.tanh),
    Unwrapping("sin", np.arcsin, sympy.sin),
)


def nested_member(span: FunctionSpan, families: Sequence[Family]) -> list[Template] | None:
    """A function of one coordinate as a multiple of F(g): exp(sin(x)), 1/(1 + x²), …"""
    values = span.basis[:, 0] / np.sqrt(span.weights)
    values = values / values[np.argmax(np.abs(values))]
    for unwrapping in UNWRAPPINGS[1:]:
        with np.errstate(all="ignore"):
            inner = unwrapping.inverse(values)
        if not np.isfinite(inner).all() or np.ptp(inner) < 1e-6 * np.abs(inner).max():
            continue
        both = np.column_stack([inner, np.ones_like(inner)])
        functions = members(FunctionSpan.of(span.points, span.weights, both, span.noise * 10.0), families)
        if functions is None:
            continue
        return [unwrapping.fit(functions, span.points, inner)]
    return None
