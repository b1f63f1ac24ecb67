"""Quantities of a solution: integrals, values at points, extrema; against closed forms and the divergence theorem."""

from __future__ import annotations

import csv
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import command
from scipy.integrate import dblquad

import pdekan as pk
from pdekan.networks.base import ModuleNetwork
from pdekan.problem_files.loader import ProblemFileError, loads
from pdekan.problems.problem import Problem
from pdekan.solutions.outputs import Output, outputs

DOCUMENT = Path(__file__).parents[1] / "docs" / "problems.md"
SECTION = DOCUMENT.read_text("utf-8").split("## Quantities")[1]
EXAMPLE = re.findall(r"^```toml\n(.*?)^```$", SECTION, re.DOTALL | re.MULTILINE)[0]
BOX = '{type = "box", x = [-1.0, 1.0], y = [0.0, 1.0]}'
HOLE = f'type = "difference"\nparts = [{BOX}, {{type = "disk", center = [0.0, 0.5], radius = 0.3}}]'


class Known(torch.nn.Module):
    """A solution with a closed form, in the place of a network."""

    def __init__(self, function: object) -> None:
        super().__init__()
        self.function, self.unused = function, torch.nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(*x.unbind(1))[:, None]  # type: ignore[operator]


def file(domain: str, quantities: str) -> str:
    return f"""\
schema = 1
name = "quantities"
[domain]
{domain}
[equation]
operator = "u"
[[conditions]]
type = "dirichlet"
value = 0
[outputs]
{quantities}
"""


def values(domain: str, quantities: str, function: object) -> dict[str, Output]:
    problem = loads(file(domain, quantities))
    return outputs(problem, ModuleNetwork(Known(function), problem.domain.dimension))


