"""Values of options: text in, a value out, or argparse's error with what is wrong with the text."""

from __future__ import annotations

import math
from argparse import ArgumentTypeError


def number(text: str) -> float:
    """A number, as Python writes it."""
    try:
        return float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no number; write one without a unit, as 0.5 or 1e-6") from None


def positive(text: str) -> float:
    """A finite number above zero."""
    value = number(text)
    if not 0.0 < value < math.inf:
        raise ArgumentTypeError(f"{text!r} is not a positive number")
    return value


def whole(text: str) -> int:
    """A whole number."""
    try:
        return int(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no whole number") from None


def count(text: str) -> int:
    """A whole number from 1 up."""
    if not (text.isascii() and text.isdigit() and len(text) < 9 and int(text) > 0):
        raise ArgumentTypeError(f"{text!r} is not a whole number from 1 up")
    return int(text)


def numbers(text: str) -> tuple[int, ...]:
    """Whole numbers joined by commas, ascending."""
    return tuple(sorted({count(part) for part in text.split(",")}))


def names(text: str) -> tuple[str, ...]:
    """Names joined by commas, each once."""
    found = tuple(text.split(","))
    for name in found:
        if found.count(name) > 1:
            raise ArgumentTypeError(f"{text!r} names {name} {found.count(name)} times; name it once")
    return found


def grid(text: str) -> tuple[int, ...]:
    """Points along each axis, joined by x."""
    try:
        shape = tuple(int(part) for part in text.split("x"))
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a grid; write numbers joined by x, as 200x200") from None
    if min(shape) < 2 or max(shape) > 100_000:
        raise ArgumentTypeError(f"{text!r}: every axis needs 2 to 100000 points")
    return shape


def times(text: str) -> tuple[float, ...]:
    """Numbers joined by commas."""
    try:
        times = tuple(float(part) for part in text.split(","))
    except ValueError:
        times = (math.nan,)
    if not all(map(math.isfinite, times)):
        raise ArgumentTypeError(f"{text!r} is no time; write numbers joined by commas, as 0.5,1")
    return times


def assignment(text: str) -> tuple[str, float]:
    """The name and the value of a parameter."""
    name, _, value = text.partition("=")
    try:
        return name.strip(), float(value)
    except ValueError:
        raise ArgumentTypeError(f"{text!r}: write the name and the value of a parameter, as mu=1.3") from None


def networks(text: str) -> tuple[tuple[int, ...], ...]:
    """Hidden layers of networks."""
    try:
        return tuple(dict.fromkeys(tuple(count(nodes) for nodes in part.split("x")) for part in text.split(",")))
    except ArgumentTypeError as error:
        hint = "write networks joined by commas, the layers of one joined by x, as 5,10x10"
        raise ArgumentTypeError(f"{text!r}: {error}; {hint}") from None


def networks_or_none(text: str) -> tuple[tuple[int, ...], ...]:
    """Hidden layers of networks; of no network for the word none."""
    return () if text == "none" else networks(text)
