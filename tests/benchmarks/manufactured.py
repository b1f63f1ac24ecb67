"""Manufactured problems for every operator, domain and kind of condition of problem files; sources are derived by SymPy."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import meshio
import numpy as np
import sympy as sp

from pdekan.domains.registry import DOMAINS
from pdekan.fields import operators
from pdekan.problem_files.interpreter import FUNCTIONS
from pdekan.problem_files.loader import loads
from pdekan.problems.conditions import CONDITIONS
from pdekan.problems.problem import Problem

MESH_FILE = "mesh.vtu"
HEAD = ("schema = 1", 'name = "manufactured"')


@dataclass(frozen=True)
class Case:
    """An equation on a box with its exact solution in the grammar of problem files.

    box: the interval of each coordinate. conditions: the keys of each. exact: one formula, or by halves left and right of
    x = `split`, which is then the interface "middle". order: of the equation in space. linear: whether it is affine in u.
    """

    box: Mapping[str, tuple[float, float]]
    operator: str
    exact: tuple[str, ...]
    conditions: tuple[Mapping[str, str], ...] = ({"type": "dirichlet"},)
    order: int = 2
    linear: bool = True
    split: float | None = None


LINE = {"x": (0.0, 1.0)}
PLANE = {"x": (0.0, 1.0), "y": (0.0, 1.0)}
SPACE = {**PLANE, "z": (0.0, 1.0)}
MOVING = {"x": (0.0, 1.0), "t": (0.0, 1.0)}
WAVE = "sin(2*x + 0.3)*exp(0.7*y)"
DECAY = "sin(2*x + 0.3)*exp(-0.7*t)"
ROBIN = {"type": "robin", "operator": "normal(u) + 2*u"}
INFLOW = {"type": "dirichlet", "on": "x- y-"}

# what is not a name of the grammar is a further case
OPERATORS = {
    "dx": Case(LINE, "dx(u) + u", ("sin(2*x + 0.3)",), ({"type": "dirichlet", "on": "x-"},), 1),
    "dy": Case(PLANE, "dx(u) + 2*dy(u) + u", (WAVE,), (INFLOW,), 1),
    "dz": Case(SPACE, "-dz(dz(u)) - dx(dx(u)) - dy(dy(u))", (WAVE + "*cos(z)",)),
    "dt": Case(MOVING, "dt(u) - dx(dx(u))", (DECAY,), ({"type": "dirichlet"}, {"type": "initial"})),
    "grad": Case(PLANE, "-laplacian(u) + dot(grad(u), grad(x*y))", (WAVE,)),
    "div": Case(PLANE, "-div((1 + x*x)*grad(u))", (WAVE,)),
    "laplacian": Case(PLANE, "-laplacian(u)", (WAVE,)),
    "dot": Case(PLANE, "-laplacian(u) + dot(grad(u), grad(u))", (WAVE,), linear=False),
    "normal": Case(PLANE, "-laplacian(u) + u", (WAVE,), (ROBIN,)),
    "mixed second derivatives": Case(PLANE, "-dx(dx(u)) - dx(dy(u)) - 2*dy(dy(u))", (WAVE,)),
    "second derivative in time": Case(
        MOVING, "dt(dt(u)) - dx(dx(u))", ("sin(2*x + 0.3)*cos(2*t + 0.1)",),
        ({"type": "dirichlet"}, {"type": "initial"}, {"type": "initial", "operator": "dt(u)"}),
    ),
    "nonlinear coefficient": Case(PLANE, "-div((1 + u**2)*grad(u))", (WAVE,), linear=False),
    "nonlinear reaction": Case(PLANE, "-laplacian(u) + exp(u)", (WAVE,), linear=False),
}  # fmt: skip
CURVE = "sin(3*x + 0.3) + 0.5*exp(x)"
LEFT = {"type": "dirichlet", "on": "x-"}
CASES_OF_CONDITIONS = {
    "dirichlet": Case(LINE, "-laplacian(u)", (CURVE,)),
    "neumann": Case(LINE, "-laplacian(u)", (CURVE,), (LEFT, {"type": "neumann", "on": "x+"})),
    "robin": Case(LINE, "-laplacian(u)", (CURVE,), (ROBIN,)),
    "periodic": Case(LINE, "-laplacian(u) + u", ("sin(2*pi*x + 0.3)",), ({"type": "periodic", "on": "x- x+"},)),
    "initial": Case({"t": (0.0, 1.0)}, "dt(u) + u", ("sin(3*t + 0.3)",), ({"type": "initial"},), 1),
    "mean": Case(LINE, "-laplacian(u)", (CURVE,), ({"type": "neumann"}, {"type": "mean"})),
    "interface": Case(
        LINE, "-laplacian(u)", ("exp(x)", "exp(x) + 1 + sin(3*x - 1.5)"),
        ({"type": "dirichlet"}, {"type": "interface", "value": "1"},
         {"type": "interface", "operator": "normal(u)", "value": "3"}), split=0.5,
    ),
}  # fmt: skip
CASES_OF_DOMAINS = {
    "box": 'type = "box"\nx = [0.0, 1.0]\ny = [-0.5, 1.0]',
    "disk": 'type = "disk"\ncenter = [0.1, 0.2]\nradius = 0.9',
    "annulus": 'type = "annulus"\ncenter = [0.1, 0.2]\ninner_radius = 0.4\nouter_radius = 1.0',
    "ellipse": 'type = "ellipse"\ncenter = [0.1, 0.2]\nradii = [1.0, 0.6]\nangle = 0.4',
    "ball": 'type = "ball"\ncenter = [0.1, 0.2, 0.0]\nradius = 0.8',
    "cylinder": 'type = "cylinder"\nstart = [0.1, 0.0, -0.5]\nend = [0.3, 0.2, 0.5]\nradius = 0.6',
    "torus": 'type = "torus"\ncenter = [0.1, 0.2, 0.0]\nradius = 0.7\ntube_radius = 0.3',
    "half_space": 'type = "intersection"\nparts = [{type = "ball", radius = 0.8}, '
    '{type = "half_space", point = [0.0, 0.0, 0.2], normal = [0.0, 0.6, 0.8]}]',
    "polygon": 'type = "polygon"\nvertices = [[0.0, 0.0], [1.2, 0.1], [1.0, 1.0], [0.2, 0.8]]',
    "union": 'type = "union"\nparts = [{type = "box", x = [-1.0, 0.0], y = [-0.5, 0.5]}, {type = "disk", radius = 0.4}]',
    "intersection": 'type = "intersection"\n'
    'parts = [{type = "disk", radius = 1.0}, {type = "disk", center = [0.8, 0.0], radius = 1.0}]',
    "difference": 'type = "difference"\n'
    'parts = [{type = "box", x = [-1.0, 1.0], y = [-1.0, 1.0]}, {type = "disk", center = [0.2, 0.0], radius = 0.4}]',
    "mesh": f'type = "mesh"\nfile = "{MESH_FILE}"',
}
SMOOTH = "sin(1.5*x + 0.3*y)"


def names_of_operators() -> list[str]:
    """The differential operators of the grammar: derivatives by x, y, z and t, and the functions of `fields.operators`."""
    own = [name for name, one in FUNCTIONS.items() if one.apply.__module__ == operators.__name__]
    return ["dx", "dy", "dz", "dt", *own]


def check_complete() -> None:
    """Raise KeyError naming the operators, domains and kinds of conditions that have no case."""
    for what, names, cases in (
        ("operator", names_of_operators(), OPERATORS), ("domain", DOMAINS, CASES_OF_DOMAINS),
        ("condition", CONDITIONS, CASES_OF_CONDITIONS),
    ):  # fmt: skip
        missing = [name for name in names if name not in cases]
        if missing:
            raise KeyError(f"no manufactured problem for the {what} {', '.join(missing)}; add one to {Path(__file__).name}")


# Problems on boxes, with sources and values that SymPy derives


def problem(case: Case) -> Problem:
    """The problem of a case, through the reader of problem files. Nothing in it is derived by pdekan's own operators."""
    coordinates = [sp.Symbol(name) for name in case.box]
    pieces = [sp.sympify(one) for one in case.exact]
    sources = [_applied(case.operator, piece, coordinates) for piece in pieces]
    lines = [*HEAD, "[equation]", f'operator = "{case.operator}"', f'source = "{_choice(sources, case.split)}"', "[domain]"]
    lines += ['type = "box"', *(f"{name} = [{a}, {b}]" for name, (a, b) in case.box.items())]
    if case.split is not None:
        lines += ["[domain.interfaces]", f'middle = {{type = "box", x = [-1.0, {case.split}]}}']
    for keys in case.conditions:
        lines += _condition(keys, case, pieces, coordinates)
    lines += ["[exact]", f'u = "{_choice(pieces, case.split)}"']
    return loads("\n".join(lines))


