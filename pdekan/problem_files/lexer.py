"""Tokens of expressions: a text is checked against them before Python parses it."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator

from pdekan.problems.formulas import ProblemError

MAX_CHARACTERS = 10_000
MAX_NESTING = 60  # of parentheses, and of signs in a row; Python's parser is recursive

_TOKEN = re.compile(
    r"""\s+
    | (?P<number> (?: \d+\.?\d* | \.\d+ ) (?: [eE][+-]?\d+ )? ) (?P<glued> [A-Za-z_]\w* )?
    | (?P<name> [A-Za-z_]\w* )
    | (?P<operator> \*\* | // | [<>=!]= | [-+*/(),<>] )""",
    re.ASCII | re.VERBOSE,
)
_ALLOWED = "numbers, names, + - * / ** ( ) , and comparisons inside where(...)"
_HINTS = {
    "^": "write ** for a power",
    "=": "the right side of an equation goes to `source`, of a condition to `value`; inside where(...) compare with ==",
    "//": "write / for a division",
    ";": "separate arguments by commas",
    ".": "functions have no prefix: write sin(x)",
    "·": "write *", "×": "write *", "⋅": "write *", "÷": "write /", "−": "write -", "–": "write -",
    "²": "write **2", "³": "write **3", "∂": "write dx(u) for the derivative to x", "∇": "write grad(u), div(...)",
    "Δ": "write laplacian(u)", "π": "write pi",
}  # fmt: skip
_WORDS = {"if": "write where(condition, a, b)", "else": "write where(condition, a, b)", "lambda": "call the parameter lam"}


class ExpressionError(ProblemError):
    """An expression that cannot be read or evaluated; the message names the fault, its column, and what is allowed."""


def names_in(text: str) -> Iterator[str]:
    """The names in a text, in order."""
    return (match["name"] for match in _TOKEN.finditer(text[:MAX_CHARACTERS]) if match["name"])


def shortened(text: str, length: int = 60) -> str:
    """A text on one line, cut to a length."""
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "…"


def check_tokens(text: str) -> None:
    """Raise ExpressionError for a text that is too long, nested too deeply, or contains other tokens than the grammar's."""
    if len(text) > MAX_CHARACTERS:
        raise ExpressionError(f"{len(text)} characters; at most {MAX_CHARACTERS} are allowed: break it up with [functions]")
    if not text.strip():
        raise ExpressionError("is empty; write a formula, such as 0")
    position = signs = 0
    opened: list[int] = []
    while position < len(text):
        match = _TOKEN.match(text, position)
        column = position + 1
        if match is None:
            character = text[position]
            hint = _HINTS.get(character, f"allowed are {_ALLOWED}")
            shown = repr(character) if character.isascii() else f"{character!r} (U+{ord(character):04X})"
            raise ExpressionError(f"character {shown} at column {column} is not allowed; {hint}")
        if match["glued"]:
            number, name = match["number"], match["glued"]
            raise ExpressionError(
                f"{shortened(number + name)!r} at column {column} is not a number; write {number[:20]}*{name[:20]}"
            )
        if match["name"] and keyword.iskeyword(match["name"]):
            hint = _WORDS.get(match["name"], "a formula has no Python words")
            raise ExpressionError(f"{match['name']!r} at column {column} is not allowed; {hint}")
        token = match["operator"]
        if token == "//":
            raise ExpressionError(f"'//' at column {column} is not allowed; {_HINTS[token]}")
        signs = signs + 1 if token in ("+", "-") else signs if token is None and not match[0].strip() else 0
        if token == "(":
            opened.append(column)
        elif token == ")":
            if not opened:
                raise ExpressionError(f"')' at column {column} closes nothing")
            opened.pop()
        if max(len(opened), signs) > MAX_NESTING:
            raise ExpressionError(f"nested more than {MAX_NESTING} deep at column {column}; break it up with [functions]")
        position = match.end()
    if opened:
        raise ExpressionError(f"'(' at column {opened[-1]} is never closed")
