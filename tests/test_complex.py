"""Complex unknowns: the parts of formulas against Python's complex numbers, problems and their solutions, faults."""

from __future__ import annotations

import ast
import cmath
import math
from pathlib import Path

import h5py
import numpy as np
import pytest

from pdekan import load_solution
from pdekan.output.figures import write_all
from pdekan.problem_files.complex_formulas import parts, parts_of
from pdekan.problem_files.lexer import ExpressionError
from pdekan.problem_files.loader import ProblemFileError, json_schema, loads
from pdekan.problem_files.parser import syntax_tree
from pdekan.training.solver import solve

FILE = """
schema = 1
name = "wave"
complex = ["u"]
[domain]
type = "box"
x = [0.0, 1.0]
t = [0.0, 1.0]
[functions]
f = "exp(I*x)"
[equation]
operator = "I*dt(u) + dx(dx(u))"
source = "0"
[[conditions]]
type = "initial"
value = "f"
[[conditions]]
type = "dirichlet"
value = "exact"
on = "x-"
[[conditions]]
type = "robin"
operator = "normal(u) - I*u"
value = "exact"
on = "x+"
[exact]
u = "exp(I*(x - t))"
"""


@pytest.mark.parametrize(
    "formula",
    [
        "z*w", "z/w", "(z - I*w)**3", "exp(I*z)*w", "sin(z)*cos(w)", "sinh(z) - cosh(w)", "log(z + w)", "conj(z)*z - abs(w)**2",
        "re(z)*im(w) + arg(z)", "2*z + 3 - I", "-z/(1 + x)", "I*I*z", "w*x**0.5 - z", "where(x < abs(z), z, w)", "conj(I)*z",
        "1/(z*w)", "z**2/abs(w)", "abs(x)*z", "abs(z*w)**2*z + abs(w)**4 - abs(z)**3",
    ],
)  # fmt: skip
def test_the_parts_of_a_formula_are_those_of_complex_numbers(formula: str) -> None:
    names = {"z": (ast.Name("z_re"), ast.Name("z_im")), "w": (ast.Name("w_re"), ast.Name("w_im"))}
    names["I"] = (ast.Constant(0), ast.Constant(1))
    found = parts(syntax_tree(formula)[0], names)  # type: ignore[arg-type]
    z, w, x = 0.7 - 0.4j, -0.3 + 1.1j, 0.6
    real = {"z_re": z.real, "z_im": z.imag, "w_re": w.real, "w_im": w.imag, "x": x}
    known = {**vars(math), "abs": abs, "where": lambda c, a, b: a if c else b, **real}
    values = [0.0 if part is None else eval(ast.unparse(part), {"__builtins__": {}}, known) for part in found]
    functions = {name: getattr(cmath, name) for name in ("exp", "sin", "cos", "sinh", "cosh", "log")}
    functions |= {"conj": np.conj, "abs": abs, "re": np.real, "im": np.imag, "arg": np.angle, "where": np.where}
    expected = complex(eval(formula, {"__builtins__": {}}, {**functions, "z": z, "w": w, "x": x, "I": 1j}))
    assert complex(*values) == pytest.approx(expected, rel=1e-12)


def test_an_even_power_of_a_modulus_has_derivatives_at_zero() -> None:
    """Trainings that start from u = 0 need them."""
    names = {"z": (ast.Name("z_re"), ast.Name("z_im"))}
    real, imaginary = parts(syntax_tree("abs(z)**2*z + abs(2*z)**4")[0], names)
    assert imaginary is not None
    assert "sqrt" not in ast.unparse(real) + ast.unparse(imaginary)
    assert "sqrt" in ast.unparse(parts(syntax_tree("abs(z)**3")[0], names)[0])


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        ("tan(z)", "takes real numbers; complex ones have exp, log"),
        ("z**0.5", "whole exponents up to 8"),
        ("where(z < 1, z, 2)", "compares complex numbers"),
        ("max(z, 1)", "takes real numbers"),
    ],
)
def test_what_complex_numbers_do_not_have_is_refused(formula: str, words: str) -> None:
    with pytest.raises(ProblemFileError, match=rf"functions\.f: .*{words}"):
        loads(FILE.replace('f = "exp(I*x)"', f'f = "{formula.replace("z", "u")}"'))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('complex = ["u"]', 'complex = ["v"]', r"<text>:4: complex\.0: 'v' is no unknown; the unknowns are u"),
        ('complex = ["u"]', "", r"unknown name 'I'; did you mean I of complex numbers, with complex = \["),
        ('complex = ["u"]', 'complex = ["u"]\nunknowns = ["u", "u_re"]', "u_re"),
        ('source = "0"', 'source = "q"', r"<text>:13: equation\.source: .*'q'"),
        ('source = "0"', 'source = "1 +"', r"<text>:13: equation\.source: cannot be read as a formula"),
        ('operator = "normal(u) - I*u"', 'operator = "normal(u) - q*u"', r"<text>:23: conditions\.2\.operator: .*'q'"),
        (
            'operator = "I*dt(u) + dx(dx(u))"\nsource = "0"',
            'operator = "abs(u)"\nsource = "I"',
            "is complex, and the other side",
        ),
        ('u = "exp(I*(x - t))"', 'u = "exp(I*(x - s))"', r"exact\.u: .*'s'"),
    ],
)
def test_faults_are_told_with_their_place_in_the_file(old: str, new: str, words: str) -> None:
    with pytest.raises(ProblemFileError, match=words):
        loads(FILE.replace(old, new))