def _applied(text: str, u: sp.Expr, coordinates: list[sp.Symbol], face: str = "") -> sp.Expr:
    """An operator of the grammar applied to a formula, in SymPy; normal(u) is that on a face of the box."""
    space = [one for one in coordinates if one.name != "t"]
    functions = {f"d{one.name}": (lambda v, one=one: sp.diff(v, one)) for one in coordinates}
    functions |= {
        "u": u,
        "grad": lambda v: sp.Matrix([sp.diff(v, one) for one in space]),
        "div": lambda v: sum(sp.diff(part, one) for part, one in zip(v, space, strict=True)),
        "laplacian": lambda v: sum(sp.diff(v, one, 2) for one in space),
        "dot": lambda v, w: sum(a * b for a, b in zip(v, w, strict=True)),
        "normal": lambda v: (1 if face.endswith("+") else -1) * sp.diff(v, sp.Symbol(face[:-1])),
    }
    return sp.sympify(text, locals=functions)


def _choice(pieces: list[sp.Expr], split: float | None) -> str:
    """Formulas by halves as one formula of the grammar."""
    return str(pieces[0]) if split is None else f"where(x < {split}, {pieces[0]}, {pieces[1]})"


def _condition(keys: Mapping[str, str], case: Case, pieces: list[sp.Expr], coordinates: list[sp.Symbol]) -> list[str]:
    """The lines of a condition: a table for each face, with the value of the exact solution there."""
    kind = keys["type"]
    if kind == "periodic":
        return ["[[conditions]]", 'type = "periodic"', f"on = {keys['on'].split()}".replace("'", '"')]
    if kind == "interface":
        given = [f'{key} = "{value}"' for key, value in keys.items()]
        return ["[[conditions]]", 'on = "middle"', *given]
    if kind == "mean":
        value = pieces[0]
        for one in coordinates:
            a, b = case.box[one.name]
            value = sp.integrate(value, (one, a, b)) / (b - a)
        return ["[[conditions]]", 'type = "mean"', f'value = "{sp.N(value, 17)}"']
    faces = [name + end for name in case.box for end in "-+" if name != "t"]
    faces = ["t-"] if kind == "initial" else keys["on"].split() if "on" in keys else faces
    operator = keys.get("operator", "normal(u)" if kind == "neumann" else "u")
    lines = []
    for face in faces:
        piece = pieces[-1] if face.endswith("+") else pieces[0]
        at = {sp.Symbol(face[:-1]): case.box[face[:-1]][int(face.endswith("+"))]}
        value = _applied(operator, piece, coordinates, face).subs(at)
        lines += ["[[conditions]]", f'type = "{kind}"', f'on = "{face}"', f'value = "{value}"']
        lines += [f'operator = "{operator}"'] if "operator" in keys else []
    return lines


