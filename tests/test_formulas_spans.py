"""Functions are named by the space that they span, whatever the mixture and in spite of small errors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import sympy
from numpy.typing import NDArray

from pdekan.symbolic.spans import FunctionSpan, X, _minimised, members
from pdekan.symbolic.symbols import FAMILIES, symbol
from pdekan.symbolic.templates import evaluate

Array = NDArray[np.float64]
Function = Callable[[Array], Array]
ERROR = 1e-8


def space(functions: list[Function], lower: float, upper: float, error: float = ERROR) -> FunctionSpan:
    """The span of random mixtures of functions with errors, on 64 Gauss points."""
    nodes, weights = np.polynomial.legendre.leggauss(64)
    x = lower + 0.5 * (nodes + 1.0) * (upper - lower)
    random = np.random.default_rng(0)
    values = np.column_stack([f(x) + 0.0 * x for f in functions]) @ random.normal(size=(len(functions), len(functions)))
    values += error * random.normal(size=values.shape) * np.abs(values).max()
    return FunctionSpan.of(x, 0.5 * weights, values, 10.0 * error)


CASES: dict[str, tuple[list[Function], float, float, list[str]]] = {
    "sine": ([lambda x: np.sin(np.pi * x)], 0.0, 1.0, ["sin"]),
    "two sines": ([lambda x: np.sin(np.pi * x), lambda x: np.sin(2 * np.pi * x)], 0.0, 1.0, ["sin", "sin"]),
    "constant and decay": ([lambda x: 1.0 + 0.0 * x, lambda x: np.exp(-9.8 * x)], 0.0, 1.0, ["1", "exp"]),
    "parabola": ([lambda x: x * (1.0 - x)], 0.0, 1.0, ["x**2"]),
    "exp with a square": ([np.exp, lambda x: x**2 * np.exp(x)], -1.0, 1.0, ["exp", "exp"]),
    "front": ([lambda x: np.tanh(3.0 * x - 1.0), lambda x: 1.0 + 0.0 * x], -1.0, 1.0, ["1", "tanh"]),
    "bell": ([lambda x: np.exp(-5.0 * (x - 0.2) ** 2), lambda x: 1.0 + 0.0 * x], -1.0, 1.0, ["1", "exp"]),
    "chirp": ([lambda x: np.sin(np.pi * x**2)], -1.0, 1.0, ["sin"]),
    "damped wave": ([lambda x: np.exp(-0.5 * x) * np.cos(6.0 * x)], 0.0, 2.0, ["cos"]),
    "logarithm": ([lambda x: np.log(x + 2.0), lambda x: 1.0 + 0.0 * x], -1.0, 1.0, ["1", "log"]),
    "root": ([np.sqrt, lambda x: 1.0 + 0.0 * x], 0.0, 1.0, ["1", "0.5"]),
    "kink": ([lambda x: np.abs(x - 0.3), lambda x: 1.0 + 0.0 * x], -1.0, 1.0, ["1", "Abs"]),
    "line and sine": ([lambda x: 1.0 + 0.5 * np.sin(2 * np.pi * x)], 0.0, 1.0, ["sin"]),
}


@pytest.mark.parametrize("name", CASES)
def test_functions_of_the_library_are_found_and_span_the_space(name: str) -> None:
    functions, lower, upper, words = CASES[name]
    found = members(space(functions, lower, upper))
    assert found is not None
    assert all(word in str(one.numeric) for one, word in zip(found, words, strict=True)), [str(one.numeric) for one in found]
    x = np.linspace(lower, upper, 201)[1:]
    basis = np.column_stack([np.broadcast_to(evaluate(one.numeric, {X: x}), x.shape) for one in found])
    for f in functions:
        wanted = f(x) + 0.0 * x
        misfit = basis @ np.linalg.lstsq(basis, wanted, rcond=None)[0] - wanted
        assert np.abs(misfit).max() < 1e-5 * np.abs(wanted).max()


@pytest.mark.parametrize(
    "function", [lambda x: np.exp(np.sin(3.0 * x)), lambda x: 1.0 / (1.0 + 3.0 * x**2), lambda x: np.sin(x) ** 3 / (2.0 + x)]
)
def test_what_the_library_lacks_is_not_found(function: Function) -> None:
    assert members(space([function], -1.0, 1.0)) is None


def test_users_add_functions() -> None:
    functions: list[Function] = [lambda x: 1.0 / np.cosh(3.0 * x - 0.6), lambda x: 1.0 + 0.0 * x]
    assert members(space(functions, -1.0, 1.0)) is None
    found = members(space(functions, -1.0, 1.0), [*FAMILIES, symbol("sech", lambda z: 1 / sympy.cosh(z))])
    assert found is not None
    slope = sorted(abs(v) for v in found[1].values.values())
    assert slope == pytest.approx([0.6, 3.0], rel=1e-5)


def test_a_descent_does_not_depend_on_the_signs_of_singular_vectors() -> None:
    """A member is known up to its sign, which may differ from one step to the next."""
    family = next(one for one in FAMILIES if one.name == "line + sine")
    here = space([lambda x: 1.0 + 0.5 * np.sin(2 * np.pi * x)], 0.0, 1.0, error=1e-10)
    none = np.zeros((64, 0))
    for start in (5.8, 6.0, 6.2, 6.4, 6.6, 6.8):
        theta, sine = _minimised(family, here, none, here.basis, np.array([start]), 40)
        assert theta[0] == pytest.approx(2 * np.pi, rel=1e-6)
        assert sine < 1e-7
