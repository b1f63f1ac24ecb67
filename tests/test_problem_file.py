# ruff: noqa: E501  (the cases of wrong files are a table: one a line)
"""Problem files: what they hold, overrides, and wrong files with their places."""

from __future__ import annotations

import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from problem_texts import random_points

from pdekan.fields.jets import Derivatives
from pdekan.problem_files.library import library
from pdekan.problem_files.loader import ProblemFileError, json_schema, load_problem, loads
from pdekan.problems.formulas import EXACT, ProblemError
from pdekan.problems.options import Nodes, Weights

BASE = """\
schema = 1
name = "base"

[domain]
type = "box"
x = [0.0, 1.0]
y = [0, 2]

[parameters]
kappa = 2

[functions]
f = "kappa*sin(pi*x)*y"

[equation]
operator = "-laplacian(u) + kappa*u"
source = "f"

[[conditions]]
type = "dirichlet"
on = ["x-", "x+"]
value = "0"

[[conditions]]
type = "neumann"
on = "y-"

[training]
points = 500
"""


def test_what_a_file_says_is_what_the_problem_holds() -> None:
    network = '[network]\nhidden = [5, {sum = 3, product = 0}, {sum = 1, product = 2}]\ndegree = 5\nintervals = [4, 8, 8, 9]\nbase = "silu"\n'
    more = 'weights = {equation = 0.01}\nrefine = [5, 10]\nseed = 3\noptimizer = "adam"\nseconds = 5\ntolerance = 1e-6\n'
    problem = loads(BASE + more + network)
    assert problem.domain.coordinates == ("x", "y")
    assert problem.domain.upper == (1.0, 2.0)
    assert problem.network.hidden == (5, 3, Nodes(1, 2))
    assert problem.network.degree == 5
    assert problem.network.intervals == (4, 8, 8, 9)
    assert problem.network.base == "silu"
    assert problem.training.points == 500
    assert problem.training.weights == Weights(0.01, 1.0, 1.0)
    assert problem.training.refine == (5, 10)
    assert (problem.training.seed, problem.training.optimizer, problem.training.seconds) == (3, "adam", 5.0)
    assert [c.kind for c in problem.conditions] == ["dirichlet", "neumann"]
    assert problem.conditions[0].on == ("x-", "x+")
    assert problem.text == BASE + more + network
    points = random_points(problem)
    source = problem.right_hand_side(problem.source, problem.equation, points, Derivatives.VALUE, None)  # type: ignore[arg-type]
    torch.testing.assert_close(source, 2 * torch.sin(torch.pi * points[:, 0]) * points[:, 1])


def test_a_hundred_dimensions() -> None:
    text = """
schema = 1
name = "many"
[domain]
type = "box"
dimension = 100
bounds = [0, 1]
[equation]
operator = "laplacian(u)"
source = "manufactured"
[[conditions]]
type = "dirichlet"
value = "exact"
[exact]
u = "sum(x**2) + x1*x100"
"""
    problem = loads(text)
    assert problem.domain.vector == "x"
    assert problem.source is EXACT
    applied = problem.right_hand_side(EXACT, problem.equation, random_points(problem, 3), Derivatives.SUMMED, None)  # type: ignore[arg-type]
    torch.testing.assert_close(applied, torch.full((3,), 200.0, dtype=torch.float64))