def test_quantities_of_complex_unknowns_are_real_or_have_two_parts() -> None:
    problem = loads(FILE + '[outputs]\nmass = "integral(abs(u)**2, x)"\nfar = "I*at(u, x=1) + max(abs(u))"\n')
    assert {name: one.text for name, one in problem.outputs.items()} == {
        "mass": "integral(u_re ** 2 + u_im ** 2, x)",
        "far_re": "-at(u_im, x=1) + max(sqrt(u_re ** 2 + u_im ** 2))",
        "far_im": "at(u_re, x=1)",
    }
    with pytest.raises(ProblemFileError, match=r"outputs\.top: max\(…\) is of a complex field"):
        loads(FILE + '[outputs]\ntop = "max(u)"\n')


def test_real_and_complex_unknowns_stand_side_by_side() -> None:
    text = FILE.replace('complex = ["u"]', 'complex = ["u"]\nunknowns = ["v", "u"]')
    text = text.replace(
        'operator = "I*dt(u) + dx(dx(u))"\nsource = "0"', 'operator = ["I*dt(u) + v*u", "v - abs(u)**2"]\nsource = ["0", "0"]'
    )
    text = text.replace('type = "initial"', 'type = "initial"\nunknown = "u"')
    text = text.replace('type = "dirichlet"', 'type = "dirichlet"\nunknown = "u"').replace('u = "exp(I', 'v = "1"\nu = "exp(I')
    problem = loads(text)
    assert problem.unknowns == ("v", *parts_of("u"))
    assert len(problem.equations) == 3
    assert [condition.unknown for condition in problem.conditions] == ["u_re", "u_im", "u_re", "u_im", None, None]


@pytest.mark.usefixtures("blank_figures")
def test_a_wave_is_solved_stored_and_drawn(tmp_path: Path) -> None:
    solution = solve(loads(FILE.replace("[exact]", "[training]\nseconds = 20\ntolerance = 1e-3\n[exact]")))
    points = np.array([[0.2, 0.3], [0.9, 0.5]])
    exact = np.exp(1j * (points[:, 0] - points[:, 1]))
    assert np.abs(solution(points) - exact).max() < 1e-4
    np.testing.assert_allclose(solution.gradient(points), exact[:, None] * [1j, -1j], atol=1e-3)
    solution.save(tmp_path / "solution.vtkhdf", (11, 12))
    with h5py.File(tmp_path / "solution.vtkhdf") as file:
        fields = {name: file["fields"][name][:] for name in ("u_re", "u_im", "u_abs", "u_arg")}
    np.testing.assert_allclose(fields["u_abs"] * np.exp(1j * fields["u_arg"]), fields["u_re"] + 1j * fields["u_im"], atol=1e-14)
    again = load_solution(tmp_path / "solution.vtkhdf")
    np.testing.assert_array_equal(again(points), solution(points))
    assert {"solution_u_abs", "solution_u_arg"} <= set(write_all(tmp_path, solution.sample((11, 12)), solution.history))


def test_the_json_schema_has_complex() -> None:
    assert json_schema()["properties"]["complex"]["type"] == "array"
    with pytest.raises(ExpressionError):
        syntax_tree("1 +")
