"""Text on figures: names as mathematics, short numbers, and the fixed coordinates of a slice."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import floor, isfinite, log10

_GREEK = re.compile(
    "alpha|beta|gamma|delta|epsilon|zeta|eta|theta|iota|kappa|lambda|mu|nu|xi|pi|rho|sigma|tau|phi|chi|psi|omega"
)
_PARTS = {"re": "Re {}", "im": "Im {}", "abs": "|{}|", "arg": "arg {}"}  # of complex unknowns
_NAMES_IN_FULL = 3  # more are abbreviated: x3 = … = x100


def symbol(name: str) -> str:
    """A name as mathtext, or unchanged where it is a word: x -> $x$, x12 -> $x_{12}$, theta -> $\\theta$, u_re -> Re $u$."""
    part = re.fullmatch(r"([A-Za-z]+)_(re|im|abs|arg)", name)
    if part is not None and symbol(part[1]) != part[1]:
        return _PARTS[part[2]].format(symbol(part[1]))
    match = re.fullmatch(r"([A-Za-z]+?)_?(\d*)", name)
    if match is None or not (len(match[1]) == 1 or _GREEK.fullmatch(match[1])):
        return name
    letter = match[1] if len(match[1]) == 1 else "\\" + match[1]
    return f"${letter}_{{{match[2]}}}$" if match[2] else f"${letter}$"


def with_unit(text: str, unit: str) -> str:
    """A name with its unit, if it has one: "$x$ (mm)"."""
    return f"{text} ({unit})" if unit else text


def number(value: float, digits: int = 3) -> str:
    """A number of a few significant digits: 0.5, or $3.2 \\times 10^{-9}$ where that is shorter."""
    if value == 0.0 or not isfinite(value):
        return f"{value:g}"
    exponent = floor(log10(abs(value)))
    if -3 <= exponent < 5:
        return f"{value:.{max(digits, exponent + 1)}g}".replace("-", "\N{MINUS SIGN}")
    mantissa, exponent_text = f"{value:.{digits - 2}e}".split("e")
    return rf"${mantissa} \times 10^{{{int(exponent_text)}}}$"


def cut_text(cut: Mapping[str, float], units: Mapping[str, str] | None = None) -> str:
    """The fixed coordinates of a slice, grouped by value: "x3 = x4 = 0.5, t = 1 s"; a long list by its first and last."""
    together: dict[tuple[float, str], list[str]] = {}
    for name, value in cut.items():
        together.setdefault((value, (units or {}).get(name, "")), []).append(name)
    order = list(cut)
    parts = [f"{_equal_names(names, order)} = {number(value)} {unit}".rstrip() for (value, unit), names in together.items()]
    if len(parts) <= _NAMES_IN_FULL:
        return ", ".join(parts)
    return f"{parts[0]}, {parts[1]}, … {parts[-1]}"


def _equal_names(names: list[str], order: list[str]) -> str:
    if len(names) <= _NAMES_IN_FULL:
        return " = ".join(map(symbol, names))
    first, last = order.index(names[0]), order.index(names[-1])
    if last - first + 1 == len(names):
        return rf"{symbol(names[0])} = … = {symbol(names[-1])}"
    return f"{len(names)} coordinates"
