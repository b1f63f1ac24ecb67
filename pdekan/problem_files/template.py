"""A commented problem file to begin with. This module does not import the numerics."""

from __future__ import annotations

from collections.abc import Sequence

COORDINATES = ("x", "y", "z")


def template(name: str, dimensions: int = 2, time: bool = False, unknowns: Sequence[str] = ("u",)) -> str:
    """The text of a problem file: diffusion with a source on a box, with time a heat equation.

    dimensions: space coordinates, 1 to 3. unknowns: their names; several are coupled by a linear reaction. Raises ValueError
    for another number of coordinates.
    """
    if not 1 <= dimensions <= len(COORDINATES):
        raise ValueError(f"{dimensions} space coordinates: 1 to {len(COORDINATES)} are possible")
    axes = COORDINATES[:dimensions]
    faces = [f"{axis}{side}" for axis in axes for side in "-+"]
    return "\n\n".join(
        [
            _head(name, unknowns),
            _domain(axes, time),
            "[parameters]\nkappa = 1.0                # or {initial = 1.0, trainable = true}: found from measurements",
            _equation(time, unknowns),
            *_conditions(faces, time, unknowns),
            _tail(unknowns),
        ]
    )


def _head(name: str, unknowns: Sequence[str]) -> str:
    lines = [
        f"# Say what is solved by `pdekan check {name}.toml`; solve it by `pdekan solve {name}.toml`.",
        "schema = 1",
        f'name = "{name}"',
        'title = "Diffusion with a source"',
        '# reference = "the book, page and equation that the problem is from"',
    ]
    return "\n".join([*lines, *([f"unknowns = {_listed(unknowns)}"] if tuple(unknowns) != ("u",) else [])])


def _domain(axes: Sequence[str], time: bool) -> str:
    bounds = [f"{axis} = [0.0, 1.0]             # faces {axis}- and {axis}+" for axis in axes]
    return "\n".join(
        [
            "[domain]",
            'type = "box"               # or disk, annulus, ellipse, ball, polygon, union, intersection, difference, mesh',
            *bounds,
            *(["t = [0.0, 1.0]             # time; its start is the face t-"] if time else []),
        ]
    )


def _equation(time: bool, unknowns: Sequence[str]) -> str:
    operators = [_operator(one, other, time) for one, other in zip(unknowns, (*unknowns[1:], unknowns[0]), strict=True)]
    comment = "dx dy dz dt grad div laplacian dot, functions of u"
    if len(unknowns) == 1:
        return f'[equation]                 # operator = source\noperator = "{operators[0]}"  # {comment}\nsource = "1"'
    sources = ["1"] * len(unknowns)
    return "\n".join(
        [
            f"[equation]                 # operator = source, an equation for each unknown; {comment}",
            f"operator = {_listed(operators)}",
            f"source = {_listed(sources)}",
        ]
    )


def _operator(one: str, other: str, time: bool) -> str:
    rate = f"dt({one}) " if time else ""
    reaction = f" + {one} - 0.5*{other}" if other != one else ""
    return f"{rate}- kappa*laplacian({one}){reaction}".strip() if time else f"-kappa*laplacian({one}){reaction}"


def _conditions(faces: Sequence[str], time: bool, unknowns: Sequence[str]) -> list[str]:
    conditions = []
    for one in unknowns:
        unknown = [f'unknown = "{one}"'] if len(unknowns) > 1 else []
        if time:
            conditions.append(["[[conditions]]", 'type = "initial"', *unknown, 'value = "0"'])
        first = ["[[conditions]]", 'type = "dirichlet"         # or neumann, robin, periodic, initial, mean, …', *unknown]
        conditions.append([*first, f"on = {_listed(faces)}", 'value = "0"                # a formula of the coordinates'])
    return ["\n".join(lines) for lines in conditions]


def _tail(unknowns: Sequence[str]) -> str:
    exact = "\n".join(f'# {one} = "sin(pi*x)"' for one in unknowns)
    return f"""\
# [exact]                  # a known solution: errors are measured; source = "manufactured" and value = "exact" follow from it
{exact}

# [training]
# tolerance = 1e-6         # of the relative error
# seconds = 60             # at most
"""


def _listed(words: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{word}"' for word in words) + "]"