def smooth(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.exp(x) * torch.sin(2.0 * y) + x**2


def test_integrals_over_a_box_its_faces_and_a_coordinate_are_those_of_scipy() -> None:
    found = values(
        'type = "box"\nx = [-1.0, 1.0]\ny = [0.0, 1.0]',
        'all = "integral(u**2)"\nright = "integral(u, x+)"\nquoted = "integral(u, \'x+\')"\n'
        'line = "at(integral(dx(u), x), y=0.5)"\nnested = "integral(integral(u**2, x), y)"\n',
        smooth,
    )
    wanted, _ = dblquad(lambda y, x: (math.exp(x) * math.sin(2 * y) + x**2) ** 2, -1.0, 1.0, 0.0, 1.0, epsabs=1e-12)
    assert found["all"].value == pytest.approx(wanted, rel=1e-12)
    assert found["nested"].value == pytest.approx(wanted, rel=1e-12)
    assert found["right"].value == found["quoted"].value == pytest.approx(math.e * math.sin(1.0) ** 2 + 1.0, rel=1e-12)
    assert found["line"].value == pytest.approx((math.e - 1.0 / math.e) * math.sin(1.0), rel=1e-12)


def test_the_flux_through_the_boundary_is_the_integral_of_the_laplacian() -> None:
    found = values(HOLE, 'flux = "integral(normal(u), boundary)"\ninside = "integral(laplacian(u))"', smooth)
    assert found["flux"].value == pytest.approx(found["inside"].value, rel=1e-7)
    hole = values(HOLE, 'hole = "integral(normal(u), part2.outer)"', lambda x, y: x**2 + y)
    assert hole["hole"].value == pytest.approx(-2.0 * math.pi * 0.09, rel=1e-10)


def test_values_at_points_extrema_and_formulas_of_them() -> None:
    found = values(
        HOLE,
        'here = "at(u, x=0.5, y=1/4)"\ntop = "max(u)"\nbottom = "min(u)"\nlargest = "max(at(u, x=0.5, y=0), 2)"',
        lambda x, y: torch.cos(x - 0.6) + 0.1 * y * (1.0 - y),
    )
    assert found["here"].value == pytest.approx(math.cos(0.1) + 0.1 * 3 / 16, rel=1e-14)
    assert found["top"].value == pytest.approx(1.025, abs=1e-10)  # between the points of any rule
    assert found["bottom"].value == pytest.approx(math.cos(1.6), abs=1e-10)  # in a corner
    assert found["largest"].value == 2.0


def test_integrals_stand_in_fields_of_other_integrals() -> None:
    quantities = 'mean = "integral(u)/integral(1)"\nspread = "integral((u - integral(u)/integral(1))**2)"'
    found = values(HOLE, quantities, smooth)
    again = values(HOLE, f'spread = "integral((u - {found["mean"].value!r})**2)"', smooth)
    assert found["spread"].value == pytest.approx(again["spread"].value, rel=1e-10)


def test_functions_of_time_have_times_and_values() -> None:
    found = values(
        'type = "disk"\nradius = 2.0\nt = [0.0, 3.0]',
        'heat = "integral(u)"\nrim = "integral(normal(u), outer)"\nend = "integral(u, t+)"\n'
        'all = "integral(integral(u), t)"\nat = "at(u, t=1.0, x=1.0, y=0.0)"',
        lambda x, y, t: (x**2 + y**2) * torch.exp(-t),
    )
    heat = found["heat"]
    assert heat.times is not None
    assert heat.values is not None
    np.testing.assert_allclose(heat.values, 8.0 * math.pi * np.exp(-np.array(heat.times)), rtol=1e-10)
    assert heat.value == pytest.approx(found["end"].value, rel=1e-12)
    assert found["all"].value == pytest.approx(8.0 * math.pi * (1.0 - math.exp(-3.0)), rel=1e-10)
    assert found["rim"].value == pytest.approx(16.0 * math.pi * math.exp(-3.0), rel=1e-10)
    assert found["at"].value == pytest.approx(math.exp(-1.0), rel=1e-12)


@pytest.mark.parametrize(
    ("quantity", "message"),
    [
        (
            "integral(u, z)",
            r"integral\(…, z\): there is no such face or coordinate; the faces are x-, x\+.*the coordinates x, y",
        ),
        ("integral(u, x)", "depends on y; a number is needed"),
        ("u + 1", "depends on x, y; a number is needed"),
        ("at(u, x=0.5)", "depends on y"),
        ("at(u, q=0.5)", "'q=0.5' in at.* names no coordinate"),
        ("at(u, x=7, y=0)", "x = 7 in at.* is no number between -1 and 1"),
        ("integral(v)", "unknown name 'v'"),
        ("integral(u", "no closing parenthesis"),
        ("integral()", "has no field"),
        ("integral(u, x-, y-)", "3 arguments"),
    ],
)
def test_quantities_that_are_refused(quantity: str, message: str) -> None:
    text = file('type = "box"\nx = [-1.0, 1.0]\ny = [0.0, 1.0]', f'q = "{quantity}"')
    with pytest.raises(ProblemFileError, match=message) as caught:
        loads(text, "q.toml")
    assert "q.toml:13: outputs.q" in str(caught.value)


def test_other_domains_have_no_integral_over_a_coordinate_nor_points_outside() -> None:
    with pytest.raises(ProblemFileError, match="needs a box"):
        loads(file(HOLE, 'q = "at(integral(u, x), y=0.5)"'))
    with pytest.raises(ProblemFileError, match=r"x = 0, y = 0.5 in at.* is not in the domain"):
        loads(file(HOLE, 'q = "at(u, x=0, y=0.5)"'))


@pytest.mark.usefixtures("blank_figures")
def test_the_example_of_the_documentation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, run = tmp_path / "rod.toml", tmp_path / "run"
    path.write_text(EXAMPLE, encoding="utf-8")
    assert command("solve", str(path), "--output", str(run), "--json") == 0
    found = json.loads(capsys.readouterr().out)["outputs"]
    start, end = found["heat"]["values"][0], found["heat"]["values"][-1]
    assert start == pytest.approx(2.0 / math.pi, abs=1e-6)
    assert end == found["heat"]["value"] == pytest.approx(2.0 / math.pi * math.exp(-(math.pi**2) * 0.2), abs=1e-6)
    assert abs(found["middle"]["value"] - math.exp(-(math.pi**2) * 0.1)) < 5.0 * found["middle"]["estimate"] < 1e-4
    assert (run / "outputs.png").exists()
    loaded = pk.load_solution(run)
    assert loaded.outputs["heat"].plain() == found["heat"]
    assert command("export", str(run), "--line", "t=0.1", "--points", "5") == 0
    rows = list(csv.DictReader((run / "line.csv").read_text().splitlines()))
    assert [float(row["x"]) for row in rows] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert float(rows[2]["u"]) == pytest.approx(math.exp(-(math.pi**2) * 0.1), abs=1e-6)
    assert command("export", str(run), "--line", "x=0:1,t=0:0.2", "--force", "--to", str(run / "diagonal.csv")) == 0
    for text, message in (("y=1", "'y=1' is no part of a line"), ("x=0:1", "state t too"), ("x=0,t=0.1", "is a point")):
        capsys.readouterr()
        assert command("export", str(run), "--line", text, "--force") == 2
        assert message in capsys.readouterr().err


def test_python_has_none_without_a_file() -> None:
    assert Problem(pk.box(x=(0.0, 1.0)), equation=lambda u: u, conditions=(pk.dirichlet(),)).outputs == {}
