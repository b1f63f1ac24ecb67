"""Formulas as plain data: text, LaTeX, SymPy's representation, a Python module, and the verdict line by line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import sympy

from pdekan.symbolic.search import Formula
from pdekan.symbolic.writing import latex, python_source, read, text

SCHEMA = 1
MEANINGS = {
    "exact": "exact: it satisfies the equations and conditions symbolically",
    "numerical": "to 1e-12 numerically: at every point looked at, but not shown symbolically",
}
FITTED = "fits the data to within what is stated below; there is no equation to verify it against"


def plain(formula: Formula, coordinates: Sequence[str], has_equations: bool = True) -> dict[str, Any]:
    """A formula as JSON; `python` is the source of a module with a function for every unknown.

    has_equations: whether the formula was verified against equations, not against data alone.
    """
    known = formula.substituted
    return {
        "schema": SCHEMA,
        "verdict": formula.verdict.kind,
        "meaning": MEANINGS[formula.verdict.kind] if has_equations else FITTED,
        "text": {name: text(one) for name, one in formula.expressions.items()},
        "latex": {name: latex(one) for name, one in formula.expressions.items()},
        "srepr": {name: str(sympy.srepr(one)) for name, one in known.items()},
        "python": python_source(known, coordinates),
        "parameters": {name: text(value) for name, value in formula.parameters.items()},
        "checks": [asdict(line) for line in formula.verdict.lines],
        "seconds": formula.seconds,
    }


def expressions(stored: Mapping[str, Any], coordinates: Sequence[str]) -> dict[str, sympy.Expr]:
    """The SymPy expressions of a stored formula, with the values of the parameters."""
    return {name: read(one, coordinates) for name, one in stored["srepr"].items()}