def test_overrides_replace_and_are_stored() -> None:
    changes = [
        "training.points=700",
        "training.optimizer=adam",
        "network.hidden=[3, 3]",
        "conditions.0.value=y*(2 - y)",
    ]
    problem = load_problem("poisson_sine", [*changes, "domain.y=[0.0, 2.0]"])
    assert problem.training.points == 700
    assert problem.training.optimizer == "adam"
    assert problem.network.hidden == (3, 3)
    again = loads(problem.text or "")
    assert again.training == problem.training
    assert again.network == problem.network
    assert [c.value for c in again.conditions] == [c.value for c in problem.conditions]
    assert again.domain == problem.domain
    same = load_problem("poisson_sine", {"training.points": 700})
    assert same.training.points == 700


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.points=0", r"overridden\): training.points: found 0; it must be at least 1"),
        ("training.pints=5", "training.pints: unknown key; known are optimizer, points"),
        ("training.points", "write section.key=value"),
        ("conditions.7.value=0", "there is no 7"),
        ("training.points=1\nseed=2", "training.points: found"),
        ("name.x=2", "there is no 'x'"),
        ("..=2", "section.key"),
        ("equation.source=1/(x-x)", "equation.source"),
    ],
)
def test_wrong_overrides(override: str, message: str) -> None:
    with pytest.raises(ProblemFileError, match=message):
        load_problem("poisson_sine", [override])


def test_overrides_from_python_are_checked_too() -> None:
    for value in (None, object(), 1j):
        with pytest.raises(ProblemFileError, match="overridden"):
            load_problem("poisson_sine", {"training.points": value})
    deep: list[object] = []
    for _ in range(2_000):
        deep = [deep]
    with pytest.raises(ProblemFileError, match="nested"):
        load_problem("poisson_sine", {"network.hidden": deep})


def replaced(old: str, new: str) -> Callable[[], str]:
    assert old in BASE
    return lambda: BASE.replace(old, new, 1)


def added(text: str) -> Callable[[], str]:
    return lambda: BASE + text


