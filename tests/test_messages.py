"""Messages about problem files as beginners write them."""

from __future__ import annotations

import pytest

from pdekan.problem_files.loader import ProblemFileError, load_problem, loads
from pdekan.problem_files.well_posedness import warnings

HEAT = """\
schema = 1
name = "heat"
[domain]
type = "box"
x = [0.0, 1.0]
t = [0.0, 1.0]
[parameters]
kappa = 1.0
[equation]
operator = "dt(u) - kappa*dx(dx(u))"
source = "0"
[[conditions]]
type = "initial"
value = "sin(pi*x)"
[[conditions]]
type = "dirichlet"
on = ["x-", "x+"]
value = "0"
"""


def message(text: str) -> str:
    with pytest.raises(ProblemFileError) as refused:
        loads(text)
    return str(refused.value)


@pytest.mark.parametrize(
    ("written", "instead", "words"),
    [
        ("[[conditions]]", "[conditions]", "write [[conditions]]"),
        ('source = "0"', "source = sin(pi*x)", 'source = "sin(pi*x)"'),
        ('source = "0"', 'source = "0"\nunknowns = ["u"]', "top level of the file, before the first table"),
        ('source = "0"', 'source = "0"\ntraining = {seed = 1}', "[training] belongs at the top level"),
        ('source = "0"', 'surce = "0"', "did you mean source?"),
        ("[equation]", "[equations]", "did you mean equation?"),
        ("kappa = 1.0", "κ = 1.0", "names are made of the letters a to z"),
        ("t = [", "tau = [", "time is the coordinate called t"),
        ('name = "heat"', 'name = "heat_0.02"', '"heat_0_02"'),
        ('source = "0"', "source = “0”", "write straight quotes"),
        ("[parameters]", '[network]\ncells = "adaptve"\n[parameters]', "network.cells: found \"adaptve\", expected 'adaptive'"),
        ("[parameters]", '[time]\noutputs = "many"\n[parameters]', 'time.outputs: found "many", expected a whole number'),
        ('source = "0"', 'source = "sin x"', "write sin(x)"),
        ('source = "0"', 'source = "2 x"', "between 2 and x a sign is missing, such as *"),
        ('source = "0"', 'source = "0"\nseed = 3', "it belongs to the table training: training.seed"),
        ("[parameters]", "[training]\nadapt = True\n[parameters]", "write adapt = true"),
        ("[parameters]", "[domain]\n[parameters]", "a table has one header: put the keys of both below it"),
    ],
)
def test_slips_in_the_file(written: str, instead: str, words: str) -> None:
    assert words in message(HEAT.replace(written, instead))


def test_a_single_header_of_a_list_is_named() -> None:
    assert "[[conditions]]" in message(HEAT[: HEAT.rindex("[[")].replace("[[conditions]]", "[conditions]"))


@pytest.mark.parametrize(
    ("operator", "words"),
    [
        ("dt(u) - u_xx", "dx(dx(u))"),
        ("u_t", "dt(u)"),
        ("diff(u, x)", "dx(u)"),
        ("nabla(u)", "grad"),
        ("u + ln(x)", "log"),
        ("u*PI", "pi"),
        ("u*heaviside(x)", "where(x < 0, 0, 1)"),
        ("np.sin(u)", "write sin(x)"),
        ("u if x < 0 else 0", "where(condition, a, b)"),
        ("dt(u) = laplacian(u)", "goes to `source`"),
        ("u·x", "'·' (U+00B7) at column 2 is not allowed; write *"),
        ("u − x", "write -"),
        ("lapacian(u)", "did you mean laplacian?"),
    ],
)
def test_formulas_as_other_programs_write_them(operator: str, words: str) -> None:
    assert words in message(HEAT.replace("dt(u) - kappa*dx(dx(u))", operator))


def test_a_problem_that_is_spelt_alike_is_suggested() -> None:
    with pytest.raises(ProblemFileError, match=r"did you mean poisson_sine.*`pdekan list` shows all"):
        load_problem("poison_sine")


def test_overrides_of_parameters_name_parameters() -> None:
    with pytest.raises(ProblemFileError, match=r"there is no parameter epsilom; did you mean epsilon\?"):
        load_problem("reaction_diffusion_layers", ["parameters.epsilom=3"])
    with pytest.raises(ProblemFileError, match="there are none"):
        load_problem("poisson_sine", ["parameters.mass=3"])


def test_unused_parameters_are_named() -> None:
    assert warnings(loads(HEAT)) == []
    (warning,) = warnings(loads(HEAT.replace("kappa*dx", "dx")))
    assert "parameter kappa is not used" in warning


def test_round_off_in_a_corner_is_no_jump() -> None:
    """sin(pi) is 1.2e-16, and the face beside it has 0."""
    assert warnings(loads(HEAT)) == []
    assert any("disagree" in warning for warning in warnings(loads(HEAT.replace("sin(pi*x)", "cos(pi*x)"))))