# Domains


def write_mesh(folder: Path) -> None:
    """The mesh of a hexagon with a hexagonal hole."""
    angles = np.arange(6) * np.pi / 3.0
    ring = np.stack([np.cos(angles), np.sin(angles), 0.0 * angles], axis=1)
    k, after = np.arange(6), (np.arange(6) + 1) % 6
    cells = np.concatenate([np.stack([k, 6 + k, 6 + after], 1), np.stack([k, 6 + after, after], 1)])
    meshio.write(folder / MESH_FILE, meshio.Mesh(np.concatenate([0.5 * ring, ring]), {"triangle": cells}))


def on_domain(name: str, timed: bool, folder: Path) -> Problem:
    """Poisson's equation, or the heat equation, with Dirichlet data on the case of a domain. folder: where the mesh is."""
    text = CASES_OF_DOMAINS[name]
    plane = re.search(r"center = \[[^],]*,[^],]*,", text) is None
    exact = SMOOTH + ("" if plane else " + cos(z)")
    u = f"({exact})*exp(-t)" if timed else exact
    coordinates = [sp.Symbol(one) for one in ("x", "y") + (() if plane else ("z",)) + (("t",) if timed else ())]
    operator = "dt(u) - laplacian(u)" if timed else "-laplacian(u)"
    source = _applied(operator, sp.sympify(u), coordinates)
    lines = [*HEAD, "[equation]", f'operator = "{operator}"', f'source = "{source}"', "[domain]", text]
    lines += ["t = [0.0, 0.5]"] if timed else []
    kinds = ["dirichlet", "initial"] if timed else ["dirichlet"]
    for kind in kinds:
        lines += ["[[conditions]]", f'type = "{kind}"', 'value = "exact"']
    return loads("\n".join([*lines, "[exact]", f'u = "{u}"']), folder=folder)