OPERATOR = 'operator = "-laplacian(u) + kappa*u"'
WRONG: list[tuple[str, Callable[[], str], str]] = [
    ("empty file", lambda: "", "schema: is missing"),
    ("not TOML", added("points 500"), "<text>:30: column 8: not TOML"),
    ("open string", replaced('name = "base"', 'name = "base'), "<text>:2: column"),
    ("duplicate key", added("points = 3"), "not TOML: Cannot overwrite a value"),
    ("duplicate table", added("[domain]"), "not TOML"),
    ("schema 2", replaced("schema = 1", "schema = 2"), "<text>:1: schema: found 2, expected 1"),
    ("schema true", replaced("schema = 1", "schema = true"), "<text>:1: schema: expected the whole number 1"),
    ("name with blank", replaced('"base"', '"a base"'), '<text>:2: name: found "a base"; letters'),
    ("name a path", replaced('"base"', '"../base"'), "<text>:2: name"),
    ("name number", replaced('"base"', "3"), "<text>:2: name: found 3, expected text"),
    ("escape in title", replaced('"base"', '"base"\ntitle = "\\u001b[31m"'), "<text>:3: title: control characters"),
    ("unknown table", added("[solver]\nx = 1"), "<text>:30: solver: unknown key; known are schema, name"),
    ("unknown key", added("pints = 3"), "<text>:30: training.pints: unknown key; known are optimizer"),
    ("two unknowns", replaced('"base"', '"base"\nunknowns = ["u", "v"]'), "<text>:20: conditions.0: needs unknown = .*are u, v"),
    ("unknowns text", replaced('"base"', '"base"\nunknowns = "u"'), "<text>:3: unknowns: found \"u\", expected a list"),
    ("unknown shadows", replaced('"base"', '"base"\nunknowns = ["x"]'), "unknowns.*'x' is the name of a coordinate"),
    ("no domain", replaced("[domain]", "[dominion]"), "domain: is missing"),
    ("disk", replaced('type = "box"', 'type = "disk"'), "<text>:4: domain.radius: is missing"),
    ("no such domain", replaced('type = "box"', 'type = "knot"'), "domain: type 'knot' is unknown; .* annulus"),
    ("empty interval", replaced("[0.0, 1.0]", "[1.0, 1.0]"), "<text>:6: domain.x: found .1.0, 1.0.; an interval"),
    ("reversed interval", replaced("[0.0, 1.0]", "[1.0, 0.0]"), "<text>:6: domain.x"),
    ("infinite interval", replaced("[0.0, 1.0]", "[0.0, inf]"), "<text>:6: domain.x.1: found inf, expected a finite"),
    ("nan interval", replaced("[0.0, 1.0]", "[nan, 1.0]"), "<text>:6: domain.x.0"),
    ("interval of text", replaced("[0.0, 1.0]", '["low", 1.0]'), "<text>:6: domain.x.0: 'low' at column 1: unknown name"),
    ("interval of three", replaced("[0.0, 1.0]", "[0, 1, 2]"), "<text>:6: domain.x"),
    ("huge number", replaced("[0.0, 1.0]", "[0, 1" + "0" * 400 + "]"), "<text>:6: domain.x.1"),
    ("huger number", replaced("[0.0, 1.0]", "[0, 1" + "0" * 5000 + "]"), "not TOML"),
    ("coordinate name", replaced("y = [0, 2]", "sin = [0, 2]"), "<text>:7: domain.sin: 'sin' is the name of a function"),
    ("coordinate e", replaced("y = [0, 2]", "e = [0, 2]"), "<text>:7: domain.e: 'e' is the name of a constant"),
    ("coordinate blank", replaced("y = [0, 2]", '"y z" = [0, 2]'), "<text>:7: domain.y z: .* is no name"),
    ("coordinate unicode", replaced("y = [0, 2]", '"\u00e9" = [0, 2]'), "is no name"),
    ("both box forms", replaced("y = [0, 2]", "dimension = 3\nbounds = [0, 1]"), "<text>:4: domain: a box needs either"),
    ("half a box form", replaced("y = [0, 2]", "dimension = 3"), "domain: dimension and bounds go together"),
    ("too many dimensions", replaced("x = [0.0, 1.0]\ny = [0, 2]", "dimension = 101\nbounds = [0, 1]"), "<text>:6: domain.dimension: found 101; it must be at most 100"),
    ("dimension zero", replaced("x = [0.0, 1.0]\ny = [0, 2]", "dimension = 0\nbounds = [0, 1]"), "at least 1"),
    ("parameter text", replaced("kappa = 2", 'kappa = "two"'), "<text>:10: parameters.kappa: 'two' at column 1: unknown name"),
    ("parameter nan", replaced("kappa = 2", "kappa = nan"), "<text>:10: parameters.kappa: found nan"),
    ("parameter bool", replaced("kappa = 2", "kappa = true"), "<text>:10: parameters.kappa: found true"),
    ("trainable", replaced("kappa = 2", "kappa = {initial = 1.0, max = 0.5}"), "<text>:10: parameters.kappa: initial value 1 is not between"),
    ("trainable key", replaced("kappa = 2", "kappa = {start = 1.0}"), "<text>:10: parameters.kappa.start: unknown key; known are initial"),
    ("parameter shadows", replaced("kappa = 2", "kappa = 2\npi = 3"), "<text>:11: parameters.pi: 'pi' is the name of a constant"),
    ("parameter dx", replaced("kappa = 2", "kappa = 2\ndx = 3"), "parameters.dx: .* differential operator"),
    ("parameter lambda", replaced("kappa = 2", "kappa = 2\nlambda = 3"), "<text>:11: parameters.lambda: .*try 'lam'"),
    ("function shadows", replaced('f = "', 'kappa = "1"\nf = "'), "functions.kappa: 'kappa' is the name of a parameter"),
    ("function cycle", replaced('f = "', 'a = "b"\nb = "a"\nf = "'), "<text>:12: functions: .* circle: (a -> b -> a|b -> a -> b)"),
    ("function unknown name", replaced("kappa*sin", "kapa*sin"), "<text>:13: functions.f: .*did you mean kappa"),
    ("unused bad function", replaced('f = "', 'g = "1/0"\nf = "'), "<text>:13: functions.g: .*divides by zero"),
    ("no equation", replaced("[equation]", "[equasion]"), "equasion: unknown key; known are .*equation"),
    ("no operator", replaced(OPERATOR, ""), "equation.operator: is missing"),
    ("system", replaced(OPERATOR, 'operator = ["u", "w"]'), "<text>:16: equation.operator.1: .*unknown name 'w'"),
    ("system of two lengths", replaced('source = "f"', 'source = ["f", "f"]'), "<text>:15: equation: 1 operators and 2 sources"),
    ("operator bool", replaced(OPERATOR, "operator = true"), "<text>:16: equation.operator: found true, expected text"),
    ("operator without u", replaced(OPERATOR, 'operator = "x + y"'), "<text>:16: equation.operator: does not mention the unknown u"),
    ("operator vector", replaced(OPERATOR, 'operator = "grad(u)"'), "<text>:16: equation.operator: is a vector"),
    ("operator normal", replaced(OPERATOR, 'operator = "normal(u)"'), "<text>:16: equation.operator: .*boundary"),
    ("fifth order", replaced(OPERATOR, 'operator = "dx(dx(dx(dx(dx(u)))))"'), "<text>:16: equation.operator: .*fourth"),
    ("operator nowhere finite", replaced(OPERATOR, 'operator = "u/(x - x)"'), "<text>:16: equation.operator: the operator"),
    ("hostile import", replaced(OPERATOR, "operator = \"__import__('os').system('id')\""), "<text>:16: equation.operator: character"),
    ("hostile attribute", replaced(OPERATOR, 'operator = "u.frame"'), "<text>:16: equation.operator: character"),
    ("hostile lambda", replaced(OPERATOR, 'operator = "(lambda: u)()"'), "<text>:16: equation.operator: 'lambda'"),
    ("hostile power", replaced('source = "f"', 'source = "9**9**9**9"'), "<text>:17: equation.source: .*too large"),
    ("hostile nesting", replaced('source = "f"', f'source = "{"(" * 4000}1{")" * 4000}"'), "<text>:17: equation.source: nested"),
    ("long formula", replaced('source = "f"', f'source = "{"x+" * 6000}x"'), "<text>:17: equation.source: 12001 characters"),
    ("source of u", replaced('source = "f"', 'source = "u**2"'), "<text>:17: equation.source: depends on the unknown"),
    ("source inf", replaced('source = "f"', "source = inf"), "<text>:17: equation.source"),
    ("source exact", replaced('source = "f"', 'source = "exact"'), '<text>:17: equation.source: .*is "manufactured" here'),
    ("source manufactured", replaced('source = "f"', 'source = "manufactured"'), "<text>:17: equation.source: .*needs an exact"),
    ("division by zero", replaced('source = "f"', 'source = "1/(x - x)"'), "<text>:17: equation.source: the right-hand side is inf at x = "),
    ("log of negatives", replaced('source = "f"', 'source = "log(-1 - x)"'), "<text>:17: equation.source: .* nan at x = "),
    ("no conditions", lambda: BASE[: BASE.index("[[conditions]]")], "no ..conditions.. and no ..data.."),
    ("conditions table", lambda: BASE[: BASE.index("[[conditions]]")] + "[conditions]\ntype = 'dirichlet'", "<text>:19: conditions: found .*expected a list"),
    ("condition type", replaced('"neumann"', '"cauchy"'), "<text>:25: conditions.1.type: found \"cauchy\", expected 'dirichlet'"),
    ("bad face", replaced('on = "y-"', 'on = "z-"'), "<text>:26: conditions.1.on: no face 'z-'; the faces are x-, x"),
    ("on number", replaced('on = "y-"', "on = 3"), "<text>:26: conditions.1.on: found 3, expected a list"),
    ("value exact", replaced('value = "0"', 'value = "exact"'), "<text>:22: conditions.0.value: .*needs an exact solution"),
    ("value unknown name", replaced('value = "0"', 'value = "g"'), "<text>:22: conditions.0.value: .*unknown name 'g'"),
    ("value singular", replaced('value = "0"', 'value = "log(x)"'), "<text>:22: conditions.0.value: .* -inf at x = 0"),
    ("enforce exact", replaced('type = "neumann"', 'type = "neumann"\nenforce = "exact"'), "<text>:24: conditions.1: .*where the values of u are not exact"),
    ("bare robin", replaced('"neumann"', '"robin"'), "<text>:24: conditions.1: a robin condition needs an operator"),
    ("dirichlet operator", replaced('value = "0"', 'operator = "u"'), "<text>:19: conditions.0: a dirichlet condition has no operator"),
    ("periodic one face", replaced('"neumann"', '"periodic"'), "<text>:24: conditions.1: .*two opposite faces"),
    ("periodic odd faces", replaced('type = "neumann"\non = "y-"', 'type = "periodic"\non = ["x-", "y+"]'), "<text>:26: conditions.1.on: .*not two opposite"),
    ("initial without time", replaced('type = "neumann"\non = "y-"', 'type = "initial"'), "<text>:24: conditions.1.on: no face 't-'"),
    ("condition unknown", replaced('on = "y-"', 'unknown = "v"'), "<text>:26: conditions.1.unknown: 'v' is no unknown"),
    ("exact of another", added('[exact]\nv = "x"'), "<text>:31: exact.v: is no unknown"),
    ("exact of u", added('[exact]\nu = "u"'), "<text>:31: exact.u: depends on the unknown"),
    ("exact singular", added('[exact]\nu = "1/(x - x)"'), "<text>:31: exact.u: the exact solution is inf"),
    ("data", added('[[data]]\nfile = "a.csv"'), "<text>:31: data.0.file: .*a.csv: cannot be read: No such file"),
    ("negative points", replaced("points = 500", "points = -5"), "<text>:29: training.points: found -5"),
    ("too many points", replaced("points = 500", "points = 10000000"), "<text>:29: training.points: .* a million rows"),
    ("fractional points", replaced("points = 500", "points = 5.5"), "<text>:29: training.points: found 5.5, expected a whole"),
    ("optimizer", added('optimizer = "sgd"'), "training.optimizer: found \"sgd\", expected 'gauss-newton'"),
    ("weight", added("weights = {equation = -1.0}"), "<text>:30: training.weights.equation: found -1.0; it must be above 0"),
    ("weight key", added("weights = {boundary = 1.0}"), "training.weights.boundary: unknown key; known are equation"),
    ("refine shrinks", added("refine = [10, 5]"), "training: refine = .10, 5.: intervals must grow"),
    ("seed negative", added("seed = -1"), "training.seed: found -1"),
    ("seconds infinite", added("seconds = inf"), "training.seconds"),
    ("seconds date", added("seconds = 2024-01-01"), "training.seconds"),
    ("hidden empty", added("[network]\nhidden = []"), "network.hidden: .*at least 1 long"),
    ("hidden wide", added("[network]\nhidden = [100000]"), "network.hidden.0: found 100000; .*at most 1000 .*MB"),
    ("hidden nothing", added("[network]\nhidden = [{sum = 0, product = 0}]"), "network.hidden.0: a hidden layer needs at least one node"),
    ("hidden key", added("[network]\nhidden = [{sums = 1}]"), "network.hidden.0.sums: unknown key; known are sum, product"),
    ("hidden text", added('[network]\nhidden = ["5"]'), "network.hidden.0: found \"5\", expected a whole number"),
    ("hidden negative", added("[network]\nhidden = [{product = -1}]"), "network.hidden.0.product: found -1; it must be at least 0"),
    ("mlp products", added('[network]\nkind = "mlp"\nhidden = [{product = 2}]'), "network: an mlp has no product nodes"),
    ("memory", added("memory = 0"), "training.memory: found 0; it must be at least 1"),
    ("degree", added("[network]\ndegree = 13"), "network.degree: found 13; it must be at most 12"),
    ("intervals a layer", added("[network]\nhidden = [5]\nintervals = [1, 2, 3]"), "network: intervals has 3 numbers"),
    ("base", added('[network]\nbase = "relu"'), "network.base: found \"relu\", expected 'none' or 'silu'"),
    ("a megabyte", lambda: BASE + "#" * 1_000_000, "more than 1000000"),
    ("a megabyte of lines", lambda: BASE + "# a comment\n" * 80_000 + "x = 1", "training.x: unknown key"),
    ("a megabyte of blank lines", lambda: BASE + "\n" * 900_000 + "x = 1", "training.x: unknown key"),
    ("a long line", lambda: BASE + "#" * 30_000, "a line of 30000 characters"),
    ("a long key", lambda: BASE + "a." * 5_000 + "a = 1", "a key of more than 20 parts"),
    ("a long inline key", lambda: BASE + "a = {" + "a." * 9_000 + "a = 1}", "a key of more than 20 parts"),
    ("lines of blanks", lambda: BASE + (" " * 19_000 + "\n") * 50 + "x = 1", "training.x: unknown key"),
    ("deep brackets", lambda: BASE + "x = " + "[" * 9_000, "nested too deeply"),
    ("deep tables", lambda: BASE + "a = {b = " + "{b = " * 20 + "1" + "}" * 21, "nested more than 12 deep"),
    ("many conditions", lambda: BASE + "[[conditions]]\n" * 50_000, "conditions: .*at most 200"),
    ("many unknown keys", lambda: BASE + "".join(f"k{n} = 1\n" for n in range(20_000)), "training.k0: unknown key"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "message"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_wrong_files_are_refused_with_their_place(make: Callable[[], str], message: str) -> None:
    text = make()
    start = time.perf_counter()
    with pytest.raises(ProblemFileError, match=message) as caught:
        loads(text)
    assert time.perf_counter() - start < 5.0  # no text makes it hang; most take a millisecond
    assert isinstance(caught.value, ProblemError)
    assert str(caught.value).startswith("<text>")
    assert len(str(caught.value)) < 4_000
    assert "pydantic" not in str(caught.value).lower()


def test_a_wrong_function_is_named_once() -> None:
    with pytest.raises(ProblemFileError) as caught:
        loads(BASE.replace("kappa*sin", "kapa*sin"))
    assert len(caught.value.messages) == 1


def test_several_errors_come_at_once() -> None:
    text = BASE.replace("points = 500", "points = 0\nseed = 'a'").replace("kappa = 2", "kappa = nan")
    with pytest.raises(ProblemFileError) as caught:
        loads(text, "a.toml")
    assert [message.split(": ")[0] for message in caught.value.messages] == ["a.toml:10", "a.toml:29", "a.toml:30"]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "latin.toml"
    path.write_bytes(b'schema = 1\ntitle = "\xe9"\n')
    with pytest.raises(ProblemFileError, match=r"latin.toml:2: not UTF-8: byte 0xe9"):
        load_problem(path)
    path.write_bytes(b"\0" * 100)
    with pytest.raises(ProblemFileError, match="not TOML"):
        load_problem(path)
    path.write_bytes(b"#" * 2_000_000)
    with pytest.raises(ProblemFileError, match="more than 1000000 bytes"):
        load_problem(path)
    with pytest.raises(ProblemFileError, match="cannot be read"):
        load_problem(tmp_path)
    with pytest.raises(ProblemFileError, match=r"no such file, and no such problem in the library: .*poisson_sine"):
        load_problem("poison_sine")
    for hostile in ("a\0b", "a" * 5000):
        with pytest.raises(ProblemFileError, match="cannot be read"):
            load_problem(hostile)


def test_windows_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "windows.toml"
    path.write_bytes(b"\xef\xbb\xbf" + BASE.replace("\n", "\r\n").encode())
    assert load_problem(path).name == "base"


def test_the_schema_describes_every_table_and_the_library() -> None:
    schema = json_schema()
    assert {"schema", "name", "domain"} <= set(schema["required"])
    for path in library().values():
        assert set(tomllib.loads(path.read_text("utf-8"))) <= set(schema["properties"])
